package callback

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergrant/evergrant/internal/authorize"
	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/simulator"
	"github.com/evergrant/evergrant/internal/web"
	"github.com/evergrant/evergrant/pkg/providers"
)

// byAuthorize starts f with a ticket at the real authorize handler, and returns
// where the browser goes.
func (w *world) byAuthorize(provider string) (f flow, location string) {
	w.t.Helper()
	h := &authorize.Handler{
		Secrets: w.vault, Provider: &oauth.TokenClient{HTTP: oauth.NewHTTPClient(true), Now: w.clock}, PublicURL: publicURL,
		ReturnOrigins: []string{"https://app.example.com"}, Now: w.clock, Log: w.Log,
	}
	ticket, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"aud": "evergrant", "sub": "acct_42", "provider": provider, "jti": "0123456789abcdef", "return_to": returnTo,
		"iat": w.now.Unix(), "exp": w.now.Add(time.Minute).Unix(),
	}).SignedString([]byte(sealKey))
	if err != nil {
		w.t.Fatal(err)
	}
	ev := w.event("authorize.json", map[string]string{"ticket": ticket})
	ev.PathParameters["provider"] = provider
	resp, err := h.Handle(w.t.Context(), ev)
	if err != nil || resp.StatusCode != http.StatusFound {
		w.t.Fatalf("authorize answers %d, %v: %s", resp.StatusCode, err, w.printed.String())
	}
	pair, _, _ := strings.Cut(resp.Cookies[0], ";")
	_, value, _ := strings.Cut(pair, "=")
	ar, err := authrequest.Open(w.vault.seal, value)
	if err != nil {
		w.t.Fatal(err)
	}
	return flow{ar, pair}, resp.Headers["Location"]
}

// The whole way, at each provider: link, login, approval, callback. What is
// then stored is what a reader sees, after two writes and no read.
func TestEachProviderConnects(t *testing.T) {
	want := map[string]connection.Connection{
		"whiplash": {Scopes: []string{"user_manage", "user_read"}, ExpiresAt: noon.Add(2 * time.Hour), Account: oauth.Account{Label: "ada@example.com"}},
		"whisk": {Scopes: []string{"offline_access"}, ExpiresAt: noon.Add(30 * 24 * time.Hour), RefreshExpiresAt: noon.Add(365 * 24 * time.Hour),
			Account: oauth.Account{Label: "ada@example.com"}},
		"whatnot": {Scopes: []string{"read:customers", "read:inventory", "read:orders", "write:inventory", "write:orders"}, ExpiresAt: noon.Add(time.Hour),
			RefreshExpiresAt: noon.Add(365 * 24 * time.Hour), Account: oauth.Account{Label: "ada"}},
		"whcc": {Account: oauth.Account{Label: "ada Studio"}, Metadata: map[string]string{
			"client_id": simulator.AccountID("whcc", "ada"), "studio": "ada Studio", "attention": "ada", "addr": "1 Simulated Parkway", "city": "Eagan",
			"state": "MN", "zip": "55121", "country": "US", "email": "ada@example.com", "phone": "555-0100",
		}},
	}
	for _, p := range providers.All() {
		t.Run(p.ID, func(t *testing.T) {
			w := newWorld(t)
			f, location := w.byAuthorize(p.ID)
			w.returns(w.handle(w.callback(f, w.decide(location, "approve").Query())), f, "connected")
			w.wrote(map[string]int{"ClaimRequest": 1, "Connect": 1})

			got, ledger := w.stored(f), w.sim.Ledger(p.ID)
			if got.AccessToken.Reveal() != ledger.LiveAccessTokens[0] || got.TokenType != "Bearer" || len(ledger.Refused) > 0 {
				t.Errorf("access token of type %s is not the provider's; it refused %v", got.TokenType, ledger.Refused)
			}
			renewable := p.Blob == nil
			if renewable {
				if refresh, err := got.RefreshToken(w.vault.seal); err != nil || refresh.Reveal() != ledger.LiveRefreshTokens[0] {
					t.Errorf("refresh token is not the provider's: %v", err)
				}
				if w.exchanges(p.ID) != 1 {
					t.Errorf("%d token requests", w.exchanges(p.ID))
				}
			}
			if renewable == got.Due.At.IsZero() || (renewable && !got.Due.At.Before(got.ExpiresAt)) {
				t.Errorf("due %v", got.Due)
			}
			c := want[p.ID]
			c.Key, c.Status, c.TokenType, c.Environment, c.ClientID = f.Key, connection.Active, "Bearer", "production", simulator.DefaultClient(p.ID).ID
			c.Account.ID = simulator.AccountID(p.ID, "ada")
			c.Fence, c.StoredFence, c.ConnectedAt, c.RefreshedAt, c.UpdatedAt = 1, 1, noon, noon, noon
			c.RequestID = connection.StateID(f.State)
			c.AccessToken, c.SealedRefreshToken, c.Due = got.AccessToken, got.SealedRefreshToken, got.Due
			if !reflect.DeepEqual(got, c) {
				t.Errorf("stored %+v\nwant   %+v", got, c)
			}
		})
	}
}

