package simulator

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// whccCallback carries the client's state, as the documents show it.
const whccCallback = redirectURI + "/whcc?sessionID=123 456"

// ask sends a GET to one of WHCC's API endpoints as a well-behaved client, with
// change made to it.
func (w *world) ask(endpoint string, q, change url.Values) seen {
	w.t.Helper()
	c := DefaultClient("whcc")
	all := url.Values{"consumer_key": {c.ID}, "consumer_secret": {c.Secret}}
	maps.Copy(all, q)
	maps.Copy(all, change)
	return w.do(http.DefaultClient, w.request(http.MethodGet, w.Endpoints(w.base, "whcc")[endpoint]+"?"+all.Encode(), nil))
}

func (w *world) prepareLogin(change url.Values) seen {
	w.t.Helper()
	return w.ask(prepareURL, url.Values{"response_type": {"request_url"}, "callback_url": {escapedCallback}}, change)
}

func (w *world) consumerToken(change url.Values) seen {
	w.t.Helper()
	return w.ask(tokenURL, url.Values{"grant_type": {"consumer_credentials"}}, change)
}

var escapedCallback = strings.ReplaceAll(whccCallback, " ", "%20")

func TestWHCCPrepareAnswersAsDocumented(t *testing.T) {
	w := newWorld(t, Config{})
	got := w.prepareLogin(nil)
	id, _ := got.json["SessionID"].(string)
	login := w.base + "/whcc/Login.aspx"
	want := map[string]any{"LoginURL": login, "SessionID": id, "RedirectURI": login + "?" + id}
	if got.status != http.StatusOK || !reflect.DeepEqual(got.json, want) || !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) {
		t.Errorf("answer: %d %s", got.status, got.body)
	}
	if l := w.Ledger("whcc"); l.Requests[prepareURL] != 1 {
		t.Errorf("ledger: %+v", l)
	}
}

func TestWHCCLoginAnswersWithWhData(t *testing.T) {
	w := newWorld(t, Config{})
	login := w.visit(w.prepareLogin(nil).json["RedirectURI"].(string))
	back := w.logIn(login, "ada").location
	raw, ok := strings.CutPrefix(back.String(), escapedCallback+"&whData=")
	if !ok || strings.Contains(raw, "+") || !strings.HasPrefix(raw, "%7B%22client_id%22%3A") {
		t.Fatalf("sent back to %s", back)
	}
	var data map[string]any
	if err := json.Unmarshal([]byte(back.Query().Get("whData")), &data); err != nil {
		t.Fatal(err)
	}
	token, _ := data["token"].(string)
	want := map[string]any{
		"client_id": float64(accountNumber("whcc", "ada")), "callback_url": redirectURI + "/whcc", "token": token,
		"studio": "ada Studio", "attention": "ada", "addr": "1 Simulated Parkway", "addr2": "", "addr3": "", "city": "Eagan",
		"state": "MN", "zip": "55121", "country": "US", "email": "ada@example.com", "phone": "555-0100",
	}
	if !reflect.DeepEqual(data, want) || !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(token) {
		t.Errorf("whData = %v", data)
	}
	if l := w.Ledger("whcc"); l.Approved != 1 || !reflect.DeepEqual(l.LiveAccessTokens, []string{token}) {
		t.Errorf("ledger: %+v", l)
	}
	w.Revoke("whcc", AccountID("whcc", "ada"))
	if l := w.Ledger("whcc"); len(l.LiveAccessTokens) != 0 {
		t.Errorf("ledger after the user withdrew the grant: %+v", l)
	}
}

func TestWHCCCancelKeepsTheCallbacksQuery(t *testing.T) {
	w := newWorld(t, Config{})
	back := w.click(w.visit(w.prepareLogin(nil).json["RedirectURI"].(string)), "deny", nil).location.String()
	if want := escapedCallback + "&error=access_denied&error_reason=user_denied&error_description=The+user+denied+your+request"; back != want {
		t.Errorf("sent back to %s, want %s", back, want)
	}
	if l := w.Ledger("whcc"); l.Denied != 1 || len(l.LiveAccessTokens) != 0 {
		t.Errorf("ledger: %+v", l)
	}
}

func TestWHCCSessionIsGoodForOneOutcome(t *testing.T) {
	w := newWorld(t, Config{})
	login := w.visit(w.prepareLogin(nil).json["RedirectURI"].(string))
	if got := w.click(login, "login", url.Values{"username": {"ada"}}); got.status != http.StatusUnprocessableEntity {
		t.Errorf("login without a password: %d", got.status)
	}
	w.logIn(login, "ada") // the failed one has not used the session up
	for name, got := range map[string]seen{
		"visit": w.visit(login.url), "login": w.logIn(login, "ada"), "deny": w.click(login, "deny", nil),
		"unknown": w.visit(w.base + "/whcc/Login.aspx?" + strings.Repeat("0", 32)),
	} {
		if got.status != http.StatusBadRequest || got.location != nil {
			t.Errorf("%s: %d to %v", name, got.status, got.location)
		}
	}
	late := w.prepareLogin(nil).json["RedirectURI"].(string)
	w.pass(sessionLife)
	if got := w.visit(late).status; got != http.StatusBadRequest {
		t.Errorf("visit of an expired session: %d", got)
	}
}

