package battery

import (
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/eventtest"
)

// check returns what is wrong with an answer. lines is what was printed; alone:
// by nobody but this request.
func (p *player) check(f *flow, r Request, a Answer, w want, lines string, alone bool) (problems []string) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	problems = append(problems, headers(a)...)
	problems = append(problems, p.page(r, a, w)...)
	switch {
	case w.away:
		problems = append(problems, p.away(f, a)...)
	case w.handle:
		problems = append(problems, p.toHost(f, a)...)
	case w.result != "":
		problems = append(problems, p.outcome(f, a, w)...)
		problems = append(problems, p.cleaned(f, r, a)...)
	case a.Status != w.status || a.by != nil:
		wrong("status %d, want %d at once", a.Status, w.status)
	}
	if w.typ != "" && w.result == "" {
		problems = append(problems, p.refusal(r, a, w, lines)...)
	}
	if !w.away && len(a.Cookies) > 0 {
		wrong("it sets cookies")
	}
	if n := entries(lines); alone && w.lines >= 0 && n != w.lines {
		wrong("%d lines were printed, want %d", n, w.lines)
	}
	if w.check != nil {
		if err := w.check(f, a); err != nil {
			wrong("%v", err)
		}
	}
	return append(problems, p.leaks(a, lines)...)
}

// entries returns how many lines tell of what was asked. Besides, local mode
// prints the events that others get by EventBridge, and functions count what
// they tell: nothing is counted of which nothing is told.
func entries(lines string) int {
	told := strings.Count(lines, "\n") - strings.Count(lines, `"msg":"event"`)
	if counted := strings.Count(lines, `"message":"metrics"`); counted < told {
		return told - counted
	}
	return told
}

// headers returns what is wrong with the headers of any answer.
func headers(a Answer) (problems []string) {
	for name, value := range eventtest.Headers() {
		if a.Header[name] != value {
			problems = append(problems, fmt.Sprintf("%s is %q", name, a.Header[name]))
		}
	}
	for name, value := range a.Header {
		if strings.HasPrefix(name, "Access-Control-") || name == "Server" || strings.ContainsAny(value, "\r\n\x00") {
			problems = append(problems, fmt.Sprintf("%s is %q", name, value))
		}
	}
	if a.Header["Location"] != "" && a.Status != http.StatusFound && a.Status != http.StatusSeeOther {
		problems = append(problems, fmt.Sprintf("it redirects by %d", a.Status))
	}
	return problems
}

// outside is markup that loads or names something.
var outside = regexp.MustCompile(`(?i)\b(src|href|action|url)\s*[=(]|<(img|link|iframe|object|base)\b`)

// home is the only link that a page may have: to the front page of the host.
var home = regexp.MustCompile(`<a href="(https?://[a-z0-9.:-]+/)">`)

// page returns what is wrong with a page, or with another body.
func (p *player) page(r Request, a Answer, w want) (problems []string) {
	policy, body := a.Header["Content-Security-Policy"], a.Body
	if m := home.FindStringSubmatch(body); m != nil && strings.HasPrefix(p.ReturnTo, m[1]) {
		body = strings.Replace(body, m[0], "", 1)
	}
	switch typ := a.Header["Content-Type"]; {
	case typ == "text/html; charset=utf-8":
		parts := strings.Split(policy, "; ")
		for _, part := range []string{"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"} {
			if !slices.Contains(parts, part) {
				problems = append(problems, fmt.Sprintf("the policy %q lacks %s", policy, part))
			}
		}
		if strings.Contains(policy, "script-src") != w.bounce || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") && !w.bounce {
			problems = append(problems, "the policy is "+policy)
		}
		if found := outside.FindString(body); found != "" {
			problems = append(problems, "the page has "+found)
		}
	case typ == "application/problem+json" || typ == "application/json":
		if !strings.HasPrefix(policy, "default-src 'none'; ") || !json.Valid([]byte(a.Body)) && r.Method != http.MethodHead {
			problems = append(problems, "the document is no JSON, or allows something: "+policy)
		}
	case a.Body != "":
		problems = append(problems, "the body is "+typ)
	}
	return problems
}

// refusal returns what is wrong with a page or document that refuses r. Its
// reference must find the line in the log, which is an error where it is ours to
// mend.
func (p *player) refusal(r Request, a Answer, w want, lines string) (problems []string) {
	if r.Method != http.MethodHead { // it has no body
		problems = p.named(a, w)
	}
	if w.lines == 1 && w.status != http.StatusInternalServerError && !strings.Contains(lines, fmt.Sprintf(`"status":%d`, w.status)) {
		problems = append(problems, "the log does not tell of it")
	}
	if w.status == http.StatusMethodNotAllowed && a.Header["Allow"] == "" {
		problems = append(problems, "it does not say what is allowed")
	}
	if w.status == http.StatusServiceUnavailable && a.Header["Retry-After"] == "" {
		problems = append(problems, "it does not say when to try again")
	}
	if w.status == http.StatusInternalServerError && !strings.Contains(p.printed(), `"level":"ERROR"`) {
		problems = append(problems, "what is ours to mend is no error in the log")
	}
	return problems
}

