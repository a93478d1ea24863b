package connection

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// keys returns n keys such as callers choose them.
func keys(n int) []Key {
	out := make([]Key, n)
	for i := range out {
		out[i] = Key{ConnectionID: "acct_" + strconv.Itoa(i), Provider: "whatnot"}
	}
	return out
}

// When a grant is due, as the span after its issue in which the spread may put
// it: from just after the first to the second, the latest moment.
func TestDueAt(t *testing.T) {
	in := func(d time.Duration) time.Time { return noon.Add(d) }
	tests := []struct {
		name        string
		life        Life
		first, last time.Duration // zero: never due
	}{
		{"an access token of 2 h: a tenth before", Life{ExpiresAt: in(2 * time.Hour)}, 102 * time.Minute, 108 * time.Minute},
		{"of 30 d: a day before", Life{ExpiresAt: in(30 * day)}, 28*day + 12*time.Hour, 29 * day},
		{"of 1 y: a day before", Life{ExpiresAt: in(365 * day)}, 363*day + 12*time.Hour, 364 * day},
		{"of 100 y", Life{ExpiresAt: in(100 * 365 * day)}, 100*365*day - 36*time.Hour, 100*365*day - day},
		{"of 40 min: 5 min before", Life{ExpiresAt: in(40 * time.Minute)}, 32*time.Minute + 30*time.Second, 35 * time.Minute},
		{"of 10 min: a third before", Life{ExpiresAt: in(10 * time.Minute)}, 5 * time.Minute, 6*time.Minute + 40*time.Second},
		{"of 30 s: a third before", Life{ExpiresAt: in(30 * time.Second)}, 15 * time.Second, 20 * time.Second},
		{"of 3 s", Life{ExpiresAt: in(3 * time.Second)}, time.Second, 2 * time.Second},
		{"no expiry: taken for a day", Life{}, 20*time.Hour + 24*time.Minute, 21*time.Hour + 36*time.Minute},
		{"an expiry that is no later than the issue: taken for a day", Life{ExpiresAt: in(0)}, 20*time.Hour + 24*time.Minute, 21*time.Hour + 36*time.Minute},
		{"an expiry that is past: taken for a day", Life{ExpiresAt: in(-time.Hour)}, 20*time.Hour + 24*time.Minute, 21*time.Hour + 36*time.Minute},
		{"margin by definition", Life{ExpiresAt: in(2 * time.Hour), Margin: 30 * time.Minute}, 75 * time.Minute, 90 * time.Minute},
		{"margin by definition below 5 min", Life{ExpiresAt: in(2 * time.Hour), Margin: time.Minute}, 118*time.Minute + 30*time.Second, 119 * time.Minute},
		{"margin by definition above the life", Life{ExpiresAt: in(time.Hour), Margin: 2 * time.Hour}, 30 * time.Minute, 40 * time.Minute},
		{"idle, sooner than the expiry: half of it", Life{ExpiresAt: in(30 * day), Idle: 14 * day}, 7*day - 14*day/20, 7 * day},
		{"idle, later than the expiry", Life{ExpiresAt: in(2 * time.Hour), Idle: 365 * day}, 102 * time.Minute, 108 * time.Minute},
		{"a refresh token that ends sooner: a tenth before", Life{ExpiresAt: in(30 * day), RefreshExpiresAt: in(10 * day)}, 8*day + 12*time.Hour, 9 * day},
		{"a refresh token that ends later", Life{ExpiresAt: in(2 * time.Hour), RefreshExpiresAt: in(365 * day)}, 102 * time.Minute, 108 * time.Minute},
		{"a refresh token that is over", Life{ExpiresAt: in(2 * time.Hour), RefreshExpiresAt: in(-day)}, 102 * time.Minute, 108 * time.Minute},
		{"lazy: never", Life{ExpiresAt: in(2 * time.Hour), Lazy: true}, 0, 0},
		{"lazy without expiry: never", Life{Lazy: true}, 0, 0},
		{"lazy with a refresh token that ends", Life{ExpiresAt: in(2 * time.Hour), RefreshExpiresAt: in(100 * day), Lazy: true}, 85 * day, 90 * day},
		{"lazy with a refresh token that is over: never", Life{ExpiresAt: in(2 * time.Hour), RefreshExpiresAt: in(-day), Lazy: true}, 0, 0},
		{"lazy and idle", Life{ExpiresAt: in(2 * time.Hour), Idle: 100 * day, Lazy: true}, 45 * day, 50 * day},
		{"lazy, idle and a refresh token that ends sooner", Life{RefreshExpiresAt: in(10 * day), Idle: 100 * day, Lazy: true}, 8*day + 12*time.Hour, 9 * day},
		{"lazy, idle and a refresh token that ends later, as Whisk", Life{ExpiresAt: in(30 * day), RefreshExpiresAt: in(365 * day), Idle: 365 * day, Lazy: true}, 365*day/2 - 365*day/20, 365 * day / 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.life.IssuedAt = noon
			for _, k := range keys(500) {
				checkDue(t, k, tt.life, tt.first, tt.last)
			}
		})
	}
}

