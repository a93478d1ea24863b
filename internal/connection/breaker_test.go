package connection

import (
	"testing"
	"time"
)

func TestMassRefusal(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name            string
		refused, all    int
		counted, judged time.Time
		want            bool
	}{
		{"none", 0, 1000, noon, noon, false},
		{"ten of ten are few", 10, 10, noon, noon, false},
		{"eleven of eleven", 11, 11, noon, noon, true},
		{"eleven of 55 are a fifth", 11, 55, noon, noon, false},
		{"eleven of 54 are more", 11, 54, noon, noon, true},
		{"at the end of the hour", 11, 11, noon, noon.Add(time.Hour - time.Second), true},
		{"all of the hour before", 11, 11, noon, noon.Add(time.Hour), true},
		{"half of the hour before", 20, 20, noon, noon.Add(90 * time.Minute), false},
		{"half of the hour before is enough", 22, 22, noon, noon.Add(90 * time.Minute), true},
		{"two hours ago", 1000, 1000, noon, noon.Add(2 * time.Hour), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := Breaker{}.Count(Outcomes{Refreshes: tt.all, InvalidGrants: tt.refused}, tt.counted)
			if got := b.MassRefusal(tt.judged); got != tt.want {
				t.Errorf("MassRefusal = %v, want %v of %+v", got, tt.want, b)
			}
		})
	}
}

// A provider that refuses everybody from one minute to the next is not believed
// when the second strikes fall due three minutes later, however many refreshes
// succeeded in the hour before, and is believed again when it has come to itself.
func TestASuddenMassRefusalIsSeenBeforeASecondStrike(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, aMinute := range []int{4, 100, 10_000} {
		for offset := range 5 {
			var b Breaker
			now := noon.Add(time.Duration(offset) * time.Minute)
			for range 90 {
				b, now = b.Count(Outcomes{Refreshes: aMinute}, now), now.Add(time.Minute)
			}
			if b.MassRefusal(now) {
				t.Fatal("a mass refusal without one")
			}
			for range 3 {
				b, now = b.Count(Outcomes{Refreshes: aMinute, InvalidGrants: aMinute}, now), now.Add(time.Minute)
			}
			if !b.MassRefusal(now) {
				t.Errorf("%d refusals a minute for three minutes, begun %d minutes into a span, are believed: %+v", aMinute, offset, b)
			}
			for range 70 {
				b, now = b.Count(Outcomes{Refreshes: aMinute}, now), now.Add(time.Minute)
			}
			if b.MassRefusal(now) {
				t.Errorf("%d a minute: still a mass refusal 70 minutes later", aMinute)
			}
		}
	}
}

func TestBreakerIsOpenUntilItsTime(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	if (Breaker{}).Open(noon) {
		t.Error("the zero Breaker is open")
	}
	b := Breaker{OpenUntil: noon}
	if !b.Open(noon.Add(-time.Second)) || b.Open(noon) {
		t.Error("it is not open exactly until its time")
	}
}

