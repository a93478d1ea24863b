package connections

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/refresh"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/pkg/providers"
)

// secrets has one client a provider, all alike.
type secrets struct {
	err   error
	keys  seal.Keys
	moved func(*oauth.Client) // what becomes of each, once the provider is moved; nil: it is not
}

func (s *secrets) Client(_ context.Context, provider string) (oauth.Client, error) {
	p, _ := providers.Find(provider)
	c := oauth.Client{Provider: p, ID: "client", Secret: "c4nary-secret", Environment: p.Environments[0]}
	if s.moved != nil {
		s.moved(&c)
	}
	return c, s.err
}

func (s *secrets) Others(context.Context, oauth.Client) ([]oauth.Client, error) { return nil, nil }

func (s *secrets) SealKeys(context.Context) (seal.Keys, error) { return s.keys, nil }

// endpoint is a provider that rotates, until err.
type endpoint struct {
	err   error
	delay time.Duration

	mu      sync.Mutex
	sent    []string
	clients []string // IDs, of each request but Account
	codes   []string
	issued  int
	revoked []string
	account oauth.Account
	asked   int // for the account
	blind   error
}

func (e *endpoint) Exchange(_ context.Context, c oauth.Client, r oauth.AuthorizationRequest, code oauth.Secret) (oauth.TokenSet, error) {
	<-time.After(e.delay)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.clients = append(e.clients, c.ID)
	e.codes = append(e.codes, r.Verifier.Reveal()+" "+code.Reveal())
	return oauth.TokenSet{
		AccessToken: oauth.Secret(fmt.Sprintf("c4nary-access-c%d", len(e.codes))), TokenType: "Bearer", RefreshToken: oauth.Secret(fmt.Sprintf("c4nary-refresh-c%d", len(e.codes))),
		IssuedAt: time.Now(), ExpiresAt: time.Now().Add(2 * time.Hour),
	}, e.err
}

func (e *endpoint) Account(context.Context, oauth.Client, oauth.Secret) (oauth.Account, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked++
	if e.blind != nil {
		return oauth.Account{}, e.blind
	}
	return e.account, nil
}

func (e *endpoint) Refresh(_ context.Context, c oauth.Client, refreshToken oauth.Secret) (oauth.TokenSet, error) {
	<-time.After(e.delay)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.clients = append(e.clients, c.ID)
	e.sent = append(e.sent, refreshToken.Reveal())
	return oauth.TokenSet{
		AccessToken: oauth.Secret(fmt.Sprintf("c4nary-access-%d", len(e.sent))), TokenType: "Bearer", RefreshToken: oauth.Secret(fmt.Sprintf("c4nary-refresh-%d", len(e.sent))),
		IssuedAt: time.Now(), ExpiresAt: time.Now().Add(2 * time.Hour),
	}, e.err
}

func (e *endpoint) Issue(_ context.Context, c oauth.Client) (oauth.TokenSet, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.clients = append(e.clients, c.ID)
	e.issued++
	return oauth.TokenSet{AccessToken: "c4nary-issued", TokenType: "Bearer", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour), Issued: true}, e.err
}

func (e *endpoint) Revoke(_ context.Context, c oauth.Client, accessToken, refreshToken oauth.Secret) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.clients = append(e.clients, c.ID)
	e.revoked = append(e.revoked, accessToken.Reveal()+" "+refreshToken.Reveal())
	return e.err
}

// A fixture is a Handler with everything around it, in a synctest bubble.
type fixture struct {
	*Handler
	store    *connectiontest.Memory
	secrets  *secrets
	endpoint *endpoint
	log      *strings.Builder
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	keys, err := seal.ParseKeys([]byte(`{"current":"k1","k1":"c4nary-seal-key-0123456789abcdef"}`))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{store: new(connectiontest.Memory), secrets: &secrets{keys: keys}, endpoint: new(endpoint), log: new(strings.Builder)}
	random := func() float64 { return 0.5 }
	log := canary.Log(t, slog.NewTextHandler(f.log, nil))
	ids := make(chan string)
	go func() {
		for i := 0; ; i++ {
			select {
			case ids <- fmt.Sprint("lease-", i):
			case <-t.Context().Done():
				return
			}
		}
	}()
	renewer := &refresh.Renewer{
		Leases: f.store, Breakers: f.store, Secrets: f.secrets, Tokens: f.endpoint, Shards: 4,
		NewID: func() string { return <-ids }, Random: random, Now: time.Now, Log: log,
	}
	f.Handler = &Handler{
		Reader: f.store, Writer: f.store, Requests: f.store, Breakers: f.store, Secrets: f.secrets, Tokens: f.endpoint,
		Renew: func(ctx context.Context, k connection.Key, storedFence int64) error {
			_, err := renewer.Renew(ctx, k, storedFence)
			return err
		},
		Shards: 4, Random: random, Now: time.Now, Log: log,
	}
	return f
}

