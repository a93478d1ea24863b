package refresh

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/metrics"
	"github.com/evergrant/evergrant/internal/oauth"
)

// A bound endpoint notes the client of each request, and refuses some. Every
// refresh token of these tests is of client ID "client".
type bound struct {
	*endpoint
	refuses map[oauth.Secret]*oauth.Error // by client secret

	mu   sync.Mutex
	sent []string // client ID and secret
}

func (b *bound) note(c oauth.Client) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = append(b.sent, c.ID+" "+c.Secret.Reveal())
	if e := b.refuses[c.Secret]; e != nil {
		return e
	}
	return nil
}

func (b *bound) Refresh(ctx context.Context, c oauth.Client, refreshToken oauth.Secret) (oauth.TokenSet, error) {
	if err := b.note(c); err != nil {
		return oauth.TokenSet{}, err
	}
	return b.endpoint.Refresh(ctx, c, refreshToken)
}

func (b *bound) Issue(ctx context.Context, c oauth.Client) (oauth.TokenSet, error) {
	if err := b.note(c); err != nil {
		return oauth.TokenSet{}, err
	}
	return b.endpoint.Issue(ctx, c)
}

func (b *bound) Revoke(ctx context.Context, c oauth.Client, accessToken, refreshToken oauth.Secret) error {
	if err := b.note(c); err != nil {
		return err
	}
	return b.endpoint.Revoke(ctx, c, accessToken, refreshToken)
}

// The credentials of these tests, as a bound endpoint notes them.
const (
	oldClient = "client c4nary-secret1"
	newClient = "moved c4nary-secret2"
)

// bind puts a bound endpoint into f.
func (f *fixture) bind() *bound {
	b := &bound{endpoint: f.endpoint, refuses: map[oauth.Secret]*oauth.Error{}}
	f.Tokens = b
	return b
}

// move makes the provider's client another one. The one before is a former
// client then, if it is kept.
func (f *fixture) move(kept bool) {
	old := f.secrets.client
	f.secrets.client.ID, f.secrets.client.Secret = "moved", "c4nary-secret2"
	if kept {
		f.secrets.client.Former = []oauth.Client{old}
	}
}

// Users of the old client notice nothing while a provider is moved, until they
// connect again.
func TestAConnectionIsRefreshedByTheClientOfItsGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		b := f.bind()
		f.connect(t, f.key)
		f.move(true)
		f.renew(t, Refreshed)
		if c := f.get(t, f.key); c.ClientID != "client" || c.Environment != "production" {
			t.Errorf("a refresh moved the connection to client %s in %s", c.ClientID, c.Environment)
		}
		f.connect(t, f.key) // again, by the new one
		f.renew(t, Refreshed)
		if want := []string{oldClient, newClient}; !slices.Equal(b.sent, want) || f.get(t, f.key).ClientID != "moved" {
			t.Errorf("requests by %q, want %q", b.sent, want)
		}
	})
}

func TestAnIssuedTokenIsRenewedByTheClientThatItWasIssuedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		b := f.bind()
		tokens, err := f.endpoint.Issue(t.Context(), f.secrets.client)
		if err != nil {
			t.Fatal(err)
		}
		c, err := connection.New(f.key, f.secrets.client, tokens, f.secrets.keys, 4)
		if err != nil {
			t.Fatal(err)
		}
		c.Due.At = time.Now()
		if _, err := f.store.Connect(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		f.move(true)
		f.renew(t, Refreshed)
		if !slices.Equal(b.sent, []string{oldClient}) {
			t.Errorf("requests by %q", b.sent)
		}
	})
}

// However many secrets there are to try, those of another client are not.
func TestARefusedFormerClientIsTriedWithItsOwnSecretsAlone(t *testing.T) {
	for _, works := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			b := f.bind()
			f.connect(t, f.key)
			changed := f.secrets.client
			changed.Secret = "c4nary-secret3"
			f.move(true)
			f.secrets.others = []oauth.Client{f.secrets.client, changed}
			b.refuses["c4nary-secret1"] = &oauth.Error{Status: 401, Code: "invalid_client"}
			want := Refreshed
			if !works {
				b.refuses[changed.Secret], want = b.refuses["c4nary-secret1"], Failed
			}
			f.renew(t, want)
			if !slices.Equal(b.sent, []string{oldClient, "client c4nary-secret3"}) {
				t.Errorf("requests by %q", b.sent)
			}
		})
	}
}

