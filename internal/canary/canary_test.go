package canary

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// random returns 43 letters as a state has them.
func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// kinds are one secret of each kind. Those with the Marker are made by tests,
// the others are as the product and providers make them.
func kinds() map[string]string {
	return map[string]string{
		"client secret": Marker + "/client+secret=" + rand.Text(), "seal key": rand.Text() + Marker + rand.Text(), "connect key": Marker + rand.Text() + rand.Text(),
		"code": "4/0A+" + Marker + "%/= é", "access token": rand.Text() + rand.Text(), "refresh token": hex.EncodeToString([]byte(rand.Text())),
		"state": random(), "verifier": random(), "handle": random() + random(), "cookie": random() + random() + random(), "whData token": "123456789012",
		"ticket":        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJh" + rand.Text() + "." + random(),
		"sealed tokens": `{"access_token":"` + rand.Text() + `","refresh_token":"a\b\"c<d>&'` + rand.Text() + `"}`,
	}
}

// encodings are all forms in which a secret is looked for.
func encodings(s string) map[string]string {
	quoted, _ := json.Marshal(s)
	all := map[string]string{
		"raw": s, "query": url.QueryEscape(s), "path": url.PathEscape(s), "JSON": string(quoted), "Go": strconv.Quote(s), "HTML": html.EscapeString(s),
		"hex": hex.EncodeToString([]byte(s)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(s))), "spaced hex": fmt.Sprintf("% x", s),
		"Go bytes": fmt.Sprintf("%#v", []byte(s)), "bytes": fmt.Sprintf("%d", []byte(s)), "all percent": "%" + strings.ReplaceAll(fmt.Sprintf("% X", s), " ", "%"),
	}
	for before := range 4 {
		text := []byte("xyz"[:before%4] + s + "tail")
		all[fmt.Sprintf("base64 at %d", before)] = base64.StdEncoding.EncodeToString(text)
		all[fmt.Sprintf("base64url at %d", before)] = base64.RawURLEncoding.EncodeToString(text)
		all[fmt.Sprintf("base64 to the end at %d", before)] = base64.RawStdEncoding.EncodeToString(text[:before+len(s)])
	}
	return all
}

// places are where a text may be shown, by how it gets there.
var places = map[string]func(w *Watch, text string) []Finding{
	"a line of JSON": logged(func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) }),
	"a line of text": logged(func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }),
	"a page": func(w *Watch, s string) []Finding {
		return w.FindInAnswer(Answer{Status: 400, Body: "<p>" + html.EscapeString(s) + "</p>"})
	},
	"a problem": func(w *Watch, s string) []Finding {
		b, _ := json.Marshal(map[string]string{"detail": s})
		return w.FindInAnswer(Answer{Status: 400, Body: string(b)})
	},
	"a header": func(w *Watch, s string) []Finding {
		return w.FindInAnswer(Answer{Status: 200, Header: map[string]string{"X-Debug": s}})
	},
	"a cookie": func(w *Watch, s string) []Finding {
		return w.FindInAnswer(Answer{Status: 200, Cookies: []string{"a=" + s}})
	},
	"a redirect": func(w *Watch, s string) []Finding {
		return w.FindInAnswer(Answer{Status: 303, Header: map[string]string{"Location": "https://a.example/?x=" + url.QueryEscape(s)}})
	},
	"an attached bag": logged(func(w io.Writer) slog.Handler {
		return slog.NewJSONHandler(w, nil).WithAttrs([]slog.Attr{slog.Int("n", 1)}).WithGroup("g")
	}),
}

// logged searches a line of a log.
func logged(handler func(io.Writer) slog.Handler) func(*Watch, string) []Finding {
	return func(w *Watch, s string) []Finding {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("m", "err", errors.New(s))
		return w.FindInLog(b.String())
	}
}