// Without a place to return to, a page of ours says how it went.
func TestWithoutReturnToAPageSaysIt(t *testing.T) {
	for _, p := range providers.All() {
		w := newWorld(t)
		f := w.start(p.ID, noReturn)
		resp := w.connect(f)
		if p.Blob != nil {
			resp = w.handle(w.leadsOn(resp, f))
		}
		w.shows(resp, web.Done(asked(f, ""), web.Connected, "connected"))
	}
	w := newWorld(t)
	f := w.start("whiplash", noReturn)
	ev := w.callback(f, w.approve(f))
	ev.Headers["accept"] = "application/json"
	if resp := w.handle(ev); resp.StatusCode != 200 || resp.Body != `{"result":"connected"}` {
		t.Errorf("a program sees %d %s", resp.StatusCode, resp.Body)
	}
}

// What return_to says of its own stays, but a result in it is not believed.
func TestTheResultReplacesOneThatWasThere(t *testing.T) {
	w := newWorld(t)
	f := w.start("whiplash", func(ar *authrequest.Request) {
		ar.ReturnTo = "https://app.example.com/?result=connected&connection_id=other&x=%20#/shops"
	})
	resp := w.handle(w.callback(f, url.Values{"error": {"access_denied"}, "state": {f.State}}))
	if want := "https://app.example.com/?x=%20&connection_id=acct_42&provider=whiplash&result=denied#/shops"; resp.Headers["Location"] != want {
		t.Errorf("location = %s, want %s", resp.Headers["Location"], want)
	}
}

// RFC 6749 section 4.1.2: unknown parameters are ignored.
func TestUnknownParametersAreIgnored(t *testing.T) {
	w := newWorld(t)
	f := w.start("whiplash", nil)
	q := w.approve(f)
	for i := range 20 {
		q.Set(fmt.Sprintf("unknown_%d", i), "x")
	}
	q.Set("session_state", "x")
	q.Set("scope", "admin")
	w.returns(w.handle(w.callback(f, q)), f, "connected")
	if got := w.stored(f).Scopes; len(got) != 2 {
		t.Errorf("scopes = %v", got)
	}
}

// A reconnect is a new grant: it replaces the old one whole.
func TestAReconnectReplacesTheGrant(t *testing.T) {
	w := newWorld(t)
	first := w.start("whiplash", nil)
	w.connect(first)
	old := w.stored(first)
	w.now = w.now.Add(time.Hour)
	second := w.start("whiplash", nil)
	w.returns(w.connect(second), second, "connected")
	c := w.stored(second)
	if c.AccessToken == old.AccessToken || c.Fence != old.Fence+1 || !c.ConnectedAt.Equal(w.now) || c.RequestID == old.RequestID {
		t.Errorf("stored %+v", c)
	}
}

