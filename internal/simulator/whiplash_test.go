package simulator

import (
	"net/http"
	"net/url"
	"testing"
)

func TestWhiplashAnswersAsDocumented(t *testing.T) {
	w := newWorld(t, Config{})
	got := w.exchange("whiplash", w.approve("whiplash", nil), nil)
	w.tokens(got)
	for member, want := range map[string]any{
		"token_type": "bearer", "expires_in": 7200.0, "scope": "user_read user_manage", "created_at": float64(w.clock().Unix()),
	} {
		if got.json[member] != want {
			t.Errorf("%s = %v, want %v", member, got.json[member], want)
		}
	}
	if got.header.Get("Cache-Control") != "no-store" {
		t.Error("the answer may be cached")
	}
}

func TestWhiplashTakesNoMultipart(t *testing.T) {
	w := newWorld(t, Config{})
	_, refresh := w.connect("whiplash")
	if got := w.do(http.DefaultClient, w.multipartRefresh("whiplash", refresh)); !refusedAs("whiplash", got, "invalid_request") {
		t.Errorf("answer: %d %s", got.status, got.body)
	}
}

func TestWhiplashAccount(t *testing.T) {
	w := newWorld(t, Config{})
	access, _ := w.connect("whiplash")
	got := w.whoami("whiplash", access)
	if _, ok := got.json["id"].(float64); !ok || got.json["email"] != "ada@example.com" || got.json["first_name"] != "ada" {
		t.Errorf("account: %s", got.body)
	}
	if got.header.Get("X-Ratelimit-Limit") == "" || got.header.Get("X-Ratelimit-Remaining") == "" {
		t.Errorf("no rate limit headers: %v", got.header)
	}
	got = w.whoami("whiplash", "made-up")
	if got.status != http.StatusUnauthorized || got.json["message"] == nil || got.header.Get("WWW-Authenticate") == "" {
		t.Errorf("account with a dead token: %d %s", got.status, got.body)
	}
}

func TestWhiplashRevocation(t *testing.T) {
	tests := []struct {
		name   string
		token  func(access, refresh, spent string) string
		change url.Values
		status int
		ends   bool
	}{
		{"access token", func(access, _, _ string) string { return access }, nil, http.StatusOK, true},
		{"refresh token", func(_, refresh, _ string) string { return refresh }, nil, http.StatusOK, true},
		{"spent refresh token", func(_, _, spent string) string { return spent }, nil, http.StatusOK, false},
		{"unknown token", func(string, string, string) string { return "made-up" }, nil, http.StatusOK, false},
		{"no token", func(string, string, string) string { return "" }, nil, http.StatusBadRequest, false},
		{"repeated token", func(access, _, _ string) string { return access }, url.Values{"token": {"a", "b"}}, http.StatusBadRequest, false},
		{"wrong secret", func(access, _, _ string) string { return access }, url.Values{"client_secret": {"guess"}}, http.StatusForbidden, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, Config{})
			_, spent := w.connect("whiplash")
			access, refresh := w.refreshed("whiplash", spent)
			got := w.post("whiplash", revocationURL, url.Values{"token": {tt.token(access, refresh, spent)}}, tt.change)
			if got.status != tt.status || (tt.status == http.StatusOK && got.body != "{}") {
				t.Errorf("answer: %d %s", got.status, got.body)
			}
			l := w.Ledger("whiplash")
			if ended := len(l.LiveRefreshTokens) == 0; ended != tt.ends || l.Requests[revocationURL] != 1 {
				t.Errorf("grant ended: %v, want %v; ledger %+v", ended, tt.ends, l)
			}
		})
	}
}
