package lambdatest_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// leaks returns, redacted, which of secrets stand in text: as they are, or in
// base64, hex, URL-encoded or in a JSON string.
func leaks(text string, secrets []string) []string {
	lower := strings.ToLower(text)
	var found []string
	for _, s := range secrets {
		if s == "" {
			continue
		}
		if form := formOf(text, lower, s); form != "" {
			found = append(found, form+" "+s[:min(4, len(s))]+"…")
		}
	}
	return found
}

// formOf returns in which form secret stands in text, or "".
func formOf(text, lower, secret string) string {
	quoted, _ := json.Marshal(secret) // a string always marshals
	for form, s := range map[string]string{
		"raw": secret, "query": url.QueryEscape(secret), "path": url.PathEscape(secret), "JSON": strings.Trim(string(quoted), `"`),
	} {
		if strings.Contains(text, s) {
			return form
		}
	}
	if strings.Contains(lower, hex.EncodeToString([]byte(secret))) {
		return "hex"
	}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 { // bytes: a secret may stand anywhere in what was encoded
			s := encoding.EncodeToString(append(make([]byte, before), secret...))
			// The first and last characters depend on the neighbours too.
			if s = s[(before*8+5)/6 : len(s)-1]; strings.Contains(text, s) {
				return "base64"
			}
		}
	}
	return ""
}

func TestALeakIsSeenInEveryForm(t *testing.T) {
	const secret = `a/b+c=d "e" ëfghij`
	forms := []string{
		secret, "token=" + url.QueryEscape(secret) + "&x=y", url.PathEscape(secret), hex.EncodeToString([]byte(secret)),
		strings.ToUpper(hex.EncodeToString([]byte("{" + secret + "}"))), `{"err":"got a/b+c=d \"e\" ëfghij"}`,
	}
	for _, around := range []string{"", "x", "xy", "xyz", "client:"} {
		forms = append(forms, base64.StdEncoding.EncodeToString([]byte(around+secret+"tail")), base64.RawURLEncoding.EncodeToString([]byte(around+secret)))
	}
	for _, form := range forms {
		if got := leaks("before "+form+" after", []string{"other", secret}); len(got) != 1 {
			t.Errorf("%q: found %q", form, got)
		}
	}
	if got := leaks("client_secret=[redacted]", []string{secret, ""}); got != nil {
		t.Errorf("found %q where there is none", got)
	}
}
