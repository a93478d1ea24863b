package refresh

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

// BenchmarkSweep refreshes 10 thousand due connections at a provider that
// answers at once. It fails when a refresh costs anything but two base writes, or
// the sweep prints anything but its line and that of its metrics; what a sweep
// costs besides, however much is due, is reported apart.
func BenchmarkSweep(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		b.StopTimer()
		w := newWatch(b)
		f, h := w.fixture, w.h
		f.connectMany(b, n)
		h.Concurrency = 128
		before := f.store.Calls()
		b.StartTimer()
		got, err := h.sweep(context.Background())
		b.StopTimer()
		if err != nil || got != (Summary{Due: n, Refreshed: n}) {
			b.Fatalf("sweep = %+v, %v", got, err)
		}
		calls := f.store.Calls()
		for op := range before {
			calls[op] -= before[op]
		}
		writes, reads := calls["Claim"]+calls["Commit"], calls["Get"]+calls["List"]+calls["ListByStatus"]
		for _, op := range []string{"Claim", "Commit", "Get", "List", "ListByStatus"} {
			delete(calls, op)
		}
		queries := calls["Due"]
		delete(calls, "Due")
		once := 0
		for _, n := range calls {
			once += n
		}
		b.ReportMetric(float64(writes)/n, "writes/refresh")
		b.ReportMetric(float64(reads)/n, "reads/refresh")
		b.ReportMetric(float64(queries), "queries/sweep")
		b.ReportMetric(float64(once), "state-calls/sweep")
		lines := strings.Count(w.log.String(), "\n")
		b.ReportMetric(float64(lines), "lines/sweep")
		if writes != 2*n || reads != 0 || lines != 2 {
			b.Errorf("%d writes, %d reads and %d lines for %d refreshes", writes, reads, lines, n)
		}
		b.StartTimer()
	}
}

// BenchmarkSweepMemory measures what a sweep of a thousand, and of a hundred
// thousand, due connections holds at most: the live heap, ten times in the run.
// The connections themselves are made when they are claimed, so that no store
// takes part. It fails where the second is twice as large.
func BenchmarkSweepMemory(b *testing.B) {
	for b.Loop() {
		small, large := heldBy(b, 1000), heldBy(b, 100_000)
		b.ReportMetric(small/(1<<20), "MB-1k-due")
		b.ReportMetric(large/(1<<20), "MB-100k-due")
		b.ReportMetric(large/small, "x-memory")
		if large > 2*small {
			b.Errorf("%.1f MB are held with 100 thousand due, %.1f with one thousand", large/(1<<20), small/(1<<20))
		}
	}
}

// heldBy returns the largest live heap, in bytes, of a sweep over n connections.
func heldBy(b *testing.B, n int) float64 {
	b.Helper()
	f := newFixture(b)
	made := &made{fixture: f, n: n}
	f.Leases, f.Tokens = made, forgetful{}
	h := f.handler()
	h.Concurrency, h.Index, h.Shards = 128, made, 4
	if got, err := h.sweep(context.Background()); err != nil || got != (Summary{Due: n, Refreshed: n}) {
		b.Fatalf("sweep = %+v, %v", got, err)
	}
	return float64(made.most.Load())
}

// A made is a due index and a store of n connections that are made when they
// are asked for, and forgotten when they are committed.
type made struct {
	*fixture
	n      int
	claims atomic.Int64
	most   atomic.Uint64 // bytes of the live heap
	pause  sync.RWMutex  // held while it is measured
}

func (m *made) Due(_ context.Context, shard string, now time.Time, cursor string) (keys []connection.DueKey, next string, err error) {
	_, which, _ := strings.Cut(shard, ".")
	s, _ := strconv.Atoi(which)
	from, _ := strconv.Atoi(cursor)
	to := min(from+500, m.n/4)
	for i := from; i < to; i++ {
		keys = append(keys, connection.DueKey{Key: connection.Key{ConnectionID: fmt.Sprintf("acct_%d_%d", s, i), Provider: "acme"}, At: now})
	}
	if to < m.n/4 {
		next = strconv.Itoa(to)
	}
	return keys, next, nil
}

func (m *made) Claim(_ context.Context, cl connection.Claim) (connection.Connection, error) {
	if m.claims.Add(1)%int64(m.n/10) == 0 {
		m.measure()
	}
	m.pause.RLock()
	defer m.pause.RUnlock()
	tokens := rotated(0)
	tokens.ExpiresAt = time.Now().Add(time.Minute)
	c, err := connection.New(cl.Key, m.secrets.client, tokens, m.secrets.keys, 4)
	c.Fence, c.StoredFence, c.Due.At = 1, 1, time.Now()
	return c, err
}

// measure takes the live heap, with all workers waiting to claim, so that what
// they make and drop meanwhile is not taken for what is held.
func (m *made) measure() {
	m.pause.Lock()
	defer m.pause.Unlock()
	var stats runtime.MemStats
	for range 2 { // the first one gives them time to come here
		runtime.GC()
		runtime.ReadMemStats(&stats)
	}
	m.most.Store(max(m.most.Load(), stats.HeapAlloc))
}

func (m *made) Commit(context.Context, connection.Connection) error { return nil }

func (m *made) Defer(context.Context, connection.Connection) error { return nil }

func (m *made) Get(context.Context, connection.Key) (connection.Connection, error) {
	return connection.Connection{}, errors.New("nothing is kept")
}

// A forgetful endpoint rotates, and keeps nothing of what it was sent.
type forgetful struct{}

func (forgetful) Refresh(context.Context, oauth.Client, oauth.Secret) (oauth.TokenSet, error) {
	return rotated(1), nil
}

func (forgetful) Issue(context.Context, oauth.Client) (oauth.TokenSet, error) {
	return oauth.TokenSet{}, errors.New("nothing is issued")
}

func (forgetful) Revoke(context.Context, oauth.Client, oauth.Secret, oauth.Secret) error { return nil }
