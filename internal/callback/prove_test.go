package callback

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/simulator"
)

// A token that came through the browser is stored only if the provider knows it,
// where it offers a call that tells: for WHCC that is an endpoint of the client's
// secret, since its public page has none.
func TestATokenFromTheBrowserIsProvedBeforeItIsStored(t *testing.T) {
	const refusal = `{"ErrorNumber":"403.01","Message":"The access token c4nary is expired or incorrect."}`
	tests := []struct {
		name   string
		status int
		body   string
		result string
	}{
		{"it is live", 200, `{"ok":true}`, "connected"},
		{"WHCC says with 200 that it is none", 200, refusal, "failed"},
		{"it is refused", 401, refusal, "failed"},
		{"it is refused as if the client were wrong", 401, `{"error":"invalid_client"}`, "failed"},
		{"the provider is not well", 503, ``, "failed"},
		{"a login page", 200, `<html>`, "failed"},
		{"somewhere else", 302, ``, "failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			var asked []string
			server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				asked = append(asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
				rw.Header().Set("Location", "/elsewhere")
				rw.WriteHeader(tt.status)
				_, _ = rw.Write([]byte(tt.body))
			}))
			t.Cleanup(server.Close)
			endpoints := w.sim.Endpoints(w.base, "whcc")
			endpoints["userinfo_url"] = server.URL + "/client"
			w.vault.clients["whcc"] = w.client("whcc", map[string]any{"endpoints": endpoints})
			f := w.start("whcc", nil)
			back := w.approve(f)
			w.returns(w.handle(w.callback(f, back)), f, tt.result)
			w.returns(w.handle(w.callback(f, back)), f, tt.result) // reloaded
			token := w.sim.Ledger("whcc").LiveAccessTokens[0]
			if !slices.Equal(asked, []string{"GET /client Bearer " + token}) {
				t.Errorf("asked %d times", len(asked))
			}
			if tt.result != "connected" {
				w.nothingStored(f)
				if !strings.Contains(w.printed.String(), `"code":"token_not_proved"`) {
					t.Errorf("log: %s", w.printed.String())
				}
				return
			}
			if c := w.stored(f); c.AccessToken.Reveal() != token || c.Account.Label != "ada Studio" {
				t.Errorf("stored %+v", c)
			}
			if !strings.Contains(w.printed.String(), `"token_in_front_channel":true`) {
				t.Errorf("the line of a connection does not say how its token came: %s", w.printed.String())
			}
		})
	}
}

// An implicit grant whose token has ended meanwhile is none, and one whose token
// belongs to nobody neither.
func TestADeadTokenOfTheFragmentIsNotStored(t *testing.T) {
	for name, spoil := range map[string]func(*world, url.Values){
		"ended":   func(w *world, _ url.Values) { w.sim.Revoke("whisk", simulator.AccountID("whisk", "ada")) },
		"made up": func(_ *world, form url.Values) { form.Set("access_token", "c4nary-made-up") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.tokenClient()
			f := w.start("whisk", nil)
			form, err := url.ParseQuery(w.decide(w.location(f), "approve").Fragment)
			if err != nil {
				t.Fatal(err)
			}
			spoil(w, form)
			w.returns(w.handle(w.event("callback-fragment-post.json", map[string]string{"body": encoded(form), "cookie": f.cookie})), f, "failed")
			w.nothingStored(f)
		})
	}
}

// A code's token comes from the provider itself, so an account that cannot be
// looked up keeps nobody from connecting.
func TestATokenOfTheProviderNeedsNoProof(t *testing.T) {
	w := newWorld(t)
	endpoints := w.sim.Endpoints(w.base, "whiplash")
	endpoints["userinfo_url"] = w.base + "/nowhere"
	w.vault.clients["whiplash"] = w.client("whiplash", map[string]any{"endpoints": endpoints})
	f := w.start("whiplash", nil)
	w.returns(w.connect(f), f, "connected")
	if c := w.stored(f); c.Account != (oauth.Account{}) {
		t.Errorf("stored %+v", c)
	}
}
