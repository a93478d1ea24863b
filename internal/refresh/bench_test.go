package refresh

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/evergrant/evergrant/internal/oauth"
)

// What a sweep may hold in memory, the store of the benchmark included.
const maxSweepMemory = 64 << 20

// BenchmarkSweep refreshes 10 thousand due connections at a provider that
// answers at once. It reports counts, and fails above 64 MB or when a refresh
// costs anything but two base writes.
func BenchmarkSweep(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		b.StopTimer()
		f := newFixture(b)
		f.connectMany(b, n)
		var peak atomic.Uint64
		var calls atomic.Int64
		f.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
			if calls.Add(1)%1000 == 0 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.Sys-m.HeapReleased))
			}
			return rotated(1), nil
		}
		h := f.handler()
		h.Concurrency = 128
		before := f.store.Calls()
		runtime.GC()
		b.StartTimer()
		got, err := h.sweep(context.Background())
		b.StopTimer()
		if err != nil || got != (Summary{Due: n, Refreshed: n}) {
			b.Fatalf("sweep = %+v, %v", got, err)
		}
		after := f.store.Calls()
		writes := after["Claim"] + after["Commit"] - before["Claim"] - before["Commit"]
		reads := after["Get"] - before["Get"]
		b.ReportMetric(float64(writes)/n, "writes/refresh")
		b.ReportMetric(float64(reads)/n, "reads/refresh")
		b.ReportMetric(float64(after["Due"])/n, "queries/refresh")
		b.ReportMetric(float64(peak.Load())/(1<<20), "MB-peak")
		if writes != 2*n || reads != 0 {
			b.Errorf("%d writes and %d reads for %d refreshes", writes, reads, n)
		}
		if peak.Load() > maxSweepMemory {
			b.Errorf("peak memory is %d bytes, above %d", peak.Load(), maxSweepMemory)
		}
		b.StartTimer()
	}
}
