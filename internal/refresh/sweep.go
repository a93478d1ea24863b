// Package refresh keeps every token fresh: it finds the connections that are
// due and refreshes each under a lease, once.
//
// The due index is the only queue. What a run does not get to, or fails at,
// stays there with a later time. A Renewer refreshes one connection, also for
// the control plane; a Handler sweeps, with a lane for each provider.
// docs/design.md says for each line what is lost if the process dies there.
package refresh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/metrics"
	"github.com/evergrant/evergrant/internal/oauth"
)

// DueIndex finds what is to be refreshed.
type DueIndex interface {
	// Due returns a page of the connections of a shard that are due at now, and
	// since when, the oldest first, and the cursor of the next page, "" at the end.
	Due(ctx context.Context, shard string, now time.Time, cursor string) (keys []connection.DueKey, next string, err error)
}

// Sweeps keeps two sweeps from running at once.
type Sweeps interface {
	TakeSweep(ctx context.Context, s connection.Sweep) (connection.Swept, error)
	EndSweep(ctx context.Context, name, id string) error
}

// Providers is what all workers know together of how providers fare. See the
// conformance suite of the stores for the promises.
type Providers interface {
	GetBreaker(ctx context.Context, provider string) (connection.Breaker, error)
	SetBreaker(ctx context.Context, provider string, b connection.Breaker) error
	CountRefreshes(ctx context.Context, provider string, o connection.Outcomes, now time.Time) (connection.Breaker, error)
	ReserveTime(ctx context.Context, provider string, d time.Duration, now, latest time.Time) (start time.Time, err error)
}

// Clients returns the client credentials for a provider, which name its limits.
type Clients interface {
	Client(ctx context.Context, provider string) (oauth.Client, error)
}

// A Handler serves the scheduled event and shard hints. Every field but Table,
// Queue, Rescue and FunctionName is required.
type Handler struct {
	Index       DueIndex
	Sweeps      Sweeps
	Providers   Providers
	Table       *Table // nil: nobody looks whether it is another one, as in local mode
	Clients     Clients
	Renew       func(ctx context.Context, k connection.Key, storedFence int64) (Report, error)
	Queue       Queue                           // nil: every sweep does its work itself
	Rescue      func(ctx context.Context) error // stores what was spilled and no refresh would find; nil: nothing is
	Shards      int
	Concurrency int // refreshes of one provider at the same time
	NewID       func() string
	Random      func() float64 // in [0, 1): jitter
	Now         func() time.Time
	Log         *slog.Logger

	FunctionName string // in metrics; "": there are none, as in local mode

	mu      sync.Mutex
	rescued time.Time // when Rescue was last called
}

// A Summary is the answer to a sweep: how many connections were found due, and
// what became of them. All zero: another sweep is under way, or this one has
// found that the connections table is another one.
type Summary struct {
	Due       int `json:"due"`
	Refreshed int `json:"refreshed"`
	Failed    int `json:"failed"`
	Skipped   int `json:"skipped"`
	Remaining int `json:"remaining"`
}

// An event is any event that the function takes: SQS records, the scheduler's
// own, or {"action":"sweep"}.
type event struct {
	Records []events.SQSMessage `json:"Records"`
	Action  string              `json:"action"`
}

// Handle serves one event: a Summary for a sweep, an SQSEventResponse for a
// batch of shard hints.
func (h *Handler) Handle(ctx context.Context, raw json.RawMessage) (any, error) {
	var e event
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, fmt.Errorf("the event is not a JSON object: send {\"action\":\"sweep\"}: %w", err)
	}
	if e.Action != "" && e.Action != "sweep" {
		return nil, errors.New("the action is unknown: send {\"action\":\"sweep\"}")
	}
	if err := h.checkTimeout(ctx); err != nil {
		return nil, err
	}
	if len(e.Records) > 0 {
		return h.hints(ctx, e.Records), nil
	}
	return h.sweep(ctx)
}

