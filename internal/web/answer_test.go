package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/eventtest"
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
	{NotAWindow, "not-a-window", 403},
	{LinkInvalid, "ticket-invalid", 403},
	{LinkExpired, "ticket-expired", 403},
	{LinkUsed, "ticket-used", 403},
	{BadCallback, "callback-invalid", 400},
	{Expired, "request-expired", 400},
	{WrongBrowser, "wrong-browser", 403},
	{Busy, "in-progress", 202},
	{ProviderFailed, "provider-failed", 502},
	{AccountChanged, "account-changed", 409},
	{AccountUnknown, "account-unknown", 409},
	{NotConfigured, "not-configured", 500},
	{Unavailable, "unavailable", 503},
	{Kept, "kept", 503},
	{NotSaved, "not-saved", 503},
	{Internal, "internal", 500},
}

var (
	browser = Request{Reference: "ref-1"}
	program = Request{Reference: "ref-1", WantsJSON: true}
	known   = Request{Reference: "ref-1", About: About{Provider: "Acme", ConnectionID: "acct_42", Home: "https://app.example.com"}}
)

// answers are all kinds of answers, by name.
func answers() map[string]Response {
	all := map[string]Response{
		"redirect":                    Redirect(http.StatusFound, "https://p.example/authorize", "a=1"),
		"document of a denial":        Done(program, Denied, "denied"),
		"form again":                  PostAgain(map[string]string{"code": "c", "state": "s"}),
		"fragment to form":            PostFragment(),
		"page of connected":           Done(browser, Connected, "connected"),
		"page of narrowed":            Done(browser, Narrowed, "connected"),
		"page of denied":              Done(browser, Denied, "denied"),
		"page of connected, known":    Done(known, Connected, "connected"),
		"page of a provider's, known": Problem(known, ProviderFailed),
	}
	for _, tt := range texts {
		all["page of "+tt.typ] = Problem(browser, tt.text)
		all["document of "+tt.typ] = Problem(program, tt.text)
	}
	return all
}

func TestEveryAnswerCarriesTheHeaders(t *testing.T) {
	for name, r := range answers() {
		eventtest.CheckHeaders(t, r.StatusCode, r.Headers)
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
	tag       = regexp.MustCompile(`<[^>]*>`)
	scriptTag = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
)

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(h[:]) + "'"
}

