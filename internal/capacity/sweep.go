package capacity

import (
	"time"

	"github.com/evergrant/evergrant/internal/oauth"
)

// What internal/refresh and the stores keep to themselves.
const (
	reserve     = 5 * time.Second
	attempt     = oauth.RefreshTimeout + reserve // that must be left for a refresh to begin
	settleTime  = 30 * time.Second               // from the end of an invocation to that of its leases
	strikeAfter = 3 * time.Minute
	duePage     = 500 // rows in a page of the due index
	hintBatch   = 10
)

// A run is one invocation that holds a sweep lease: that of all shards, or a
// worker with that of one.
type run struct {
	began, deadline time.Duration
	read            time.Duration // the reader is through
	busy            time.Duration // until then is its CPU
	cpu             time.Duration // of one refresh
	concurrency     int
	open            int // lanes that are not over, and one for the reader
	done            func()
}

// tick is the schedule: one sweep each minute.
func (s *simulation) tick() {
	if s.now+time.Minute < s.Length {
		s.at(s.now+time.Minute, s.tick)
	}
	s.usage[Schedule]++
	s.usage[Invocations]++
	s.usage[StateWrites]++ // the sweep lease: a refused write is billed, too
	if s.sweeping {
		s.bill(s.usage, 2*s.Worker.Store)
		return
	}
	s.sweeping = true
	var inline, hinted []int
	due := 0
	for shard := range s.shards() {
		n := s.due(shard)
		if due += n; s.FanOut && n > duePage {
			hinted = append(hinted, shard)
			s.sharded[Reads] += readUnits(duePage)
		} else {
			inline = append(inline, shard)
		}
	}
	s.backlog = max(s.backlog, due)
	first := time.Duration(tableLooks+s.Shards) * s.Worker.Store // which table it is, and the first page of each
	if len(hinted) > 0 {
		batches := float64(len(hinted)) / hintBatch
		first += time.Duration(batches/s.part()) * s.Worker.Store
		s.sharded[Queue] += batches + 2*float64(len(hinted)) // sent in batches; received and deleted one by one, at worst
		s.at(s.now+first+s.Worker.Hint, func() { s.waiting = append(s.waiting, hinted...); s.dispatch() })
	}
	began := s.now
	s.begin(inline, first, s.part(), func() {
		s.sweeping = false
		s.usage[StateWrites]++
		s.bill(s.usage, s.now-began)
	})
}

// dispatch gives the hints that wait to workers that are free. One for a shard
// that has its worker ends at once.
func (s *simulation) dispatch() {
	for len(s.waiting) > 0 && s.workers < max(1, int(float64(s.Worker.Workers)*s.part())) {
		shard := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.sharded[Invocations]++
		s.sharded[StateWrites]++ // the lease of the shard
		if s.working[shard] {
			s.bill(s.sharded, 2*s.Worker.Store)
			continue
		}
		s.workers++
		s.working[shard] = true
		s.due(shard)
		began := s.now
		s.begin([]int{shard}, s.Worker.Store, 1, func() {
			s.workers--
			s.working[shard] = false
			s.sharded[StateWrites]++
			s.sharded[Log] += logLine
			s.bill(s.sharded, s.now-began)
			s.dispatch()
		})
	}
}

// bill adds an invocation of a duration.
func (s *simulation) bill(u Usage, d time.Duration) {
	u[Compute] += d.Seconds() * s.Worker.Memory / 1024
	u[Log] += platformLines
}

// due returns how many connections of a shard are due now.
func (s *simulation) due(shard int) int {
	n := 0
	for _, t := range s.tenants {
		n += t.queues[shard].advance(t.conns, s.now)
	}
	return n
}

// begin starts a run over shards whose first pages take so long to read. It
// has the given part of a worker; done is called at its end.
func (s *simulation) begin(shards []int, first time.Duration, part float64, done func()) {
	r := &run{
		began: s.now, deadline: s.now + s.Worker.Timeout, busy: s.now, open: 1, done: done,
		cpu: time.Duration(float64(s.Worker.CPU) / part), concurrency: max(1, int(float64(s.Worker.Concurrency)*part)),
	}
	ready := s.now + s.Worker.Store + first // the lease, and the first pages
	rows := 0
	lanes := make([]*lane, 0, len(s.tenants))
	for _, t := range s.tenants {
		l := &lane{run: r, tenant: t}
		for _, shard := range shards {
			if n := t.queues[shard].ready; n > 0 {
				l.shards = append(l.shards, shard)
				l.due += n
			}
		}
		if rows += l.due; l.due > 0 {
			lanes = append(lanes, l)
		}
	}
	for _, shard := range shards {
		n := 0
		for _, t := range s.tenants {
			n += t.queues[shard].ready
		}
		s.sharded[Reads] += readUnits(n)
	}
	r.read = ready + time.Duration(rows/duePage)*s.Worker.Store
	r.open += len(lanes)
	for _, l := range lanes {
		s.at(ready+s.Worker.Store, func() { s.start(l) })
	}
	if rows > 0 {
		s.usage[Log] += logLine
	}
	s.at(r.read, func() { s.leave(r) })
}

// leave is the end of a lane, or of the reader; r ends with the last one.
func (s *simulation) leave(r *run) {
	if r.open--; r.open == 0 {
		s.at(s.now+s.Worker.Store, r.done)
	}
}

// readUnits returns what it takes to read n rows of the index, in pages.
func readUnits(n int) float64 {
	var units float64
	for ; ; n -= duePage {
		kilobytes4 := (min(n, duePage)*rowBytes + 4095) / 4096
		units += float64(max(kilobytes4, 1)) / 2 // eventually consistent
		if n <= duePage {
			return units
		}
	}
}
