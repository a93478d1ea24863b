package secrets

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
)

const (
	canary   = "c4nary-secret"
	whiplash = "stack/providers/whiplash"
	ringText = `{"current":"k1","k1":"` + canary + `-0123456789abcdef0123456789"}`
)

// credentials returns the document of a client with the given secret.
func credentials(secret string) string {
	return `{"client_id":"client-1","client_secret":"` + secret + `"}`
}

// A manager is Secrets Manager: values and errors by name and stage.
type manager struct {
	mu     sync.Mutex
	values map[string]string // by name@stage
	err    error             // of all calls, if set
	hang   bool              // until the caller gives up
	took   time.Duration     // of each call
	stage  string            // of what a batch answers
	calls  map[string]int
}

func (m *manager) GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	name := aws.ToString(in.SecretId) + "@" + aws.ToString(in.VersionStage)
	m.mu.Lock()
	m.calls[name]++
	value, ok := m.values[name]
	err, hang, took := m.err, m.hang, m.took
	m.mu.Unlock()
	if took > 0 {
		<-time.After(took)
	}
	switch {
	case hang:
		<-ctx.Done()
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	case !ok:
		return nil, &smithy.GenericAPIError{Code: "ResourceNotFoundException", Message: "Secrets Manager can't find it"}
	case strings.HasPrefix(value, "binary:"):
		return &secretsmanager.GetSecretValueOutput{SecretBinary: []byte(strings.TrimPrefix(value, "binary:"))}, nil
	}
	return &secretsmanager.GetSecretValueOutput{SecretString: &value}, nil
}

// BatchGetSecretValue is one call, that of the names it is about. A name that is
// there is answered as a secret of that name or, if it is one, that ARN.
func (m *manager) BatchGetSecretValue(ctx context.Context, in *secretsmanager.BatchGetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.BatchGetSecretValueOutput, error) {
	m.mu.Lock()
	m.calls[strings.Join(in.SecretIdList, "+")]++
	m.mu.Unlock()
	if m.took > 0 {
		<-time.After(m.took)
	}
	switch {
	case m.hang:
		<-ctx.Done()
		return nil, ctx.Err()
	case m.err != nil:
		return nil, m.err
	}
	out := new(secretsmanager.BatchGetSecretValueOutput)
	for _, id := range in.SecretIdList {
		name, arn := id, "arn:aws:secretsmanager:eu-central-1:123456789012:secret:"+id+"-a1b2c3"
		if strings.HasPrefix(id, "arn:") {
			name, arn = "of-"+id, id
		}
		entry := types.SecretValueEntry{Name: &name, ARN: &arn, VersionStages: []string{m.stage}}
		switch value, ok := m.values[id+"@AWSCURRENT"]; {
		case !ok:
			out.Errors = append(out.Errors, types.APIErrorType{SecretId: &id, ErrorCode: aws.String("ResourceNotFoundException")})
			continue
		case strings.HasPrefix(value, "binary:"):
			entry.SecretBinary = []byte(strings.TrimPrefix(value, "binary:"))
		default:
			entry.SecretString = &value
		}
		out.SecretValues = append(out.SecretValues, entry)
	}
	slices.Reverse(out.SecretValues) // they come in no promised order
	return out, nil
}

func (m *manager) set(name, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[name] = value
}

func (m *manager) total() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for c := range maps.Values(m.calls) {
		n += c
	}
	return n
}

// A world is a store, the manager behind it and a clock.
type world struct {
	*Store
	*manager
	now    time.Time
	jitter float64
}

func newWorld() *world {
	w := &world{
		now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		manager: &manager{calls: map[string]int{}, stage: "AWSCURRENT", values: map[string]string{
			whiplash + "@AWSCURRENT": credentials(canary),
			"stack/seal@AWSCURRENT":  ringText, "stack/connect@AWSCURRENT": ringText,
		}},
	}
	w.Store = &Store{
		API: w.manager, Prefix: "stack/providers/", Seal: "stack/seal", Connect: "stack/connect",
		Now: func() time.Time { return w.now }, Jitter: func() float64 { return w.jitter },
	}
	return w
}

