package connectiontest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

// records holds the promises about a single record.
var records = []promise{
	{"getting what is not there is ErrNotFound", testGetMissing},
	{"every field comes back as it was stored", testRoundTrip},
	{"what is empty or zero comes back as nothing", testEmptyFields},
	{"a later write removes what became empty", testWriteRemoves},
	{"times are cut to whole seconds", testWholeSeconds},
	{"scopes are a set", testScopesAreASet},
	{"tokens of 16 KB fit", testBigTokens},
	{"an ID holds every allowed character", testEveryCharacter},
	{"keys do not run into each other", testKeysAreApart},
	{"what a store returns is the caller's own", testReturnsCopies},
	{"what a store was given stays the caller's own", testKeepsCopies},
	{"a cancelled call writes nothing", testCancelled},
}

func testGetMissing(t *testing.T, s Store) {
	connect(t, s, full(whole))
	for _, k := range []connection.Key{{ConnectionID: "acct_42", Provider: "whisk"}, {ConnectionID: "acct_4", Provider: "whatnot"}} {
		_, err := s.Get(t.Context(), k)
		refused(t, "Get", err, connection.ErrNotFound)
	}
}

func testRoundTrip(t *testing.T, s Store) {
	want := full(whole)
	connect(t, s, want)
	want.Fence, want.StoredFence = 1, 1
	same(t, "after Connect", get(t, s, whole), want)

	want = refreshed(claim(t, s, whole, "lease-1"))
	want.Status = connection.ReauthorizationRequired
	want.Failure = failing
	if err := s.Commit(t.Context(), want); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	want.Lease = connection.Lease{}
	same(t, "after Commit", get(t, s, whole), want)
}

func testEmptyFields(t *testing.T, s Store) {
	connect(t, s, connection.Connection{
		Key: whole, Scopes: []string{}, SealedRefreshToken: []byte{}, Metadata: map[string]string{},
		Due: connection.Due{Shard: "1"},
	})
	same(t, "Get", get(t, s, whole), connection.Connection{Key: whole, Status: connection.Active, Fence: 1, StoredFence: 1})
}

func testWriteRemoves(t *testing.T, s Store) {
	c := full(whole)
	connect(t, s, c)
	c = claim(t, s, whole, "lease-1")
	c.Status, c.Failure = connection.Active, failing
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	c = claim(t, s, whole, "lease-2")
	least := connection.Connection{Key: whole, Status: connection.ReauthorizationRequired, Fence: c.Fence, StoredFence: 1, Lease: c.Lease}
	if err := s.Commit(t.Context(), least); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	least.Lease = connection.Lease{}
	same(t, "after Commit", get(t, s, whole), least)

	connect(t, s, full(whole))
	connect(t, s, connection.Connection{Key: whole, AnyAccount: true})
	same(t, "after Connect", get(t, s, whole), connection.Connection{Key: whole, Status: connection.Active, Fence: 5, StoredFence: 5})
}

func testWholeSeconds(t *testing.T, s Store) {
	const bit = 999 * time.Millisecond
	zone := time.FixedZone("east", 3600)
	c := full(whole)
	for _, at := range []*time.Time{&c.ExpiresAt, &c.RefreshExpiresAt, &c.ConnectedAt, &c.RefreshedAt, &c.UpdatedAt, &c.Due.At} {
		*at = at.Add(bit).In(zone)
	}
	connect(t, s, c)
	want := full(whole)
	want.Fence, want.StoredFence = 1, 1
	same(t, "after Connect", get(t, s, whole), want)

	if _, err := s.Claim(t.Context(), lease(whole, "lease-1", noon.Add(bit).In(zone))); err != nil {
		t.Fatalf("Claim in the second in which it is due: %v", err)
	}
	want.Fence, want.Lease = 2, connection.Lease{ID: "lease-1", Until: noon.Add(leaseTime), SentAt: noon}
	same(t, "after Claim", get(t, s, whole), want)
}

func testScopesAreASet(t *testing.T, s Store) {
	c := full(whole)
	c.Scopes = []string{"write", "", "read", "write"}
	connect(t, s, c)
	got := get(t, s, whole)
	if strings.Join(got.Scopes, " ") != "read write" {
		t.Errorf("Scopes = %q, want read and write", got.Scopes)
	}
	c.Scopes = []string{""}
	connect(t, s, c)
	if got := get(t, s, whole); got.Scopes != nil {
		t.Errorf("Scopes = %q, want none", got.Scopes)
	}
}

func testBigTokens(t *testing.T, s Store) {
	c := full(whole)
	c.AccessToken = oauth.Secret(strings.Repeat("a.Z_9-", 16<<10/6))
	c.SealedRefreshToken = []byte(strings.Repeat("\x00\xff", 8<<10))
	connect(t, s, c)
	c.Fence, c.StoredFence = 1, 1
	same(t, "Get", get(t, s, whole), c)
}

