package connections

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oauth"
)

// move makes every provider's client another one. The one before is a former
// client then, if it is kept.
func (f *fixture) move(kept bool) {
	f.secrets.moved = func(c *oauth.Client) {
		old := *c
		c.ID, c.Secret = "moved", "c4nary-secret2"
		if kept {
			c.Former = []oauth.Client{old}
		}
	}
}

// by wants requests to the provider by the given clients, in order.
func (f *fixture) by(t *testing.T, clients ...string) {
	t.Helper()
	if !slices.Equal(f.endpoint.clients, clients) {
		t.Errorf("requests by %q, want %q", f.endpoint.clients, clients)
	}
	f.endpoint.clients = nil
}

// What belongs to an old connection goes on with its own client, what is new
// begins with the new one.
func TestAMovedProviderServesOldAndNewConnections(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.connect(t, "acct_42", "whiplash")
		f.move(true)
		if resp, raw := f.do(t, `{"action":"refresh","connection_id":"acct_42","provider":"whiplash"}`); resp.Error != nil || resp.Connection.ClientID != "client" {
			t.Errorf("refresh = %s", raw)
		}
		f.by(t, "client")
		f.do(t, "%s", eventFile(t, "connections-disconnect.json"))
		f.by(t, "client")
		for _, action := range []string{`"import","refresh_token":"c4nary-refresh-x","provider":"whiplash"`, `"issue","provider":"whcc"`} {
			if resp, raw := f.do(t, `{"action":%s,"connection_id":"acct_43"}`, action); resp.Error != nil || resp.Connection.ClientID != "moved" {
				t.Errorf("%s = %s", action, raw)
			}
			f.by(t, "moved")
		}
	})
}

// A refresh token is sent with its own client's credentials, or stays here.
func TestDisconnectWithoutTheClientOfTheGrantSendsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.connect(t, "acct_42", "whiplash")
		f.move(false)
		resp, raw := f.do(t, "%s", eventFile(t, "connections-disconnect.json"))
		if resp.Error != nil || resp.Connection.Status != "disconnected" {
			t.Errorf("disconnect = %s", raw)
		}
		f.by(t)
		if text := f.log.String(); !strings.Contains(text, "not revoked at the provider") || !strings.Contains(text, `client ID \"client\"`) {
			t.Errorf("the log does not say why: %s", text)
		}
	})
}

// Who was at the provider as it was moved is connected, by the client that they
// have agreed to. Without its credentials nothing is sent.
func TestACompletionBegunUnderAFormerClient(t *testing.T) {
	for _, kept := range []bool{true, false} {
		bubble(t, func(t *testing.T, f *fixture) {
			handle := f.hold(t)
			f.move(kept)
			resp := f.complete(t, handle, time.Minute)
			if kept {
				if resp.Error != nil || resp.Connection.ClientID != "client" {
					t.Errorf("complete = %+v", resp)
				}
				f.by(t, "client")
				return
			}
			if resp.Error == nil || resp.Error.Type != "configuration_changed" {
				t.Errorf("complete = %+v", resp)
			}
			f.by(t)
		})
	}
}