// client returns the client credentials, which must be there.
func (w *world) client(t *testing.T) oauth.Client {
	t.Helper()
	c, err := w.Client(t.Context(), "whiplash")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// others returns the secrets that may be tried after refused.
func (w *world) others(t *testing.T, refused oauth.Client) []string {
	t.Helper()
	clients, err := w.Others(t.Context(), refused)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, c := range clients {
		found = append(found, c.Secret.Reveal())
	}
	return found
}

func TestSecretsAreReadByTheirNames(t *testing.T) {
	w := newWorld()
	w.set("stack/connect@AWSCURRENT", `{"current":"k2","keys":{"k2":"0123456789abcdef0123456789abcdef"}}`)
	w.set("stack/seal@AWSCURRENT", "binary:"+ringText)
	if c := w.client(t); c.ID != "client-1" || c.Secret != canary || c.Provider.ID != "whiplash" || c.Environment.Name != "production" {
		t.Errorf("client = %+v", c)
	}
	sealKeys, err1 := w.SealKeys(t.Context())
	connectKeys, err2 := w.ConnectKeys(t.Context())
	if err1 != nil || err2 != nil || sealKeys.Current != "k1" || connectKeys.Current != "k2" {
		t.Errorf("rings %v, %v, %v, %v", sealKeys, err1, connectKeys, err2)
	}
	if w.total() != 3 {
		t.Errorf("calls = %v", w.calls)
	}
}

// A value serves for five minutes, give or take a fifth.
func TestAValueServesForFiveMinutes(t *testing.T) {
	tests := []struct {
		jitter float64
		serves time.Duration
	}{{0, 4 * time.Minute}, {0.5, 5 * time.Minute}, {0.999, 5*time.Minute + 59*time.Second}}
	for _, tt := range tests {
		w := newWorld()
		w.jitter = tt.jitter
		w.client(t)
		w.set(whiplash+"@AWSCURRENT", credentials("new"))
		w.now = w.now.Add(tt.serves - time.Second)
		if c := w.client(t); c.Secret != canary || w.total() != 1 {
			t.Errorf("jitter %v: read %d times in %v", tt.jitter, w.total(), tt.serves-time.Second)
		}
		w.now = w.now.Add(2 * time.Second)
		if c := w.client(t); c.Secret != "new" || w.total() != 2 {
			t.Errorf("jitter %v: an old value serves after %v", tt.jitter, tt.serves+time.Second)
		}
	}
}

func TestManyCallersMakeOneRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.took = time.Second
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				if c, err := w.Client(t.Context(), "whiplash"); err != nil || c.Secret != canary {
					t.Errorf("client = %v, %v", c.ID, err)
				}
			})
		}
		callers.Wait()
		if w.total() != 1 {
			t.Errorf("%d reads", w.total())
		}
	})
}

// A read that hangs holds up nobody longer than they want to wait.
func TestACallerMayGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.took = time.Hour
		var reader sync.WaitGroup
		defer reader.Wait()
		reader.Go(func() { _, _ = w.SealKeys(t.Context()) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, err := w.SealKeys(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("error = %v after %v", err, time.Since(start))
		}
	})
}

