package refresh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/oauth"
)

// A stage is a Handler on a due index of made-up keys. Its Renew does as told
// and notes what was asked of it.
type stage struct {
	*Handler
	store   *connectiontest.Memory
	index   pages
	clients map[string]oauth.Client // by provider
	answer  func(ctx context.Context, k connection.Key) (Report, error)
	log     bytes.Buffer

	mu      sync.Mutex
	started []call
	now     map[string]int // under way, by provider
	most    map[string]int // at once
}

// A call is one call of Renew.
type call struct {
	key connection.Key
	at  time.Time
}

// pages is a due index: keys by shard, oldest first, 500 on a page.
type pages map[string][]connection.DueKey

func (p pages) Due(_ context.Context, shard string, _ time.Time, cursor string) ([]connection.DueKey, string, error) {
	from, _ := strconv.Atoi(cursor)
	keys := p[shard]
	to := min(from+500, len(keys))
	if to == len(keys) {
		return keys[from:], "", nil
	}
	return keys[from:to], strconv.Itoa(to), nil
}

// add lets n connections of a provider be due, the next younger ones in a shard.
func (p pages) add(shard, provider string, n int) {
	for i := range n {
		p[shard] = append(p[shard], connection.DueKey{Key: connection.Key{ConnectionID: fmt.Sprintf("%s_%d", shard, i), Provider: provider}, At: time.Now()})
	}
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{
		store: new(connectiontest.Memory), index: pages{}, clients: map[string]oauth.Client{},
		answer: func(context.Context, connection.Key) (Report, error) { return Report{Result: Refreshed}, nil },
		now:    map[string]int{}, most: map[string]int{},
	}
	s.Handler = &Handler{
		Index: s.index, Sweeps: s.store, Providers: s.store, Clients: s, Renew: s.renew, Shards: 4, Concurrency: 128,
		NewID: func() string { return "sweep" }, Random: func() float64 { return 0 }, Now: time.Now,
		Log: canary.Log(t, slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	return s
}

func (s *stage) Client(_ context.Context, provider string) (oauth.Client, error) {
	return s.clients[provider], nil
}

func (s *stage) renew(ctx context.Context, k connection.Key, _ int64) (Report, error) {
	s.mu.Lock()
	s.started = append(s.started, call{k, time.Now()})
	s.now[k.Provider]++
	s.most[k.Provider] = max(s.most[k.Provider], s.now[k.Provider])
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now[k.Provider]--
		s.mu.Unlock()
	}()
	return s.answer(ctx, k)
}

// minute runs a sweep of 60 seconds.
func (s *stage) minute(t *testing.T) Summary {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got, err := s.sweep(ctx)
	if err != nil {
		t.Fatalf("sweep: %v", err)
	}
	if got.Due != got.Refreshed+got.Failed+got.Skipped+got.Remaining {
		t.Errorf("the parts of %+v are not the whole", got)
	}
	return got
}

// of returns the calls for a provider.
func (s *stage) of(provider string) (calls []call) {
	for _, c := range s.started {
		if c.key.Provider == provider {
			calls = append(calls, c)
		}
	}
	return calls
}

// takes lets every refresh take d.
func takes(d time.Duration) func(context.Context, connection.Key) (Report, error) {
	return func(context.Context, connection.Key) (Report, error) {
		<-time.After(d)
		return Report{Result: Refreshed}, nil
	}
}

func fails(err error) func(context.Context, connection.Key) (Report, error) {
	return func(context.Context, connection.Key) (Report, error) { return Report{Result: Failed}, err }
}

func TestAProviderThatHangsKeepsNoOtherWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index.add("4.0", "slow", 20_000)
		s.index.add("4.0", "quick", 3000)
		s.answer = func(ctx context.Context, k connection.Key) (Report, error) {
			if k.Provider == "slow" {
				<-time.After(30 * time.Second)
				return Report{Result: Failed}, &oauth.Error{Reason: "no answer"}
			}
			return takes(100*time.Millisecond)(ctx, k)
		}
		begin := time.Now()
		got := s.minute(t)
		quick := s.of("quick")
		if len(quick) != 3000 || quick[2999].at.Sub(begin) > 5*time.Second {
			t.Errorf("%d of 3000 refreshed at the quick provider", len(quick))
		}
		if n := len(s.of("slow")); n != slowStart || got.Refreshed != 3000 || got.Failed != n {
			t.Errorf("%d requests to the slow one, sweep = %+v", n, got)
		}
	})
}

