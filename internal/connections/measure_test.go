package connections

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/metricstest"
)

// What makes or ends a connection is counted; what looks, or was asked for
// wrongly, is not. Package wiring counts refreshes.
func TestWhatEndsHereIsCounted(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.Log, f.FunctionName = canary.Log(t, slog.NewJSONHandler(f.log, nil)), "connections"
		for _, input := range []string{
			`{"action":"import","connection_id":"acct_1","provider":"whatnot","access_token":"c4nary-access-1"}`,
			`{"action":"get","connection_id":"acct_1","provider":"whatnot"}`,
			`{"action":"list","connection_id":"acct_1"}`,
			`{"action":"issue","connection_id":"acct_2","provider":"whcc"}`,
			`{"action":"issue","connection_id":"acct_2","provider":"whatnot"}`,
			`{"action":"import","connection_id":"acct_2","provider":"unheard-of","access_token":"c4nary-access-1"}`,
			`{"action":"disconnect","connection_id":"acct_1","provider":"whatnot"}`,
			`{"action":"disconnect","connection_id":"acct_1","provider":"whiplash"}`,
		} {
			f.do(t, "%s", input)
		}
		points, _, err := metricstest.Read(f.log.String())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range points {
			if o := p.Dimensions["Outcome"]; o != "" {
				got = append(got, p.Metric+" "+p.Dimensions["Provider"]+" "+o)
			}
		}
		if want := []string{"Connections whatnot connected", "Connections whcc connected", "Connections whatnot disconnected"}; !slices.Equal(got, want) {
			t.Errorf("counted %q, want %q\n%s", got, want, f.log)
		}
	})
}