// named returns what is wrong with the words of a page or document that tells
// what went wrong. Its reference finds a line of the case: not of this answer
// where that tells of an outcome once more.
func (p *player) named(a Answer, w want) (problems []string) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	var d struct {
		Type, Title, Detail, Reference string
		Status                         int
	}
	if p.way.document {
		if err := json.Unmarshal([]byte(a.Body), &d); err != nil {
			wrong("the problem document: %v", err)
		}
		if d.Type != "urn:evergrant:problem:"+w.typ || d.Status != w.status || d.Title == "" || d.Detail == "" {
			wrong("the problem is %s, %d, want %s", d.Type, d.Status, w.typ)
		}
	}
	for _, m := range references.FindAllStringSubmatch(p.printed(), -1) {
		if d.Reference == m[1] || !p.way.document && strings.Contains(a.Body, html.EscapeString(m[1])) {
			return problems
		}
	}
	wrong("the reference %q finds no line", d.Reference)
	return problems
}

// references are what finds a line of the log.
var references = regexp.MustCompile(`"reference":"([^"]+)"`)

// outcome returns what is wrong with an answer that tells how it has ended: at
// the host or, where there is no place for that, by itself.
func (p *player) outcome(f *flow, a Answer, w want) (problems []string) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if !f.way.stays {
		q := url.Values{"connection_id": {f.key.ConnectionID}, "provider": {f.key.Provider}, "result": {w.result}}
		if to := f.ReturnTo + "?" + q.Encode() + w.also; a.Status != http.StatusSeeOther || a.Header["Location"] != to || a.Body != "" {
			wrong("%d to %s, want 303 to %s", a.Status, a.Header["Location"], to)
		}
		return problems
	}
	if a.Status != w.status {
		wrong("status %d, want %d", a.Status, w.status)
	}
	var d struct{ Result string }
	switch {
	case w.typ != "":
		return append(problems, p.named(a, w)...)
	case !f.way.document && !strings.Contains(a.Body, `<main class="`+looks[w.result]+`">`):
		wrong("it is no page that says %s", w.result)
	case f.way.document && (json.Unmarshal([]byte(a.Body), &d) != nil || d.Result != w.result):
		wrong("the result is %q, want %s", d.Result, w.result)
	}
	return problems
}

// cleaned returns what is wrong with how the browser came to an outcome. One
// that stays with us is shown at no URL that holds whData.
func (p *player) cleaned(f *flow, r Request, a Answer) (problems []string) {
	q, _ := url.ParseQuery(r.Query)
	holds := r.Method == http.MethodGet && f.key.Provider == "whcc" && q.Get("whData") != "" && f.way.stays
	switch to := f.PublicURL + "/callback/whcc?state=" + f.state; {
	case holds != (a.by != nil):
		return []string{fmt.Sprintf("the browser is sent on to a URL without whData: %v, want %v", a.by != nil, holds)}
	case holds && (a.by.Header["Location"] != to || a.by.Body != "" || len(a.by.Cookies) > 0):
		problems = append(problems, fmt.Sprintf("%d to %s, want 303 to %s", a.by.Status, a.by.Header["Location"], to))
	}
	if holds {
		problems = append(append(problems, headers(*a.by)...), p.leaks(*a.by, "")...)
	}
	return problems
}

// looks are how the pages of outcomes look.
var looks = map[string]string{"connected": "good", "denied": "calm"}

// away returns what is wrong with an answer that leads to the provider: exactly
// our parameters, each once, and one new cookie.
func (p *player) away(f *flow, a Answer) (problems []string) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if a.Status != http.StatusFound {
		return []string{fmt.Sprintf("status %d, want 302", a.Status)}
	}
	where, rawQuery, _ := strings.Cut(a.Header["Location"], "?")
	q, err := url.ParseQuery(rawQuery)
	if err != nil {
		wrong("location: %v", err)
	}
	id := f.key.Provider
	names := map[string]string{
		"response_type": "code", "client_id": id + "-client", "redirect_uri": f.PublicURL + "/callback/" + id, "state": "", "scope": "",
	}
	switch id {
	case "whiplash":
		names["code_challenge"], names["code_challenge_method"] = "", "S256"
	case "whcc":
		names = map[string]string{"SessionID": ""}
	}
	for name, want := range names {
		if len(q[name]) != 1 || q.Get(name) == "" || want != "" && q.Get(name) != want {
			wrong("%s is %q", name, q[name])
		}
	}
	delete(q, "identity_provider") // what a ticket may say besides
	if len(q) != len(names) || where != p.Provider.URL+"/"+id+map[bool]string{true: "/login", false: "/authorize"}[id == "whcc"] {
		wrong("it leads to %s with %v", where, slices.Sorted(maps.Keys(q)))
	}
	if id != "whcc" && len(q.Get("state")) < 43 {
		wrong("the state has less than 256 bits")
	}
	return append(problems, p.cookies(a)...)
}

// cookies returns what is wrong with the cookies of an answer that starts an
// authorization request. All but the last are removed.
func (p *player) cookies(a Answer) (problems []string) {
	https := strings.HasPrefix(p.PublicURL, "https://")
	for i, line := range a.Cookies {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			return []string{"a cookie that is none"}
		}
		if c.Path != "/" || c.Domain != "" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure != https ||
			strings.HasPrefix(c.Name, "__Host-") != https || len(line) > 4096 {
			problems = append(problems, fmt.Sprintf("the cookie %s has not its attributes", c.Name))
		}
		if last := i == len(a.Cookies)-1; last != (c.MaxAge == 600) || !last && (c.MaxAge >= 0 || c.Value != "") {
			problems = append(problems, fmt.Sprintf("the cookie %s lives %d s", c.Name, c.MaxAge))
		}
	}
	if len(a.Cookies) == 0 {
		problems = append(problems, "there is no cookie")
	}
	return problems
}