// A lane that cannot keep up reads on by itself: nothing is skipped, nothing
// met twice, and the oldest come first.
func TestWhatDoesNotFitIsReadLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		for i := range 4 {
			s.index.add(connection.ShardKey(4, i), "slow", 4000)
			s.index.add(connection.ShardKey(4, i), "quick", 300)
			s.index.add(connection.ShardKey(4, i), "slow2", 1000)
		}
		s.answer = takes(100 * time.Millisecond)
		if got, want := s.minute(t), (Summary{Due: 21_200, Refreshed: 21_200}); got != want {
			t.Errorf("sweep = %+v, want %+v", got, want)
		}
		met := map[connection.Key]bool{}
		last := map[string]int{}
		for _, c := range s.started {
			if met[c.key] {
				t.Fatalf("%v was met twice", c.key)
			}
			met[c.key] = true
			shard, n, _ := strings.Cut(c.key.ConnectionID, "_")
			i, _ := strconv.Atoi(n)
			if i < last[shard+c.key.Provider]-s.Concurrency {
				t.Fatalf("%v came long after number %d", c.key, last[shard+c.key.Provider])
			}
			last[shard+c.key.Provider] = i
		}
	})
}

// What a lane holds does not grow with what is due.
func TestALaneHoldsLittle(t *testing.T) {
	l := newLane(new(pass), "acme")
	page := make([]connection.Key, 500)
	for i := range 200 {
		l.offer(place{fmt.Sprint(i % 4), fmt.Sprint(i)}, page)
	}
	if len(l.queue) != laneBuffer || l.due != 100_000 || len(l.behind) != 4 {
		t.Errorf("%d keys held of %d, reading on at %v", len(l.queue), l.due, l.behind)
	}
	for i, at := range []place{{"2", "2"}, {"3", "3"}, {"0", "4"}, {"1", "5"}} {
		if l.behind[i] != at {
			t.Errorf("reading on at %v, want the first page that did not fit, %v", l.behind[i], at)
		}
	}
}

func TestALaneBeginsSlowly(t *testing.T) {
	tests := []struct {
		name               string
		concurrency, limit int
		first, most        int
	}{
		{"wide", 128, 0, 8, 128},
		{"narrow", 4, 0, 4, 4},
		{"narrower by the provider", 128, 3, 3, 3},
		{"wider by the provider", 16, 1000, 8, 16},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				s.index.add("4.0", "acme", 2000)
				s.Concurrency, s.clients["acme"] = tt.concurrency, oauth.Client{RefreshConcurrency: tt.limit}
				s.answer = takes(time.Second)
				begin := time.Now()
				s.minute(t)
				first := 0
				for _, c := range s.started {
					if c.at.Sub(begin) < time.Second {
						first++
					}
				}
				if first != tt.first || s.most["acme"] != tt.most {
					t.Errorf("%d at first and %d at most, want %d and %d", first, s.most["acme"], tt.first, tt.most)
				}
			})
		})
	}
}

