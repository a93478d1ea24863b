package canary

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// An Answer is an HTTP answer to a browser.
type Answer struct {
	Status  int
	Header  map[string]string // without Set-Cookie
	Cookies []string          // Set-Cookie lines
	Body    string
}

// FindInAnswer returns the secrets that stand in an answer, but for those that
// the browser must be told.
func (w *Watch) FindInAnswer(a Answer) []Finding { return w.Find(shown(a)) }

// shown returns all that an answer says, but for what it is there to carry:
//
//   - a 302 to the provider sets one cookie, which is sealed;
//   - it has the state in its query or, where the provider keeps it, the
//     provider's own name of the session;
//   - a 303 to the host has the handle in its query;
//   - a 303 to the callback has the state in it, and nothing else;
//   - the page that posts a provider's answer again has it in its hidden inputs.
func shown(a Answer) string {
	var b strings.Builder
	for name, value := range a.Header {
		if name == "Location" {
			value = location(a.Status, value)
		}
		b.WriteString(name + ": " + value + "\n")
	}
	for i, line := range a.Cookies {
		if a.Status == http.StatusFound && i == len(a.Cookies)-1 {
			line = newCookie.ReplaceAllString(line, "$1=")
		}
		b.WriteString(line + "\n")
	}
	body := a.Body
	if strings.Contains(body, `name="evergrant_bounced"`) {
		body = answerField.ReplaceAllString(body, "")
	}
	return b.String() + body
}

// newCookie is the one cookie that there is, with its value.
var newCookie = regexp.MustCompile(`^((?:__Host-)?evergrant-[0-9A-Za-z_-]{16})=[A-Za-z0-9_-]+`)

// answerField is what the page that posts again may repeat.
var answerField = regexp.MustCompile(`<input type="hidden" name="(?:code|state|iss|error|access_token|token_type|expires_in|scope)" value="[^"]*">`)

// location returns the URL that the browser is sent to, without the parameters
// that are for whoever it leads to.
func location(status int, to string) string {
	if status == http.StatusSeeOther && ownCallback.MatchString(to) {
		return ""
	}
	carried := map[int][]string{http.StatusFound: {"state", "SessionID"}, http.StatusSeeOther: {"handle"}}[status]
	to, fragment, _ := strings.Cut(to, "#")
	where, query, _ := strings.Cut(to, "?")
	pairs := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		raw, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(raw)
		return err == nil && slices.Contains(carried, name)
	})
	return where + "?" + strings.Join(pairs, "&") + "#" + fragment
}

// ownCallback is a callback of ours without the provider's answer. Whoever knows
// its origin compares that.
var ownCallback = regexp.MustCompile(`^https?://[a-z0-9.:-]+/callback/[a-z]+\?state=[A-Za-z0-9_-]{43}$`)
