package refresh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

const (
	laneBuffer = 1000 // keys that wait in a lane, and one page more
	slowStart  = 8    // refreshes at the same time, before the provider has answered any
	countEvery = 500  // answers between two notes in the store
)

// A lane refreshes the connections of one provider. It has workers of its own,
// so that a provider that hangs keeps no other one waiting.
//
// At most slowStart refreshes are under way at first, and one more for each
// answer, up to the limit: an outage meets few connections. While the
// provider's breaker is open, none begins.
//
// The reader does not wait for a lane. Where a page finds the buffer full, the
// lane notes the place and reads on from there by itself, taking its own keys
// only; the reader's pages of that shard are then none of its business.
type lane struct {
	*pass
	provider string

	mu      sync.Mutex
	change  sync.Cond // of anything below
	queue   []connection.Key
	own     map[string]bool // shards that the lane reads by itself
	behind  []place         // where it reads on
	reading bool            // one worker is at it
	more    bool            // the reader may bring more
	closed  bool            // no refresh begins any more
	late    bool            // for want of time, not for want of work
	alarm   *time.Timer     // tells of a change that time makes; nil: none is set

	limit, permits, hired, working int // of refreshes at the same time; of workers

	breaker, stored connection.Breaker // as it is, as the store has it
	heard           time.Time          // the latest beginning of a refresh that the provider answered
	rate            float64            // token requests a second; 0: no limit
	lot             lot

	due, refreshed, failedNow, skipped int
	answers                            int   // not yet counted in the store
	ours                               error // the first failure that was ours
}

func newLane(p *pass, provider string) *lane {
	l := &lane{pass: p, provider: provider, own: map[string]bool{}, more: true}
	l.change.L = &l.mu
	return l
}

// start finds out how the provider is, and begins.
func (l *lane) start(ctx context.Context) { l.workers.Go(func() { l.open(ctx) }) }

func (l *lane) open(ctx context.Context) {
	breaker, err := l.Providers.GetBreaker(ctx, l.provider)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.breaker, l.stored = breaker, breaker
	if err != nil { // somebody may hold the provider, and the next run is a minute away
		l.ours = fmt.Errorf("breaker of %s: %w", l.provider, err)
		l.close(true)
		return
	}
	if !breaker.HeldSince.IsZero() {
		l.Log.WarnContext(ctx, "provider is held: release it, and its connections are refreshed again", "provider", l.provider,
			"since", breaker.HeldSince.UTC().Format(time.RFC3339))
	}
	if breaker.Open(l.Now()) && !l.sitsOut(ctx, breaker) {
		l.close(false)
		return
	}
	l.mu.Unlock()
	client, err := l.Clients.Client(ctx, l.provider)
	l.mu.Lock()
	if errors.Is(err, oauth.ErrNotConfigured) {
		l.conclude(ctx, connection.Misconfigured, 0, err)
	} else if err != nil {
		l.ours = err
		l.close(true)
		return
	}
	l.rate, l.limit = client.RefreshRate, l.Concurrency
	if client.RefreshConcurrency > 0 {
		l.limit = min(l.limit, max(int(float64(client.RefreshConcurrency)*l.share), 1))
	}
	l.permits = min(slowStart, l.limit)
	if !breaker.OpenUntil.IsZero() {
		l.permits = 1
	}
	l.hire(ctx)
}

// hire starts workers as long as there are permits for more. l.mu is held.
func (l *lane) hire(ctx context.Context) {
	for ; l.hired < l.permits; l.hired++ {
		l.workers.Go(func() {
			for k, ok := l.take(ctx); ok; k, ok = l.take(ctx) {
				began := l.Now()
				report, err := l.Renew(ctx, k, 0)
				l.done(ctx, began, report, err)
			}
		})
	}
}

// offer gives the lane its keys of the page at a place.
func (l *lane) offer(at place, keys []connection.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due += len(keys)
	switch {
	case l.closed || l.own[at.shard]:
	case len(l.queue) >= laneBuffer:
		l.own[at.shard] = true
		l.behind = append(l.behind, at)
	default:
		l.queue = append(l.queue, keys...)
		l.change.Broadcast()
	}
}

