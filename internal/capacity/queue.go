package capacity

import "time"

// A conn is one connection. Times are whole seconds since the start, as stores
// keep them.
type conn struct {
	next    int32 // in its bucket of the queue, one more than the index; 0: the last
	due     int32
	wanted  int32 // when it was due before failures moved that
	expires int32 // the access token
	lease   int32 // end of a lease that nobody ended; 0: none
	failed  int32 // when that was last
	count   uint8 // failures in a row
	strikes uint8
	marked  bool // reauthorization_required
}

// A queue is a shard of the due index, for one provider: a bucket for each
// second. What is due after the end of the run is in no bucket.
type queue struct {
	first []int32 // by second: the first in the bucket, one more than the index
	low   int32   // no bucket before is filled
	seen  int32   // all before is counted in ready
	ready int     // how many were due before seen
}

// add puts c, the connection of index i, where it is due.
func (q *queue) add(conns []conn, i int32) {
	c := &conns[i]
	at := max(c.due, 0)
	if int(at) >= len(q.first) {
		return
	}
	c.next, q.first[at] = q.first[at], i+1
	q.low = min(q.low, at)
	if at < q.seen {
		q.ready++
	}
}

// advance counts what is due at now, and returns how many that are.
func (q *queue) advance(conns []conn, now time.Duration) int {
	for end := seconds(now) + 1; q.seen < end && int(q.seen) < len(q.first); q.seen++ {
		for i := q.first[q.seen]; i != 0; i = conns[i-1].next {
			q.ready++
		}
	}
	return q.ready
}

// size returns how many connections wait in q.
func (q *queue) size(conns []conn) int {
	n := 0
	for _, first := range q.first {
		for i := first; i != 0; i = conns[i-1].next {
			n++
		}
	}
	return n
}

// oldest returns the second of the first bucket that is filled, if that is not
// after now.
func (q *queue) oldest(now int32) (int32, bool) {
	for q.low < q.seen && q.first[q.low] == 0 {
		q.low++
	}
	return q.low, q.low < q.seen && q.low <= now
}

// pop takes out one connection that was due at now and for the longest time.
func (q *queue) pop(conns []conn, now int32) (int32, bool) {
	at, ok := q.oldest(now)
	if !ok {
		return 0, false
	}
	i := q.first[at] - 1
	q.first[at] = conns[i].next
	q.ready--
	return i, true
}

// seconds returns d in whole seconds.
func seconds(d time.Duration) int32 {
	return int32(d / time.Second) //nolint:gosec // A run of 68 years has other troubles.
}

// An agenda is a heap of events, the earliest first; of two at the same time
// the one that was added first.
type agenda struct {
	events []event
	added  uint64
}

// An event is what happens at a time.
type event struct {
	at    time.Duration
	order uint64
	do    func() // or, if it is nil, the end of the refresh that follows
	lane  *lane  //
	conn  int32  //
	began time.Duration
	err   error // its outcome
}

func (a event) before(b event) bool { return a.at < b.at || a.at == b.at && a.order < b.order }

func (a *agenda) push(e event) {
	e.order = a.added
	a.added++
	a.events = append(a.events, e)
	for i := len(a.events) - 1; i > 0; {
		parent := (i - 1) / 2
		if !a.events[i].before(a.events[parent]) {
			return
		}
		a.events[i], a.events[parent] = a.events[parent], a.events[i]
		i = parent
	}
}

func (a *agenda) pop() event {
	top := a.events[0]
	last := len(a.events) - 1
	a.events[0] = a.events[last]
	a.events[last] = event{}
	a.events = a.events[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child >= last {
			return top
		}
		if child+1 < last && a.events[child+1].before(a.events[child]) {
			child++
		}
		if !a.events[child].before(a.events[i]) {
			return top
		}
		a.events[i], a.events[child] = a.events[child], a.events[i]
		i = child
	}
}
