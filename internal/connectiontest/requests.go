package connectiontest

import (
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// requests holds the promises about authorization requests.
var requests = []promise{
	{"a claimed request is found by every state", testClaimRequest},
	{"50 concurrent claims of a request have one winner", testClaimRequestHasOneWinner},
	{"a request is claimed once, by its own state too", testClaimRequestOnce},
	{"a claim counts for ever", testClaimRequestOutlivesItself},
	{"a denial leaves the ticket to other states", testDenyRequest},
	{"a denial by a failure is a failure", testDeniedByFailure},
	{"a denied state cannot claim", testDeniedCannotClaim},
	{"a state that has claimed cannot be denied", testClaimedCannotBeDenied},
	{"a denial does not move the end of what was there", testDenialKeepsTheEnd},
	{"a claim and a denial of one state have one winner", testClaimOrDenial},
	{"a finished request keeps its outcome", testFinishRequest},
	{"only the state that claimed finishes", testFinishRequestOfOther},
	{"a held answer is seen with the claim alone", testHeldAnswer},
	{"an answer is taken once", testTakeAnswerOnce},
	{"50 concurrent takers of an answer have one winner", testTakeAnswerHasOneWinner},
	{"an answer is held until its time", testTakeAnswerInTime},
	{"where no answer is held there is none to take", testTakeNoAnswer},
}

// ticket returns the authorization request of a state for one ticket.
func ticket(state string) connection.Request {
	return connection.Request{ID: "ticket#1", State: state, Key: whole, ExpiresAt: later}
}

// sees checks what a state sees of the ticket.
func sees(t *testing.T, s Store, state string, want connection.Request) {
	t.Helper()
	got, err := s.GetRequest(t.Context(), "ticket#1", state)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("state %s sees %+v, %v, want %+v", state, got, err, want)
	}
}

// seesNothing checks that a state finds no request.
func seesNothing(t *testing.T, s Store, state string) {
	t.Helper()
	_, err := s.GetRequest(t.Context(), "ticket#1", state)
	refused(t, "GetRequest", err, connection.ErrNotFound)
}

