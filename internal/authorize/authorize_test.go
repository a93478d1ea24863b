package authorize

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/golang-jwt/jwt/v5"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secrets"
	"github.com/evergrant/evergrant/internal/simulator"
	"github.com/evergrant/evergrant/pkg/providers"
)

// visit opens a URL of the simulated provider, and follows no redirect.
func (w *world) visit(method, target string, form url.Values) (status int, body string, location *url.URL) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, target, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := oauth.NewHTTPClient(true).Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	location, _ = resp.Location() // nil where there is none
	return resp.StatusCode, string(text), location
}

// The redirect is one that each provider, who checks it strictly, takes.
func TestEachProviderTakesTheRedirect(t *testing.T) {
	for _, p := range providers.All() {
		t.Run(p.ID, func(t *testing.T) {
			w := newWorld(t)
			to, ar := w.started(w.handle(w.request(p.ID, w.ticket(p.ID, nil))))
			want := authrequest.Request{
				Key: connection.Key{ConnectionID: "acct_42", Provider: p.ID}, State: ar.State, Verifier: ar.Verifier,
				RedirectURI: "https://connect.example.com/callback/" + p.ID, Scopes: w.vault.clients[p.ID].Scopes,
				ReturnTo: "https://app.example.com/done", TicketID: "c4nary-ticket-0123456789",
				ClientID: simulator.DefaultClient(p.ID).ID, Environment: "production", Digest: w.vault.clients[p.ID].Digest(), ExpiresAt: noon.Add(10 * time.Minute),
			}
			ar.ExpiresAt = ar.ExpiresAt.UTC()
			if fmt.Sprintf("%+v", ar) != fmt.Sprintf("%+v", want) {
				t.Errorf("cookie holds %+v\nwant         %+v", ar, want)
			}
			if status, body, _ := w.visit(http.MethodGet, to.String(), nil); status != http.StatusOK || !strings.Contains(body, `id="login"`) {
				t.Errorf("the provider answers %d: %s\n%v", status, body, w.sim.Ledger(p.ID).Refused)
			}
		})
	}
}

