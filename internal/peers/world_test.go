package peers

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/refresh"
	"github.com/evergrant/evergrant/internal/seal"
)

const sealKey = "0123456789abcdef0123456789abcdef"

// A world is one person at one peer: our side with its store and its clock, the
// wire, and the server, which others use at the same time.
type world struct {
	t       testing.TB
	peer    peer
	server  server
	wire    *wire
	browser *http.Client // the person's
	account string       // the person
	key     connection.Key
	store   *connectiontest.Memory
	secrets *secrets
	tokens  *oauth.TokenClient
	renewer *refresh.Renewer

	mu  sync.Mutex
	now time.Time
}

// secrets is a secret store with one client.
type secrets struct {
	client oauth.Client
	others []oauth.Client
	keys   seal.Keys
}

func (s *secrets) Client(context.Context, string) (oauth.Client, error) { return s.client, nil }

func (s *secrets) Others(context.Context, oauth.Client) ([]oauth.Client, error) { return s.others, nil }

func (s *secrets) SealKeys(context.Context) (seal.Keys, error) { return s.keys, nil }

// open returns a new person at a peer.
func open(t testing.TB, p peer) *world {
	t.Helper()
	start()
	s, err := p.open()
	s = need(t, s, err)
	keys, err := seal.ParseKeys([]byte(`{"current":"k1","k1":"` + sealKey + `"}`))
	if err != nil {
		t.Fatalf("ParseKeys: %v", err)
	}
	w := &world{t: t, peer: p, server: s, wire: newWire(t, s.url), browser: newBrowser(t), account: rand.Text(), store: new(connectiontest.Memory), now: time.Now()}
	w.key = connection.Key{ConnectionID: w.account, Provider: p.provider.ID}
	w.secrets = &secrets{client: w.client(clientSecret), keys: keys}
	w.tokens = &oauth.TokenClient{HTTP: oauth.NewHTTPClient(true), Now: w.clock}
	w.renewer = &refresh.Renewer{
		Leases: w.store, Breakers: w.store, Secrets: w.secrets, Tokens: w.tokens, Shards: 4, NewID: rand.Text,
		Random: func() float64 { return 0.5 }, Now: w.clock, Log: canary.Log(t),
	}
	return w
}

