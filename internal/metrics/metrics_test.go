package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/metricstest"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// printed returns what b prints, and its points as "name value dimensions".
func printed(t *testing.T, b *Batch, function string) (text string, lines int, points []string) {
	t.Helper()
	var log strings.Builder
	h := slog.NewJSONHandler(&log, &slog.HandlerOptions{ReplaceAttr: lambdacontext.ReplaceAttr})
	b.Log(context.Background(), canary.Log(t, h), function, noon)
	found, lines, err := metricstest.Read(log.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range found {
		if p.Namespace != "Evergrant" || !p.At.Equal(noon) {
			t.Errorf("point %+v", p)
		}
		names := slices.Sorted(maps.Keys(p.Dimensions))
		for i, name := range names {
			names[i] = p.Dimensions[name]
		}
		points = append(points, fmt.Sprintf("%s %v %s %s", p.Metric, p.Value, p.Unit, strings.Join(names, "/")))
	}
	slices.Sort(points)
	return log.String(), lines, points
}

func TestABatchIsALineAndOneMoreForEachOutcomeOfSeveral(t *testing.T) {
	at := func(o Outcome, left time.Duration, also ...Metric) Attempt {
		return Attempt{Outcome: o, Also: also, Began: noon, Expires: noon.Add(left)}
	}
	tests := []struct {
		name  string
		do    func(*Batch)
		lines int
		want  []string
	}{
		{"nothing", func(*Batch) {}, 0, nil},
		{"an idle sweep", func(b *Batch) { b.Set(OldestDueSeconds, 0); b.Add(Remaining, 0) }, 1, []string{"OldestDueSeconds 0 Seconds f"}},
		{"one outcome", func(b *Batch) {
			b.Set(OldestDueSeconds, 60)
			b.Refresh("whatnot", at(Refreshed, 5*time.Minute))
			b.Refresh("whatnot", at(Refreshed, 4*time.Minute))
			b.Refresh("whatnot", Attempt{Outcome: Refreshed})
		}, 1, []string{"OldestDueSeconds 60 Seconds f", "Refreshes 3 Count f/refreshed/whatnot", "SecondsToExpiry 240 Seconds f"}},
		{"several", func(b *Batch) {
			b.Refresh("whatnot", at(Marked, -time.Minute, NeedsPerson, RotationLost))
			b.Refresh("whatnot", at(Marked, time.Minute, NeedsPerson))
			b.Refresh("xero", at(Marked, time.Minute, NeedsPerson))
			b.Refresh("xero", Attempt{})
			b.Add(Remaining, 3)
		}, 3, []string{"NeedsPerson 3 Count f", "Refreshes 1 Count f/marked/xero", "Refreshes 2 Count f/marked/whatnot",
			"Remaining 3 Count f", "RotationLost 1 Count f", "SecondsToExpiry -60 Seconds f"}},
		{"a connection", func(b *Batch) { b.Connection("whatnot", AccountChanged) }, 1,
			[]string{"Connections 1 Count f", "Connections 1 Count f/account_changed/whatnot"}},
		{"a connection that is spilled", func(b *Batch) { b.Connection("whatnot", Other); b.Add(Spilled, 1) }, 1,
			[]string{"Connections 1 Count f", "Connections 1 Count f/other/whatnot", "Spilled 1 Count f"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := new(Batch)
			tt.do(b)
			text, lines, got := printed(t, b, "f")
			if lines != tt.lines || !slices.Equal(got, tt.want) {
				t.Errorf("%d lines, %q\nwant %d, %q\n%s", lines, got, tt.lines, tt.want, text)
			}
			if text, _, _ := printed(t, b, ""); text != "" {
				t.Errorf("a function without a name prints %s", text)
			}
		})
	}
}

// The heartbeat, as it stands in the log.
func TestTheLineOfAnIdleSweep(t *testing.T) {
	b := new(Batch)
	b.Set(OldestDueSeconds, 0)
	text, _, _ := printed(t, b, "evergrant-RefreshFunction")
	_, text, _ = strings.Cut(text, ",") // the time that it was printed
	want := `"level":"INFO","message":"metrics","_aws":{"Timestamp":1795435200000,"CloudWatchMetrics":[` +
		`{"Namespace":"Evergrant","Dimensions":[["FunctionName"]],"Metrics":[{"Name":"OldestDueSeconds","Unit":"Seconds"}]}]},` +
		`"FunctionName":"evergrant-RefreshFunction","OldestDueSeconds":0}` + "\n"
	if text != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
}

func TestTheShareIsOfTheWorstProviderThatSaysSomething(t *testing.T) {
	type share struct {
		provider    string
		failed, all int
	}
	tests := []struct {
		name   string
		shares []share
		want   string // what the line ends with
	}{
		{"too few", []share{{"whatnot", 9, 9}}, ""},
		{"enough", []share{{"whatnot", 9, 10}}, `"FailedPercent":90,"worst_provider":"whatnot"}`},
		{"all is well", []share{{"whatnot", 0, 1000}, {"xero", 0, 10}}, `"FailedPercent":0}`},
		{"the worse comes first", []share{{"xero", 5, 10}, {"whatnot", 1, 10}}, `"FailedPercent":50,"worst_provider":"xero"}`},
		{"the worse comes last", []share{{"whatnot", 1, 10}, {"xero", 5, 10}}, `"FailedPercent":50,"worst_provider":"xero"}`},
		{"the worst says nothing", []share{{"whatnot", 1, 10}, {"xero", 9, 9}}, `"FailedPercent":10,"worst_provider":"whatnot"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := new(Batch)
			for _, s := range tt.shares {
				b.Share(s.provider, s.failed, s.all)
			}
			if text, _, _ := printed(t, b, "f"); !strings.HasSuffix(strings.TrimSpace(text), tt.want) || (text == "") != (tt.want == "") {
				t.Errorf("%s, want …%s", text, tt.want)
			}
		})
	}
}

func TestABatchCountsWhatSeveralDoAtOnce(t *testing.T) {
	b := new(Batch)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 100 {
				b.Refresh("whatnot", Attempt{Outcome: Refreshed, Also: []Metric{Spilled}, Began: noon, Expires: noon.Add(time.Duration(i*100+j) * time.Second)})
			}
		})
	}
	wg.Wait()
	_, _, got := printed(t, b, "f")
	if want := []string{"Refreshes 2000 Count f/refreshed/whatnot", "SecondsToExpiry 0 Seconds f", "Spilled 2000 Count f"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
