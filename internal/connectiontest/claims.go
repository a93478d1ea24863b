package connectiontest

import (
	"fmt"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// claims holds the promises of Claim.
var claims = []promise{
	{"a claim returns the connection as it was", testClaimReturnsTheOld},
	{"a claim changes the fence and the lease alone", testClaimWrites},
	{"25 concurrent claims have one winner", testClaimHasOneWinner},
	{"a lease that holds is respected", testLeaseHolds},
	{"a lease that ran out can be claimed and is seen", testLeaseRunsOut},
	{"what is not due is not claimed", testClaimNeedsDue},
	{"what is not active is not claimed", testClaimNeedsActive},
	{"what is not there is not claimed and not made", testClaimNeedsConnection},
	{"a claim for stored tokens needs no due time", testClaimForStoredTokens},
	{"a claim for stored tokens takes a lease that ran out", testClaimForStoredTokensAfterLease},
	{"a claim for stored tokens needs these tokens", testClaimForOtherTokens},
	{"a claim for stored tokens respects a lease and a status", testClaimForStoredTokensOfNoUse},
}

func testClaimReturnsTheOld(t *testing.T, s Store) {
	connect(t, s, full(whole))
	want := get(t, s, whole)
	old, err := s.Claim(t.Context(), lease(whole, "lease-1", noon))
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	same(t, "Claim", old, want)
}

func testClaimWrites(t *testing.T, s Store) {
	connect(t, s, full(whole))
	want := get(t, s, whole)
	claim(t, s, whole, "lease-1")
	want.Fence++
	want.Lease = connection.Lease{ID: "lease-1", Until: noon.Add(leaseTime), SentAt: noon}
	same(t, "after Claim", get(t, s, whole), want)
	if keys, _, err := s.Due(t.Context(), "2", noon, ""); err != nil || len(keys) != 1 {
		t.Errorf("Due = %v, %v: the claim moved what is due", keys, err)
	}
}

// Two winners would use one refresh token twice, and a provider that rotates
// would take that for theft.
func testClaimHasOneWinner(t *testing.T, s Store) {
	connect(t, s, full(whole))
	const rounds = 12
	for round := range rounds {
		now := noon.Add(time.Duration(round) * leaseTime)
		wins := race(t, 25, func(i int) error {
			_, err := s.Claim(t.Context(), lease(whole, fmt.Sprintf("lease-%d-%d", round, i), now))
			return err
		})
		if wins != 1 {
			t.Errorf("round %d: %d claims of one connection succeeded, want 1", round, wins)
		}
	}
	if c := get(t, s, whole); c.Fence != 1+rounds {
		t.Errorf("fence = %d after %d claims, want %d", c.Fence, rounds, 1+rounds)
	}
}

func testLeaseHolds(t *testing.T, s Store) {
	connect(t, s, full(whole))
	claim(t, s, whole, "lease-1")
	want := get(t, s, whole)
	for _, id := range []string{"lease-2", "lease-1"} { // even one's own
		_, err := s.Claim(t.Context(), lease(whole, id, noon.Add(leaseTime-time.Second)))
		refused(t, "Claim "+id+" a second before the lease ends", err, connection.ErrConflict)
	}
	same(t, "after refused claims", get(t, s, whole), want)
}

func testLeaseRunsOut(t *testing.T, s Store) {
	connect(t, s, full(whole))
	claim(t, s, whole, "lease-1")
	end := noon.Add(leaseTime)
	old, err := s.Claim(t.Context(), lease(whole, "lease-2", end))
	if err != nil {
		t.Fatalf("Claim when the lease ends: %v", err)
	}
	if want := (connection.Lease{ID: "lease-1", Until: end, SentAt: noon}); old.Lease != want || old.Fence != 2 || old.StoredFence != 1 {
		t.Errorf("Claim returned fence %d, stored fence %d, lease %v, want 2, 1, %v", old.Fence, old.StoredFence, old.Lease, want)
	}
	if c := get(t, s, whole); c.Fence != 3 || c.Lease.ID != "lease-2" {
		t.Errorf("fence = %d, lease = %s, want 3, lease-2", c.Fence, c.Lease.ID)
	}
}

func testClaimNeedsDue(t *testing.T, s Store) {
	connect(t, s, full(whole))
	_, err := s.Claim(t.Context(), lease(whole, "lease-1", noon.Add(-time.Second)))
	refused(t, "Claim a second before it is due", err, connection.ErrConflict)

	never := full(whole)
	never.Due = connection.Due{}
	connect(t, s, never)
	_, err = s.Claim(t.Context(), lease(whole, "lease-1", noon))
	refused(t, "Claim of what is never due", err, connection.ErrConflict)
	if c := get(t, s, whole); c.Fence != 2 || c.Lease != (connection.Lease{}) {
		t.Errorf("a refused claim left fence %d, lease %v", c.Fence, c.Lease)
	}
}

// inStatus makes a connection that is due in a status, as nobody should.
func inStatus(t *testing.T, s Store, k connection.Key, status connection.Status) {
	t.Helper()
	connect(t, s, full(k))
	c := claim(t, s, k, "lease-0")
	c.Status = status
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func testClaimNeedsActive(t *testing.T, s Store) {
	for i, status := range []connection.Status{connection.ReauthorizationRequired, connection.Disconnected} {
		inStatus(t, s, numbered(i), status)
		_, err := s.Claim(t.Context(), lease(numbered(i), "lease-1", noon))
		refused(t, "Claim in status "+string(status), err, connection.ErrConflict)
	}
}

func testClaimNeedsConnection(t *testing.T, s Store) {
	for _, fence := range []int64{0, 1} {
		cl := lease(whole, "lease-1", noon)
		cl.StoredFence = fence
		_, err := s.Claim(t.Context(), cl)
		refused(t, "Claim", err, connection.ErrConflict)
	}
	_, err := s.Get(t.Context(), whole)
	refused(t, "Get", err, connection.ErrNotFound)
}

// forTokens returns a claim for the tokens stored at a fence.
func forTokens(k connection.Key, fence int64) connection.Claim {
	cl := lease(k, "lease-9", noon)
	cl.StoredFence = fence
	return cl
}

func testClaimForStoredTokens(t *testing.T, s Store) {
	later, never := full(numbered(0)), full(numbered(1))
	later.Due.At = noon.Add(time.Hour)
	never.Due = connection.Due{}
	for _, c := range []connection.Connection{later, never} {
		connect(t, s, c)
		if _, err := s.Claim(t.Context(), forTokens(c.Key, 1)); err != nil {
			t.Errorf("Claim: %v", err)
		}
		if got := get(t, s, c.Key); got.Due != c.Due || got.Fence != 2 {
			t.Errorf("due = %v, fence = %d, want %v, 2", got.Due, got.Fence, c.Due)
		}
	}
}

func testClaimForStoredTokensAfterLease(t *testing.T, s Store) {
	connect(t, s, full(whole))
	claim(t, s, whole, "lease-1")
	cl := forTokens(whole, 1)
	cl.Now = noon.Add(leaseTime)
	old, err := s.Claim(t.Context(), cl)
	if err != nil || old.Lease.ID != "lease-1" {
		t.Errorf("Claim when the lease ends = %v, %v, want the lease that ran out", old.Lease, err)
	}
}

// A caller saw a token that is about to expire, and somebody refreshed it
// since. A due time that has passed does not matter then.
func testClaimForOtherTokens(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := refreshed(claim(t, s, whole, "lease-1"))
	c.Due.At = noon
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	for _, fence := range []int64{1, 3} {
		_, err := s.Claim(t.Context(), forTokens(whole, fence))
		refused(t, fmt.Sprintf("Claim for the tokens of fence %d, stored at 2", fence), err, connection.ErrConflict)
	}
}

func testClaimForStoredTokensOfNoUse(t *testing.T, s Store) {
	connect(t, s, full(numbered(0)))
	claim(t, s, numbered(0), "lease-1")
	_, err := s.Claim(t.Context(), forTokens(numbered(0), 1))
	refused(t, "Claim of what is leased", err, connection.ErrConflict)

	inStatus(t, s, numbered(1), connection.ReauthorizationRequired)
	_, err = s.Claim(t.Context(), forTokens(numbered(1), 1))
	refused(t, "Claim of what needs a person", err, connection.ErrConflict)
}