// While a provider is out, few connections are charged, and none while its
// breaker is open, in any run.
func TestAnOutageMeetsFewConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index.add("4.0", "acme", 1000)
		s.index.add("4.1", "beta", 10)
		out := func(ctx context.Context, k connection.Key) (Report, error) {
			if k.Provider == "beta" {
				return Report{Result: Refreshed}, nil
			}
			return fails(&oauth.Error{Status: 503})(ctx, k)
		}
		s.answer = out
		begin := time.Now()
		// Four failures, and those that were under way at the fifth.
		if got := s.minute(t); got.Failed < 5 || got.Failed > 4+slowStart || got.Refreshed != 10 || got.Skipped != 1000-got.Failed {
			t.Fatalf("first sweep = %+v", got)
		}
		b, _ := s.store.GetBreaker(t.Context(), "acme")
		if !b.OpenUntil.Equal(begin.Add(30*time.Second)) || b.Reason != connection.Outage || b.Opened != 1 {
			t.Fatalf("breaker = %+v", b)
		}
		if got := s.minute(t); got != (Summary{Due: 1010, Refreshed: 10, Skipped: 1000}) {
			t.Errorf("sweep while it is open = %+v", got)
		}
		<-time.After(time.Until(b.OpenUntil))
		if got := s.minute(t); got.Failed != 1 || got.Skipped != 999 {
			t.Errorf("half-open, a sweep = %+v, want one request", got)
		}
		if b, _ = s.store.GetBreaker(t.Context(), "acme"); b.Opened != 2 || time.Until(b.OpenUntil) != time.Minute {
			t.Errorf("breaker = %+v, want it open twice as long", b)
		}
		<-time.After(time.Until(b.OpenUntil))
		s.answer, s.most = takes(10*time.Millisecond), map[string]int{}
		s.started = nil
		if got := s.minute(t); got != (Summary{Due: 1010, Refreshed: 1010}) {
			t.Errorf("sweep after the outage = %+v", got)
		}
		if of := s.of("acme"); of[0].at.Equal(of[1].at) {
			t.Error("half-open, two requests went out at once")
		}
		if b, _ = s.store.GetBreaker(t.Context(), "acme"); b.OpenUntil != (time.Time{}) || b.Opened != 0 || b.Reason != "" {
			t.Errorf("breaker = %+v, want it closed", b)
		}
		if n := s.store.Calls()["SetBreaker"]; n != 3 {
			t.Errorf("%d writes of the breaker, want one for each change", n)
		}
		for line, want := range map[string]int{"provider does not answer": 2, "provider answers again": 1} {
			if n := strings.Count(s.log.String(), line); n != want {
				t.Errorf("%q is logged %d times, want %d:\n%s", line, n, want, &s.log)
			}
		}
	})
}

// Only what the provider does opens its breaker, and only where it would meet
// each of its connections.
// Some requests are never answered, at the best of providers. They end long
// after the others, together.
func TestAFewThatHangAreNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index.add("4.0", "acme", 1000)
		s.answer = func(ctx context.Context, k connection.Key) (Report, error) {
			if n, _ := strconv.Atoi(k.ConnectionID[len("4.0_"):]); n%50 == 0 && n < 900 {
				<-time.After(30 * time.Second)
				return fails(&oauth.Error{Reason: "no answer"})(ctx, k)
			}
			return takes(300*time.Millisecond)(ctx, k)
		}
		if got := s.minute(t); got != (Summary{Due: 1000, Refreshed: 982, Failed: 18}) {
			t.Errorf("sweep = %+v", got)
		}
		if b, _ := s.store.GetBreaker(t.Context(), "acme"); b != (connection.Breaker{Hour: b.Hour, Recent: b.Recent}) {
			t.Errorf("breaker = %+v, want it closed", b)
		}
	})
}

// All that is under way when a provider falls silent tells so, at once: no other
// takes the place of one of these.
func TestAnOutageInTheMiddleOfARunIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index.add("4.0", "acme", 5000)
		begin := time.Now()
		s.answer = func(ctx context.Context, k connection.Key) (Report, error) {
			if time.Since(begin) < 2*time.Second {
				<-time.After(300 * time.Millisecond)
				if time.Since(begin) < 2*time.Second {
					return Report{Result: Refreshed}, nil
				}
			}
			<-time.After(10 * time.Second)
			return fails(&oauth.Error{Reason: "no answer"})(ctx, k)
		}
		got := s.minute(t)
		if got.Refreshed < 100 || got.Failed > 5+s.Concurrency {
			t.Errorf("sweep = %+v, want no more failures than were under way, and a few", got)
		}
		if b, _ := s.store.GetBreaker(t.Context(), "acme"); b.Reason != connection.Outage {
			t.Errorf("breaker = %+v, want it open", b)
		}
	})
}

func TestOtherFailuresOpenNothing(t *testing.T) {
	for name, err := range map[string]error{
		"the store":                 errors.New("throttled"),
		"one connection":            fmt.Errorf("%w: %w", errUnusable, oauth.ErrNotConfigured),
		"refused grants":            &oauth.Error{Status: 400, Code: "invalid_grant"},
		"a refusal without a code":  &oauth.Error{Status: 400},
		"somebody else was quicker": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				s.index.add("4.0", "acme", 300)
				s.answer = fails(err)
				if got := s.minute(t); got != (Summary{Due: 300, Failed: 300}) {
					t.Errorf("sweep = %+v", got)
				}
				if n := s.store.Calls()["SetBreaker"]; n != 0 {
					t.Errorf("%d writes of the breaker", n)
				}
			})
		})
	}
}

