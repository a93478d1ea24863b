package refresh

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/metricstest"
	"github.com/evergrant/evergrant/internal/oauth"
)

// A watch is a handler over a fixture, and the log of both.
type watch struct {
	*fixture
	h   *Handler
	log *strings.Builder
}

func newWatch(t testing.TB) *watch {
	t.Helper()
	w := &watch{fixture: newFixture(t), log: new(strings.Builder)}
	w.Log = canary.Log(t, slog.NewJSONHandler(w.log, nil))
	w.h = w.handler()
	w.h.FunctionName = "refresh"
	return w
}

// sweep plays one sweep, as the schedule does, and returns its answer.
func (w *watch) sweep(t testing.TB) Summary {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	got, err := w.h.Handle(ctx, []byte(`{"action":"sweep"}`))
	if err != nil {
		t.Logf("sweep: %v", err)
	}
	s, _ := got.(Summary)
	return s
}

// points returns what was printed.
func (w *watch) points(t testing.TB) []metricstest.Point {
	t.Helper()
	points, _, err := metricstest.Read(w.log.String())
	if err != nil {
		t.Fatal(err)
	}
	return points
}

// values returns the points of one sweep by the name of their metric, those of
// Refreshes with provider and outcome.
func (w *watch) values(t testing.TB) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	for _, p := range w.points(t) {
		name := p.Metric
		if o := p.Dimensions["Outcome"]; o != "" {
			name += " " + p.Dimensions["Provider"] + " " + o
		}
		if _, twice := values[name]; twice || p.Dimensions["FunctionName"] != "refresh" {
			t.Errorf("%s comes twice, or of %s", name, p.Dimensions["FunctionName"])
		}
		values[name] = p.Value
	}
	return values
}

// after lets an answer come after d.
func after(d time.Duration, answer func(context.Context, oauth.Secret) (oauth.TokenSet, error)) func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
	return func(ctx context.Context, refreshToken oauth.Secret) (oauth.TokenSet, error) {
		<-time.After(d)
		return answer(ctx, refreshToken)
	}
}

func TestASweepTellsWhatBecameOfItsRefreshes(t *testing.T) {
	answers := func(e *oauth.Error) func(*watch) { return func(w *watch) { w.endpoint.answer = refuse(e) } }
	refusal := &oauth.Error{Status: 400, Code: "invalid_grant"}
	tests := []struct {
		name string
		n    int // connections
		set  func(*watch)
		want map[string]float64 // beside OldestDueSeconds 0, and SecondsToExpiry 300 where there is Refreshes
	}{
		{"nothing due", 0, func(*watch) {}, nil},
		{"refreshed", 9, func(*watch) {}, map[string]float64{"Refreshes acme refreshed": 9}},
		{"many", 10, func(*watch) {}, map[string]float64{"Refreshes acme refreshed": 10, "FailedPercent": 0}},
		{"not sent", 1, answers(&oauth.Error{NotSent: true}), map[string]float64{"Refreshes acme failed": 1}},
		{"something else", 1, answers(&oauth.Error{Status: 418}), map[string]float64{"Refreshes acme failed": 1}},
		{"no answer", 1, answers(&oauth.Error{}), map[string]float64{"Refreshes acme unknown": 1}},
		{"refused", 1, answers(refusal), map[string]float64{"Refreshes acme refused": 1}},
		{"refused by the dozen", 12, answers(refusal), map[string]float64{"Refreshes acme refused": 12, "MassRefusal": 2, "FailedPercent": 100}},
		{"our client is refused", 1, answers(&oauth.Error{Status: 401, Code: "invalid_client"}), map[string]float64{"Refreshes acme misconfigured": 1, "Misconfigured": 2}},
		{"another client's", 1, func(w *watch) { w.secrets.client.ID = "another" }, map[string]float64{"Refreshes acme other": 1, "Misconfigured": 1}},
		{"spilled", 1, func(w *watch) { w.Spill = new(connectiontest.Spill); w.commitsFail() }, map[string]float64{"Refreshes acme other": 1, "Spilled": 1}},
		{"logged", 1, func(w *watch) { w.commitsFail() }, map[string]float64{"Refreshes acme other": 1, "TokensOnlyInLog": 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatch(t)
				w.connectMany(t, tt.n)
				tt.set(w)
				w.sweep(t)
				want := map[string]float64{"OldestDueSeconds": 0}
				maps.Copy(want, tt.want)
				if tt.n > 0 && tt.name != "another client's" {
					want["SecondsToExpiry"] = 300
				}
				if got := w.values(t); !maps.Equal(got, want) {
					t.Errorf("%v, want %v\n%s", got, want, w.log)
				}
			})
		})
	}
}