// What is in the cache is there for everybody, also for who has no time left.
func TestTheCacheNeedsNoTime(t *testing.T) {
	w := newWorld()
	w.client(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 {
		if _, err := w.Client(ctx, "whiplash"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheOldValueServesWhileOutOfReach(t *testing.T) {
	w := newWorld()
	w.client(t)
	w.set(whiplash+"@AWSCURRENT", credentials("new"))
	w.now = w.now.Add(time.Hour)
	for _, err := range []error{errors.New("dial tcp: connection refused"), &smithy.GenericAPIError{Code: "ThrottlingException"}, context.DeadlineExceeded} {
		w.err = err
		calls := w.total()
		for range 10 {
			if c := w.client(t); c.Secret != canary {
				t.Fatalf("%v: the old value is gone", err)
			}
		}
		if w.total() != calls+1 {
			t.Errorf("%v: %d reads for ten requests", err, w.total()-calls)
		}
		w.now = w.now.Add(31 * time.Second)
	}
	w.err = nil
	if c := w.client(t); c.Secret != "new" {
		t.Error("the new value is not read when it can be")
	}
}

// An error names the secret and the fix, and shows none of its value.
func TestWhatAnOperatorMustMend(t *testing.T) {
	denied := &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "no"}
	tests := []struct {
		name       string
		value      string // "": there is none
		err        error
		configured bool // the operator has nothing to do
		want       []string
	}{
		{"missing", "", nil, false, []string{whiplash, "AWSCURRENT", "create it"}},
		{"may not be read", "", denied, false, []string{whiplash, "allow secretsmanager:GetSecretValue"}},
		{"not JSON", canary, nil, false, []string{whiplash, `write {"client_id"`}},
		{"empty", "binary:", nil, false, []string{whiplash, `write {"client_id"`}},
		{"an array", `["` + canary + `"]`, nil, false, []string{whiplash}},
		{"no client_id", `{"client_secret":"` + canary + `"}`, nil, false, []string{whiplash, "client_id is missing"}},
		{"no client_secret", `{"client_id":"` + canary + `"}`, nil, false, []string{whiplash, "client_secret is missing"}},
		{"a number for a secret", `{"client_id":"` + canary + `","client_secret":1}`, nil, false, []string{whiplash, "client_secret"}},
		{"an unknown environment", `{"client_id":"a","client_secret":"` + canary + `","environment":"moon"}`, nil, false, []string{whiplash, `"moon" is unknown`}},
		{"an unknown scope", `{"client_id":"a","client_secret":"` + canary + `","scopes":["all"]}`, nil, false, []string{whiplash, `scope "all"`}},
		{"a loopback endpoint", `{"client_id":"a","client_secret":"` + canary + `","endpoints":{"token_url":"http://127.0.0.1/t"}}`, nil, false, []string{whiplash, "endpoints.token_url", "ALLOW_PRIVATE_PROVIDERS"}},
		{"out of reach", "", errors.New("connection refused"), true, []string{whiplash, "connection refused"}},
		{"throttled", "", &smithy.GenericAPIError{Code: "ThrottlingException"}, true, []string{whiplash}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.err = tt.err
			w.set(whiplash+"@AWSCURRENT", tt.value)
			if tt.value == "" {
				delete(w.values, whiplash+"@AWSCURRENT")
			}
			_, err := w.Client(t.Context(), "whiplash")
			if err == nil || errors.Is(err, oauth.ErrNotConfigured) == tt.configured {
				t.Fatalf("error = %v", err)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %s", err, part)
				}
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("error shows the secret: %v", err)
			}
		})
	}
}

func TestAMalformedKeyRingIsNamed(t *testing.T) {
	for _, ring := range []string{"", canary, `{"keys":{}}`, `{"current":"k1","k1":"short"}`, `{"current":"k2","k1":"` + canary + `-0123456789abcdef0123"}`} {
		w := newWorld()
		w.set("stack/seal@AWSCURRENT", ring)
		w.set("stack/connect@AWSCURRENT", ring)
		_, err1 := w.SealKeys(t.Context())
		_, err2 := w.ConnectKeys(t.Context())
		for name, err := range map[string]error{"stack/seal": err1, "stack/connect": err2} {
			if !errors.Is(err, oauth.ErrNotConfigured) || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), canary) {
				t.Errorf("ring %q: %v", ring, err)
			}
		}
	}
	w := newWorld()
	w.Connect = ""
	if _, err := w.ConnectKeys(t.Context()); !errors.Is(err, oauth.ErrNotConfigured) || !strings.Contains(err.Error(), "CONNECT_SECRET") || w.total() != 0 {
		t.Errorf("without a name: %v", err)
	}
}

func TestAnUnknownProviderIsNotAskedFor(t *testing.T) {
	w := newWorld()
	if _, err := w.Client(t.Context(), "../seal"); !errors.Is(err, oauth.ErrNotConfigured) || w.total() != 0 {
		t.Errorf("error = %v after %d reads", err, w.total())
	}
}

// What is missing is soon found when it is there, yet no flood of requests for
// it reaches Secrets Manager.
func TestAMissingSecretIsRememberedBriefly(t *testing.T) {
	w := newWorld()
	delete(w.values, whiplash+"@AWSCURRENT")
	for range 100 {
		if _, err := w.Client(t.Context(), "whiplash"); !errors.Is(err, oauth.ErrNotConfigured) {
			t.Fatal(err)
		}
	}
	if w.total() != 1 {
		t.Errorf("%d reads", w.total())
	}
	w.set(whiplash+"@AWSCURRENT", credentials(canary))
	w.now = w.now.Add(missingAfter)
	if c := w.client(t); c.Secret != canary {
		t.Error("not found when it is there")
	}
}

// Rights that are withdrawn end the use of what was read under them.
func TestADeniedSecretDoesNotServeOn(t *testing.T) {
	w := newWorld()
	w.client(t)
	w.now = w.now.Add(time.Hour)
	w.err = &smithy.GenericAPIError{Code: "AccessDeniedException"}
	if _, err := w.Client(t.Context(), "whiplash"); !errors.Is(err, oauth.ErrNotConfigured) {
		t.Errorf("error = %v", err)
	}
}

