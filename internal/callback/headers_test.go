package callback

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/completion"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/eventtest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/simulator"
	"github.com/evergrant/evergrant/internal/spill"
	"github.com/evergrant/evergrant/internal/web"
)

const hash = `'sha256-[A-Za-z0-9+/]{43}='`

var (
	pagePolicy   = regexp.MustCompile(`^` + regexp.QuoteMeta(eventtest.NoPolicy) + `; style-src ` + hash + `$`)
	scriptPolicy = regexp.MustCompile(`^default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' https: http://localhost:\*; style-src ` + hash + `; script-src ` + hash + `$`)
)

// snapshot checks the whole list of headers of an answer: none is there that is
// not named here or in eventtest.
func snapshot(t *testing.T, name string, resp web.Response, also map[string]string) {
	t.Helper()
	want := eventtest.Headers()
	want["Content-Security-Policy"] = eventtest.NoPolicy
	policy := resp.Headers["Content-Security-Policy"]
	switch {
	case resp.StatusCode == http.StatusSeeOther:
		want["Location"] = resp.Headers["Location"]
	case strings.HasPrefix(resp.Body, `{"result"`):
		want["Content-Type"] = "application/json"
	case strings.HasPrefix(resp.Body, "{"):
		want["Content-Type"] = "application/problem+json" // JSON is UTF-8: the type has no charset (RFC 8259 section 11)
	default:
		want["Content-Type"], want["Content-Security-Policy"] = "text/html; charset=utf-8", policy
		allowed := pagePolicy
		if strings.Contains(resp.Body, "<script>") {
			allowed = scriptPolicy
		}
		if !allowed.MatchString(policy) {
			t.Errorf("%s: the policy is %s", name, policy)
		}
	}
	maps.Copy(want, also)
	if !maps.Equal(resp.Headers, want) {
		t.Errorf("%s: status %d has the headers\n%q, want\n%q", name, resp.StatusCode, resp.Headers, want)
	}
}

// Whatever the route answers, whoever asks from wherever.
func TestEveryStatusHasAllHeaders(t *testing.T) {
	stay, deny := noReturn, func(f flow) url.Values { return url.Values{"error": {"access_denied"}, "state": {f.State}} }
	type event = *events.APIGatewayV2HTTPRequest
	method := func(m string) func(*world, event, flow) {
		return func(_ *world, ev event, _ flow) { ev.RequestContext.HTTP.Method = m }
	}
	none, later := map[string]string{}, map[string]string{"Retry-After": "5"}
	allow := map[string]string{"Allow": "GET, POST"}
	tests := []struct {
		name   string
		status int
		also   map[string]string
		from   func(*authrequest.Request)
		answer func(flow) url.Values // nil: a good code
		change func(*world, event, flow)
	}{
		{"connected", 303, none, nil, nil, nil},
		{"connected, with a page", 200, none, stay, nil, nil},
		{"denied", 303, none, nil, deny, nil},
		{"denied, with a page", 200, none, stay, deny, nil},
		{"held for the host", 303, none, nil, nil, func(w *world, _ event, _ flow) { w.CompletionURL = completionURL }},
		{"failed", 303, none, nil, nil, func(w *world, _ event, _ flow) { w.sim.Answer("whiplash", simulator.Answer{Status: 500}) }},
		{"failed, with a page", 502, none, stay, nil, func(w *world, _ event, _ flow) { w.sim.Answer("whiplash", simulator.Answer{Status: 500}) }},
		{"an unknown provider", 404, none, nil, nil, func(_ *world, ev event, _ flow) { ev.PathParameters["provider"] = "acme" }},
		{"PUT", 405, allow, nil, nil, method("PUT")},
		{"HEAD", 405, allow, nil, nil, method("HEAD")},
		{"OPTIONS", 405, allow, nil, nil, method("OPTIONS")},
		{"no parameters", 400, none, nil, nil, func(_ *world, ev event, _ flow) { ev.RawQueryString = "" }},
		{"expired", 400, none, nil, nil, func(w *world, _ event, _ flow) { w.now = w.now.Add(authrequest.Life) }},
		{"no cookie", 403, none, nil, nil, func(_ *world, ev event, _ flow) { ev.Cookies = nil }},
		{"under way", 202, later, nil, nil, func(w *world, _ event, f flow) {
			if err := w.store.ClaimRequest(t.Context(), f.Record(w.now)); err != nil {
				t.Fatal(err)
			}
		}},
		{"another account", 409, none, stay, nil, func(w *world, _ event, f flow) {
			other := connection.Connection{Key: f.Key, Status: connection.Active, Account: oauth.Account{ID: "another"}, AccessToken: "x"}
			if _, err := w.store.Connect(t.Context(), other); err != nil {
				t.Fatal(err)
			}
		}},
		{"our client is refused", 500, none, stay, nil, func(w *world, _ event, _ flow) {
			w.sim.Answer("whiplash", simulator.Answer{Status: 401, Body: `{"error":"invalid_client"}`})
		}},
		{"secrets out of reach", 503, later, nil, nil, func(w *world, _ event, _ flow) { w.vault.sealErr = errDown }},
		{"a panic", 500, none, nil, nil, func(w *world, _ event, _ flow) { w.Secrets = panicking{w.vault} }},
	}
	for _, tt := range tests {
		for _, accept := range []string{"", "application/json"} {
			for _, origin := range []string{"", "null", "https://evil.example", "https://app.example.com", publicURL} {
				w := newWorld(t)
				f := w.start("whiplash", tt.from)
				answer := w.approve
				if tt.answer != nil {
					answer = tt.answer
				}
				ev := w.callback(f, answer(f))
				maps.Copy(ev.Headers, map[string]string{"accept": accept, "origin": origin})
				if origin != "" {
					maps.Copy(ev.Headers, map[string]string{"access-control-request-method": "POST", "access-control-request-headers": "authorization", "access-control-request-private-network": "true"})
				}
				if tt.change != nil {
					tt.change(w, &ev, f)
				}
				resp, err := w.Handle(t.Context(), ev)
				if err != nil || resp.StatusCode != tt.status {
					t.Errorf("%s: status %d, %v, want %d: %s", tt.name, resp.StatusCode, err, tt.status, resp.Body)
				}
				snapshot(t, tt.name, resp, tt.also)
			}
		}
	}
	w := newWorld(t)
	w.tokenClient()
	posted := w.event("callback-form-post.json", map[string]string{"body": encoded(url.Values{"code": {"c"}, "state": {oauth.NewState()}})})
	snapshot(t, "a form from elsewhere", w.handle(posted), nil)
	snapshot(t, "a fragment", w.handle(w.event("callback-fragment.json", map[string]string{"cookie": w.start("whisk", nil).cookie})), nil)
}

