package refresh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

// handler returns a Handler over f.
func (f *fixture) handler() *Handler {
	return &Handler{
		Index: f.store, Sweeps: f.store, Providers: f.store, Clients: f.secrets, Renew: f.Renew, Shards: 4, Concurrency: 8,
		NewID: f.NewID, Random: f.Random, Now: time.Now, Log: f.Log,
	}
}

// connectMany stores n connections that are due.
func (f *fixture) connectMany(t testing.TB, n int) {
	t.Helper()
	for i := range n {
		f.connect(t, connection.Key{ConnectionID: fmt.Sprintf("acct_%d", i), Provider: "acme"})
	}
}

func eventFile(t testing.TB, name string) json.RawMessage {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "events", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEveryShapeOfTheScheduleIsASweep(t *testing.T) {
	for _, name := range []string{"refresh.json", "refresh-rule.json", "refresh-sweep.json"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.connectMany(t, 20)
				got, err := f.handler().Handle(t.Context(), eventFile(t, name))
				if want := (Summary{Due: 20, Refreshed: 20}); err != nil || got != want {
					t.Errorf("Handle = %+v, %v; want %+v", got, err, want)
				}
			})
		})
	}
}

func TestTheSummaryNamesItsCountsAsTheContractDoes(t *testing.T) {
	b, err := json.Marshal(Summary{1, 2, 3, 4, 5})
	if want := `{"due":1,"refreshed":2,"failed":3,"skipped":4,"remaining":5}`; err != nil || string(b) != want {
		t.Errorf("%s, %v; want %s", b, err, want)
	}
}

func TestAnUnknownEventIsRefused(t *testing.T) {
	h := newFixture(t).handler()
	for _, raw := range []string{`"hello"`, `{`, `{"action":"drop"}`} {
		if _, err := h.Handle(t.Context(), json.RawMessage(raw)); err == nil || !strings.Contains(err.Error(), "sweep") {
			t.Errorf("%s: err = %v, want one that says what to send", raw, err)
		}
	}
}

func TestAShardHintRefreshesItsShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connectMany(t, 40)
		got, err := f.handler().Handle(t.Context(), eventFile(t, "refresh-hints.json"))
		if resp, ok := got.(events.SQSEventResponse); err != nil || !ok || len(resp.BatchItemFailures) != 0 {
			t.Fatalf("Handle = %+v, %v", got, err)
		}
		for i := range 40 {
			c := f.get(t, connection.Key{ConnectionID: fmt.Sprintf("acct_%d", i), Provider: "acme"})
			hinted := c.Due.Shard == "4.3" || c.Due.Shard == "4.1"
			if (c.AccessToken != "c4nary-access-0") != hinted {
				t.Errorf("shard %s: refreshed = %v", c.Due.Shard, !hinted)
			}
		}
	})
}

func TestAHintWhoseShardCannotBeReadComesBack(t *testing.T) {
	h := newFixture(t).handler()
	h.Index = brokenIndex{}
	raw := `{"Records":[{"messageId":"m1","eventSource":"aws:sqs","body":"{\"shard\":\"3\"}"},{"messageId":"m2","eventSource":"aws:sqs","body":"rubbish"}]}`
	got, err := h.Handle(t.Context(), json.RawMessage(raw))
	resp, _ := got.(events.SQSEventResponse)
	if err != nil || len(resp.BatchItemFailures) != 1 || resp.BatchItemFailures[0].ItemIdentifier != "m1" {
		t.Errorf("Handle = %+v, %v; want m1 to come back and the rubbish to be dropped", got, err)
	}
}

type brokenIndex struct{}

func (brokenIndex) Due(context.Context, string, time.Time, string) ([]connection.DueKey, string, error) {
	return nil, "", errors.New("throttled")
}

func TestAnOverlappingSweepEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connectMany(t, 5)
		f.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
			<-time.After(10 * time.Second)
			return rotated(1), nil
		}
		h := f.handler()
		var first sync.WaitGroup
		first.Go(func() {
			if got, err := h.sweep(t.Context()); err != nil || got.Refreshed != 5 {
				t.Errorf("first sweep = %+v, %v", got, err)
			}
		})
		<-time.After(time.Second)
		if got, err := h.sweep(t.Context()); err != nil || got != (Summary{}) {
			t.Errorf("overlapping sweep = %+v, %v; want all zero", got, err)
		}
		first.Wait()
		f.connectMany(t, 5)
		if got, err := h.sweep(t.Context()); err != nil || got.Refreshed != 5 {
			t.Errorf("sweep after the first = %+v, %v; want its lease to be free", got, err)
		}
	})
}