// A former client that the provider refuses is the end of nobody and of nothing
// else: the connections of the new client are refreshed beside it.
func TestARefusedFormerClientConcernsItsConnectionsAlone(t *testing.T) {
	for name, refusal := range map[string]*oauth.Error{
		"refused": {Status: 401, Code: "invalid_client"}, "may not refresh": {Status: 400, Code: "unauthorized_client"},
		"asked for too much": {Status: 400, Code: "invalid_scope"}, "moved away": {Status: 302, Reason: "a redirect"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatch(t)
				b := w.bind()
				w.h.Concurrency = 1
				w.connectMany(t, 6)
				w.move(true)
				for _, id := range []string{"acct_1", "acct_4"} {
					w.connect(t, connection.Key{ConnectionID: id, Provider: "acme"})
				}
				b.refuses["c4nary-secret1"] = refusal
				if s := w.sweep(t); s != (Summary{Due: 6, Refreshed: 2, Failed: 4}) {
					t.Errorf("%+v", s)
				}
				if slices.Sort(b.sent); !slices.Equal(b.sent, []string{oldClient, newClient, newClient}) {
					t.Errorf("requests by %q: after a refusal the others of that client can wait", b.sent)
				}
				want := map[string]float64{"OldestDueSeconds": 0, "SecondsToExpiry": 300, "Refreshes acme refreshed": 2, "Refreshes acme other": 4, "Misconfigured": 1}
				if got := w.values(t); !maps.Equal(got, want) {
					t.Errorf("%v, want %v", got, want)
				}
				w.unharmed(t, "acct_0")
				if text := w.log.String(); !strings.Contains(text, `former client, client ID \"client\"`) || strings.Contains(text, "provider misconfigured") || !strings.Contains(text, `"unusable"`) {
					t.Errorf("the log does not name the former client, or blames the provider: %s", text)
				}
			})
		})
	}
}

// What a person gives up by taking a former client out of the secret is told while
// that is news, at least once of each connection, and never again: an alarm that
// rings for ever hides what comes after it.
func TestConnectionsThatAreLeftBehindAreToldWhileThatIsNews(t *testing.T) {
	tests := []struct {
		name         string
		left         time.Duration // until the access token ends
		noisy, quiet time.Duration // it is told last after the one, before the other
	}{
		{"whose tokens work", 30 * time.Minute, 80 * time.Minute, 90 * time.Minute},
		{"whose tokens ended almost a week ago", 30*time.Minute - week, 25 * time.Minute, 31 * time.Minute},
		{"whose tokens ended a week ago", -week - time.Minute, 0, time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatch(t)
				w.h.FunctionName = "RefreshFunction"
				for i := range 12 {
					w.connectAt(t, i, 0, tt.left, "good")
				}
				w.move(false)
				from := time.Now()
				w.minutes(t, 90)
				told := map[metrics.Metric]time.Time{}
				for _, p := range w.points(t) {
					told[metrics.Metric(p.Metric)] = p.At
				}
				if last := told[metrics.Misconfigured]; last.Before(from.Add(tt.noisy)) || last.After(from.Add(tt.quiet)) {
					t.Errorf("told until %v", last.Sub(from))
				}
				if told[metrics.Refreshes].Before(from.Add(80 * time.Minute)) {
					t.Error("not looked at any more: the client may come back")
				}
				for _, m := range []metrics.Metric{metrics.SecondsToExpiry, metrics.FailedPercent} {
					if at, ok := told[m]; ok {
						t.Errorf("%s is told after %v", m, at.Sub(from))
					}
				}
			})
		})
	}
}

// unharmed wants the connection of an ID as active as before, waiting without a
// failure, and the breaker of its provider untouched.
func (f *fixture) unharmed(t *testing.T, id string) {
	t.Helper()
	c := f.get(t, connection.Key{ConnectionID: id, Provider: "acme"})
	if c.Status != connection.Active || c.Failure.Count != 0 || c.Lease.ID != "" || !c.Due.At.After(time.Now()) || c.AccessToken != "c4nary-access-0" {
		t.Errorf("charged, leased, marked or not put off: %+v", c)
	}
	breaker, err := f.store.GetBreaker(t.Context(), "acme")
	if err != nil || !breaker.OpenUntil.IsZero() || breaker.InARow != 0 {
		t.Errorf("breaker %+v, %v", breaker, err)
	}
}

