package battery

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"testing"
)

// A blabber shows a secret that it knows: in each answer but a redirect, or in
// the log.
type blabber struct {
	Deployment
	secret  func(Request) string // "": it knows none yet
	encode  func(string) string
	page    bool
	printed strings.Builder
	times   int
}

func (b *blabber) Do(ctx context.Context, r Request) (Answer, error) {
	a, err := b.Deployment.Do(ctx, r)
	s := b.secret(r)
	switch {
	case s == "":
	case b.page:
		b.times++
		a.Header["X-Debug"] = b.encode(s)
	default:
		b.times++
		b.printed.WriteString(`{"level":"DEBUG","msg":"sent","value":"` + b.encode(s) + "\"}\n")
	}
	return a, err
}

func (b *blabber) Log() string { return b.Deployment.Log() + b.printed.String() }

// The negative control on a whole case: a secret of each kind, printed in each
// form in an answer or a line of debug level, is found.
func TestEveryKindOfSecretIsFoundWhereverItIsShown(t *testing.T) {
	whole := Case{numbers: []int{55}, name: "a good answer", requests: 1, leaves: connected, steps: []step{then(leads(started), opens()), then(uncounted(ends("connected")), returns())}}
	param := func(name string) func(*Provider) func(Request) string {
		return func(*Provider) func(Request) string {
			return func(r Request) string {
				q, _ := url.ParseQuery(r.Query)
				return q.Get(name)
			}
		}
	}
	given := func(what string) func(*Provider) func(Request) string { // to the provider or by it
		return func(p *Provider) func(Request) string {
			return func(Request) string {
				for _, s := range p.private() {
					if strings.HasPrefix(s.what, what) {
						return s.value
					}
				}
				return ""
			}
		}
	}
	fixed := func(s string) func(*Provider) func(Request) string {
		return func(*Provider) func(Request) string { return func(Request) string { return s } }
	}
	kinds := map[string]func(*Provider) func(Request) string{
		"ticket": param("ticket"), "code": param("code"), "state": param("state"), "client secret": given("client secret of whiplash"),
		"verifier": given("verifier"), "access token": given("access_token"), "refresh token": given("refresh_token"), "seal key": fixed(sealKey),
		"cookie": func(*Provider) func(Request) string {
			return func(r Request) string {
				_, value, _ := strings.Cut(strings.Join(r.Cookies, ";"), "=")
				return value
			}
		},
	}
	forms := map[string]func(string) string{
		"raw": func(s string) string { return s }, "query": url.QueryEscape, "hex": func(s string) string { return hex.EncodeToString([]byte(s)) },
		"base64": func(s string) string { return base64.StdEncoding.EncodeToString([]byte("x" + s)) }, "base64url": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("xy" + s)) },
	}
	planted := 0
	for kind, of := range kinds {
		for form, encode := range forms {
			for _, page := range []bool{true, false} {
				target := inProcess(t)
				b := &blabber{Deployment: target.Deployment, secret: of(target.Provider), encode: encode, page: page}
				target.Deployment = b
				problems := strings.Join(play(t.Context(), target, whole, ways[0]), "\n")
				if planted += b.times; b.times == 0 || !strings.Contains(problems, " shows the ") {
					t.Errorf("the %s, %s, on a page %v: shown %d times, and the problems are %s", kind, form, page, b.times, problems)
				}
			}
		}
	}
	t.Logf("%d kinds of secrets in %d forms, shown %d times in an answer or a line: each was found", len(kinds), len(forms), planted)
}