func checkDue(t *testing.T, k Key, l Life, first, last time.Duration) {
	t.Helper()
	due := DueAt(k, l)
	if last == 0 {
		if !due.IsZero() {
			t.Fatalf("%v: due %v, want never", k, due)
		}
		return
	}
	if after := due.Sub(noon); after < first || after > last {
		t.Fatalf("%v: due %v after the issue, want %v to %v", k, after, first, last)
	}
	if !due.After(l.IssuedAt) {
		t.Fatalf("%v: due %v, not after the issue", k, due)
	}
	if l.ExpiresAt.After(l.IssuedAt) && !l.Lazy && !due.Before(l.ExpiresAt) {
		t.Fatalf("%v: due %v, not before the expiry", k, due)
	}
	if l.RefreshExpiresAt.After(l.IssuedAt) && !due.Before(l.RefreshExpiresAt) {
		t.Fatalf("%v: due %v, after the refresh token's end", k, due)
	}
	if !due.Equal(due.Truncate(time.Second)) {
		t.Fatalf("%v: due %v, no whole second", k, due)
	}
	if again := DueAt(k, l); !again.Equal(due) {
		t.Fatalf("%v: due %v, then %v", k, due, again)
	}
}

// A clock that shows fractions of a second makes nothing due before its issue.
func TestDueAtBetweenSeconds(t *testing.T) {
	for life := 2 * time.Second; life < 3*time.Minute; life += 1700 * time.Millisecond {
		for fraction := time.Duration(0); fraction < time.Second; fraction += 99 * time.Millisecond {
			l := Life{IssuedAt: noon.Add(fraction), ExpiresAt: noon.Add(fraction + life)}
			for _, k := range keys(20) {
				if due := DueAt(k, l); !due.After(l.IssuedAt) || !due.Before(l.ExpiresAt) {
					t.Fatalf("issued %v, expires %v: due %v", l.IssuedAt, l.ExpiresAt, due)
				}
			}
		}
	}
}

// Connections that were made together fall due apart.
func TestDueAtIsSpreadEvenly(t *testing.T) {
	const n, slots = 10_000, 20
	for name, l := range map[string]Life{
		"by expiry":      {IssuedAt: noon, ExpiresAt: noon.Add(30 * day)},
		"by idleness":    {IssuedAt: noon, Lazy: true, Idle: 100 * day},
		"by refresh end": {IssuedAt: noon, Lazy: true, RefreshExpiresAt: noon.Add(100 * day)},
	} {
		t.Run(name, func(t *testing.T) {
			first, last := bounds(t, l)
			var counts [slots]int
			for _, k := range keys(n) {
				at := DueAt(k, l).Sub(first)
				counts[min(int(int64(at)*slots/int64(last.Sub(first)+1)), slots-1)]++
			}
			checkEven(t, counts[:], n)
		})
	}
}

// bounds returns the span that the spread of l can fill.
func bounds(t *testing.T, l Life) (first, last time.Time) {
	t.Helper()
	for i, k := range keys(10_000) {
		due := DueAt(k, l)
		if i == 0 || due.Before(first) {
			first = due
		}
		if due.After(last) {
			last = due
		}
	}
	if last.Sub(first) < 5*time.Hour {
		t.Fatalf("10 000 connections fall due within %v", last.Sub(first))
	}
	return first, last
}