// Whatever keeps secrets away costs no connection a try.
func TestWithoutClientCredentialsNothingBegins(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want Summary
		line string
	}{
		{"out of reach", errors.New("throttled"), Summary{Due: 3, Remaining: 3}, "refreshes failed on our side"},
		{"not configured", fmt.Errorf("%w: no secret", oauth.ErrNotConfigured), Summary{Due: 3, Skipped: 3}, "provider misconfigured"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				s.index.add("4.0", "acme", 3)
				s.Clients = noClients{tt.err}
				if got := s.minute(t); got != tt.want || len(s.started) != 0 {
					t.Errorf("sweep = %+v after %d tries, want %+v", got, len(s.started), tt.want)
				}
				if n := strings.Count(s.log.String(), tt.line); n != 1 {
					t.Errorf("%q is logged %d times", tt.line, n)
				}
			})
		})
	}
}

type noClients struct{ err error }

func (n noClients) Client(context.Context, string) (oauth.Client, error) {
	return oauth.Client{}, n.err
}

// A limit that is renewed within the run is waited for, and nothing is written;
// a longer one is left to a later run.
func TestARateLimitIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index.add("4.0", "acme", 40)
		n := 0
		s.answer = func(context.Context, connection.Key) (Report, error) {
			if n++; n%10 == 0 {
				return Report{Result: Refreshed, Pause: 2 * time.Second}, nil
			}
			return Report{Result: Refreshed}, nil
		}
		s.Concurrency = 1
		begin := time.Now()
		if got := s.minute(t); got != (Summary{Due: 40, Refreshed: 40}) {
			t.Errorf("sweep = %+v", got)
		}
		for i, c := range s.started {
			if want := time.Duration(i/10) * 2 * time.Second; c.at.Sub(begin) != want {
				t.Fatalf("request %d after %v, want %v", i, c.at.Sub(begin), want)
			}
		}
		if n := s.store.Calls()["SetBreaker"]; n != 0 {
			t.Errorf("%d writes for pauses that end in the run", n)
		}

		s.answer = fails(&oauth.Error{Status: 429, RetryAfter: 10 * time.Minute})
		begin = time.Now()
		if got := s.minute(t); got != (Summary{Due: 40, Failed: 1, Skipped: 39}) {
			t.Errorf("sweep = %+v", got)
		}
		b, _ := s.store.GetBreaker(t.Context(), "acme")
		if b.Reason != connection.RateLimit || !b.OpenUntil.Equal(begin.Add(10*time.Minute)) || !time.Now().Equal(begin) {
			t.Errorf("breaker = %+v", b)
		}
	})
}

// After a pause that it sat out, a wide lane asks with one request first.
func TestALaneComesBackSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index.add("4.0", "acme", 1000)
		limited := false
		s.answer = func(ctx context.Context, k connection.Key) (Report, error) {
			report, err := takes(100*time.Millisecond)(ctx, k)
			s.mu.Lock()
			defer s.mu.Unlock()
			if !limited && len(s.started) > 500 {
				limited, report.Pause = true, 5*time.Second
			}
			return report, err
		}
		s.minute(t)
		var first []call // after the pause
		for i, c := range s.started {
			if i > 0 && c.at.Sub(s.started[i-1].at) >= 4*time.Second {
				first = s.started[i:]
			}
		}
		if len(first) < 100 || first[0].at.Equal(first[1].at) || first[1].at.Sub(first[0].at) < 100*time.Millisecond {
			t.Fatalf("%d requests after the pause, the first at once", len(first))
		}
		if len(s.started) != 1000 || s.most["acme"] != s.Concurrency {
			t.Errorf("%d requests, %d at once at most", len(s.started), s.most["acme"])
		}
	})
}

