package refresh

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/connection"
)

// exchanged is what the log says of a table that is another one.
const exchanged = "connections table is another one than before"

// newTable returns a stage with three connections that are due at each of two
// providers, whose table has the ID one and was swept before, and what changes
// the ID.
func newTable(t *testing.T) (s *stage, exchange func(id string)) {
	t.Helper()
	s, id := newStage(t), "one"
	s.Table = &Table{
		ID:        func(context.Context) (string, error) { return id, nil },
		Hold:      s.store.Hold,
		Providers: []string{"acme", "idle", "whatnot"},
	}
	s.index.add("4.0", "acme", 3)
	s.index.add("4.1", "whatnot", 3)
	if s.refreshes(t) != 6 || s.held(t) != 0 {
		t.Fatal("the very first sweep does not refresh as ever")
	}
	return s, func(now string) { id = now }
}

// next runs a sweep, which is over a minute later. What it began is in s.started.
func (s *stage) next(t *testing.T) (Summary, error) {
	t.Helper()
	s.started = nil
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got, err := s.sweep(ctx)
	<-ctx.Done()
	return got, err
}

// refreshes runs a sweep, whatever it answers, and returns how many refreshes it
// began.
func (s *stage) refreshes(t *testing.T) int {
	t.Helper()
	if _, err := s.next(t); err != nil {
		t.Logf("sweep: %v", err)
	}
	return len(s.started)
}

// held returns how many providers are held.
func (s *stage) held(t *testing.T) (n int) {
	t.Helper()
	for _, p := range s.Table.Providers {
		b, err := s.store.GetBreaker(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if !b.HeldSince.IsZero() {
			n++
		}
	}
	return n
}

// release releases every provider, as a person does.
func (s *stage) release(t *testing.T) {
	t.Helper()
	for _, p := range s.Table.Providers {
		if err := s.store.Hold(t.Context(), p, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
}

// A table under the old name may be one from a backup, whose refresh tokens were
// used since. A person is told, and what that person releases stays released.
func TestATableThatWasExchangedIsHeldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, exchange := newTable(t)
		for _, id := range []string{"two", "one"} { // back to an older table, too
			exchange(id)
			if got, err := s.next(t); got != (Summary{}) || err != nil {
				t.Errorf("table %s: the first sweep goes on: %+v, %v", id, got, err)
			}
			for range 3 {
				if n := s.refreshes(t); n != 0 || s.held(t) != 3 {
					t.Fatalf("table %s: %d refreshes, %d of 3 providers held", id, n, s.held(t))
				}
			}
			if n := strings.Count(s.log.String(), exchanged); n != 1 || !strings.Contains(s.log.String(), "level=ERROR") {
				t.Errorf("table %s: the log says it %d times: %s", id, n, &s.log)
			}
			s.release(t)
			for range 3 {
				if n := s.refreshes(t); n != 6 || s.held(t) != 0 {
					t.Fatalf("table %s: %d refreshes once all is released, %d providers held", id, n, s.held(t))
				}
			}
			s.log.Reset()
		}
	})
}

// Whichever write fails or is where the process dies, before its effect or after
// it, nothing is sent, and the next sweep holds what is not held. Whoever invokes
// the function is told, so that an alarm on errors rings if it goes on.
func TestASweepThatIsCutOffWhileItHoldsIsRepeated(t *testing.T) {
	// The writes: the lease, a hold each, the new ID; then the lease is given back.
	for n := 1; n <= 6; n++ {
		for _, applied := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s, exchange := newTable(t)
				exchange("two")
				writes := 0
				s.store.OnWrite = func(string, any) (bool, error) {
					if writes++; writes < n {
						return true, nil
					}
					return applied && writes == n, errors.New("out of reach")
				}
				if _, err := s.next(t); (err == nil) != (n == 6) || len(s.started) != 0 {
					t.Fatalf("cut off at write %d, done %v: %v after %d refreshes", n, applied, err, len(s.started))
				}
				s.store.OnWrite = nil
				for range 3 {
					if got := s.refreshes(t); got != 0 || s.held(t) != 3 {
						t.Fatalf("after one that was cut off at write %d, done %v: %d refreshes, %d of 3 providers held", n, applied, got, s.held(t))
					}
				}
				s.release(t)
				if got := s.refreshes(t); got != 6 {
					t.Errorf("%d refreshes once all is released", got)
				}
			})
		}
	}
}

