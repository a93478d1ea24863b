package providers

import (
	"maps"
	"slices"
	"testing"
)

// A placeholder is a whole value and replaced once: what comes in its place is
// not looked at again, so that no value of ours can ask for another.
func FuzzExpand(f *testing.F) {
	f.Add("k", "{client_id}", "id", "secret", "https://example.com/cb")
	f.Add("", "a{client_id}", "{client_secret}", "{callback_url}", "{client_id}")
	f.Add("{client_id}", "{client_secret}", "{client_id}", "{client_secret}", "")
	f.Add("k", "{CLIENT_ID}", "id", "secret", "{client_id}{client_secret}")
	f.Fuzz(func(t *testing.T, name, value, id, secret, callbackURL string) {
		params := map[string]string{name: value, name + "i": "{client_id}", name + "s": "{client_secret}", name + "u": "{callback_url}", name + "f": "fixed"}
		before := maps.Clone(params)
		want := map[string]string{name: value, name + "i": id, name + "s": secret, name + "u": callbackURL, name + "f": "fixed"}
		if i := slices.Index([]string{"{client_id}", "{client_secret}", "{callback_url}"}, value); i >= 0 {
			want[name] = []string{id, secret, callbackURL}[i]
		}
		if got := Expand(params, id, secret, callbackURL); !maps.Equal(got, want) || !maps.Equal(params, before) {
			t.Errorf("%q is expanded to %q, want %q", before, got, want)
		}
	})
}
