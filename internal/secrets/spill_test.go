package secrets

import (
	"context"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/evergrant/evergrant/internal/connection"
)

// vault is a Secrets Manager that keeps binaries by name.
type vault struct {
	kept    map[string][]byte
	deleted map[string]bool // marked for deletion: their name still answers
	err     error
}

func (v *vault) CreateSecret(_ context.Context, in *secretsmanager.CreateSecretInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.CreateSecretOutput, error) {
	if v.err != nil {
		return nil, v.err
	}
	if _, ok := v.kept[*in.Name]; ok {
		return nil, &types.ResourceExistsException{}
	}
	v.kept[*in.Name] = in.SecretBinary
	return &secretsmanager.CreateSecretOutput{}, nil
}

func (v *vault) GetSecretValue(_ context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	if v.err != nil {
		return nil, v.err
	}
	if v.deleted[*in.SecretId] {
		return nil, &types.InvalidRequestException{}
	}
	b, ok := v.kept[*in.SecretId]
	if !ok {
		return nil, &types.ResourceNotFoundException{}
	}
	return &secretsmanager.GetSecretValueOutput{SecretBinary: b}, nil
}

func (v *vault) DeleteSecret(_ context.Context, in *secretsmanager.DeleteSecretInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.DeleteSecretOutput, error) {
	if v.err != nil {
		return nil, v.err
	}
	if _, ok := v.kept[*in.SecretId]; !ok || in.ForceDeleteWithoutRecovery == nil || !*in.ForceDeleteWithoutRecovery {
		return nil, &types.ResourceNotFoundException{}
	}
	delete(v.kept, *in.SecretId)
	return &secretsmanager.DeleteSecretOutput{}, nil
}

// ListSecrets returns two secrets a page, in the order of their names, those
// under deletion and those of others included.
func (v *vault) ListSecrets(_ context.Context, in *secretsmanager.ListSecretsInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.ListSecretsOutput, error) {
	if v.err != nil {
		return nil, v.err
	}
	out := new(secretsmanager.ListSecretsOutput)
	for _, name := range slices.Sorted(maps.Keys(v.kept)) {
		if name <= aws.ToString(in.NextToken) {
			continue
		}
		if len(out.SecretList) == 2 {
			out.NextToken = out.SecretList[1].Name
			break
		}
		out.SecretList = append(out.SecretList, types.SecretListEntry{Name: aws.String(name)})
	}
	return out, nil
}

func newSpill() (*Spill, *vault) {
	v := &vault{kept: map[string][]byte{}, deleted: map[string]bool{}}
	return &Spill{API: v, Prefix: "stack/rescue/"}, v
}

var spillKey = connection.Key{ConnectionID: "acct_42", Provider: "whiplash"}

// at returns the key of the spill of a refresh.
func at(fence int64) connection.SpillKey { return connection.SpillKey{Key: spillKey, Fence: fence} }

func TestASpillIsFoundByConnectionAndFence(t *testing.T) {
	s, v := newSpill()
	for fence, sealed := range map[int64]string{3: "three", 5: "five", 9: "nine"} {
		if err := s.Put(t.Context(), at(fence), []byte(sealed)); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		after, before int64
		want          string
		fence         int64
	}{
		{0, 10, "nine", 9}, {0, 9, "five", 5}, {2, 5, "three", 3}, {3, 5, "", 0}, {5, 6, "", 0}, {9, 9, "", 0},
	}
	for _, tt := range tests {
		if got, f, err := s.Find(t.Context(), spillKey, tt.after, tt.before); err != nil || string(got) != tt.want || f != tt.fence {
			t.Errorf("Find between %d and %d = %q of %d, %v; want %q of %d", tt.after, tt.before, got, f, err, tt.want, tt.fence)
		}
	}
	for _, other := range []connection.Key{{ConnectionID: "acct_43", Provider: "whiplash"}, {ConnectionID: "acct_42", Provider: "whisk"}} {
		if got, _, err := s.Find(t.Context(), other, 0, 10); err != nil || got != nil {
			t.Errorf("%v finds another connection's spill: %q, %v", other, got, err)
		}
	}
	v.deleted[s.name(at(9))] = true
	if got, f, err := s.Find(t.Context(), spillKey, 0, 10); err != nil || string(got) != "five" || f != 5 {
		t.Errorf("beside one marked for deletion: %q of %d, %v", got, f, err)
	}
}

