package battery

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
)

// A secret is what nobody may print, with what it is.
type secret struct{ what, value string }

// minSecret is the least length of what is searched for, in bytes: less than
// that is found in any text.
const minSecret = 8

// leaked returns in which form secret stands in text: raw, query, path, JSON,
// hex or base64. It returns "" where it does not, and for a secret of less than
// eight bytes, which any text may hold.
func leaked(text, secret string) string {
	if len(secret) < minSecret || text == "" {
		return ""
	}
	quoted, _ := json.Marshal(secret) // a string always marshals
	for form, s := range map[string]string{
		"raw": secret, "query": url.QueryEscape(secret), "path": url.PathEscape(secret), "JSON": strings.Trim(string(quoted), `"`),
	} {
		if strings.Contains(text, s) {
			return form
		}
	}
	if strings.Contains(strings.ToLower(text), hex.EncodeToString([]byte(secret))) {
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
