package connectiontest

import (
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// commits holds the promises of Commit.
var commits = []promise{
	{"a commit writes the connection and ends the lease", testCommit},
	{"a commit of an older fence writes nothing", testCommitOfOlderFence},
	{"a commit of another's lease writes nothing", testCommitOfOtherLease},
	{"a commit without a claim writes nothing", testCommitWithoutClaim},
	{"a commit after the lease ran out counts while nobody took it", testCommitAfterLease},
	{"a commit whose answer was lost is success", testCommitTwice},
	{"a commit that says something else is not taken for the first", testCommitOther},
	{"another's commit that says the same is not taken for one's own", testCommitOfSameFailure},
	{"a failure is committed without touching the tokens", testCommitFailure},
	{"a grant made during a refresh stands", testConnectDuringRefresh},
	{"a disconnect during a refresh stands", testDisconnectDuringRefresh},
	{"whoever is faster, a commit never undoes a connect or a disconnect", testCommitRaces},
}

func testCommit(t *testing.T, s Store) {
	connect(t, s, full(whole))
	want := refreshed(claim(t, s, whole, "lease-1"))
	if err := s.Commit(t.Context(), want); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	want.Lease = connection.Lease{}
	same(t, "Get", get(t, s, whole), want)
	if want.Fence != 2 || want.StoredFence != 2 {
		t.Errorf("fence = %d, stored fence = %d, want 2, 2", want.Fence, want.StoredFence)
	}
	if keys, _, err := s.Due(t.Context(), "2", noon, ""); err != nil || len(keys) != 0 {
		t.Errorf("Due = %v, %v, want nothing until %v", keys, err, want.Due.At)
	}
	if keys, _, err := s.Due(t.Context(), "2", later, ""); err != nil || len(keys) != 1 {
		t.Errorf("Due = %v, %v, want it at its new time", keys, err)
	}
}

// commitRefused checks that a commit is a conflict and changes nothing.
func commitRefused(t *testing.T, s Store, c connection.Connection) {
	t.Helper()
	want, err := s.Get(t.Context(), whole)
	refused(t, "Commit", s.Commit(t.Context(), c), connection.ErrConflict)
	if err == nil {
		same(t, "after a refused commit", get(t, s, whole), want)
	}
}

// The lease ran out and somebody else has it, under the same name even.
func testCommitOfOlderFence(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := refreshed(claim(t, s, whole, "lease-1"))
	if _, err := s.Claim(t.Context(), lease(whole, "lease-1", noon.Add(leaseTime))); err != nil {
		t.Fatalf("Claim: %v", err)
	}
	commitRefused(t, s, c)
	c.Fence += 2
	commitRefused(t, s, c)
}

func testCommitOfOtherLease(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := claim(t, s, whole, "lease-1")
	c.Lease.ID = "lease-2"
	commitRefused(t, s, c) // it would change nothing but end the lease
	commitRefused(t, s, refreshed(c))
}

func testCommitWithoutClaim(t *testing.T, s Store) {
	c := refreshed(full(whole))
	c.Fence, c.Lease.ID = 1, "lease-1"
	commitRefused(t, s, c)
	_, err := s.Get(t.Context(), whole)
	refused(t, "Get", err, connection.ErrNotFound)

	connect(t, s, full(whole))
	commitRefused(t, s, c)
	c.Lease.ID = ""
	commitRefused(t, s, c)
}

// A token that was paid for is stored, however late it comes.
func testCommitAfterLease(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := refreshed(claim(t, s, whole, "lease-1"))
	c.UpdatedAt = noon.Add(10 * leaseTime)
	if err := s.Commit(t.Context(), c); err != nil {
		t.Errorf("Commit: %v", err)
	}
}

func testCommitTwice(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := refreshed(claim(t, s, whole, "lease-1"))
	for range 3 {
		if err := s.Commit(t.Context(), c); err != nil {
			t.Errorf("Commit: %v", err)
		}
	}
	c.Lease = connection.Lease{}
	same(t, "Get", get(t, s, whole), c)
	// Once somebody moved on, it is not one's own write any more.
	c.Lease.ID = "lease-1"
	if _, err := s.Claim(t.Context(), lease(whole, "lease-2", later)); err != nil {
		t.Fatalf("Claim: %v", err)
	}
	commitRefused(t, s, c)
}

func testCommitOther(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := refreshed(claim(t, s, whole, "lease-1"))
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	token, stored, updated := c, c, c
	token.AccessToken = "access-3"
	stored.StoredFence--
	updated.UpdatedAt = updated.UpdatedAt.Add(time.Second)
	for _, other := range []connection.Connection{token, stored, updated} {
		commitRefused(t, s, other)
	}
}

// Two holders in a row failed, and both say so in the same second.
func testCommitOfSameFailure(t *testing.T, s Store) {
	connect(t, s, full(whole))
	first := claim(t, s, whole, "lease-1")
	second, err := s.Claim(t.Context(), lease(whole, "lease-2", noon.Add(leaseTime)))
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	second.Fence++
	second.Lease = connection.Lease{ID: "lease-2"}
	first.UpdatedAt, second.UpdatedAt = later, later
	if err := s.Commit(t.Context(), second); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	commitRefused(t, s, first)
}

func testCommitFailure(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := claim(t, s, whole, "lease-1")
	want := c
	want.Failure, want.UpdatedAt, want.Due.At = failing, noon, later
	if err := s.Commit(t.Context(), want); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	want.Lease = connection.Lease{}
	got := get(t, s, whole)
	same(t, "Get", got, want)
	if got.AccessToken != "access-1" || got.StoredFence != 1 || got.Fence != 2 {
		t.Errorf("stored fence = %d, fence = %d, want 1, 2 and the old token", got.StoredFence, got.Fence)
	}
}

func testConnectDuringRefresh(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := refreshed(claim(t, s, whole, "lease-1"))
	grant := full(whole)
	grant.AccessToken = "access-new"
	connect(t, s, grant)
	commitRefused(t, s, c)
	if got := get(t, s, whole); got.AccessToken != "access-new" || got.Fence != 3 || got.StoredFence != 3 {
		t.Errorf("fence = %d, stored fence = %d, want 3, 3 and the new grant's token", got.Fence, got.StoredFence)
	}
}

func testDisconnectDuringRefresh(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := refreshed(claim(t, s, whole, "lease-1"))
	if _, err := s.Disconnect(t.Context(), whole, noon); err != nil {
		t.Fatalf("Disconnect: %v", err)
	}
	commitRefused(t, s, c)
	if got := get(t, s, whole); got.Status != connection.Disconnected || got.AccessToken != "" || got.Fence != 3 {
		t.Errorf("status = %s, fence = %d, want disconnected, 3", got.Status, got.Fence)
	}
	for _, fence := range []int64{0, 1, 3} {
		_, err := s.Claim(t.Context(), forTokens(whole, fence))
		refused(t, "Claim of what is disconnected", err, connection.ErrConflict)
	}
}

func testCommitRaces(t *testing.T, s Store) {
	for i := range 20 {
		k := numbered(i)
		connect(t, s, full(k))
		c := refreshed(claim(t, s, k, "lease-1"))
		grant := full(k)
		grant.AccessToken = "access-new"
		race(t, 2, func(worker int) error {
			if worker == i%2 {
				return s.Commit(t.Context(), c)
			}
			if i < 10 {
				_, err := s.Connect(t.Context(), grant)
				return err
			}
			_, err := s.Disconnect(t.Context(), k, noon)
			return err
		})
		got := get(t, s, k)
		if i < 10 && (got.AccessToken != "access-new" || got.StoredFence != 3) {
			t.Errorf("round %d: the commit undid the connect", i)
		}
		if i >= 10 && (got.AccessToken != "" || got.Status != connection.Disconnected) {
			t.Errorf("round %d: the commit undid the disconnect", i)
		}
	}
}
