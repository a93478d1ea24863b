package eventtest

import (
	"strings"
	"testing"
)

// NoPolicy is the Content-Security-Policy of what is no page; a page adds its own
// style, script and forms.
const NoPolicy = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"

// Headers returns the headers of every answer to a browser, whatever else it has,
// but for the Content-Security-Policy (SECURITY rows E1 and E2).
func Headers() map[string]string {
	return map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
		"Strict-Transport-Security": "max-age=31536000; includeSubDomains", "Cross-Origin-Opener-Policy": "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
	}
}

// CheckHeaders fails the test where an answer lacks one of Headers, or has a
// policy that allows what it does not name.
func CheckHeaders(t testing.TB, status int, headers map[string]string) {
	t.Helper()
	for name, want := range Headers() {
		if headers[name] != want {
			t.Errorf("status %d: %s is %q, want %q", status, name, headers[name], want)
		}
	}
	if policy := headers["Content-Security-Policy"]; !strings.HasPrefix(policy, "default-src 'none'; ") {
		t.Errorf("status %d: policy %q", status, policy)
	}
}