// Every line of the contract's table of statuses that authorize can meet.
func TestStatuses(t *testing.T) {
	type event = *events.APIGatewayV2HTTPRequest
	method := func(m string) func(*world, event) {
		return func(_ *world, ev event) { ev.RequestContext.HTTP.Method = m }
	}
	query := func(q string) func(*world, event) { return func(_ *world, ev event) { ev.RawQueryString = q } }
	add := func(q string) func(*world, event) { return func(_ *world, ev event) { ev.RawQueryString += "&" + q } }
	header := func(name, value string) func(*world, event) {
		return func(_ *world, ev event) { ev.Headers[name] = value }
	}
	provider := func(id string) func(*world, event) {
		return func(_ *world, ev event) { ev.PathParameters["provider"] = id }
	}
	down, bad := errors.New("connection refused"), fmt.Errorf("%w: secret x", oauth.ErrNotConfigured)
	tests := []struct {
		name   string
		change func(*world, event)
		status int
		typ    string
	}{
		{"unknown provider", provider("acme"), 404, "unknown-provider"},
		{"unknown provider by POST", func(_ *world, ev event) {
			ev.PathParameters["provider"], ev.RequestContext.HTTP.Method = "acme", "POST"
		}, 404, "unknown-provider"},
		{"a provider's name with a path", provider("../whiplash"), 404, "unknown-provider"},
		{"no provider", func(_ *world, ev event) { ev.PathParameters, ev.RawPath = nil, "/authorize/" }, 404, "unknown-provider"},
		{"POST", method("POST"), 405, "method-not-allowed"},
		{"PUT", method("PUT"), 405, "method-not-allowed"},
		{"DELETE", method("DELETE"), 405, "method-not-allowed"},
		{"OPTIONS", method("OPTIONS"), 405, "method-not-allowed"},
		{"TRACE", method("TRACE"), 405, "method-not-allowed"},
		{"no ticket", query(""), 403, "ticket-invalid"},
		{"an empty ticket", query("ticket="), 403, "ticket-invalid"},
		{"a connection ID in place of a ticket", query("connection_id=acct_42"), 403, "ticket-invalid"},
		{"two tickets", add("ticket=x"), 400, "bad-request"},
		{"a stranger's parameter twice", add("a=1&a=2"), 400, "bad-request"},
		{"bad encoding", add("a=%zz"), 400, "bad-request"},
		{"no UTF-8", add("a=%ff"), 400, "bad-request"},
		{"a query of 9 kB", add("a=" + strings.Repeat("x", 9000)), 400, "bad-request"},
		{"a prefetch", header("sec-purpose", "prefetch;prerender"), 400, "bad-request"},
		{"a frame", header("sec-fetch-dest", "iframe"), 403, "not-a-window"},
		{"a fetch", header("sec-fetch-dest", "empty"), 403, "not-a-window"},
		{"300 parameters", add(strings.Join(slices.Collect(numbered(300)), "&")), 400, "bad-request"},
		{"client credentials out of reach", func(w *world, _ event) { w.vault.clientErr = down }, 503, "unavailable"},
		{"ticket keys out of reach", func(w *world, _ event) { w.vault.connectErr = down }, 503, "unavailable"},
		{"sealing keys out of reach", func(w *world, _ event) { w.vault.sealErr = down }, 503, "unavailable"},
		{"client credentials not configured", func(w *world, _ event) { w.vault.clientErr = bad }, 500, "not-configured"},
		{"ticket keys not configured", func(w *world, _ event) { w.vault.connectErr = bad }, 500, "not-configured"},
		{"sealing keys not configured", func(w *world, _ event) { w.vault.sealErr = bad }, 500, "not-configured"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			ev := w.request("whiplash", w.ticket("whiplash", nil))
			tt.change(w, &ev)
			resp := w.problem(ev, tt.status, tt.typ)
			if got := resp.Headers["Retry-After"]; (got != "") != (tt.status == 503) {
				t.Errorf("Retry-After = %q", got)
			}
			if got := resp.Headers["Allow"]; tt.status == 405 && got != "GET" || tt.status != 405 && got != "" {
				t.Errorf("Allow = %q", got)
			}
			if level := strings.Contains(w.printed.String(), `"level":"ERROR"`); level != (tt.status >= 500) {
				t.Errorf("log: %s", w.printed.String())
			}
		})
	}
}

// A person is told to come back where Secrets Manager does not answer, before
// Lambda kills the function and API Gateway answers in its stead.
func TestAVaultThatHangsIsToldInTime(t *testing.T) {
	w := newWorld(t)
	w.vault.hangs = true
	ev := w.request("whiplash", w.ticket("whiplash", nil))
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		resp, err := w.Handle(ctx, ev)
		end, _ := ctx.Deadline()
		if err != nil || time.Until(end) != reserve || resp.StatusCode != 503 || resp.Headers["Retry-After"] == "" {
			t.Errorf("%v before the end: %d %v, %v", time.Until(end), resp.StatusCode, resp.Headers, err)
		}
	})
}

// numbered yields n different parameters.
func numbered(n int) func(func(string) bool) {
	return func(yield func(string) bool) {
		for i := range n {
			if !yield(fmt.Sprintf("p%d=", i)) {
				return
			}
		}
	}
}

// What real requests look like: a link scanner's HEAD, a bare URL.
func TestEventsWithoutEffect(t *testing.T) {
	w := newWorld(t)
	w.problem(w.event("authorize-head.json", map[string]string{"ticket": w.ticket("whiplash", nil)}), 405, "method-not-allowed")
	w.problem(w.event("authorize-no-ticket.json", nil), 403, "ticket-invalid")
	w.problem(w.event("authorize-unsigned.json", nil), 403, "ticket-invalid")
	w.problem(events.APIGatewayV2HTTPRequest{Headers: map[string]string{}, RequestContext: events.APIGatewayV2HTTPRequestContext{RequestID: "r"}}, 404, "unknown-provider")
}

