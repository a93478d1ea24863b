// Package refresh keeps every token fresh: it finds the connections that are
// due and refreshes each under a lease, once.
//
// The due index is the only queue. What a run does not get to, or fails at,
// stays there with a later time. A Renewer refreshes one connection, also for
// the control plane; a Handler sweeps. docs/design.md says for each line what
// is lost if the process dies there.
package refresh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

// DueIndex finds what is to be refreshed.
type DueIndex interface {
	// Due returns a page of the connections of a shard that are due at now,
	// the oldest first, and the cursor of the next page, "" at the end.
	Due(ctx context.Context, shard string, now time.Time, cursor string) (keys []connection.Key, next string, err error)
}

// Sweeps keeps two sweeps from running at once.
type Sweeps interface {
	TakeSweep(ctx context.Context, s connection.Sweep) (generations []int, err error)
	EndSweep(ctx context.Context, name, id string) error
}

// A Handler serves the scheduled event and shard hints. Every field is
// required.
type Handler struct {
	Index       DueIndex
	Sweeps      Sweeps
	Renew       func(ctx context.Context, k connection.Key, storedFence int64) (Report, error)
	Shards      int
	Concurrency int
	NewID       func() string
	Now         func() time.Time
	Log         *slog.Logger
}

// A Summary is the answer to a sweep: how many connections were found due, and
// what became of them. All zero: another sweep is under way.
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
	switch {
	case len(e.Records) > 0:
		return h.hints(ctx, e.Records), nil
	case e.Action != "" && e.Action != "sweep":
		return nil, errors.New("the action is unknown: send {\"action\":\"sweep\"}")
	}
	return h.sweep(ctx)
}

// sweep refreshes what is due in every shard, unless another sweep is at it.
func (h *Handler) sweep(ctx context.Context) (Summary, error) {
	id := h.NewID()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = h.Now().Add(2 * attempt)
	}
	generations, err := h.Sweeps.TakeSweep(ctx, connection.Sweep{ID: id, Now: h.Now(), Until: deadline, Shards: h.Shards})
	switch {
	case errors.Is(err, connection.ErrConflict):
		return Summary{}, nil
	case err != nil:
		return Summary{}, fmt.Errorf("take sweep lease: %w", err)
	}
	var shards []string
	for _, n := range generations {
		for i := range n {
			shards = append(shards, connection.ShardKey(n, i))
		}
	}
	s, err := h.run(ctx, shards)
	if endErr := h.Sweeps.EndSweep(context.WithoutCancel(ctx), "", id); endErr != nil {
		h.Log.WarnContext(ctx, "sweep lease not ended, it runs out", "err", endErr)
	}
	if s.Due > 0 || err != nil {
		h.Log.InfoContext(ctx, "sweep", "due", s.Due, "refreshed", s.Refreshed, "failed", s.Failed, "skipped", s.Skipped, "remaining", s.Remaining)
	}
	return s, err
}

// hints works on the shards that a batch of messages names. A hint that cannot
// be read is dropped, since it can never succeed; losing one is harmless.
func (h *Handler) hints(ctx context.Context, records []events.SQSMessage) events.SQSEventResponse {
	var resp events.SQSEventResponse
	for _, m := range records {
		var hint struct {
			Shard string `json:"shard"`
		}
		if err := json.Unmarshal([]byte(m.Body), &hint); err != nil || hint.Shard == "" {
			h.Log.ErrorContext(ctx, "shard hint dropped: want {\"shard\":\"3\"}", "message_id", m.MessageId)
			continue
		}
		shard := hint.Shard
		if i, err := strconv.Atoi(shard); err == nil {
			shard = connection.ShardKey(h.Shards, i)
		}
		if _, err := h.run(ctx, []string{shard}); err != nil {
			h.Log.ErrorContext(ctx, "shard not finished", "shard", hint.Shard, "err", err)
			resp.BatchItemFailures = append(resp.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
		}
	}
	return resp
}

// run refreshes what is due in shards, page by page in turn, as long as there
// is time to finish a refresh.
func (h *Handler) run(ctx context.Context, shards []string) (Summary, error) {
	t := &tally{down: map[string]bool{}}
	work := make(chan connection.Key)
	var workers sync.WaitGroup
	for range h.Concurrency {
		workers.Go(func() {
			for k := range work {
				h.one(ctx, t, k)
			}
		})
	}
	err := h.feed(ctx, shards, t, work)
	close(work)
	workers.Wait()
	return t.Summary, err
}

// feed hands the due connections of shards to the workers, and goes on to
// count when there is no longer time to finish another refresh.
func (h *Handler) feed(ctx context.Context, shards []string, t *tally, work chan<- connection.Key) error {
	now := h.Now()
	cursors := make(map[string]string, len(shards))
	for first := true; len(shards) > 0; first = false {
		var open []string
		for _, shard := range shards {
			if !first && !h.timeFor(ctx, reserve) {
				return nil
			}
			keys, next, err := h.Index.Due(ctx, shard, now, cursors[shard])
			if err != nil {
				return fmt.Errorf("query due index, shard %s: %w", shard, err)
			}
			if cursors[shard] = next; next != "" {
				open = append(open, shard)
			}
			h.hand(ctx, keys, t, work)
		}
		shards = open
	}
	return nil
}

// hand gives keys to the workers as long as there is time, and counts them.
func (h *Handler) hand(ctx context.Context, keys []connection.Key, t *tally, work chan<- connection.Key) {
	t.found(len(keys))
	for i, k := range keys {
		if !h.timeFor(ctx, attempt) {
			t.left(len(keys) - i)
			return
		}
		work <- k
	}
}

// timeFor reports whether d is left of the invocation.
func (h *Handler) timeFor(ctx context.Context, d time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || deadline.Sub(h.Now()) > d)
}

// one refreshes one connection and counts the result.
func (h *Handler) one(ctx context.Context, t *tally, k connection.Key) {
	if t.isDown(k.Provider) {
		t.add(Skipped)
		return
	}
	report, err := h.Renew(ctx, k, 0)
	if errors.Is(err, ErrNoTime) {
		t.left(1)
		return
	}
	t.add(report.Result)
	switch {
	case errors.Is(err, errUnusable):
		h.Log.ErrorContext(ctx, "connection cannot be refreshed", "provider", k.Provider, "connection_id", k.ConnectionID, "err", err)
	case errors.Is(err, errMisconfigured), errors.Is(err, oauth.ErrNotConfigured):
		if t.setDown(k.Provider) {
			h.Log.ErrorContext(ctx, "provider misconfigured", "provider", k.Provider, "err", err)
		}
	case err != nil:
		h.Log.WarnContext(ctx, "not refreshed", "provider", k.Provider, "connection_id", k.ConnectionID, "err", err)
	}
}

// A tally counts what a run does.
type tally struct {
	mu sync.Mutex
	Summary
	down map[string]bool // providers whose configuration is wrong: not asked again in this run
}

func (t *tally) found(n int) { t.mu.Lock(); t.Due += n; t.mu.Unlock() }

func (t *tally) left(n int) { t.mu.Lock(); t.Remaining += n; t.mu.Unlock() }

func (t *tally) add(r Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch r {
	case Refreshed:
		t.Refreshed++
	case Failed:
		t.Failed++
	case Skipped:
		t.Skipped++
	}
}

func (t *tally) isDown(provider string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.down[provider]
}

// setDown reports whether this is the first word of it.
func (t *tally) setDown(provider string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := !t.down[provider]
	t.down[provider] = true
	return first
}
