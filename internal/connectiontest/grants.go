package connectiontest

import (
	"fmt"
	"testing"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

// grants holds the promises of Connect and Disconnect.
var grants = []promise{
	{"a first connect finds nothing", testConnectFirst},
	{"a connect returns what it replaces", testConnectReturnsTheOld},
	{"a connect ends lease, failure and need of a person", testConnectHeals},
	{"a connect decides status and fences itself", testConnectDecides},
	{"25 concurrent connects each raise the fence", testConnectsCount},
	{"a disconnect returns the tokens and removes them", testDisconnect},
	{"a disconnect of what is not there is ErrNotFound", testDisconnectMissing},
	{"a second disconnect finds the first", testDisconnectTwice},
	{"a connect after a disconnect is a new grant", testConnectAfterDisconnect},
}

func testConnectFirst(t *testing.T, s Store) {
	old, err := s.Connect(t.Context(), full(whole))
	if err != nil {
		t.Fatalf("Connect: %v", err)
	}
	same(t, "Connect", old, connection.Connection{})
}

func testConnectReturnsTheOld(t *testing.T, s Store) {
	connect(t, s, full(whole))
	claim(t, s, whole, "lease-1")
	want := get(t, s, whole)
	old, err := s.Connect(t.Context(), full(whole))
	if err != nil {
		t.Fatalf("Connect: %v", err)
	}
	same(t, "Connect", old, want)
}

func testConnectHeals(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := claim(t, s, whole, "lease-1")
	c.Status, c.Failure = connection.ReauthorizationRequired, failing
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	connect(t, s, full(whole))
	want := full(whole)
	want.Fence, want.StoredFence = 3, 3
	same(t, "after need of a person", get(t, s, whole), want)

	claim(t, s, whole, "lease-2")
	connect(t, s, full(whole))
	want.Fence, want.StoredFence = 5, 5
	same(t, "after a lease", get(t, s, whole), want)
}

func testConnectDecides(t *testing.T, s Store) {
	odd := full(whole)
	odd.Status, odd.Failure = connection.Disconnected, failing
	odd.Fence, odd.StoredFence = 70, 80
	odd.Lease = connection.Lease{ID: "lease-1", Until: later, SentAt: noon}
	connect(t, s, odd)
	want := full(whole)
	want.Fence, want.StoredFence = 1, 1
	same(t, "Get", get(t, s, whole), want)
}

func testConnectsCount(t *testing.T, s Store) {
	const n = 25
	replaced := make([]int64, n)
	wins := race(t, n, func(i int) error {
		c := full(whole)
		c.AccessToken = oauth.Secret(fmt.Sprintf("access-%d", i))
		old, err := s.Connect(t.Context(), c)
		replaced[i] = old.Fence
		return err
	})
	seen := map[int64]bool{}
	for _, fence := range replaced {
		seen[fence] = true
	}
	if c := get(t, s, whole); wins != n || c.Fence != n || c.StoredFence != n || len(seen) != n {
		t.Errorf("after %d of %d connects: fence = %d, stored fence = %d, %d different ones replaced", wins, n, c.Fence, c.StoredFence, len(seen))
	}
}

func testDisconnect(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := claim(t, s, whole, "lease-1")
	c.Failure = failing
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	claim(t, s, whole, "lease-2")
	want := get(t, s, whole)
	old, err := s.Disconnect(t.Context(), whole, later)
	if err != nil {
		t.Fatalf("Disconnect: %v", err)
	}
	same(t, "Disconnect", old, want)

	want.Status, want.UpdatedAt, want.Fence = connection.Disconnected, later, 4
	want.AccessToken, want.TokenType, want.ExpiresAt = "", "", connection.Connection{}.ExpiresAt
	want.SealedRefreshToken, want.RefreshExpiresAt = nil, connection.Connection{}.RefreshExpiresAt
	want.Lease, want.Due, want.Failure = connection.Lease{}, connection.Due{}, connection.Failure{}
	same(t, "Get", get(t, s, whole), want)
}

func testDisconnectMissing(t *testing.T, s Store) {
	_, err := s.Disconnect(t.Context(), whole, noon)
	refused(t, "Disconnect", err, connection.ErrNotFound)
	_, err = s.Get(t.Context(), whole)
	refused(t, "Get", err, connection.ErrNotFound)
}

func testDisconnectTwice(t *testing.T, s Store) {
	connect(t, s, full(whole))
	for i, want := range []connection.Status{connection.Active, connection.Disconnected} {
		old, err := s.Disconnect(t.Context(), whole, noon)
		if err != nil || old.Status != want || old.Fence != int64(1+i) {
			t.Errorf("Disconnect = %s, %d, %v, want %s, %d", old.Status, old.Fence, err, want, 1+i)
		}
	}
}

func testConnectAfterDisconnect(t *testing.T, s Store) {
	connect(t, s, full(whole))
	if _, err := s.Disconnect(t.Context(), whole, noon); err != nil {
		t.Fatalf("Disconnect: %v", err)
	}
	connect(t, s, full(whole))
	want := full(whole)
	want.Fence, want.StoredFence = 3, 3
	same(t, "Get", get(t, s, whole), want)
}