// Link scanners open links before people do.
func TestALinkCanBeOpenedAgain(t *testing.T) {
	w := newWorld(t)
	ticket := w.ticket("whiplash", nil)
	_, first := w.started(w.handle(w.request("whiplash", ticket)))
	_, second := w.started(w.handle(w.request("whiplash", ticket)))
	if first.State == second.State || first.Verifier == second.Verifier || first.State == first.Verifier.Reveal() {
		t.Error("two authorization requests share a state or verifier")
	}
	if len(first.State) != 43 || len(first.Verifier) != 43 {
		t.Errorf("state %d, verifier %d characters, want 256 bits of each", len(first.State), len(first.Verifier))
	}
}

// return_to never leads where the deployment does not allow it, however it is
// written.
func TestReturnTo(t *testing.T) {
	const local = "http://localhost:3000"
	tests := []struct {
		name, returnTo string
		publicURL      string
		want           int
	}{
		{"none", "", "", 302},
		{"an allowed origin", "https://app.example.com/done?tab=1#x", "", 302},
		{"an allowed origin alone", "https://app.example.com", "", 302},
		{"an allowed port", "https://admin.example.com:8443/", "", 302},
		{"in capitals", "HTTPS://APP.example.COM/", "", 302},
		{"the scheme's own port", "https://app.example.com:443/", "", 302},
		{"another origin", "https://evil.example/", "", 400},
		{"another port", "https://app.example.com:8443/", "", 400},
		{"no port where one is allowed", "https://admin.example.com/", "", 400},
		{"the port of http", "https://app.example.com:80/", "", 400},
		{"http", "http://app.example.com/", "", 400},
		{"http with the port of https", "http://app.example.com:443/", "", 400},
		{"a name that begins like ours", "https://app.example.com.evil.com/", "", 400},
		{"a name that ends like ours", "https://evilapp.example.com/", "", 400},
		{"a subdomain", "https://x.app.example.com/", "", 400},
		{"a parent domain", "https://example.com/", "", 400},
		{"a dot at the end", "https://app.example.com./", "", 400},
		{"user info", "https://app.example.com@evil.example/", "", 400},
		{"user info before ours", "https://user@app.example.com/", "", 400},
		{"empty user info", "https://@app.example.com/", "", 400},
		{"a backslash", `https://app.example.com\@evil.example/`, "", 400},
		{"a backslash in the path", `https://app.example.com/\evil`, "", 400},
		{"a host in the path", "https:/evil.example/app.example.com", "", 400},
		{"javascript", "javascript:alert(1)//https://app.example.com", "", 400},
		{"data", "data:text/html,x", "", 400},
		{"no scheme", "//app.example.com/", "", 400},
		{"a path", "/done", "", 400},
		{"opaque", "https:app.example.com", "", 400},
		{"CR LF", "https://app.example.com/\r\nSet-Cookie: a=1", "", 400},
		{"a tab in the host", "https://app.exa\tmple.com/", "", 400},
		{"NUL", "https://app.example.com/\x00", "", 400},
		{"DEL", "https://app.example.com/\x7f", "", 400},
		{"a space", "https://app.example.com/a b", "", 400},
		{"a full-width dot", "https://app．example.com/", "", 400},
		{"a path that is not ASCII", "https://app.example.com/ä", "", 400},
		{"a line separator", "https://app.example.com/\u2028", "", 400},
		{"bad percent encoding of the host", "https://app%2eexample.com/", "", 400},
		{"a bad port", "https://app.example.com:443x/", "", 400},
		{"long", "https://app.example.com/" + strings.Repeat("x", 1000), "", 302},
		{"too long", "https://app.example.com/" + strings.Repeat("x", 1001), "", 400},
		{"localhost in local mode", local + "/", "http://localhost:8788", 302},
		{"localhost elsewhere", local + "/", "https://connect.example.com", 400},
		{"localhost where the API names itself", local + "/", "", 400},
		{"http of another in local mode", "http://app.example.com/", "http://localhost:8788", 400},
		{"a loopback address in local mode", "http://127.0.0.1:3000/", "http://localhost:8788", 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.PublicURL = tt.publicURL
			w.AllowUnsigned = true
			w.ReturnOrigins = append(w.ReturnOrigins, local, "http://127.0.0.1:3000", "http://app.example.com")
			signed := w.request("whatnot", w.ticket("whatnot", func(c jwt.MapClaims) { c["return_to"] = tt.returnTo }))
			unsigned := w.unsigned(url.Values{"connection_id": {"acct_42"}, "return_to": {tt.returnTo}})
			for _, ev := range []events.APIGatewayV2HTTPRequest{signed, unsigned} {
				if tt.want == 400 {
					w.problem(ev, 400, "bad-request")
					continue
				}
				if _, ar := w.started(w.handle(ev)); ar.ReturnTo != tt.returnTo {
					t.Errorf("return_to = %q", ar.ReturnTo)
				}
			}
		})
	}
}