// An outage meets a dozen connections, and what is spared for it has failed too.
func TestTheShareOfAnOutageIsThatOfAllThatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t)
		w.connectMany(t, 100)
		w.endpoint.answer = after(time.Second, refuse(&oauth.Error{NotSent: true}))
		for range 3 {
			w.log.Reset()
			w.sweep(t)
			if got := w.values(t); got["FailedPercent"] != 100 || got["Refreshes acme failed"] > 12 {
				t.Errorf("%v", got)
			}
			<-time.After(time.Minute)
		}
	})
	synctest.Test(t, func(t *testing.T) { // nor is what a person holds
		w := newWatch(t)
		w.connectMany(t, 100)
		misconfigured := connection.Breaker{OpenUntil: time.Now().Add(time.Minute), Reason: connection.Misconfiguration}
		if err := errors.Join(w.store.SetBreaker(t.Context(), "acme", misconfigured), w.store.Hold(t.Context(), "acme", time.Now())); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Hour)
		w.sweep(t)
		if got := w.values(t); got["FailedPercent"] != 0 || got["Misconfigured"] != 0 {
			t.Errorf("held: %v", got)
		}
	})
	synctest.Test(t, func(t *testing.T) { // a rate limit is none
		w := newWatch(t)
		w.connectMany(t, 100)
		w.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
			tokens := rotated(1)
			tokens.Pause = time.Hour
			return tokens, nil
		}
		w.sweep(t)
		<-time.After(time.Minute)
		w.log.Reset()
		w.sweep(t)
		if got := w.values(t); got["FailedPercent"] != 0 {
			t.Errorf("limited: %v", got)
		}
	})
}

// What cannot be begun has no time to expiry: nothing was read of it.
func TestARefreshThatCannotBeBegunHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t)
		w.connectMany(t, 20)
		w.store.OnWrite = func(op string, _ any) (bool, error) {
			return op != "Claim", map[bool]error{true: errAway}[op == "Claim"]
		}
		w.sweep(t)
		if got, want := w.values(t), map[string]float64{"OldestDueSeconds": 0, "Refreshes acme failed": 20, "FailedPercent": 100}; !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t)
		w.connectMany(t, 20)
		w.secrets.err = oauth.ErrNotConfigured
		w.sweep(t)
		if got, want := w.values(t), map[string]float64{"OldestDueSeconds": 0, "Misconfigured": 1, "FailedPercent": 100}; !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	})
}

// A lost rotation is a person's matter once it is believed.
func TestALostRotationIsToldWhenItIsBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t)
		w.connectMany(t, 1)
		w.endpoint.answer = refuse(&oauth.Error{})
		w.sweep(t)
		w.endpoint.answer = refuse(&oauth.Error{Status: 400, Code: "invalid_grant"})
		for range 3 {
			<-time.After(5 * time.Minute)
			w.log.Reset()
			w.sweep(t)
			if got := w.values(t); got["Refreshes acme marked"] == 1 {
				if got["NeedsPerson"] != 1 || got["RotationLost"] != 1 {
					t.Errorf("%v", got)
				}
				return
			} else if got["NeedsPerson"] != 0 || got["RotationLost"] != 0 {
				t.Errorf("told too early: %v", got)
			}
		}
		t.Error("never marked")
	})
}

