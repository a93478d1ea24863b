package refresh

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/pkg/providers"
)

// provider is a made-up provider that every test may change its copy of.
func provider() providers.Provider {
	return providers.Provider{ID: "acme", Name: "Acme", Environments: []providers.Environment{{Name: "production", BaseURL: "https://acme.example"}}}
}

// secrets is a secret store with one client.
type secrets struct {
	client oauth.Client
	others []oauth.Client
	err    error
	keys   seal.Keys
}

func (s *secrets) Client(context.Context, string) (oauth.Client, error) { return s.client, s.err }

func (s *secrets) Others(context.Context, oauth.Client) ([]oauth.Client, error) { return s.others, nil }

func (s *secrets) SealKeys(context.Context) (seal.Keys, error) { return s.keys, nil }

// endpoint is a token endpoint that answers as told.
type endpoint struct {
	answer   func(ctx context.Context, refreshToken oauth.Secret) (oauth.TokenSet, error) // nil: rotate
	issueErr error

	mu      sync.Mutex
	sent    []oauth.Secret // refresh tokens, in order
	issued  int
	revoked []oauth.Secret // access tokens
}

func (e *endpoint) Refresh(ctx context.Context, _ oauth.Client, refreshToken oauth.Secret) (oauth.TokenSet, error) {
	e.mu.Lock()
	e.sent = append(e.sent, refreshToken)
	n := len(e.sent)
	e.mu.Unlock()
	if e.answer != nil {
		return e.answer(ctx, refreshToken)
	}
	return rotated(n), nil
}

func (e *endpoint) Issue(context.Context, oauth.Client) (oauth.TokenSet, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.issued++
	if e.issueErr != nil {
		return oauth.TokenSet{}, e.issueErr
	}
	return oauth.TokenSet{AccessToken: "c4nary-issued", TokenType: "Bearer", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour), Issued: true}, nil
}

func (e *endpoint) Revoke(_ context.Context, _ oauth.Client, accessToken, _ oauth.Secret) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.revoked = append(e.revoked, accessToken)
	return nil
}

// rotated is the n-th answer of an endpoint that rotates.
func rotated(n int) oauth.TokenSet {
	return oauth.TokenSet{
		AccessToken: oauth.Secret(fmt.Sprintf("c4nary-access-%d", n)), TokenType: "Bearer",
		RefreshToken: oauth.Secret(fmt.Sprintf("c4nary-refresh-%d", n)), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(2 * time.Hour),
	}
}

// A fixture is a Renewer with everything around it. Time is that of package
// time: tests run in a synctest bubble.
type fixture struct {
	*Renewer
	store    *connectiontest.Memory
	secrets  *secrets
	endpoint *endpoint
	key      connection.Key
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	keys, err := seal.ParseKeys([]byte(`{"current":"k1","k1":"c4nary-seal-key-0123456789abcdef"}`))
	if err != nil {
		t.Fatalf("ParseKeys: %v", err)
	}
	f := &fixture{
		store:    new(connectiontest.Memory),
		secrets:  &secrets{client: oauth.Client{Provider: provider(), ID: "client", Secret: "c4nary-secret1", Environment: provider().Environments[0]}, keys: keys},
		endpoint: new(endpoint),
		key:      connection.Key{ConnectionID: "acct_1", Provider: "acme"},
	}
	var ids int
	var mu sync.Mutex
	f.Renewer = &Renewer{
		Leases: f.store, Breakers: f.store, Secrets: f.secrets, Tokens: f.endpoint, Shards: 4,
		NewID: func() string {
			mu.Lock()
			defer mu.Unlock()
			ids++
			return fmt.Sprintf("lease-%d", ids)
		},
		Random: func() float64 { return 0.5 }, Now: time.Now, Log: canary.Log(t),
	}
	return f
}

// connect stores the connection k with refresh token "c4nary-refresh-0", due now.
func (f *fixture) connect(t testing.TB, k connection.Key) {
	t.Helper()
	tokens := rotated(0)
	tokens.IssuedAt, tokens.ExpiresAt = time.Now().Add(-2*time.Hour), time.Now().Add(5*time.Minute)
	c, err := connection.New(k, f.secrets.client, tokens, f.secrets.keys, f.Shards)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	c.Due.At = time.Now()
	if _, err := f.store.Connect(t.Context(), c); err != nil {
		t.Fatalf("Connect: %v", err)
	}
}

// get returns the connection k as it is stored.
func (f *fixture) get(t testing.TB, k connection.Key) connection.Connection {
	t.Helper()
	c, err := f.store.Get(context.Background(), k)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	return c
}

// held returns the refresh token that is stored for k.
func (f *fixture) held(t testing.TB, k connection.Key) string {
	t.Helper()
	s, err := f.get(t, k).RefreshToken(f.secrets.keys)
	if err != nil {
		t.Fatalf("RefreshToken: %v", err)
	}
	return s.Reveal()
}

// renew runs Renew and wants the given result.
func (f *fixture) renew(t testing.TB, want Result) {
	t.Helper()
	_ = f.renewErr(t, want)
}

// renewErr is renew for a test that looks at the error, too.
func (f *fixture) renewErr(t testing.TB, want Result) error {
	t.Helper()
	got, err := f.Renew(t.Context(), f.key, 0)
	if got.Result != want {
		t.Fatalf("Renew = %v, %v; want %v", got, err, want)
	}
	return err
}

// refuse returns an endpoint's answer with the given error.
func refuse(e *oauth.Error) func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
	return func(context.Context, oauth.Secret) (oauth.TokenSet, error) { return oauth.TokenSet{}, e }
}