// What a provider leaves out costs no connection.
func TestSparseAnswersConnect(t *testing.T) {
	drop := func(names ...string) simulator.Answer {
		return simulator.Answer{Edit: func(m map[string]any) {
			for _, name := range names {
				delete(m, name)
			}
		}}
	}
	account := func(status int, body string) simulator.Answer {
		return simulator.Answer{Endpoint: "userinfo_url", Status: status, Body: body}
	}
	tests := []struct {
		name   string
		answer simulator.Answer
		check  func(connection.Connection) bool
	}{
		{"no refresh token", drop("refresh_token"), func(c connection.Connection) bool { return c.SealedRefreshToken == nil && c.Due.At.IsZero() }},
		{"no scopes: as asked for", drop("scope"), func(c connection.Connection) bool { return reflect.DeepEqual(c.Scopes, []string{"user_read"}) }},
		{"no expiry", drop("expires_in", "created_at"), func(c connection.Connection) bool { return c.ExpiresAt.Equal(noon.Add(2 * time.Hour)) }},
		{"no token type", drop("token_type"), func(c connection.Connection) bool { return c.TokenType == "Bearer" }},
		{"the account look-up fails", account(500, ""), func(c connection.Connection) bool { return c.Account == oauth.Account{} }},
		{"the account look-up is refused", account(401, `{"error":"invalid_token"}`), func(c connection.Connection) bool { return c.Account == oauth.Account{} }},
		{"the account is HTML", account(200, "<html>"), func(c connection.Connection) bool { return c.Account == oauth.Account{} }},
		{"the account look-up is cut off", simulator.Answer{Endpoint: "userinfo_url", Drop: true}, func(c connection.Connection) bool { return c.Account == oauth.Account{} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.sim.Answer("whiplash", tt.answer)
			f := w.start("whiplash", func(ar *authrequest.Request) { ar.Scopes = []string{"user_read"} })
			w.returns(w.connect(f), f, "connected")
			if c := w.stored(f); !tt.check(c) || c.Status != connection.Active {
				t.Errorf("stored %+v", c)
			}
			w.wrote(map[string]int{"ClaimRequest": 1, "Connect": 1, "Get": 1}) // the Get is the test's
		})
	}
}

// A provider that echoes a token where an account should stand gets it into no
// log line.
func TestTheAccountIsNotLogged(t *testing.T) {
	w := newWorld(t)
	w.sim.Answer("whiplash", simulator.Answer{Endpoint: "userinfo_url", Status: 200, Body: `{"id":"c4nary-id","email":"c4nary-label"}`})
	f := w.start("whiplash", nil)
	w.connect(f)
	if strings.Contains(w.printed.String(), "c4nary-") || w.stored(f).Account.ID != "c4nary-id" {
		t.Errorf("log: %s", w.printed.String())
	}
}

var field = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// fields returns the fields of the form on a page.
func fields(page string) url.Values {
	form := url.Values{}
	for _, m := range field.FindAllStringSubmatch(page, -1) {
		form.Add(m[1], m[2])
	}
	return form
}

func encoded(form url.Values) string {
	return base64.StdEncoding.EncodeToString([]byte(form.Encode()))
}

// A cross-site post never carries a Lax cookie: our page posts the same fields
// again, from our own origin, once.
func TestFormPostIsPostedAgainFromOurOrigin(t *testing.T) {
	w := newWorld(t)
	f := w.start("whatnot", nil)
	answer := w.approve(f)
	answer.Set("error_description", "c4nary of the provider")
	answer.Set("unknown", "x")
	page := w.handle(w.event("callback-form-post.json", map[string]string{"body": encoded(answer)}))
	form := fields(page.Body)
	want := url.Values{"code": answer["code"], "state": answer["state"], bounced: {"1"}}
	if page.StatusCode != 200 || !reflect.DeepEqual(form, want) || strings.Contains(page.Body, "c4nary") {
		t.Fatalf("page = %d, fields %v, want %v", page.StatusCode, form, want)
	}
	w.wrote(nil)

	w.problem(w.event("callback-form-post.json", map[string]string{"body": encoded(form)}), web.WrongBrowser)
	w.wrote(nil)

	again := w.event("callback-form-post-again.json", map[string]string{"body": encoded(form), "cookie": f.cookie})
	w.returns(w.handle(again), f, "connected")
	w.returns(w.handle(again), f, "connected") // reloaded
	if w.exchanges("whatnot") != 1 {
		t.Errorf("%d token requests", w.exchanges("whatnot"))
	}
}

// What anybody posts comes back in up to five times as many bytes, so that it
// must be short. What counts for nothing does not count.
func TestALongFormIsNotPostedAgain(t *testing.T) {
	w := newWorld(t)
	answer := w.approve(w.start("whatnot", nil))
	post := func() web.Response {
		return w.handle(w.event("callback-form-post.json", map[string]string{"body": encoded(answer)}))
	}
	answer.Set("unknown", strings.Repeat("x", maxAgain+1))
	answer.Set("code", strings.Repeat("x", maxAgain-len(answer.Get("state"))))
	if page := post(); page.StatusCode != 200 || len(page.Body) > 5*maxAgain {
		t.Errorf("a form of the greatest length: %d, %d bytes", page.StatusCode, len(page.Body))
	}
	answer.Set("code", answer.Get("code")+"x")
	w.problem(w.event("callback-form-post.json", map[string]string{"body": encoded(answer)}), web.BadCallback)
	w.wrote(nil)
}