func checkEven(t *testing.T, counts []int, n int) {
	t.Helper()
	want := n / len(counts)
	for i, c := range counts {
		if c < want*3/4 || c > want*5/4 {
			t.Errorf("slot %d holds %d of %d, want about %d: %v", i, c, n, want, counts)
		}
	}
}

func TestShardIsEven(t *testing.T) {
	for _, n := range []int{1, 2, 4, 7, 16} {
		counts := make([]int, n)
		for _, k := range keys(10_000) {
			of, shard, _ := strings.Cut(Shard(k, n), ".")
			i, err := strconv.Atoi(shard)
			if of != strconv.Itoa(n) || err != nil || i < 0 || i >= n {
				t.Fatalf("shard %q of %d", Shard(k, n), n)
			}
			counts[i]++
		}
		checkEven(t, counts, 10_000)
	}
}

// Each shard falls due as evenly as the whole.
func TestShardAndSpreadAreIndependent(t *testing.T) {
	l := Life{IssuedAt: noon, ExpiresAt: noon.Add(30 * day)}
	first, last := bounds(t, l)
	var counts [4 * 5]int
	for _, k := range keys(10_000) {
		shard := slices.Index([]string{"4.0", "4.1", "4.2", "4.3"}, Shard(k, 4))
		slot := int(int64(DueAt(k, l).Sub(first)) * 5 / int64(last.Sub(first)+1))
		counts[shard*5+slot]++
	}
	checkEven(t, counts[:], 10_000)
}

// The shard and the moment stand in the table: another release must not look
// for them elsewhere.
func TestShardAndSpreadAreStable(t *testing.T) {
	l := Life{IssuedAt: noon, ExpiresAt: noon.Add(2 * time.Hour)}
	tests := []struct {
		key   Key
		shard string
		due   time.Duration
	}{
		{Key{"acct_42", "whatnot"}, "4.3", time.Hour + 43*time.Minute + 44*time.Second},
		{Key{"acct_42", "whisk"}, "4.3", time.Hour + 42*time.Minute + 58*time.Second},
		{Key{"acct_43", "whatnot"}, "4.1", time.Hour + 45*time.Minute + 38*time.Second},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.key), func(t *testing.T) {
			if got := Shard(tt.key, 4); got != tt.shard {
				t.Errorf("shard = %s, want %s", got, tt.shard)
			}
			if got := DueAt(tt.key, l).Sub(noon); got != tt.due {
				t.Errorf("due after %v, want %v", got, tt.due)
			}
		})
	}
}

func TestShardOfNone(t *testing.T) {
	for _, n := range []int{0, -1, 1} {
		if got := Shard(Key{"a", "b"}, n); got != "1.0" {
			t.Errorf("shard of %d = %q", n, got)
		}
	}
}

// Full jitter: anything from ten seconds up to a limit that doubles from a
// minute to an hour.
func TestBackoff(t *testing.T) {
	limits := map[int]time.Duration{
		-1: time.Minute, 0: time.Minute, 1: time.Minute, 2: 2 * time.Minute, 3: 4 * time.Minute, 4: 8 * time.Minute,
		5: 16 * time.Minute, 6: 32 * time.Minute, 7: time.Hour, 8: time.Hour, 63: time.Hour, 64: time.Hour, 1 << 30: time.Hour,
	}
	for count, limit := range limits {
		if got := Backoff(count, 0); got != 10*time.Second {
			t.Errorf("Backoff(%d, 0) = %v", count, got)
		}
		if got := Backoff(count, 0.5); got != 10*time.Second+limit/2 {
			t.Errorf("Backoff(%d, 0.5) = %v, want half of %v more than 10s", count, got, limit)
		}
		if got := Backoff(count, 0.999999); got >= 10*time.Second+limit || got < limit {
			t.Errorf("Backoff(%d, 0.999999) = %v, want just below 10s more than %v", count, got, limit)
		}
	}
}
