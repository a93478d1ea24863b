package connectiontest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// providers holds the promises of Providers.
var providers = []promise{
	{"of a provider that nobody wrote of nothing is known", testBreakerOfNothing},
	{"a breaker comes back as it was set", testSetBreaker},
	{"a breaker that is set leaves the counts", testSetBreakerKeepsCounts},
	{"whoever holds a provider holds it, until it is released", testHold},
	{"refreshes are counted as the breaker counts them", testCountRefreshes},
	{"no count is lost to 25 at once", testCountsAreNotLost},
	{"no count is lost where clocks are not agreed on the hour", testCountsOfUnequalClocks},
	{"counts and breaker do not undo each other", testCountAndSet},
	{"time is reserved without a gap and without an overlap", testReserveTime},
	{"time that nobody reserved is lost", testReserveTimeAfterIdling},
	{"no time is reserved that starts too late", testReserveTimeTooLate},
	{"of 25 who reserve at once none overlaps", testReserveTimeRaces},
	{"providers share nothing", testProvidersAreApart},
}

// knows checks what is known of a provider.
func knows(t *testing.T, s Store, provider string, want connection.Breaker) {
	t.Helper()
	if got, err := s.GetBreaker(t.Context(), provider); err != nil || got != want {
		t.Errorf("GetBreaker(%s) = %+v, %v, want %+v", provider, got, err, want)
	}
}

// counted counts refreshes and returns the breaker.
func counted(t *testing.T, s Store, provider string, o connection.Outcomes, now time.Time) connection.Breaker {
	t.Helper()
	b, err := s.CountRefreshes(t.Context(), provider, o, now)
	if err != nil {
		t.Fatalf("CountRefreshes: %v", err)
	}
	return b
}

func testBreakerOfNothing(t *testing.T, s Store) {
	connect(t, s, full(whole))
	knows(t, s, whole.Provider, connection.Breaker{})
}

func testSetBreaker(t *testing.T, s Store) {
	const bit = 999 * time.Millisecond
	zone := time.FixedZone("east", 3600)
	b := connection.Breaker{OpenUntil: later.Add(bit).In(zone), Opened: 3, Reason: "rate_limit"}
	for range 2 {
		ok(t, "SetBreaker", s.SetBreaker(t.Context(), "whatnot", b))
		knows(t, s, "whatnot", connection.Breaker{OpenUntil: later, Opened: 3, Reason: "rate_limit"})
	}
	ok(t, "SetBreaker", s.SetBreaker(t.Context(), "whatnot", connection.Breaker{}))
	knows(t, s, "whatnot", connection.Breaker{})
}

func testSetBreakerKeepsCounts(t *testing.T, s Store) {
	counted(t, s, "whatnot", connection.Outcomes{Refreshes: 4, InvalidGrants: 1}, noon.Add(-time.Hour))
	want := counted(t, s, "whatnot", connection.Outcomes{Refreshes: 2}, noon)
	ok(t, "SetBreaker", s.SetBreaker(t.Context(), "whatnot", connection.Breaker{
		OpenUntil: later, Opened: 1, Reason: "outage", Hour: connection.Window{Number: 7, This: connection.Outcomes{Refreshes: 70, InvalidGrants: 7}},
	}))
	want.OpenUntil, want.Opened, want.Reason = later, 1, "outage"
	knows(t, s, "whatnot", want)
	ok(t, "SetBreaker", s.SetBreaker(t.Context(), "whatnot", connection.Breaker{}))
	want.OpenUntil, want.Opened, want.Reason = time.Time{}, 0, ""
	knows(t, s, "whatnot", want)
}

func testHold(t *testing.T, s Store) {
	const bit = 999 * time.Millisecond
	want := counted(t, s, "whatnot", connection.Outcomes{Refreshes: 4, InvalidGrants: 1}, noon)
	for range 2 {
		ok(t, "Hold", s.Hold(t.Context(), "whatnot", noon.Add(bit)))
		want.HeldSince = noon
		knows(t, s, "whatnot", want)
	}
	ok(t, "SetBreaker", s.SetBreaker(t.Context(), "whatnot", connection.Breaker{OpenUntil: later, Opened: 1, Reason: "outage"}))
	want.OpenUntil, want.Opened, want.Reason = later, 1, "outage"
	knows(t, s, "whatnot", want)
	if want = counted(t, s, "whatnot", connection.Outcomes{Refreshes: 1}, noon); !want.Open(later.Add(time.Hour)) {
		t.Errorf("a count releases it: %+v", want)
	}
	knows(t, s, "whisk", connection.Breaker{})
	ok(t, "Hold", s.Hold(t.Context(), "whatnot", time.Time{}))
	want.HeldSince = time.Time{}
	knows(t, s, "whatnot", want)
}