// The negative control: every kind of secret, planted in every form at every
// place, is found; and nothing is found where it was not.
func TestEveryPlantedSecretIsFound(t *testing.T) {
	planted, found := 0, 0
	for kind, secret := range kinds() {
		w := new(Watch)
		if !strings.Contains(secret, Marker) {
			w.Guard(kind, secret)
		}
		for form, text := range encodings(secret) {
			for place, search := range places {
				planted++
				if len(search(w, text)) == 0 {
					t.Errorf("the %s in %s is not found in %s: %s", kind, form, place, text)
					continue
				}
				found++
			}
		}
		for place, search := range places {
			if got := search(w, "client_secret=[redacted] of whiplash for acct_42"); len(got) > 0 {
				t.Errorf("%s: found %v where there is none", place, got)
			}
		}
	}
	t.Logf("%d planted: %d kinds of secrets in %d forms at %d places; %d found", planted, len(kinds()), len(encodings("")), len(places), found)
}

// What looks like a secret is found in a log without knowing it.
func TestASecretIsFoundByItsShape(t *testing.T) {
	w := new(Watch)
	for _, kind := range []string{"state", "verifier", "handle", "cookie", "ticket"} {
		for range 200 { // one state in a thousand has no digit
			if len(w.FindInLog(`"err":"state `+kinds()[kind]+` is unknown"`)) > 0 {
				break
			}
		}
		missed := 0
		for range 200 {
			if len(w.FindInLog("state="+kinds()[kind]+" is unknown")) == 0 {
				missed++
			}
		}
		if missed > 20 {
			t.Errorf("%d of 200 are not found: %s", missed, kind)
		}
	}
	if len(w.FindInLog("token "+hex.EncodeToString([]byte(random()))+".")) == 0 {
		t.Error("64 digits are not found")
	}
	sealed := base64.StdEncoding.EncodeToString([]byte(random()))
	for _, line := range []string{
		`{"rescue":"` + sealed + `"}`, "rescue=" + sealed + " err=x", `rescue="` + sealed + `=" err=x`, `file=/tmp/TestASecretsFileMeansRealProvidersAndNoOther1421971825/001/secrets.json`, `"requestId":"0a1b2c3d-4e5f-6789-abcd-ef0123456789"`,
		"github.com/evergrant/evergrant/internal/callback.TestTheHostCompletesWhateverIsKilledBetweenTwoSteps", "goroutine 7 [running]: 0xc000123abc",
	} {
		if got := w.FindInLog(line); len(got) > 0 {
			t.Errorf("%s: found %v", line, got)
		}
	}
	if len(w.FindInLog(`{"rescue":"`+base64.StdEncoding.EncodeToString([]byte(Marker+"-refresh"))+`"}`)) == 0 {
		t.Error("tokens that are not sealed are not found in a rescue line")
	}
}