// It is asked for again after a minute, so that a corrected secret is found.
func TestARefusedFormerClientIsSparedForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		b := f.bind()
		f.connectMany(t, 2)
		f.move(true)
		b.refuses["c4nary-secret1"] = &oauth.Error{Status: 401, Code: "invalid_client"}
		f.key.ConnectionID = "acct_0"
		if err := f.renewErr(t, Failed); !errors.Is(err, errFormerRefused) {
			t.Errorf("err = %v", err)
		}
		f.key.ConnectionID = "acct_1"
		if err := f.renewErr(t, Failed); !errors.Is(err, errUnusable) || errors.Is(err, errFormerRefused) || !strings.Contains(err.Error(), `"client"`) || len(b.sent) != 1 {
			t.Errorf("err = %v after %d requests", err, len(b.sent))
		}
		f.unharmed(t, "acct_1")
		delete(b.refuses, "c4nary-secret1")
		<-time.After(10 * time.Minute)
		f.renew(t, Refreshed)
	})
}

// An error of another kind means at a former client what it means at any.
func TestARefusedGrantOfAFormerClientIsAStrike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		b := f.bind()
		f.connect(t, f.key)
		f.move(true)
		b.refuses["c4nary-secret1"] = &oauth.Error{Status: 400, Code: "invalid_grant"}
		f.renew(t, Failed)
		<-time.After(6 * time.Minute)
		f.renew(t, Failed)
		if c := f.get(t, f.key); c.Status != connection.ReauthorizationRequired {
			t.Errorf("%s after two refusals", c.Status)
		}
	})
}

// A meddler is a store in which somebody is faster than the first commit.
type meddler struct {
	Leases
	meddle func()
}

func (m *meddler) Commit(ctx context.Context, c connection.Connection) error {
	if m.meddle != nil {
		m.meddle()
		m.meddle = nil
	}
	return m.Leases.Commit(ctx, c)
}

// Tokens that come too late are of the client that asked for them, whichever the
// connection is of by then. Without its credentials they are left alone.
func TestLateTokensAreRevokedByTheirOwnClient(t *testing.T) {
	for _, tt := range []struct {
		name      string
		kept      bool // the former client is in the secret
		reconnect bool // by the new client; else disconnect
		revoked   []string
	}{
		{"disconnected", true, false, []string{oldClient, oldClient}},
		{"connected again", true, true, []string{oldClient, oldClient}},
		{"disconnected, and the old client is not known", false, false, nil},
		{"connected again, and the old client is not known", false, true, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.secrets.client.Provider.RevokesOne = true
				b := f.bind()
				kept, _ := f.withSpill()
				f.connect(t, f.key)
				f.commitsFail()
				f.renew(t, Failed) // a refresh by the old client, whose tokens are spilled
				f.store.OnWrite, b.sent = nil, nil
				f.move(tt.kept)
				<-time.After(5 * time.Minute)
				change := func() {
					if _, err := f.store.Disconnect(t.Context(), f.key, time.Now()); err != nil {
						t.Fatal(err)
					}
					if tt.reconnect {
						<-time.After(time.Second)
						f.connect(t, f.key)
						c := f.get(t, f.key)
						c.ConnectedAt = time.Now()
						if _, err := f.store.Connect(t.Context(), c); err != nil {
							t.Fatal(err)
						}
					}
				}
				found := kept.Len()
				f.Leases = &meddler{f.store, change}
				f.renew(t, Skipped) // it is found, and too late
				if found != 1 || !slices.Equal(b.sent, tt.revoked[:len(tt.revoked)/2]) {
					t.Errorf("%d spills, revoked by %q", found, b.sent)
				}
				r := f.rescuer(kept)
				r.Tokens = b
				if err := r.Rescue(t.Context()); err != nil || kept.Len() != 0 || !slices.Equal(b.sent, tt.revoked) {
					t.Errorf("%v, %d spills left, revoked by %q, want %q", err, kept.Len(), b.sent, tt.revoked)
				}
			})
		})
	}
}