// A ticket narrows what the client may ask for, and never widens it.
func TestScopesAndParams(t *testing.T) {
	type params = map[string]string
	tests := []struct {
		name, provider, scope string
		params                params
		want                  string // the scope asked for; "": status 400
	}{
		{"all by default", "whiplash", "", nil, "user_read user_manage"},
		{"narrower", "whiplash", "user_read", nil, "user_read"},
		{"in another order", "whiplash", " user_manage  user_read ", nil, "user_manage user_read"},
		{"wider", "whiplash", "user_read admin", nil, ""},
		{"wider by letters", "whiplash", "USER_READ", nil, ""},
		{"what every request has", "whisk", "offline_access", nil, "offline_access"},
		{"what the provider never gives", "whatnot", "full_access", nil, ""},
		{"a field of the provider", "whisk", "", params{"identity_provider": "google"}, "offline_access"},
		{"a field that is not the provider's", "whiplash", "", params{"identity_provider": "google"}, ""},
		{"a parameter of the protocol", "whisk", "", params{"redirect_uri": "https://evil.example/"}, ""},
		{"a field that does not match", "whisk", "", params{"identity_provider": "google&state=x"}, ""},
		{"a field with a line break", "whisk", "", params{"identity_provider": "google\n"}, ""},
		{"an empty field", "whisk", "", params{"identity_provider": ""}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			ev := w.request(tt.provider, w.ticket(tt.provider, func(c jwt.MapClaims) { c["scope"], c["params"] = tt.scope, tt.params }))
			if tt.want == "" {
				w.problem(ev, 400, "bad-request")
				return
			}
			to, _ := w.started(w.handle(ev))
			if q := to.Query(); q.Get("scope") != tt.want || q.Get("identity_provider") != tt.params["identity_provider"] {
				t.Errorf("location = %s", to)
			}
		})
	}
}

// Without a ticket anybody may choose the connection ID, so it takes a setting.
func TestUnsignedRequests(t *testing.T) {
	with := func(name, v string) url.Values {
		q := url.Values{"connection_id": {"acct_42"}, "scope": {"read:orders"}}
		q.Set(name, v)
		return q
	}
	tests := []struct {
		name   string
		query  url.Values // nil: of the event
		allow  bool
		status int
		typ    string
	}{
		{"not allowed", nil, false, 403, "ticket-invalid"},
		{"allowed", nil, true, 302, ""},
		{"without a connection ID", url.Values{"scope": {"read:orders"}}, true, 400, "bad-request"},
		{"with a bad connection ID", with("connection_id", "a b"), true, 400, "bad-request"},
		{"with a long connection ID", with("connection_id", strings.Repeat("x", 257)), true, 400, "bad-request"},
		{"with a wider scope", with("scope", "read:orders full_access"), true, 400, "bad-request"},
		{"with a bad ticket", with("ticket", "x"), true, 403, "ticket-invalid"},
		{"with an empty ticket", with("ticket", ""), true, 302, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.AllowUnsigned = tt.allow
			ev := w.unsigned(tt.query)
			if tt.status != 302 {
				w.problem(ev, tt.status, tt.typ)
				return
			}
			to, ar := w.started(w.handle(ev))
			if ar.TicketID != "" || ar.Key != (connection.Key{ConnectionID: "acct_42", Provider: "whatnot"}) {
				t.Errorf("authorization request = %+v", ar)
			}
			if tt.query == nil && (to.Query().Get("scope") != "read:orders write:orders" || ar.ReturnTo != "https://app.example.com/connected?tab=shops") {
				t.Errorf("location = %s, return_to %s", to, ar.ReturnTo)
			}
		})
	}
	t.Run("allowed, and yet a ticket is checked", func(t *testing.T) {
		w := newWorld(t)
		w.AllowUnsigned = true
		ev := w.request("whiplash", w.ticket("whiplash", nil))
		ev.RawQueryString += "&connection_id=other&scope=admin&return_to=https%3A%2F%2Fevil.example"
		if _, ar := w.started(w.handle(ev)); ar.Key.ConnectionID != "acct_42" || ar.ReturnTo != "https://app.example.com/done" {
			t.Errorf("authorization request = %+v", ar)
		}
	})
}

