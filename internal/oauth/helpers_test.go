package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/pkg/providers"
)

// noon is the time at which every answer of the tests arrives.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// The credentials of the tests. They look different in each encoding.
const (
	clientID     = "client-1"
	clientSecret = "cl13nt+secret="
	code         = "c0d3+canary=="
	refreshToken = "r3fresh+canary="
	accessToken  = "acc3ss-canary"
	verifier     = "v3rifier-canary-of-43-characters-0123456789"
	redirectURI  = "https://connect.example/callback/p"
)

// A request is what a server saw.
type request struct {
	Method, Path, Query, Body string
	Header                    http.Header
}

// A server is a provider on loopback that keeps what reaches it.
type server struct {
	*httptest.Server
	conns    atomic.Int32
	mu       sync.Mutex
	requests []request
}

// serve starts a provider that answers by answer.
func serve(t *testing.T, answer http.HandlerFunc) *server {
	t.Helper()
	s := newServer(t, answer)
	s.Start()
	return s
}

func newServer(t *testing.T, answer http.HandlerFunc) *server {
	t.Helper()
	s := new(server)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.requests = append(s.requests, request{r.Method, r.URL.Path, r.URL.RawQuery, string(body), r.Header.Clone()})
		s.mu.Unlock()
		answer(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.conns.Add(1)
		}
	}
	t.Cleanup(s.Close)
	return s
}

// seen returns the requests that arrived.
func (s *server) seen() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]request(nil), s.requests...)
}

// wantOne fails unless exactly one request arrived, on one connection.
func (s *server) wantOne(t *testing.T) request {
	t.Helper()
	if n, c := len(s.seen()), s.conns.Load(); n != 1 || c != 1 {
		t.Fatalf("%d requests on %d connections, want one on one", n, c)
	}
	return s.seen()[0]
}

// cut answers by writing raw bytes and closing the connection.
func cut(raw string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, raw)
		_ = conn.Close()
	}
}

// plain is a provider without any deviation.
var plain = providers.Provider{ID: "plain", Name: "Plain", Environments: []providers.Environment{{Name: "production"}}}

// definition returns the provider called id.
func definition(t *testing.T, id string) providers.Provider {
	t.Helper()
	if id == "" || id == plain.ID {
		return plain
	}
	p, ok := providers.Find(id)
	if !ok {
		t.Fatalf("there is no provider %q", id)
	}
	return p
}

// newClient returns a client of p whose endpoints are on the server at base.
// members are added to its document.
func newClient(t *testing.T, p providers.Provider, base string, members map[string]any) Client {
	t.Helper()
	endpoints := map[string]string{"token_url": base + "/token?keep=1", "revocation_url": base + "/revoke", "userinfo_url": base + "/me"}
	if p.Prepare != nil {
		endpoints["prepare_url"] = base + "/prepare?keep=1"
	} else {
		endpoints["authorization_url"] = base + "/authorize"
	}
	document := map[string]any{"client_id": clientID, "client_secret": clientSecret, "endpoints": endpoints}
	maps.Copy(document, members)
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseClient(p, text, true)
	if err != nil {
		t.Fatalf("client of %s: %v", p.ID, err)
	}
	return c
}

func newTokenClient() *TokenClient {
	return &TokenClient{HTTP: NewHTTPClient(true), Now: func() time.Time { return noon }}
}

// An operation is one of the calls that a provider can be asked to serve.
type operation struct {
	name string
	call func(context.Context, *TokenClient, Client) (TokenSet, error)
}

func exchange(ctx context.Context, tc *TokenClient, c Client) (TokenSet, error) {
	return tc.Exchange(ctx, c, AuthorizationRequest{State: "state", Verifier: verifier, RedirectURI: redirectURI}, code)
}

func refresh(ctx context.Context, tc *TokenClient, c Client) (TokenSet, error) {
	return tc.Refresh(ctx, c, refreshToken)
}

// tokenRequests are the two token requests that a grant takes.
var tokenRequests = []operation{{"exchange", exchange}, {"refresh", refresh}}

// operations are all calls that any provider serves.
var operations = append([]operation{
	{"issue", func(ctx context.Context, tc *TokenClient, c Client) (TokenSet, error) { return tc.Issue(ctx, c) }},
	{"revoke", func(ctx context.Context, tc *TokenClient, c Client) (TokenSet, error) {
		return TokenSet{}, tc.Revoke(ctx, c, accessToken, refreshToken)
	}},
	{"account", func(ctx context.Context, tc *TokenClient, c Client) (TokenSet, error) {
		_, err := tc.Account(ctx, c, accessToken)
		return TokenSet{}, err
	}},
	{"prepare", func(ctx context.Context, tc *TokenClient, c Client) (TokenSet, error) {
		_, err := tc.Prepare(ctx, c, redirectURI+"?state=s")
		return TokenSet{}, err
	}},
}, tokenRequests...)

// everything is a provider that offers every operation.
var everything = func() providers.Provider {
	p := plain
	p.Issue = &providers.Issue{Params: map[string]string{"key": "{client_id}", "secret": "{client_secret}"}}
	p.Prepare = &providers.Prepare{Params: map[string]string{"key": "{client_id}", "secret": "{client_secret}", "callback": "{callback_url}"}, Redirect: "url"}
	return p
}()

// wire returns the *Error that err must be, after mustBeDiscreet.
func wire(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error = %v, want an *Error", err)
	}
	mustBeDiscreet(t, err)
	return e
}

// mustBeDiscreet fails unless err is an error none of whose forms shows a
// secret or the URL that was called.
func mustBeDiscreet(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for ; err != nil; err = errors.Unwrap(err) {
		for how, text := range prints(t, err) {
			mustNotShow(t, how, text, clientSecret, code, refreshToken, accessToken, verifier, canary)
			for _, part := range []string{"://", "/token", "/prepare", "keep=1", "secret="} {
				if strings.Contains(text, part) {
					t.Fatalf("%s shows %s of the URL: %s", how, part, text)
				}
			}
		}
	}
}