func TestBreakerAfter(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	until := func(d time.Duration, opened int, reason string) Breaker {
		return Breaker{OpenUntil: noon.Add(d), Opened: opened, Reason: reason}
	}
	tests := []struct {
		name   string
		before Breaker
		signal Signal
		pause  time.Duration
		want   Breaker
	}{
		{"an answer changes nothing", Breaker{}, Answered, 0, Breaker{}},
		{"a failure of ours changes nothing", Breaker{InARow: 4}, NoSignal, time.Minute, Breaker{InARow: 4}},
		{"the first silence", Breaker{}, NoAnswer, 0, Breaker{InARow: 1}},
		{"the fourth, with a wish", Breaker{InARow: 3}, NoAnswer, time.Minute, Breaker{InARow: 4}},
		{"an answer in between", Breaker{InARow: 4}, Answered, 0, Breaker{}},
		{"the fifth opens", Breaker{InARow: 4}, NoAnswer, 0, until(30*time.Second, 1, Outage)},
		{"the fifth, with a wish", Breaker{InARow: 4}, NoAnswer, time.Minute, until(time.Minute, 1, Outage)},
		{"the fifth, with an absurd wish", Breaker{InARow: 4}, NoAnswer, 24 * time.Hour, until(time.Hour, 1, Outage)},
		{"half-open, the first opens again, twice as long", until(0, 1, Outage), NoAnswer, 0, until(time.Minute, 2, Outage)},
		{"and again", until(-time.Hour, 2, Outage), NoAnswer, 0, until(2*time.Minute, 3, Outage)},
		{"never longer than five minutes", until(-time.Hour, 4, Outage), NoAnswer, 0, until(5*time.Minute, 5, Outage)},
		{"not after a thousand either", until(-time.Hour, 1000, Outage), NoAnswer, 0, until(5*time.Minute, 1001, Outage)},
		{"half-open, an answer closes", until(0, 3, Outage), Answered, 0, Breaker{}},
		{"half-open after a rate limit, an outage is a first", until(0, 0, RateLimit), NoAnswer, 0, until(30*time.Second, 1, Outage)},
		{"an objection", Breaker{InARow: 3}, Objected, 0, Breaker{InARow: 4}},
		{"an answer after objections", Breaker{InARow: 4}, Answered, 0, Breaker{}},
		{"the fifth objection opens", Breaker{InARow: 4}, Objected, 0, until(5*time.Minute, 0, Misconfiguration)},
		{"an objection while half-open", Breaker{OpenUntil: noon.Add(-time.Second), Reason: Misconfiguration}, Objected, 0, Breaker{OpenUntil: noon.Add(-time.Second), Reason: Misconfiguration, InARow: 1}},
		{"a rate limit", Breaker{InARow: 3}, RateLimited, 7 * time.Second, until(7*time.Second, 0, RateLimit)},
		{"a rate limit of unknown length", Breaker{}, RateLimited, 0, until(time.Minute, 0, RateLimit)},
		{"an absurd rate limit", Breaker{}, RateLimited, 24 * time.Hour, until(time.Hour, 0, RateLimit)},
		{"a rate limit ends an outage: it is an answer", until(0, 3, Outage), RateLimited, time.Second, until(time.Second, 0, RateLimit)},
		{"misconfigured", Breaker{}, Misconfigured, time.Hour, until(5*time.Minute, 0, Misconfiguration)},
		{"open, a late silence", until(time.Second, 1, Outage), NoAnswer, 0, until(time.Second, 1, Outage)},
		{"open, a late answer", until(time.Second, 1, Outage), Answered, 0, until(time.Second, 1, Outage)},
		{"open, a late rate limit", until(time.Second, 0, Misconfiguration), RateLimited, time.Hour, until(time.Second, 0, Misconfiguration)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.before.After(tt.signal, tt.pause, noon, 0); got != tt.want {
				t.Errorf("After = %+v, want %+v", got, tt.want)
			}
		})
	}
	for i := range 100 {
		got := Breaker{InARow: 4}.After(NoAnswer, 0, noon, float64(i)/100).OpenUntil.Sub(noon)
		if got > 30*time.Second || got < 22*time.Second {
			t.Errorf("with jitter it is open for %v", got)
		}
	}
}

// What is counted stays whatever opens or closes.
func TestBreakerAfterKeepsTheCounts(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	b := Breaker{}.Count(Outcomes{Refreshes: 3, InvalidGrants: 1}, noon)
	for _, s := range []Signal{Answered, RateLimited, Misconfigured} {
		if got := b.After(s, 0, noon, 0); got.Hour != b.Hour || got.Recent != b.Recent {
			t.Errorf("signal %d: %+v", s, got)
		}
	}
}

func TestBreakerIsHalfOpenUntilAnAnswer(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	b := Breaker{OpenUntil: noon}
	if (Breaker{}).HalfOpen(noon) || b.HalfOpen(noon.Add(-time.Second)) || !b.HalfOpen(noon) || b.After(Answered, 0, noon, 0).HalfOpen(noon) {
		t.Error("it is not half-open exactly from its time to the next answer")
	}
}
