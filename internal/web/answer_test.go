package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// texts is everything that can go wrong, with what programs rely on: it never
// changes.
var texts = []struct {
	text   Text
	typ    string
	status int
}{
	{UnknownProvider, "unknown-provider", 404},
	{MethodNotAllowed.Allowing("GET", "POST"), "method-not-allowed", 405},
	{BadRequest, "bad-request", 400},
	{LinkInvalid, "ticket-invalid", 403},
	{LinkUsed, "ticket-used", 403},
	{BadCallback, "callback-invalid", 400},
	{Expired, "request-expired", 400},
	{WrongBrowser, "wrong-browser", 403},
	{Busy, "in-progress", 202},
	{ProviderFailed, "provider-failed", 502},
	{NotConfigured, "not-configured", 500},
	{Unavailable, "unavailable", 503},
	{Kept, "kept", 503},
	{NotSaved, "not-saved", 503},
	{Internal, "internal", 500},
}

var (
	browser = Request{Reference: "ref-1"}
	program = Request{Reference: "ref-1", WantsJSON: true}
)

// answers are all kinds of answers, by name.
func answers() map[string]Response {
	all := map[string]Response{
		"redirect":         Redirect(http.StatusFound, "https://p.example/authorize", "a=1"),
		"page":             Show(http.StatusOK, ConnectedPage("Acme")),
		"done page":        Done(browser, DeniedPage("Acme"), "denied"),
		"done document":    Done(program, DeniedPage("Acme"), "denied"),
		"form again":       PostAgain(map[string]string{"code": "c", "state": "s"}),
		"fragment to form": PostFragment(),
	}
	for _, tt := range texts {
		all["page of "+tt.typ] = Problem(browser, tt.text)
		all["document of "+tt.typ] = Problem(program, tt.text)
	}
	return all
}

func TestEveryAnswerCarriesTheHeaders(t *testing.T) {
	want := map[string]string{
		"Cache-Control":                "no-store",
		"Referrer-Policy":              "no-referrer",
		"X-Content-Type-Options":       "nosniff",
		"Strict-Transport-Security":    "max-age=31536000; includeSubDomains",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
	}
	for name, r := range answers() {
		for header, v := range want {
			if r.Headers[header] != v {
				t.Errorf("%s: %s is %q, want %q", name, header, r.Headers[header], v)
			}
		}
		for header := range r.Headers {
			if strings.HasPrefix(header, "Access-Control-") {
				t.Errorf("%s: %s lets other sites read the answer", name, header)
			}
		}
		if r.Body != "" && r.Headers["Content-Type"] == "" {
			t.Errorf("%s has a body without a type", name)
		}
	}
}

var (
	styleTag  = regexp.MustCompile(`(?s)<style>(.*?)</style>`)
	scriptTag = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
)

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(h[:]) + "'"
}

// The policy of a page allows what stands in it, by its hash, and nothing else.
func TestPagesAllowOnlyWhatTheyHold(t *testing.T) {
	for name, r := range answers() {
		if r.Headers["Content-Type"] != "text/html; charset=utf-8" {
			if _, ok := r.Headers["Content-Security-Policy"]; ok {
				t.Errorf("%s is no page and has a policy", name)
			}
			continue
		}
		policy := map[string]string{}
		for directive := range strings.SplitSeq(r.Headers["Content-Security-Policy"], "; ") {
			key, value, _ := strings.Cut(directive, " ")
			policy[key] = value
		}
		want := map[string]string{
			"default-src": "'none'", "base-uri": "'none'", "frame-ancestors": "'none'", "form-action": "'none'",
			"style-src": sum(styleTag.FindStringSubmatch(r.Body)[1]),
		}
		scripts := scriptTag.FindAllStringSubmatch(r.Body, -1)
		if strings.Contains(r.Body, "<form") {
			want["form-action"] = "'self' https: http://localhost:*"
			want["script-src"] = sum(scripts[0][1])
		}
		if len(scripts) > 1 || len(scripts) == 1 && want["script-src"] == "" {
			t.Errorf("%s has %d scripts", name, len(scripts))
		}
		if len(policy) != len(want) {
			t.Errorf("%s: policy is %v", name, policy)
		}
		for key, v := range want {
			if policy[key] != v {
				t.Errorf("%s: %s is %q, want %q", name, key, policy[key], v)
			}
		}
		if m := regexp.MustCompile(`(?i)\s(src|href|action|on[a-z]+|style)=|https?:`).FindString(r.Body); m != "" {
			t.Errorf("%s refers to something outside of itself or has code in an attribute: %q", name, m)
		}
	}
}

// A type is for programs: it never changes. The text says what to do next.
func TestProblemsHaveAStableTypeAndAReference(t *testing.T) {
	for _, tt := range texts {
		r := Problem(program, tt.text)
		var doc map[string]any
		if err := json.Unmarshal([]byte(r.Body), &doc); err != nil || r.Headers["Content-Type"] != "application/problem+json" {
			t.Fatalf("%s: %s, %v", tt.typ, r.Headers["Content-Type"], err)
		}
		want := map[string]any{
			"type": "urn:evergrant:problem:" + tt.typ, "status": float64(tt.status),
			"title": tt.text.Title, "detail": tt.text.Detail, "reference": "ref-1",
		}
		if len(doc) != len(want) || r.StatusCode != tt.status {
			t.Errorf("%s: status %d, document %v", tt.typ, r.StatusCode, doc)
		}
		for name, v := range want {
			if doc[name] != v {
				t.Errorf("%s: %s = %v, want %v", tt.typ, name, doc[name], v)
			}
		}
		page := Problem(browser, tt.text)
		for _, part := range []string{tt.text.Title, tt.text.Detail, "Reference: ref-1"} {
			if page.StatusCode != tt.status || part == "" || !strings.Contains(page.Body, part) {
				t.Errorf("page of %s: status %d, no %q", tt.typ, page.StatusCode, part)
			}
		}
		if _, ok := page.Headers["Retry-After"]; ok != (tt.status == 503 || tt.status == 202) {
			t.Errorf("%s: Retry-After %v", tt.typ, ok)
		}
		if allow := page.Headers["Allow"]; (tt.status == 405) != (allow == "GET, POST") {
			t.Errorf("%s: Allow %q", tt.typ, allow)
		}
	}
	if MethodNotAllowed.Allow != "" {
		t.Error("Allowing changes the text for everybody")
	}
}

