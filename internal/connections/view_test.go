package connections

import (
	"encoding/json"
	"testing"

	"github.com/evergrant/evergrant/internal/connection"
)

// What no check of ours can see is said of each connection: whether a stolen
// code could stand behind it, and whether its token came through the browser.
func TestAViewSaysHowAGrantCame(t *testing.T) {
	sealed, request := []byte{1}, "request"
	tests := []struct {
		name  string
		c     connection.Connection
		pkce  string // as in JSON; "": absent
		front bool
	}{
		{"by a code with PKCE", connection.Connection{Key: connection.Key{Provider: "whiplash"}, RequestID: request, SealedRefreshToken: sealed}, "true", false},
		{"by a code with PKCE, without a refresh token", connection.Connection{Key: connection.Key{Provider: "whiplash"}, RequestID: request}, "true", false},
		{"by a code without PKCE", connection.Connection{Key: connection.Key{Provider: "whatnot"}, RequestID: request, SealedRefreshToken: sealed}, "false", false},
		{"by Whisk's code", connection.Connection{Key: connection.Key{Provider: "whisk"}, RequestID: request, SealedRefreshToken: sealed}, "false", false},
		{"by Whisk's implicit grant", connection.Connection{Key: connection.Key{Provider: "whisk"}, RequestID: request}, "", true},
		{"by an import at Whisk", connection.Connection{Key: connection.Key{Provider: "whisk"}}, "", false},
		{"by WHCC's login", connection.Connection{Key: connection.Key{Provider: "whcc"}, RequestID: request}, "", true},
		{"by WHCC's consumer credentials", connection.Connection{Key: connection.Key{Provider: "whcc"}, Issued: true}, "", false},
		{"by an import at WHCC", connection.Connection{Key: connection.Key{Provider: "whcc"}}, "", false},
		{"of a provider that is gone from the definitions", connection.Connection{Key: connection.Key{Provider: "acme"}, RequestID: request}, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.c.AccessToken = "at"
			text, err := json.Marshal(view(tt.c))
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]json.RawMessage
			if err := json.Unmarshal(text, &got); err != nil || string(got["pkce"]) != tt.pkce || (string(got["token_in_front_channel"]) == "true") != tt.front {
				t.Errorf("%s, %v; want pkce %q, token_in_front_channel %v", text, err, tt.pkce, tt.front)
			}
			tt.c.AccessToken = "" // disconnected
			if view(tt.c).FrontChannel {
				t.Error("where there is no token, none came through the browser")
			}
		})
	}
}
