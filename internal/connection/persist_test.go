package connection

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

var errDown = errors.New("the store is down")

func half() float64 { return 0.5 }

// A downStore fails until a moment.
type downStore struct {
	until  time.Time
	writes int
}

func (s *downStore) write(ctx context.Context) error {
	s.writes++
	if err := ctx.Err(); err != nil {
		return err
	}
	if time.Now().Before(s.until) {
		return errDown
	}
	return nil
}

func TestPersistWritesOnceWhereThatSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, s := time.Now(), &downStore{}
		if err := Persist(t.Context(), start.Add(time.Minute), half, s.write); err != nil || s.writes != 1 || !time.Now().Equal(start) {
			t.Errorf("err %v after %d writes and %v", err, s.writes, time.Since(start))
		}
	})
}

func TestPersistTriesUntilTheStoreIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &downStore{until: start.Add(15 * time.Second)}
		if err := Persist(t.Context(), start.Add(20*time.Second), half, s.write); err != nil {
			t.Errorf("err = %v", err)
		}
		// Pauses of 37, 75, 150, 300, 600, 1200 ms, then 1.5 s.
		if took := time.Since(start); took < 15*time.Second || took > 17*time.Second || s.writes > 18 {
			t.Errorf("%d writes in %v", s.writes, took)
		}
	})
}

func TestPersistEndsAtTheDeadlineWithTheStoresError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := &downStore{until: start.Add(time.Hour)}
		err := Persist(t.Context(), start.Add(10*time.Second), half, s.write)
		if !errors.Is(err, errDown) || time.Since(start) != 10*time.Second {
			t.Errorf("err = %v after %v", err, time.Since(start))
		}
	})
}

// A write that hangs is cut off by the deadline, since nothing else would.
func TestPersistGivesAWriteTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := Persist(t.Context(), start.Add(10*time.Second), half, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("err = %v after %v", err, time.Since(start))
		}
	})
}

// The caller who leaves may not take the tokens along.
func TestPersistOutlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s := &downStore{until: time.Now().Add(5 * time.Second)}
		if err := Persist(ctx, time.Now().Add(10*time.Second), half, s.write); err != nil {
			t.Errorf("err = %v", err)
		}
	})
}

func TestPersistTakesAConflictForAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writes := 0
		err := Persist(t.Context(), time.Now().Add(time.Minute), half, func(context.Context) error {
			writes++
			return fmt.Errorf("commit: %w", ErrConflict)
		})
		if !errors.Is(err, ErrConflict) || writes != 1 {
			t.Errorf("err %v after %d writes", err, writes)
		}
	})
}

// Writers that fail together try again apart.
func TestPersistSpreadsItsTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := func(random float64) time.Duration {
			start, s := time.Now(), &downStore{until: time.Now().Add(time.Nanosecond)}
			if err := Persist(t.Context(), start.Add(time.Minute), func() float64 { return random }, s.write); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}
		if low, high := took(0), took(0.999); low != 25*time.Millisecond || high <= 49*time.Millisecond || high >= 50*time.Millisecond {
			t.Errorf("first pauses of %v and %v", low, high)
		}
	})
}
