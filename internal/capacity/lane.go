package capacity

import (
	"math"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// What internal/refresh keeps to itself about lanes.
const (
	slowStart  = 8
	laneBuffer = 1000
	countEvery = 500
	lotMost    = 50
	lotTime    = 5 * time.Second
	lateness   = 10 * time.Millisecond
	headroom   = 0.97
)

// A lane is what a run does for one provider.
type lane struct {
	*run
	*tenant
	shards  []int // that may hold something due, in turn
	turn    int
	due     int // at the beginning
	taken   int
	flying  int // refreshes under way
	permits int
	answers int // not yet counted in the store
	over    bool
	alarm   bool // it will be pumped at a later time

	breaker, stored connection.Breaker // as it is, as the store has it
	heard           time.Duration      // the latest beginning of a refresh that the provider answered
	lot             struct {
		left                int
		next, end, interval time.Duration
	}
}

// start finds out how the provider is, and begins.
func (s *simulation) start(l *lane) {
	s.usage[Reads]++ // the breaker
	l.breaker = l.tenant.breaker
	l.stored = l.breaker
	l.permits = min(slowStart, l.concurrency)
	if !l.breaker.OpenUntil.IsZero() {
		l.permits = 1
	}
	s.pump(l)
}

// pump begins as many refreshes as may be under way, and ends the lane when
// there will be none any more.
func (s *simulation) pump(l *lane) {
	closed := false
	for !closed && l.flying < l.permits {
		wake, ok := s.clear(l)
		switch {
		case !ok:
			closed = true
		case wake > s.now:
			if !l.alarm {
				l.alarm = true
				s.at(wake, func() { l.alarm = false; s.pump(l) })
			}
			return
		default:
			var i int32
			if i, ok = l.next(); !ok {
				closed = true
				break
			}
			l.use(s.now)
			s.refresh(l, i)
		}
	}
	if l.flying == 0 && !l.over {
		l.over = true
		s.count(l)
		// What did not fit into the buffer was read a second time.
		s.sharded[Reads] += float64(max(l.taken-laneBuffer, 0)) * rowBytes / 4096 / 2
		s.leave(l.run)
	}
}

// clear returns when the lane may begin its next refresh; false: not any more.
func (s *simulation) clear(l *lane) (time.Duration, bool) {
	last := l.deadline - attempt
	switch until := l.breaker.OpenUntil.Sub(start); {
	case s.now >= last:
		return 0, false
	case l.breaker.Open(s.clock()) && s.sitsOut(l, l.breaker):
		return until, true
	case l.breaker.Open(s.clock()):
		return 0, false
	case l.Rate == 0:
		return s.now, true
	case l.lot.left > 0 && s.now < l.lot.end:
		return l.lot.next, true
	}
	return s.reserve(l, last)
}

// clock returns the time as the product's rules want it.
func (s *simulation) clock() time.Time { return start.Add(s.now) }

// sitsOut reports whether the run waits until b closes.
func (s *simulation) sitsOut(l *lane, b connection.Breaker) bool {
	return b.Reason == connection.RateLimit && b.OpenUntil.Before(start.Add(l.deadline-attempt))
}

// reserve takes the next lot of the provider's time, that must begin before last.
func (s *simulation) reserve(l *lane, last time.Duration) (time.Duration, bool) {
	rate := l.Rate * s.part()
	n := max(min(lotMost, l.due-l.taken, int(rate*min(last-s.now, lotTime).Seconds())), 1)
	d := time.Duration(math.Ceil(float64(n)/(headroom*rate)*1000)) * time.Millisecond
	begins := max(s.now, l.free).Truncate(time.Millisecond)
	s.usage[StateWrites]++
	if begins >= last {
		return 0, false
	}
	l.free = begins + d
	l.lot.left, l.lot.next, l.lot.end, l.lot.interval = n, begins, begins+d, d/time.Duration(n)
	return begins, true
}

// use takes a request out of the lot.
func (l *lane) use(now time.Duration) {
	l.taken++
	if l.lot.left == 0 {
		return
	}
	l.lot.next = max(l.lot.next, now-lateness) + l.lot.interval
	if l.lot.left--; l.lot.next >= l.lot.end {
		l.lot.left = 0
	}
}

// next takes what was due at the beginning out of the shards in turn, the
// oldest of each first.
func (l *lane) next() (int32, bool) {
	for len(l.shards) > 0 {
		l.turn %= len(l.shards)
		if i, ok := l.queues[l.shards[l.turn]].pop(l.conns, seconds(l.began)); ok {
			l.turn++
			return i, true
		}
		l.shards = append(l.shards[:l.turn], l.shards[l.turn+1:]...)
	}
	return 0, false
}

// conclude lets a signal open or close the breaker, and an answer widen the
// lane.
func (s *simulation) conclude(l *lane, signal connection.Signal, pause time.Duration) {
	now, before := s.clock(), l.breaker
	l.breaker = before.After(signal, pause, now, s.random.Float64())
	switch {
	case l.breaker.Open(now) && !before.Open(now):
		l.permits = 1
	case signal == connection.Answered && l.permits < l.concurrency:
		l.permits++
	}
	b := l.breaker
	if (b.OpenUntil.Equal(l.stored.OpenUntil) && b.Opened == l.stored.Opened) || s.sitsOut(l, b) {
		return
	}
	l.stored = b
	if b.Open(now) {
		l.Openings++
	}
	s.usage[StateWrites]++
	s.sharded[Log] += logLine
	t := l.tenant
	t.breaker.OpenUntil, t.breaker.Opened, t.breaker.Reason = b.OpenUntil.Truncate(time.Second), b.Opened, b.Reason
}

// count notes in the store how many requests were answered, and learns there
// whether another worker has found the provider failing.
func (s *simulation) count(l *lane) {
	if l.answers == 0 {
		return
	}
	t, now := l.tenant, s.clock()
	s.usage[StateWrites]++
	t.breaker = t.breaker.Count(connection.Outcomes{Refreshes: l.answers}, now)
	l.answers = 0
	if t.breaker.Open(now) && !l.breaker.Open(now) {
		l.breaker, l.stored, l.permits = t.breaker, t.breaker, 1
	}
}
