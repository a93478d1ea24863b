package simulator

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestRefusedExchangeLeavesTheCodeGood(t *testing.T) {
	tests := []struct {
		name   string
		change url.Values
		want   string
	}{
		{"no grant type", url.Values{"grant_type": {""}}, "invalid_request"},
		{"another grant type", url.Values{"grant_type": {"client_credentials"}}, "unsupported_grant_type"},
		{"no code", url.Values{"code": {""}}, "invalid_request"},
		{"no redirect URI", url.Values{"redirect_uri": {""}}, "invalid_request"},
		{"another redirect URI", url.Values{"redirect_uri": {redirectURI}}, "invalid_grant"},
		{"another code", url.Values{"code": {"made-up"}}, "invalid_grant"},
		{"no client", url.Values{"client_id": {""}}, "invalid_client"},
		{"another client", url.Values{"client_id": {"nobody"}}, "invalid_client"},
		{"no secret", url.Values{"client_secret": {""}}, "invalid_client"},
		{"a wrong secret", url.Values{"client_secret": {"guess"}}, "invalid_client"},
		{"a parameter repeated", url.Values{"scope": {"one", "two"}}, "invalid_request"},
	}
	for _, tt := range tests {
		for _, provider := range oauthProviders {
			t.Run(provider+" "+tt.name, func(t *testing.T) {
				w := newWorld(t, Config{})
				code := w.approve(provider, nil)
				if got := w.exchange(provider, code, tt.change); !refusedAs(provider, got, tt.want) {
					t.Errorf("answer: %d %s, want %s", got.status, got.body, tt.want)
				}
				for refusal := range w.Ledger(provider).Refused {
					if refusal.Endpoint != tokenURL || refusal.Code != tt.want {
						t.Errorf("ledger: %+v, want %s", refusal, tt.want)
					}
				}
				w.tokens(w.exchange(provider, code, nil))
			})
		}
	}
}

func TestTokenEndpointTakesOnlyAPostedForm(t *testing.T) {
	for _, provider := range oauthProviders {
		w := newWorld(t, Config{})
		_, refresh := w.connect(provider)
		c := DefaultClient(provider)
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "client_id": {c.ID}, "client_secret": {c.Secret}}.Encode()
		tests := []struct {
			name, method, query, media, body string
			want                             int
		}{
			{"GET", http.MethodGet, "?" + form, "", "", http.StatusMethodNotAllowed},
			{"query", http.MethodPost, "?" + form, "application/x-www-form-urlencoded", "", http.StatusBadRequest},
			{"query beside the body", http.MethodPost, "?x=1", "application/x-www-form-urlencoded", form, http.StatusBadRequest},
			{"JSON", http.MethodPost, "", "application/json", `{"grant_type":"refresh_token"}`, http.StatusBadRequest},
			{"no type", http.MethodPost, "", "", form, http.StatusBadRequest},
			{"bad escape", http.MethodPost, "", "application/x-www-form-urlencoded", form + "&x=%zz", http.StatusBadRequest},
			{"torn multipart", http.MethodPost, "", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n", http.StatusBadRequest},
			{"too long", http.MethodPost, "", "application/x-www-form-urlencoded", form + "&x=" + strings.Repeat("x", maxBody), http.StatusBadRequest},
		}
		for _, tt := range tests {
			r := w.request(tt.method, w.Endpoints(w.base, provider)[tokenURL]+tt.query, strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.media)
			if provider == "whatnot" {
				r.Header.Set("Authorization", "Bearer "+c.Secret)
			}
			if got := w.do(http.DefaultClient, r); got.status != tt.want {
				t.Errorf("%s %s: %d %s, want %d", provider, tt.name, got.status, got.body, tt.want)
			}
		}
		if l := w.Ledger(provider); l.RefreshTokensSpent != 0 {
			t.Errorf("%s: a refused request spent the refresh token", provider)
		}
	}
}

// Doorkeeper advertises client_secret_post alone, and newer ones refuse a
// client that authenticates twice.
func TestWhiplashAndWhiskTakeTheSecretInTheBodyOnly(t *testing.T) {
	for _, provider := range []string{"whiplash", "whisk"} {
		w := newWorld(t, Config{})
		_, refresh := w.connect(provider)
		c := DefaultClient(provider)
		for _, secret := range []string{c.Secret, ""} {
			form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "client_id": {c.ID}, "client_secret": {secret}}
			r := w.formRequest(w.Endpoints(w.base, provider)[tokenURL], form)
			r.SetBasicAuth(c.ID, c.Secret)
			want := "invalid_client"
			if secret != "" {
				want = "invalid_request"
			}
			if got := w.do(http.DefaultClient, r); !refusedAs(provider, got, want) {
				t.Errorf("%s: %d %s, want %s", provider, got.status, got.body, want)
			}
		}
		w.refreshed(provider, refresh)
	}
}

