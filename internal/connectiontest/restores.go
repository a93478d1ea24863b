package connectiontest

import (
	"fmt"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

// restores holds the promises of Restore.
var restores = []promise{
	{"a grant is restored where there is none", testRestoreFirst},
	{"a grant is restored as it is connected", testRestoreIsConnect},
	{"a grant is not restored over what came since", testRestoreOfOtherFence},
	{"a grant is not restored after a disconnect", testRestoreAfterDisconnect},
	{"a restore whose answer was lost is success", testRestoreTwice},
	{"a restore that says something else is not taken for the first", testRestoreOther},
	{"25 concurrent restores have one winner", testRestoreHasOneWinner},
	{"whoever is faster, a restore never undoes a connect", testRestoreRaces},
}

// restoreRefused checks that a restore is a conflict and changes nothing.
func restoreRefused(t *testing.T, s Store, c connection.Connection, fence int64) {
	t.Helper()
	want, found := s.Get(t.Context(), c.Key)
	refused(t, fmt.Sprintf("Restore at fence %d", fence), s.Restore(t.Context(), c, fence), connection.ErrConflict)
	got, err := s.Get(t.Context(), c.Key)
	if (err == nil) != (found == nil) {
		t.Errorf("after a refused restore: %v, before: %v", err, found)
	}
	same(t, "after a refused restore", got, want)
}

func testRestoreFirst(t *testing.T, s Store) {
	restoreRefused(t, s, full(whole), 1)
	ok(t, "Restore", s.Restore(t.Context(), full(whole), 0))
	want := full(whole)
	want.Fence, want.StoredFence = 1, 1
	same(t, "Get", get(t, s, whole), want)
}

func testRestoreIsConnect(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := claim(t, s, whole, "lease-1")
	c.Status, c.Failure = connection.ReauthorizationRequired, failing
	ok(t, "Defer", s.Defer(t.Context(), c))

	odd := full(whole)
	odd.AccessToken, odd.Status, odd.Failure = "access-3", connection.Disconnected, failing
	odd.Fence, odd.StoredFence, odd.UpdatedAt = 70, 80, noon.Add(time.Millisecond)
	odd.Lease = connection.Lease{ID: "lease-1", Until: later, SentAt: noon}
	ok(t, "Restore", s.Restore(t.Context(), odd, 2))
	want := full(whole)
	want.AccessToken, want.UpdatedAt, want.Fence, want.StoredFence = "access-3", noon, 3, 3
	same(t, "Get", get(t, s, whole), want)
	if keys, _, err := s.Due(t.Context(), "2", noon, ""); err != nil || len(keys) != 1 {
		t.Errorf("Due = %v, %v, want it", keys, err)
	}
}

func testRestoreOfOtherFence(t *testing.T, s Store) {
	connect(t, s, full(whole))
	claim(t, s, whole, "lease-1")
	lost := full(whole)
	lost.AccessToken = "access-3"
	for _, fence := range []int64{0, 1, 3} {
		restoreRefused(t, s, lost, fence)
	}
}

func testRestoreAfterDisconnect(t *testing.T, s Store) {
	ok(t, "Restore", s.Restore(t.Context(), full(whole), 0))
	if _, err := s.Disconnect(t.Context(), whole, full(whole).UpdatedAt); err != nil {
		t.Fatalf("Disconnect: %v", err)
	}
	restoreRefused(t, s, full(whole), 0)
	restoreRefused(t, s, full(whole), 1)
}

func testRestoreTwice(t *testing.T, s Store) {
	c := full(whole)
	c.UpdatedAt = c.UpdatedAt.Add(time.Millisecond)
	for _, fence := range []int64{0, 1} {
		c.AccessToken = oauth.Secret(fmt.Sprintf("access-%d", fence))
		ok(t, "Restore", s.Restore(t.Context(), c, fence))
		want := get(t, s, whole)
		ok(t, "Restore again", s.Restore(t.Context(), c, fence))
		same(t, "after a restore that was repeated", get(t, s, whole), want)
	}
	claim(t, s, whole, "lease-1") // somebody refreshes what was restored
	want := get(t, s, whole)
	ok(t, "Restore again", s.Restore(t.Context(), c, 1))
	same(t, "after a restore that was repeated late", get(t, s, whole), want)
}

func testRestoreOther(t *testing.T, s Store) {
	c := full(whole)
	ok(t, "Restore", s.Restore(t.Context(), c, 0))
	token, updated := c, c
	token.AccessToken = "access-3"
	updated.UpdatedAt = updated.UpdatedAt.Add(time.Second)
	restoreRefused(t, s, token, 0)
	restoreRefused(t, s, updated, 0)
	connect(t, s, c)
	restoreRefused(t, s, c, 0) // the grant of fence 2 is not that of fence 1
}

func testRestoreHasOneWinner(t *testing.T, s Store) {
	for fence := range int64(4) {
		wins := race(t, 25, func(i int) error {
			c := full(whole)
			c.AccessToken = oauth.Secret(fmt.Sprintf("access-%d-%d", fence, i))
			return s.Restore(t.Context(), c, fence)
		})
		if got := get(t, s, whole); wins != 1 || got.Fence != fence+1 {
			t.Errorf("%d restores at fence %d succeeded, and it is %d now", wins, fence, got.Fence)
		}
	}
}

func testRestoreRaces(t *testing.T, s Store) {
	for i := range 20 {
		k := numbered(i)
		fence := int64(i % 2)
		if fence > 0 {
			connect(t, s, full(k))
		}
		grant, lost := full(k), full(k)
		grant.AccessToken, lost.AccessToken = "access-new", "access-lost"
		race(t, 2, func(worker int) error {
			if worker == i/2%2 {
				return s.Restore(t.Context(), lost, fence)
			}
			_, err := s.Connect(t.Context(), grant)
			return err
		})
		if got := get(t, s, k); got.AccessToken != "access-new" {
			t.Errorf("round %d: the restore undid the connect", i)
		}
	}
}
