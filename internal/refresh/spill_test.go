package refresh

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/spill"
)

var errAway = errors.New("away")

// withSpill gives f a spill and a log that can be read.
func (f *fixture) withSpill() (*connectiontest.Spill, *strings.Builder) {
	kept, log := new(connectiontest.Spill), new(strings.Builder)
	f.Spill = kept
	f.Log = slog.New(slog.NewMultiHandler(f.Log.Handler(), slog.NewTextHandler(log, nil)))
	return kept, log
}

// spillKey returns the key of the spill of the refresh of a fence.
func (f *fixture) spillKey(fence int64) connection.SpillKey {
	return connection.SpillKey{Key: f.key, Fence: fence}
}

// spillTokens spills tokens as the refresh of a fence would.
func (f *fixture) spillTokens(t *testing.T, kept *connectiontest.Spill, fence int64, tokens oauth.TokenSet) {
	t.Helper()
	row, err := f.store.Get(context.Background(), f.key)
	if err != nil && !errors.Is(err, connection.ErrNotFound) {
		t.Fatal(err)
	}
	sealed, err := spill.Seal(f.secrets.keys, f.spillKey(fence), spill.Grant{Tokens: tokens, ConnectedAt: row.ConnectedAt, RequestID: row.RequestID})
	if err != nil {
		t.Fatal(err)
	}
	if err := kept.Put(context.Background(), f.spillKey(fence), sealed); err != nil {
		t.Fatal(err)
	}
}

// A store that stays away to the end of the invocation loses nothing: the next
// run finds the pair in the spill, stores it and sends nothing.
func TestASpilledPairComesBackWithoutASend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		spill, _ := f.withSpill()
		f.connect(t, f.key)
		f.store.OnWrite = func(op string, _ any) (bool, error) {
			return op != "Commit", map[bool]error{true: errAway}[op == "Commit"]
		}
		f.renew(t, Failed)
		if spill.Len() != 1 {
			t.Fatalf("%d spills, want 1", spill.Len())
		}
		f.store.OnWrite = nil
		f.renew(t, Skipped) // the lease holds
		<-time.After(3 * time.Minute)
		f.renew(t, Refreshed)
		if len(f.endpoint.sent) != 1 || f.held(t, f.key) != "c4nary-refresh-1" || f.get(t, f.key).AccessToken != "c4nary-access-1" {
			t.Errorf("%d token requests, holding %s", len(f.endpoint.sent), f.held(t, f.key))
		}
		if spill.Len() != 0 {
			t.Error("the spill is still there")
		}
	})
}

// While the store only stumbles, the spill is a safety net that is taken away
// again.
func TestASpillThatWasNotNeededGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		spill, _ := f.withSpill()
		f.connect(t, f.key)
		commits := 0
		f.store.OnWrite = func(op string, _ any) (bool, error) {
			if op != "Commit" {
				return true, nil
			}
			commits++
			return commits > 3, map[bool]error{true: errAway}[commits <= 3]
		}
		f.renew(t, Refreshed)
		if spill.Len() != 0 || f.held(t, f.key) != "c4nary-refresh-1" {
			t.Errorf("%d spills, holding %s", spill.Len(), f.held(t, f.key))
		}
	})
}

// When both stores are away the pair is in the log, sealed, and nowhere plain.
func TestTheLogIsTheLastResort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		kept, log := f.withSpill()
		kept.OnCall = func(string) (bool, error) { return false, errAway }
		f.connect(t, f.key)
		f.store.OnWrite = func(op string, _ any) (bool, error) {
			return op != "Commit", map[bool]error{true: errAway}[op == "Commit"]
		}
		f.renew(t, Failed)
		match := regexp.MustCompile(`fence=(\d+) rescue=(\S+)`).FindStringSubmatch(log.String())
		if match == nil || strings.Contains(log.String(), "c4nary-refresh-1") || strings.Contains(log.String(), "c4nary-access-1") {
			t.Fatalf("log: %s", log)
		}
		sealed, err := base64.StdEncoding.DecodeString(strings.Trim(match[2], `"`))
		if err != nil {
			t.Fatal(err)
		}
		g, err := spill.Open(f.secrets.keys, f.spillKey(f.get(t, f.key).Fence), sealed)
		if err != nil || g.Tokens.RefreshToken != "c4nary-refresh-1" || g.Tokens.AccessToken != "c4nary-access-1" {
			t.Errorf("rescued %v, %v", g.Tokens.RefreshToken == "c4nary-refresh-1", err)
		}
	})
}