// What the browser must be told is left out of an answer, at its place and
// nowhere else.
func TestOnlyWhatTheBrowserMustBeToldIsLeftOut(t *testing.T) {
	w, secret := new(Watch), random()
	w.Guard("secret", secret)
	state := strings.Repeat("s", 43)
	w.Guard("state", state)
	to := func(status int, location string, cookies ...string) Answer {
		return Answer{Status: status, Header: map[string]string{"Location": location}, Cookies: cookies}
	}
	const name = "__Host-evergrant-0123456789abcdef="
	again := func(field string) Answer {
		return Answer{Status: 200, Body: `<form method="post"><input type="hidden" name="` + field + `" value="` + secret + `"><input type="hidden" name="evergrant_bounced" value="1">`}
	}
	tests := []struct {
		name string
		a    Answer
		want int
	}{
		{"the new cookie", to(302, "https://p.example/", name+secret+"; Path=/"), 0},
		{"the state to the provider", to(302, "https://p.example/?client_id=x&state="+secret+"&scope=y"), 0},
		{"the session to the provider", to(302, "https://p.example/?SessionID="+secret), 0},
		{"the handle to the host", to(303, "https://a.example/?connection_id=x&handle="+secret+"&provider=y"), 0},
		{"the state to the callback", to(303, "https://a.example/callback/whcc?state="+state), 0},
		{"the code in the page that posts again", again("code"), 0},
		{"the state in the page that posts again", again("state"), 0},

		{"another cookie", to(302, "https://p.example/", "session="+secret), 1},
		{"a cookie before the new one", to(302, "https://p.example/", name+secret, name+"x"), 1},
		{"a cookie that is no sealed value", to(302, "https://p.example/", name+"{"+secret+"}"), 1},
		{"a cookie beside the redirect to the host", to(303, "https://a.example/", name+secret), 1},
		{"a cookie of a page", Answer{Status: 200, Cookies: []string{name + secret}}, 1},
		{"the state to the host", to(303, "https://a.example/?state="+secret), 1},
		{"the handle to the provider", to(302, "https://p.example/?handle="+secret), 1},
		{"the verifier to the provider", to(302, "https://p.example/?code_verifier="+secret), 1},
		{"more than the state to the callback", to(303, "https://a.example/callback/whcc?state="+state+"&a=b"), 1},
		{"the state to the callback by a 307", to(307, "https://a.example/callback/whcc?state="+state), 1},
		{"another parameter to the callback", to(303, "https://a.example/callback/whcc?code="+state), 1},
		{"the state to another path", to(303, "https://a.example/x/callback/whcc?state="+state), 1},
		{"the state in a fragment", to(302, "https://p.example/?state=x#"+secret), 1},
		{"the state in the path", to(302, "https://p.example/"+secret+"?state=x"), 1},
		{"another field in the page that posts again", again("whData"), 1},
		{"the code on another page", Answer{Status: 200, Body: `<input type="hidden" name="code" value="` + secret + `">`}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := w.FindInAnswer(tt.a); len(got) != tt.want {
				t.Errorf("found %v, want %d", got, tt.want)
			}
		})
	}
}

// A failed is a test that notes how it was failed.
type failed struct {
	testing.TB
	cleanups []func()
	errors   []string
	attr     string
}

func (f *failed) Helper()                   {}
func (f *failed) Cleanup(do func())         { f.cleanups = append(f.cleanups, do) }
func (f *failed) Attr(_, value string)      { f.attr = value }
func (f *failed) Errorf(s string, a ...any) { f.errors = append(f.errors, fmt.Sprintf(s, a...)) }

func TestALoggerFailsTheTestThatShowsASecret(t *testing.T) {
	lines := map[string]func(*slog.Logger){
		"at debug level":     func(log *slog.Logger) { log.Debug("sent", "token", Marker+"-1") },
		"in an error":        func(log *slog.Logger) { log.Error("m", "err", fmt.Errorf("exchange: %w", errors.New(Marker))) },
		"in bytes":           func(log *slog.Logger) { log.Info("m", "body", []byte(Marker+"-1")) },
		"in a struct":        func(log *slog.Logger) { log.Info("m", "v", struct{ Token string }{Marker}) },
		"in a private field": func(log *slog.Logger) { log.Info("m", "v", struct{ token string }{Marker}) },
		"in what is derived": func(log *slog.Logger) { log.With("cookie", random()+random()).WithGroup("g").Info("m") },
		"in the message":     func(log *slog.Logger) { log.LogAttrs(context.Background(), slog.LevelDebug, "token "+Marker) },
	}
	for name, line := range lines {
		t.Run(name, func(t *testing.T) {
			f := new(failed)
			var also strings.Builder
			log := Log(f, slog.NewTextHandler(&also, nil))
			log.Info("refused", "err", "client_secret=[redacted]")
			line(log)
			for _, do := range slices.Backward(f.cleanups) {
				do()
			}
			if len(f.errors) == 0 || f.attr == "" {
				t.Errorf("errors %q, searched %q", f.errors, f.attr)
			}
			if !strings.Contains(also.String(), "refused") || strings.Contains(also.String(), "level=DEBUG") {
				t.Errorf("the other handler has %s", also.String())
			}
		})
	}
	f := new(failed)
	Log(f).Info("refused", "reference", "0a1b2c3d-4e5f-6789-abcd-ef0123456789")
	f.cleanups[0]()
	if len(f.errors) > 0 || !strings.HasPrefix(f.attr, "2 lines, ") {
		t.Errorf("errors %q, searched %q", f.errors, f.attr)
	}
}