func TestASweepTellsHowLongItsOldestConnectionWaits(t *testing.T) {
	index := func(ages ...time.Duration) pages {
		p := pages{}
		for i, age := range ages {
			shard := connection.ShardKey(4, i)
			p.add(shard, "nobody", 1)
			p[shard][0].At = time.Now().Add(-age)
		}
		return p
	}
	tests := []struct {
		name  string
		index func() DueIndex
		want  []float64 // none: it could not look
	}{
		{"one of each shard", func() DueIndex { return index(time.Minute, 3*time.Hour, 0) }, []float64{10800}},
		{"a shard cannot be read", func() DueIndex { return brokenShards{pages: index(time.Minute, 3*time.Hour), first: "4.1"} }, []float64{60}},
		{"no shard can be read", func() DueIndex { return brokenIndex{} }, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatch(t)
				w.h.Index = tt.index()
				w.sweep(t)
				var got []float64
				for _, p := range w.points(t) {
					if p.Metric == "OldestDueSeconds" {
						got = append(got, p.Value)
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("%v, want %v", got, tt.want)
				}
			})
		})
	}
}

// What runs beside a sweep, or ends at once, is no heartbeat.
func TestASweepAloneIsAHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t)
		w.connectMany(t, 40)
		if _, err := w.store.TakeSweep(t.Context(), connection.Sweep{ID: "another", Now: time.Now(), Until: time.Now().Add(time.Minute), Shards: 4}); err != nil {
			t.Fatal(err)
		}
		w.sweep(t)
		if w.log.Len() > 0 {
			t.Errorf("an overlapping sweep prints %s", w.log)
		}
		if _, err := w.h.Handle(t.Context(), eventFile(t, "refresh-hints.json")); err != nil {
			t.Fatal(err)
		}
		got := w.values(t)
		if _, beat := got["OldestDueSeconds"]; beat || got["Refreshes acme refreshed"] == 0 {
			t.Errorf("a worker prints %v", got)
		}
	})
}

func TestALeftoverOfARunIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t)
		w.connectMany(t, 100)
		w.h.Concurrency = 1
		w.endpoint.answer = after(10*time.Second, func(context.Context, oauth.Secret) (oauth.TokenSet, error) { return rotated(1), nil })
		s := w.sweep(t)
		if got := w.values(t)["Remaining"]; s.Remaining < 90 || got != float64(s.Remaining) {
			t.Errorf("Remaining %v of %+v", got, s)
		}
	})
}

// Tokens that run out on purpose, or are too short-lived to be refreshed long
// before they end, are no news.
func TestSecondsToExpiryAreThoseOfTokensThatShouldNotRunOut(t *testing.T) {
	tests := []struct {
		name       string
		life, left time.Duration
		lazy, told bool
	}{
		{"of two hours", 2 * time.Hour, time.Minute, false, true},
		{"expired", 2 * time.Hour, -time.Hour, false, true},
		{"of a lazy client", 2 * time.Hour, -time.Hour, true, false},
		{"of five minutes", 5 * time.Minute, 30 * time.Second, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatch(t)
				tokens := rotated(0)
				tokens.IssuedAt, tokens.ExpiresAt = time.Now().Add(tt.left-tt.life), time.Now().Add(tt.left)
				c, err := connection.New(w.key, w.secrets.client, tokens, w.secrets.keys, 4)
				if err != nil {
					t.Fatal(err)
				}
				c.Due = connection.Due{Shard: connection.ShardKey(4, 0), At: time.Now()}
				if _, err := w.store.Connect(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				w.secrets.client.Lazy = tt.lazy
				w.sweep(t)
				left, told := w.values(t)["SecondsToExpiry"]
				if told != tt.told || told && left != tt.left.Seconds() {
					t.Errorf("%v, %v", left, told)
				}
			})
		})
	}
}

// However many connections there are, a run prints the same number of lines.
func TestTheLinesOfARunDoNotGrowWithItsConnections(t *testing.T) {
	for _, n := range []int{1, 100, 2000} {
		synctest.Test(t, func(t *testing.T) {
			w := newWatch(t)
			w.connectMany(t, n)
			w.sweep(t)
			if lines := strings.Count(w.log.String(), "\n"); lines != 2 { // and the sweep's own
				t.Errorf("%d connections: %d lines\n%s", n, lines, w.log)
			}
			if got := w.values(t)["Refreshes acme refreshed"]; got != float64(n) {
				t.Errorf("%v refreshes, want %d", got, n)
			}
		})
	}
}

func TestWithoutAFunctionNameNothingIsPrinted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t)
		w.h.FunctionName = ""
		w.connectMany(t, 20)
		w.sweep(t)
		if strings.Contains(w.log.String(), "_aws") {
			t.Errorf("%s", w.log)
		}
	})
}