func TestWHCCConsumerCredentialsAnswerAsDocumented(t *testing.T) {
	w := newWorld(t, Config{}) // it is July: daylight saving time
	got := w.consumerToken(nil)
	token, _ := got.json["Token"].(string)
	want := map[string]any{
		"ClientId": AccountID("whcc", ""), "ConsumerKey": DefaultClient("whcc").ID, "Token": token,
		"EffectiveDate": "7/1/2026 7:00:00 AM CST", "ExpirationDate": "7/1/2026 8:00:00 AM CST",
	}
	if got.status != http.StatusOK || !reflect.DeepEqual(got.json, want) || !regexp.MustCompile(`^[0-9]{12}$`).MatchString(token) {
		t.Errorf("answer: %d %s", got.status, got.body)
	}
	w.pass(30 * time.Minute)
	second := w.consumerToken(nil).json["Token"]
	if live := w.Ledger("whcc").LiveAccessTokens; len(live) != 2 {
		t.Errorf("%d live tokens, want both", len(live))
	}
	w.pass(30 * time.Minute)
	if live := w.Ledger("whcc").LiveAccessTokens; !reflect.DeepEqual(live, []string{second.(string)}) {
		t.Errorf("live tokens = %v, want the second alone", live)
	}
}

func TestWHCCDates(t *testing.T) {
	for instant, want := range map[string]string{
		"2018-08-19T20:10:26Z": "8/19/2018 3:10:26 PM CST",  // the documented example, in summer
		"2014-10-27T20:41:39Z": "10/27/2014 3:41:39 PM CST", // recorded
		"2026-01-01T06:00:00Z": "1/1/2026 12:00:00 AM CST",
	} {
		at, err := time.Parse(time.RFC3339, instant)
		if err != nil {
			t.Fatal(err)
		}
		if got := whccDate(at); got != want {
			t.Errorf("%s = %s, want %s", instant, got, want)
		}
	}
}

func TestWHCCRefusesWithStatus200(t *testing.T) {
	tests := []struct {
		name   string
		change url.Values
		want   string // at both endpoints
	}{
		{"no key", url.Values{"consumer_key": {""}}, "403.02"},
		{"no secret", url.Values{"consumer_secret": {""}}, "403.02"},
		{"a wrong key", url.Values{"consumer_key": {"guess"}}, "403.03"},
		{"a wrong secret", url.Values{"consumer_secret": {"guess"}}, "403.04"},
		{"a parameter repeated", url.Values{"x": {"1", "2"}}, "400.01"},
	}
	for _, tt := range tests {
		w := newWorld(t, Config{})
		for endpoint, got := range map[string]seen{prepareURL: w.prepareLogin(tt.change), tokenURL: w.consumerToken(tt.change)} {
			if got.status != http.StatusOK || got.json["ErrorNumber"] != tt.want || got.json["Message"] == nil || len(got.json) != 2 {
				t.Errorf("%s: %d %s", tt.name, got.status, got.body)
			}
			if refused := w.Ledger("whcc").Refused[Refusal{endpoint, tt.want, got.json["Message"].(string)}]; refused != 1 {
				t.Errorf("%s: the ledger counts %d refusals, want 1", tt.name, refused)
			}
		}
	}
	w := newWorld(t, Config{})
	for name, change := range map[string]url.Values{
		"response type": {"response_type": {"code"}}, "no callback": {"callback_url": {""}}, "callback elsewhere": {"callback_url": {"https://evil.example/?x=http://localhost/"}},
		"callback with fragment": {"callback_url": {redirectURI + "?a=1#b"}},
	} {
		if got := w.prepareLogin(change); got.status != http.StatusOK || got.json["ErrorNumber"] != "400.01" {
			t.Errorf("prepare, %s: %d %s", name, got.status, got.body)
		}
	}
	for _, grantType := range []string{"", "refresh_token"} {
		if got := w.consumerToken(url.Values{"grant_type": {grantType}}); got.json["ErrorNumber"] != "403.05" {
			t.Errorf("grant type %q: %d %s", grantType, got.status, got.body)
		}
	}
}

func TestWHCCTakesGETOnly(t *testing.T) {
	w := newWorld(t, Config{})
	for _, target := range w.Endpoints(w.base, "whcc") {
		if got := w.do(http.DefaultClient, w.formRequest(target, url.Values{})).status; got != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", target, got)
		}
	}
}

func TestWHCCRegisteredCallbackIsComparedWithoutItsQuery(t *testing.T) {
	w := newWorld(t, Config{RedirectURIs: []string{redirectURI + "/whcc"}})
	if got := w.prepareLogin(nil); got.json["RedirectURI"] == nil {
		t.Errorf("registered: %s", got.body)
	}
	if got := w.prepareLogin(url.Values{"callback_url": {redirectURI + "/another"}}); got.json["ErrorNumber"] != "400.01" {
		t.Errorf("another: %s", got.body)
	}
}
