package web

import (
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// refusals are all that parameters says of a query that it does not take: none
// of them holds a part of it.
var refusals = []string{
	"a parameter is not properly encoded", "a parameter is there twice", "there are more than 100 parameters",
}

// Whatever is read strictly is what package net/url reads, each parameter once
// and each decoded once; and nothing is refused that net/url reads in one way.
func FuzzParameters(f *testing.F) {
	for _, seed := range []string{
		"", "&", "=", "&&=&=&a", "a=1&b=2", "a=1&a=1", "a=1&%61=2", "a=%2B&a=1", "a=%252B", "+=+", "a=1,2", "a=1;b=2", "a=1&;", "a;b=1",
		"%zz", "%", "a=%", "a=%4", "%00=%00", "a=\xff", "a=%ff", "%c3%28=1", "a=%C3%A9", "a=\u0000", "a[]=1&a[]=2", "a=b=c", "a=1#&b=2", "?a=1", "a\r\nb=1",
		"state=x&code=y%3D&iss=https%3A%2F%2Fp", "ticket=eyJ.eyJ.c2ln", "CODE=1&code=2", "code=1&code%00=2", strings.Repeat("a&", 101), strings.Repeat("&", 300),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		params, err := parameters(raw)
		values, urlErr := url.ParseQuery(raw)
		if err != nil {
			if !slices.Contains(refusals, err.Error()) {
				t.Errorf("error = %v", err)
			}
			if urlErr == nil && len(values) <= maxParams && readInOneWay(values) {
				t.Errorf("%q is refused: %v", raw, err)
			}
			return
		}
		pairs := 0
		for pair := range strings.SplitSeq(raw, "&") {
			if pair != "" {
				pairs++
			}
			// net/url drops pairs with a semicolon, which browsers do not.
			name, _, _ := strings.Cut(pair, "=")
			if name, err := url.QueryUnescape(name); pair != "" && err == nil && !strings.Contains(pair, ";") && !slices.Equal(values[name], []string{params[name]}) {
				t.Errorf("%q: %q = %q, net/url reads %q", raw, name, params[name], values[name])
			}
		}
		if len(params) != pairs {
			t.Errorf("%q: %d parameters of %d pairs: %q", raw, len(params), pairs, params)
		}
		encoded := url.Values{}
		for name, v := range params {
			encoded.Set(name, v)
		}
		again, err := parameters(encoded.Encode())
		if err != nil || len(again) != len(params) {
			t.Errorf("%q: encoded again it reads as %q, %v", raw, again, err)
		}
		for name, v := range params {
			if got, ok := again[name]; !ok || got != v {
				t.Errorf("%q: %q = %q, and encoded again %q", raw, name, v, got)
			}
		}
	})
}

// readInOneWay reports whether every parameter is there once, as valid text.
func readInOneWay(values url.Values) bool {
	for name, all := range values {
		if len(all) != 1 || !utf8.ValidString(name) || !utf8.ValidString(all[0]) {
			return false
		}
	}
	return true
}

// What is added to a URL stands in its query once and as it is, and moves the
// URL to no other place.
func FuzzWithQuery(f *testing.F) {
	for _, to := range []string{
		"https://a.example", "https://a.example/?", "https://a.example/p?result=x&%72esult=y&result", "https://a.example/p?a=1;result=2", "https://a.example/p#?result=x",
		"https://a.example/?%zz=1&=2&&", "https://a.example?#", "https://a.example/p?a=1#/done?x=1", "https://u:p@a.example:8443/%2f..//p", "/p?a", "mailto:a@a.example?result=x", "",
	} {
		f.Add(to, "result", "connected")
		f.Add(to, "a&b=#\r\n", "x=y&result=%2e+\x00é")
	}
	f.Fuzz(func(t *testing.T, to, name, value string) {
		before, err := url.Parse(to)
		if err != nil || before.Host == "" {
			return
		}
		got := WithQuery(to, map[string]string{name: value, "provider": "acme"})
		if name == "provider" {
			value = "acme" // a map holds one of them
			got = WithQuery(to, map[string]string{name: value})
		}
		after, err := url.Parse(got)
		if err != nil {
			t.Fatalf("%q: %q: %v", to, got, err)
		}
		if after.Scheme != before.Scheme || after.Host != before.Host || after.User.String() != before.User.String() || after.EscapedPath() != before.EscapedPath() || after.EscapedFragment() != before.EscapedFragment() {
			t.Errorf("%q moved to %q", to, got)
		}
		var ours, others, theirs []string
		for pair := range strings.SplitSeq(after.RawQuery, "&") {
			n, v, _ := strings.Cut(pair, "=")
			n, err := url.QueryUnescape(n)
			switch {
			case err == nil && n == name:
				v, _ = url.QueryUnescape(v)
				ours = append(ours, v)
			case err != nil || n != "provider":
				others = append(others, pair)
			}
		}
		for pair := range strings.SplitSeq(before.RawQuery, "&") {
			n, _, _ := strings.Cut(pair, "=")
			if n, err := url.QueryUnescape(n); pair != "" && (err != nil || n != name && n != "provider") {
				theirs = append(theirs, pair)
			}
		}
		if !slices.Equal(ours, []string{value}) || !slices.Equal(others, theirs) {
			t.Errorf("%q with %q=%q is %q: ours %q, theirs %q of %q", to, name, value, got, ours, others, theirs)
		}
	})
}

var hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"<>]*)" value="([^"<>]*)">`)

// A field of a stranger is one hidden input of the page that posts it again,
// and nothing else of the page.
func FuzzPostAgain(f *testing.F) {
	for _, seed := range []string{"", "code", `"`, `"><script>alert(1)</script>`, "' autofocus onfocus='alert(1)", "</form>", "&quot;", "&#34", "\x00", "\u2028", "\xff", "a\nb", "<!--", "${1}"} {
		f.Add(seed, "x")
		f.Add("code", seed)
	}
	empty := PostAgain(nil)
	f.Fuzz(func(t *testing.T, name, value string) {
		page := PostAgain(map[string]string{name: value})
		found := hiddenInput.FindAllStringSubmatch(page.Body, -1)
		if len(found) != 1 || html.UnescapeString(found[0][1]) != name || html.UnescapeString(found[0][2]) != value {
			t.Fatalf("%q=%q stands in the page as %q", name, value, found)
		}
		if strings.Replace(page.Body, found[0][0], "", 1) != empty.Body || page.Headers["Content-Security-Policy"] != empty.Headers["Content-Security-Policy"] {
			t.Errorf("%q=%q changes the page:\n%s", name, value, page.Body)
		}
	})
}
