package lambdatest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/lambdatest"
	"github.com/evergrant/evergrant/internal/simulator"
	"github.com/evergrant/evergrant/pkg/providers"
)

// Whatever goes wrong, and whatever a provider or a stranger sends, no secret
// and no text of theirs is printed. That what a deployment prints holds no
// secret is also checked at the end of every other test.
func TestNothingSecretIsPrintedWhateverGoesWrong(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	const strange = "a text of somebody else, which could be a secret"
	d.Watch.Guard("text of a stranger", strange)
	for _, p := range providers.All() {
		d.breaks(p, strange)
	}
	forged := d.link("whiplash")
	forged.RawQuery += "forged"
	if resp := d.visit(newBrowser(t), forged); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a forged ticket is answered by %d", resp.StatusCode)
	}
	printed := d.printed()
	for _, message := range []string{"connection not made", "authorization ended by provider", "request refused", "outcome", "not done"} {
		if !strings.Contains(printed, message) {
			t.Errorf("nothing says %q, so this test has lost what it looks at", message)
		}
	}
	if n := d.Watch.Guarded(); n < 100 {
		t.Errorf("only %d secrets are looked for", n)
	}
}

// breaks lets each call to a provider go wrong, with strange in its answer.
func (d *deployment) breaks(p providers.Provider, strange string) {
	d.t.Helper()
	spoiled := []simulator.Answer{
		{Status: http.StatusInternalServerError, Body: "<html>" + strange + "</html>"},
		{Status: http.StatusBadRequest, Body: `{"error":"` + strange + `","error_description":"` + strange + `","code":"` + strange + `"}`},
		{Status: http.StatusOK, Body: `{"access_token":{"` + strange + `":1},"refresh_token":"` + strange + `"}`},
		{Process: true, Drop: true},
	}
	if p.Prepare == nil {
		for _, a := range spoiled {
			b := newBrowser(d.t)
			back := d.answered(b, p.ID, "approve")
			d.Simulator.Answer(p.ID, a)
			d.ends(d.visit(b, back), p.ID, "failed")
		}
	}
	b := newBrowser(d.t)
	back := d.answered(b, p.ID, "deny")
	q := back.Query()
	q.Set("error", strange)
	q.Set("error_description", strange)
	back.RawQuery = q.Encode()
	d.ends(d.visit(b, back), p.ID, "failed")
	d.visit(newBrowser(d.t), &url.URL{Path: "/callback/" + p.ID, RawQuery: url.Values{"code": {strange}, "state": {strange}}.Encode()})

	connectionID := connectionID
	if d.connect(p.ID); p.Issue != nil {
		connectionID = "lab"
		d.ask("issue", connectionID, p.ID, nil)
	}
	for _, a := range spoiled {
		d.Simulator.Answer(p.ID, a)
		d.makeDue(connectionID, p.ID, "0")
		d.sweep()
		d.endLease(connectionID, p.ID)
		d.Simulator.Answer(p.ID, a)
		d.ask("refresh", connectionID, p.ID, nil)
		d.endLease(connectionID, p.ID)
		d.Simulator.Answer(p.ID, a)
		d.ask("import", "moved", p.ID, map[string]any{"refresh_token": strange})
	}
}
