package spill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
)

var (
	errAway = errors.New("away")
	key     = connection.Key{ConnectionID: "acct_1", Provider: "acme"}
	first   = connection.SpillKey{Key: key, Fence: 7}
)

func keys(t *testing.T) seal.Keys {
	t.Helper()
	k, err := seal.ParseKeys([]byte(`{"current":"k1","k1":"c4nary-seal-key-0123456789abcdef"}`))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Tokens are kept in the best place that takes them, and nowhere else.
func TestTokensAreKeptInTheBestPlace(t *testing.T) {
	always := func(err error) func(int) error { return func(int) error { return err } }
	firstOnly := func(n int) error {
		if n > 1 {
			return nil
		}
		return errAway
	}
	unwanted := fmt.Errorf("%w: %w", connection.ErrConflict, ErrUnwanted)
	tests := []struct {
		name  string
		write func(n int) error
		spill func(op string) (bool, error) // nil: no second store
		place Place
		kept  int
		line  string
	}{
		{"the store takes them", always(nil), fine, Stored, 0, ""},
		{"the store takes them late", firstOnly, fine, Stored, 0, ""},
		{"the store takes them late, and no second one is there", firstOnly, nil, Stored, 0, ""},
		{"the store takes them late, and the second one never", firstOnly, func(string) (bool, error) { return false, errAway }, Stored, 0, ""},
		{"nobody wants them", always(unwanted), fine, Stored, 0, ""},
		{"the store is away", always(errAway), fine, Spilled, 1, ""},
		{"the store is away, the second one stumbles", always(errAway), stumbling(), Spilled, 1, ""},
		{"both are away", always(errAway), func(string) (bool, error) { return false, errAway }, Logged, 0, "new tokens only here"},
		{"the store is away, and no second one is there", always(errAway), nil, Logged, 0, "new tokens only here"},
		{"no longer needed, and not to be deleted", firstOnly, func(op string) (bool, error) {
			return op != "Delete", map[bool]error{true: errAway}[op == "Delete"]
		}, Stored, 1, "spill not deleted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log, store := new(strings.Builder), &connectiontest.Spill{OnCall: tt.spill}
				k := Keeper{Random: func() float64 { return 0.5 }, Log: canary.Log(t, slog.NewTextHandler(log, nil))}
				if tt.spill != nil {
					k.Store = store
				}
				writes := 0
				begun, until := time.Now(), time.Now().Add(20*time.Second)
				place, err := k.Keep(t.Context(), until, first, func(context.Context) error {
					writes++
					<-time.After(100 * time.Millisecond)
					return tt.write(writes)
				}, func() ([]byte, error) { return []byte("sealed"), nil })
				if place != tt.place || store.Len() != tt.kept {
					t.Errorf("place %d, %d spills, %v; want place %d, %d spills", place, store.Len(), err, tt.place, tt.kept)
				}
				if took := time.Since(begun); place == Stored && took > 5*time.Second {
					t.Errorf("it took %v for what was stored at once", took)
				}
				if tt.line == "" && log.Len() > 0 || !strings.Contains(log.String(), tt.line) {
					t.Errorf("log %q, want %q", log, tt.line)
				}
				if strings.Contains(tt.line, "only here") && !strings.Contains(log.String(), "connection_id=acct_1 fence=7 rescue=c2VhbGVk") {
					t.Errorf("log %q does not hold the tokens", log)
				}
				if time.Now().After(until) {
					t.Errorf("it took until %v after the end", time.Since(until))
				}
			})
		})
	}
}

func fine(string) (bool, error) { return true, nil }

func stumbling() func(string) (bool, error) {
	calls := 0
	return func(string) (bool, error) {
		calls++
		return calls > 3, map[bool]error{true: errAway}[calls <= 3]
	}
}

// A store that hangs is not waited for: the tokens go to the second one.
func TestAStoreThatHangsIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(connectiontest.Spill)
		k := Keeper{Store: store, Random: func() float64 { return 0.5 }, Log: canary.Log(t)}
		begun := time.Now()
		store.OnCall = func(string) (bool, error) {
			if took := time.Since(begun); took > 3*time.Second {
				t.Errorf("the spill was asked after %v", took)
			}
			return true, nil
		}
		place, _ := k.Keep(t.Context(), begun.Add(20*time.Second), first, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			func() ([]byte, error) { return []byte("sealed"), nil })
		if place != Spilled {
			t.Errorf("place %d", place)
		}
	})
}

