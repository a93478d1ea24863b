package connection

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestACursorComesBackAsItWas(t *testing.T) {
	key := Key{ConnectionID: "a.Z_9:@/-", Provider: "whatnot"}
	for _, c := range []Cursor{{Key: key}, {Key: key, DueAt: time.Unix(1_760_000_000, 0).UTC()}} {
		text := c.String()
		if got, err := ParseCursor(text); err != nil || got != c {
			t.Errorf("ParseCursor(%s) = %v, %v, want %v", text, got, err, c)
		}
		if strings.ContainsAny(text, "+/=&?% ") {
			t.Errorf("cursor %s needs escaping in a URL", text)
		}
	}
}

func TestAMalformedCursorIsRefused(t *testing.T) {
	tests := []struct{ name, text string }{
		{"empty", ""},
		{"not base64url", "#"},
		{"padded", base64.URLEncoding.EncodeToString([]byte(`{"connection_id":"ab","provider":"p"}`))},
		{"not JSON", encode(`hello`)},
		{"not an object", encode(`["a","p"]`)},
		{"two objects", encode(`{"connection_id":"a","provider":"p"}{}`)},
		{"a key of another type", encode(`{"connection_id":1,"provider":"p"}`)},
		{"no provider", encode(`{"connection_id":"a"}`)},
		{"no connection ID", encode(`{"provider":"p"}`)},
		{"a connection ID that cannot be", encode(`{"connection_id":"a b","provider":"p"}`)},
		{"a provider that is too long", encode(`{"connection_id":"a","provider":"` + strings.Repeat("p", 2000) + `"}`)},
		{"a due time that is a text", encode(`{"connection_id":"a","provider":"p","due_at":"soon"}`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := ParseCursor(tt.text); !errors.Is(err, ErrBadCursor) {
				t.Errorf("ParseCursor = %v, %v, want ErrBadCursor", got, err)
			}
		})
	}
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
