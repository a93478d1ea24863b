package peers

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/authorize"
	"github.com/evergrant/evergrant/internal/callback"
	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/refresh"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/simulator"
	"github.com/evergrant/evergrant/internal/web"
	"github.com/evergrant/evergrant/pkg/connect"
	"github.com/evergrant/evergrant/pkg/providers"
)

// A clientCase is one of the cases in which the OpenID Foundation's conformance
// suite plays a server against a client, and what this client must do. Ours is
// the whole of it: both handlers, as a browser meets them.
type clientCase struct {
	name   string
	back   func(q url.Values)           // what becomes of the authorization response
	answer func(members map[string]any) // what becomes of the token response
	spoil  func(answer) answer          // the same, of all of it
	status int                          // of the callback; 0: 303, with result
	result string                       // of the authorization request

	tokens, api int // requests to the token endpoint and, with the new token, to the API
	holds       func(*testing.T, *world, connection.Connection)
}

func set(name, v string) func(url.Values) { return func(q url.Values) { q.Set(name, v) } }

func drop(name string) func(url.Values) { return func(q url.Values) { q.Del(name) } }

func member(name string, v any) func(map[string]any) {
	return func(m map[string]any) {
		if m[name] = v; v == nil {
			delete(m, name)
		}
	}
}

// clientCases are all of them that an OAuth client without OpenID Connect meets:
// it asks for no ID token and looks at none that comes. It reads no metadata
// either, so that no issuer of a discovery document can differ from its own: a
// definition is what it knows of a server. TestANewGrantIsRefreshed has the
// cases of a refresh; those of PAR, DPoP and private_key_jwt are of things that
// this client does not do.
//
// After a bad authorization response there is no token request, after a bad
// token response no request of the API: tokens and api say so of every case.
var clientCases = []clientCase{
	{name: "happy path", result: "connected", tokens: 1, api: 1, holds: connectedWell},

	{name: "state missing", back: drop("state"), status: 400},
	{name: "state empty", back: set("state", ""), status: 400},
	{name: "state wrong", back: set("state", strings.Repeat("x", 43)), status: 403},
	{name: "state altered", back: func(q url.Values) { q.Set("state", "x"+q.Get("state")[1:]) }, status: 403},
	{name: "state twice", back: func(q url.Values) { q.Add("state", q.Get("state")) }, status: 400},

	{name: "iss wrong", back: set("iss", "https://evil.example"), status: 400},
	{name: "iss with a slash more", back: func(q url.Values) { q.Set("iss", q.Get("iss")+"/") }, status: 400},
	{name: "iss in capitals", back: func(q url.Values) { q.Set("iss", strings.ToUpper(q.Get("iss"))) }, status: 400},
	{name: "iss empty", back: set("iss", ""), status: 400},
	{name: "iss twice", back: func(q url.Values) { q.Add("iss", q.Get("iss")) }, status: 400},
	{name: "iss removed though promised", back: drop("iss"), status: 400},
	{name: "iss of an error wrong", back: func(q url.Values) {
		q.Del("code")
		q.Set("error", "access_denied")
		q.Set("iss", "https://evil.example")
	}, status: 400},

	{name: "error response", back: func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") }, result: "denied"},
	{name: "error response of another kind", back: func(q url.Values) { q.Del("code"); q.Set("error", "server_error") }, result: "failed"},
	{name: "error response with a code", back: set("error", "access_denied"), result: "failed"},
	{name: "code missing", back: drop("code"), status: 400},
	{name: "code twice", back: func(q url.Values) { q.Add("code", q.Get("code")) }, status: 400},
	{name: "code of somebody else", back: set("code", "made-up"), result: "failed", tokens: 1},
	{name: "access token in the authorization response", back: set("access_token", "at"), status: 400},
	{name: "parameters that nobody knows", back: func(q url.Values) {
		for _, name := range []string{"session_state", "foo", "realmId", "whData"} {
			q.Set(name, "1")
		}
	}, result: "connected", tokens: 1, api: 1, holds: connectedWell},

	{name: "token response without expires_in", answer: member("expires_in", nil), result: "connected", tokens: 1, api: 1, holds: func(t *testing.T, w *world, c connection.Connection) {
		if !c.ExpiresAt.IsZero() || c.Due.At.IsZero() || c.Due.At.After(w.clock().Add(24*time.Hour)) {
			t.Errorf("expires %v, due %v; want a refresh within a day", c.ExpiresAt, c.Due.At)
		}
	}},
	{name: "token_type in odd case", answer: member("token_type", "bEaReR"), result: "connected", tokens: 1, api: 1, holds: connectedWell},
	{name: "token_type missing", answer: member("token_type", nil), result: "connected", tokens: 1, api: 1, holds: connectedWell},
	{name: "token_type of another kind", answer: member("token_type", "DPoP"), result: "failed", tokens: 1},
	{name: "no scope in token response", answer: member("scope", nil), result: "connected", tokens: 1, api: 1, holds: connectedWell},
	{name: "narrower scope in token response", answer: member("scope", "openid"), result: "connected", tokens: 1, api: 1, holds: func(t *testing.T, _ *world, c connection.Connection) {
		if !slices.Equal(c.Scopes, []string{"openid"}) || len(c.ScopesMissing) == 0 {
			t.Errorf("scopes %q, missing %q", c.Scopes, c.ScopesMissing)
		}
	}},
	{name: "no refresh token in token response", answer: member("refresh_token", nil), result: "connected", tokens: 1, api: 1, holds: func(t *testing.T, _ *world, c connection.Connection) {
		if len(c.SealedRefreshToken) > 0 || !c.Due.At.IsZero() {
			t.Errorf("%d bytes of a refresh token, due %v", len(c.SealedRefreshToken), c.Due.At)
		}
	}},
	{name: "an ID token that is none", answer: member("id_token", "e30.e30."), result: "connected", tokens: 1, api: 1, holds: connectedWell},
	{name: "no access token in token response", answer: member("access_token", nil), result: "failed", tokens: 1},
	{name: "error in a token response of 200", answer: member("error", "invalid_grant"), result: "failed", tokens: 1},
	{name: "token response that is a page", spoil: func(a answer) answer {
		return answer{http.StatusOK, http.Header{"Content-Type": {"text/html"}}, []byte("<html>Sign in</html>")}
	}, result: "failed", tokens: 1},
	{name: "token response that is an error", spoil: func(a answer) answer {
		return answer{http.StatusBadRequest, http.Header{"Content-Type": {"application/json"}}, []byte(`{"error":"invalid_grant"}`)}
	}, result: "failed", tokens: 1},
	{name: "token response that redirects", spoil: func(a answer) answer {
		return answer{http.StatusTemporaryRedirect, http.Header{"Location": {"/me"}}, nil}
	}, status: 500, tokens: 1},
}

// connectedWell wants the whole of a grant, as it was asked for.
func connectedWell(t *testing.T, w *world, c connection.Connection) {
	if c.TokenType != "Bearer" || !slices.Equal(c.Scopes, slices.Sorted(slices.Values(w.secrets.client.Scopes))) || len(c.SealedRefreshToken) == 0 || c.Account.ID == "" || !c.ExpiresAt.After(w.clock()) {
		t.Errorf("stored %+v", c)
	}
}

// ours are the servers that the client cases are played at: the strictest of
// others, and the simulator, which is ours.
func ours(t *testing.T) []peer {
	strict := oidcProvider
	strict.provider.ID = "whiplash" // a route that there is
	sim := peer{name: "simulator", issuer: true, strict: true, provider: providers.Provider{
		ID: "whiplash", Name: "Simulator", Environments: environments,
		Endpoints:   providers.Endpoints{AuthorizationURL: "/whiplash/oauth/authorize", TokenURL: "/whiplash/oauth/token", UserInfoURL: "/whiplash/api/v2/me"},
		KnownScopes: []string{"user_read", "user_manage"}, AccountID: "id",
	}}
	sim.open = func() (server, error) {
		s := httptest.NewServer(simulator.New(simulator.Config{
			Now: time.Now, Clients: map[string]simulator.Client{"whiplash": {ID: "evergrant", Secret: clientSecret}}, RedirectURIs: []string{redirectURI},
		}))
		t.Cleanup(s.Close)
		return server{url: s.URL}, nil
	}
	return []peer{strict, sim}
}

// ConnectKeys signs tickets with the keys that seal.
func (s *secrets) ConnectKeys(context.Context) (seal.Keys, error) { return s.keys, nil }

// A whole client is both handlers in front of a world.
type whole struct {
	*world
	authorize *authorize.Handler
	callback  *callback.Handler
}

func client(t *testing.T, p peer) whole {
	t.Helper()
	w := open(t, p)
	log, half := canary.Log(t), func() float64 { return 0.5 }
	return whole{
		world: w,
		authorize: &authorize.Handler{
			Secrets: w.secrets, Provider: w.tokens, PublicURL: publicURL, ReturnOrigins: []string{"https://app.example.com"}, Now: w.clock, Log: log,
		},
		callback: &callback.Handler{
			Secrets: w.secrets, Tokens: w.tokens, Requests: w.store, History: w.store, Connections: w.store, PublicURL: publicURL, Shards: 4, Random: half, Now: w.clock, Log: log,
			Find: func(string) (providers.Provider, bool) { return w.secrets.client.Provider, true },
		},
	}
}

// get sends a browser's GET to a handler.
func (w whole) get(handle func(context.Context, events.APIGatewayV2HTTPRequest) (web.Response, error), target *url.URL, cookies ...string) web.Response {
	w.t.Helper()
	ev := events.APIGatewayV2HTTPRequest{Version: "2.0", RawPath: target.Path, RawQueryString: target.RawQuery, Cookies: cookies}
	ev.RequestContext.HTTP.Method = http.MethodGet
	resp, err := handle(w.t.Context(), ev)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

// begin opens a connect link. It returns the authorization URL and the cookie.
func (w whole) begin() (to, cookie string) {
	w.t.Helper()
	link, err := connect.Ticket{ConnectionID: w.key.ConnectionID, Provider: w.key.Provider, ReturnTo: "https://app.example.com/done"}.
		Link(publicURL, connect.Key{ID: "k1", Secret: sealKey}, w.clock())
	if err != nil {
		w.t.Fatal(err)
	}
	start, err := url.Parse(link)
	if err != nil {
		w.t.Fatal(err)
	}
	resp := w.get(w.authorize.Handle, start)
	if resp.StatusCode != http.StatusFound || len(resp.Cookies) != 1 {
		w.t.Fatalf("authorize: %d %s", resp.StatusCode, resp.Body)
	}
	cookie, _, _ = strings.Cut(resp.Cookies[0], ";")
	return resp.Headers["Location"], cookie
}

// approve has the person log in and approve, and returns the authorization
// response. The simulator, whose providers do not say who they are, is made to.
func (w whole) approve(to string) *url.URL {
	w.t.Helper()
	if w.peer.name != "simulator" {
		return w.world.authorize(to)
	}
	for _, action := range []string{"login", "approve"} {
		form := url.Values{"action": {action}, "username": {w.account}, "password": {"x"}}
		req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, to, strings.NewReader(form.Encode()))
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := w.browser.Do(req)
		if err != nil {
			w.t.Fatal(err)
		}
		_ = resp.Body.Close()
		if back, err := resp.Location(); err == nil && back.Host == "connect.example.com" {
			q := back.Query()
			q.Set("iss", w.server.url)
			back.RawQuery = q.Encode()
			return back
		}
	}
	w.t.Fatal("the simulator does not send the browser back")
	return nil
}

// path returns the path of an endpoint.
func path(t *testing.T, endpoint string) string {
	t.Helper()
	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return u.Path
}

// edited returns a token answer with its members changed.
func edited(t *testing.T, change func(map[string]any)) func(answer) answer {
	return func(a answer) answer {
		var m map[string]any
		if err := json.Unmarshal(a.body, &m); err != nil {
			t.Errorf("the token response is no JSON: %v", err)
		}
		change(m)
		a.body, _ = json.Marshal(m)
		a.header = a.header.Clone()
		a.header.Del("Content-Length")
		return a
	}
}

func TestClientCases(t *testing.T) {
	t.Parallel()
	for _, p := range ours(t) {
		for _, tt := range clientCases {
			t.Run(p.name+"/"+tt.name, func(t *testing.T) { playClientCase(t, p, tt) })
		}
	}
}

func playClientCase(t *testing.T, p peer, tt clientCase) {
	w := client(t, p)
	switch {
	case tt.spoil != nil:
		w.wire.edits(tt.spoil)
	case tt.answer != nil:
		w.wire.edits(edited(t, tt.answer))
	}
	to, cookie := w.begin()
	back := w.approve(to)
	if q := back.Query(); tt.back != nil {
		tt.back(q)
		back.RawQuery = q.Encode()
	}
	resp := w.get(w.callback.Handle, back, cookie)

	want, status := "https://app.example.com/done?connection_id="+w.key.ConnectionID+"&provider=whiplash&result="+tt.result, http.StatusSeeOther
	if tt.status != 0 {
		want, status = "", tt.status
	}
	location, _, _ := strings.Cut(resp.Headers["Location"], "&scopes=narrowed")
	if resp.StatusCode != status || location != want {
		t.Errorf("callback: %d %s %s, want %d %s", resp.StatusCode, resp.Headers["Location"], resp.Body, status, want)
	}
	endpoints := w.secrets.client.Endpoints
	sent, asked := w.wire.requests(path(t, endpoints.TokenURL)), w.wire.requests(path(t, endpoints.UserInfoURL))
	if len(sent) != tt.tokens || len(asked) != tt.api {
		t.Errorf("%d token requests and %d of the API, want %d and %d", len(sent), len(asked), tt.tokens, tt.api)
	}
	for _, s := range sent {
		checkTokenRequest(t, w, s, to)
	}
	if tt.result != "connected" {
		if _, err := w.store.Get(t.Context(), w.key); err == nil {
			t.Error("something is stored")
		}
		return
	}
	tt.holds(t, w.world, w.read())
}

// checkTokenRequest wants one way of client authentication, form-encoded where
// it is Basic (RFC 6749 section 2.3.1), and the verifier of the challenge that
// the browser has carried (RFC 7636 section 4.6).
func checkTokenRequest(t *testing.T, w whole, s seen, authorizationURL string) {
	t.Helper()
	u, err := url.Parse(authorizationURL)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(s.form.Get("code_verifier")))
	if q := u.Query(); q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) {
		t.Error("the verifier is not that of the challenge")
	}
	form := url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {redirectURI}, "code": s.form["code"], "code_verifier": s.form["code_verifier"]}
	var header string
	if w.secrets.client.Provider.ClientAuth == providers.ClientSecretBasic {
		header = "Basic " + base64.StdEncoding.EncodeToString([]byte("evergrant:s3cret%2B%2F%25%3A+%26%3D"))
	} else {
		maps.Copy(form, url.Values{"client_id": {"evergrant"}, "client_secret": {clientSecret}})
	}
	if s.authorization != header || s.form.Encode() != form.Encode() {
		t.Errorf("the token request is %q with %q", s.form.Encode(), s.authorization)
	}
}

