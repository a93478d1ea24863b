package refresh

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// A provider that stands so many token requests a second gets them from all
// workers together: a worker reserves a slice of the provider's time and sends
// evenly spaced in it. One write is for many requests.
const (
	lotMost  = 50              // requests in a slice
	lotTime  = 5 * time.Second // that a slice takes, at most, where it is for more than one
	lateness = 10 * time.Millisecond
	headroom = 0.97 // of the rate is used, so that who comes late does not exceed it
)

// A lot is a reserved slice of a provider's time. The zero lot is used up.
type lot struct {
	left      int // requests
	next, end time.Time
	interval  time.Duration
	asking    bool // one worker is reserving the next
}

// ready reports whether a request may be sent at now.
func (t *lot) ready(now time.Time) bool {
	return t.left > 0 && !now.Before(t.next) && now.Before(t.end)
}

// use takes a request out of t. Whoever comes late does not catch up by more
// than a moment, and what does not fit into the slice is lost.
func (t *lot) use(now time.Time) {
	if t.left == 0 {
		return
	}
	if earliest := now.Add(-lateness); t.next.Before(earliest) {
		t.next = earliest
	}
	t.next = t.next.Add(t.interval)
	if t.left--; !t.next.Before(t.end) {
		t.left = 0
	}
}

// pace waits for the next request that the provider's rate allows, and reserves
// a lot where there is none. None to be had in this run: the lane ends. l.mu is
// held, but for the write.
func (l *lane) pace(ctx context.Context, now time.Time) {
	switch {
	case l.lot.asking:
		l.change.Wait()
		return
	case l.lot.left > 0 && now.Before(l.lot.end):
		l.waitUntil(l.lot.next, now)
		return
	}
	last := l.lastStart(ctx)
	n := lotSize(l.rate, len(l.queue), last.Sub(now))
	d := time.Duration(math.Ceil(float64(n)/(headroom*l.rate)*1000)) * time.Millisecond
	l.lot = lot{asking: true}
	l.mu.Unlock()
	start, err := l.Providers.ReserveTime(ctx, l.provider, d, now, last)
	l.mu.Lock()
	l.lot.asking = false
	switch {
	case errors.Is(err, connection.ErrConflict):
		l.close(true)
	case err != nil:
		l.ours = err
		l.close(true)
	default:
		l.lot = lot{left: n, next: start, end: start.Add(d), interval: d / time.Duration(n)}
	}
	l.change.Broadcast()
}

// lotSize returns for how many requests to reserve time at once, where so many
// wait and so much time is left: at least one.
func lotSize(rate float64, waiting int, left time.Duration) int {
	return max(min(lotMost, waiting, int(rate*min(left, lotTime).Seconds())), 1)
}
