package refresh

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

// A spilled grant that is not of the connection's account does not take its
// place later either, unless the client's secret says that this is meant.
func TestASpilledGrantOfAnotherAccountIsDropped(t *testing.T) {
	for _, tt := range []struct {
		name                          string
		meant, anyAccount, revokesOne bool // meant: for this grant alone, as an import may
		restored                      bool
		revoked                       int
	}{
		{"refused", false, false, false, false, 0},
		{"refused, where one grant is revoked", false, false, true, false, 1},
		{"accepted", false, true, true, true, 0},
		{"accepted for this grant", true, false, true, true, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.secrets.client.Provider.RevokesOne, f.secrets.client.AnyAccount = tt.revokesOne, tt.anyAccount
			kept, _ := f.withSpill()
			f.spillGrant(t, kept, f.key, func(c *connection.Connection) { c.AnyAccount = tt.meant })
			tokens := rotated(5)
			tokens.Account, tokens.IssuedAt = oauth.Account{ID: "8"}, time.Now().Add(-time.Hour)
			c, err := connection.New(f.key, f.secrets.client, tokens, f.secrets.keys, 4)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.store.Connect(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			before := f.get(t, f.key)
			if err := f.rescuer(kept).Rescue(t.Context()); err != nil {
				t.Fatal(err)
			}
			restored := f.get(t, f.key).AccessToken != before.AccessToken
			if restored != tt.restored || kept.Len() != 0 || len(f.endpoint.revoked) != tt.revoked {
				t.Errorf("%s: restored %t, %d spills, %d revoked", tt.name, restored, kept.Len(), len(f.endpoint.revoked))
			}
		})
	}
}
