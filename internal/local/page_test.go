package local_test

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/simulator"
)

// An answer is an HTTP answer without its body.
type answer struct {
	StatusCode int
	Header     http.Header
}

// get returns the answer to a GET and its body.
func get(t *testing.T, from string) (answer, string) {
	t.Helper()
	return send(t, "GET", from, "", nil)
}

// send makes one request, follows no redirect, and returns the answer and its
// body.
func send(t *testing.T, method, to, body string, header map[string]string) (answer, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, to, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range header {
		req.Header.Set(name, v)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, to, err)
	}
	defer func() { _ = resp.Body.Close() }()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header}, string(page)
}

const form = "application/x-www-form-urlencoded"

func TestNothingChangesOnBehalfOfAnotherSite(t *testing.T) {
	r := start(t)
	newPerson(t).connect(t, r, "whatnot", "demo", "approve")
	foreign := []map[string]string{
		{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
		{"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
		{"Origin": "https://evil.example"},
		{"Origin": "null"},
	}
	for _, path := range []string{"/connect", "/issue", "/refresh", "/disconnect", "/token", "/control"} {
		for _, header := range foreign {
			header["Content-Type"] = form
			body := target("whatnot", "demo").Encode()
			if path == "/control" {
				header["Content-Type"], body = "application/json", `{"action":"disconnect","connection_id":"demo","provider":"whatnot"}`
			}
			if resp, _ := send(t, "POST", r.URL+path, body, header); resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s with %v: %d, want 403", path, header, resp.StatusCode)
			}
		}
		if resp, _ := get(t, r.URL+path); resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d, want 405", path, resp.StatusCode)
		}
	}
	if c := r.control(t, "get", "demo", "whatnot").Connection; c == nil || c.Status != "active" {
		t.Errorf("connection = %+v, want it as it was", c)
	}
}

// A provider may answer by a form from its own site (response_mode=form_post).
func TestACallbackMayBePostedByAnotherSite(t *testing.T) {
	r := start(t)
	header := map[string]string{"Content-Type": form, "Sec-Fetch-Site": "cross-site", "Origin": "https://provider.example"}
	resp, body := send(t, "POST", r.URL+"/callback/whisk", "code=c&state="+strings.Repeat("s", 43), header)
	if resp.StatusCode != http.StatusOK || !strings.Contains(body, "<form") {
		t.Errorf("status %d, %q", resp.StatusCode, body)
	}
}

func TestTheControlPlaneTakesJSONAlone(t *testing.T) {
	r := start(t)
	tests := []struct {
		contentType, body string
		status            int
		want              string
	}{
		{"application/json", `{"action":"list"}`, 200, `{"connections":[]}`},
		{"application/json; charset=utf-8", `{"action":"list"}`, 200, `{"connections":[]}`},
		{"application/json", `{"action":"get","connection_id":"demo","provider":"whisk"}`, 200, `"type":"not_found"`},
		{"application/json", `not JSON`, 200, `"type":"invalid_request"`},
		{"text/plain", `{"action":"list"}`, 415, "application/json"},
		{form, `{"action":"list"}`, 415, "application/json"},
		{"", `{"action":"list"}`, 415, "application/json"},
		{"application/json", strings.Repeat(" ", 2<<20), 400, "too large"},
	}
	for _, tt := range tests {
		resp, body := send(t, "POST", r.URL+"/control", tt.body, map[string]string{"Content-Type": tt.contentType})
		if resp.StatusCode != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s %.40q: %d %s, want %d with %s", tt.contentType, tt.body, resp.StatusCode, body, tt.status, tt.want)
		}
	}
}

func TestATokenIsShownOnDemandAloneAndKeptNowhere(t *testing.T) {
	r := start(t)
	newPerson(t).connect(t, r, "whatnot", "demo", "approve")
	token := r.Simulator.Ledger("whatnot").LiveAccessTokens[0]
	if _, page := get(t, r.URL); strings.Contains(page, token) || !strings.Contains(page, "demo") {
		t.Error("the list shows an access token, or lacks the connection")
	}
	resp, page := send(t, "POST", r.URL+"/token", target("whatnot", "demo").Encode(), map[string]string{"Content-Type": form})
	if !strings.Contains(page, token) || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("status %d, Cache-Control %q", resp.StatusCode, resp.Header.Get("Cache-Control"))
	}
	refresh := r.Simulator.Ledger("whatnot").LiveRefreshTokens[0]
	for what, text := range map[string]string{"log": r.log.String(), "output": r.out.String(), "token page": page} {
		if strings.Contains(text, refresh) || what != "token page" && strings.Contains(text, token) {
			t.Errorf("the %s has a token", what)
		}
	}
	resp, _ = send(t, "POST", r.URL+"/token", target("whatnot", "other").Encode(), map[string]string{"Content-Type": form})
	if got := resp.Header.Get("Location"); !strings.Contains(got, "result=not_found") {
		t.Errorf("without a connection it leads to %q", got)
	}
}