// Each outcome says of the provider what it says, and no more.
func TestSignal(t *testing.T) {
	refreshed, failed := Report{Result: Refreshed}, Report{Result: Failed}
	tests := []struct {
		name   string
		report Report
		err    error
		want   connection.Signal
		pause  time.Duration
	}{
		{"refreshed", refreshed, nil, connection.Answered, 0},
		{"refreshed with the last permit", Report{Result: Refreshed, Pause: time.Second}, nil, connection.RateLimited, time.Second},
		{"somebody else did it", Report{Result: Skipped}, nil, connection.NoSignal, 0},
		{"not sent", failed, &oauth.Error{NotSent: true}, connection.NoAnswer, 0},
		{"not sent, since no time was left", failed, fmt.Errorf("%w: %w", ErrNoTime, &oauth.Error{NotSent: true}), connection.NoSignal, 0},
		{"no answer", failed, &oauth.Error{}, connection.NoAnswer, 0},
		{"503 with a wish", failed, &oauth.Error{Status: 503, RetryAfter: time.Minute}, connection.NoAnswer, time.Minute},
		{"200 without tokens", failed, &oauth.Error{Status: 200}, connection.NoAnswer, 0},
		{"a firewall's page", failed, &oauth.Error{Status: 403, Foreign: true}, connection.NoAnswer, 0},
		{"429", failed, &oauth.Error{Status: 429}, connection.RateLimited, 0},
		{"429 with a page", failed, &oauth.Error{Status: 429, Foreign: true, RetryAfter: time.Minute}, connection.RateLimited, time.Minute},
		{"a refused grant", failed, &oauth.Error{Status: 400, Code: "invalid_grant"}, connection.Answered, 0},
		{"a refused grant with the last permit", failed, &oauth.Error{Status: 400, Code: "invalid_grant", RetryAfter: time.Second}, connection.RateLimited, time.Second},
		{"a code of its own", failed, &oauth.Error{Status: 400, Code: "unrecognized_error"}, connection.Answered, 0},
		{"our client is refused", failed, fmt.Errorf("%w: %w", errMisconfigured, &oauth.Error{Status: 401, Code: "invalid_client"}), connection.Misconfigured, 0},
		{"a scope is refused, perhaps to one user", failed, fmt.Errorf("%w: %w", errMisconfigured, &oauth.Error{Status: 400, Code: "invalid_scope"}), connection.Objected, 0},
		{"no client secret", failed, fmt.Errorf("x: %w", oauth.ErrNotConfigured), connection.Misconfigured, 0},
		{"a connection that cannot be used so", failed, fmt.Errorf("%w: %w", errUnusable, oauth.ErrNotConfigured), connection.NoSignal, 0},
		{"the store", failed, errors.New("throttled"), connection.NoSignal, 0},
		{"no time", failed, ErrNoTime, connection.NoSignal, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, pause := signal(tt.report, tt.err); got != tt.want || pause != tt.pause {
				t.Errorf("signal = %d, %v; want %d, %v", got, pause, tt.want, tt.pause)
			}
		})
	}
}

// A worker learns from the store that another has found the provider failing.
func TestAnOpeningElsewhereIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index.add("4.0", "acme", 5000)
		s.answer = func(context.Context, connection.Key) (Report, error) {
			s.mu.Lock()
			n := len(s.started)
			s.mu.Unlock()
			if n == countEvery-10 {
				_ = s.store.SetBreaker(t.Context(), "acme", connection.Breaker{OpenUntil: time.Now().Add(time.Hour), Opened: 1, Reason: connection.Outage})
			}
			return takes(time.Millisecond)(t.Context(), connection.Key{})
		}
		if got := s.minute(t); got.Refreshed < countEvery || got.Refreshed > countEvery+2*s.Concurrency {
			t.Errorf("sweep = %+v, want it to end after %d answers", got, countEvery)
		}
	})
}

// One write a run tells how many requests the provider has answered, but for
// the refused grants, which a refresh counts at once.
func TestAnswersAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		s.index.add("4.0", "acme", 100)
		n := 0
		s.Concurrency = 1
		s.answer = func(context.Context, connection.Key) (Report, error) {
			switch n++; {
			case n <= 10:
				return Report{Result: Failed}, &oauth.Error{Status: 400, Code: "invalid_grant"}
			case n <= 13:
				return Report{Result: Failed}, &oauth.Error{Status: 503}
			case n <= 20:
				return Report{Result: Skipped}, nil
			case n <= 25:
				return Report{Result: Failed}, &oauth.Error{Status: 400, Code: "unrecognized_error"}
			}
			return Report{Result: Refreshed}, nil
		}
		s.minute(t)
		b, _ := s.store.GetBreaker(t.Context(), "acme")
		if b.Hour.This != (connection.Outcomes{Refreshes: 80}) || s.store.Calls()["CountRefreshes"] != 1 {
			t.Errorf("counted %+v in %d writes, want 80 in one", b.Hour.This, s.store.Calls()["CountRefreshes"])
		}
	})
}