// Each step is counted by the store and by Breaker.Count.
func testCountRefreshes(t *testing.T, s Store) {
	want := connection.Breaker{OpenUntil: later, Opened: 2, Reason: "outage"}
	ok(t, "SetBreaker", s.SetBreaker(t.Context(), "whatnot", want))
	for i, at := range []time.Duration{
		59 * time.Minute, 59*time.Minute + 59*time.Second, // one hour
		time.Hour, 2*time.Hour - time.Nanosecond, // the next
		2 * time.Hour,                          // and the next, with one
		4 * time.Hour, 4*time.Hour + time.Hour, // an hour is left out
		3 * time.Hour,                                                                          // a clock that is behind
		5*time.Hour + 5*time.Minute, 5*time.Hour + 9*time.Minute, 5*time.Hour + 10*time.Minute, // the next spans of an hour
		5*time.Hour + 21*time.Minute, 5*time.Hour + 14*time.Minute, // and one is left out, and a clock is behind
		100*time.Hour + time.Second, 101 * time.Hour, // days are left out
	} {
		o := connection.Outcomes{Refreshes: 10 + i, InvalidGrants: i % 3}
		want = want.Count(o, noon.Add(at))
		if got := counted(t, s, "whatnot", o, noon.Add(at)); got != want {
			t.Errorf("step %d: CountRefreshes = %+v, want %+v", i, got, want)
		}
		knows(t, s, "whatnot", want)
	}
}

// All meet the change of a span, or the very first one.
func testCountsAreNotLost(t *testing.T, s Store) {
	one := connection.Outcomes{Refreshes: 2, InvalidGrants: 1}
	want := connection.Breaker{}
	for _, after := range []time.Duration{0, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 2 * time.Hour, 5 * time.Hour} {
		now := noon.Add(after)
		wins := race(t, 25, func(int) error {
			_, err := s.CountRefreshes(t.Context(), "whatnot", one, now)
			return err
		})
		if wins != 25 {
			t.Errorf("%d of 25 counted", wins)
		}
		want = want.Count(connection.Outcomes{Refreshes: 50, InvalidGrants: 25}, now)
		knows(t, s, "whatnot", want)
	}
}

func testCountsOfUnequalClocks(t *testing.T, s Store) {
	for round := range 5 {
		provider := fmt.Sprintf("provider-%d", round)
		counted(t, s, provider, connection.Outcomes{Refreshes: 1}, noon)
		race(t, 25, func(i int) error {
			_, err := s.CountRefreshes(t.Context(), provider, connection.Outcomes{Refreshes: 1}, noon.Add(time.Duration(i%2)*time.Hour))
			return err
		})
		b, err := s.GetBreaker(t.Context(), provider)
		if got := b.Hour.This.Refreshes + b.Hour.Last.Refreshes; err != nil || got != 26 || b.Hour.This.Refreshes < 12 {
			t.Errorf("counted %d, %d of them in the last hour, %v, want 26", got, b.Hour.Last.Refreshes, err)
		}
	}
}

func testCountAndSet(t *testing.T, s Store) {
	for round := range 5 {
		now := noon.Add(time.Duration(round) * time.Hour)
		race(t, 10, func(i int) error {
			if i == 5 {
				return s.SetBreaker(t.Context(), "whatnot", connection.Breaker{OpenUntil: now, Opened: round + 1, Reason: "outage"})
			}
			_, err := s.CountRefreshes(t.Context(), "whatnot", connection.Outcomes{Refreshes: 1}, now)
			return err
		})
		b, err := s.GetBreaker(t.Context(), "whatnot")
		if err != nil || b.Opened != round+1 || !b.OpenUntil.Equal(now) || b.Hour.This.Refreshes != 9 {
			t.Errorf("round %d: %+v, %v, want 9 counted and opened %d times", round, b, err, round+1)
		}
	}
}

// reserve reserves a second of a provider's time at now.
func reserve(t *testing.T, s Store, provider string, now, want time.Time) {
	t.Helper()
	got, err := s.ReserveTime(t.Context(), provider, time.Second, now, later)
	if err != nil || !got.Equal(want) {
		t.Errorf("ReserveTime = %v, %v, want %v", got, err, want)
	}
}

