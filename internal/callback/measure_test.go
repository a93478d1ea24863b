package callback

import (
	"net/url"
	"slices"
	"testing"

	"github.com/evergrant/evergrant/internal/metricstest"
	"github.com/evergrant/evergrant/internal/simulator"
)

// ended returns the outcomes that were counted, in their order.
func (w *world) ended() (outcomes []string) {
	w.t.Helper()
	points, _, err := metricstest.Read(w.printed.String())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range points {
		if o := p.Dimensions["Outcome"]; p.Metric == "Connections" && o != "" {
			outcomes = append(outcomes, p.Dimensions["Provider"]+" "+o)
		}
	}
	return outcomes
}

// What ends here is counted once, however often the page is loaded; what is held
// for the host, or refused before anything was claimed, has not ended.
func TestAnAuthorizationIsCountedWhereItEnds(t *testing.T) {
	tests := []struct {
		name   string
		params url.Values // nil: the user approves
		answer simulator.Answer
		host   bool
		want   []string
	}{
		{"approved", nil, simulator.Answer{}, false, []string{"whatnot connected"}},
		{"declined", url.Values{"error": {"access_denied"}}, simulator.Answer{}, false, []string{"whatnot denied"}},
		{"the provider's error", url.Values{"error": {"server_error"}}, simulator.Answer{}, false, []string{"whatnot failed"}},
		{"the exchange fails", nil, simulator.Answer{Status: 400, Body: `{"error":"invalid_grant"}`}, false, []string{"whatnot failed"}},
		{"held for the host", nil, simulator.Answer{}, true, nil},
		{"declined at a host's", url.Values{"error": {"access_denied"}}, simulator.Answer{}, true, []string{"whatnot denied"}},
		{"unusable", url.Values{"code": {""}}, simulator.Answer{}, false, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.FunctionName = "callback"
			if tt.host {
				w.CompletionURL = "https://app.example.com/complete"
			}
			f := w.start("whatnot", nil)
			params := w.approve(f)
			if tt.params != nil {
				params = tt.params
				params.Set("state", f.State)
			}
			if tt.answer.Status != 0 {
				w.sim.Answer("whatnot", tt.answer)
			}
			for range 2 {
				w.handle(w.callback(f, params))
			}
			if got := w.ended(); !slices.Equal(got, tt.want) {
				t.Errorf("counted %q, want %q\n%s", got, tt.want, w.printed.String())
			}
		})
	}
}

// What the host completes ends there, also what it completes for another.
func TestACompletionIsCountedWhereItEnds(t *testing.T) {
	for _, own := range []bool{true, false} {
		w := newWorld(t)
		w.CompletionURL, w.FunctionName = "https://app.example.com/complete", "callback"
		f := w.start("whatnot", nil)
		handle, k, want := w.held(f, w.approve(f)), f.Key, "whatnot connected"
		if !own {
			k.ConnectionID, want = "acct_another", "whatnot failed"
		}
		for range 2 {
			w.completing(handle, k)
		}
		if got := w.ended(); !slices.Equal(got, []string{want}) {
			t.Errorf("own connection %v: counted %q, want %q\n%s", own, got, want, w.printed.String())
		}
	}
}
