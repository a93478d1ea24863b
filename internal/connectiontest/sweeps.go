package connectiontest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// sweeps holds the promises of the sweep lease.
var sweeps = []promise{
	{"one sweep at a time", testSweepIsAlone},
	{"25 concurrent sweeps have one winner", testSweepHasOneWinner},
	{"a sweep prolongs its own lease", testSweepProlongs},
	{"a sweep that ran out can be followed", testSweepRunsOut},
	{"only the holder ends a sweep", testEndSweep},
	{"the sweep lease is no authorization request", testSweepIsNoRequest},
	{"each shard has a sweep lease of its own", testSweepOfShards},
	{"a sweep knows every number of shards there ever was", testGenerations},
	{"the sweep of a shard neither tells nor adds a number of shards", testGenerationsOfShards},
	{"a sweep knows the table of the one before", testTableOfASweep},
}

// take takes the sweep lease for leaseTime.
func take(t *testing.T, s Store, id string, now time.Time) error {
	t.Helper()
	return takeShard(t, s, "", id, now)
}

// takeShard takes the sweep lease of a shard for leaseTime.
func takeShard(t *testing.T, s Store, name, id string, now time.Time) error {
	t.Helper()
	_, err := s.TakeSweep(t.Context(), connection.Sweep{Name: name, ID: id, Now: now, Until: now.Add(leaseTime), Shards: 4})
	return err
}

// generations takes the sweep lease with a number of shards, and checks the
// numbers that it returns.
func generations(t *testing.T, s Store, sweep connection.Sweep, want ...int) {
	t.Helper()
	sweep.Now, sweep.Until = noon, later
	got, err := s.TakeSweep(t.Context(), sweep)
	if err != nil || !slices.Equal(got.Generations, want) {
		t.Errorf("TakeSweep %q with %d shards = %v, %v, want %v", sweep.Name, sweep.Shards, got.Generations, err, want)
	}
}

func testSweepIsAlone(t *testing.T, s Store) {
	ok(t, "TakeSweep", take(t, s, "a", noon))
	refused(t, "TakeSweep by another", take(t, s, "b", noon), connection.ErrConflict)
	refused(t, "TakeSweep a second before the end", take(t, s, "b", noon.Add(leaseTime-time.Second)), connection.ErrConflict)
}

func testSweepHasOneWinner(t *testing.T, s Store) {
	for round := range 4 {
		wins := race(t, 25, func(i int) error {
			return take(t, s, fmt.Sprintf("sweep-%d-%d", round, i), noon.Add(time.Duration(round)*leaseTime))
		})
		if wins != 1 {
			t.Errorf("round %d: %d sweeps at once, want 1", round, wins)
		}
	}
}

// A sweep whose answer was lost asks again.
func testSweepProlongs(t *testing.T, s Store) {
	ok(t, "TakeSweep", take(t, s, "a", noon))
	ok(t, "TakeSweep again", take(t, s, "a", noon.Add(time.Minute)))
	refused(t, "TakeSweep by another", take(t, s, "b", noon.Add(leaseTime)), connection.ErrConflict)
}

func testSweepRunsOut(t *testing.T, s Store) {
	ok(t, "TakeSweep", take(t, s, "a", noon))
	ok(t, "TakeSweep at the end", take(t, s, "b", noon.Add(leaseTime)))
	refused(t, "TakeSweep by the first", take(t, s, "a", noon.Add(leaseTime)), connection.ErrConflict)
}

func testEndSweep(t *testing.T, s Store) {
	ok(t, "EndSweep of nothing", s.EndSweep(t.Context(), "", "a"))
	ok(t, "TakeSweep", take(t, s, "a", noon))
	ok(t, "EndSweep by another", s.EndSweep(t.Context(), "", "b"))
	refused(t, "TakeSweep by another", take(t, s, "b", noon), connection.ErrConflict)
	ok(t, "EndSweep", s.EndSweep(t.Context(), "", "a"))
	ok(t, "EndSweep again", s.EndSweep(t.Context(), "", "a"))
	ok(t, "TakeSweep by another", take(t, s, "b", noon))
	ok(t, "EndSweep of the past", s.EndSweep(t.Context(), "", "a"))
	refused(t, "TakeSweep by a third", take(t, s, "c", noon), connection.ErrConflict)
}

