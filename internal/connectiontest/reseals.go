package connectiontest

import (
	"testing"

	"github.com/evergrant/evergrant/internal/connection"
)

// reseals holds the promises of Reseal.
var reseals = []promise{
	{"a refresh token is sealed anew, and nothing else changes", testReseal},
	{"a connection that holds another refresh token is not sealed anew", testResealOfOther},
	{"what a refresh is under way for is sealed anew, and the refresh goes on", testResealUnderLease},
	{"whoever is faster, new tokens stay", testResealRaces},
}

func testReseal(t *testing.T, s Store) {
	connect(t, s, full(whole))
	want := get(t, s, whole)
	old := want.SealedRefreshToken
	ok(t, "Reseal", s.Reseal(t.Context(), whole, old, []byte("anew")))
	want.SealedRefreshToken = []byte("anew")
	same(t, "Get", get(t, s, whole), want)
	refused(t, "Reseal again", s.Reseal(t.Context(), whole, old, []byte("anew")), connection.ErrConflict)
	same(t, "Get", get(t, s, whole), want)
}

func testResealOfOther(t *testing.T, s Store) {
	refused(t, "Reseal of none", s.Reseal(t.Context(), whole, []byte("old"), []byte("anew")), connection.ErrConflict)
	_, err := s.Get(t.Context(), whole)
	refused(t, "Get", err, connection.ErrNotFound)
	connect(t, s, full(whole))
	want := get(t, s, whole)
	refused(t, "Reseal of another", s.Reseal(t.Context(), whole, []byte("old"), []byte("anew")), connection.ErrConflict)
	same(t, "Get", get(t, s, whole), want)
	static := full(numbered(1))
	static.SealedRefreshToken = nil
	connect(t, s, static)
	want = get(t, s, static.Key)
	refused(t, "Reseal of a connection without one", s.Reseal(t.Context(), static.Key, []byte("old"), []byte("anew")), connection.ErrConflict)
	refused(t, "Reseal of no refresh token", s.Reseal(t.Context(), static.Key, nil, []byte("anew")), connection.ErrConflict)
	same(t, "Get", get(t, s, static.Key), want)
}

func testResealUnderLease(t *testing.T, s Store) {
	connect(t, s, full(whole))
	c := claim(t, s, whole, "lease-1")
	ok(t, "Reseal", s.Reseal(t.Context(), whole, c.SealedRefreshToken, []byte("anew")))
	want := refreshed(c)
	ok(t, "Commit", s.Commit(t.Context(), want))
	want.Lease = connection.Lease{}
	same(t, "Get", get(t, s, whole), want)
}

func testResealRaces(t *testing.T, s Store) {
	for i := range 20 {
		k := numbered(i)
		connect(t, s, full(k))
		c := claim(t, s, k, "lease-1")
		race(t, 2, func(worker int) error {
			if worker == i%2 {
				return s.Reseal(t.Context(), k, c.SealedRefreshToken, []byte("anew"))
			}
			return s.Commit(t.Context(), refreshed(c))
		})
		if got := get(t, s, k); string(got.SealedRefreshToken) != string(refreshed(c).SealedRefreshToken) {
			t.Errorf("round %d: new tokens were overwritten", i)
		}
	}
}