// The protocol's parameters are ours, once each, whatever the caller adds.
func TestParametersOfTheProtocolAreOurs(t *testing.T) {
	w := newWorld(t)
	endpoints := w.sim.Endpoints(w.base, "whiplash")
	endpoints["authorization_url"] += "?tenant=7&state=theirs&client_id=theirs&redirect_uri=https%3A%2F%2Fevil.example"
	w.vault.clients["whiplash"] = w.client("whiplash", map[string]any{"endpoints": endpoints})
	ev := w.request("whiplash", w.ticket("whiplash", nil))
	hostile := url.Values{
		"redirect_uri": {"https://evil.example/"}, "client_id": {"evil"}, "scope": {"admin"}, "state": {"fixed"}, "response_type": {"token"},
		"code_challenge": {"x"}, "code_challenge_method": {"plain"}, "response_mode": {"form_post"}, "return_to": {"https://evil.example/"},
	}
	ev.RawQueryString += "&" + hostile.Encode()
	to, ar := w.started(w.handle(ev))
	challenge := sha256.Sum256([]byte(ar.Verifier.Reveal()))
	want := map[string]string{
		"response_type": "code", "client_id": simulator.DefaultClient("whiplash").ID, "redirect_uri": "https://connect.example.com/callback/whiplash",
		"scope": "user_read user_manage", "state": ar.State, "code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
		"tenant": "7",
	}
	q := to.Query()
	for name, v := range want {
		if !slices.Equal(q[name], []string{v}) {
			t.Errorf("%s = %q, want %q once", name, q[name], v)
		}
	}
	if len(q) != len(want) {
		t.Errorf("location has more: %s", to)
	}
	if to.Host != strings.TrimPrefix(w.base, "http://") || ar.ReturnTo != "https://app.example.com/done" {
		t.Errorf("location %s, return_to %s", to, ar.ReturnTo)
	}
}

// Nothing that a client sends decides where the provider sends the browser.
func TestRedirectURIIsThePublicURLs(t *testing.T) {
	tests := []struct {
		configured, want string
		secure           bool
	}{
		{"", "https://connect.example.com/callback/whiplash", true},
		{"https://oauth.example.org", "https://oauth.example.org/callback/whiplash", true},
		{"https://oauth.example.org/evergrant/", "https://oauth.example.org/evergrant/callback/whiplash", true},
		{"http://localhost:8788", "http://localhost:8788/callback/whiplash", false},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.PublicURL = tt.configured
		ev := w.request("whiplash", w.ticket("whiplash", nil))
		for _, name := range []string{"host", "x-forwarded-host", "forwarded", "x-original-host", "origin", "referer"} {
			ev.Headers[name] = "evil.example"
		}
		ev.Headers["x-forwarded-proto"] = "http"
		resp := w.handle(ev)
		to, ar := w.started(resp)
		c, _ := http.ParseSetCookie(resp.Cookies[0])
		if ar.RedirectURI != tt.want || to.Query().Get("redirect_uri") != tt.want {
			t.Errorf("PUBLIC_URL %q: redirect_uri = %s", tt.configured, ar.RedirectURI)
		}
		if c.Secure != tt.secure || strings.HasPrefix(c.Name, "__Host-evergrant-") != tt.secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 600 {
			t.Errorf("PUBLIC_URL %q: cookie %s", tt.configured, c.Raw)
		}
	}
}