func TestASealedGrantComesBackWhole(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)
	want := Grant{
		Tokens: oauth.TokenSet{
			AccessToken: "c4nary-a", TokenType: "Bearer", RefreshToken: "c4nary-r", Scopes: []string{"x"}, Asked: []string{"x", "y"}, IssuedAt: noon, ExpiresAt: noon.Add(time.Hour),
			RefreshExpiresAt: noon.Add(24 * time.Hour), Issued: true, Account: oauth.Account{ID: "1", Label: "shop"}, Metadata: map[string]string{"realmId": "9"},
		},
		ClientID: "client", Environment: "sandbox", RequestID: "request",
	}
	at := KeyOf(key, want.Tokens)
	sealed, err := Seal(keys(t), at, want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Open(keys(t), at, sealed); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Open = %+v, %v; want %+v", got, err, want)
	}
}

// Every field of a token set is kept, but for the pause, which is over by then.
// Who adds one must decide.
func TestEveryFieldOfATokenSetIsKept(t *testing.T) {
	if n := reflect.TypeFor[oauth.TokenSet]().NumField(); n != 12 {
		t.Errorf("a TokenSet has %d fields: keep the new one in wireGrant, and change this number", n)
	}
}

// A spill is bound to its connection, and to its fence or moment.
func TestASpillOpensOnlyWhereItBelongs(t *testing.T) {
	sealed, err := Seal(keys(t), first, Grant{Tokens: oauth.TokenSet{AccessToken: "c4nary-a"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []connection.SpillKey{
		{Key: key, Fence: 8}, {Key: key, Grant: 7}, {Key: key, Fence: 7, Grant: 1},
		{Key: connection.Key{ConnectionID: "other", Provider: "acme"}, Fence: 7}, {Key: connection.Key{ConnectionID: "acct_1", Provider: "other"}, Fence: 7},
	} {
		if _, err := Open(keys(t), at, sealed); !errors.Is(err, seal.ErrNotOpened) {
			t.Errorf("opened at %+v: %v", at, err)
		}
	}
	var b []byte
	if err := json.Unmarshal(sealed, &b); err == nil || strings.Contains(string(sealed), "access_token") {
		t.Error("the tokens are not sealed")
	}
}

// A grant whose first write was heard of by nobody may be refreshed before the
// second one: what is stored then is newer, and stays.
func TestAnotherTryOverwritesNothingNewer(t *testing.T) {
	client := oauth.Client{ID: "client", Secret: "c4nary-secret"}
	tests := []struct {
		name  string
		meant func(t *testing.T, store *connectiontest.Memory, c connection.Connection) // between the tries
		want  string                                                                    // the access token that is stored
		err   error
	}{
		{"nothing", func(*testing.T, *connectiontest.Memory, connection.Connection) {}, "c4nary-new", nil},
		{"a refresh", func(t *testing.T, store *connectiontest.Memory, c connection.Connection) {
			old, err := store.Claim(t.Context(), connection.Claim{Key: key, LeaseID: "l", Now: time.Now(), Until: time.Now().Add(time.Minute), StoredFence: 1})
			if err != nil {
				t.Fatal(err)
			}
			old.Fence, old.StoredFence, old.Lease.ID, old.AccessToken = 2, 2, "l", "refreshed"
			if err := store.Commit(t.Context(), old); err != nil {
				t.Fatal(err)
			}
		}, "refreshed", nil},
		{"a later grant", func(t *testing.T, store *connectiontest.Memory, c connection.Connection) {
			c.ConnectedAt, c.AccessToken, c.RequestID = c.ConnectedAt.Add(time.Minute), "later", "another"
			if _, err := store.Connect(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}, "later", ErrUnwanted},
		{"a disconnect", func(t *testing.T, store *connectiontest.Memory, c connection.Connection) {
			if _, err := store.Disconnect(t.Context(), key, time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
		}, "", ErrUnwanted},
	}
	for _, tt := range tests {
		for _, applies := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				tokens := oauth.TokenSet{AccessToken: "c4nary-new", RefreshToken: "c4nary-r", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
				c, err := connection.New(key, client, tokens, keys(t), 4)
				if err != nil {
					t.Fatal(err)
				}
				c.RequestID = "request"
				store, kept, tried := new(connectiontest.Memory), new(connectiontest.Spill), new(atomic.Bool)
				if !applies { // an older grant, which the others work on
					old := c
					old.RequestID, old.ConnectedAt = "older", c.ConnectedAt.Add(-time.Hour)
					if _, err := store.Connect(t.Context(), old); err != nil {
						t.Fatal(err)
					}
				}
				store.OnWrite = func(op string, _ any) (bool, error) {
					if op != "Connect" || tried.Swap(true) {
						return true, nil
					}
					if !applies {
						tt.meant(t, store, c)
					}
					return applies, errAway
				}
				if applies { // the second try comes 50 ms later at the earliest
					time.AfterFunc(time.Millisecond, func() { tt.meant(t, store, c) })
				}
				k := Keeper{Store: kept, Random: func() float64 { return 0.5 }, Log: canary.Log(t)}
				place, err := k.KeepGrant(t.Context(), time.Now().Add(20*time.Second), keys(t), c, tokens, retrying{store})
				if place != Stored || !errors.Is(err, tt.err) || kept.Len() != 0 {
					t.Errorf("%s, first try done: %v: place %d, %v", tt.name, applies, place, err)
				}
				want := tt.want
				if !applies && tt.err == nil {
					want = "c4nary-new" // the new grant replaces the older one, refreshed or not
				}
				if got, err := store.Get(t.Context(), key); err != nil || got.AccessToken.Reveal() != want {
					t.Errorf("%s, first try done: %v: stored %q, %v, want %q", tt.name, applies, got.AccessToken.Reveal(), err, want)
				}
			})
		}
	}
}

// retrying is a store that takes a moment for each read.
type retrying struct{ *connectiontest.Memory }

func (r retrying) Get(ctx context.Context, k connection.Key) (connection.Connection, error) {
	<-time.After(10 * time.Millisecond)
	return r.Memory.Get(ctx, k)
}

// A connection stays with its account, at the first try and at a later one.
// Nothing is spilled for another.
func TestAGrantOfAnotherAccountIsRefused(t *testing.T) {
	for _, firstIsLost := range []bool{false, true} {
		for _, anyAccount := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				client := oauth.Client{ID: "client", AnyAccount: anyAccount}
				made := func(account string, at time.Time) (connection.Connection, oauth.TokenSet) {
					tokens := oauth.TokenSet{AccessToken: oauth.Secret("c4nary-access-" + account), IssuedAt: at, Account: oauth.Account{ID: account}}
					c, err := connection.New(key, client, tokens, keys(t), 4)
					if err != nil {
						t.Fatal(err)
					}
					return c, tokens
				}
				store, kept, tried := new(connectiontest.Memory), new(connectiontest.Spill), new(atomic.Bool)
				old, _ := made("7", time.Now().Add(-time.Hour))
				if _, err := store.Connect(t.Context(), old); err != nil {
					t.Fatal(err)
				}
				store.OnWrite = func(op string, _ any) (bool, error) {
					if !firstIsLost || op != "Connect" || tried.Swap(true) {
						return true, nil
					}
					return false, errAway
				}
				c, tokens := made("8", time.Now())
				k := Keeper{Store: kept, Random: func() float64 { return 0.5 }, Log: canary.Log(t)}
				place, err := k.KeepGrant(t.Context(), time.Now().Add(20*time.Second), keys(t), c, tokens, store)
				got, getErr := store.Get(t.Context(), key)
				if anyAccount {
					if err != nil || got.Account.ID != "8" {
						t.Errorf("accepted: account %s, %v, %v", got.Account.ID, err, getErr)
					}
					return
				}
				if place != Stored || !errors.Is(err, ErrOtherAccount) || !errors.Is(err, ErrUnwanted) || kept.Len() != 0 || got.AccessToken != "c4nary-access-7" {
					t.Errorf("first try lost %t: place %d, %v, %d spills, stored %s", firstIsLost, place, err, kept.Len(), got.AccessToken.Reveal())
				}
			})
		}
	}
}
