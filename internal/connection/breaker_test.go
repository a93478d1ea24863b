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