func testSweepIsNoRequest(t *testing.T, s Store) {
	ok(t, "TakeSweep", take(t, s, "a", noon))
	_, err := s.GetRequest(t.Context(), "sweep", "a")
	refused(t, "GetRequest", err, connection.ErrNotFound)
}

func testSweepOfShards(t *testing.T, s Store) {
	names := []string{"", "4.0", "4.1", "4"}
	for _, name := range names {
		ok(t, "TakeSweep of "+name, takeShard(t, s, name, "a"+name, noon))
	}
	for _, name := range names {
		refused(t, "TakeSweep of "+name, takeShard(t, s, name, "b", noon), connection.ErrConflict)
	}
	ok(t, "EndSweep", s.EndSweep(t.Context(), "4.0", "a4.0"))
	for _, name := range []string{"", "4.1", "4"} {
		refused(t, "TakeSweep of "+name, takeShard(t, s, name, "b", noon), connection.ErrConflict)
	}
	wins := race(t, 25, func(i int) error { return takeShard(t, s, "4.0", fmt.Sprintf("c-%d", i), noon) })
	if wins != 1 {
		t.Errorf("%d sweeps of one shard at once, want 1", wins)
	}
}

func testGenerations(t *testing.T, s Store) {
	generations(t, s, connection.Sweep{ID: "a", Shards: 4}, 4)
	generations(t, s, connection.Sweep{ID: "a", Shards: 4}, 4)
	generations(t, s, connection.Sweep{ID: "a", Shards: 16}, 4, 16)
	_, err := s.TakeSweep(t.Context(), connection.Sweep{ID: "b", Shards: 5, Now: noon, Until: later})
	refused(t, "TakeSweep by another", err, connection.ErrConflict)
	ok(t, "EndSweep", s.EndSweep(t.Context(), "", "a"))
	generations(t, s, connection.Sweep{ID: "b", Shards: 2}, 2, 4, 16)
	generations(t, s, connection.Sweep{ID: "b", Shards: 16}, 2, 4, 16)
}

func testGenerationsOfShards(t *testing.T, s Store) {
	generations(t, s, connection.Sweep{Name: "4.0", ID: "a", Shards: 4})
	generations(t, s, connection.Sweep{Name: "4.0", ID: "a", Shards: 8})
	generations(t, s, connection.Sweep{ID: "a", Shards: 2}, 2)
	generations(t, s, connection.Sweep{Name: "2.0", ID: "a", Shards: 2})
}

// Only the holder changes it, and a sweep that names none leaves it as it is.
func testTableOfASweep(t *testing.T, s Store) {
	table := func(name, id, given, want string) {
		t.Helper()
		got, err := s.TakeSweep(t.Context(), connection.Sweep{Name: name, ID: id, Now: noon, Until: later, Shards: 4, Table: given})
		if err != nil || got.Table != want {
			t.Errorf("TakeSweep %q by %s with table %q = %q, %v, want %q", name, id, given, got.Table, err, want)
		}
	}
	table("", "a", "", "")
	table("", "a", "one", "one")
	_, err := s.TakeSweep(t.Context(), connection.Sweep{ID: "b", Now: noon, Until: later, Shards: 4, Table: "two"})
	refused(t, "TakeSweep by another", err, connection.ErrConflict)
	table("4.0", "a", "three", "")
	table("", "a", "", "one")
	ok(t, "EndSweep", s.EndSweep(t.Context(), "", "a"))
	table("", "b", "", "one")
	table("", "b", "two", "two")
	table("4.0", "a", "", "")
}
