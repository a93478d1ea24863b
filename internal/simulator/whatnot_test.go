package simulator

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestWhatnotAnswersAsDocumented(t *testing.T) {
	w := newWorld(t, Config{})
	got := w.exchange("whatnot", w.approve("whatnot", nil), nil)
	access, _ := w.tokens(got)
	if !strings.HasPrefix(access, "wn_access_tk_test_") || got.json["scope"] != "read:orders write:orders" {
		t.Errorf("answer: %s", got.body)
	}
}

func TestWhatnotNeedsTheSecretAsBearerTokenAndInTheBody(t *testing.T) {
	w := newWorld(t, Config{})
	_, refresh := w.connect("whatnot")
	c := DefaultClient("whatnot")
	tests := []struct {
		name, header, secret string
	}{
		{"no header", "", c.Secret},
		{"a wrong secret in the header", "Bearer guess", c.Secret},
		{"another scheme", "Token " + c.Secret, c.Secret},
		{"no secret in the body", "Bearer " + c.Secret, ""},
	}
	for _, tt := range tests {
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "client_id": {c.ID}, "client_secret": {tt.secret}}
		r := w.formRequest(w.Endpoints(w.base, "whatnot")[tokenURL], form)
		r.Header.Set("Authorization", tt.header)
		if got := w.do(http.DefaultClient, r); !refusedAs("whatnot", got, "invalid_client") {
			t.Errorf("%s: %d %s", tt.name, got.status, got.body)
		}
	}
	w.refreshed("whatnot", refresh)
}

func TestWhatnotAccount(t *testing.T) {
	w := newWorld(t, Config{})
	access, _ := w.connect("whatnot")
	if got := w.whoami("whatnot", access); got.json["id"] != AccountID("whatnot", "ada") || got.json["username"] != "ada" {
		t.Errorf("account: %s", got.body)
	}
	got := w.whoami("whatnot", "made-up")
	if got.status != http.StatusUnauthorized || got.header.Get("Content-Type") != "application/problem+json" || got.json["detail"] == nil {
		t.Errorf("account with a dead token: %d %s", got.status, got.body)
	}
}

func TestWhatnotDisconnectEndsEveryGrantOfTheAccount(t *testing.T) {
	w := newWorld(t, Config{})
	_, first := w.connect("whatnot")
	access, _ := w.connect("whatnot")
	disconnect := func(token string) int {
		r := w.request(http.MethodPost, w.Endpoints(w.base, "whatnot")[revocationURL], nil)
		r.Header.Set("Authorization", "Bearer "+token)
		return w.do(http.DefaultClient, r).status
	}
	if got := disconnect(DefaultClient("whatnot").Secret); got != http.StatusUnauthorized {
		t.Errorf("disconnect with the client secret: %d", got)
	}
	if got := disconnect(access); got != http.StatusNoContent {
		t.Errorf("disconnect: %d", got)
	}
	if got := w.refresh("whatnot", first, nil); got.json["error"] != "invalid_grant" {
		t.Errorf("refresh afterwards: %d %s", got.status, got.body)
	}
	if l := w.Ledger("whatnot"); l.GrantsEnded != 2 || l.Requests[revocationURL] != 2 {
		t.Errorf("ledger: %+v", l)
	}
}
