package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/web"
	"github.com/evergrant/evergrant/pkg/providers"
)

// maxSkew is how far the clocks of those who sign tickets and of those who
// check them may be apart.
const maxSkew = time.Minute

// clock compares our clock with that of whose.
func clock(check string, ours, theirs time.Time, whose string) Finding {
	d := ours.Sub(theirs).Truncate(time.Second)
	way := "ahead of"
	if d < 0 {
		d, way = -d, "behind"
	}
	if d > maxSkew {
		return problem(check, fmt.Sprintf("this machine is %s %s %s", d, way, whose),
			"Set the clock of this machine, by NTP, and look at that of the machine that signs tickets: a ticket is refused when the two are more than a minute apart.")
	}
	return fine(check, "this machine and %s are %s apart", whose, d)
}

// kept are headers that every answer carries, and how each begins.
var kept = []struct{ name, value string }{
	{"Cache-Control", "no-store"}, {"Referrer-Policy", "no-referrer"}, {"X-Content-Type-Options", "nosniff"}, {"Strict-Transport-Security", "max-age="},
}

// answering checks that the public URL leads to our callback, which refuses a
// request without parameters, and compares the clocks. Ours says whether it does.
func answering(ctx context.Context, w Web, base, notRunning string) (findings []Finding, ours bool) {
	const check = "public_url"
	a, err := w.Get(ctx, base+"/callback/"+probed().ID, "application/problem+json")
	if err != nil {
		return []Finding{problem(check, fmt.Sprintf("%s does not answer: %v", base, err), notRunning)}, false
	}
	var p struct{ Type string }
	_ = json.Unmarshal(a.Body, &p) // what is no problem document is not ours
	header := http.Header(a.Header)
	ours = a.Status == web.BadCallback.Status && p.Type == "urn:evergrant:problem:"+web.BadCallback.Type
	lost := lostHeaders(header)
	switch {
	case !ours:
		findings = append(findings, problem(check, fmt.Sprintf("%s/callback/%s answers %d, and not as Evergrant does", base, probed().ID, a.Status),
			"See that the URL leads to the API of the stack with its path unchanged; if it does, the log of the callback function says more."))
	case len(lost) > 0:
		findings = append(findings, problem(check, fmt.Sprintf("%s answers, but %s is lost or changed on the way", base, strings.Join(lost, ", ")),
			"Have what stands in front of the API, such as a CDN, pass headers on as they are: they keep codes out of caches and of other sites."))
	default:
		findings = append(findings, fine(check, "%s answers as Evergrant does", base))
	}
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return append(findings, warning("clock", "not compared: the answer of "+base+" names no time", "Have what stands in front of the API pass the Date header on.")), ours
	}
	return append(findings, clock("clock", a.Received, date, base)), ours
}

// probed is the provider whose callback is asked. That of one with an implicit
// grant may serve a page to a request without parameters.
func probed() providers.Provider {
	for _, p := range providers.All() {
		if !p.Implicit {
			return p
		}
	}
	return providers.All()[0]
}
