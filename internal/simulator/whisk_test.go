package simulator

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestWhiskAnswersAsDocumented(t *testing.T) {
	w := newWorld(t, Config{})
	got := w.exchange("whisk", w.approve("whisk", nil), nil)
	w.tokens(got)
	if got.json["token_type"] != "Bearer" || !reflect.DeepEqual(got.json["scope"], []any{"cookbook:write"}) {
		t.Errorf("answer: %s", got.body)
	}
}

func TestWhiskTakesMultipart(t *testing.T) {
	w := newWorld(t, Config{})
	_, refresh := w.connect("whisk")
	w.tokens(w.do(http.DefaultClient, w.multipartRefresh("whisk", refresh)))
}

func TestWhiskSeparatesScopesBySpaceOrComma(t *testing.T) {
	w := newWorld(t, Config{})
	for _, scope := range []string{"offline_access cookbook:write", "offline_access,cookbook:write", "offline_access, cookbook:write"} {
		w.tokens(w.exchange("whisk", w.approve("whisk", url.Values{"scope": {scope}}), nil))
	}
}

func TestWhiskGivesARefreshTokenForOfflineAccessOnly(t *testing.T) {
	w := newWorld(t, Config{})
	got := w.exchange("whisk", w.approve("whisk", url.Values{"scope": {"cookbook:write"}}), nil)
	if got.status != http.StatusOK || got.json["access_token"] == nil || got.json["refresh_token"] != nil {
		t.Errorf("answer: %d %s", got.status, got.body)
	}
	if issued := w.Ledger("whisk").RefreshTokensIssued; issued != 0 {
		t.Errorf("ledger counts %d refresh tokens", issued)
	}
}

func TestWhiskComparesTheBaseOfTheRedirectURI(t *testing.T) {
	w := newWorld(t, Config{})
	code := w.approve("whisk", nil)
	if got := w.exchange("whisk", code, url.Values{"redirect_uri": {redirectURI}}); got.json["code"] != "general.notFound" {
		t.Errorf("another path: %d %s", got.status, got.body)
	}
	w.tokens(w.exchange("whisk", code, url.Values{"redirect_uri": {redirectURI + "/whisk?tenant=7"}}))
}

func TestWhiskShowsTheIdentityProvider(t *testing.T) {
	w := newWorld(t, Config{})
	if got := w.visit(w.authorizationURL("whisk", url.Values{"identity_provider": {"google"}})); !strings.Contains(got.body, "google") {
		t.Error("the login page does not name the identity provider")
	}
}

func TestWhiskImplicitGrantAnswersInTheFragment(t *testing.T) {
	w := newWorld(t, Config{})
	request := w.authorizationURL("whisk", url.Values{"response_type": {"token"}, "scope": {""}})
	consent := w.logIn(w.visit(request), "ada")
	back := w.click(consent, "approve", nil).location
	got, err := url.ParseQuery(back.Fragment)
	if err != nil {
		t.Fatal(err)
	}
	access := got.Get("access_token")
	want := url.Values{"access_token": {access}, "token_type": {"Bearer"}, "expires_in": {"86400"}, "state": {"a state"}}
	if back.RawQuery != "" || access == "" || !reflect.DeepEqual(got, want) {
		t.Errorf("sent back to %s", back)
	}
	if me := w.whoami("whisk", access); me.status != http.StatusOK {
		t.Errorf("account: %d %s", me.status, me.body)
	}
	w.pass(24 * time.Hour)
	if me := w.whoami("whisk", access); me.json["code"] != "auth.tokenExpired" {
		t.Errorf("account after a day: %d %s", me.status, me.body)
	}
	if denied := w.click(consent, "deny", nil).location; !strings.Contains(denied.Fragment, "error=access_denied") || denied.RawQuery != "" {
		t.Errorf("denial sent back to %s", denied)
	}
}

func TestWhiskAccount(t *testing.T) {
	w := newWorld(t, Config{})
	access, refresh := w.connect("whisk")
	user, _ := w.whoami("whisk", access).json["user"].(map[string]any)
	if user["id"] != AccountID("whisk", "ada") || user["email"] != "ada@example.com" {
		t.Errorf("account: %v", user)
	}
	w.refreshed("whisk", refresh)
	if got := w.whoami("whisk", access); got.status != http.StatusUnauthorized || got.json["code"] != "auth.tokenInvalid" {
		t.Errorf("account with a dead token: %d %s", got.status, got.body)
	}
	if got := w.do(http.DefaultClient, w.request(http.MethodGet, w.Endpoints(w.base, "whisk")[userinfoURL], nil)); got.json["code"] != "auth.tokenRequired" {
		t.Errorf("account without a token: %d %s", got.status, got.body)
	}
}
