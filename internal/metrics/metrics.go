// Package metrics counts what one invocation does and prints it once, at its
// end, in the embedded metric format: lines of the log that CloudWatch turns
// into metrics. No call is made for them, and nothing is printed where the
// function has no name, as in local mode. An invocation that is killed loses
// its lines; the metrics of the function itself tell of that.
//
// Each metric has the dimension FunctionName. Refreshes and Connections also
// tell provider and outcome apart, both from short lists, since each
// combination is billed. A connection is never a dimension.
//
// To add a metric, name it here; its alarm is in template.yaml, and
// docs/operations.md says what to do about that. Package metricstest reads what
// is printed here.
package metrics

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Namespace is that of all metrics.
const Namespace = "Evergrant"

// A Metric is the name of a metric.
type Metric string

// The metrics. Those of a sweep alone say so; what is not said to be always
// there is printed only where there is something to tell.
const (
	// OldestDueSeconds is for how long the connection that waits the longest has
	// been due as a sweep begins, 0 where none is. Each sweep that could look
	// prints it, so it is also its heartbeat; workers do not.
	OldestDueSeconds Metric = "OldestDueSeconds"
	// SecondsToExpiry is the least that was left of an access token as its
	// refresh began, below 0 where it had expired. Runs of the refresh function;
	// no connection whose client no secret names, since it was given up.
	SecondsToExpiry Metric = "SecondsToExpiry"
	// FailedPercent is the share of failed refreshes, in percent, of the provider
	// where it is highest. Runs of the refresh function; see Batch.Share.
	FailedPercent Metric = "FailedPercent"
	// Remaining is how many connections a run left to the next one, or to workers.
	Remaining Metric = "Remaining"

	// NeedsPerson counts connections that a person must connect again.
	NeedsPerson Metric = "NeedsPerson"
	// RotationLost counts those of NeedsPerson that an answer lost on its way cost.
	RotationLost Metric = "RotationLost"
	// Spilled counts new tokens that are in Secrets Manager alone.
	Spilled Metric = "Spilled"
	// TokensOnlyInLog counts new tokens that are in the log alone.
	TokensOnlyInLog Metric = "TokensOnlyInLog"
	// Misconfigured counts requests for which our client, or a former one, was
	// refused, or was not there, and each run in which a provider is spared for
	// that, which no former client is a reason for. A client that no secret names
	// counts for as long as that is news.
	Misconfigured Metric = "Misconfigured"
	// MassRefusal counts refusals that are not believed, being so many.
	MassRefusal Metric = "MassRefusal"

	// Refreshes counts refreshes by provider and outcome.
	Refreshes Metric = "Refreshes"
	// Connections counts authorizations, grants without one and disconnects that
	// have ended, by provider and outcome, and all together.
	Connections Metric = "Connections"
)

// An Outcome is what became of a refresh or an authorization.
type Outcome string

// The outcomes. Each is one metric a provider, so that the list is short.
const (
	Refreshed     Outcome = "refreshed"
	Refused       Outcome = "refused" // and not believed
	Marked        Outcome = "marked"  // refused, and believed
	Misconfigures Outcome = "misconfigured"
	Unknown       Outcome = "unknown"
	Failed        Outcome = "failed"
	Other         Outcome = "other"

	Connected      Outcome = "connected"
	Denied         Outcome = "denied"
	AccountChanged Outcome = "account_changed"
	Disconnected   Outcome = "disconnected"
)

// An Attempt is what is counted of one refresh. The zero Attempt is none.
type Attempt struct {
	Outcome Outcome
	Also    []Metric // what it counts as besides, such as Spilled

	Began time.Time
	// Expires is when the access token that it was to replace ends; zero where
	// that is not known, or is no news.
	Expires time.Time
}

// A Batch is what one invocation counts. The zero Batch is ready to use, by
// several goroutines at once.
type Batch struct {
	mu     sync.Mutex
	values map[Metric]float64
	worst  string         // the provider of FailedPercent
	counts map[series]int // of Refreshes and Connections
}

// A series is what is counted by provider and outcome.
type series struct {
	metric   Metric
	provider string
	outcome  Outcome
}

// Add adds n to a metric.
func (b *Batch) Add(m Metric, n int) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(m, b.values[m]+float64(n))
}

// Set sets a metric, also to 0.
func (b *Batch) Set(m Metric, v float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.set(m, v)
}

// set is Set while b.mu is held.
func (b *Batch) set(m Metric, v float64) {
	if b.values == nil {
		b.values = map[Metric]float64{}
	}
	b.values[m] = v
}

// Refresh counts an attempt at a provider, which must be one that is known.
func (b *Batch) Refresh(provider string, a Attempt) {
	if a.Outcome == "" {
		return
	}
	b.count(series{Refreshes, provider, a.Outcome})
	for _, m := range a.Also {
		b.Add(m, 1)
	}
	if a.Expires.IsZero() {
		return
	}
	left := a.Expires.Sub(a.Began).Seconds()
	b.mu.Lock()
	defer b.mu.Unlock()
	if least, ok := b.values[SecondsToExpiry]; !ok || left < least {
		b.set(SecondsToExpiry, left)
	}
}

// Connection counts an authorization that has ended, or what is like one, at a
// provider, which must be one that is known.
func (b *Batch) Connection(provider string, o Outcome) {
	b.count(series{Connections, provider, o})
}

// count adds one to what is counted by provider and outcome.
func (b *Batch) count(s series) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.counts == nil {
		b.counts = map[series]int{}
	}
	b.counts[s]++
}

// enough is of how many refreshes a share says something.
const enough = 10

// Share notes that of all refreshes at a provider some failed. What is spared
// for an outage counts as failed, since that ends with a few requests. Fewer
// than ten have no share; of several providers the worst one counts.
func (b *Batch) Share(provider string, failed, all int) {
	if all < enough {
		return
	}
	percent := 100 * float64(failed) / float64(all)
	b.mu.Lock()
	defer b.mu.Unlock()
	if worst, ok := b.values[FailedPercent]; ok && percent <= worst {
		return
	}
	b.set(FailedPercent, percent)
	b.worst = ""
	if failed > 0 {
		b.worst = provider
	}
}

// Log prints b as lines of level info: one, and one more for each pair of
// provider and outcome where there is more than one of them, since a line has
// one value of each dimension. What b holds was done at now, about. function is
// the function's name; nothing is printed without.
func (b *Batch) Log(ctx context.Context, log *slog.Logger, function string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if function == "" {
		return
	}
	counts := slices.SortedFunc(maps.Keys(b.counts), func(x, y series) int {
		return cmp.Or(cmp.Compare(x.metric, y.metric), cmp.Compare(x.provider, y.provider), cmp.Compare(x.outcome, y.outcome))
	})
	own := line{function: function}
	for _, m := range slices.Sorted(maps.Keys(b.values)) {
		own.value(m, b.values[m])
	}
	if b.worst != "" {
		own.attrs = append(own.attrs, slog.String("worst_provider", b.worst))
	}
	if len(counts) == 1 {
		own.series(counts[0], b.counts[counts[0]])
		counts = nil
	}
	own.print(ctx, log, now)
	for _, s := range counts {
		l := line{function: function}
		l.series(s, b.counts[s])
		l.print(ctx, log, now)
	}
}