// LeastTimeout is the shortest time-out of a function that leaves time to find
// what is to be refreshed and to finish one refresh.
const LeastTimeout = attempt + 5*time.Second

// checkTimeout returns an error where no refresh could ever be finished: that
// must not look like a sweep that found nothing to do.
func (h *Handler) checkTimeout(ctx context.Context) error {
	deadline, ok := ctx.Deadline()
	if left := deadline.Sub(h.Now()); ok && left < LeastTimeout-time.Second {
		return fmt.Errorf("%w: %v are left of the invocation: set Timeout of RefreshFunction to at least %d seconds",
			ErrNoTime, left.Round(time.Second), int(LeastTimeout.Seconds()))
	}
	return nil
}

// sweep refreshes what is due in every shard, unless another sweep is at it.
func (h *Handler) sweep(ctx context.Context) (Summary, error) {
	id := h.NewID()
	lease := connection.Sweep{ID: id, Now: h.Now(), Until: h.deadline(ctx), Shards: h.Shards}
	swept, err := h.Sweeps.TakeSweep(ctx, lease)
	switch {
	case errors.Is(err, connection.ErrConflict):
		return Summary{}, nil
	case err != nil:
		return Summary{}, fmt.Errorf("take sweep lease: %w", err)
	}
	if exchanged, err := h.exchanged(ctx, lease, swept.Table); exchanged {
		h.endSweep(ctx, "", id)
		return Summary{}, err
	}
	var shards []string
	for _, n := range swept.Generations {
		for i := range n {
			shards = append(shards, connection.ShardKey(n, i))
		}
	}
	var rescue sync.WaitGroup
	rescue.Go(func() { h.rescue(ctx) })
	p := h.run(ctx, shards, h.Queue)
	rescue.Wait()
	h.endSweep(ctx, "", id)
	if len(p.failed) < len(shards) {
		p.metrics.Set(metrics.OldestDueSeconds, p.oldest.Seconds())
	}
	p.metrics.Log(ctx, h.Log, h.FunctionName, h.Now())
	err = nil
	for shard, cause := range p.failed {
		err = errors.Join(err, fmt.Errorf("query due index, shard %s: %w", shard, cause))
	}
	s := p.sum
	if s.Due > 0 || err != nil {
		h.Log.InfoContext(ctx, "sweep", "due", s.Due, "refreshed", s.Refreshed, "failed", s.Failed, "skipped", s.Skipped, "remaining", s.Remaining)
	}
	return s, err
}

func (h *Handler) endSweep(ctx context.Context, name, id string) {
	if err := h.Sweeps.EndSweep(context.WithoutCancel(ctx), name, id); err != nil {
		h.Log.WarnContext(ctx, "sweep lease not ended, it runs out", "shard", name, "err", err)
	}
}

// rescueEvery is how often a process looks for what was spilled.
const rescueEvery = 10 * time.Minute

// rescue calls Rescue, unless that was less than ten minutes ago. A process
// that has just started does not know, and looks.
func (h *Handler) rescue(ctx context.Context) {
	if h.Rescue == nil {
		return
	}
	h.mu.Lock()
	now := h.Now()
	wait := !h.rescued.IsZero() && now.Sub(h.rescued) < rescueEvery
	if !wait {
		h.rescued = now
	}
	h.mu.Unlock()
	if wait {
		return
	}
	if err := h.Rescue(ctx); err != nil {
		h.Log.ErrorContext(ctx, "spilled tokens not looked for", "err", err)
	}
}

// deadline returns when the invocation ends.
func (h *Handler) deadline(ctx context.Context) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return h.Now().Add(2 * attempt)
	}
	return deadline
}

// lastStart returns the time from which on no refresh may begin, since it could
// not be finished.
func (h *Handler) lastStart(ctx context.Context) time.Time { return h.deadline(ctx).Add(-attempt) }

// timeFor reports whether d is left of the invocation.
func (h *Handler) timeFor(ctx context.Context, d time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || deadline.Sub(h.Now()) > d)
}