// connect stores a connection with tokens access-0 and c4nary-refresh-0.
func (f *fixture) connect(t *testing.T, id, provider string, change ...func(*connection.Connection)) connection.Key {
	t.Helper()
	client, _ := f.secrets.Client(t.Context(), provider)
	k := connection.Key{ConnectionID: id, Provider: provider}
	c, err := connection.New(k, client, oauth.TokenSet{
		AccessToken: "c4nary-access-0", TokenType: "Bearer", RefreshToken: "c4nary-refresh-0", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(2 * time.Hour),
		Scopes: []string{"user_read"}, Account: oauth.Account{ID: "7", Label: "shop"},
	}, f.secrets.keys, 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(&c)
	}
	if _, err := f.store.Connect(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return k
}

// do handles the input and returns the output, and as JSON.
func (f *fixture) do(t *testing.T, format string, args ...any) (Response, string) {
	t.Helper()
	resp, err := f.Handle(t.Context(), json.RawMessage(fmt.Sprintf(format, args...)))
	if err != nil {
		t.Fatalf("Handle: %v", err)
	}
	b, err := json.Marshal(resp)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"c4nary-access-", "c4nary-refresh-", "c4nary-secret"} {
		if strings.Contains(string(b), secret) || strings.Contains(f.log.String(), secret) {
			t.Errorf("answer or log holds %s…: %s", secret, b)
		}
	}
	return resp, string(b)
}

func bubble(t *testing.T, test func(*testing.T, *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newFixture(t)) })
}

func TestWrongInputIsNamed(t *testing.T) {
	tests := []struct{ name, input, typ, detail string }{
		{"not JSON", `"get"`, "invalid_request", `"action"`},
		{"no action", `{}`, "invalid_request", "action must be"},
		{"unknown action", `{"action":"drop"}`, "invalid_request", "action must be"},
		{"no connection ID", `{"action":"get","provider":"whisk"}`, "invalid_request", "connection_id must be"},
		{"bad connection ID", `{"action":"get","connection_id":"a b","provider":"whisk"}`, "invalid_request", "connection_id must be"},
		{"unknown provider", `{"action":"get","connection_id":"a","provider":"nobody"}`, "unknown_provider", "evergrant providers"},
		{"no such connection", `{"action":"get","connection_id":"a","provider":"whisk"}`, "not_found", "no such connection"},
		{"refresh of none", `{"action":"refresh","connection_id":"a","provider":"whisk"}`, "not_found", "no such connection"},
		{"disconnect of none", `{"action":"disconnect","connection_id":"a","provider":"whisk"}`, "not_found", "no such connection"},
		{"unknown status", `{"action":"list","status":"dead"}`, "invalid_request", "status must be"},
		{"bad ID in list", `{"action":"list","connection_id":"a b"}`, "invalid_request", "connection_id must be"},
		{"both in list", `{"action":"list","connection_id":"a","status":"active"}`, "invalid_request", "either connection_id or status"},
		{"min_ttl as text", `{"action":"refresh","connection_id":"a","provider":"whisk","min_ttl":"60"}`, "invalid_request", "min_ttl has the wrong type"},
		{"import of a token with a line break", `{"action":"import","connection_id":"a","provider":"whisk","access_token":"a\n"}`, "invalid_request", "white space"},
		{"bad limit", `{"action":"list","limit":5000}`, "invalid_request", "limit must be"},
		{"bad cursor", `{"action":"list","cursor":"?"}`, "invalid_request", "cursor"},
		{"issue where none is", `{"action":"issue","connection_id":"a","provider":"whisk"}`, "not_offered", "connect in a browser"},
		{"import of nothing", `{"action":"import","connection_id":"a","provider":"whisk"}`, "invalid_request", "either refresh_token or access_token"},
		{"import of both", `{"action":"import","connection_id":"a","provider":"whisk","refresh_token":"r","access_token":"a"}`, "invalid_request", "either"},
		{"import of a refresh token where none is", `{"action":"import","connection_id":"a","provider":"whcc","refresh_token":"r"}`, "not_offered", "no refresh tokens"},
		{"import of another environment's token", `{"action":"import","connection_id":"a","provider":"whatnot","access_token":"wn_access_tk_test_1"}`, "invalid_request", "staging"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				resp, _ := f.do(t, "%s", tt.input)
				if resp.Error == nil || resp.Error.Type != tt.typ || !strings.Contains(resp.Error.Detail, tt.detail) {
					t.Errorf("error = %v, want %s: …%s…", resp.Error, tt.typ, tt.detail)
				}
			})
		})
	}
}