func TestOthersAreTheChangedSecretThenThePreviousOne(t *testing.T) {
	tests := []struct {
		name              string
		current, previous string // documents; "": none
		want              []string
	}{
		{"nothing has changed, and nothing ever did", credentials(canary), "", nil},
		{"nothing has changed, an older one is there", credentials(canary), credentials("older"), []string{"older"}},
		{"changed", credentials("new"), credentials(canary), []string{"new"}},
		{"changed twice", credentials("new"), credentials("newer than ours"), []string{"new", "newer than ours"}},
		{"changed, and both are the same", credentials("new"), credentials("new"), []string{"new"}},
		{"changed into nonsense", "nonsense", credentials("older"), []string{"older"}},
		{"gone", "", credentials("older"), []string{"older"}},
		{"the older one is nonsense", credentials("new"), "nonsense", []string{"new"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			refused := w.client(t)
			for stage, value := range map[string]string{"@AWSCURRENT": tt.current, "@AWSPREVIOUS": tt.previous} {
				delete(w.values, whiplash+stage)
				if value != "" {
					w.set(whiplash+stage, value)
				}
			}
			if got := w.others(t, refused); !slices.Equal(got, tt.want) {
				t.Errorf("others = %v, want %v", got, tt.want)
			}
		})
	}
}

// While a provider is moved to another client ID, a grant's own client is looked
// for wherever a version has it, and the other client's secret is never tried.
func TestOthersAreOfTheSameClient(t *testing.T) {
	moved := func(id, secret, former string) string {
		return `{"client_id":"` + id + `","client_secret":"` + secret + `","former":[` + former + `]}`
	}
	old := func(secret string) string { return `{"client_id":"client-1","client_secret":"` + secret + `"}` }
	tests := []struct {
		name              string
		current, previous string
		want              []string
	}{
		{"moved, without the old client", moved("client-2", "new", ""), credentials(canary), nil},
		{"moved, and the old one's secret was changed", moved("client-2", "new", old("changed")), credentials(canary), []string{"changed"}},
		{"moved, and the old one's is as before", moved("client-2", "new", old(canary)), credentials("older"), []string{"older"}},
		{"moved, and changed twice since", moved("client-2", "new", old("changed")), moved("client-2", "newer", old("before")), []string{"changed", "before"}},
		{"moved back", moved("client-1", "changed", `{"client_id":"client-2","client_secret":"new"}`), moved("client-2", "new", old(canary)), []string{"changed"}},
		{"in another environment", moved("client-2", "new", `{"client_id":"client-1","client_secret":"test","environment":"sandbox"}`), credentials(canary), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			refused := w.client(t)
			w.set(whiplash+"@AWSCURRENT", tt.current)
			w.set(whiplash+"@AWSPREVIOUS", tt.previous)
			if got := w.others(t, refused); !slices.Equal(got, tt.want) {
				t.Errorf("others = %v, want %v", got, tt.want)
			}
		})
	}
}

// A provider that refuses the client is asked once more at once, however fresh
// the cache is; a wrong secret that stays wrong makes no storm of reads.
func TestOthersReadPastTheCacheWithinLimits(t *testing.T) {
	w := newWorld()
	refused := w.client(t)
	if got := w.others(t, refused); got != nil || w.total() != 3 {
		t.Errorf("others = %v after %v", got, w.calls)
	}
	w.now = w.now.Add(5 * time.Second)
	for range 100 {
		w.others(t, refused)
	}
	if w.total() != 3 {
		t.Errorf("%v: many refusals make many reads", w.calls)
	}
	w.set(whiplash+"@AWSCURRENT", credentials("new"))
	w.now = w.now.Add(rereadAfter)
	if got := w.others(t, refused); !slices.Equal(got, []string{"new"}) || w.total() != 5 {
		t.Errorf("others = %v after %v", got, w.calls)
	}
	if c := w.client(t); c.Secret != "new" || w.total() != 5 {
		t.Errorf("the new secret does not serve everybody: %v", w.calls)
	}
}

func TestOthersOfWhatIsOutOfReach(t *testing.T) {
	w := newWorld()
	refused := w.client(t)
	w.err = errors.New("connection refused")
	if got, err := w.Others(t.Context(), refused); err == nil || len(got) != 0 {
		t.Errorf("others = %d, %v: nobody hears that the previous secret could not be read", len(got), err)
	}
	if c := w.client(t); c.Secret != canary {
		t.Error("the old value is gone")
	}
}

const sealARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:stack/seal-d4e5f6"

// However many secrets a function reads ahead, it takes one call. A setting may
// hold a name or an ARN.
func TestWarmMakesOneCall(t *testing.T) {
	tests := []struct {
		name  string
		seal  string
		names []string
		calls []string
	}{
		{"nothing", "stack/seal", []string{""}, nil},
		{"one", "stack/seal", []string{"stack/seal", ""}, []string{"stack/seal@AWSCURRENT"}},
		{"one twice", "stack/seal", []string{"stack/seal", "stack/seal"}, []string{"stack/seal@AWSCURRENT"}},
		{"two", "stack/seal", []string{"stack/seal", "stack/connect"}, []string{"stack/seal+stack/connect"}},
		{"a name and an ARN", sealARN, []string{sealARN, "stack/connect"}, []string{sealARN + "+stack/connect"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.Seal = tt.seal
			w.set(tt.seal+"@AWSCURRENT", "binary:"+strings.ReplaceAll(ringText, "k1", "sealing"))
			w.Warm(t.Context(), tt.names...)
			if got := slices.Collect(maps.Keys(w.calls)); !slices.Equal(got, tt.calls) || w.total() != len(tt.calls) {
				t.Errorf("calls = %v, want %q", w.calls, tt.calls)
			}
			clear(w.calls)
			for name, get := range map[string]func(context.Context) (seal.Keys, error){w.Seal: w.SealKeys, w.Connect: w.ConnectKeys} {
				want := map[string]string{w.Seal: "sealing", w.Connect: "k1"}[name]
				if k, err := get(t.Context()); err != nil || k.Current != want {
					t.Errorf("%s = %q, %v", name, k.Current, err)
				}
				if slices.Contains(tt.names, name) != (w.calls[name+"@AWSCURRENT"] == 0) {
					t.Errorf("%s: calls = %v after Warm of %q", name, w.calls, tt.names)
				}
			}
		})
	}
}

// What is read ahead serves as long as anything else that is read.
func TestWhatIsReadAheadServesForFiveMinutes(t *testing.T) {
	w := newWorld()
	w.Warm(t.Context(), whiplash, "stack/seal")
	w.set(whiplash+"@AWSCURRENT", credentials("new"))
	w.now = w.now.Add(4*time.Minute - time.Second)
	if c := w.client(t); c.Secret != canary || w.total() != 1 {
		t.Errorf("calls = %v", w.calls)
	}
	w.now = w.now.Add(2 * time.Second)
	if c := w.client(t); c.Secret != "new" || w.total() != 2 {
		t.Errorf("an old value serves on: %v", w.calls)
	}
}

// A secret that could not be read ahead is read by itself when it is needed, and
// no failure to read it ahead is remembered.
func TestWhatWarmCannotReadIsReadWhenItIsNeeded(t *testing.T) {
	tests := map[string]func(*manager){
		"the role may make no batch":  func(m *manager) { m.err = &smithy.GenericAPIError{Code: "AccessDeniedException"} },
		"a fake that knows no batch":  func(m *manager) { m.err = &smithy.GenericAPIError{Code: "UnknownOperationException"} },
		"out of reach":                func(m *manager) { m.err = errors.New("connection refused") },
		"one is not there, or denied": func(m *manager) { delete(m.values, "stack/seal@AWSCURRENT") },
		"it answers another version":  func(m *manager) { m.stage = "AWSPENDING" },
	}
	for name, broken := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			broken(w.manager)
			w.Warm(t.Context(), "stack/seal", "stack/connect")
			w.err = nil
			w.set("stack/seal@AWSCURRENT", ringText)
			if _, err := w.SealKeys(t.Context()); err != nil || w.calls["stack/seal@AWSCURRENT"] != 1 {
				t.Errorf("%v after calls %v", err, w.calls)
			}
			if _, err := w.ConnectKeys(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAStartWaitsASecondForSecretsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, names := range [][]string{{"stack/seal"}, {"stack/seal", "stack/connect"}} {
			w := newWorld()
			w.hang = true
			start := time.Now()
			w.Warm(t.Context(), names...)
			if took := time.Since(start); took != warmTime {
				t.Errorf("a start waits %v for %q", took, names)
			}
		}
	})
}
