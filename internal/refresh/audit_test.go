package refresh

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/pkg/providers"
)

// A line is one line of the log.
type line struct {
	Level, Msg, Provider, Outcome, Code, Reason string
	ConnectionID                                string `json:"connection_id"`
	Fence                                       int64
	RefreshExpiresAt                            time.Time `json:"refresh_expires_at"`
}

// lines sends the log of f to a place from which it can be read, down to the
// level of debug, and returns what reads it.
func (f *fixture) lines(t *testing.T) func(message string) []line {
	t.Helper()
	log := new(strings.Builder)
	f.Log = canary.Log(t, slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return func(message string) (found []line) {
		t.Helper()
		for text := range strings.Lines(log.String()) {
			var l line
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatal(err)
			}
			if l.Msg == message {
				found = append(found, l)
			}
		}
		return found
	}
}

// commitsFail keeps new tokens out of the store.
func (f *fixture) commitsFail() {
	f.store.OnWrite = func(op string, _ any) (bool, error) {
		return op != "Commit", map[bool]error{true: errAway}[op == "Commit"]
	}
}

// Each attempt leaves one line, whatever becomes of it.
func TestEachAttemptLeavesOneLine(t *testing.T) {
	answers := func(e *oauth.Error) func(*fixture) { return func(f *fixture) { f.endpoint.answer = refuse(e) } }
	refusal := &oauth.Error{Status: 400, Code: "invalid_grant"}
	tests := []struct {
		name string
		set  func(*fixture)
		want line
	}{
		{"refreshed", func(*fixture) {}, line{Level: "DEBUG", Outcome: "refreshed"}},
		{"not sent", answers(&oauth.Error{NotSent: true}), line{Level: "WARN", Outcome: "not_sent", Code: "unreachable"}},
		{"no answer", answers(&oauth.Error{}), line{Level: "WARN", Outcome: "unknown", Code: "no_answer"}},
		{"no answer, harmless", func(f *fixture) {
			f.secrets.client.Provider.Rotation = providers.Reusable
			f.endpoint.answer = refuse(&oauth.Error{Status: 502})
		}, line{Level: "WARN", Outcome: "unknown", Code: "http_502"}},
		{"limited", answers(&oauth.Error{Status: 429}), line{Level: "WARN", Outcome: "failed", Code: "http_429"}},
		{"refused", answers(refusal), line{Level: "WARN", Outcome: "refused", Code: "invalid_grant"}},
		{"refused, and the store away", func(f *fixture) { f.endpoint.answer = refuse(refusal); f.commitsFail() },
			line{Level: "WARN", Outcome: "refused", Code: "invalid_grant"}},
		{"our client is refused", answers(&oauth.Error{Status: 401, Code: "invalid_client"}), line{Level: "ERROR", Outcome: "misconfigured", Code: "invalid_client"}},
		{"another client's", func(f *fixture) { f.secrets.client.ID = "another" }, line{Level: "ERROR", Outcome: "unusable", Code: "internal"}},
		{"spilled", func(f *fixture) { f.Spill = new(connectiontest.Spill); f.commitsFail() }, line{Level: "ERROR", Outcome: "spilled", Code: "internal"}},
		{"logged", (*fixture).commitsFail, line{Level: "ERROR", Outcome: "logged", Code: "internal"}},
		{"superseded", func(f *fixture) {
			f.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
				_, err := f.store.Disconnect(context.Background(), f.key, time.Now())
				return rotated(1), err
			}
		}, line{Level: "WARN", Outcome: "superseded"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				lines := f.lines(t)
				f.connect(t, f.key)
				tt.set(f)
				_, _ = f.Renew(t.Context(), f.key, 0)
				tt.want.Msg, tt.want.Provider, tt.want.ConnectionID, tt.want.Fence = "refresh", "acme", "acct_1", 2
				if got := lines("refresh"); len(got) != 1 || got[0] != tt.want {
					t.Errorf("lines %+v, want %+v", got, tt.want)
				}
				if got := lines("refresh not begun"); len(got) != 0 {
					t.Errorf("an attempt that was none: %+v", got)
				}
			})
		})
	}
}

// What has claimed nothing is no attempt: who comes second says nothing, and
// what keeps a refresh from beginning is said once.
func TestWhatIsNoAttemptLeavesNoLineOfOne(t *testing.T) {
	tests := []struct {
		name string
		set  func(*fixture)
		want int // lines that say why
	}{
		{"not due", func(f *fixture) { f.key.ConnectionID = "nobody" }, 0},
		{"no credentials", func(f *fixture) { f.secrets.err = oauth.ErrNotConfigured }, 1},
		{"store away", func(f *fixture) { f.store.OnWrite = func(string, any) (bool, error) { return false, errAway } }, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				lines := f.lines(t)
				f.connect(t, f.key)
				tt.set(f)
				_, _ = f.Renew(t.Context(), f.key, 0)
				if got := lines("refresh not begun"); len(got) != tt.want || len(lines("refresh")) != 0 {
					t.Errorf("lines %+v and %+v", got, lines("refresh"))
				}
			})
		})
	}
}

func TestARecoveryAndAMarkAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		lines := f.lines(t)
		f.Spill = new(connectiontest.Spill)
		f.connect(t, f.key)
		f.commitsFail()
		f.renew(t, Failed)
		f.store.OnWrite = nil
		<-time.After(3 * time.Minute)
		f.renew(t, Refreshed)
		f.endpoint.answer = refuse(&oauth.Error{Status: 400, Code: "invalid_grant"})
		for range 2 {
			<-time.After(3 * time.Hour)
			f.renew(t, Failed)
		}
		got := lines("refresh")
		if len(got) != 4 || got[1].Outcome != "recovered" || got[1].Level != "WARN" || got[3].Outcome != "marked" || got[3].Reason != "invalid_grant" {
			t.Errorf("lines %+v", got)
		}
	})
}