func TestGetAnswersUnderTheNamesOfTheTable(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.connect(t, "acct_42", "whatnot")
		_, got := f.do(t, "%s", eventFile(t, "connections-get.json"))
		for _, want := range []string{
			`"connection_id":"acct_42"`, `"provider":"whatnot"`, `"connection_status":"active"`, `"scopes":["user_read"]`,
			fmt.Sprintf(`"expires_at":%d`, time.Now().Add(2*time.Hour).Unix()), `"account_id":"7"`, `"account_label":"shop"`, `"environment":"production"`,
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%s lacks %s", got, want)
			}
		}
	})
}

func eventFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "events", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestListByConnectionAndByStatus(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.connect(t, "acct_42", "whatnot")
		f.connect(t, "acct_42", "whisk")
		gone := f.connect(t, "acct_43", "whisk")
		if _, err := f.store.Disconnect(t.Context(), gone, time.Now()); err != nil {
			t.Fatal(err)
		}
		tests := []struct {
			input string
			want  int
		}{
			{string(eventFile(t, "connections-list.json")), 2},
			{string(eventFile(t, "connections-list-status.json")), 2},
			{`{"action":"list"}`, 3},
			{`{"action":"list","status":"disconnected"}`, 1},
			{`{"action":"list","connection_id":"nobody"}`, 0},
		}
		for _, tt := range tests {
			if resp, raw := f.do(t, "%s", tt.input); resp.Error != nil || len(resp.Connections) != tt.want || !strings.Contains(raw, `"connections":[`) {
				t.Errorf("%s: %s, want %d connections", tt.input, raw, tt.want)
			}
		}
		first, _ := f.do(t, `{"action":"list","limit":2}`)
		rest, _ := f.do(t, `{"action":"list","limit":2,"cursor":%q}`, first.Cursor)
		if len(first.Connections) != 2 || first.Cursor == "" || len(rest.Connections) != 1 || rest.Cursor != "" {
			t.Errorf("pages of %d and %d, cursors %q and %q", len(first.Connections), len(rest.Connections), first.Cursor, rest.Cursor)
		}
	})
}

func sha(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func TestRefreshOnlyWhatStillNeedsIt(t *testing.T) {
	tests := []struct {
		name, args string
		sent       int
	}{
		{"asked for", ``, 1},
		{"the stored token did not work", `,"token_sha256":"` + sha("c4nary-access-0") + `"`, 1},
		{"an older token did not work", `,"token_sha256":"` + sha("access-old") + `"`, 0},
		{"enough life left", `,"min_ttl":3600`, 0},
		{"too little life left", `,"min_ttl":7300`, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				f.connect(t, "acct_42", "whiplash")
				resp, raw := f.do(t, `{"action":"refresh","connection_id":"acct_42","provider":"whiplash"%s}`, tt.args)
				if resp.Error != nil || resp.Connection == nil || len(f.endpoint.sent) != tt.sent {
					t.Errorf("%s; %d token requests, want %d", raw, len(f.endpoint.sent), tt.sent)
				}
			})
		})
	}
}

// A storm of callers who complain about one token makes one provider call, and
// each gets the new state.
func TestAStormOfRefreshesMakesOneRequest(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		k := f.connect(t, "acct_42", "whiplash")
		f.endpoint.delay = 2 * time.Second
		input := json.RawMessage(`{"action":"refresh","connection_id":"acct_42","provider":"whiplash","token_sha256":"` + sha("c4nary-access-0") + `"}`)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				<-time.After(time.Duration(i) * 100 * time.Millisecond)
				resp, err := f.Handle(t.Context(), input)
				if err != nil || resp.Connection == nil || resp.Connection.RefreshedAt == 0 {
					t.Errorf("Handle = %+v, %v", resp.Error, err)
				}
			})
		}
		wg.Wait()
		c, err := f.store.Get(t.Context(), k)
		if err != nil || len(f.endpoint.sent) != 1 || c.AccessToken != "c4nary-access-1" {
			t.Errorf("%d token requests, %v", len(f.endpoint.sent), err)
		}
	})
}

