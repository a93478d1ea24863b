package lambdatest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/lambdatest"
	"github.com/evergrant/evergrant/internal/metricstest"
)

// counted returns what a function has printed as metrics, "name provider outcome
// value" each, without those that are times, and how many lines that took.
func (d *deployment) counted(function string) (counts []string, lines int) {
	d.t.Helper()
	points, lines, err := metricstest.Read(d.function(function).Output())
	if err != nil {
		d.t.Fatal(err)
	}
	for _, p := range points {
		if p.Namespace != "Evergrant" || p.Dimensions["FunctionName"] != function {
			d.t.Errorf("%s prints %+v", function, p)
		}
		if p.Unit != "Seconds" && (p.Metric != "Connections" || len(p.Dimensions) == 3) {
			counts = append(counts, strings.Join(strings.Fields(fmt.Sprintln(p.Metric, p.Dimensions["Provider"], p.Dimensions["Outcome"], p.Value)), " "))
		}
	}
	return counts, lines
}

// The functions as they are deployed, with the log format and level of the
// template, print lines that CloudWatch makes metrics of: one a run.
func TestTheFunctionsPrintMetrics(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	d.connect("whatnot")
	d.sweep()
	if counts, lines := d.counted("RefreshFunction"); lines != 1 || len(counts) > 0 {
		t.Errorf("an idle sweep prints %d lines, %q", lines, counts)
	}
	d.makeDue(connectionID, "whatnot", "0")
	d.sweep()
	d.ask("refresh", connectionID, "whatnot", nil)
	d.ask("get", connectionID, "whatnot", nil)
	d.ask("disconnect", connectionID, "whatnot", nil)
	for function, want := range map[string][]string{
		"CallbackFunction":    {"Connections whatnot connected 1"},
		"RefreshFunction":     {"Refreshes whatnot refreshed 1"},
		"ConnectionsFunction": {"Refreshes whatnot refreshed 1", "Connections whatnot disconnected 1"},
	} {
		runs := map[string]int{"CallbackFunction": 1, "RefreshFunction": 2, "ConnectionsFunction": 2}[function]
		if counts, lines := d.counted(function); lines != runs || !slices.Equal(counts, want) {
			t.Errorf("%s prints %d lines, %q, want %d, %q", function, lines, counts, runs, want)
		}
	}
	if _, lines := d.counted("AuthorizeFunction"); lines != 0 {
		t.Errorf("authorize prints %d lines of metrics", lines)
	}
}
