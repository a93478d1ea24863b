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
	{"a connect stays with the account", testConnectSameAccount},
	{"a connect takes another account where that is meant", testConnectAnyAccount},
	{"a connect takes any account after a disconnect", testConnectAccountAfterDisconnect},
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

// of returns the whole connection as a grant of an account.
func of(account string) connection.Connection {
	c := full(whole)
	c.Account = oauth.Account{ID: account}
	return c
}

func testConnectSameAccount(t *testing.T, s Store) {
	connect(t, s, of("")) // a connection whose account is not known
	connect(t, s, of("")) // stays so
	connect(t, s, of("7"))
	connect(t, s, of("7"))
	c := claim(t, s, whole, "lease-1")
	c.Status = connection.ReauthorizationRequired
	ok(t, "Commit", s.Commit(t.Context(), c))
	want := get(t, s, whole)
	for _, account := range []string{"8", ""} {
		_, err := s.Connect(t.Context(), of(account))
		refused(t, "Connect of account "+account, err, connection.ErrConflict)
		same(t, "after account "+account, get(t, s, whole), want)
	}
	connect(t, s, of("7"))
	claim(t, s, whole, "lease-2")
	_, err := s.Connect(t.Context(), of("8"))
	refused(t, "Connect under a lease", err, connection.ErrConflict)
}

func testConnectAnyAccount(t *testing.T, s Store) {
	connect(t, s, of("7"))
	for i, account := range []string{"8", ""} {
		c := of(account)
		c.AnyAccount = true
		connect(t, s, c)
		want := of(account)
		want.Fence, want.StoredFence = int64(2+i), int64(2+i)
		same(t, "Get", get(t, s, whole), want)
	}
}

func testConnectAccountAfterDisconnect(t *testing.T, s Store) {
	for _, account := range []string{"7", "8", ""} {
		connect(t, s, of(account))
		if _, err := s.Disconnect(t.Context(), whole, noon); err != nil {
			t.Fatalf("Disconnect: %v", err)
		}
	}
	connect(t, s, of("9"))
}
