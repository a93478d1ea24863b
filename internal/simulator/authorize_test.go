package simulator

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestDenialIsSentBackWithState(t *testing.T) {
	for _, provider := range oauthProviders {
		w := newWorld(t, Config{})
		back := w.click(w.logIn(w.visit(w.authorizationURL(provider, nil)), "ada"), "deny", nil)
		q := back.location.Query()
		if q.Get("error") != "access_denied" || q.Get("error_description") == "" || q.Get("state") != "a state" || q.Has("code") {
			t.Errorf("%s: sent back to %s", provider, back.location)
		}
		if l := w.Ledger(provider); l.Denied != 1 || l.Approved != 0 {
			t.Errorf("%s: ledger counts %d denied, %d approved", provider, l.Denied, l.Approved)
		}
	}
}

// Without a client and a redirect URI that are known, RFC 6749 section 4.1.2.1
// forbids the redirect.
func TestRequestsThatAreNeverSentBack(t *testing.T) {
	tests := map[string]url.Values{
		"no client":                          {"client_id": {""}},
		"unknown client":                     {"client_id": {"nobody"}},
		"no redirect URI":                    {"redirect_uri": {""}},
		"redirect URI elsewhere":             {"redirect_uri": {"https://evil.example/"}},
		"redirect URI that looks like local": {"redirect_uri": {"http://localhost.evil.example/"}},
		"redirect URI with user":             {"redirect_uri": {"http://localhost@127.0.0.1/"}},
		"redirect URI with fragment":         {"redirect_uri": {"http://localhost/#"}},
		"redirect URI of another scheme":     {"redirect_uri": {"javascript://localhost/"}},
		"redirect URI that is no URI":        {"redirect_uri": {"http://local host/"}},
		"a parameter repeated":               {"state": {"one", "two"}},
	}
	for name, change := range tests {
		for _, provider := range oauthProviders {
			t.Run(provider+" "+name, func(t *testing.T) {
				w := newWorld(t, Config{})
				got := w.visit(w.authorizationURL(provider, change))
				if got.status != http.StatusBadRequest || got.location != nil || !strings.Contains(got.body, `role="alert"`) {
					t.Errorf("answer: %d to %v", got.status, got.location)
				}
				if refused := w.Ledger(provider).Refused; len(refused) != 1 {
					t.Errorf("ledger: %v", refused)
				}
			})
		}
	}
}

func TestRefusedRequestsAreSentBackAsErrors(t *testing.T) {
	challenge := strings.Repeat("c", 43)
	tests := []struct {
		name, provider string
		change         url.Values
		want           string
	}{
		{"no response type", "whiplash", url.Values{"response_type": {""}}, "invalid_request"},
		{"implicit", "whiplash", url.Values{"response_type": {"token"}}, "unsupported_response_type"},
		{"implicit", "whatnot", url.Values{"response_type": {"token"}}, "unsupported_response_type"},
		{"response type made up", "whisk", url.Values{"response_type": {"id_token"}}, "unsupported_response_type"},
		{"no scope", "whiplash", url.Values{"scope": {""}}, "invalid_scope"},
		{"no scope", "whisk", url.Values{"scope": {" , "}}, "invalid_scope"},
		{"no scope", "whatnot", url.Values{"scope": {""}}, "invalid_scope"},
		{"a scope unknown", "whiplash", url.Values{"scope": {"user_read app_read"}}, "invalid_scope"},
		{"scopes by comma", "whiplash", url.Values{"scope": {"user_read,user_manage"}}, "invalid_scope"},
		{"scopes by comma", "whatnot", url.Values{"scope": {"read:orders,write:orders"}}, "invalid_scope"},
		{"full_access", "whatnot", url.Values{"scope": {"full_access"}}, "invalid_scope"},
		{"plain PKCE", "whiplash", url.Values{"code_challenge": {challenge}, "code_challenge_method": {"plain"}}, "invalid_request"},
		{"PKCE without method", "whiplash", url.Values{"code_challenge": {challenge}}, "invalid_request"},
		{"PKCE without challenge", "whiplash", url.Values{"code_challenge_method": {"S256"}}, "invalid_request"},
		{"PKCE challenge too short", "whiplash", url.Values{"code_challenge": {"c"}, "code_challenge_method": {"S256"}}, "invalid_request"},
	}
	for _, tt := range tests {
		t.Run(tt.provider+" "+tt.name, func(t *testing.T) {
			w := newWorld(t, Config{})
			got := w.visit(w.authorizationURL(tt.provider, tt.change))
			if got.location == nil {
				t.Fatalf("not sent back: %d", got.status)
			}
			q := got.location.Query()
			if q.Get("error") != tt.want || q.Get("error_description") == "" || q.Get("state") != "a state" {
				t.Errorf("sent back to %s, want error %s", got.location, tt.want)
			}
			for refusal := range w.Ledger(tt.provider).Refused {
				if refusal.Endpoint != authorizationURL || refusal.Code != tt.want {
					t.Errorf("ledger: %+v", refusal)
				}
			}
		})
	}
}

func TestRedirectURIKeepsItsQuery(t *testing.T) {
	w := newWorld(t, Config{})
	uri := redirectURI + "/whiplash?tenant=7"
	code := w.approve("whiplash", url.Values{"redirect_uri": {uri}})
	back := w.click(w.visit(w.authorizationURL("whiplash", url.Values{"redirect_uri": {uri}})), "deny", nil)
	if !strings.HasPrefix(back.location.String(), uri+"&") {
		t.Errorf("sent back to %s", back.location)
	}
	if got := w.exchange("whiplash", code, nil); got.json["error"] != "invalid_grant" {
		t.Errorf("exchange without the query: %d %s", got.status, got.body)
	}
	if got := w.exchange("whiplash", code, url.Values{"redirect_uri": {uri}}); got.status != http.StatusOK {
		t.Errorf("exchange with the query: %d %s", got.status, got.body)
	}
}

func TestStateIsOptionalAndThenAbsent(t *testing.T) {
	w := newWorld(t, Config{})
	back := w.click(w.logIn(w.visit(w.authorizationURL("whiplash", url.Values{"state": {""}})), "ada"), "approve", nil)
	if back.location.Query().Has("state") {
		t.Errorf("sent back to %s", back.location)
	}
}

func TestDecisionWithoutLoginLeadsToLogin(t *testing.T) {
	w := newWorld(t, Config{})
	consent := w.logIn(w.visit(w.authorizationURL("whiplash", nil)), "ada")
	for _, button := range []string{"approve", "deny"} {
		w.freshBrowser()
		if got := w.click(consent, button, nil); got.location != nil || !strings.Contains(got.body, `id="password"`) {
			t.Errorf("%s without login: %d to %v", button, got.status, got.location)
		}
	}
}

func TestUnknownFormActionDoesNothing(t *testing.T) {
	w := newWorld(t, Config{})
	consent := w.logIn(w.visit(w.authorizationURL("whiplash", nil)), "ada")
	consent.body = strings.ReplaceAll(consent.body, `value="approve"`, `value="steal"`)
	if got := w.click(consent, "approve", nil); got.status != http.StatusBadRequest || got.location != nil {
		t.Errorf("answer: %d to %v", got.status, got.location)
	}
}

func TestPagesForbidScriptAndFrames(t *testing.T) {
	w := newWorld(t, Config{})
	got := w.visit(w.authorizationURL("whisk", nil)).header
	if policy := got.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("Content-Security-Policy = %q", policy)
	}
	if got.Get("Cache-Control") != "no-store" {
		t.Error("a page may be cached")
	}
}