// The run learns what the provider has asked for.
func TestAReportTellsOfThePauseThatTheProviderWants(t *testing.T) {
	tests := []struct {
		name   string
		answer func(context.Context, oauth.Secret) (oauth.TokenSet, error)
		want   time.Duration
	}{
		{"nothing", nil, 0},
		{"with tokens", func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
			tokens := rotated(1)
			tokens.Pause = 40 * time.Second
			return tokens, nil
		}, 40 * time.Second},
		{"with a refusal", refuse(&oauth.Error{Status: 429, RetryAfter: time.Minute}), time.Minute},
		{"with an unknown outcome", refuse(&oauth.Error{Status: 503, RetryAfter: time.Minute}), time.Minute},
		{"with invalid_grant", refuse(&oauth.Error{Status: 400, Code: "invalid_grant", RetryAfter: time.Minute}), time.Minute},
		{"absurdly", refuse(&oauth.Error{Status: 429, RetryAfter: 1000 * time.Hour}), time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.connect(t, f.key)
				f.endpoint.answer = tt.answer
				if got, _ := f.Renew(t.Context(), f.key, 0); got.Pause != tt.want {
					t.Errorf("pause %v, want %v", got.Pause, tt.want)
				}
			})
		})
	}
}

// The host can ask its user in time: once, and not for what lasts.
func TestTheEndOfARefreshTokenIsToldOnceDaysAhead(t *testing.T) {
	const day = 24 * time.Hour
	tests := []struct {
		name   string
		leads  []time.Duration // of the refresh token's end at connecting and at each refresh; 0: unknown
		events int
	}{
		{"unknown", []time.Duration{0, 0, 0}, 0},
		{"far away", []time.Duration{30 * day, 20 * day, 7*day + 2*time.Hour}, 0},
		{"told before the refresh that would come too late", []time.Duration{30 * day, 7*day + time.Hour, 6 * day}, 1},
		{"comes near", []time.Duration{9 * day, 8 * day, 7*day - time.Minute, 6 * day}, 1},
		{"near from the start", []time.Duration{3 * day, 2 * day, day}, 1},
		{"put off, and near again", []time.Duration{8 * day, 6 * day, 30 * day, 5 * day}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				lines := f.lines(t)
				var lead time.Duration
				answer := func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
					tokens := rotated(1)
					if lead > 0 {
						tokens.RefreshExpiresAt = time.Now().Add(lead)
					}
					return tokens, nil
				}
				f.endpoint.answer = answer
				lead = tt.leads[0]
				tokens, _ := answer(t.Context(), "")
				c, err := connection.New(f.key, f.secrets.client, tokens, f.secrets.keys, 4)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.store.Connect(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				for _, lead = range tt.leads[1:] {
					<-time.After(2 * time.Hour)
					f.renew(t, Refreshed)
				}
				got := lines("reauthorization expected")
				if len(got) != tt.events {
					t.Errorf("events %+v, want %d", got, tt.events)
				}
				for _, l := range got {
					if l.ConnectionID != "acct_1" || l.RefreshExpiresAt.Before(time.Now().Add(-day)) || l.RefreshExpiresAt.After(time.Now().Add(8*day)) {
						t.Errorf("event %+v", l)
					}
				}
			})
		})
	}
}

// Failures move the next refresh, and so can bring the end near: the refresh that
// succeeds at last would find it told.
func TestTheEndOfARefreshTokenIsToldWhereFailuresBringItNear(t *testing.T) {
	for _, failure := range []*oauth.Error{{NotSent: true}, {}} { // the second, of unknown outcome, keeps the lease
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			lines := f.lines(t)
			f.connect(t, f.key)
			end := time.Now().Add(7*24*time.Hour + 3*time.Hour + 50*time.Minute)
			answers := func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
				tokens := rotated(1)
				tokens.RefreshExpiresAt = end
				return tokens, nil
			}
			f.endpoint.answer = answers
			<-time.After(2 * time.Hour)
			f.renew(t, Refreshed)
			if got := lines("reauthorization expected"); len(got) != 0 {
				t.Fatalf("told after the first refresh: %+v", got)
			}
			f.endpoint.answer = refuse(failure)
			<-time.After(2 * time.Hour)
			_ = f.renewErr(t, Failed)
			f.endpoint.answer = answers
			<-time.After(2 * time.Hour)
			f.renew(t, Refreshed)
			if got := lines("reauthorization expected"); len(got) != 1 {
				t.Errorf("told %d times after %+v", len(got), failure)
			}
		})
	}
}

// An error of the provider's stays recognizable, so that a run can judge how it
// fares.
func TestAnErrorOfTheProviderStaysOne(t *testing.T) {
	for _, e := range []*oauth.Error{{}, {NotSent: true}, {Status: 503}, {Status: 429}, {Status: 400, Code: "invalid_grant"}, {Status: 401, Code: "invalid_client"}} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.connect(t, f.key)
			f.endpoint.answer = refuse(e)
			var got *oauth.Error
			if err := f.renewErr(t, Failed); !errors.As(err, &got) || got != e {
				t.Errorf("%+v became %v", e, err)
			}
		})
	}
}
