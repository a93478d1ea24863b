package refresh

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/spill"
)

// rescuer returns a Rescuer over f and its spill.
func (f *fixture) rescuer(kept *connectiontest.Spill) *Rescuer {
	return &Rescuer{Spills: kept, Connections: f.store, Secrets: f.secrets, Tokens: f.endpoint, Shards: 4, Now: time.Now, Log: f.Log}
}

// spillGrant spills an answer of the endpoint as a new grant of k, given
// now.
func (f *fixture) spillGrant(t *testing.T, kept *connectiontest.Spill, k connection.Key, change ...func(*connection.Connection)) {
	t.Helper()
	tokens := rotated(4)
	tokens.Account = oauth.Account{ID: "7", Label: "shop"}
	c, err := connection.New(k, f.secrets.client, tokens, f.secrets.keys, 4)
	if err != nil {
		t.Fatal(err)
	}
	c.RequestID = "request"
	for _, f := range change {
		f(&c)
	}
	keeper := spill.Keeper{Store: kept, Random: f.Random, Log: f.Log}
	f.store.OnWrite = func(string, any) (bool, error) { return false, errAway }
	place, _ := keeper.KeepGrant(t.Context(), time.Now().Add(5*time.Second), f.secrets.keys, c, tokens, f.store)
	f.store.OnWrite = nil
	if place != spill.Spilled {
		t.Fatalf("place %d", place)
	}
}

// What the sweep's search does with a spill, by the connection that it is of.
func TestVerdictOnASpill(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	issued := now.Add(-10 * time.Minute).Add(300 * time.Millisecond)
	second, first := issued.Truncate(time.Second), now.Add(-time.Hour)
	row := func(s connection.Status, fence, stored int64, change ...func(*connection.Connection)) connection.Connection {
		c := connection.Connection{Status: s, Fence: fence, StoredFence: stored, ConnectedAt: first, UpdatedAt: first}
		for _, f := range change {
			f(&c)
		}
		return c
	}
	due := func(in time.Duration) func(*connection.Connection) {
		return func(c *connection.Connection) { c.Due = connection.Due{Shard: "4.1", At: now.Add(in)} }
	}
	lease := func(left time.Duration) func(*connection.Connection) {
		return func(c *connection.Connection) { c.Lease = connection.Lease{ID: "l", Until: now.Add(left)} }
	}
	connected := func(at time.Time) func(*connection.Connection) {
		return func(c *connection.Connection) { c.ConnectedAt = at }
	}
	updated := func(at time.Time) func(*connection.Connection) {
		return func(c *connection.Connection) { c.UpdatedAt = at }
	}
	stored := func(at time.Time) func(*connection.Connection) {
		return func(c *connection.Connection) { c.RefreshedAt = at }
	}
	refreshed, granted := connection.SpillKey{Fence: 7}, connection.SpillKey{Grant: issued.UnixNano()}
	tests := []struct {
		name string
		at   connection.SpillKey
		row  connection.Connection
		want verdict
	}{
		{"refreshed, never due", refreshed, row(connection.Active, 7, 5), restore},
		{"refreshed, due later", refreshed, row(connection.Active, 7, 5, due(time.Hour), lease(-time.Minute)), restore},
		{"refreshed, due, and no lease that was cut off", refreshed, row(connection.Active, 9, 5, due(-time.Minute)), restore},
		{"refreshed, and the next claim looks for it", refreshed, row(connection.Active, 7, 5, due(-time.Minute), lease(-time.Minute)), wait},
		{"refreshed, and a refresh is under way", refreshed, row(connection.Active, 8, 5, lease(time.Minute)), wait},
		{"refreshed, and marked", refreshed, row(connection.ReauthorizationRequired, 9, 5), restore},
		{"refreshed, and marked by its very claim", refreshed, row(connection.ReauthorizationRequired, 7, 5), restore},
		{"refreshed, and stored", refreshed, row(connection.Active, 7, 7, stored(second)), drop},
		{"refreshed, and something newer stored", refreshed, row(connection.Active, 9, 8, stored(issued.Add(time.Hour))), drop},
		{"refreshed, behind a table from a later backup, and newer", refreshed, row(connection.Active, 41, 41), restore},
		{"refreshed, behind it, and newer, and a refresh is under way", refreshed, row(connection.Active, 41, 41, lease(time.Minute)), wait},
		{"refreshed, behind it, of another grant", refreshed, row(connection.Active, 41, 41, connected(first.Add(time.Second))), drop},
		{"refreshed, and disconnected", refreshed, row(connection.Disconnected, 8, 5), drop},
		{"refreshed, ahead of a table from a backup", refreshed, row(connection.Active, 6, 5), restore},
		{"refreshed, ahead of a table from a backup, where it is due", refreshed, row(connection.Active, 6, 5, due(-time.Minute), lease(-time.Minute)), restore},
		{"refreshed, ahead, and marked meanwhile", refreshed, row(connection.ReauthorizationRequired, 6, 5), restore},
		{"refreshed, ahead, and a refresh is under way", refreshed, row(connection.Active, 6, 5, lease(time.Minute)), wait},
		{"refreshed, ahead, and no newer than what is stored", refreshed, row(connection.Active, 6, 5, stored(issued)), foreign},
		{"refreshed, ahead, and connected since", refreshed, row(connection.Active, 6, 5, connected(second.Add(time.Second))), foreign},
		{"refreshed, ahead, of a grant after the backup", refreshed, row(connection.Active, 6, 5, connected(first.Add(-time.Hour))), foreign},
		{"refreshed, ahead, and disconnected in the backup", refreshed, row(connection.Disconnected, 6, 5), foreign},
		{"refreshed, ahead, and disconnected since", refreshed, row(connection.Disconnected, 6, 5, updated(second)), foreign},
		{"refreshed, of nobody", refreshed, connection.Connection{}, foreign},
		{"new", granted, connection.Connection{}, restore},
		{"new, over an older one", granted, row(connection.Active, 7, 7, due(time.Hour)), restore},
		{"new, over one that is being refreshed", granted, row(connection.Active, 7, 7, lease(time.Minute)), restore},
		{"new, over one that is marked", granted, row(connection.ReauthorizationRequired, 7, 7), restore},
		{"new, and disconnected before", granted, row(connection.Disconnected, 7, 5), restore},
		{"new, and stored after all", granted, row(connection.Active, 7, 7, connected(second)), drop},
		{"new, and connected again", granted, row(connection.Active, 7, 7, connected(second.Add(time.Second))), drop},
		{"new, and disconnected since", granted, row(connection.Disconnected, 7, 5, updated(second.Add(time.Second))), drop},
		{"new, and disconnected at once", granted, row(connection.Disconnected, 7, 5, updated(second)), drop},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := salvage{SpillKey: tt.at, row: tt.row, grant: spill.Grant{Tokens: oauth.TokenSet{IssuedAt: issued}, ConnectedAt: first}}
			if got := s.verdict(now); got != tt.want {
				t.Errorf("verdict %d, want %d", got, tt.want)
			}
		})
	}
}