// A browser has five authorization requests at most; the oldest goes.
func TestTheSixthRequestEvictsTheOldest(t *testing.T) {
	w := newWorld(t)
	cookies := []string{"session=of-another-application"}
	var names []string
	for range 6 {
		ev := w.request("whiplash", w.ticket("whiplash", nil))
		ev.Cookies = cookies
		resp := w.handle(ev)
		last := resp.Cookies[len(resp.Cookies)-1]
		if want := min(len(names)/5, 1) + 1; len(resp.Cookies) != want {
			t.Errorf("after %d: %v", len(names), resp.Cookies)
		}
		pair, _, _ := strings.Cut(last, ";")
		name, _, _ := strings.Cut(pair, "=")
		cookies, names = append(cookies, pair), append(names, name)
		if len(names) == 6 && !strings.HasPrefix(resp.Cookies[0], names[0]+"=; Path=/; Max-Age=0;") {
			t.Errorf("evicted is %s, want %s", resp.Cookies[0], names[0])
		}
		w.now = w.now.Add(time.Second)
	}
}

func TestARequestThatDoesNotFitIntoACookie(t *testing.T) {
	w := newWorld(t)
	w.problem(w.request("whiplash", w.ticket("whiplash", func(c jwt.MapClaims) { c["jti"] = strings.Repeat("j", 3500) })), 400, "bad-request")
}

// WHCC makes the URL itself; the state travels in the callback URL.
func TestWHCCPreparesTheRedirect(t *testing.T) {
	w := newWorld(t)
	to, ar := w.started(w.handle(w.request("whcc", w.ticket("whcc", nil))))
	if !strings.HasPrefix(to.String(), w.base+"/whcc/Login.aspx?") {
		t.Fatalf("location = %s", to)
	}
	_, _, back := w.visit(http.MethodPost, to.String(), url.Values{"action": {"login"}, "username": {"ada"}, "password": {"any"}})
	if back == nil {
		t.Fatal("WHCC sends the browser nowhere")
	}
	if q := back.Query(); back.Scheme+"://"+back.Host+back.Path != ar.RedirectURI || !slices.Equal(q["state"], []string{ar.State}) || q.Get("whData") == "" {
		t.Errorf("WHCC sends the browser to %s", back)
	}
	if n := w.sim.Ledger("whcc").Requests["prepare_url"]; n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestWHCCFailures(t *testing.T) {
	edit := func(redirect any) simulator.Answer {
		return simulator.Answer{Endpoint: "prepare_url", Edit: func(m map[string]any) { m["RedirectURI"] = redirect }}
	}
	status := func(status int, body string) simulator.Answer {
		return simulator.Answer{Endpoint: "prepare_url", Status: status, Body: body}
	}
	tests := []struct {
		name   string
		answer simulator.Answer
		status int
		typ    string
	}{
		{"a RedirectURI elsewhere", edit("https://evil.example/Login.aspx"), 502, "provider-failed"},
		{"a RedirectURI with user info", edit("http://whcc@127.0.0.1/Login.aspx"), 502, "provider-failed"},
		{"a RedirectURI that runs", edit("javascript:alert(1)"), 502, "provider-failed"},
		{"a RedirectURI that is a number", edit(7), 502, "provider-failed"},
		{"no RedirectURI", edit(nil), 502, "provider-failed"},
		{"HTML", status(200, "<html>"), 502, "provider-failed"},
		{"an empty body", status(200, ""), 502, "provider-failed"},
		{"500", status(500, ""), 502, "provider-failed"},
		{"429", status(429, ""), 502, "provider-failed"},
		{"an error that nobody knows, with status 200", status(200, `{"ErrorNumber":"500.77","Message":"evil"}`), 502, "provider-failed"},
		{"a cut connection", simulator.Answer{Endpoint: "prepare_url", Drop: true}, 502, "provider-failed"},
		{"client credentials refused", status(200, `{"ErrorNumber":"403.04","Message":"Incorrect consumer secret"}`), 500, "not-configured"},
		{"a redirect", simulator.Answer{Endpoint: "prepare_url", Status: 302, Header: http.Header{"Location": {"/x"}}}, 500, "not-configured"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.sim.Answer("whcc", tt.answer, tt.answer)
			w.problem(w.request("whcc", w.ticket("whcc", nil)), tt.status, tt.typ)
			if strings.Contains(w.printed.String(), "evil") {
				t.Errorf("text of the provider is in the log: %s", w.printed.String())
			}
		})
	}
}