// A post that our cookie comes with needs no page in between.
func TestFormPostWithTheCookie(t *testing.T) {
	w := newWorld(t)
	f := w.start("whatnot", nil)
	w.returns(w.handle(w.event("callback-form-post-again.json", map[string]string{"body": encoded(w.approve(f)), "cookie": f.cookie})), f, "connected")
}

// tokenClient makes Whisk's client one of the implicit grant.
func (w *world) tokenClient() {
	w.vault.clients["whisk"] = w.client("whisk", map[string]any{"response_type": "token", "scopes": []string{"cookbook:write"}})
}

// Whisk's implicit grant: the answer stands in the fragment, which our page
// moves into a form.
func TestWhisksFragment(t *testing.T) {
	w := newWorld(t)
	w.tokenClient()
	f := w.start("whisk", nil)
	back := w.decide(w.location(f), "approve")
	if back.RawQuery != "" || back.Fragment == "" {
		t.Fatalf("the provider answers in the query: %s", back)
	}
	w.shows(w.handle(w.event("callback-fragment.json", map[string]string{"cookie": f.cookie})), web.PostFragment())

	form, err := url.ParseQuery(back.Fragment)
	if err != nil {
		t.Fatal(err)
	}
	post := w.event("callback-fragment-post.json", map[string]string{"body": encoded(form), "cookie": f.cookie})
	w.returns(w.handle(post), f, "connected")
	w.wrote(map[string]int{"ClaimRequest": 1, "Connect": 1})
	c := w.stored(f)
	if c.AccessToken.Reveal() != form.Get("access_token") || c.SealedRefreshToken != nil || !c.Due.At.IsZero() || !c.ExpiresAt.Equal(noon.Add(24*time.Hour)) ||
		!reflect.DeepEqual(c.Scopes, []string{"cookbook:write"}) || c.Account.ID != simulator.AccountID("whisk", "ada") {
		t.Errorf("stored %+v", c)
	}
	w.returns(w.handle(post), f, "connected") // reloaded
	if n := w.sim.Ledger("whisk").Requests["token_url"]; n != 0 {
		t.Errorf("%d token requests", n)
	}
}

// Only a client whose secret asks for it takes a token from the front channel.
func TestTheFragmentIsOffUnlessTheSecretSaysSo(t *testing.T) {
	w := newWorld(t)
	w.problem(w.event("callback-fragment.json", map[string]string{"cookie": w.start("whisk", nil).cookie}), web.BadCallback)
	for _, p := range []string{"whiplash", "whatnot", "whcc"} {
		ev := w.callback(w.start(p, nil), nil)
		w.problem(ev, web.BadCallback)
	}
	f := w.start("whisk", nil)
	form := url.Values{"access_token": {"c4nary-token"}, "token_type": {"Bearer"}, "state": {f.State}}
	w.problem(w.event("callback-fragment-post.json", map[string]string{"body": encoded(form), "cookie": f.cookie}), web.BadCallback)
	w.nothingStored(f)
}

// The page comes where the client is known, and not by guess: who loads it
// again when the secret is in reach still has the fragment.
func TestTheFragmentPageNeedsTheClient(t *testing.T) {
	w := newWorld(t)
	ev := w.event("callback-fragment.json", map[string]string{"cookie": w.start("whisk", nil).cookie})
	w.vault.clientErr = errDown
	w.problem(ev, web.Unavailable)
	w.vault.clientErr = fmt.Errorf("%w: secret x", oauth.ErrNotConfigured)
	w.problem(ev, web.NotConfigured)
}