func TestRefreshSaysWhyItCannot(t *testing.T) {
	static := func(c *connection.Connection) { c.SealedRefreshToken, c.Due = nil, connection.Due{} }
	tests := []struct {
		name string
		err  error // of the provider
		with func(*connection.Connection)
		typ  string
	}{
		{"nothing to refresh with", nil, static, "not_refreshable"},
		{"provider down", &oauth.Error{Status: 503, Reason: "the provider refused"}, func(*connection.Connection) {}, "provider_unavailable"},
		{"provider refuses the grant", &oauth.Error{Status: 400, Code: "invalid_grant"}, func(*connection.Connection) {}, "refused"},
		{"wrong client secret", &oauth.Error{Status: 401, Code: "invalid_client"}, func(*connection.Connection) {}, "not_configured"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				f.connect(t, "acct_42", "whiplash", tt.with)
				f.endpoint.err = tt.err
				if resp, raw := f.do(t, "%s", eventFile(t, "connections-refresh.json")); resp.Error == nil || resp.Error.Type != tt.typ {
					t.Errorf("%s, want %s", raw, tt.typ)
				}
			})
		})
	}
}

// A provider that fails is not asked again by each reader that comes along, but
// by the person who asks.
func TestReadersLeaveAFailingProviderAlone(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.connect(t, "acct_42", "whiplash")
		f.endpoint.err = &oauth.Error{Status: 429, Reason: "the provider refused", RetryAfter: 10 * time.Minute}
		for _, args := range []string{`,"token_sha256":"` + sha("c4nary-access-0") + `"`, `,"min_ttl":86400`, `,"token_sha256":"` + sha("c4nary-access-0") + `"`} {
			if resp, raw := f.do(t, `{"action":"refresh","connection_id":"acct_42","provider":"whiplash"%s}`, args); resp.Error == nil || resp.Error.Type != "provider_unavailable" {
				t.Errorf("%s", raw)
			}
		}
		if len(f.endpoint.sent) != 1 {
			t.Errorf("%d token requests, want 1", len(f.endpoint.sent))
		}
		f.do(t, `{"action":"refresh","connection_id":"acct_42","provider":"whiplash"}`)
		if len(f.endpoint.sent) != 2 {
			t.Errorf("%d token requests after a person's refresh, want 2", len(f.endpoint.sent))
		}
		if resp, raw := f.do(t, `{"action":"refresh","connection_id":"acct_42","provider":"whiplash","min_ttl":%d}`, maxTTL+1); resp.Error == nil || !strings.Contains(raw, "min_ttl must be at most") {
			t.Errorf("%s", raw)
		}
	})
}

// A provider whose breaker is open is left alone by readers of connections that
// have not failed, too. To know nothing of it is no reason to wait.
func TestReadersLeaveAProviderAloneWhoseBreakerIsOpen(t *testing.T) {
	tests := []struct {
		name, args string
		open       time.Duration
		unreadable bool
		sent       int
	}{
		{"a reader", `,"token_sha256":"` + sha("c4nary-access-0") + `"`, time.Minute, false, 0},
		{"a reader who needs time", `,"min_ttl":86400`, time.Minute, false, 0},
		{"a reader, later", `,"min_ttl":86400`, 0, false, 1},
		{"a reader, and the breaker cannot be read", `,"min_ttl":86400`, -time.Minute, true, 0},
		{"a person, and the breaker cannot be read", ``, time.Minute, true, 1},
		{"a person", ``, time.Minute, false, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fixture) {
				f.connect(t, "acct_42", "whiplash")
				if err := f.store.SetBreaker(t.Context(), "whiplash", connection.Breaker{OpenUntil: time.Now().Add(tt.open), Opened: 1}); err != nil {
					t.Fatal(err)
				}
				if tt.unreadable {
					f.Breakers = unreadable{}
				}
				resp, raw := f.do(t, `{"action":"refresh","connection_id":"acct_42","provider":"whiplash"%s}`, tt.args)
				if len(f.endpoint.sent) != tt.sent || (resp.Error == nil) != (tt.sent == 1) {
					t.Errorf("%d token requests, want %d: %s", len(f.endpoint.sent), tt.sent, raw)
				}
			})
		})
	}
}

