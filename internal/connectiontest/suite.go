package connectiontest

import (
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

// A promise is one sentence of the contract and the test of it.
type promise struct {
	name string
	test func(*testing.T, Store)
}

// Run checks that the stores made by open keep every promise. Each subtest
// opens a fresh, empty store.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for _, p := range slices.Concat(records, lists, claims, commits, defers, reseals, grants, restores, requests, sweeps, providers) {
		t.Run(p.name, func(t *testing.T) { p.test(t, open(t)) })
	}
}

var (
	noon  = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	later = noon.Add(time.Hour)
	whole = connection.Key{ConnectionID: "acct_42", Provider: "whatnot"}
)

// leaseTime is how long the claims of the suite hold.
const leaseTime = 2 * time.Minute

// full returns a new grant for k that has every field set and is due at noon.
func full(k connection.Key) connection.Connection {
	return connection.Connection{
		Key:                k,
		Status:             connection.Active,
		AccessToken:        "access-1",
		TokenType:          "Bearer",
		ExpiresAt:          noon.Add(10 * time.Minute),
		Scopes:             []string{"orders:read", "user_manage"},
		ScopesMissing:      []string{"orders:write"},
		SealedRefreshToken: []byte{1, 0, 255, 'r'},
		RefreshExpiresAt:   noon.Add(365 * 24 * time.Hour),
		Account:            oauth.Account{ID: "7", Label: "Ann's Shop"},
		Metadata:           map[string]string{"realmId": "9", "empty": ""},
		Environment:        "sandbox",
		ClientID:           "client-1",
		Issued:             true,
		ConnectedAt:        noon.Add(-time.Hour),
		RefreshedAt:        noon.Add(-time.Hour),
		UpdatedAt:          noon.Add(-time.Hour),
		Due:                connection.Due{Shard: "2", At: noon},
		RequestID:          "ticket#1",
	}
}

// failing is a failure with every field set.
var failing = connection.Failure{
	Code: "invalid_grant", Detail: "refused twice", Count: 2,
	Since: noon.Add(-time.Minute), At: noon, Reason: "rotation_lost",
}

// connect stores a new grant.
func connect(t *testing.T, s Store, c connection.Connection) {
	t.Helper()
	if _, err := s.Connect(t.Context(), c); err != nil {
		t.Fatalf("Connect: %v", err)
	}
}

// lease returns a claim of k at now.
func lease(k connection.Key, id string, now time.Time) connection.Claim {
	return connection.Claim{Key: k, LeaseID: id, Now: now, Until: now.Add(leaseTime)}
}

// claim claims k at noon and returns what its holder then works on: the
// connection as it was, with the fence and the lease of the claim.
func claim(t *testing.T, s Store, k connection.Key, id string) connection.Connection {
	t.Helper()
	c, err := s.Claim(t.Context(), lease(k, id, noon))
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	c.Fence++
	c.Lease = connection.Lease{ID: id}
	return c
}

// refreshed returns what the holder of a claim commits after a rotation.
func refreshed(c connection.Connection) connection.Connection {
	c.AccessToken = "access-2"
	c.SealedRefreshToken = []byte("sealed-2")
	c.ExpiresAt = later.Add(time.Hour)
	c.StoredFence = c.Fence
	c.RefreshedAt, c.UpdatedAt = noon.Add(time.Second), noon.Add(time.Second)
	c.Due.At = later
	return c
}

// get reads a connection that must be there.
func get(t *testing.T, s Store, k connection.Key) connection.Connection {
	t.Helper()
	c, err := s.Get(t.Context(), k)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	return c
}

// same checks that two records are equal, secrets included.
func same(t *testing.T, what string, got, want connection.Connection) {
	t.Helper()
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		if !reflect.DeepEqual(g.Field(i).Interface(), w.Field(i).Interface()) {
			t.Errorf("%s: %s = %v, want %v", what, g.Type().Field(i).Name, g.Field(i), w.Field(i))
		}
	}
}

// refused checks that err is target.
func refused(t *testing.T, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: err = %v, want %q", what, err, target)
	}
}

// race runs n calls of do at once and returns how many had no error. Every
// other one must be ErrConflict.
func race(t *testing.T, n int, do func(i int) error) (wins int) {
	t.Helper()
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = do(i)
		})
	}
	close(start)
	wg.Wait()
	for _, err := range errs {
		if err == nil {
			wins++
		} else if !errors.Is(err, connection.ErrConflict) {
			t.Errorf("err = %v, want nil or ErrConflict", err)
		}
	}
	return wins
}