// A new grant that the store did not take comes back whole, and is refreshed
// from then on.
func TestASpilledGrantComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		kept, log := f.withSpill()
		f.spillGrant(t, kept, f.key)
		if err := f.rescuer(kept).Rescue(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := f.get(t, f.key)
		if c.Status != connection.Active || c.AccessToken != "c4nary-access-4" || f.held(t, f.key) != "c4nary-refresh-4" || c.RequestID != "request" ||
			c.Account.Label != "shop" || c.ClientID != "client" || c.Environment != "production" || c.Due.At.IsZero() {
			t.Errorf("%+v", c)
		}
		if kept.Len() != 0 || len(f.endpoint.revoked) != 0 || !strings.Contains(log.String(), "rescued") {
			t.Errorf("%d spills, %d revoked, log %s", kept.Len(), len(f.endpoint.revoked), log)
		}
		<-time.After(3 * time.Hour)
		f.renew(t, Refreshed)
	})
}

// A table from a backup has older tokens than the spill, and smaller fences. The
// spill is stored before anything is sent; one that is older than the table is
// not, also when fences have come as far as it again.
func TestASpillAheadOfATableFromABackupComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		kept, _ := f.withSpill()
		f.connect(t, f.key)
		<-time.After(time.Hour)
		spilled := func(n int, fence int64) {
			tokens := rotated(n)
			tokens.IssuedAt = tokens.IssuedAt.Add(time.Duration(n) * 5 * time.Minute)
			f.spillTokens(t, kept, fence, tokens)
		}
		spilled(5, 7)
		spilled(3, 9) // older, of yet another backup
		<-time.After(time.Hour)
		for range 2 {
			_ = f.rescuer(kept).Rescue(t.Context()) // which complains of the older one
		}
		if f.held(t, f.key) != "c4nary-refresh-5" || kept.Len() != 1 || len(f.endpoint.sent) != 0 {
			t.Fatalf("the row holds %s, %d spills, %d requests", f.held(t, f.key), kept.Len(), len(f.endpoint.sent))
		}
		f.interrupt(t, 9) // beyond the fence of the older one
		if _, err := f.Renew(t.Context(), f.key, f.get(t, f.key).StoredFence); err != nil {
			t.Fatal(err)
		}
		if len(f.endpoint.sent) != 1 || f.endpoint.sent[0].Reveal() != "c4nary-refresh-5" {
			t.Fatalf("%d requests: an older spill was taken for the newest", len(f.endpoint.sent))
		}

		stored := f.get(t, f.key).StoredFence
		f.interrupt(t, 3)
		f.spillTokens(t, kept, stored+1, rotated(9)) // the live pair
		older := rotated(2)
		older.IssuedAt = older.IssuedAt.Add(-24 * time.Hour)
		f.spillTokens(t, kept, stored+2, older)
		if _, err := f.Renew(t.Context(), f.key, stored); err != nil || f.held(t, f.key) != "c4nary-refresh-9" || len(f.endpoint.sent) != 1 {
			t.Errorf("the row holds %s after %d requests, %v: an older spill hid the live one", f.held(t, f.key), len(f.endpoint.sent), err)
		}
	})
}

