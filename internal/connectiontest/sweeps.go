package connectiontest

import (
	"fmt"
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
}

// take takes the sweep lease for leaseTime.
func take(t *testing.T, s Store, id string, now time.Time) error {
	t.Helper()
	_, err := s.TakeSweep(t.Context(), connection.Sweep{ID: id, Now: now, Until: now.Add(leaseTime), Shards: 4})
	return err
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