func TestCodeIsGoodOnceAndItsReuseEndsTheGrant(t *testing.T) {
	for _, provider := range oauthProviders {
		w := newWorld(t, Config{})
		code := w.approve(provider, nil)
		access, refresh := w.tokens(w.exchange(provider, code, nil))
		if got := w.exchange(provider, code, nil); !refusedAs(provider, got, "invalid_grant") {
			t.Errorf("%s: second exchange: %d %s", provider, got.status, got.body)
		}
		if got := w.whoami(provider, access).status; got != http.StatusUnauthorized {
			t.Errorf("%s: the access token still works: %d", provider, got)
		}
		if got := w.refresh(provider, refresh, nil).status; got < 400 {
			t.Errorf("%s: the refresh token still works: %d", provider, got)
		}
	}
}

func TestCodeExpires(t *testing.T) {
	for provider, life := range map[string]time.Duration{"whiplash": 10 * time.Minute, "whisk": 24 * time.Hour, "whatnot": 10 * time.Minute} {
		w := newWorld(t, Config{})
		inTime, late := w.approve(provider, nil), w.approve(provider, nil)
		w.pass(life - time.Second)
		w.tokens(w.exchange(provider, inTime, nil))
		w.pass(time.Second)
		if got := w.exchange(provider, late, nil); !refusedAs(provider, got, "invalid_grant") {
			t.Errorf("%s: exchange after %v: %d %s", provider, life, got.status, got.body)
		}
	}
}

func TestWhatOneProviderIssuesIsUnknownToAnother(t *testing.T) {
	w := newWorld(t, Config{})
	access, refresh := w.connect("whiplash")
	if got := w.refresh("whatnot", refresh, nil); got.json["error"] != "invalid_grant" {
		t.Errorf("refresh token: %d %s", got.status, got.body)
	}
	if got := w.whoami("whatnot", access).status; got != http.StatusUnauthorized {
		t.Errorf("access token: %d", got)
	}
	code := w.approve("whiplash", nil)
	if got := w.exchange("whatnot", code, url.Values{"redirect_uri": {redirectURI + "/whiplash"}}); got.json["error"] != "invalid_grant" {
		t.Errorf("answer: %d %s", got.status, got.body)
	}
}

func TestPKCEIsCheckedAtWhiplashAndIgnoredElsewhere(t *testing.T) {
	// The pair of RFC 7636 appendix B.
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	s256 := url.Values{"code_challenge": {challenge}, "code_challenge_method": {"S256"}}
	// The challenge of the verifier "short", which is too short to be one.
	short := url.Values{"code_challenge": {"-bAHi131ltLqGQEMABu9AJ5lHeLFfo-341XzHrnT9zk"}, "code_challenge_method": {"S256"}}
	tests := []struct {
		name, provider string
		asked          url.Values
		verifier       string
		want           int
	}{
		{"right verifier", "whiplash", s256, verifier, http.StatusOK},
		{"no verifier", "whiplash", s256, "", http.StatusBadRequest},
		{"another verifier", "whiplash", s256, strings.Repeat("v", 43), http.StatusBadRequest},
		{"a verifier too short", "whiplash", short, "short", http.StatusBadRequest},
		{"the challenge as verifier", "whiplash", s256, challenge, http.StatusBadRequest},
		{"a verifier nobody asked for", "whiplash", nil, verifier, http.StatusBadRequest},
		{"no PKCE at all", "whiplash", nil, "", http.StatusOK},
		{"no verifier", "whisk", s256, "", http.StatusOK},
		{"another verifier", "whatnot", s256, "v", http.StatusOK},
	}
	for _, tt := range tests {
		t.Run(tt.provider+" "+tt.name, func(t *testing.T) {
			w := newWorld(t, Config{})
			got := w.exchange(tt.provider, w.approve(tt.provider, tt.asked), url.Values{"code_verifier": {tt.verifier}})
			if got.status != tt.want {
				t.Errorf("answer: %d %s, want %d", got.status, got.body, tt.want)
			}
		})
	}
}

func TestSpentRefreshTokenIsRefused(t *testing.T) {
	tests := map[string]struct {
		status  int
		code    string
		survive bool // the grant survives the reuse
	}{
		"whiplash": {http.StatusBadRequest, "invalid_grant", true},
		"whisk":    {http.StatusUnauthorized, "auth.tokenNotFound", true},
		"whatnot":  {http.StatusBadRequest, "invalid_grant", false},
	}
	for provider, tt := range tests {
		w := newWorld(t, Config{})
		_, first := w.connect(provider)
		_, second := w.refreshed(provider, first)
		got := w.refresh(provider, first, nil)
		if code := got.json["error"]; got.status != tt.status || (code != tt.code && got.json["code"] != tt.code) {
			t.Errorf("%s: reuse: %d %s", provider, got.status, got.body)
		}
		l := w.Ledger(provider)
		if l.RefreshTokensReused != 1 || l.RefreshTokensSpent != 1 || l.Refused[Refusal{tokenURL, "invalid_grant", "the refresh token has been used before"}] != 1 {
			t.Errorf("%s: ledger = %+v", provider, l)
		}
		if got := w.refresh(provider, second, nil).status == http.StatusOK; got != tt.survive {
			t.Errorf("%s: the grant survived the reuse: %v, want %v", provider, got, tt.survive)
		}
	}
}

