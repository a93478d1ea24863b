package refresh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

// A queue keeps what it is sent.
type queue struct {
	bodies  []string
	batches []int
	lose    func(i int) bool // by index in the batch
	err     error
}

func (q *queue) Send(_ context.Context, bodies []string) (lost []int, err error) {
	q.batches = append(q.batches, len(bodies))
	for i, b := range bodies {
		if q.lose != nil && q.lose(i) {
			lost = append(lost, i)
			continue
		}
		q.bodies = append(q.bodies, b)
	}
	return lost, q.err
}

// event returns the messages as Lambda hands them over.
func (q *queue) event() json.RawMessage {
	var e struct{ Records []events.SQSMessage }
	for i, b := range q.bodies {
		e.Records = append(e.Records, events.SQSMessage{MessageId: fmt.Sprintf("m%d", i), Body: b, EventSource: "aws:sqs"})
	}
	raw, _ := json.Marshal(e)
	return raw
}

// Large shards are left to workers, small ones are not worth a message.
func TestLargeShardsAreLeftToWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		q := new(queue)
		s.Queue = q
		s.index.add("4.0", "acme", 100)
		s.index.add("4.1", "acme", 501)
		s.index.add("4.3", "acme", 2000)
		if got, want := s.minute(t), (Summary{Due: 1100, Refreshed: 100, Remaining: 1000}); got != want {
			t.Errorf("sweep = %+v, want %+v", got, want)
		}
		if want := []string{`{"shard":"1"}`, `{"shard":"3"}`}; !slices.Equal(q.bodies, want) {
			t.Fatalf("hints = %s, want %s", q.bodies, want)
		}
		s.started = nil
		got, err := s.Handle(t.Context(), q.event())
		if resp, ok := got.(events.SQSEventResponse); err != nil || !ok || len(resp.BatchItemFailures) != 0 || len(s.started) != 2501 {
			t.Errorf("worker: %+v, %v, %d refreshed", got, err, len(s.started))
		}
	})
}

func TestWithoutAQueueTheSweepDoesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index.add("4.3", "acme", 2000)
		if got, want := s.minute(t), (Summary{Due: 2000, Refreshed: 2000}); got != want {
			t.Errorf("sweep = %+v, want %+v", got, want)
		}
	})
}

// SQS takes ten messages at once. A shard whose hint it does not take is not
// left out.
func TestAHintThatIsNotSentIsWorkForTheSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.Shards = 12
		for i := range 12 {
			s.index.add(connection.ShardKey(12, i), "acme", 600)
		}
		q := &queue{lose: func(i int) bool { return i == 1 }, err: errors.New("two are lost")}
		s.Queue = q
		if got, want := s.minute(t), (Summary{Due: 10*500 + 2*600, Refreshed: 2 * 600, Remaining: 10 * 500}); got != want {
			t.Errorf("sweep = %+v, want %+v", got, want)
		}
		if !slices.Equal(q.batches, []int{10, 2}) || len(q.bodies) != 10 {
			t.Errorf("batches of %v, %d taken", q.batches, len(q.bodies))
		}
		for _, c := range s.started {
			if !strings.HasPrefix(c.key.ConnectionID, "12.1_") && !strings.HasPrefix(c.key.ConnectionID, "12.11_") {
				t.Fatalf("%v was refreshed, which a worker does", c.key)
			}
		}
	})
}

// A hint that comes twice, or while another worker is at its shard, costs one
// write.
func TestADoubledHintEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index.add("4.3", "acme", 10)
		s.index.add("4.1", "acme", 10)
		if _, err := s.store.TakeSweep(t.Context(), connection.Sweep{Name: "4.3", ID: "another", Now: time.Now(), Until: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		q := &queue{bodies: []string{`{"shard":"3"}`, `{"shard":"4.3"}`, `{"shard":"1"}`, `{"shard":"1"}`}}
		got, err := s.Handle(t.Context(), q.event())
		if resp, ok := got.(events.SQSEventResponse); err != nil || !ok || len(resp.BatchItemFailures) != 0 {
			t.Fatalf("Handle = %+v, %v", got, err)
		}
		if len(s.started) != 10 || !strings.HasPrefix(s.started[0].key.ConnectionID, "4.1_") {
			t.Errorf("%d refreshed", len(s.started))
		}
		if _, err := s.store.TakeSweep(t.Context(), connection.Sweep{Name: "4.1", ID: "next", Now: time.Now(), Until: time.Now().Add(time.Minute)}); err != nil {
			t.Errorf("the worker still holds its shard: %v", err)
		}
	})
}