// unreadable is a store out of reach.
type unreadable struct{}

func (unreadable) GetBreaker(context.Context, string) (connection.Breaker, error) {
	return connection.Breaker{}, errors.New("out of reach")
}

func (unreadable) Hold(context.Context, string, time.Time) error { return errors.New("out of reach") }

// The refresh logs its own failure: once is enough.
func TestAFailedRefreshIsLoggedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.connect(t, "acct_42", "whiplash")
		f.endpoint.err = &oauth.Error{Status: 503, Reason: "the provider refused"}
		f.do(t, `{"action":"refresh","connection_id":"acct_42","provider":"whiplash"}`)
		if n := strings.Count(f.log.String(), "\n"); n != 1 || !strings.Contains(f.log.String(), "msg=refresh ") {
			t.Errorf("%d lines: %s", n, f.log)
		}
		f.do(t, `{"action":"refresh","connection_id":"nobody","provider":"whiplash"}`)
		if !strings.Contains(f.log.String(), `msg="not done"`) {
			t.Errorf("a failure of its own is not logged: %s", f.log)
		}
	})
}

// Nobody waits for an answer that cannot come any more, and nobody whose token
// still works waits for long.
func TestACallerDoesNotWaitForAnAnswerThatIsLost(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.connect(t, "acct_42", "whiplash")
		f.endpoint.err = &oauth.Error{Reason: "no answer"}
		const asked = `{"action":"refresh","connection_id":"acct_42","provider":"whiplash"}`
		f.do(t, asked)
		start := time.Now()
		if resp, raw := f.do(t, asked); resp.Error == nil || resp.Error.Type != "busy" || time.Since(start) > briefly+time.Second {
			t.Errorf("%s after %v", raw, time.Since(start))
		}
		start = time.Now()
		if resp, raw := f.do(t, "%s", eventFile(t, "connections-refresh.json")); resp.Error == nil || resp.Error.Type != "provider_unavailable" || time.Since(start) > 0 {
			t.Errorf("a reader is told %s after %v", raw, time.Since(start))
		}
		<-time.After(answersUntil)
		start = time.Now()
		if resp, raw := f.do(t, asked); resp.Error == nil || resp.Error.Type != "provider_unavailable" || time.Since(start) > time.Second {
			t.Errorf("%s after %v", raw, time.Since(start))
		}
	})
}

func TestRefreshOfWhatHasEnded(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		k := f.connect(t, "acct_42", "whiplash")
		f.endpoint.err = &oauth.Error{Status: 400, Code: "invalid_grant"}
		f.do(t, "%s", eventFile(t, "connections-refresh.json"))
		<-time.After(5 * time.Minute)
		f.do(t, "%s", eventFile(t, "connections-refresh.json"))
		if resp, raw := f.do(t, "%s", eventFile(t, "connections-refresh.json")); resp.Error == nil || resp.Error.Type != "reauthorization_required" {
			t.Errorf("after two strikes: %s", raw)
		}
		if _, err := f.store.Disconnect(t.Context(), k, time.Now()); err != nil {
			t.Fatal(err)
		}
		if resp, raw := f.do(t, "%s", eventFile(t, "connections-refresh.json")); resp.Error == nil || resp.Error.Type != "disconnected" {
			t.Errorf("after a disconnect: %s", raw)
		}
	})
}

func TestDisconnectRevokesAndRemoves(t *testing.T) {
	for _, fault := range []error{nil, &oauth.Error{Status: 503, Reason: "the provider refused"}} {
		bubble(t, func(t *testing.T, f *fixture) {
			k := f.connect(t, "acct_42", "whiplash")
			f.endpoint.err = fault
			resp, raw := f.do(t, "%s", eventFile(t, "connections-disconnect.json"))
			if resp.Connection == nil || resp.Connection.Status != connection.Disconnected {
				t.Errorf("provider's error %v: %s", fault, raw)
			}
			c, err := f.store.Get(t.Context(), k)
			if err != nil || c.AccessToken != "" || c.SealedRefreshToken != nil || !c.Due.At.IsZero() {
				t.Errorf("tokens or schedule left: %+v, %v", c, err)
			}
			if len(f.endpoint.revoked) != 1 || f.endpoint.revoked[0] != "c4nary-access-0 c4nary-refresh-0" {
				t.Errorf("revoked %v", f.endpoint.revoked)
			}
		})
	}
}

