package refresh

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// A person who holds a provider is obeyed whatever the provider answers, until
// it is released; others are not held.
func TestAHeldProviderIsAskedNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index.add("4.0", "held", 3)
		s.index.add("4.1", "free", 3)
		limited := connection.Breaker{OpenUntil: time.Now().Add(-time.Second), Reason: connection.RateLimit} // which a run may wait for
		if err := errors.Join(s.store.Hold(t.Context(), "held", time.Now()), s.store.SetBreaker(t.Context(), "held", limited)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			s.minute(t)
			<-time.After(24 * time.Hour)
		}
		for _, c := range s.started {
			if c.key.Provider != "free" {
				t.Fatalf("%v was refreshed", c.key)
			}
		}
		if len(s.started) != 6 || !strings.Contains(s.log.String(), "provider is held") {
			t.Errorf("%d refreshes of another provider; log: %s", len(s.started), &s.log)
		}
		if err := s.store.Hold(t.Context(), "held", time.Time{}); err != nil {
			t.Fatal(err)
		}
		s.started = nil
		s.minute(t)
		if len(s.started) != 6 {
			t.Errorf("%d refreshes once it is released", len(s.started))
		}
	})
}

// Somebody who holds a provider in the midst of a run ends the run there.
func TestAHoldEndsARunThatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index.add("4.0", "acme", 5000)
		s.answer = func(ctx context.Context, k connection.Key) (Report, error) {
			if k.ConnectionID == "4.0_50" {
				if err := s.store.Hold(ctx, "acme", time.Now()); err != nil {
					t.Error(err)
				}
			}
			<-time.After(100 * time.Millisecond)
			return Report{Result: Refreshed}, nil
		}
		s.minute(t)
		if n := len(s.started); n > 1000 {
			t.Errorf("%d refreshes", n)
		}
	})
}

// blind cannot read a breaker.
type blind struct{ Providers }

func (blind) GetBreaker(context.Context, string) (connection.Breaker, error) {
	return connection.Breaker{}, errors.New("throttled")
}

// A provider that may be held is not asked either: the next run is a minute
// away.
func TestAProviderWhoseBreakerCannotBeReadWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index.add("4.0", "acme", 3)
		s.Providers = blind{s.store}
		if got := s.minute(t); got.Remaining != 3 || len(s.started) != 0 {
			t.Errorf("%+v after %d refreshes", got, len(s.started))
		}
		if !strings.Contains(s.log.String(), "refreshes failed on our side") {
			t.Errorf("the log does not say why: %s", &s.log)
		}
	})
}
