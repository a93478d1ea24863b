package connection

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oauth"
)

func TestValidID(t *testing.T) {
	tests := map[string]bool{
		"a": true, "acct_42": true, "shop/7:user@host.example-1": true, "A.Z_0:9@/-": true, "..": true, strings.Repeat("x", 256): true,
		"": false, strings.Repeat("x", 257): false, " ": false, "a b": false, "a\n": false, "\x00": false, "a\x00b": false, "ä": false,
		"a#b": false, "a?b": false, "a&b": false, "a%20b": false, "a+b": false, "a,b": false, "a\\b": false, "a\"b": false, "a<b": false, "a*b": false,
		"\u202e": false, "\xff": false, "[": false, "`": false, "{": false, "^": false, ";": false,
	}
	for id, want := range tests {
		if got := ValidID(id); got != want {
			t.Errorf("ValidID(%q) = %v", id, got)
		}
	}
}

func TestLeaseHeld(t *testing.T) {
	tests := []struct {
		name  string
		lease Lease
		want  bool
	}{
		{"none", Lease{}, false},
		{"held", Lease{ID: "l", Until: noon.Add(time.Second)}, true},
		{"ends now", Lease{ID: "l", Until: noon}, false},
		{"ended", Lease{ID: "l", Until: noon.Add(-time.Second)}, false},
		{"without an owner", Lease{Until: noon.Add(time.Hour)}, false},
		{"without an end", Lease{ID: "l"}, false},
		{"held, and the refresh token may have been used", Lease{ID: "l", Until: noon.Add(time.Second), SentAt: noon}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.lease.Held(noon); got != tt.want {
				t.Errorf("held = %v", got)
			}
		})
	}
}

// A sealed value must not open in another row, table or field. What stands in
// a table is sealed for exactly this text.
func TestRefreshTokenPurpose(t *testing.T) {
	if got, want := RefreshTokenPurpose(Key{"acct_42", "whatnot"}), "connections\x00acct_42\x00whatnot\x00refresh_token"; got != want {
		t.Errorf("purpose = %q, want %q", got, want)
	}
	seen := map[string]Key{}
	for _, k := range []Key{{"a", "b"}, {"ab", ""}, {"", "ab"}, {"b", "a"}, {"a/b", "c"}, {"a", "b/c"}} {
		p := RefreshTokenPurpose(k)
		if other, ok := seen[p]; ok {
			t.Errorf("%v and %v have one purpose", k, other)
		}
		seen[p] = k
	}
}

// Whoever prints a record for a look at it shows no token.
func TestConnectionCannotBePrinted(t *testing.T) {
	const canary = "c4n4ry+secret="
	c := Connection{
		Key: Key{"acct_42", "whatnot"}, Status: Active, AccessToken: canary, ExpiresAt: noon,
		Account: oauth.Account{ID: "1"}, Metadata: map[string]string{"k": "v"}, Failure: Failure{Code: "timeout", Count: 1, Since: noon},
	}
	forms := []string{canary, canary[:8], hex.EncodeToString([]byte(canary)), strings.ToUpper(hex.EncodeToString([]byte(canary))), fmt.Sprintf("% x", canary)}
	for name, v := range map[string]any{
		"itself": c, "pointer": &c, "slice": []Connection{c}, "pointers": []*Connection{&c, nil}, "map": map[Key]*Connection{c.Key: &c},
		"in a struct": struct{ C *Connection }{&c}, "error": fmt.Errorf("store %v: %w", c, ErrConflict),
	} {
		t.Run(name, func(t *testing.T) {
			for how, text := range prints(t, v) {
				for _, form := range forms {
					if strings.Contains(text, form) {
						t.Fatalf("%s shows the access token as %q: %s", how, form, text)
					}
				}
			}
		})
	}
	if text := fmt.Sprintf("%+v", c); !strings.Contains(text, "acct_42") || !strings.Contains(text, "timeout") || !strings.Contains(text, "AccessToken:[redacted]") {
		t.Errorf("%%+v = %s, want what is no secret", text)
	}
}

// prints returns v printed, logged and marshaled in every way there is.
func prints(t *testing.T, v any) map[string]string {
	t.Helper()
	out := map[string]string{"Sprint": fmt.Sprint(v), "wrapped": fmt.Errorf("with %v", v).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%c", "%U", "%e", "%t", "%o", "%20s", "%z"} {
		out[verb] = fmt.Sprintf(verb, v)
	}
	if reflect.TypeOf(v).Kind() != reflect.Map { // its keys are structs
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("json: %v", err)
		}
		out["json"] = string(text)
	}
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("m", "v", v, slog.Group("g", "v", v))
	out["slog text"] = b.String()
	b.Reset()
	slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "v", v, slog.Group("g", "v", v))
	out["slog json"] = b.String()
	return out
}