func TestATokenComesByOurFormAlone(t *testing.T) {
	tests := []struct {
		name   string
		form   url.Values
		byGet  bool
		denied bool
	}{
		{"by the query", url.Values{"access_token": {"c4nary-token"}, "token_type": {"Bearer"}}, true, false},
		{"without a token", url.Values{"token_type": {"Bearer"}}, false, false},
		{"of another type", url.Values{"access_token": {"c4nary-token"}, "token_type": {"mac"}}, false, false},
		{"a code in its place", url.Values{"code": {"c4nary-code"}}, false, false},
		{"a denial", url.Values{"error": {"access_denied"}}, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.tokenClient()
			f := w.start("whisk", nil)
			tt.form.Set("state", f.State)
			ev := w.event("callback-fragment-post.json", map[string]string{"body": encoded(tt.form), "cookie": f.cookie})
			if tt.byGet {
				ev = w.callback(f, tt.form)
			}
			if tt.denied {
				w.returns(w.handle(ev), f, "denied")
				return
			}
			w.problem(ev, web.BadCallback)
			w.wrote(nil)
		})
	}
}

// WHCC's answer is the credential itself, as its page documents it.
func TestWHCCsDocumentedAnswer(t *testing.T) {
	w := newWorld(t)
	f := w.start("whcc", nil)
	w.returns(w.handle(w.event("callback-whcc.json", map[string]string{"state": f.State, "cookie": f.cookie})), f, "connected")
	c := w.stored(f)
	if c.AccessToken != "f5961220db4950744f69331954efb553" || c.Account != (oauth.Account{ID: "10072", Label: "Lakeside Studio"}) || c.Metadata["state"] != "MN" || !c.ExpiresAt.IsZero() {
		t.Errorf("stored %+v", c)
	}
	f = w.start("whcc", nil)
	w.returns(w.handle(w.event("callback-whcc-denied.json", map[string]string{"state": f.State, "cookie": f.cookie})), f, "denied")
}

func TestBadWhData(t *testing.T) {
	tests := map[string]string{
		"missing": "", "not JSON": "x", "an array": `["token"]`, "no token": `{"client_id":1}`, "an empty token": `{"token":""}`, "a token that is a number": `{"token":7}`,
		"two tokens": `{"token":"c4nary-a","token":"c4nary-b"}`, "torn": `{"token":"c4nary`, "followed by more": `{"token":"c4nary"}{}`,
		"deep": `{"token":"c4nary","x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, "100 kB": `{"token":"` + strings.Repeat("c4nary", 17000) + `"}`,
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			f := w.start("whcc", nil)
			w.problem(w.callback(f, url.Values{"state": {f.State}, "whData": {data}}), web.BadCallback)
			if data == "" { // the URL where an outcome is shown: only the owner of the cookie gets so far
				w.wrote(map[string]int{"GetRequest": 1})
			} else {
				w.wrote(nil)
			}
			w.returns(w.connect(f), f, "connected") // nothing was consumed
		})
	}
}

// WHCC's credential leaves the address bar and the history: what is shown stands
// at a URL without it. That belongs to the browser that started, and begins
// nothing.
func TestNoPageStandsAtAURLWithWhData(t *testing.T) {
	tests := map[string]struct {
		before func(w *world)
		params url.Values // added to the provider's answer
		page   web.Text
	}{
		"connected":       {page: web.Connected},
		"declined":        {params: url.Values{"error": {"access_denied"}}, page: web.Denied},
		"failed":          {params: url.Values{"error": {"server_error"}}, page: web.ProviderFailed},
		"another account": {before: func(w *world) { w.user = "bob"; w.connect(w.start("whcc", nil)); w.user = "" }, page: web.AccountChanged},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tt.before != nil {
				tt.before(w)
			}
			f := w.start("whcc", noReturn)
			w.problem(w.callback(f, url.Values{"state": {f.State}}), web.BadCallback) // nothing has ended yet
			answer := w.approve(f)
			maps.Copy(answer, tt.params)
			first := w.callback(f, answer)
			w.printed.Reset()
			shown := w.leadsOn(w.handle(first), f)
			line := w.printed.String()
			page := web.Done(asked(f, ""), tt.page, "")
			if tt.page.Type != "" {
				page = web.Problem(asked(f, f.Reference()), tt.page)
			}
			w.shows(w.handle(shown), page)
			w.leadsOn(w.handle(first), f) // loaded again
			w.shows(w.handle(shown), page)
			if w.printed.String() != line || strings.Count(line, "\n") != 1 {
				t.Errorf("the log is %s", w.printed.String())
			}
			another := w.start("whcc", noReturn)
			for _, cookies := range [][]string{nil, {another.cookie}} {
				shown.Cookies = cookies
				w.problem(shown, web.WrongBrowser)
			}
		})
	}
}