// end tells the lane that the reader is through.
func (l *lane) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.more = false
	l.change.Broadcast()
}

// take waits for a connection that may be refreshed now. false: there is none
// any more, or no time.
func (l *lane) take(ctx context.Context) (connection.Key, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed {
		now := l.Now()
		switch {
		case !l.timeFor(ctx, attempt):
			l.close(true)
		case l.breaker.Open(now):
			l.pause(ctx, now)
		case l.working >= l.permits:
			l.change.Wait()
		case len(l.queue) == 0:
			l.fill(ctx)
		case l.rate > 0 && !l.lot.ready(now):
			l.pace(ctx, now)
		default:
			k := l.queue[0]
			l.queue = l.queue[1:]
			l.working++
			l.lot.use(now)
			return k, true
		}
	}
	return connection.Key{}, false
}

// fill brings keys into the empty queue: it reads on where the lane fell behind,
// waits for the reader, or ends the lane. l.mu is held, but for the read.
func (l *lane) fill(ctx context.Context) {
	switch {
	case l.reading:
		l.change.Wait()
	case len(l.behind) > 0:
		at := l.behind[0]
		l.behind, l.reading = l.behind[1:], true
		l.mu.Unlock()
		keys, next, ok := l.page(ctx, at)
		l.mu.Lock()
		l.reading = false
		for _, k := range keys {
			if k.Provider == l.provider {
				l.queue = append(l.queue, k)
			}
		}
		if next != "" {
			l.behind = append(l.behind, place{at.shard, next})
		}
		l.late = l.late || !ok
		l.change.Broadcast()
	case l.more:
		l.change.Wait()
	default:
		l.close(l.late)
	}
}

// pause waits for the breaker where a rate limit ends in this run; where not,
// the lane ends. l.mu is held.
func (l *lane) pause(ctx context.Context, now time.Time) {
	if l.sitsOut(ctx, l.breaker) {
		l.waitUntil(l.breaker.OpenUntil, now)
		return
	}
	l.close(false)
}

// sitsOut reports whether this run waits until b closes. It does so for rate
// limits alone, which are renewed each second at some providers.
func (l *lane) sitsOut(ctx context.Context, b connection.Breaker) bool {
	return b.HeldSince.IsZero() && b.Reason == connection.RateLimit && b.OpenUntil.Before(l.lastStart(ctx))
}

// close lets no further refresh begin. l.mu is held.
func (l *lane) close(late bool) {
	l.closed, l.late, l.queue = true, late, nil
	l.change.Broadcast()
}

// waitUntil waits for a change, or for t, which lies after now. l.mu is held.
func (l *lane) waitUntil(t, now time.Time) {
	if l.alarm == nil {
		l.alarm = time.AfterFunc(t.Sub(now), func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.alarm = nil
			l.change.Broadcast()
		})
	}
	l.change.Wait()
}

// done counts the outcome of a refresh that began at a time, and draws the
// conclusions.
func (l *lane) done(ctx context.Context, began time.Time, report Report, err error) {
	s, pause := signal(report, err)
	l.metrics.Refresh(l.provider, report.Attempt)
	l.mu.Lock()
	l.working--
	switch {
	case errors.Is(err, ErrNoTime):
		l.close(true)
	case report.Result == Refreshed:
		l.refreshed++
	case report.Result == Failed:
		l.failedNow++
	default:
		l.skipped++
	}
	if s == connection.NoSignal && l.ours == nil && !errors.Is(err, ErrNoTime) && !errors.Is(err, errUnusable) {
		l.ours = err
	}
	if answered(s, err) {
		l.answers++
	}
	switch {
	case s == connection.NoAnswer && began.Before(l.heard):
		// One that hangs ends long after others that began later were answered:
		// it tells nothing of how the provider is now.
	case s != connection.NoSignal:
		if s != connection.NoAnswer && began.After(l.heard) {
			l.heard = began
		}
		l.conclude(ctx, s, pause, err)
	}
	count := l.answers >= countEvery
	l.change.Broadcast()
	l.mu.Unlock()
	if count {
		l.count(ctx)
	}
}