// A bomb is all dependencies, which panic at one call.
type bomb struct {
	*vault
	completion.Tokens
	Requests
	History
	stored spill.Connections
	at     string
}

func (b bomb) explode(at string) {
	if b.at == at {
		panic(errors.New("c4nary " + sealKey))
	}
}

func (b bomb) Client(ctx context.Context, p string) (oauth.Client, error) {
	b.explode("client")
	return b.vault.Client(ctx, p)
}

func (b bomb) SealKeys(ctx context.Context) (seal.Keys, error) {
	b.explode("seal keys")
	return b.vault.SealKeys(ctx)
}

func (b bomb) Exchange(ctx context.Context, c oauth.Client, r oauth.AuthorizationRequest, code oauth.Secret) (oauth.TokenSet, error) {
	b.explode("exchange")
	return b.Tokens.Exchange(ctx, c, r, code)
}

func (b bomb) Account(ctx context.Context, c oauth.Client, token oauth.Secret) (oauth.Account, error) {
	b.explode("account")
	return b.Tokens.Account(ctx, c, token)
}

func (b bomb) ClaimRequest(ctx context.Context, r connection.Request) error {
	b.explode("claim")
	return b.Requests.ClaimRequest(ctx, r)
}

func (b bomb) DenyRequest(ctx context.Context, r connection.Request) error {
	b.explode("deny")
	return b.Requests.DenyRequest(ctx, r)
}

func (b bomb) FinishRequest(ctx context.Context, r connection.Request) error {
	b.explode("finish")
	return b.Requests.FinishRequest(ctx, r)
}

func (b bomb) GetRequest(ctx context.Context, id, state string) (connection.Request, error) {
	b.explode("history")
	return b.History.GetRequest(ctx, id, state)
}

// armed is the connection store of a bomb, two of whose methods have names that
// History has too.
type armed struct{ bomb }

func (s armed) Get(ctx context.Context, k connection.Key) (connection.Connection, error) {
	return s.stored.Get(ctx, k)
}

func (s armed) Connect(ctx context.Context, c connection.Connection) (connection.Connection, error) {
	s.explode("connect")
	return s.stored.Connect(ctx, c)
}

func (s armed) Restore(ctx context.Context, c connection.Connection, fence int64) error {
	return s.stored.Restore(ctx, c, fence)
}

// SECURITY row E3: wherever it breaks, the answer is one page, with a reference
// and nothing of what broke.
func TestAPanicAnywhereIsTheSamePage(t *testing.T) {
	for _, at := range []string{"client", "seal keys", "claim", "exchange", "account", "connect", "finish", "deny", "history"} {
		w := newWorld(t)
		f := w.start("whiplash", nil)
		params := w.approve(f)
		switch at {
		case "deny":
			params = url.Values{"error": {"access_denied"}, "state": {f.State}}
		case "finish":
			w.sim.Answer("whiplash", simulator.Answer{Status: 500})
		case "history":
			if err := w.store.ClaimRequest(t.Context(), f.Record(w.now)); err != nil {
				t.Fatal(err)
			}
		}
		b := bomb{w.vault, w.Tokens, w.Requests, w.History, w.Connections, at}
		w.Secrets, w.Tokens, w.Requests, w.History, w.Connections = b, b, b, b, armed{b}
		resp := w.handle(w.callback(f, params))
		if resp.StatusCode != 500 || !strings.Contains(resp.Body, web.Internal.Title) || !strings.Contains(resp.Body, "Reference: ") {
			t.Errorf("%s: %d %s", at, resp.StatusCode, resp.Body)
		}
		for _, trace := range []string{"c4nary", "panic", "goroutine", ".go:", "callback.", "runtime", "arn:"} {
			if strings.Contains(strings.ToLower(resp.Body), trace) {
				t.Errorf("%s: the page has %q", at, trace)
			}
		}
		if strings.Contains(w.printed.String(), "c4nary") || !strings.Contains(w.printed.String(), `"msg":"panic"`) {
			t.Errorf("%s: the log has the value, or no panic: %s", at, w.printed.String())
		}
		snapshot(t, at, resp, nil)
	}
}