func testEveryCharacter(t *testing.T, s Store) {
	k := connection.Key{
		ConnectionID: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:@/-" + strings.Repeat("x", 188),
		Provider:     "whatnot",
	}
	if len(k.ConnectionID) != 256 || !connection.ValidID(k.ConnectionID) {
		t.Fatalf("the test's ID is not one: %d characters", len(k.ConnectionID))
	}
	connect(t, s, full(k))
	claimed := claim(t, s, k, "lease-1")
	if err := s.Commit(t.Context(), claimed); err != nil {
		t.Errorf("Commit: %v", err)
	}
	if list, err := s.List(t.Context(), k.ConnectionID); err != nil || len(list) != 1 || list[0].Key != k {
		t.Errorf("List = %v, %v, want one", list, err)
	}
	if keys, _, err := s.Due(t.Context(), "2", noon, ""); err != nil || len(keys) != 1 || keys[0].Key != k {
		t.Errorf("Due = %v, %v, want one", keys, err)
	}
}

func testKeysAreApart(t *testing.T, s Store) {
	for _, k := range []connection.Key{
		{ConnectionID: "a", Provider: "whisk"}, {ConnectionID: "a/whisk", Provider: "whisk"},
		{ConnectionID: "A", Provider: "whisk"}, {ConnectionID: "a", Provider: "whcc"}, {ConnectionID: "aw", Provider: "hisk"},
	} {
		c := full(k)
		c.AccessToken = oauth.Secret(k.ConnectionID + " " + k.Provider)
		if old, err := s.Connect(t.Context(), c); err != nil || old.Fence != 0 {
			t.Errorf("Connect %v found %v, %v, want nothing", k, old.Key, err)
		}
		if got := get(t, s, k); got.Key != k || got.AccessToken != c.AccessToken {
			t.Errorf("Get %v returned %v", k, got.Key)
		}
	}
}

func testReturnsCopies(t *testing.T, s Store) {
	connect(t, s, full(whole))
	want := get(t, s, whole)
	spoil := func(c connection.Connection) {
		c.Scopes[0], c.SealedRefreshToken[0], c.Metadata["realmId"] = "spoilt", 'X', "spoilt"
	}
	spoil(get(t, s, whole))
	list, err := s.List(t.Context(), whole.ConnectionID)
	if err != nil || len(list) != 1 {
		t.Fatalf("List = %d, %v", len(list), err)
	}
	spoil(list[0])
	page, _, err := s.ListByStatus(t.Context(), "", "", 1)
	if err != nil || len(page) != 1 {
		t.Fatalf("ListByStatus = %d, %v", len(page), err)
	}
	spoil(page[0])
	same(t, "after reads", get(t, s, whole), want)
	spoil(claim(t, s, whole, "lease-1"))
	want.Fence, want.Lease = 2, connection.Lease{ID: "lease-1", Until: noon.Add(leaseTime), SentAt: noon}
	same(t, "after Claim", get(t, s, whole), want)
}

func testKeepsCopies(t *testing.T, s Store) {
	c := full(whole)
	connect(t, s, c)
	c.Scopes[0], c.SealedRefreshToken[0], c.Metadata["realmId"] = "spoilt", 'X', "spoilt"
	want := full(whole)
	want.Fence, want.StoredFence = 1, 1
	same(t, "Get", get(t, s, whole), want)
}

func testCancelled(t *testing.T, s Store) {
	connect(t, s, full(whole))
	want := get(t, s, whole)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := connection.Request{ID: "ticket#1", State: "a", ExpiresAt: later}
	b := connection.Breaker{OpenUntil: later, Opened: 1}
	_, connectErr := s.Connect(ctx, full(whole))
	_, claimErr := s.Claim(ctx, lease(whole, "lease-1", noon))
	_, takeErr := s.TakeAnswer(ctx, r.ID, noon)
	_, sweepErr := s.TakeSweep(ctx, connection.Sweep{ID: "sweep-1", Now: noon, Until: later, Shards: 4})
	_, disconnectErr := s.Disconnect(ctx, whole, noon)
	_, countErr := s.CountRefreshes(ctx, "whatnot", connection.Outcomes{Refreshes: 1}, noon)
	_, timeErr := s.ReserveTime(ctx, "whatnot", time.Second, noon, later)
	errs := map[string]error{
		"Connect": connectErr, "Claim": claimErr, "Disconnect": disconnectErr,
		"ClaimRequest": s.ClaimRequest(ctx, r), "TakeAnswer": takeErr, "TakeSweep": sweepErr, "Restore": s.Restore(ctx, full(whole), 1),
		"SetBreaker": s.SetBreaker(ctx, "whatnot", b), "CountRefreshes": countErr, "ReserveTime": timeErr,
	}
	for op, err := range errs {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: err = %v, want context.Canceled", op, err)
		}
	}
	same(t, "Get", get(t, s, whole), want)
	_, err := s.GetRequest(t.Context(), r.ID, r.State)
	refused(t, "GetRequest", err, connection.ErrNotFound)
	knows(t, s, "whatnot", connection.Breaker{})
	reserve(t, s, "whatnot", noon, noon)
}