// A consumer secret that was rotated is read again; what the callback then
// needs is in the cookie.
func TestWHCCWithARotatedSecret(t *testing.T) {
	w := newWorld(t)
	good := w.vault.clients["whcc"]
	endpoints := w.sim.Endpoints(w.base, "whcc")
	endpoints["userinfo_url"] = w.base + "/client" // what else the new document changes
	w.vault.clients["whcc"] = w.client("whcc", map[string]any{"client_secret": "old-c4nary", "endpoints": endpoints})
	w.vault.others = []oauth.Client{good}
	_, ar := w.started(w.handle(w.request("whcc", w.ticket("whcc", nil))))
	if ar.ClientID != good.ID || ar.Digest != good.Digest() || w.sim.Ledger("whcc").Requests["prepare_url"] != 2 {
		t.Errorf("client ID %s, digest %s after %d calls", ar.ClientID, ar.Digest, w.sim.Ledger("whcc").Requests["prepare_url"])
	}
}

// A manager counts the calls of Secrets Manager.
type manager struct {
	values map[string]string
	calls  atomic.Int32
}

func (m *manager) GetSecretValue(_ context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	m.calls.Add(1)
	return &secretsmanager.GetSecretValueOutput{SecretString: aws.String(m.values[*in.SecretId])}, nil
}

func (m *manager) BatchGetSecretValue(_ context.Context, in *secretsmanager.BatchGetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.BatchGetSecretValueOutput, error) {
	m.calls.Add(1)
	out := new(secretsmanager.BatchGetSecretValueOutput)
	for _, name := range in.SecretIdList {
		out.SecretValues = append(out.SecretValues, types.SecretValueEntry{
			Name: &name, SecretString: aws.String(m.values[name]), VersionStages: []string{"AWSCURRENT"},
		})
	}
	return out, nil
}

// After the first request, authorize costs nothing but itself: it has no store,
// and its secrets are cached. Forged tickets do not even read the provider's.
func TestAuthorizeMakesNoCallOnceWarm(t *testing.T) {
	w := newWorld(t)
	c := simulator.DefaultClient("whiplash")
	m := &manager{values: map[string]string{
		"p/whiplash": `{"client_id":"` + c.ID + `","client_secret":"` + c.Secret + `"}`,
		"seal":       `{"current":"k1","k1":"` + sealKey + `"}`, "connect": `{"current":"k1","k1":"` + connectKey + `"}`,
	}}
	store := &secrets.Store{API: m, Prefix: "p/", Seal: "seal", Connect: "connect", Now: w.Now, Jitter: func() float64 { return 0 }}
	w.Secrets = store
	store.Warm(t.Context(), "seal", "connect")
	if m.calls.Load() != 1 {
		t.Errorf("a cold start makes %d calls", m.calls.Load())
	}
	forged := w.request("whiplash", w.ticket("whiplash", nil)+"x")
	for range 25 {
		w.handle(forged)
	}
	if m.calls.Load() != 1 {
		t.Errorf("forged tickets made %d calls", m.calls.Load()-1)
	}
	w.started(w.handle(w.request("whiplash", w.ticket("whiplash", nil))))
	if m.calls.Load() != 2 {
		t.Errorf("the first request made %d calls", m.calls.Load()-1)
	}
	for range 25 {
		w.started(w.handle(w.request("whiplash", w.ticket("whiplash", nil))))
		w.handle(forged)
	}
	if m.calls.Load() != 2 {
		t.Errorf("%d calls once warm", m.calls.Load()-2)
	}
}

// A panicking secret store stands for any mistake of ours.
type panicking struct{ *vault }

func (panicking) SealKeys(context.Context) (seal.Keys, error) { panic("c4nary " + sealKey) }

func TestAPanicIsAnAnswer(t *testing.T) {
	w := newWorld(t)
	w.Secrets = panicking{w.vault}
	resp := w.problem(w.request("whiplash", w.ticket("whiplash", nil)), 500, "internal")
	if strings.Contains(resp.Body+w.printed.String(), "c4nary") {
		t.Error("the panic is shown")
	}
}