// One shard that cannot be read costs no other one anything, in a sweep and in
// a batch.
func TestOneUnreadableShardCostsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index.add("4.1", "acme", 10)
		s.index.add("4.2", "acme", 600)
		s.Index = brokenShards{s.index, "4.0", "4.2/500"}
		got, err := s.sweep(t.Context())
		if got != (Summary{Due: 510, Refreshed: 510}) || err == nil || !strings.Contains(err.Error(), "4.0") || !strings.Contains(err.Error(), "4.2") {
			t.Errorf("sweep = %+v, %v", got, err)
		}
		q := &queue{bodies: []string{`{"shard":"0"}`, `{"shard":"1"}`, `{"shard":"2"}`, `{"shard":"0"}`}}
		answer, err := s.Handle(t.Context(), q.event())
		resp, _ := answer.(events.SQSEventResponse)
		var back []string
		for _, f := range resp.BatchItemFailures {
			back = append(back, f.ItemIdentifier)
		}
		if slices.Sort(back); err != nil || !slices.Equal(back, []string{"m0", "m2", "m3"}) {
			t.Errorf("%v come back, %v; want those of the broken shards", back, err)
		}
	})
}

// brokenShards fails at some places of an index, written as shard or as
// shard/cursor.
type brokenShards struct {
	pages
	first, second string
}

func (b brokenShards) Due(ctx context.Context, shard string, now time.Time, cursor string) ([]connection.DueKey, string, error) {
	if shard == b.first || shard+"/"+cursor == b.second {
		return nil, "", errors.New("throttled")
	}
	return b.pages.Due(ctx, shard, now, cursor)
}

// What a provider stands at once is divided among the workers.
func TestWorkersDivideTheConcurrency(t *testing.T) {
	tests := []struct {
		name  string
		limit int
		work  func(s *stage) error
		want  int
	}{
		{"a worker of one shard", 20, func(s *stage) error { return s.worker("3") }, 5},
		{"a worker of two shards", 20, func(s *stage) error { return s.worker("3", "1") }, 10},
		{"at least one", 2, func(s *stage) error { return s.worker("3") }, 1},
		{"the sweep beside one worker", 20, func(s *stage) error {
			s.index.add("4.3", "acme", 501)
			_, err := s.sweep(context.Background())
			return err
		}, 15},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				s.Queue = new(queue)
				s.clients["acme"] = oauth.Client{RefreshConcurrency: tt.limit}
				s.answer = takes(time.Second)
				s.index.add("4.1", "acme", 100)
				s.index.add("4.3", "acme", 100)
				if err := tt.work(s); err != nil || s.most["acme"] != tt.want {
					t.Errorf("%d at once, %v; want %d", s.most["acme"], err, tt.want)
				}
			})
		})
	}
}

func (s *stage) worker(shards ...string) error {
	var q queue
	for _, shard := range shards {
		q.bodies = append(q.bodies, `{"shard":"`+shard+`"}`)
	}
	_, err := s.Handle(context.Background(), q.event())
	return err
}

// The number of shards changes while connections wait in the due index: all are
// found where they are, and move when they are next written.
func TestTheNumberOfShardsChangesOnline(t *testing.T) {
	for _, tt := range []struct{ before, after int }{{4, 8}, {8, 2}, {4, 4}} {
		t.Run(fmt.Sprintf("%d to %d", tt.before, tt.after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				h := f.handler()
				h.Shards, f.Shards = tt.before, tt.before
				f.connectMany(t, 50)
				if _, err := h.sweep(t.Context()); err != nil { // the old number is known from now on
					t.Fatal(err)
				}
				<-time.After(3 * time.Hour) // all are due again, in the old shards

				h.Shards, f.Shards = tt.after, tt.after
				f.connect(t, connection.Key{ConnectionID: "new", Provider: "acme"})
				if got, err := h.sweep(t.Context()); err != nil || got != (Summary{Due: 51, Refreshed: 51}) {
					t.Errorf("sweep over both numbers = %+v, %v", got, err)
				}
				for i := range 50 {
					k := connection.Key{ConnectionID: fmt.Sprintf("acct_%d", i), Provider: "acme"}
					if got, want := f.get(t, k).Due.Shard, connection.Shard(k, tt.after); got != want {
						t.Fatalf("%v waits in %s, want it moved to %s", k, got, want)
					}
				}

				// A callback of the old version may still write into an old shard.
				f.Shards = tt.before
				f.connect(t, connection.Key{ConnectionID: "late", Provider: "acme"})
				f.Shards = tt.after
				<-time.After(3 * time.Hour)
				if got, err := h.sweep(t.Context()); err != nil || got != (Summary{Due: 52, Refreshed: 52}) {
					t.Errorf("next sweep = %+v, %v", got, err)
				}
			})
		})
	}
}

// Hints name shards of an older number whole.
func TestHintsOfAnOlderNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		if _, err := s.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Shards = 8
		q := new(queue)
		s.Queue = q
		s.index.add("4.3", "acme", 501)
		s.index.add("8.3", "acme", 501)
		s.minute(t)
		if want := []string{`{"shard":"4.3"}`, `{"shard":"3"}`}; !slices.Equal(q.bodies, want) {
			t.Errorf("hints = %s, want %s", q.bodies, want)
		}
		s.started = nil
		if _, err := s.Handle(t.Context(), q.event()); err != nil || len(s.started) != 1002 {
			t.Errorf("%d refreshed, %v", len(s.started), err)
		}
	})
}
