// Package canary finds secrets where none may stand: in logs, pages, answers and
// tables, in every form in which text is written down.
//
// A secret is found in one of three ways. A secret that a test makes up holds
// Marker, so that any text can be searched for it without knowing it. A secret
// that the product or a provider makes at random, such as a state or a cookie,
// is given to a Watch as soon as the test sees it. And in a log, what only looks
// like one is found by its shape. What a browser must be told is left out of the
// search of an answer, thing by thing (answer.go).
//
// It is for tests and knows nothing of the project. It does not see a part of a
// secret, nor one that is encoded twice or compressed. To search for another
// form, add it to needles; the test of this package then plants it too.
package canary

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Marker stands in every secret that a test makes up, and in nothing else. It is
// long enough that no accident makes it, in base64 neither, and none of its
// letters has to be escaped anywhere.
const Marker = "c4nary"

// minValue is the least length of a value that is searched for, in bytes: less
// than that stands in any text.
const minValue = 8

// A Finding is a secret that was found.
type Finding struct {
	What string // which one, in the words of whoever gave it to the Watch
	Form string // how it is written, such as "hex"
	Near string // the text around it
}

// String names the secret, its form and the text around it.
func (f Finding) String() string { return fmt.Sprintf("%s, %s, in %q", f.What, f.Form, f.Near) }

// A needle is one form of a secret.
type needle struct {
	form, text string
	fold       bool // in upper or lower case: text is in lower case
}

// A guarded value with all its forms.
type guarded struct {
	what    string
	needles []needle
}

// A Watch knows secrets, and finds them. Its zero value knows the Marker. It is
// safe for concurrent use.
type Watch struct {
	mu     sync.Mutex
	values map[string]guarded
}

// marker is what every Watch knows.
var marker = guarded{"a secret of the test", append(needles(Marker), needle{"raw", Marker, true})}

// Guard adds secrets. What is shorter than eight bytes is left out: any text may
// hold it.
func (w *Watch) Guard(what string, values ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.values == nil {
		w.values = map[string]guarded{}
	}
	for _, v := range values {
		if _, known := w.values[v]; len(v) >= minValue && !known {
			w.values[v] = guarded{what, needles(v)}
		}
	}
}

// Guarded returns how many values were given to w.
func (w *Watch) Guarded() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.values)
}

