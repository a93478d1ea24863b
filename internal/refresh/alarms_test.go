package refresh

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/metricstest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/template"
)

// ownAlarms returns the alarms of the template that look at our own metrics.
func ownAlarms(t *testing.T) map[string]metricstest.Alarm {
	t.Helper()
	doc, err := template.Document("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]metricstest.Alarm{}
	resources, _ := doc["Resources"].(map[string]any)
	for id, resource := range resources {
		r, _ := resource.(map[string]any)
		properties, _ := r["Properties"].(map[string]any)
		if r["Type"] != "AWS::CloudWatch::Alarm" {
			continue
		}
		if !strings.Contains(fmt.Sprint(properties), "Namespace:Evergrant") {
			continue
		}
		if own[id], err = metricstest.ParseAlarm(properties); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if len(own) < 10 {
		t.Fatalf("only %d alarms look at our own metrics", len(own))
	}
	return own
}

// minutes plays a sweep at each full minute, n times, or as soon as the one
// before has ended.
func (w *watch) minutes(t *testing.T, n int) {
	t.Helper()
	for range n {
		next := time.Now().Truncate(time.Minute).Add(time.Minute)
		w.sweep(t)
		<-time.After(time.Until(next))
	}
}

// connectAt stores a connection that is due after d, with an access token that
// ends so long after that, and a refresh token of its own.
func (w *watch) connectAt(t *testing.T, i int, d, left time.Duration, refreshToken string) {
	t.Helper()
	tokens := rotated(0)
	tokens.IssuedAt, tokens.ExpiresAt = time.Now().Add(d+left-2*time.Hour), time.Now().Add(d+left)
	tokens.RefreshToken = oauth.Secret(refreshToken)
	k := connection.Key{ConnectionID: fmt.Sprintf("acct_%d", i), Provider: "acme"}
	c, err := connection.New(k, w.secrets.client, tokens, w.secrets.keys, w.Shards)
	if err != nil {
		t.Fatal(err)
	}
	c.Due.At = time.Now().Add(d)
	if _, err := w.store.Connect(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// due stores n connections that are due at once, with half an hour left.
func (w *watch) due(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		w.connectAt(t, i, 0, 30*time.Minute, "good")
	}
}

// healthy stores n connections that fall due one after the other for an hour.
func (w *watch) healthy(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		w.connectAt(t, i, time.Duration(i)*time.Hour/time.Duration(n), 12*time.Minute, "good")
	}
}

// revokes lets the provider refuse refresh tokens that are gone.
func (w *watch) revokes() {
	var n atomic.Int64
	w.endpoint.answer = func(_ context.Context, refreshToken oauth.Secret) (oauth.TokenSet, error) {
		if refreshToken == "gone" {
			return oauth.TokenSet{}, &oauth.Error{Status: 400, Code: "invalid_grant"}
		}
		return rotated(int(n.Add(1))), nil
	}
}

// Each alarm of the template on a metric of our own goes off in its incident, by
// its own threshold, and no other does.
func TestEachAlarmGoesOffInItsIncident(t *testing.T) {
	tests := []struct {
		name string
		play func(*testing.T, *watch)
		want []string
	}{
		{"a quiet hour", func(t *testing.T, w *watch) {
			w.healthy(t, 720)
			w.connectAt(t, 720, 0, time.Hour, "gone") // one user ends one grant
			w.revokes()
			answer, n, mu := w.endpoint.answer, 0, new(sync.Mutex)
			w.endpoint.answer = func(ctx context.Context, refreshToken oauth.Secret) (oauth.TokenSet, error) {
				mu.Lock()
				n++
				fails := n%100 == 0 // and one request in a hundred does not get through
				mu.Unlock()
				if fails {
					return oauth.TokenSet{}, &oauth.Error{NotSent: true}
				}
				return answer(ctx, refreshToken)
			}
			w.minutes(t, 65)
		}, nil},
		{"nothing is connected", func(t *testing.T, w *watch) { w.minutes(t, 60) }, nil},
		{"a provider is down", func(t *testing.T, w *watch) {
			w.due(t, 100)
			w.endpoint.answer = refuse(&oauth.Error{NotSent: true})
			w.minutes(t, 8)
		}, []string{"FailedShareAlarm"}},
		{"a provider hangs", func(t *testing.T, w *watch) {
			w.due(t, 100)
			w.endpoint.answer = after(oauth.RefreshTimeout, refuse(&oauth.Error{}))
			w.minutes(t, 8)
		}, []string{"FailedShareAlarm"}},
		{"a provider refuses all grants", func(t *testing.T, w *watch) {
			w.due(t, 200)
			w.endpoint.answer = after(time.Second, refuse(&oauth.Error{Status: 400, Code: "invalid_grant"}))
			w.minutes(t, 10)
		}, []string{"FailedShareAlarm", "MassRefusalAlarm"}},
		{"a provider refuses our client", func(t *testing.T, w *watch) {
			w.due(t, 100)
			w.endpoint.answer = refuse(&oauth.Error{Status: 401, Code: "invalid_client"})
			w.minutes(t, 8)
		}, []string{"FailedShareAlarm", "MisconfiguredAlarm"}},
		{"the secret of a provider is broken, until tokens have ended", func(t *testing.T, w *watch) {
			w.due(t, 100)
			w.secrets.err = oauth.ErrNotConfigured
			w.minutes(t, 35)
		}, []string{"FailedShareAlarm", "MisconfiguredAlarm", "OldestDueAlarm"}},
		{"a move to another client leaves connections behind", func(t *testing.T, w *watch) {
			w.due(t, 100)
			w.move(false)
			w.minutes(t, 8)
		}, []string{"MisconfiguredAlarm"}},
		{"DynamoDB takes no new tokens", func(t *testing.T, w *watch) {
			w.due(t, 5)
			w.Spill = new(connectiontest.Spill)
			w.commitsFail()
			w.minutes(t, 6)
		}, []string{"SpilledAlarm"}},
		{"nor does Secrets Manager", func(t *testing.T, w *watch) {
			w.due(t, 5)
			w.commitsFail()
			w.minutes(t, 6)
		}, []string{"TokensOnlyInLogAlarm"}},
		{"an answer is lost", func(t *testing.T, w *watch) {
			w.due(t, 1)
			w.endpoint.answer = refuse(&oauth.Error{})
			w.minutes(t, 1)
			w.endpoint.answer = refuse(&oauth.Error{Status: 400, Code: "invalid_grant"})
			w.minutes(t, 19)
		}, []string{"RotationLostAlarm"}},
		{"many users end their grants", func(t *testing.T, w *watch) {
			w.healthy(t, 300)
			for i := range 15 { // not at once: that would be a mass refusal
				w.connectAt(t, 300+i, time.Duration(i)*3*time.Minute, time.Hour, "gone")
			}
			w.revokes()
			w.minutes(t, 60)
		}, []string{"NeedsPersonAlarm"}},
		{"no sweep comes", func(t *testing.T, _ *watch) { <-time.After(6 * time.Minute) }, []string{"HeartbeatAlarm"}},
		{"sweeps cannot look", func(t *testing.T, w *watch) { w.h.Index = brokenIndex{}; w.minutes(t, 6) }, []string{"HeartbeatAlarm"}},
		{"the state table is away", func(t *testing.T, w *watch) {
			w.store.OnWrite = func(op string, _ any) (bool, error) {
				return op != "TakeSweep", map[bool]error{true: errAway}[op == "TakeSweep"]
			}
			w.minutes(t, 6)
		}, []string{"HeartbeatAlarm"}},
		{"more is due than sweeps can do", func(t *testing.T, w *watch) {
			for i := range 300 {
				w.connectAt(t, i, 0, time.Hour, "good")
			}
			w.revokes()
			w.h.Concurrency, w.endpoint.answer = 1, after(20*time.Second, w.endpoint.answer)
			w.minutes(t, 16)
		}, []string{"OldestDueAlarm"}},
		{"the connections table was exchanged", func(t *testing.T, w *watch) {
			id := "one"
			w.h.Table = &Table{ID: func(context.Context) (string, error) { return id, nil }, Hold: w.store.Hold, Providers: []string{"acme"}}
			w.healthy(t, 60)
			w.minutes(t, 2)
			id = "two"
			w.minutes(t, 16)
		}, []string{"OldestDueAlarm"}},
		{"a token is about to expire", func(t *testing.T, w *watch) { w.connectAt(t, 0, 0, 30*time.Second, "good"); w.minutes(t, 5) }, []string{"ExpiryAlarm"}},
	}
	own, met := ownAlarms(t), map[string]bool{}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatch(t)
				w.h.FunctionName = "RefreshFunction"
				from := time.Now()
				tt.play(t, w)
				points, to := w.points(t), time.Now()
				var got []string
				for id, alarm := range own {
					if alarm.Rings(points, from, to) {
						got = append(got, id)
						met[id] = true
					}
				}
				if slices.Sort(got); !slices.Equal(got, tt.want) {
					t.Errorf("goes off: %q, want %q", got, tt.want)
				}
			})
		})
	}
	for id := range own {
		if !met[id] {
			t.Errorf("%s goes off in no incident", id)
		}
	}
}
