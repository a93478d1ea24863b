package authorize

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/golang-jwt/jwt/v5"

	"github.com/evergrant/evergrant/internal/eventtest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/web"
)

var styleHash = regexp.MustCompile(`; style-src 'sha256-[A-Za-z0-9+/]{43}='$`)

// snapshot checks the whole list of headers of an answer: none is there that is
// not named here or in eventtest.
func snapshot(t *testing.T, name string, resp web.Response, also map[string]string) {
	t.Helper()
	want := eventtest.Headers()
	want["Content-Security-Policy"] = eventtest.NoPolicy
	switch {
	case resp.StatusCode == http.StatusFound:
		want["Location"] = resp.Headers["Location"]
	case strings.HasPrefix(resp.Body, "{"):
		want["Content-Type"] = "application/problem+json" // JSON is UTF-8: the type has no charset (RFC 8259 section 11)
	default:
		want["Content-Type"] = "text/html; charset=utf-8"
		hash := styleHash.FindString(resp.Headers["Content-Security-Policy"])
		if hash == "" {
			t.Errorf("%s: the policy names no style: %s", name, resp.Headers["Content-Security-Policy"])
		}
		want["Content-Security-Policy"] += hash
	}
	maps.Copy(want, also)
	if !maps.Equal(resp.Headers, want) {
		t.Errorf("%s: status %d has the headers\n%q, want\n%q", name, resp.StatusCode, resp.Headers, want)
	}
}

// A failing provider.
type failing struct{}

func (failing) Prepare(context.Context, oauth.Client, string) (string, error) {
	return "", &oauth.Error{Status: 500}
}

// Whatever the route answers, whoever asks from wherever.
func TestEveryStatusHasAllHeaders(t *testing.T) {
	method := func(m string) func(*world, *events.APIGatewayV2HTTPRequest) {
		return func(_ *world, ev *events.APIGatewayV2HTTPRequest) { ev.RequestContext.HTTP.Method = m }
	}
	query := func(q string) func(*world, *events.APIGatewayV2HTTPRequest) {
		return func(_ *world, ev *events.APIGatewayV2HTTPRequest) { ev.RawQueryString = q }
	}
	get, allow, later := map[string]string{}, map[string]string{"Allow": "GET"}, map[string]string{"Retry-After": "5"}
	tests := []struct {
		name     string
		provider string
		status   int
		also     map[string]string
		change   func(*world, *events.APIGatewayV2HTTPRequest)
	}{
		{"started", "whiplash", 302, get, nil},
		{"prepared", "whcc", 302, get, nil},
		{"an unknown provider", "acme", 404, get, nil},
		{"POST", "whiplash", 405, allow, method("POST")},
		{"HEAD", "whiplash", 405, allow, method("HEAD")},
		{"OPTIONS", "whiplash", 405, allow, method("OPTIONS")},
		{"TRACE", "whiplash", 405, allow, method("TRACE")},
		{"no ticket", "whiplash", 403, get, query("")},
		{"an expired ticket", "whiplash", 403, get, func(w *world, ev *events.APIGatewayV2HTTPRequest) {
			ev.RawQueryString = "ticket=" + w.ticket("whiplash", func(c jwt.MapClaims) { c["iat"], c["exp"] = noon.Unix()-600, noon.Unix()-300 })
		}},
		{"a repeated parameter", "whiplash", 400, get, query("ticket=a&ticket=b")},
		{"in a frame", "whiplash", 403, get, func(_ *world, ev *events.APIGatewayV2HTTPRequest) { ev.Headers["sec-fetch-dest"] = "iframe" }},
		{"fetched ahead", "whiplash", 400, get, func(_ *world, ev *events.APIGatewayV2HTTPRequest) { ev.Headers["sec-purpose"] = "prefetch" }},
		{"no client", "whiplash", 500, get, func(w *world, _ *events.APIGatewayV2HTTPRequest) { w.vault.clientErr = oauth.ErrNotConfigured }},
		{"secrets out of reach", "whiplash", 503, later, func(w *world, _ *events.APIGatewayV2HTTPRequest) {
			w.vault.clientErr = errors.New("connection refused")
		}},
		{"a provider that fails", "whcc", 502, get, func(w *world, _ *events.APIGatewayV2HTTPRequest) {
			w.Provider = failing{}
		}},
		{"a panic", "whiplash", 500, get, func(w *world, _ *events.APIGatewayV2HTTPRequest) { w.Secrets = panicking{w.vault} }},
	}
	for _, tt := range tests {
		for _, accept := range []string{"", "application/json"} {
			for _, origin := range []string{"", "null", "https://evil.example", "https://app.example.com", "https://connect.example.com"} {
				w := newWorld(t)
				ev := w.request(tt.provider, w.ticket(tt.provider, nil))
				maps.Copy(ev.Headers, map[string]string{"accept": accept, "origin": origin})
				if origin != "" {
					maps.Copy(ev.Headers, map[string]string{"access-control-request-method": "GET", "access-control-request-headers": "authorization", "access-control-request-private-network": "true"})
				}
				if tt.change != nil {
					tt.change(w, &ev)
				}
				resp, err := w.Handle(t.Context(), ev)
				if err != nil || resp.StatusCode != tt.status {
					t.Errorf("%s: status %d, %v, want %d: %s", tt.name, resp.StatusCode, err, tt.status, resp.Body)
				}
				snapshot(t, tt.name, resp, tt.also)
			}
		}
	}
}

// A bomb is a dependency that panics at one call.
type bomb struct {
	Secrets
	Preparer
	at string
}

func (b bomb) explode(at string) {
	if b.at == at {
		panic(errors.New("c4nary " + sealKey))
	}
}

func (b bomb) Client(ctx context.Context, p string) (oauth.Client, error) {
	b.explode("client")
	return b.Secrets.Client(ctx, p)
}

func (b bomb) ConnectKeys(ctx context.Context) (seal.Keys, error) {
	b.explode("connect keys")
	return b.Secrets.ConnectKeys(ctx)
}

func (b bomb) SealKeys(ctx context.Context) (seal.Keys, error) {
	b.explode("seal keys")
	return b.Secrets.SealKeys(ctx)
}

func (b bomb) Prepare(ctx context.Context, c oauth.Client, to string) (string, error) {
	b.explode("prepare")
	return b.Preparer.Prepare(ctx, c, to)
}

// SECURITY row E3: wherever it breaks, the answer is one page, with a reference
// and nothing of what broke.
func TestAPanicAnywhereIsTheSamePage(t *testing.T) {
	for _, at := range []string{"client", "connect keys", "seal keys", "prepare"} {
		w := newWorld(t)
		b := bomb{w.vault, w.Provider, at}
		w.Secrets, w.Provider = b, b
		ev := w.request("whcc", w.ticket("whcc", nil))
		resp := w.problem(ev, 500, "internal")
		for _, trace := range []string{"c4nary", "panic", "goroutine", ".go:", "authorize.", "runtime", "arn:"} {
			if strings.Contains(strings.ToLower(resp.Body), trace) {
				t.Errorf("%s: the page has %q", at, trace)
			}
		}
		if strings.Contains(w.printed.String(), "c4nary") || !strings.Contains(w.printed.String(), `"msg":"panic"`) {
			t.Errorf("%s: the log has the value, or no panic", at)
		}
		if len(resp.Cookies) > 0 || slices.Contains([]int{302, 303}, resp.StatusCode) {
			t.Errorf("%s: something is started", at)
		}
	}
}