// ok checks that a write was made.
func ok(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func testClaimRequest(t *testing.T, s Store) {
	seesNothing(t, s, "a")
	r := ticket("a")
	r.ExpiresAt = r.ExpiresAt.Add(time.Millisecond)
	ok(t, "ClaimRequest", s.ClaimRequest(t.Context(), r))
	sees(t, s, "a", ticket("a"))
	sees(t, s, "b", ticket("a"))
	if _, err := s.GetRequest(t.Context(), "ticket#2", "a"); err == nil {
		t.Error("another ticket has a request")
	}
}

func testClaimRequestHasOneWinner(t *testing.T, s Store) {
	for round := range 3 {
		var winner atomic.Value
		wins := race(t, 50, func(i int) error {
			r := ticket(fmt.Sprintf("state-%d", i))
			r.ID = fmt.Sprintf("ticket#%d", round)
			err := s.ClaimRequest(t.Context(), r)
			if err == nil {
				winner.Store(r.State)
			}
			return err
		})
		r, err := s.GetRequest(t.Context(), fmt.Sprintf("ticket#%d", round), "other")
		if wins != 1 || err != nil || r.State != winner.Load() {
			t.Errorf("%d claims succeeded, the last of %v, and %s has it, %v", wins, winner.Load(), r.State, err)
		}
	}
}

func testClaimRequestOnce(t *testing.T, s Store) {
	ok(t, "ClaimRequest", s.ClaimRequest(t.Context(), ticket("a")))
	refused(t, "ClaimRequest again", s.ClaimRequest(t.Context(), ticket("a")), connection.ErrConflict)
	refused(t, "ClaimRequest by another", s.ClaimRequest(t.Context(), ticket("b")), connection.ErrConflict)
	sees(t, s, "b", ticket("a"))
}

func testClaimRequestOutlivesItself(t *testing.T, s Store) {
	past := ticket("a")
	past.ExpiresAt = time.Unix(1, 0).UTC()
	ok(t, "ClaimRequest", s.ClaimRequest(t.Context(), past))
	refused(t, "ClaimRequest after the end", s.ClaimRequest(t.Context(), ticket("b")), connection.ErrConflict)
	sees(t, s, "b", past)
}

// denied returns the ticket as a denied state sees it.
func denied(state string) connection.Request {
	r := ticket(state)
	r.Outcome = connection.Denied
	return r
}

func testDenyRequest(t *testing.T, s Store) {
	ok(t, "DenyRequest", s.DenyRequest(t.Context(), ticket("a")))
	refused(t, "DenyRequest again", s.DenyRequest(t.Context(), ticket("a")), connection.ErrConflict)
	sees(t, s, "a", denied("a"))
	seesNothing(t, s, "b")
	ok(t, "ClaimRequest by another", s.ClaimRequest(t.Context(), ticket("b")))
	sees(t, s, "a", denied("a"))
	sees(t, s, "b", ticket("b"))
	sees(t, s, "c", ticket("b"))
	ok(t, "DenyRequest of a third", s.DenyRequest(t.Context(), ticket("c")))
	sees(t, s, "a", denied("a"))
	sees(t, s, "b", ticket("b"))
	sees(t, s, "c", denied("c"))
}

// The first outcome stands, whatever the provider says later.
func testDeniedByFailure(t *testing.T, s Store) {
	failed := func(state string) connection.Request {
		r := ticket(state)
		r.Outcome = connection.Failed
		return r
	}
	ok(t, "DenyRequest", s.DenyRequest(t.Context(), failed("a")))
	ok(t, "DenyRequest of another", s.DenyRequest(t.Context(), ticket("b")))
	refused(t, "DenyRequest by the user", s.DenyRequest(t.Context(), ticket("a")), connection.ErrConflict)
	refused(t, "DenyRequest by a failure", s.DenyRequest(t.Context(), failed("b")), connection.ErrConflict)
	ok(t, "DenyRequest of a third", s.DenyRequest(t.Context(), failed("c")))
	refused(t, "ClaimRequest", s.ClaimRequest(t.Context(), ticket("a")), connection.ErrConflict)
	sees(t, s, "a", failed("a"))
	sees(t, s, "b", denied("b"))
	sees(t, s, "c", failed("c"))
	ok(t, "ClaimRequest of a fourth", s.ClaimRequest(t.Context(), ticket("d")))
	sees(t, s, "a", failed("a"))
	sees(t, s, "d", ticket("d"))
}

func testDeniedCannotClaim(t *testing.T, s Store) {
	ok(t, "DenyRequest", s.DenyRequest(t.Context(), ticket("a")))
	ok(t, "DenyRequest", s.DenyRequest(t.Context(), ticket("b")))
	for _, state := range []string{"a", "b"} {
		refused(t, "ClaimRequest", s.ClaimRequest(t.Context(), ticket(state)), connection.ErrConflict)
		sees(t, s, state, denied(state))
	}
	seesNothing(t, s, "c")
}

func testClaimedCannotBeDenied(t *testing.T, s Store) {
	ok(t, "ClaimRequest", s.ClaimRequest(t.Context(), ticket("a")))
	refused(t, "DenyRequest", s.DenyRequest(t.Context(), ticket("a")), connection.ErrConflict)
	sees(t, s, "a", ticket("a"))
}

// The row of a ticket that was used must not be forgotten before the ticket.
func testDenialKeepsTheEnd(t *testing.T, s Store) {
	ok(t, "ClaimRequest", s.ClaimRequest(t.Context(), ticket("a")))
	early := ticket("b")
	early.ExpiresAt = noon
	ok(t, "DenyRequest", s.DenyRequest(t.Context(), early))
	sees(t, s, "a", ticket("a"))
	sees(t, s, "b", denied("b"))

	first, second := ticket("a"), early
	first.ID, second.ID = "ticket#2", "ticket#2"
	ok(t, "DenyRequest", s.DenyRequest(t.Context(), first))
	ok(t, "DenyRequest", s.DenyRequest(t.Context(), second))
	first.Outcome = connection.Denied
	if got, err := s.GetRequest(t.Context(), "ticket#2", "a"); err != nil || !reflect.DeepEqual(got, first) {
		t.Errorf("after a second denial: %+v, %v, want %+v", got, err, first)
	}
}

func testClaimOrDenial(t *testing.T, s Store) {
	for i := range 10 {
		r := ticket("a")
		r.ID = fmt.Sprintf("ticket#%d", i)
		var claimed, refusedByUser atomic.Bool
		wins := race(t, 2, func(worker int) error {
			if worker == i%2 {
				err := s.ClaimRequest(t.Context(), r)
				claimed.Store(err == nil)
				return err
			}
			err := s.DenyRequest(t.Context(), r)
			refusedByUser.Store(err == nil)
			return err
		})
		got, err := s.GetRequest(t.Context(), r.ID, "a")
		if wins != 1 || err != nil || (got.Outcome == connection.Denied) != refusedByUser.Load() {
			t.Errorf("claimed %t, denied %t, outcome %q, %v", claimed.Load(), refusedByUser.Load(), got.Outcome, err)
		}
	}
}

func testFinishRequest(t *testing.T, s Store) {
	ok(t, "ClaimRequest", s.ClaimRequest(t.Context(), ticket("a")))
	failed := ticket("a")
	failed.Outcome, failed.Code = connection.Failed, "invalid_client"
	for range 2 {
		ok(t, "FinishRequest", s.FinishRequest(t.Context(), failed))
		sees(t, s, "a", failed)
		sees(t, s, "b", failed)
	}
	refused(t, "ClaimRequest", s.ClaimRequest(t.Context(), ticket("b")), connection.ErrConflict)
	ok(t, "DenyRequest", s.DenyRequest(t.Context(), ticket("b")))
	sees(t, s, "b", denied("b"))
}

func testFinishRequestOfOther(t *testing.T, s Store) {
	failed := ticket("b")
	failed.Outcome = connection.Failed
	refused(t, "FinishRequest of nothing", s.FinishRequest(t.Context(), failed), connection.ErrConflict)
	seesNothing(t, s, "b")
	ok(t, "DenyRequest", s.DenyRequest(t.Context(), ticket("b")))
	refused(t, "FinishRequest of a denial", s.FinishRequest(t.Context(), failed), connection.ErrConflict)
	sees(t, s, "b", denied("b"))
	ok(t, "ClaimRequest", s.ClaimRequest(t.Context(), ticket("a")))
	refused(t, "FinishRequest of another's", s.FinishRequest(t.Context(), failed), connection.ErrConflict)
	sees(t, s, "a", ticket("a"))
}

// holding returns the ticket of a state with an answer that is held for ten
// minutes from noon.
func holding(state string) connection.Request {
	r := ticket(state)
	r.Answer, r.HeldUntil = []byte{1, 0, 255, 'a'}, noon.Add(10*time.Minute)
	return r
}

// taken returns what is left of holding.
func taken(state string) connection.Request {
	r := holding(state)
	r.Answer = nil
	return r
}

func testHeldAnswer(t *testing.T, s Store) {
	r := holding("a")
	r.HeldUntil = r.HeldUntil.Add(time.Millisecond)
	ok(t, "ClaimRequest", s.ClaimRequest(t.Context(), r))
	sees(t, s, "a", holding("a"))
	sees(t, s, "b", holding("a"))
	ok(t, "DenyRequest of another", s.DenyRequest(t.Context(), ticket("b")))
	sees(t, s, "b", denied("b"))
	failed := holding("a")
	failed.Outcome, failed.Code = connection.Failed, "mismatch"
	ok(t, "FinishRequest", s.FinishRequest(t.Context(), failed))
	sees(t, s, "a", failed)
}

func testTakeAnswerOnce(t *testing.T, s Store) {
	ok(t, "ClaimRequest", s.ClaimRequest(t.Context(), holding("a")))
	refused(t, "ClaimRequest by another", s.ClaimRequest(t.Context(), holding("b")), connection.ErrConflict)
	got, err := s.TakeAnswer(t.Context(), "ticket#1", noon)
	if err != nil || !reflect.DeepEqual(got, holding("a")) {
		t.Errorf("TakeAnswer = %+v, %v, want %+v", got, err, holding("a"))
	}
	_, err = s.TakeAnswer(t.Context(), "ticket#1", noon)
	refused(t, "TakeAnswer again", err, connection.ErrConflict)
	sees(t, s, "a", taken("a"))
	refused(t, "ClaimRequest", s.ClaimRequest(t.Context(), holding("a")), connection.ErrConflict)
}

func testTakeAnswerHasOneWinner(t *testing.T, s Store) {
	ok(t, "ClaimRequest", s.ClaimRequest(t.Context(), holding("a")))
	wins := race(t, 50, func(int) error {
		_, err := s.TakeAnswer(t.Context(), "ticket#1", noon)
		return err
	})
	if wins != 1 {
		t.Errorf("%d of 50 took the answer", wins)
	}
}

// The medium may keep a row long after its end, so time is checked here.
func testTakeAnswerInTime(t *testing.T, s Store) {
	ok(t, "ClaimRequest", s.ClaimRequest(t.Context(), holding("a")))
	end := holding("a").HeldUntil
	for _, now := range []time.Time{later, end.Add(time.Millisecond), end} {
		_, err := s.TakeAnswer(t.Context(), "ticket#1", now)
		refused(t, "TakeAnswer at "+now.String(), err, connection.ErrConflict)
	}
	sees(t, s, "a", holding("a"))
	_, err := s.TakeAnswer(t.Context(), "ticket#1", end.Add(-time.Millisecond))
	ok(t, "TakeAnswer in time", err)
}

func testTakeNoAnswer(t *testing.T, s Store) {
	_, err := s.TakeAnswer(t.Context(), "ticket#1", noon)
	refused(t, "TakeAnswer of nothing", err, connection.ErrConflict)
	seesNothing(t, s, "a")
	ok(t, "DenyRequest", s.DenyRequest(t.Context(), ticket("a")))
	_, err = s.TakeAnswer(t.Context(), "ticket#1", noon)
	refused(t, "TakeAnswer of a denial", err, connection.ErrConflict)
	ok(t, "ClaimRequest", s.ClaimRequest(t.Context(), ticket("b")))
	_, err = s.TakeAnswer(t.Context(), "ticket#1", noon)
	refused(t, "TakeAnswer of a claim without one", err, connection.ErrConflict)
	sees(t, s, "b", ticket("b"))
}