// client returns the registration at the peer, with the given secret. All but
// the browser goes over the wire.
func (w *world) client(secret string) oauth.Client {
	w.t.Helper()
	p := w.peer.provider
	if w.peer.issuer {
		p.Issuer = w.server.url
	}
	e := p.Endpoints
	e.AuthorizationURL = w.server.url + e.AuthorizationURL
	for _, u := range []*string{&e.TokenURL, &e.RevocationURL, &e.UserInfoURL} {
		*u = w.wire.URL + *u
	}
	document, err := json.Marshal(map[string]any{"client_id": "evergrant", "client_secret": secret, "endpoints": e})
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := oauth.ParseClient(p, document, true)
	if err != nil {
		w.t.Fatalf("ParseClient: %v", err)
	}
	return c
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// pass lets time pass on our side.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func newBrowser(t testing.TB) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// authorize walks the person's browser from an authorization URL, through the
// login, back to the redirect URI.
func (w *world) authorize(authorizationURL string) *url.URL {
	w.t.Helper()
	method, at := http.MethodGet, authorizationURL
	for range 8 {
		req, err := http.NewRequestWithContext(w.t.Context(), method, at, strings.NewReader(url.Values{"account": {w.account}}.Encode()))
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := w.browser.Do(req)
		if err != nil {
			w.t.Fatal(err)
		}
		_ = resp.Body.Close()
		to, err := resp.Location()
		switch {
		case err == nil && strings.HasPrefix(to.String(), redirectURI):
			return to
		case err == nil:
			method, at = http.MethodGet, to.String()
		case resp.StatusCode == http.StatusOK && method == http.MethodGet:
			method = http.MethodPost // the page asks who the person is
		default:
			w.t.Fatalf("%s %s: %s", method, req.URL.Path, resp.Status)
		}
	}
	w.t.Fatal("the browser does not come back")
	return nil
}

// request returns a new authorization request.
func (w *world) request(scopes ...string) oauth.AuthorizationRequest {
	if scopes == nil {
		scopes = w.secrets.client.Scopes
	}
	return oauth.AuthorizationRequest{State: oauth.NewState(), Verifier: oauth.Secret(oauth.NewState()), RedirectURI: redirectURI, Scopes: scopes}
}

// code gets an authorization code for r.
func (w *world) code(r oauth.AuthorizationRequest) oauth.Secret {
	w.t.Helper()
	to, err := oauth.AuthorizationURL(w.secrets.client, r)
	if err != nil {
		w.t.Fatalf("AuthorizationURL: %v", err)
	}
	back := w.authorize(to)
	if back.Query().Get("code") == "" {
		w.t.Fatalf("the browser comes back without a code, error %q", back.Query().Get("error"))
	}
	return oauth.Secret(back.Query().Get("code"))
}

// grant has the person authorize, and exchanges the code.
func (w *world) grant(scopes ...string) oauth.TokenSet {
	w.t.Helper()
	r := w.request(scopes...)
	tokens, err := w.tokens.Exchange(w.t.Context(), w.secrets.client, r, w.code(r))
	if err != nil {
		w.t.Fatalf("Exchange: %v", err)
	}
	return tokens
}

// connect has the person authorize, and stores the grant.
func (w *world) connect() {
	w.t.Helper()
	c, err := connection.New(w.key, w.secrets.client, w.grant(), w.secrets.keys, w.renewer.Shards)
	if err == nil {
		_, err = w.store.Connect(w.t.Context(), c)
	}
	if err != nil {
		w.t.Fatalf("connect: %v", err)
	}
}

// read returns the connection as it is stored.
func (w *world) read() connection.Connection {
	w.t.Helper()
	c, err := w.store.Get(w.t.Context(), w.key)
	if err != nil {
		w.t.Fatalf("Get: %v", err)
	}
	return c
}

// holds returns the refresh token that is stored.
func (w *world) holds() string {
	w.t.Helper()
	s, err := w.read().RefreshToken(w.secrets.keys)
	if err != nil {
		w.t.Fatalf("RefreshToken: %v", err)
	}
	return s.Reveal()
}

// due lets time pass until the connection is due.
func (w *world) due() {
	w.t.Helper()
	at := w.read().Due.At
	if at.IsZero() {
		w.t.Fatal("the connection is never due")
	}
	w.pass(max(at.Sub(w.clock()), 0))
}

// renew runs the refresh and wants the given result.
func (w *world) renew(want refresh.Result) {
	w.t.Helper()
	got, err := w.renewer.Renew(w.t.Context(), w.key, 0)
	if got.Result != want {
		w.t.Fatalf("Renew = %v, %v; want %v", got, err, want)
	}
}

// use calls the server's API with an access token and reports whether it works.
func (w *world) use(accessToken oauth.Secret) bool {
	w.t.Helper()
	who, err := w.tokens.Account(w.t.Context(), w.secrets.client, accessToken)
	if err == nil && who.ID != w.account {
		w.t.Errorf("the access token is that of another person")
	}
	return err == nil
}

// A ledger is what a server knows of one person.
type ledger struct {
	Rotations     []rotation
	AccessTokens  []issued `json:"access_tokens"`
	RefreshTokens []issued `json:"refresh_tokens"`
}

// A rotation is a refresh that the server has granted.
type rotation struct{ From, To string }

// An issued token is live, spent or revoked.
type issued struct{ Token, State string }

// ledger asks the server.
func (w *world) ledger() ledger {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.server.url+"/ledger?account="+w.account, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var l ledger
	if err := json.NewDecoder(resp.Body).Decode(&l); err != nil {
		w.t.Fatalf("ledger: %v (%s)", err, resp.Status)
	}
	return l
}

// state returns what a token is worth.
func (l ledger) state(token string) string {
	for _, i := range slices.Concat(l.AccessTokens, l.RefreshTokens) {
		if i.Token == token {
			return i.State
		}
	}
	return "unknown"
}

// states returns what each refresh token is worth, the oldest first.
func (l ledger) states() string {
	var s []string
	for _, i := range l.RefreshTokens {
		s = append(s, i.State)
	}
	return strings.Join(s, " ")
}

// live returns how many tokens of both kinds are live.
func (l ledger) live() (n int) {
	for _, i := range slices.Concat(l.AccessTokens, l.RefreshTokens) {
		if i.State == "live" {
			n++
		}
	}
	return n
}

// code returns the code of a provider's refusal.
func code(err error) string {
	var e *oauth.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Code
}
