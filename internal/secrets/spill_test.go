package secrets

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

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

func newSpill() (*Spill, *vault) {
	v := &vault{kept: map[string][]byte{}, deleted: map[string]bool{}}
	return &Spill{API: v, Prefix: "stack/rescue/"}, v
}

var spillKey = connection.Key{ConnectionID: "acct_42", Provider: "whiplash"}

func TestASpillIsFoundByConnectionAndFence(t *testing.T) {
	s, v := newSpill()
	for fence, sealed := range map[int64]string{3: "three", 5: "five", 9: "nine"} {
		if err := s.Put(t.Context(), spillKey, fence, []byte(sealed)); err != nil {
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
	v.deleted[s.name(spillKey, 9)] = true
	if got, f, err := s.Find(t.Context(), spillKey, 0, 10); err != nil || string(got) != "five" || f != 5 {
		t.Errorf("beside one marked for deletion: %q of %d, %v", got, f, err)
	}
}

func TestPuttingOrDeletingASpillTwiceIsNoError(t *testing.T) {
	s, v := newSpill()
	for range 2 {
		if err := s.Put(t.Context(), spillKey, 7, []byte("sealed")); err != nil {
			t.Errorf("Put: %v", err)
		}
	}
	for range 2 {
		if err := s.Delete(t.Context(), spillKey, 7); err != nil {
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
	if err := s.Put(t.Context(), spillKey, 1, nil); !errors.Is(err, v.err) {
		t.Errorf("Put: %v", err)
	}
	if err := s.Delete(t.Context(), spillKey, 1); !errors.Is(err, v.err) {
		t.Errorf("Delete: %v", err)
	}
}

// Any connection ID makes a name that Secrets Manager takes.
func TestEveryConnectionHasANameForItsSpill(t *testing.T) {
	s, _ := newSpill()
	for _, id := range []string{"a", strings.Repeat("x", 256), "user@example.com", "a:b/c_d-e.f"} {
		name := s.name(connection.Key{ConnectionID: id, Provider: "whcc"}, 1<<62)
		if !regexp.MustCompile(`^stack/rescue/[A-Za-z0-9/_+=.@-]{1,400}$`).MatchString(name) {
			t.Errorf("%s: %s", id, name)
		}
	}
}
