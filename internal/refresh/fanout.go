package refresh

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/connection"
)

// A Queue carries shard hints to workers. Losing or doubling one is harmless:
// the due index is the truth.
type Queue interface {
	// Send sends up to ten messages and returns the indexes of those that were
	// not taken; all of them with an error.
	Send(ctx context.Context, bodies []string) (lost []int, err error)
}

// hintBatch is how many messages SQS takes at once (SendMessageBatch).
const hintBatch = 10

// A hint is the message that names a shard: "3" where the number of shards is
// the current one, "4.3" where it is another.
type hint struct {
	Shard string `json:"shard"`
}

// hint sends a hint for the shard of each place and returns the places for
// which that failed.
func (p *pass) hint(ctx context.Context, places []place) (unsent []place) {
	for ; len(places) > 0; places = places[min(hintBatch, len(places)):] {
		batch := places[:min(hintBatch, len(places))]
		bodies := make([]string, len(batch))
		for i, at := range batch {
			shard := strings.TrimPrefix(at.shard, strconv.Itoa(p.Shards)+".")
			b, _ := json.Marshal(hint{shard}) // a struct of one string
			bodies[i] = string(b)
		}
		lost, err := p.queue.Send(ctx, bodies)
		if err != nil || len(lost) > 0 {
			p.Log.WarnContext(ctx, "shard hints not sent, the sweep does their work", "hints", len(lost), "err", err)
		}
		for _, i := range lost {
			unsent = append(unsent, batch[i])
		}
	}
	return unsent
}

// hints works on the shards that a batch of messages names. A message that
// cannot be read is dropped, since it can never succeed.
func (h *Handler) hints(ctx context.Context, records []events.SQSMessage) events.SQSEventResponse {
	messages := map[string][]string{} // IDs, by shard
	var shards []string
	for _, m := range records {
		var hint hint
		if err := json.Unmarshal([]byte(m.Body), &hint); err != nil || hint.Shard == "" {
			h.Log.ErrorContext(ctx, "shard hint dropped: want {\"shard\":\"3\"}", "message_id", m.MessageId)
			continue
		}
		shard := hint.Shard
		if i, err := strconv.Atoi(shard); err == nil {
			shard = connection.ShardKey(h.Shards, i)
		}
		if messages[shard] == nil {
			shards = append(shards, shard)
		}
		messages[shard] = append(messages[shard], m.MessageId)
	}
	var resp events.SQSEventResponse
	for shard, err := range h.work(ctx, shards) {
		h.Log.ErrorContext(ctx, "shard not finished", "shard", shard, "err", err)
		for _, id := range messages[shard] {
			resp.BatchItemFailures = append(resp.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: id})
		}
	}
	return resp
}

// work refreshes what is due in those of shards that no other worker is at, and
// returns what could not be read.
func (h *Handler) work(ctx context.Context, shards []string) map[string]error {
	id := h.NewID()
	failed := map[string]error{}
	var mine []string
	for _, shard := range shards {
		_, err := h.Sweeps.TakeSweep(ctx, connection.Sweep{Name: shard, ID: id, Now: h.Now(), Until: h.deadline(ctx), Shards: h.Shards})
		switch {
		case err == nil:
			mine = append(mine, shard)
		case !errors.Is(err, connection.ErrConflict):
			failed[shard] = err
		}
	}
	if len(mine) == 0 {
		return failed
	}
	p := h.run(ctx, mine, nil)
	for shard, err := range p.failed {
		failed[shard] = err
	}
	for _, shard := range mine {
		h.endSweep(ctx, shard, id)
	}
	p.metrics.Log(ctx, h.Log, h.FunctionName, h.Now())
	s := p.sum
	h.Log.InfoContext(ctx, "shards", "shards", mine, "due", s.Due, "refreshed", s.Refreshed, "failed", s.Failed, "skipped", s.Skipped, "remaining", s.Remaining)
	return failed
}
