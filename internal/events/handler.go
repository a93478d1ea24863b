package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	lambda "github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/connection"
)

// Bus is where events are published.
type Bus interface {
	// Publish publishes up to ten notices by one call. It returns the indexes of
	// those that were not taken, and an error that says why.
	Publish(ctx context.Context, notices []connection.Notice) (lost []int, err error)
}

// A Handler publishes what the stream of the connections table tells. Every
// field is required.
type Handler struct {
	Maker Maker
	Bus   Bus

	// Read reads an image of a row; without one it returns the zero Connection.
	Read func(image []byte) (connection.Connection, error)
}

// A Batch is what Lambda hands over of one shard of a stream, in the order of the
// writes. Images stay as they are, so that no token in them is decoded, and one
// that cannot be read spoils no other.
type Batch struct {
	Records []Record `json:"Records"`
}

// A Record is one write of one row.
type Record struct {
	Stream string `json:"eventSourceARN"` // the table's ARN, /stream/, and when the stream began
	Change struct {
		SequenceNumber string          `json:"SequenceNumber"`
		Written        float64         `json:"ApproximateCreationDateTime"` // Unix seconds; 0: not known
		OldImage       json.RawMessage `json:"OldImage"`
		NewImage       json.RawMessage `json:"NewImage"`
	} `json:"dynamodb"`
}

// What one call of PutEvents takes (API_PutEvents and "Calculating PutEvents
// event entry size", 2026-11-23): ten entries, of 256 KB together.
const (
	maxLot   = 10
	maxBytes = 250_000
)

// reserve is what an invocation keeps of its time to answer in.
const reserve = 2 * time.Second

// ErrNothingPublished is the end of an invocation in which no event could be
// published. Lambda counts it as a failed one and hands over the same again.
var ErrNothingPublished = errors.New("no event could be published: the log says why")

// An outgoing notice is one on its way.
type outgoing struct {
	connection.Notice
	event  Event
	record string // sequence number of its record
}

// Handle publishes what there is to tell of a batch. A connection's events are
// published in the order of its writes, each at least once: the answer names the
// first record with an event that was not taken, and Lambda hands that one and all
// behind it over again.
func (h *Handler) Handle(ctx context.Context, b Batch) (lambda.DynamoDBEventResponse, error) {
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-reserve))
		defer cancel()
	}
	published := 0
	for waiting := h.outgoing(ctx, b); len(waiting) > 0; {
		n := lot(waiting)
		taken, err := h.publish(ctx, waiting[:n])
		published += taken
		if taken < n {
			failed := waiting[taken].record
			h.Maker.Log.ErrorContext(ctx, "events not published", "events", len(waiting)-taken, "record", failed, "err", err)
			if published == 0 {
				return lambda.DynamoDBEventResponse{}, ErrNothingPublished
			}
			return lambda.DynamoDBEventResponse{BatchItemFailures: []lambda.DynamoDBBatchItemFailure{{ItemIdentifier: failed}}}, nil
		}
		waiting = waiting[n:]
	}
	return lambda.DynamoDBEventResponse{}, nil
}

// outgoing returns what there is to tell of b. A record that cannot be read, and
// an event that no call would take, are left out: to have them handed over again
// would hold up all behind them for a day.
func (h *Handler) outgoing(ctx context.Context, b Batch) (list []outgoing) {
	copies := 0
	for _, r := range b.Records {
		old, now, err := h.read(r)
		if err != nil {
			h.Maker.Log.ErrorContext(ctx, "record left out", "record", r.Change.SequenceNumber, "err", err)
			continue
		}
		if putBack(old, now, r.Change.Written) {
			copies++
			continue
		}
		for _, e := range h.Maker.Make(ctx, old, now) {
			detail, err := e.Detail()
			if err == nil && len(detail) > maxBytes {
				err = fmt.Errorf("its %d bytes are more than EventBridge takes", len(detail))
			}
			if err != nil {
				h.Maker.Log.ErrorContext(ctx, "event left out", "record", r.Change.SequenceNumber, "type", e.Kind, "provider", e.Provider, "connection_id", e.ConnectionID, "err", err)
				continue
			}
			table, _, _ := strings.Cut(r.Stream, "/stream/")
			list = append(list, outgoing{connection.Notice{Type: string(e.Kind), Table: table, At: e.At, Detail: detail}, e, r.Change.SequenceNumber})
		}
	}
	if copies > 0 {
		h.Maker.Log.InfoContext(ctx, "rows put back passed over", "rows", copies)
	}
	return list
}

// spillTime is how long a first grant may wait in the spill, or in the log for a
// person, and still be told when it is stored. It has the time of when it was
// given then, and looks like the copy of one that was never refreshed: a week has
// room for an outage over a weekend, and hosts know the IDs that they heard for
// longer, so that a copy which is younger is none to them (docs/events.md).
const spillTime = 7 * 24 * time.Hour

// putBack reports whether a write, made at the Unix time written, has put back a
// row from a backup, which changes nothing for the host. What is made here begins
// with a grant and fence 1, which every later write raises.
func putBack(old, now connection.Connection, written float64) bool {
	if old.Status != "" || now.Status == "" {
		return false
	}
	return now.Fence != 1 || written-float64(now.UpdatedAt.Unix()) > spillTime.Seconds()
}

// read returns the connection of a record before and after its write.
func (h *Handler) read(r Record) (old, now connection.Connection, err error) {
	if old, err = h.Read(r.Change.OldImage); err != nil {
		return old, now, fmt.Errorf("old image: %w", err)
	}
	if now, err = h.Read(r.Change.NewImage); err != nil {
		return old, now, fmt.Errorf("new image: %w", err)
	}
	if now.Status != "" && (now.ConnectionID == "" || now.Provider == "" || now.UpdatedAt.IsZero()) {
		return old, now, errors.New("new image: connection_id, provider or updated_at is missing")
	}
	return old, now, nil
}

// lot returns how many of list, from its start, go by one call. A connection has
// one event in it at most: of the entries of a call each may fail by itself, and
// none may overtake an earlier one of its connection.
func lot(list []outgoing) int {
	seen, bytes := map[connection.Key]bool{}, 0
	for i, o := range list {
		k := connection.Key{ConnectionID: o.event.ConnectionID, Provider: o.event.Provider}
		bytes += len(o.Detail)
		if i == maxLot || seen[k] || bytes > maxBytes {
			return i
		}
		seen[k] = true
	}
	return len(list)
}

// publish publishes one lot. It returns how many were taken before the first that
// was not, and why that was not.
func (h *Handler) publish(ctx context.Context, list []outgoing) (taken int, err error) {
	notices := make([]connection.Notice, len(list))
	for i, o := range list {
		notices[i] = o.Notice
	}
	lost, err := h.Bus.Publish(ctx, notices)
	taken = len(list)
	for i, o := range list {
		if slices.Contains(lost, i) {
			taken = min(taken, i)
			continue
		}
		h.Maker.Log.InfoContext(ctx, "told", "type", o.event.Kind, "provider", o.event.Provider, "connection_id", o.event.ConnectionID, "event", o.event.ID)
	}
	return taken, err
}