func testReserveTime(t *testing.T, s Store) {
	const part = 250 * time.Microsecond // times are in milliseconds
	reserve(t, s, "whatnot", noon.Add(7*time.Millisecond+part), noon.Add(7*time.Millisecond))
	reserve(t, s, "whatnot", noon.Add(7*time.Millisecond), noon.Add(1007*time.Millisecond))
	reserve(t, s, "whatnot", noon, noon.Add(2007*time.Millisecond))
	reserve(t, s, "whatnot", noon.Add(3*time.Second), noon.Add(3007*time.Millisecond))
}

func testReserveTimeAfterIdling(t *testing.T, s Store) {
	reserve(t, s, "whatnot", noon, noon)
	reserve(t, s, "whatnot", noon.Add(time.Second), noon.Add(time.Second)) // just when it ends
	reserve(t, s, "whatnot", noon.Add(5*time.Second), noon.Add(5*time.Second))
	reserve(t, s, "whatnot", noon.Add(5*time.Second), noon.Add(6*time.Second))
}

func testReserveTimeTooLate(t *testing.T, s Store) {
	tooLate := func(now, latest time.Time) {
		t.Helper()
		_, err := s.ReserveTime(t.Context(), "whatnot", time.Second, now, latest)
		refused(t, "ReserveTime", err, connection.ErrConflict)
	}
	tooLate(noon, noon)
	tooLate(noon.Add(time.Microsecond), noon.Add(2*time.Microsecond)) // within a millisecond
	reserve(t, s, "whatnot", noon, noon)
	tooLate(noon, noon)
	tooLate(noon, noon.Add(time.Second))
	tooLate(noon.Add(time.Hour), noon)
	reserve(t, s, "whatnot", noon, noon.Add(time.Second)) // what was refused took no time
	start, err := s.ReserveTime(t.Context(), "whatnot", time.Hour, noon, noon.Add(2001*time.Millisecond))
	if err != nil || !start.Equal(noon.Add(2*time.Second)) {
		t.Errorf("ReserveTime = %v, %v, want what starts a millisecond before the last moment", start, err)
	}
	tooLate(noon, later)
}

// Every other one comes when the first second has passed. There is room for
// ten seconds, and where two overlapped, there would be for more.
func testReserveTimeRaces(t *testing.T, s Store) {
	for round := range 4 {
		begin := noon.Add(time.Duration(round) * time.Hour)
		starts := make([]time.Time, 25)
		wins := race(t, 25, func(i int) (err error) {
			now := begin.Add(time.Duration(i%2) * time.Second)
			starts[i], err = s.ReserveTime(t.Context(), "whatnot", time.Second, now, begin.Add(10*time.Second))
			return err
		})
		starts = slices.DeleteFunc(starts, time.Time.IsZero)
		slices.SortFunc(starts, time.Time.Compare)
		for i, start := range starts {
			if start.Before(begin) || !start.Before(begin.Add(10*time.Second)) || i > 0 && start.Sub(starts[i-1]) < time.Second {
				t.Errorf("round %d: %v is reserved after %v", round, start, starts[max(i-1, 0)])
			}
		}
		if wins < 9 || wins > 10 || len(starts) != wins { // 9, if one of the later ones was first
			t.Errorf("round %d: %d reserved, want 10", round, wins)
		}
	}
}

func testProvidersAreApart(t *testing.T, s Store) {
	ok(t, "SetBreaker", s.SetBreaker(t.Context(), "whatnot", connection.Breaker{OpenUntil: later, Opened: 1, Reason: "outage"}))
	one := counted(t, s, "whatnot", connection.Outcomes{Refreshes: 1}, noon)
	reserve(t, s, "whatnot", noon, noon)
	knows(t, s, "whisk", connection.Breaker{})
	reserve(t, s, "whisk", noon, noon)
	two := counted(t, s, "whisk", connection.Outcomes{Refreshes: 2}, noon)
	knows(t, s, "whatnot", one)
	knows(t, s, "whisk", two)
	ok(t, "SetBreaker", s.SetBreaker(t.Context(), "whatnot", connection.Breaker{}))
	reserve(t, s, "whatnot", noon, noon.Add(time.Second))
	if _, err := s.GetRequest(t.Context(), "provider#whatnot", "a"); !errors.Is(err, connection.ErrNotFound) {
		t.Errorf("GetRequest of a provider's row: %v, want ErrNotFound", err)
	}
}