// conclude lets a signal open or close the breaker, and an answer widen the
// lane. l.mu is held, but for a write.
func (l *lane) conclude(ctx context.Context, s connection.Signal, pause time.Duration, cause error) {
	now, before := l.Now(), l.breaker
	l.breaker = before.After(s, pause, now, l.Random())
	switch {
	case l.breaker.Open(now):
		l.permits = 1 // for when it is half-open
	case s == connection.Answered && l.permits < l.limit && !l.closed:
		l.permits++
		l.hire(ctx)
	}
	if l.save(ctx) {
		b := l.breaker
		l.mu.Unlock()
		l.setBreaker(ctx, b, cause)
		l.mu.Lock()
	}
}

// save reports whether the breaker has to be written: it opened, for longer
// than this run waits, or it closed. l.mu is held.
func (l *lane) save(ctx context.Context) bool {
	b, s := l.breaker, l.stored
	if (b.OpenUntil.Equal(s.OpenUntil) && b.Opened == s.Opened) || l.sitsOut(ctx, b) {
		return false
	}
	l.stored = b
	return true
}

// setBreaker writes the breaker, so that other workers and later runs spare the
// provider too, and says so once.
func (l *lane) setBreaker(ctx context.Context, b connection.Breaker, cause error) {
	until := b.OpenUntil.UTC().Format(time.RFC3339)
	switch b.Reason {
	case connection.Misconfiguration:
		l.Log.ErrorContext(ctx, "provider misconfigured", "provider", l.provider, "until", until, "err", cause)
	case connection.Outage:
		l.Log.WarnContext(ctx, "provider does not answer", "provider", l.provider, "until", until, "in_a_row", b.Opened, "err", cause)
	case connection.RateLimit:
		l.Log.WarnContext(ctx, "provider limits requests", "provider", l.provider, "until", until)
	default:
		l.Log.InfoContext(ctx, "provider answers again", "provider", l.provider)
	}
	if err := l.Providers.SetBreaker(ctx, l.provider, b); err != nil {
		l.Log.WarnContext(ctx, "breaker not written", "provider", l.provider, "err", err)
	}
}

// count notes in the store how many requests the provider has answered, and
// learns whether another worker has found it failing.
func (l *lane) count(ctx context.Context) {
	l.mu.Lock()
	n := l.answers
	l.answers = 0
	l.mu.Unlock()
	if n == 0 {
		return
	}
	b, err := l.Providers.CountRefreshes(ctx, l.provider, connection.Outcomes{Refreshes: n}, l.Now())
	if err != nil {
		l.Log.WarnContext(ctx, "refreshes not counted", "provider", l.provider, "refreshes", n, "err", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.Now(); b.Open(now) && !l.breaker.Open(now) {
		b.InARow = 0
		l.breaker, l.stored, l.permits = b, b, 1
		l.change.Broadcast()
	}
}

// finish writes what is left to be written when all workers are through.
func (l *lane) finish(ctx context.Context) {
	l.mu.Lock()
	if l.alarm != nil {
		l.alarm.Stop()
	}
	l.mu.Unlock()
	l.count(ctx)
	if l.ours != nil {
		l.Log.WarnContext(ctx, "refreshes failed on our side", "provider", l.provider, "err", l.ours)
	}
}

// addTo adds the lane's counts to s. What a lane with time left did not meet
// was not there any more, or its provider is spared.
func (l *lane) addTo(s *Summary) {
	met := l.refreshed + l.failedNow + l.skipped
	rest := max(l.due-met, 0)
	s.Due += met + rest
	s.Refreshed += l.refreshed
	s.Failed += l.failedNow
	s.Skipped += l.skipped
	if l.late {
		s.Remaining += rest
	} else {
		s.Skipped += rest
	}
}