// A sweep begins nothing that it cannot finish; the rest stays in the index.
func TestASweepStopsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connectMany(t, 100)
		f.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
			<-time.After(10 * time.Second)
			return rotated(1), nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		got, err := f.handler().sweep(ctx)
		if err != nil || ctx.Err() != nil {
			t.Fatalf("sweep = %v, context %v", err, ctx.Err())
		}
		if got.Due != 100 || got.Remaining == 0 || got.Refreshed == 0 || got.Refreshed+got.Remaining != 100 || got.Failed != 0 {
			t.Errorf("sweep = %+v", got)
		}
	})
}

// A wrong client secret makes one alarm and one request a run, not ten
// thousand, and charges no connection.
func TestAMisconfiguredProviderIsAskedOnceARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connectMany(t, 50)
		f.endpoint.answer = refuse(&oauth.Error{Status: 401, Code: "invalid_client"})
		h := f.handler()
		h.Concurrency = 1
		got, err := h.sweep(t.Context())
		if want := (Summary{Due: 50, Failed: 1, Skipped: 49}); err != nil || got != want {
			t.Errorf("sweep = %+v, %v; want %+v", got, err, want)
		}
		if len(f.endpoint.sent) != 1 {
			t.Errorf("%d token requests, want 1", len(f.endpoint.sent))
		}
		for i := range 50 {
			if c := f.get(t, connection.Key{ConnectionID: fmt.Sprintf("acct_%d", i), Provider: "acme"}); c.Failure.Count != 0 || c.Status != connection.Active {
				t.Errorf("connection %d charged: %+v", i, c.Failure)
			}
		}
	})
}

// A connection that an operator has to look after keeps no other one waiting.
func TestOneUnusableConnectionKeepsNoOtherWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.secrets.client.ID = "old"
		f.connect(t, connection.Key{ConnectionID: "stale", Provider: "acme"})
		f.secrets.client.ID = "client"
		f.connectMany(t, 50)
		h := f.handler()
		h.Concurrency = 1
		if got, err := h.sweep(t.Context()); err != nil || got != (Summary{Due: 51, Refreshed: 50, Skipped: 1}) {
			t.Errorf("sweep = %+v, %v", got, err)
		}
	})
}

func TestASweepThatCannotReadTheIndexSaysSo(t *testing.T) {
	f := newFixture(t)
	h := f.handler()
	h.Index = brokenIndex{}
	if _, err := h.sweep(t.Context()); err == nil {
		t.Error("no error")
	}
	if _, err := f.store.TakeSweep(t.Context(), connection.Sweep{ID: "next", Now: time.Now(), Until: time.Now().Add(time.Minute)}); err != nil {
		t.Errorf("the sweep lease is still held: %v", err)
	}
}

func TestManyPagesAreAllRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connectMany(t, 3000) // more than one page a shard
		got, err := f.handler().sweep(t.Context())
		if want := (Summary{Due: 3000, Refreshed: 3000}); err != nil || got != want {
			t.Errorf("sweep = %+v, %v; want %+v", got, err, want)
		}
	})
}

// A function that could never finish a refresh must not look like one that
// finds nothing to do.
func TestATimeoutThatIsTooShortIsNamed(t *testing.T) {
	for _, raw := range []string{`{"action":"sweep"}`, `{"Records":[{"messageId":"m1","body":"{\"shard\":\"3\"}"}]}`} {
		for timeout, fine := range map[time.Duration]bool{15 * time.Second: false, 35 * time.Second: false, 40 * time.Second: true, time.Minute: true} {
			synctest.Test(t, func(t *testing.T) {
				h := newFixture(t).handler()
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				_, err := h.Handle(ctx, json.RawMessage(raw))
				if fine != (err == nil) {
					t.Errorf("%v: %v", timeout, err)
				}
				if !fine && (!errors.Is(err, ErrNoTime) || !strings.Contains(err.Error(), "Timeout of RefreshFunction to at least 40 seconds")) {
					t.Errorf("%v: %v; want one that names the setting and its least value", timeout, err)
				}
			})
		}
	}
}

// Spills that no refresh would find are looked for every ten minutes, and by a
// process that has just started.
func TestSpillsAreLookedForEveryTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		h := f.handler()
		calls := 0
		h.Rescue = func(context.Context) error { calls++; return errors.New("throttled") }
		for minute := range 21 {
			if _, err := h.sweep(t.Context()); err != nil {
				t.Errorf("a rescue that fails fails the sweep: %v", err)
			}
			if want := 1 + minute/10; calls != want {
				t.Fatalf("%d calls after %d minutes, want %d", calls, minute, want)
			}
			<-time.After(time.Minute)
		}
		if _, err := h.Handle(t.Context(), eventFile(t, "refresh-hints.json")); err != nil || calls != 3 {
			t.Errorf("a worker looked too: %d calls, %v", calls, err)
		}
	})
}