// Where it is not known whether there is a spill, or it cannot be opened,
// nothing is sent: the old refresh token may be spent.
func TestNothingIsSentWhileASpillIsInDoubt(t *testing.T) {
	tests := []struct {
		name  string
		doubt func(*connectiontest.Spill)
		want  error
	}{
		{"spill out of reach", func(s *connectiontest.Spill) { s.OnCall = func(string) (bool, error) { return false, errAway } }, errAway},
		{"spill altered", (*connectiontest.Spill).Corrupt, seal.ErrNotOpened},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				spill, _ := f.withSpill()
				f.connect(t, f.key)
				f.store.OnWrite = func(op string, _ any) (bool, error) {
					return op != "Commit", map[bool]error{true: errAway}[op == "Commit"]
				}
				f.renew(t, Failed)
				f.store.OnWrite = nil
				tt.doubt(spill)
				for range 3 {
					<-time.After(3 * time.Minute)
					if err := f.renewErr(t, Failed); !errors.Is(err, tt.want) {
						t.Errorf("err = %v, want %v", err, tt.want)
					}
				}
				if c := f.get(t, f.key); len(f.endpoint.sent) != 1 || c.Status != connection.Active || c.Lease.ID == "" {
					t.Errorf("%d token requests, %+v", len(f.endpoint.sent), c.Lease)
				}
			})
		})
	}
}

// A spill older than what is stored is of no account.
func TestAnOldSpillIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		kept, _ := f.withSpill()
		f.connect(t, f.key)
		f.spillTokens(t, kept, f.get(t, f.key).StoredFence, rotated(7))
		f.endpoint.answer = refuse(&oauth.Error{Reason: "no answer"})
		f.renew(t, Failed)
		<-time.After(3 * time.Minute)
		f.endpoint.answer = nil
		f.renew(t, Refreshed)
		if f.held(t, f.key) != "c4nary-refresh-2" {
			t.Errorf("holding %s, want the provider's answer", f.held(t, f.key))
		}
	})
}

// A lease that was broken, say by a clock that jumped, must not cost the only
// live tokens: they wait in the spill for the next claim, and are not revoked.
func TestTokensOvertakenByAnotherClaimAreNotDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		spill, _ := f.withSpill()
		f.connect(t, f.key)
		f.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
			later := time.Now().Add(time.Hour) // another worker's clock
			if _, err := f.store.Claim(t.Context(), connection.Claim{Key: f.key, LeaseID: "other", Now: later, Until: later}); err != nil {
				t.Error(err)
			}
			return rotated(1), nil
		}
		f.renew(t, Failed)
		if spill.Len() != 1 || len(f.endpoint.revoked) != 0 {
			t.Fatalf("%d spills, %d revoked", spill.Len(), len(f.endpoint.revoked))
		}
		<-time.After(2 * time.Hour)
		f.renew(t, Refreshed)
		if len(f.endpoint.sent) != 1 || f.held(t, f.key) != "c4nary-refresh-1" {
			t.Errorf("%d token requests, holding %s", len(f.endpoint.sent), f.held(t, f.key))
		}
	})
}

// The spill of any lost refresh since the last stored tokens is found, not only
// of the last: an attempt to recover may have been cut off itself.
func TestASpillIsFoundBehindALaterLostClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		spill, _ := f.withSpill()
		f.connect(t, f.key)
		f.store.OnWrite = func(op string, _ any) (bool, error) {
			return op != "Commit", map[bool]error{true: errAway}[op == "Commit"]
		}
		f.renew(t, Failed)
		for range 2 { // recovery cannot store either
			<-time.After(3 * time.Minute)
			f.renew(t, Failed)
		}
		f.store.OnWrite = nil
		<-time.After(3 * time.Minute)
		f.renew(t, Refreshed)
		if len(f.endpoint.sent) != 1 || f.held(t, f.key) != "c4nary-refresh-1" {
			t.Errorf("%d token requests, holding %s", len(f.endpoint.sent), f.held(t, f.key))
		}
		if spill.Len() != 0 {
			t.Errorf("%d spills left, want none", spill.Len())
		}
	})
}

var _ Spill = (*connectiontest.Spill)(nil)