// A sweep that cannot remember the first table refreshes as ever.
func TestTheFirstTableIsRememberedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newTable(t)
		again := newStage(t) // as a state table that was emptied
		again.Table, again.Index = s.Table, s.index
		again.Table.Hold = again.store.Hold
		again.store.OnWrite = func(_ string, arg any) (bool, error) {
			if sweep, ok := arg.(connection.Sweep); ok && sweep.Table != "" {
				return false, errors.New("throttled")
			}
			return true, nil
		}
		if n := again.refreshes(t); n != 6 || again.held(t) != 0 || !strings.Contains(again.log.String(), "not remembered") {
			t.Errorf("%d refreshes, %d held, log: %s", n, again.held(t), &again.log)
		}
	})
}

// While one sweep holds, however slowly, another sends nothing, and writes no
// hold that a person could have released.
func TestAnotherSweepLeavesHoldingToTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, exchange := newTable(t)
		exchange("two")
		holds, n := s.Table.Hold, 0
		s.Table.Hold = func(ctx context.Context, p string, since time.Time) error {
			n++
			<-time.After(10 * time.Second)
			return holds(ctx, p, since)
		}
		ids := 0
		s.NewID = func() string { ids++; return "sweep-" + string(rune('a'+ids)) }
		s.started = nil
		go func() {
			if _, err := s.sweep(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		for range 3 {
			<-time.After(9 * time.Second)
			if got := s.minute(t); got != (Summary{}) {
				t.Errorf("another sweep answers %+v", got)
			}
		}
		<-time.After(9 * time.Second)
		if n != 3 || s.held(t) != 3 || len(s.started) != 0 {
			t.Errorf("%d holds, %d providers held, %d refreshes", n, s.held(t), len(s.started))
		}
	})
}

// A worker reads breakers as a sweep does: hints from before hurt nobody.
func TestAWorkerSendsNothingOnceATableIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, exchange := newTable(t)
		exchange("two")
		s.refreshes(t)
		got, err := s.Handle(t.Context(), eventFile(t, "refresh-hints.json"))
		if resp, ok := got.(events.SQSEventResponse); err != nil || !ok || len(resp.BatchItemFailures) > 0 || len(s.started) != 0 {
			t.Errorf("Handle = %+v, %v after %d refreshes", got, err, len(s.started))
		}
	})
}

// That a table was exchanged is rare, and that tokens expire is not: without the
// right to look, or an answer, all is refreshed as ever, and the log says so. The
// next sweep that can look compares with the last one that could.
func TestASweepThatCannotLookAtTheTableGoesOn(t *testing.T) {
	for name, look := range map[string]func(context.Context) (string, error){
		"denied":   func(context.Context) (string, error) { return "", errors.New("AccessDeniedException") },
		"silent":   func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() },
		"no ID":    func(context.Context) (string, error) { return "", nil },
		"as ever":  func(context.Context) (string, error) { return "one", nil },
		"no table": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, exchange := newTable(t)
				table, can := *s.Table, s.Table.ID
				if s.Table.ID = look; look == nil {
					s.Table = nil
				}
				began := time.Now()
				s.started = nil
				if got := s.minute(t); got.Refreshed != 6 || time.Since(began) > lookTime {
					t.Errorf("%+v after %v", got, time.Since(began))
				}
				fails := name == "denied" || name == "silent"
				if said := strings.Contains(s.log.String(), "not looked at"); said != fails {
					t.Errorf("the log says that nobody looked: %v", said)
				}
				table.ID = can
				s.Table = &table
				exchange("two")
				if n := s.refreshes(t); n != 0 || s.held(t) != 3 {
					t.Errorf("%d refreshes, %d providers held once it can look", n, s.held(t))
				}
			})
		})
	}
}