// A refresh in flight cannot bring a disconnected connection back, and what it
// brought is revoked.
func TestDisconnectDuringARefresh(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		k := f.connect(t, "acct_42", "whiplash")
		f.endpoint.delay = 10 * time.Second
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = f.Handle(t.Context(), json.RawMessage(`{"action":"refresh","connection_id":"acct_42","provider":"whiplash"}`))
		})
		<-time.After(time.Second)
		if resp, err := f.Handle(t.Context(), eventFile(t, "connections-disconnect.json")); err != nil || resp.Error != nil {
			t.Errorf("disconnect: %+v, %v", resp.Error, err)
		}
		wg.Wait()
		c, err := f.store.Get(t.Context(), k)
		if err != nil || c.Status != connection.Disconnected || c.AccessToken != "" {
			t.Errorf("brought back: %+v, %v", c, err)
		}
		if got := strings.Join(f.endpoint.revoked, ","); got != "c4nary-access-0 c4nary-refresh-0,c4nary-access-1 c4nary-refresh-1" {
			t.Errorf("revoked %s", got)
		}
	})
}

// Tokens that a refresh stores between the revocation and the mark are revoked
// as well.
func TestDisconnectRevokesWhatCameInBetween(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		k := f.connect(t, "acct_42", "whiplash")
		f.store.OnWrite = func(op string, _ any) (bool, error) {
			if op == "Disconnect" {
				f.store.OnWrite = nil
				f.connect(t, k.ConnectionID, k.Provider, func(c *connection.Connection) { c.AccessToken = "c4nary-access-9" })
			}
			return true, nil
		}
		f.do(t, "%s", eventFile(t, "connections-disconnect.json"))
		if got := strings.Join(f.endpoint.revoked, ","); got != "c4nary-access-0 c4nary-refresh-0,c4nary-access-9 c4nary-refresh-0" {
			t.Errorf("revoked %s", got)
		}
	})
}

func TestIssueMakesAConnectionThatRenewsItself(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		resp, raw := f.do(t, "%s", eventFile(t, "connections-issue.json"))
		if resp.Connection == nil || resp.Connection.DueAt == 0 || resp.Connection.Status != connection.Active {
			t.Fatalf("issue: %s", raw)
		}
		if resp, raw := f.do(t, `{"action":"refresh","connection_id":"acct_42","provider":"whcc"}`); resp.Error != nil || f.endpoint.issued != 2 {
			t.Errorf("refresh: %s, issued %d times", raw, f.endpoint.issued)
		}
	})
}

func TestImport(t *testing.T) {
	t.Run("a refresh token is proved by one refresh", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fixture) {
			resp, raw := f.do(t, "%s", eventFile(t, "connections-import.json"))
			if resp.Connection == nil || resp.Connection.DueAt == 0 || len(f.endpoint.sent) != 1 {
				t.Fatalf("%s, %d token requests", raw, len(f.endpoint.sent))
			}
			c, err := f.store.Get(t.Context(), connection.Key{ConnectionID: "acct_42", Provider: "whiplash"})
			if err != nil || c.AccessToken != "c4nary-access-1" {
				t.Errorf("stored %+v, %v", c, err)
			}
		})
	})
	t.Run("a refused one changes nothing", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fixture) {
			k := f.connect(t, "acct_42", "whiplash")
			f.endpoint.err = &oauth.Error{Status: 400, Code: "invalid_grant"}
			if resp, raw := f.do(t, "%s", eventFile(t, "connections-import.json")); resp.Error == nil || resp.Error.Type != "refused" {
				t.Errorf("%s", raw)
			}
			if c, err := f.store.Get(t.Context(), k); err != nil || c.AccessToken != "c4nary-access-0" {
				t.Errorf("stored %+v, %v", c, err)
			}
		})
	})
	t.Run("a static token is never due", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fixture) {
			resp, raw := f.do(t, "%s", eventFile(t, "connections-import-static.json"))
			if resp.Connection == nil || resp.Connection.DueAt != 0 || resp.Connection.ExpiresAt != 0 || len(f.endpoint.sent) != 0 {
				t.Errorf("%s, %d token requests", raw, len(f.endpoint.sent))
			}
		})
	})
}

