package refresh

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/metrics"
)

// A pass refreshes what is due in some shards. One reader streams the pages of
// the shards in turn, oldest first, and hands each key to the lane of its
// provider. Memory stays flat however much is due: see lane.
type pass struct {
	*Handler
	share float64   // of a provider's concurrency that is this pass's; 0: not known yet
	now   time.Time // what is due then is due
	queue Queue     // nil: the pass does all itself

	lanes   map[string]*lane // the reader's alone
	workers sync.WaitGroup
	hinted  int // connections that are left to workers, at least
	metrics *metrics.Batch
	sum     Summary // once all is over

	mu     sync.Mutex
	failed map[string]error // by shard: what could not be read
	oldest time.Duration    // for how long something has been due, of what was read
}

// run refreshes what is due in shards as long as there is time, and leaves
// shards that hold more than a page to workers, where there is a queue. What it
// returns is over.
func (h *Handler) run(ctx context.Context, shards []string, queue Queue) *pass {
	p := &pass{
		Handler: h, now: h.Now(), queue: queue, metrics: new(metrics.Batch),
		lanes: map[string]*lane{}, failed: map[string]error{},
	}
	p.read(ctx, shards)
	for _, l := range p.lanes {
		l.end()
	}
	p.workers.Wait()
	p.sum = Summary{Due: p.hinted, Remaining: p.hinted}
	for l := range maps.Values(p.lanes) {
		l.finish(ctx)
		l.addTo(&p.sum)
		l.measure()
	}
	p.metrics.Add(metrics.Remaining, p.sum.Remaining)
	return p
}

// read hands the due connections of shards to the lanes.
func (p *pass) read(ctx context.Context, shards []string) {
	for places := p.readFirst(ctx, shards); len(places) > 0; {
		places = p.readPages(ctx, places)
	}
}

// A place is where to read on in the due index.
type place struct{ shard, cursor string }

// readFirst reads the first page of each shard and returns where to read on:
// nowhere, where the rest is left to a worker. Then the lanes begin.
func (p *pass) readFirst(ctx context.Context, shards []string) []place {
	var more, large []place
	sizes := map[string]int{}
	for _, shard := range shards {
		keys, next, ok := p.page(ctx, place{shard: shard})
		switch {
		case !ok:
		case next != "" && p.queue != nil:
			large, sizes[shard] = append(large, place{shard: shard}), len(keys)
		default:
			p.sort(ctx, place{shard: shard}, keys)
			if next != "" {
				more = append(more, place{shard, next})
			}
		}
	}
	for _, at := range p.hint(ctx, large) {
		more = append(more, at) // nobody else will
		delete(sizes, at.shard)
	}
	for n := range maps.Values(sizes) {
		p.hinted += n
	}
	p.share = 1
	if p.Queue != nil { // workers are at the other shards
		p.share = min(float64(len(shards)-len(sizes))/float64(max(p.Shards, 1)), 1)
	}
	for l := range maps.Values(p.lanes) {
		l.start(ctx)
	}
	return more
}

// readPages reads one page at each place and returns where to read on.
func (p *pass) readPages(ctx context.Context, places []place) []place {
	var more []place
	for _, at := range places {
		if !p.timeFor(ctx, reserve) {
			return nil
		}
		keys, next, ok := p.page(ctx, at)
		if !ok {
			continue
		}
		p.sort(ctx, at, keys)
		if next != "" {
			more = append(more, place{at.shard, next})
		}
	}
	return more
}

// page reads one page. What fails is kept for the answer, and costs no
// other shard anything.
func (p *pass) page(ctx context.Context, at place) (keys []connection.Key, next string, ok bool) {
	found, next, err := p.Index.Due(ctx, at.shard, p.now, at.cursor)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed[at.shard] = err
		return nil, "", false
	}
	for _, k := range found {
		keys = append(keys, k.Key)
		p.oldest = max(p.oldest, p.now.Sub(k.At))
	}
	return keys, next, true
}

// sort hands the keys of a page to the lanes of their providers.
func (p *pass) sort(ctx context.Context, at place, keys []connection.Key) {
	byProvider := map[string][]connection.Key{}
	for _, k := range keys {
		byProvider[k.Provider] = append(byProvider[k.Provider], k)
	}
	for provider, keys := range byProvider {
		if p.lanes[provider] == nil {
			p.lanes[provider] = newLane(p, provider)
			if p.share > 0 {
				p.lanes[provider].start(ctx)
			}
		}
		p.lanes[provider].offer(at, keys)
	}
}
