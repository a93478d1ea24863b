package local_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/simulator"
)

// What a deployment tells the host stands in the log of local mode, without the
// ticket of a link.
func TestTheEventsForTheHostAreInTheLog(t *testing.T) {
	r := start(t)
	newPerson(t).connect(t, r, "whatnot", "demo", "approve")
	r.clock.Advance(25 * time.Second)
	r.sweep(t) // a refresh is no event
	for range 2 {
		r.Simulator.Answer("whatnot", simulator.Answer{Status: 400, Body: `{"error":"invalid_grant"}`})
		r.clock.Advance(10 * time.Minute)
		r.sweep(t)
	}
	if c := r.control(t, "get", "demo", "whatnot").Connection; c.Status != connection.ReauthorizationRequired {
		t.Fatalf("the connection is %s", c.Status)
	}
	newPerson(t).connect(t, r, "whatnot", "demo", "approve")
	newPerson(t).post(t, r.URL+"/disconnect", target("whatnot", "demo"))

	var got []string
	line := regexp.MustCompile(`level=INFO msg=event type="([^"]+)" .*detail\.connection_id=demo .*detail\.id=[0-9a-f]{32} .*detail\.provider=whatnot`)
	for l := range strings.Lines(r.log.String()) {
		if m := line.FindStringSubmatch(l); m != nil {
			got = append(got, m[1])
		}
	}
	want := []string{"Connection Connected", "Reauthorization Required", "Connection Reconnected", "Connection Disconnected"}
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q\n%s", got, want, r.log)
	}
	if log := r.log.String(); !strings.Contains(log, "detail.reconnect_url=[redacted] ") || strings.Contains(log, "ticket=") {
		t.Error("the line of an event lacks its link, or shows the ticket")
	}
}
