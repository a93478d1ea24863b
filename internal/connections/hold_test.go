package connections

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// Held, a provider hears of no reader, but of a person.
func TestAProviderIsHeldUntilItIsReleased(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.connect(t, "acct_42", "whiplash")
		f.connect(t, "acct_42", "whisk")
		const reader = `{"action":"refresh","connection_id":"acct_42","provider":"whiplash","min_ttl":86400}`
		_, raw := f.do(t, `{"action":"hold","provider":"whiplash"}`)
		if want := `{"provider":{"provider":"whiplash","held_since":`; !strings.HasPrefix(raw, want) {
			t.Errorf("hold answers %s", raw)
		}
		_, held := f.do(t, `{"action":"held","provider":"whiplash"}`)
		if _, other := f.do(t, `{"action":"held","provider":"whisk"}`); held != raw || other != `{"provider":{"provider":"whisk"}}` {
			t.Errorf("held answers %s, and of another provider %s", held, other)
		}
		<-time.After(48 * time.Hour)
		if resp, raw := f.do(t, reader); resp.Error == nil || resp.Error.Type != "provider_unavailable" || len(f.endpoint.sent) != 0 {
			t.Errorf("a reader, held: %d requests, %s", len(f.endpoint.sent), raw)
		}
		if resp, raw := f.do(t, `{"action":"refresh","connection_id":"acct_42","provider":"whisk","min_ttl":86400}`); resp.Error != nil {
			t.Errorf("another provider: %s", raw)
		}
		if resp, raw := f.do(t, `{"action":"refresh","connection_id":"acct_42","provider":"whiplash"}`); resp.Error != nil || len(f.endpoint.sent) != 2 {
			t.Errorf("a person: %s", raw)
		}
		if _, raw := f.do(t, `{"action":"release","provider":"whiplash"}`); raw != `{"provider":{"provider":"whiplash"}}` {
			t.Errorf("release answers %s", raw)
		}
		<-time.After(48 * time.Hour)
		if resp, raw := f.do(t, reader); resp.Error != nil {
			t.Errorf("a reader, released: %s", raw)
		}
		for _, line := range []string{`msg="provider held" provider=whiplash`, `msg="provider released" provider=whiplash`} {
			if !strings.Contains(f.log.String(), line) {
				t.Errorf("the log lacks %s", line)
			}
		}
	})
}

func TestWhatCannotBeHeldIsNamed(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		for input, typ := range map[string]string{
			`{"action":"hold"}`:                                              "unknown_provider",
			`{"action":"hold","provider":"nobody"}`:                          "unknown_provider",
			`{"action":"release","provider":"whisk","connection_id":"acct"}`: "invalid_request",
			`{"action":"held","provider":"nobody"}`:                          "unknown_provider",
		} {
			if resp, raw := f.do(t, "%s", input); resp.Error == nil || resp.Error.Type != typ {
				t.Errorf("%s: %s", input, raw)
			}
		}
		f.Breakers = unreadable{}
		if resp, raw := f.do(t, `{"action":"held","provider":"whisk"}`); resp.Error == nil || resp.Error.Type != "unavailable" {
			t.Errorf("without a store: %s", raw)
		}
		if resp, raw := f.do(t, `{"action":"hold","provider":"whisk"}`); resp.Error == nil || resp.Error.Type != "unavailable" {
			t.Errorf("without a store: %s", raw)
		}
	})
}

// broken is a store with a mistake that quotes a secret.
type broken struct{ Reader }

func (broken) Get(context.Context, connection.Key) (connection.Connection, error) {
	panic("c4nary-secret")
}

func TestAPanicIsAnAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.Reader = broken{f.Reader}
		resp, raw := f.do(t, `{"action":"get","connection_id":"acct_42","provider":"whisk"}`)
		if resp.Error == nil || resp.Error.Type != "internal" || !strings.Contains(f.log.String(), "msg=panic type=string") {
			t.Errorf("%s; log: %s", raw, f.log)
		}
	})
}