func TestPuttingOrDeletingASpillTwiceIsNoError(t *testing.T) {
	s, v := newSpill()
	for range 2 {
		if err := s.Put(t.Context(), at(7), []byte("sealed")); err != nil {
			t.Errorf("Put: %v", err)
		}
	}
	for range 2 {
		if err := s.Delete(t.Context(), at(7)); err != nil {
			t.Errorf("Delete: %v", err)
		}
	}
	if len(v.kept) != 0 {
		t.Errorf("%d spills left", len(v.kept))
	}
}

// Not to know whether there is a spill is another thing than to know that
// there is none.
func TestAnOutageIsNotAnEmptySpill(t *testing.T) {
	s, v := newSpill()
	v.err = errors.New("throttled")
	if _, _, err := s.Find(t.Context(), spillKey, 0, 3); !errors.Is(err, v.err) {
		t.Errorf("Find: %v", err)
	}
	if err := s.Put(t.Context(), at(1), nil); !errors.Is(err, v.err) {
		t.Errorf("Put: %v", err)
	}
	if err := s.Delete(t.Context(), at(1)); !errors.Is(err, v.err) {
		t.Errorf("Delete: %v", err)
	}
}

// Any connection ID makes a name that Secrets Manager takes.
func TestEveryConnectionHasANameForItsSpill(t *testing.T) {
	s, _ := newSpill()
	for _, id := range []string{"a", strings.Repeat("x", 256), "user@example.com", "a:b/c_d-e.f"} {
		k := connection.Key{ConnectionID: id, Provider: "whcc"}
		for _, at := range []connection.SpillKey{{Key: k, Fence: 1 << 62}, {Key: k, Grant: 1 << 62}} {
			if name := s.name(at); !regexp.MustCompile(`^stack/rescue/[A-Za-z0-9/_+=.@-]{1,400}$`).MatchString(name) {
				t.Errorf("%s: %s", id, name)
			}
		}
	}
}

// The search passes over what is not a spill, and says so of what stays.
func TestEverySpillIsListed(t *testing.T) {
	s, v := newSpill()
	grant := connection.SpillKey{Key: spillKey, Grant: 1795000000123456789}
	for _, key := range []connection.SpillKey{at(3), at(5), grant} {
		if err := s.Put(t.Context(), key, []byte("sealed")); err != nil {
			t.Fatal(err)
		}
	}
	v.kept["other/secret"] = []byte("theirs")
	v.kept["stack/rescue/note"] = []byte("a note")
	v.kept["stack/rescue/whisk/0123/9"] = v.kept[s.name(at(5))] // moved
	v.deleted[s.name(at(5))] = true
	var got []connection.SpillKey
	errs := 0
	for cursor, first := "", true; first || cursor != ""; first = false {
		page, next, err := s.List(t.Context(), cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			switch {
			case e.Err != nil:
				errs++
			case string(e.Sealed) != "sealed":
				t.Errorf("%v holds %q", e.SpillKey, e.Sealed)
			default:
				got = append(got, e.SpillKey)
			}
		}
		cursor = next
	}
	if errs != 2 || len(got) != 2 || !slices.Contains(got, at(3)) || !slices.Contains(got, grant) {
		t.Errorf("listed %v, and %d that are no spills", got, errs)
	}
	v.err = errors.New("throttled")
	if _, _, err := s.List(t.Context(), ""); !errors.Is(err, v.err) {
		t.Errorf("List: %v", err)
	}
}
