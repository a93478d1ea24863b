package simulator

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestAuthorizationCodeFlowFromLoginToAccount(t *testing.T) {
	for _, provider := range oauthProviders {
		t.Run(provider, func(t *testing.T) {
			w := newWorld(t, Config{})
			login := w.visit(w.authorizationURL(provider, nil))
			if login.status != http.StatusOK || !strings.Contains(login.body, "nothing here is real") {
				t.Errorf("login page: %d\n%s", login.status, login.body)
			}
			consent := w.logIn(login, "ada")
			for _, scope := range strings.FieldsFunc(scopesOf[provider], func(r rune) bool { return r == ' ' || r == ',' }) {
				if !strings.Contains(consent.body, "<code>"+scope+"</code>") {
					t.Errorf("the consent page does not name the scope %s", scope)
				}
			}
			back := w.click(consent, "approve", nil)
			if got := back.location.Query().Get("state"); got != "a state" {
				t.Errorf("state = %q", got)
			}
			access, refresh := w.tokens(w.exchange(provider, back.location.Query().Get("code"), nil))
			if me := w.whoami(provider, access); me.status != http.StatusOK || !strings.Contains(me.body, AccountID(provider, "ada")) {
				t.Errorf("account: %d %s, want ID %s", me.status, me.body, AccountID(provider, "ada"))
			}
			access2, refresh2 := w.tokens(w.refresh(provider, refresh, nil))
			if access2 == access || refresh2 == refresh {
				t.Error("the refresh did not bring new tokens")
			}
			want := Ledger{
				Requests:      map[string]int{authorizationURL: 4, tokenURL: 2, userinfoURL: 1},
				TokenRequests: map[string]int{"authorization_code": 1, "refresh_token": 1},
				Refused:       map[Refusal]int{}, Approved: 1,
				RefreshTokensIssued: 2, RefreshTokensSpent: 1,
				LiveRefreshTokens: []string{refresh2}, LiveAccessTokens: []string{access2},
			}
			got := w.Ledger(provider)
			if provider == "whatnot" { // its refresh leaves the old access token alive
				if len(got.LiveAccessTokens) != 2 {
					t.Errorf("live access tokens = %d, want 2", len(got.LiveAccessTokens))
				}
				got.LiveAccessTokens = want.LiveAccessTokens
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("ledger = %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestLoginIsRememberedForItsProviderOnly(t *testing.T) {
	w := newWorld(t, Config{})
	w.logIn(w.visit(w.authorizationURL("whisk", nil)), "ada")
	again := w.visit(w.authorizationURL("whisk", nil))
	if !strings.Contains(again.body, "<strong>ada</strong>") {
		t.Error("the second visit asks to log in again")
	}
	if !strings.Contains(w.visit(w.authorizationURL("whatnot", nil)).body, `id="password"`) {
		t.Error("the login at Whisk signs in at Whatnot")
	}
	if !strings.Contains(w.click(again, "logout", nil).body, `id="password"`) {
		t.Error("logging out leaves the user signed in")
	}
}

func TestLoginNeedsUserNameAndPassword(t *testing.T) {
	w := newWorld(t, Config{})
	for _, fields := range []url.Values{
		{"username": {" "}, "password": {"any"}},
		{"username": {"ada"}, "password": {""}},
		{"username": {strings.Repeat("a", 101)}, "password": {"any"}},
	} {
		got := w.click(w.visit(w.authorizationURL("whatnot", nil)), "login", fields)
		if got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, `role="alert"`) {
			t.Errorf("login with %v: %d", fields, got.status)
		}
	}
}

func TestPagesEscapeTheUserName(t *testing.T) {
	w := newWorld(t, Config{})
	got := w.logIn(w.visit(w.authorizationURL("whatnot", nil)), "<script>x</script>")
	if strings.Contains(got.body, "<script>") {
		t.Error("the user name stands unescaped on the page")
	}
}

func TestTokenLifetimeHoldsForEveryProvider(t *testing.T) {
	w := newWorld(t, Config{TokenLifetime: 30 * time.Second})
	for _, provider := range oauthProviders {
		got := w.exchange(provider, w.approve(provider, nil), nil)
		access, _ := w.tokens(got)
		if got.json["expires_in"] != 30.0 {
			t.Errorf("%s: expires_in = %v, want 30", provider, got.json["expires_in"])
		}
		if got := w.whoami(provider, access).status; got != http.StatusOK {
			t.Errorf("%s: account before expiry: %d", provider, got)
		}
		w.pass(30 * time.Second)
		if got := w.whoami(provider, access).status; got != http.StatusUnauthorized {
			t.Errorf("%s: account at expiry: %d, want 401", provider, got)
		}
	}
}

func TestDocumentedTokenLives(t *testing.T) {
	w := newWorld(t, Config{})
	for provider, want := range map[string]float64{"whiplash": 7200, "whisk": 2592000, "whatnot": 3600} {
		if got := w.exchange(provider, w.approve(provider, nil), nil).json["expires_in"]; got != want {
			t.Errorf("%s: expires_in = %v, want %v", provider, got, want)
		}
	}
}

func TestRevokeEndsAllTokensOfTheAccount(t *testing.T) {
	for _, provider := range oauthProviders {
		w := newWorld(t, Config{})
		access, refresh := w.connect(provider)
		w.connect(provider)
		w.Revoke(provider, AccountID(provider, "grace"))
		if got := len(w.Ledger(provider).LiveRefreshTokens); got != 2 {
			t.Errorf("%s: %d live grants after another account was revoked, want 2", provider, got)
		}
		w.Revoke(provider, AccountID(provider, "ada"))
		if got := w.whoami(provider, access).status; got != http.StatusUnauthorized {
			t.Errorf("%s: account: %d, want 401", provider, got)
		}
		if got := w.refresh(provider, refresh, nil).status; got < 400 {
			t.Errorf("%s: refresh: %d", provider, got)
		}
		if l := w.Ledger(provider); l.GrantsEnded != 2 || len(l.LiveAccessTokens)+len(l.LiveRefreshTokens) != 0 {
			t.Errorf("%s: ledger = %+v", provider, l)
		}
	}
}

func TestGrantsSurviveARestart(t *testing.T) {
	var saved []byte
	save := func(s State) {
		var err error
		if saved, err = json.Marshal(s); err != nil {
			t.Error(err)
		}
	}
	restart := func() *world {
		var state State
		if saved != nil {
			if err := json.Unmarshal(saved, &state); err != nil {
				t.Fatal(err)
			}
		}
		return newWorld(t, Config{Save: save, State: state})
	}
	for _, provider := range oauthProviders {
		_, first := restart().connect(provider)
		access, second := restart().refreshed(provider, first)
		w := restart()
		if got := w.whoami(provider, access).status; got != http.StatusOK {
			t.Errorf("%s: account after the restart: %d", provider, got)
		}
		w.refresh(provider, first, nil)
		if got := w.Ledger(provider).RefreshTokensReused; got != 1 {
			t.Errorf("%s: a token spent before the restart counts %d reuses, want 1", provider, got)
		}
		w.Revoke(provider, AccountID(provider, "ada"))
		if got := restart().refresh(provider, second, nil).status; got < 400 {
			t.Errorf("%s: refresh of a grant revoked before the restart: %d", provider, got)
		}
	}
}

func TestStateNeedsNoClicks(t *testing.T) {
	w := newWorld(t, Config{State: State{Grants: []Grant{
		{Provider: "whiplash", Username: "ada", Scopes: []string{"user_read"}, Refresh: Token{Value: "seeded"}},
		{Provider: "another", Username: "ada"},
	}}})
	if got := w.refresh("whiplash", "seeded", nil); got.json["scope"] != "user_read" {
		t.Errorf("refresh: %d %s", got.status, got.body)
	}
	w.Revoke("another", AccountID("another", "ada")) // a grant of a provider that is not simulated is none
}

func TestEndpointsAreThoseTheProviderHas(t *testing.T) {
	s := New(Config{Now: time.Now})
	for provider, want := range map[string][]string{
		"whiplash": {authorizationURL, tokenURL, revocationURL, userinfoURL},
		"whisk":    {authorizationURL, tokenURL, userinfoURL},
		"whatnot":  {authorizationURL, tokenURL, revocationURL, userinfoURL},
		"whcc":     {tokenURL, prepareURL},
	} {
		got := s.Endpoints("http://127.0.0.1:8789/", provider)
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", provider, got, want)
		}
		for _, key := range want {
			if !strings.HasPrefix(got[key], "http://127.0.0.1:8789/"+provider+"/") {
				t.Errorf("%s: %s = %q", provider, key, got[key])
			}
		}
	}
	if got := s.Endpoints("http://127.0.0.1:8789", "acme"); got != nil {
		t.Errorf("a provider that is not simulated has endpoints %v", got)
	}
}

func TestConfiguredClientAndRedirectURIs(t *testing.T) {
	own := Client{ID: "own", Secret: "own secret"}
	w := newWorld(t, Config{
		Clients:      map[string]Client{"whisk": own},
		RedirectURIs: []string{"https://app.example/callback/whisk"},
	})
	change := url.Values{"client_id": {own.ID}, "redirect_uri": {"https://app.example/callback/whisk"}}
	code := w.approve("whisk", change)
	change.Set("client_secret", own.Secret)
	if got := w.exchange("whisk", code, change); got.status != http.StatusOK {
		t.Errorf("exchange: %d %s", got.status, got.body)
	}
	if got := w.visit(w.authorizationURL("whisk", url.Values{"client_id": {own.ID}})); got.status != http.StatusBadRequest {
		t.Errorf("an unregistered redirect URI on localhost: %d, want 400", got.status)
	}
}

func TestUnknownProviderInATestPanics(t *testing.T) {
	s := New(Config{Now: time.Now})
	for name, misspelt := range map[string]func(){
		"Ledger":   func() { s.Ledger("whiskk") },
		"Answer":   func() { s.Answer("whiskk", Answer{}) },
		"endpoint": func() { s.Answer("whisk", Answer{Endpoint: revocationURL}) },
		"browser":  func() { s.Answer("whisk", Answer{Endpoint: authorizationURL}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			misspelt()
		}()
	}
}