// A caller that did not hear the answer asks again. The refresh token is spent by
// then, and to send it again could end the grant.
func TestAnImportThatIsRepeatedSendsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		k := connection.Key{ConnectionID: "acct_42", Provider: "whiplash"}
		for range 2 {
			if resp, raw := f.do(t, "%s", eventFile(t, "connections-import.json")); resp.Connection == nil || len(f.endpoint.sent) != 1 {
				t.Fatalf("%s, %d token requests", raw, len(f.endpoint.sent))
			}
		}
		if resp, raw := f.do(t, `{"action":"import","connection_id":"acct_42","provider":"whiplash","refresh_token":"another"}`); resp.Connection == nil || len(f.endpoint.sent) != 2 {
			t.Errorf("another refresh token: %s, %d token requests", raw, len(f.endpoint.sent))
		}
		if _, err := f.store.Disconnect(t.Context(), k, time.Now()); err != nil {
			t.Fatal(err)
		}
		if resp, raw := f.do(t, `{"action":"import","connection_id":"acct_42","provider":"whiplash","refresh_token":"another"}`); resp.Connection == nil || len(f.endpoint.sent) != 3 {
			t.Errorf("after a disconnect: %s, %d token requests", raw, len(f.endpoint.sent))
		}
	})
}

// A caller who hangs up loses no grant.
func TestImportSurvivesItsCaller(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.endpoint.delay = 2 * time.Second
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if resp, err := f.Handle(ctx, eventFile(t, "connections-import.json")); err != nil || resp.Error != nil {
			t.Errorf("Handle = %v, %v", resp.Error, err)
		}
		if c, err := f.store.Get(context.Background(), connection.Key{ConnectionID: "acct_42", Provider: "whiplash"}); err != nil || c.AccessToken != "c4nary-access-1" {
			t.Errorf("stored %+v, %v", c, err)
		}
	})
}

// A grant that the provider has just answered with survives a store that
// stumbles.
func TestAnImportedGrantReachesTheStore(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		var tries int
		f.store.OnWrite = func(op string, _ any) (bool, error) {
			tries++
			return tries > 3, map[bool]error{true: errors.New("throttled")}[tries <= 3]
		}
		if resp, raw := f.do(t, "%s", eventFile(t, "connections-import.json")); resp.Connection == nil || tries != 4 {
			t.Errorf("%s after %d writes", raw, tries)
		}
	})
}

func TestSomethingOutOfReachIsSaid(t *testing.T) {
	tests := []struct {
		err error
		typ string
	}{
		{errors.New("connection reset"), "unavailable"},
		{fmt.Errorf("%w: secret p/whcc: client_id is missing", oauth.ErrNotConfigured), "not_configured"},
	}
	for _, tt := range tests {
		bubble(t, func(t *testing.T, f *fixture) {
			f.secrets.err = tt.err
			if resp, raw := f.do(t, "%s", eventFile(t, "connections-issue.json")); resp.Error == nil || resp.Error.Type != tt.typ || strings.Contains(raw, "client_id") {
				t.Errorf("%s, want %s", raw, tt.typ)
			}
		})
	}
}

// A new grant that the store does not take is kept, and the caller told not to
// ask for another.
func TestANewGrantThatTheStoreDoesNotTakeIsKept(t *testing.T) {
	for _, input := range []string{
		`{"action":"issue","connection_id":"acct_42","provider":"whcc"}`,
		`{"action":"import","connection_id":"acct_42","provider":"whiplash","refresh_token":"old"}`,
		`{"action":"import","connection_id":"acct_42","provider":"whisk","access_token":"static"}`,
	} {
		for name, want := range map[string]string{"spill": "kept", "": "not_stored"} {
			bubble(t, func(t *testing.T, f *fixture) {
				kept := new(connectiontest.Spill)
				if name != "" {
					f.Spill = kept
				}
				f.store.OnWrite = func(op string, _ any) (bool, error) {
					stores := op == "Connect" || op == "Restore"
					return !stores, map[bool]error{true: errors.New("away")}[stores]
				}
				if resp, raw := f.do(t, "%s", input); resp.Error == nil || resp.Error.Type != want {
					t.Errorf("%s: %s, want %s", input, raw, want)
				}
				if logged := strings.Contains(f.log.String(), "rescue="); kept.Len() != len(name)/5 || logged != (name == "") {
					t.Errorf("%s: %d spills, log %s", input, kept.Len(), f.log)
				}
			})
		}
	}
}
