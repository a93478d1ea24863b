package oauth

import (
	"strings"
	"testing"

	"github.com/evergrant/evergrant/pkg/providers"
)

// A misspelt environment must not mean production without a word.
func TestMisspeltMembersAreNamed(t *testing.T) {
	p, _ := providers.Find("whiplash")
	tests := []struct{ member, want string }{
		{`"environment":"sandbox"`, ""},
		{`"enviroment":"sandbox"`, `write "environment"`},
		{`"Environment":"sandbox"`, `write "environment"`},
		{`"scope":["user_read"]`, `write "scopes"`},
		{`"endpoint":{}`, `write "endpoints"`},
		{`"reponse_type":"code"`, `write "response_type"`},
		{`"endpoints":{"token_uri":"https://x.example/t"}`, "endpoints.token_uri is not known"},
		{`"endpoints":{"token_url":"https://x.example/t"}`, ""},
		{`"note":"ours"`, ""},
		{`"rotated_at":"2026-11-23"`, ""},
	}
	for _, tt := range tests {
		_, err := ParseClient(p, []byte(`{"client_id":"i","client_secret":"s",`+tt.member+`}`), false)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.member, err, tt.want)
		}
	}
}

func TestMembersThatMeanNothingAreListed(t *testing.T) {
	tests := []struct{ document, want string }{
		{`{"client_id":"i","client_secret":"s","environment":"","scopes":[],"endpoints":{},"response_type":"","refresh":"","extra":{"note":"x"}}`, ""},
		{`{"rotated_at":"2026-11-23","client_id":"i","note":{"by":"us"}}`, "note rotated_at"},
		{"\ufeff" + `{"note":1}`, "note"},
		{`not JSON`, ""},
		{`[]`, ""},
	}
	for _, tt := range tests {
		if got := strings.Join(UnknownMembers([]byte(tt.document)), " "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.document, got, tt.want)
		}
	}
}
