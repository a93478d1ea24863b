package connection

import (
	"testing"
	"time"
)

func TestAConnectionExpiresWhereItsNextRefreshMayComeTooLateToTell(t *testing.T) {
	const day = 24 * time.Hour
	connected := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	refreshed := connected.Add(30 * day)
	tests := []struct {
		name string
		c    Connection
		want bool
	}{
		{"a refresh token without an end", Connection{RefreshedAt: refreshed, Due: Due{At: refreshed}}, false},
		{"a week after the next refresh", Connection{RefreshedAt: refreshed, Due: Due{At: refreshed}, RefreshExpiresAt: refreshed.Add(7 * day)}, false},
		{"a second less", Connection{RefreshedAt: refreshed, Due: Due{At: refreshed}, RefreshExpiresAt: refreshed.Add(7*day - time.Second)}, true},
		{"put off by failures into the last week", Connection{RefreshedAt: refreshed, Due: Due{At: refreshed.Add(time.Hour)}, RefreshExpiresAt: refreshed.Add(7 * day)}, true},
		{"before the next refresh", Connection{RefreshedAt: refreshed, Due: Due{At: refreshed}, RefreshExpiresAt: refreshed.Add(-day)}, true},
		{"not refreshed since it was connected", Connection{RefreshedAt: connected, Due: Due{At: refreshed}, RefreshExpiresAt: refreshed.Add(day)}, false},
		{"nothing refreshes it", Connection{RefreshedAt: refreshed, RefreshExpiresAt: refreshed.Add(day)}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.c.ConnectedAt = connected
			if got := tt.c.Expiring(); got != tt.want {
				t.Errorf("Expiring = %v", got)
			}
		})
	}
}

// Told is the end that comes nearer, once; not one that each refresh moves on.
func TestAnEndThatEveryRefreshMovesOnIsNotTold(t *testing.T) {
	const day = 24 * time.Hour
	connected := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	after := func(refreshes int, ends time.Duration) Connection {
		at := connected.Add(time.Duration(refreshes) * time.Hour)
		return Connection{ConnectedAt: connected, RefreshedAt: at, Due: Due{At: at.Add(time.Hour)}, RefreshExpiresAt: connected.Add(ends)}
	}
	tests := []struct {
		name     string
		old, now Connection
		want     bool
	}{
		{"five days, of which none are added", after(0, 5*day), after(1, 5*day), true},
		{"told before", after(1, 5*day), after(2, 5*day), false},
		{"five days from each refresh on", after(0, 5*day), after(1, 5*day+time.Hour), false},
		{"a nearer end", after(0, 6*day), after(1, 5*day), true},
		{"put off into the last week, then refreshed with a new end", after(0, 8*day), after(30, 8*day+time.Hour), false},
	}
	for _, tt := range tests {
		if got := tt.now.StartsExpiring(tt.old); got != tt.want {
			t.Errorf("%s: StartsExpiring = %t", tt.name, got)
		}
	}
}