func TestEveryPageHasItsHeaders(t *testing.T) {
	r := start(t)
	resp, page := get(t, r.URL)
	policy := resp.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "style-src 'sha256-", "script-src 'sha256-", "frame-ancestors 'none'", "base-uri 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %q", policy, want)
		}
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if found := regexp.MustCompile(`(?:src|href|action)="(?:https?:)?//[^"]*"`).FindAllString(page, -1); len(found) != 4 { // the docs of four providers
		t.Errorf("links elsewhere: %v", found)
	}
}

func TestTheResultOfWhatWasDoneIsSaid(t *testing.T) {
	r := start(t)
	tests := []struct {
		query, want string // want "": nothing
	}{
		{"result=connected&provider=whisk&connection_id=demo", "Whisk is connected as demo."},
		{"result=denied&provider=whisk&connection_id=demo", "access was declined"},
		{"result=failed&provider=whisk&connection_id=demo", "did not answer as expected"},
		{"result=invalid_request", "not a connection ID"},
		{"result=internal&provider=whisk&connection_id=demo", "the log says why"},
		{"result=connected&provider=acme&connection_id=demo", ""},
		{"result=connected&provider=whisk&connection_id=%3Cb%3E", ""},
		{"result=connected", ""},
		{"result=made-up&provider=whisk&connection_id=demo", ""},
		{"", ""},
	}
	for _, tt := range tests {
		_, page := get(t, r.URL+"/?"+tt.query)
		if strings.Contains(page, `id="notice"`) != (tt.want != "") || !strings.Contains(page, tt.want) {
			t.Errorf("%s: want the notice %q", tt.query, tt.want)
		}
	}
}

func TestFormsThatNameNothingAreSentBack(t *testing.T) {
	r := start(t)
	for _, body := range []url.Values{{}, target("acme", "demo"), target("whisk", ""), target("whisk", "a b"), target("whisk", strings.Repeat("x", 257))} {
		for _, path := range []string{"/connect", "/issue", "/refresh", "/disconnect", "/token"} {
			resp, _ := send(t, "POST", r.URL+path, body.Encode(), map[string]string{"Content-Type": form})
			if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || got != "/?result=invalid_request" {
				t.Errorf("%s %v: %d to %q", path, body, resp.StatusCode, got)
			}
		}
	}
}

func TestWhatTheControlPlaneSaysIsSaidOnThePage(t *testing.T) {
	r := start(t)
	newPerson(t).connect(t, r, "whcc", "studio", "approve")
	newPerson(t).connect(t, r, "whatnot", "demo", "approve")
	do := func(path, provider, id string) string {
		t.Helper()
		_, page := newPerson(t).post(t, r.URL+path, target(provider, id))
		return page
	}
	if page := do("/refresh", "whatnot", "demo"); !strings.Contains(page, "is fresh") || !strings.Contains(page, "once since start") {
		t.Error("a refresh is not said")
	}
	if page := do("/refresh", "whcc", "studio"); !strings.Contains(page, "gave nothing to refresh") {
		t.Error("what cannot be refreshed is not said")
	}
	if page := do("/issue", "whisk", "demo"); !strings.Contains(page, "issues no tokens without a user") {
		t.Error("what is not issued is not said")
	}
	r.Simulator.Answer("whatnot", simulator.Answer{Status: 429, Header: http.Header{"Retry-After": {"120"}}})
	if page := do("/refresh", "whatnot", "demo"); !strings.Contains(page, "keeps the token it has") || !strings.Contains(page, "asked for a pause") {
		t.Error("a failed refresh is not said")
	}
	if page := do("/disconnect", "whatnot", "demo"); !strings.Contains(page, "its tokens are gone") {
		t.Error("disconnecting is not said")
	}
	if page := do("/refresh", "whatnot", "demo"); !strings.Contains(page, "Connect it again") {
		t.Error("that it is disconnected is not said")
	}
}

func TestAFieldOfTheProviderTravelsInTheTicket(t *testing.T) {
	r := start(t)
	order := target("whisk", "demo")
	order.Set("field.identity_provider", "google")
	if at, _ := newPerson(t).post(t, r.URL+"/connect", order); at.Query().Get("identity_provider") != "google" {
		t.Errorf("the browser is led to %s", at)
	}
}

func TestARefreshUnderWayIsSaid(t *testing.T) {
	r := start(t)
	newPerson(t).connect(t, r, "whatnot", "demo", "approve")
	r.clock.Advance(25 * time.Second)
	r.Simulator.Answer("whatnot", simulator.Answer{Status: http.StatusBadGateway}) // its outcome is unknown
	r.sweep(t)
	if _, page := get(t, r.URL); !strings.Contains(page, "a refresh is under way") {
		t.Error("the page does not say that a refresh is under way")
	}
}