// Find returns the secrets that stand in text, each once.
func (w *Watch) Find(text string) []Finding {
	if text == "" {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	read := readings(text)
	found := marker.in(read, nil)
	for _, v := range w.values {
		found = v.in(read, found)
	}
	return found
}

// A reading is a text as it is, or without what some form has escaped in it.
type reading struct{ text, lower string }

// readings returns a text as it is and, where it has escapes, without one layer
// of them: what is written down may have been written down in another form
// before.
func readings(text string) []reading {
	texts := []string{text}
	if strings.ContainsAny(text, `%\&+`) {
		plain := escaped.ReplaceAllStringFunc(html.UnescapeString(text), unescape)
		texts = append(texts, plain, strings.ReplaceAll(plain, "+", " "))
	}
	all := make([]reading, 0, len(texts))
	for i, t := range texts {
		if !slices.Contains(texts[:i], t) {
			all = append(all, reading{t, strings.ToLower(t)})
		}
	}
	return all
}

// escaped is a letter as URLs, JSON and Go escape it.
var escaped = regexp.MustCompile(`%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\["\\/]`)

// unescape returns the letter that an escape stands for.
func unescape(s string) string {
	digits := strings.TrimLeft(s, `%\ux`)
	n, err := strconv.ParseUint(digits, 16, 16)
	switch {
	case err != nil:
		return s[1:]
	case len(digits) == 2:
		return string([]byte{byte(n)}) //nolint:gosec // two digits are a byte
	}
	return string(rune(n))
}

// FindInLog returns the secrets that stand in text, and what looks like one.
// That may be nothing bad elsewhere: a page has the hashes of its policy.
func (w *Watch) FindInLog(text string) []Finding { return append(w.Find(text), shapes(text)...) }

// in appends what was found of g in a text.
func (g guarded) in(read []reading, found []Finding) []Finding {
	for _, n := range g.needles {
		for _, r := range read {
			where := r.text
			if n.fold {
				where = r.lower
			}
			if i := strings.Index(where, n.text); i >= 0 {
				return append(found, Finding{g.what, n.form, near(where, i, len(n.text))})
			}
		}
	}
	return found
}

// near returns the text around what was found.
func near(text string, at, length int) string {
	const around = 60 // bytes
	return strings.ToValidUTF8(text[max(0, at-around):min(len(text), at+length+around)], "")
}

// needles returns every form of a value: as it is, as a URL, JSON, Go and HTML
// write it, in hex and as package fmt prints bytes, and in base64, in which it
// may stand behind any number of other bytes.
func needles(value string) []needle {
	quoted, _ := json.Marshal(value) // a string always marshals
	digits := hex.EncodeToString([]byte(value))
	pairs := make([]string, 0, len(value))
	for pair := range slices.Chunk([]byte(digits), 2) {
		pairs = append(pairs, string(pair))
	}
	all := []needle{
		{"raw", value, false},
		{"URL-encoded", url.QueryEscape(value), false},
		{"URL-encoded", url.PathEscape(value), false},
		{"URL-encoded", "%" + strings.Join(pairs, "%"), true},
		{"JSON", strings.Trim(string(quoted), `"`), false},
		{"quoted", strings.Trim(strconv.Quote(value), `"`), false},
		{"HTML", html.EscapeString(value), false},
		{"hex", digits, true},
		{"hex", strings.Join(pairs, " "), true},
		{"hex", "0x" + strings.Join(pairs, ", 0x"), true},
		{"bytes", strings.Trim(fmt.Sprintf("%d", []byte(value)), "[]"), false},
	}
	for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
		for before := range 3 { // bytes: four letters are three of them
			s := encoding.EncodeToString(append(make([]byte, before), value...))
			// The letters at both ends depend on the neighbours too.
			all = append(all, needle{name, s[(before*8+5)/6 : (before+len(value))*8/6], false})
		}
	}
	slices.SortStableFunc(all, func(a, b needle) int { return strings.Compare(a.text, b.text) })
	return slices.CompactFunc(all, func(a, b needle) bool { return a.text == b.text && a.fold == b.fold })
}

// shapely is what may look like a secret in a log: sealed tokens that no store
// took, and a folder of a test.
var shapely = regexp.MustCompile(`\brescue"?[:=]"?[A-Za-z0-9+/=]+|\bTest[A-Za-z]+[0-9]+/`)

// A shape is what a kind of secrets looks like.
var (
	ticketShape = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.eyJ`)
	randomShape = regexp.MustCompile(`[A-Za-z0-9_-]{43,}`) // 256 bits or more
	hexShape    = regexp.MustCompile(`\b[0-9a-fA-F]{64,}\b`)
)

// shapes returns what looks like a ticket, or like a state, a verifier, a cookie
// or a handle: 256 bits or more in base64url or hex.
func shapes(text string) (found []Finding) {
	text = shapely.ReplaceAllString(text, "")
	for _, at := range ticketShape.FindAllStringIndex(text, 1) {
		found = append(found, Finding{"what looks like a ticket", "raw", near(text, at[0], at[1]-at[0])})
	}
	for _, at := range hexShape.FindAllStringIndex(text, 1) {
		found = append(found, Finding{"what looks like a token", "hex", near(text, at[0], at[1]-at[0])})
	}
	for _, at := range randomShape.FindAllStringIndex(text, -1) {
		if mixed(text[at[0]:at[1]]) {
			return append(found, Finding{"what looks like a state, cookie or handle", "raw", near(text, at[0], at[1]-at[0])})
		}
	}
	return found
}

// mixed reports whether s has letters of both cases and digits, as chance makes
// it and names are not.
func mixed(s string) bool {
	return strings.ContainsAny(s, "0123456789") && strings.ToLower(s) != s && strings.ToUpper(s) != s
}
