package connectiontest

import (
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// defers holds the promises of Defer.
var defers = []promise{
	{"a deferral writes failure and due, and leaves the lease", testDefer},
	{"a repeated deferral changes nothing", testDeferTwice},
	{"a deferral removes what became empty", testDeferRemoves},
	{"a deferral of an older fence writes nothing", testDeferOfOlderFence},
	{"a deferral of another's lease writes nothing", testDeferOfOtherLease},
	{"a deferral without a claim writes nothing", testDeferWithoutClaim},
	{"who deferred may still commit", testCommitAfterDefer},
	{"whoever is faster, a deferral never undoes a connect or a disconnect", testDeferRaces},
}

// waiting returns what the holder of a claim defers, with all else spoilt.
func waiting(c connection.Connection) connection.Connection {
	spoilt := full(c.Key)
	spoilt.AccessToken, spoilt.SealedRefreshToken, spoilt.Status = "access-9", []byte("sealed-9"), connection.Disconnected
	spoilt.ExpiresAt, spoilt.RefreshedAt, spoilt.StoredFence = later, later, 9
	spoilt.Fence, spoilt.Lease.ID = c.Fence, c.Lease.ID
	spoilt.Failure, spoilt.Due, spoilt.UpdatedAt = failing, connection.Due{Shard: "3", At: later}, noon.Add(time.Second)
	return spoilt
}

func testDefer(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := waiting(claim(t, s, whole, "lease-1"))
	want := get(t, s, whole)
	ok(t, "Defer", s.Defer(t.Context(), c))
	want.Failure, want.Due, want.UpdatedAt = c.Failure, c.Due, c.UpdatedAt
	same(t, "Get", get(t, s, whole), want)
	if want.Lease.ID != "lease-1" || want.Fence != 2 || want.StoredFence != 1 {
		t.Errorf("lease = %v, fence = %d, stored fence = %d", want.Lease, want.Fence, want.StoredFence)
	}
	if keys, _, err := s.Due(t.Context(), "2", later, ""); err != nil || len(keys) != 0 {
		t.Errorf("Due = %v, %v, want nothing in the old shard", keys, err)
	}
	if keys, _, err := s.Due(t.Context(), "3", later, ""); err != nil || len(keys) != 1 {
		t.Errorf("Due = %v, %v, want it at its new time", keys, err)
	}
}

func testDeferTwice(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := waiting(claim(t, s, whole, "lease-1"))
	ok(t, "Defer", s.Defer(t.Context(), c))
	want := get(t, s, whole)
	ok(t, "Defer again", s.Defer(t.Context(), c))
	same(t, "Get", get(t, s, whole), want)
}

func testDeferRemoves(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := waiting(claim(t, s, whole, "lease-1"))
	ok(t, "Defer", s.Defer(t.Context(), c))
	want := get(t, s, whole)
	const bit = 999 * time.Millisecond // times are cut to whole seconds
	c.Failure, c.Due, c.UpdatedAt = connection.Failure{}, connection.Due{Shard: "3"}, later.Add(bit)
	ok(t, "Defer", s.Defer(t.Context(), c))
	want.Failure, want.Due, want.UpdatedAt = connection.Failure{}, connection.Due{}, later
	same(t, "Get", get(t, s, whole), want)
}

// deferRefused checks that a deferral is a conflict and changes nothing.
func deferRefused(t *testing.T, s Store, c connection.Connection) {
	t.Helper()
	want, err := s.Get(t.Context(), whole)
	refused(t, "Defer", s.Defer(t.Context(), c), connection.ErrConflict)
	if err == nil {
		same(t, "after a refused deferral", get(t, s, whole), want)
	}
}

// The lease ran out and somebody else has it, under the same name even.
func testDeferOfOlderFence(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := waiting(claim(t, s, whole, "lease-1"))
	if _, err := s.Claim(t.Context(), lease(whole, "lease-1", noon.Add(leaseTime))); err != nil {
		t.Fatalf("Claim: %v", err)
	}
	deferRefused(t, s, c)
	c.Fence += 2
	deferRefused(t, s, c)
}

func testDeferOfOtherLease(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := waiting(claim(t, s, whole, "lease-1"))
	c.Lease.ID = "lease-2"
	deferRefused(t, s, c)
}

func testDeferWithoutClaim(t *testing.T, s Store) {
	c := full(whole)
	c.Fence, c.Lease.ID = 1, "lease-1"
	c = waiting(c)
	deferRefused(t, s, c)
	none := c
	none.Fence, none.Lease.ID = 0, ""
	deferRefused(t, s, none)
	_, err := s.Get(t.Context(), whole)
	refused(t, "Get", err, connection.ErrNotFound)

	connect(t, s, full(whole))
	deferRefused(t, s, c)
	c.Lease.ID = ""
	deferRefused(t, s, c)
}

// An answer that was believed lost came after all.
func testCommitAfterDefer(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := claim(t, s, whole, "lease-1")
	ok(t, "Defer", s.Defer(t.Context(), waiting(c)))
	want := refreshed(c)
	ok(t, "Commit", s.Commit(t.Context(), want))
	want.Lease = connection.Lease{}
	same(t, "Get", get(t, s, whole), want)
	deferRefused(t, s, waiting(c))
}

func testDeferRaces(t *testing.T, s Store) {
	for i := range 20 {
		k := numbered(i)
		connect(t, s, full(k))
		c := waiting(claim(t, s, k, "lease-1"))
		race(t, 2, func(worker int) error {
			if worker == i%2 {
				return s.Defer(t.Context(), c)
			}
			if i < 10 {
				_, err := s.Connect(t.Context(), full(k))
				return err
			}
			_, err := s.Disconnect(t.Context(), k, noon)
			return err
		})
		got := get(t, s, k)
		if i < 10 && (got.Failure != connection.Failure{} || got.Due != full(k).Due) {
			t.Errorf("round %d: the deferral undid the connect", i)
		}
		if i >= 10 && (got.Failure != connection.Failure{} || got.Due != connection.Due{}) {
			t.Errorf("round %d: the deferral undid the disconnect", i)
		}
	}
}