func TestRefusedRefreshLeavesTheRefreshTokenGood(t *testing.T) {
	tests := []struct {
		name   string
		change url.Values
	}{
		{"no refresh token", url.Values{"refresh_token": {""}}},
		{"a refresh token made up", url.Values{"refresh_token": {"made-up"}}},
		{"a wrong secret", url.Values{"client_secret": {"guess"}}},
		{"a wider scope", url.Values{"scope": {"admin"}}},
		{"a parameter repeated", url.Values{"refresh_token": {"one", "two"}}},
	}
	for _, provider := range oauthProviders {
		w := newWorld(t, Config{})
		access, refresh := w.connect(provider)
		for _, tt := range append(tests, struct {
			name   string
			change url.Values
		}{"the access token", url.Values{"refresh_token": {access}}}) {
			if got := w.refresh(provider, refresh, tt.change).status; got < 400 {
				t.Errorf("%s: %s: %d", provider, tt.name, got)
			}
		}
		if got := w.whoami(provider, access).status; got != http.StatusOK {
			t.Errorf("%s: the access token no longer works: %d", provider, got)
		}
		w.refreshed(provider, refresh)
	}
}

func TestRefreshMayNarrowTheScope(t *testing.T) {
	w := newWorld(t, Config{})
	_, refresh := w.connect("whatnot")
	got := w.refresh("whatnot", refresh, url.Values{"scope": {"read:orders"}})
	_, refresh = w.tokens(got)
	if got.json["scope"] != "read:orders" {
		t.Errorf("scope = %v", got.json["scope"])
	}
	if got := w.refresh("whatnot", refresh, nil); got.json["scope"] != "read:orders write:orders" {
		t.Errorf("the grant itself was narrowed to %v", got.json["scope"])
	}
}

func TestRefreshTokensEndAfterAYear(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for provider, ends := range map[string]bool{"whiplash": false, "whisk": true, "whatnot": true} {
		w := newWorld(t, Config{})
		_, refresh := w.connect(provider)
		w.pass(year - time.Second)
		_, refresh = w.refreshed(provider, refresh)
		w.pass(year)
		if got := w.refresh(provider, refresh, nil).status != http.StatusOK; got != ends {
			t.Errorf("%s: refused after a year: %v, want %v", provider, got, ends)
		}
	}
}

// Whiplash and Whisk keep access token and refresh token together; Whatnot is
// not known to.
func TestRefreshEndsTheOldAccessToken(t *testing.T) {
	for provider, ends := range map[string]bool{"whiplash": true, "whisk": true, "whatnot": false} {
		w := newWorld(t, Config{})
		access, refresh := w.connect(provider)
		w.refreshed(provider, refresh)
		if got := w.whoami(provider, access).status != http.StatusOK; got != ends {
			t.Errorf("%s: ended: %v, want %v", provider, got, ends)
		}
	}
}

func TestOneOfManyRefreshesWithOneTokenWins(t *testing.T) {
	for _, provider := range oauthProviders {
		w := newWorld(t, Config{Save: func(State) {}})
		_, refresh := w.connect(provider)
		var wins atomic.Int32
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if w.refresh(provider, refresh, nil).status == http.StatusOK {
					wins.Add(1)
				}
			})
		}
		wg.Wait()
		if got := wins.Load(); got != 1 {
			t.Errorf("%s: %d of 10 refreshes won, want 1", provider, got)
		}
		if l := w.Ledger(provider); l.TokenRequests["refresh_token"] != 10 || l.RefreshTokensSpent != 1 {
			t.Errorf("%s: ledger = %+v", provider, l)
		}
	}
}

func TestOldSpentTokensAreForgotten(t *testing.T) {
	w := newWorld(t, Config{})
	_, first := w.connect("whatnot")
	refresh := first
	for range rememberedSpent + 1 {
		_, refresh = w.refreshed("whatnot", refresh)
	}
	if got := w.refresh("whatnot", first, nil); got.json["error"] != "invalid_grant" {
		t.Errorf("answer: %d %s", got.status, got.body)
	}
	w.refreshed("whatnot", refresh) // a forgotten one does not end the grant
}