// After a restore the fences of a grant that came after the backup come round again.
func TestASpillOfAnotherGrantIsNotTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		kept, _ := f.withSpill()
		f.connect(t, f.key)
		row := f.get(t, f.key)
		sealed, err := spill.Seal(f.secrets.keys, f.spillKey(row.StoredFence+1), spill.Grant{Tokens: rotated(9), ConnectedAt: row.ConnectedAt, RequestID: "of somebody else"})
		if err == nil {
			err = kept.Put(t.Context(), f.spillKey(row.StoredFence+1), sealed)
		}
		if err != nil {
			t.Fatal(err)
		}
		f.interrupt(t, 3)
		if _, err := f.Renew(t.Context(), f.key, row.StoredFence); err != nil || len(f.endpoint.sent) != 1 || f.held(t, f.key) == "c4nary-refresh-9" {
			t.Errorf("the row holds %s after %d requests, %v", f.held(t, f.key), len(f.endpoint.sent), err)
		}
	})
}

// interrupt claims the connection n times, and is cut off each time.
func (f *fixture) interrupt(t *testing.T, n int) {
	t.Helper()
	for range n {
		c := f.get(t, f.key)
		if _, err := f.store.Claim(t.Context(), connection.Claim{Key: f.key, LeaseID: "l", Now: time.Now(), Until: time.Now().Add(time.Minute), StoredFence: c.StoredFence}); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Minute)
	}
}

// Of several spills of one connection the newest counts, in whatever order they
// are found.
func TestTheNewestSpillIsRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		kept, _ := f.withSpill()
		f.connect(t, f.key)
		for n := range 3 { // three claims that were cut off
			<-time.After(5 * time.Minute)
			fence := f.get(t, f.key).Fence + 1
			if _, err := f.store.Claim(t.Context(), connection.Claim{Key: f.key, LeaseID: "l", Now: time.Now(), Until: time.Now().Add(time.Minute)}); err != nil {
				t.Fatal(err)
			}
			f.spillTokens(t, kept, fence, rotated(n+1))
		}
		c := f.get(t, f.key)
		c.Status = connection.ReauthorizationRequired // as a mark does
		if err := f.store.Commit(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := f.rescuer(kept).Rescue(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if c := f.get(t, f.key); c.Status != connection.Active || f.held(t, f.key) != "c4nary-refresh-3" || kept.Len() != 0 || len(f.endpoint.revoked) != 0 {
			t.Errorf("%s, holding %s, %d spills, %d revoked", c.Status, f.held(t, f.key), kept.Len(), len(f.endpoint.revoked))
		}
	})
}