// The cases of a refresh: with rotation the new refresh token takes the place of
// the old one, without it, however that is said, the old one stays.
func TestANewGrantIsRefreshed(t *testing.T) {
	t.Parallel()
	for _, p := range ours(t) {
		for name, tt := range map[string]struct {
			answer func(map[string]any)
			stays  bool
		}{
			"with rotation":                         {func(map[string]any) {}, false},
			"without a refresh token in the answer": {member("refresh_token", nil), true},
			"with an empty refresh token":           {member("refresh_token", ""), true},
			"without expires_in and scope":          {func(m map[string]any) { delete(m, "expires_in"); delete(m, "scope") }, false},
			"with token_type in odd case":           {member("token_type", "BEARER"), false},
		} {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				w := client(t, p)
				to, cookie := w.begin()
				if resp := w.get(w.callback.Handle, w.approve(to), cookie); resp.StatusCode != http.StatusSeeOther {
					t.Fatalf("callback: %d", resp.StatusCode)
				}
				before, held := w.read(), w.holds()
				w.wire.edits(edited(t, tt.answer))
				w.due()
				w.renew(refresh.Refreshed)
				after := w.read()
				if (w.holds() == held) != tt.stays || after.AccessToken == before.AccessToken || !slices.Equal(after.Scopes, before.Scopes) || after.TokenType != "Bearer" {
					t.Errorf("the refresh token stays: %v, want %v; %+v", w.holds() == held, tt.stays, after)
				}
				if sent := w.wire.refreshes(); !slices.Equal(sent, []string{held}) {
					t.Errorf("%d refreshes", len(sent))
				}
				if who, err := w.tokens.Account(t.Context(), w.secrets.client, after.AccessToken); err != nil || who != before.Account {
					t.Errorf("the new access token is of %v: %v", who, err)
				}
			})
		}
	}
}