func TestDoneSaysTheResultToPrograms(t *testing.T) {
	r := Done(program, ConnectedPage("Acme"), "connected")
	if r.StatusCode != 200 || r.Body != `{"result":"connected"}` || r.Headers["Content-Type"] != "application/json" {
		t.Errorf("answer = %d %s", r.StatusCode, r.Body)
	}
	if r := Done(browser, ConnectedPage("Acme"), "connected"); !strings.Contains(r.Body, `<main class="good"><h1>Acme is connected</h1>`) {
		t.Error("the page does not say that it went well")
	}
}

func TestPagesEscapeWhatTheyShow(t *testing.T) {
	hostile := `"><script>alert(1)</script>&'`
	for name, body := range map[string]string{
		"title":       Show(200, Page{Title: hostile}).Body,
		"text":        Show(200, Page{Text: hostile}).Body,
		"reference":   Problem(Request{Reference: hostile}, Internal).Body,
		"field value": PostAgain(map[string]string{"code": hostile}).Body,
		"field name":  PostAgain(map[string]string{hostile: "x"}).Body,
	} {
		if strings.Contains(body, "<script>alert") || strings.Contains(body, `value=""><`) {
			t.Errorf("%s is not escaped: %s", name, body)
		}
	}
}

func TestPostAgainHoldsTheSameFields(t *testing.T) {
	r := PostAgain(map[string]string{"state": "s", "code": `a"b`})
	want := `<form method="post"><input type="hidden" name="code" value="a&#34;b"><input type="hidden" name="state" value="s"><button>`
	if r.StatusCode != 200 || !strings.Contains(r.Body, want) || !strings.Contains(r.Body, "document.forms[0].submit()") {
		t.Errorf("page = %d %s", r.StatusCode, r.Body)
	}
}

func TestRedirect(t *testing.T) {
	r := Redirect(http.StatusSeeOther, "https://app.example.com/", "a=1", "b=2")
	if r.StatusCode != 303 || r.Headers["Location"] != "https://app.example.com/" || !slices.Equal(r.Cookies, []string{"a=1", "b=2"}) || r.Body != "" {
		t.Errorf("redirect = %+v", r)
	}
}

// What the host has written into its return_to comes back to it unchanged.
func TestWithQuery(t *testing.T) {
	tests := []struct{ to, want string }{
		{"https://a.example", "https://a.example?id=x%26y&result=ok"},
		{"https://a.example/?", "https://a.example/?id=x%26y&result=ok"},
		{"https://a.example/p?b=2&a=1", "https://a.example/p?b=2&a=1&id=x%26y&result=ok"},
		{"https://a.example/p?flag&a=%7e&c=1;2", "https://a.example/p?flag&a=%7e&c=1;2&id=x%26y&result=ok"},
		{"https://a.example/p?result=connected&a=1&%72esult=x&id=", "https://a.example/p?a=1&id=x%26y&result=ok"},
		{"https://a.example/p?a=1#/done?x=1", "https://a.example/p?a=1&id=x%26y&result=ok#/done?x=1"},
		{"https://a.example/p?%zz=1", "https://a.example/p?%zz=1&id=x%26y&result=ok"},
	}
	for _, tt := range tests {
		if got := WithQuery(tt.to, map[string]string{"result": "ok", "id": "x&y"}); got != tt.want {
			t.Errorf("WithQuery(%s) = %s, want %s", tt.to, got, tt.want)
		}
	}
}

// A panic is an answer like any other, and its value is shown to nobody.
func TestRecoverAnswersAndShowsNothing(t *testing.T) {
	var printed bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&printed, nil))
	handle := func(ctx context.Context, cause any) (resp Response) {
		req := browser
		defer Recover(ctx, log, &req, &resp)
		if cause != nil {
			panic(cause)
		}
		return Show(http.StatusOK, ConnectedPage("Acme"))
	}
	r := handle(t.Context(), errors.New("c4nary"))
	if r.StatusCode != 500 || !strings.Contains(r.Body, Internal.Title) || !strings.Contains(r.Body, "ref-1") || r.Headers["Cache-Control"] != "no-store" {
		t.Errorf("answer = %+v", r)
	}
	if !strings.Contains(printed.String(), `"reference":"ref-1"`) || !strings.Contains(printed.String(), "TestRecover") {
		t.Errorf("the log does not find the panic: %s", printed.String())
	}
	if strings.Contains(printed.String()+r.Body, "c4nary") {
		t.Error("the value of the panic is shown")
	}
	if r := handle(t.Context(), nil); r.StatusCode != 200 {
		t.Errorf("without a panic: %d", r.StatusCode)
	}
}
