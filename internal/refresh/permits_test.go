package refresh

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

// Three workers together send what the provider stands, evenly, and pay one
// write for many requests.
func TestWorkersShareARate(t *testing.T) {
	tests := []struct {
		name          string
		rate          float64
		perWorker     int
		writes, spare int // writes at most; requests of the rate's that may go unused
	}{
		{"ten a second", 10, 60, 12, 5},
		{"a hundred a second", 100, 600, 60, 60},
		{"one in four seconds", 0.25, 2, 6, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				for i := range 3 {
					s.index.add(connection.ShardKey(4, i), "acme", tt.perWorker)
				}
				s.clients["acme"] = oauth.Client{RefreshRate: tt.rate}
				s.answer = takes(300 * time.Millisecond)
				s.store.OnWrite = func(op string, _ any) (bool, error) {
					if op == "ReserveTime" {
						<-time.After(5 * time.Millisecond) // so that workers ask at once
					}
					return true, nil
				}
				begin := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var workers sync.WaitGroup
				for i := range 3 {
					workers.Go(func() { s.run(ctx, []string{connection.ShardKey(4, i)}, nil) })
				}
				workers.Wait()
				if len(s.started) != 3*tt.perWorker {
					t.Errorf("%d requests, want %d", len(s.started), 3*tt.perWorker)
				}
				if n := s.store.Calls()["ReserveTime"]; n > tt.writes {
					t.Errorf("%d writes for %d requests, want at most %d", n, len(s.started), tt.writes)
				}
				checkRate(t, s.started, tt.rate)
				ideal := time.Duration(float64(3*tt.perWorker+tt.spare) / (headroom * tt.rate) * float64(time.Second))
				if took := time.Since(begin); took > ideal+time.Second {
					t.Errorf("it took %v, want about %v", took, ideal)
				}
			})
		})
	}
}

// checkRate fails t where more requests began in some window than rate allows.
func checkRate(t *testing.T, calls []call, rate float64) {
	t.Helper()
	window := max(time.Second, time.Duration(float64(time.Second)/rate))
	for i, c := range calls {
		n := 0
		for _, d := range calls[i:] {
			if d.at.Sub(c.at) < window {
				n++
			}
		}
		if most := max(rate, 1); float64(n) > most {
			t.Fatalf("%d requests within %v of %v, want at most %v", n, window, c.at, most)
		}
	}
}

// What the rate does not allow in this run stays in the index.
func TestWhatARateLeavesRemains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index.add("4.0", "acme", 1000)
		s.index.add("4.1", "beta", 1000)
		s.clients["acme"] = oauth.Client{RefreshRate: 10}
		if got := s.minute(t); got.Refreshed < 1240 || got.Refreshed > 1251 || got.Failed+got.Skipped != 0 {
			t.Errorf("sweep = %+v, want 25 seconds of ten and all of the other provider", got)
		}
		checkRate(t, s.of("acme"), 10)
		if got := s.minute(t); got.Due != 2000 {
			t.Errorf("sweep = %+v", got)
		}
		checkRate(t, s.of("acme"), 10) // across both
	})
}

// Where another worker has reserved all the time that this run has, it begins
// nothing.
func TestWithoutAPermitNothingBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index.add("4.0", "acme", 10)
		s.clients["acme"] = oauth.Client{RefreshRate: 10}
		if _, err := s.store.ReserveTime(t.Context(), "acme", time.Hour, time.Now(), time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if got := s.minute(t); got != (Summary{Due: 10, Remaining: 10}) {
			t.Errorf("sweep = %+v", got)
		}
	})
}

// Without a rate nothing is reserved.
func TestWithoutARateNothingIsReserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index.add("4.0", "acme", 10)
		s.minute(t)
		if n := s.store.Calls()["ReserveTime"]; n != 0 {
			t.Errorf("%d writes", n)
		}
	})
}

func TestLotSize(t *testing.T) {
	tests := []struct {
		rate    float64
		waiting int
		left    time.Duration
		want    int
	}{
		{1000, 1000, time.Minute, 50},
		{10, 1000, time.Minute, 50},
		{2, 1000, time.Minute, 10},  // five seconds of it
		{10, 3, time.Minute, 3},     // no more than wait
		{10, 1000, time.Second, 10}, // no more than can be sent
		{0.1, 1000, time.Minute, 1}, // one takes ten seconds
		{10, 1000, time.Millisecond, 1},
	}
	for _, tt := range tests {
		if got := lotSize(tt.rate, tt.waiting, tt.left); got != tt.want {
			t.Errorf("lotSize(%v, %d, %v) = %d, want %d", tt.rate, tt.waiting, tt.left, got, tt.want)
		}
	}
}

func TestWhoComesLateDoesNotCatchUp(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	l := lot{left: 50, next: noon, end: noon.Add(5 * time.Second), interval: 100 * time.Millisecond}
	if l.ready(noon.Add(-time.Millisecond)) || !l.ready(noon) {
		t.Error("it is not ready exactly from its beginning")
	}
	l.use(noon.Add(2 * time.Second))
	if l.ready(noon.Add(2*time.Second+50*time.Millisecond)) || !l.ready(noon.Add(2*time.Second+100*time.Millisecond)) {
		t.Errorf("after a late request, the next one is due at %v", l.next)
	}
	if l.ready(noon.Add(5 * time.Second)) {
		t.Error("it is ready beyond its end")
	}
	l.use(noon.Add(4990 * time.Millisecond))
	if l.left != 0 {
		t.Errorf("%d are left where the next would come after the end", l.left)
	}
}