// A grant that came too late is revoked where that cannot hurt the newer one.
func TestAGrantThatNobodyWantsIsDeleted(t *testing.T) {
	tests := []struct {
		name       string
		disconnect bool
		revokesOne bool
		revoked    int
	}{
		{"disconnected", true, false, 1},
		{"connected again", false, false, 0},
		{"connected again, where one grant is revoked", false, true, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.secrets.client.Provider.RevokesOne = tt.revokesOne
				kept, _ := f.withSpill()
				f.spillGrant(t, kept, f.key)
				<-time.After(time.Minute)
				tokens := rotated(5)
				c, err := connection.New(f.key, f.secrets.client, tokens, f.secrets.keys, 4)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.store.Connect(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				if tt.disconnect {
					if _, err := f.store.Disconnect(t.Context(), f.key, time.Now()); err != nil {
						t.Fatal(err)
					}
				}
				before := f.get(t, f.key)
				if err := f.rescuer(kept).Rescue(t.Context()); err != nil {
					t.Fatal(err)
				}
				if after := f.get(t, f.key); after.Fence != before.Fence || after.AccessToken != before.AccessToken {
					t.Errorf("the row changed: %+v", after)
				}
				if kept.Len() != 0 || len(f.endpoint.revoked) != tt.revoked {
					t.Errorf("%d spills, %d revoked, want %d", kept.Len(), len(f.endpoint.revoked), tt.revoked)
				}
			})
		})
	}
}

// Tokens that were stored are never revoked for a spill of them that was left
// over: it is the same grant.
func TestALeftoverSpillIsNotRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.secrets.client.Provider.RevokesOne = true
		kept, _ := f.withSpill()
		f.connect(t, f.key)
		f.renew(t, Refreshed)
		f.spillTokens(t, kept, f.get(t, f.key).Fence, rotated(1))
		if err := f.rescuer(kept).Rescue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if kept.Len() != 0 || len(f.endpoint.revoked) != 0 {
			t.Errorf("%d spills, %d revoked", kept.Len(), len(f.endpoint.revoked))
		}
	})
}

// Whoever changes the connection meanwhile goes first.
func TestARescueLosesAgainstWhoeverIsAtIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		kept, _ := f.withSpill()
		f.connect(t, f.key)
		<-time.After(time.Minute)
		f.spillGrant(t, kept, f.key)
		<-time.After(time.Minute)
		f.store.OnWrite = func(op string, _ any) (bool, error) {
			if op == "Restore" {
				f.store.OnWrite = nil
				if _, err := f.store.Disconnect(t.Context(), f.key, time.Now()); err != nil {
					t.Error(err)
				}
			}
			return true, nil
		}
		if err := f.rescuer(kept).Rescue(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c := f.get(t, f.key); c.Status != connection.Disconnected || kept.Len() != 1 {
			t.Errorf("%s, %d spills", c.Status, kept.Len())
		}
	})
}

// One spill that cannot be used keeps no other one waiting, and is told of.
func TestASpillThatCannotBeUsedIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		kept, _ := f.withSpill()
		good := connection.Key{ConnectionID: "zz", Provider: "acme"} // the last of the list
		for i := range 5 {
			at := connection.SpillKey{Key: connection.Key{ConnectionID: "acct", Provider: "acme"}, Fence: int64(i + 1)}
			if err := kept.Put(t.Context(), at, []byte("not sealed")); err != nil {
				t.Fatal(err)
			}
		}
		f.spillGrant(t, kept, good)
		err := f.rescuer(kept).Rescue(t.Context())
		if err == nil || !strings.Contains(err.Error(), "5 spills passed over") || strings.Count(err.Error(), "acct at acme") != maxComplaints {
			t.Errorf("err = %v", err)
		}
		if c := f.get(t, good); c.AccessToken != "c4nary-access-4" || kept.Len() != 5 {
			t.Errorf("%d spills", kept.Len())
		}
		kept.OnCall = func(op string) (bool, error) { return false, map[bool]error{true: errAway}[op == "List"] }
		if err := f.rescuer(kept).Rescue(t.Context()); !errors.Is(err, errAway) {
			t.Errorf("without a list: %v", err)
		}
	})
}

var _ Spills = (*connectiontest.Spill)(nil)