// The policy of an answer allows what stands in it, by its hash, and nothing
// else.
func TestAnswersAllowOnlyWhatTheyHold(t *testing.T) {
	for name, r := range answers() {
		policy := map[string]string{}
		for directive := range strings.SplitSeq(r.Headers["Content-Security-Policy"], "; ") {
			key, value, _ := strings.Cut(directive, " ")
			policy[key] = value
		}
		want := map[string]string{"default-src": "'none'", "base-uri": "'none'", "frame-ancestors": "'none'", "form-action": "'none'"}
		for _, m := range styleTag.FindAllStringSubmatch(r.Body, -1) {
			want["style-src"] = sum(m[1])
		}
		scripts := scriptTag.FindAllStringSubmatch(r.Body, -1)
		if strings.Contains(r.Body, "<form") {
			want["form-action"] = "'self' https: http://localhost:*"
			want["script-src"] = sum(scripts[0][1])
		}
		if len(scripts) > 1 || len(scripts) == 1 && want["script-src"] == "" {
			t.Errorf("%s has %d scripts", name, len(scripts))
		}
		if !maps.Equal(policy, want) {
			t.Errorf("%s: policy is %v, want %v", name, policy, want)
		}
		body := strings.ReplaceAll(r.Body, `<a href="https://app.example.com/">`, "") // the host, in answers that know it
		if m := regexp.MustCompile(`(?i)\s(src|href|action|on[a-z]+|style)=|https?:`).FindString(body); m != "" {
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
			"title": About{}.name(tt.text.Title), "detail": About{}.name(tt.text.Detail + " " + tt.text.Next), "reference": "ref-1",
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
		for _, part := range []string{tt.text.Title, tt.text.Detail, tt.text.Next, "Reference: ref-1"} {
			if page.StatusCode != tt.status || part == "" || !strings.Contains(page.Body, html.EscapeString(About{}.name(part))) {
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
	r := Done(program, Connected, "connected")
	if r.StatusCode != 200 || r.Body != `{"result":"connected"}` || r.Headers["Content-Type"] != "application/json" {
		t.Errorf("answer = %d %s", r.StatusCode, r.Body)
	}
}

// SECURITY row B8: what is connected to what. Where that is not known for
// certain, no name is made up.
func TestPagesNameHostProviderAndConnection(t *testing.T) {
	for _, tt := range texts {
		page := Problem(known, tt.text).Body
		for _, part := range []string{
			`<a href="https://app.example.com/">Go back to app.example.com</a>`, "<dd>app.example.com</dd>", "<dd>acct_42</dd>", "<dd>Acme</dd>",
		} {
			if !strings.Contains(page, part) {
				t.Errorf("the page of %s lacks %s", tt.typ, part)
			}
		}
		if m := regexp.MustCompile(`\{\w*\}|the application|[tT]he provider`).FindString(tag.ReplaceAllString(styleTag.ReplaceAllString(page, ""), " ")); m != "" {
			t.Errorf("the page of %s says %q where the name is known", tt.typ, m)
		}
		page = Problem(browser, tt.text).Body
		for _, part := range []string{"<a ", "<dl>", "{host}", "{provider}", "{Provider}"} {
			if strings.Contains(page, part) {
				t.Errorf("the page of %s has %s although nothing is known", tt.typ, part)
			}
		}
	}
	if page := Done(known, Connected, "connected").Body; !strings.Contains(page, "<h1>Acme is connected</h1>") || !strings.Contains(page, `<main class="good">`) {
		t.Errorf("the page does not say that it went well: %s", page)
	}
}

// The home of the host is an origin, whatever the URL has besides.
func TestHome(t *testing.T) {
	tests := []struct {
		urls []string
		want string
	}{
		{[]string{"https://app.example.com/done?tab=1#x"}, "https://app.example.com"},
		{[]string{"https://APP.Example.com:8443/"}, "https://app.example.com:8443"},
		{[]string{"http://localhost:8788/"}, "http://localhost:8788"},
		{[]string{"https://user:c4nary@app.example.com/"}, "https://app.example.com"},
		{[]string{"", "https://b.example.com"}, "https://b.example.com"},
		{[]string{"https://a.example.com", "https://b.example.com"}, "https://a.example.com"},
		{[]string{"javascript:alert(1)", "data:text/html,x", "//a.example", "/done", "https:///x", "%zz"}, ""},
		{nil, ""},
	}
	for _, tt := range tests {
		if got := Home(tt.urls...); got != tt.want {
			t.Errorf("Home(%q) = %q, want %q", tt.urls, got, tt.want)
		}
	}
}

func TestPagesEscapeWhatTheyShow(t *testing.T) {
	hostile := `"><script>alert(1)</script>&'{host}`
	about := func(a About) Request { return Request{About: a} }
	for name, body := range map[string]string{
		"title":         Show(browser, Text{Title: hostile}).Body,
		"detail":        Show(browser, Text{Detail: hostile}).Body,
		"next":          Show(browser, Text{Next: hostile}).Body,
		"reference":     Problem(Request{Reference: hostile}, Internal).Body,
		"provider":      Problem(about(About{Provider: hostile, ConnectionID: "a"}), ProviderFailed).Body,
		"connection ID": Problem(about(About{ConnectionID: hostile}), ProviderFailed).Body,
		"home":          Problem(about(About{Home: "https://" + hostile, ConnectionID: "a"}), ProviderFailed).Body,
		"field value":   PostAgain(map[string]string{"code": hostile}).Body,
		"field name":    PostAgain(map[string]string{hostile: "x"}).Body,
	} {
		if strings.Contains(body, "<script>alert") || !strings.Contains(body, html.EscapeString(`"><script>alert(1)</script>&'`)) {
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
		return Show(browser, Connected)
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
