package lambdatest_test

import (
	"testing"

	"github.com/evergrant/evergrant/internal/eventtest"
	"github.com/evergrant/evergrant/internal/lambdatest"
	"github.com/evergrant/evergrant/internal/simulator"
)

// Lambda may end a process after any event. Nothing that matters is in its
// memory.
func TestNothingIsLostWhenFunctionsAreKilledBetweenEvents(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	b := newBrowser(t)
	back := d.answered(b, "whiplash", "approve")
	d.kill("AuthorizeFunction")
	for range 2 { // the second time the browser loads the callback again
		d.ends(d.visit(b, back), "whiplash", "connected")
		d.kill("CallbackFunction")
	}
	if n := d.Simulator.Ledger("whiplash").TokenRequests["authorization_code"]; n != 1 {
		t.Errorf("%d code exchanges, want 1", n)
	}
	for range 3 {
		before := d.read(connectionID, "whiplash").AccessToken
		d.makeDue(connectionID, "whiplash", "0")
		if s := d.sweep(); s != (summary{Due: 1, Refreshed: 1}) || d.read(connectionID, "whiplash").AccessToken == before {
			t.Errorf("sweep = %+v", s)
		}
		d.kill("RefreshFunction")
		if got := d.ask("get", connectionID, "whiplash", nil).Connection["connection_status"]; got != "active" {
			t.Errorf("the connection is %v", got)
		}
		d.kill("ConnectionsFunction")
	}
	if n := d.Simulator.Ledger("whiplash").RefreshTokensReused; n != 0 {
		t.Errorf("%d refresh tokens were used twice", n)
	}
}

// The provider has rotated, and the process dies before it hears of it. The old
// access token stays for readers, and while the lease lasts nobody sends the
// refresh token again.
func TestARefreshThatIsKilledKeepsTheTokenAndIsNotSentTwice(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	d.connect("whiplash")
	before := d.read(connectionID, "whiplash")
	d.makeDue(connectionID, "whiplash", "0")

	rotated, gone := make(chan struct{}), make(chan struct{})
	d.Simulator.Answer("whiplash", simulator.Answer{Edit: func(map[string]any) {
		close(rotated)
		<-gone
	}})
	f, event, ended := d.function("RefreshFunction"), eventtest.Read(t, "refresh.json", nil), make(chan error)
	go func() {
		_, err := f.Invoke(t.Context(), event)
		ended <- err
	}()
	select {
	case <-rotated:
	case err := <-ended:
		t.Fatalf("the sweep ended without a token request: %v", err)
	}
	d.kill("RefreshFunction")
	close(gone)
	if err := <-ended; err == nil {
		t.Error("the killed sweep has an answer")
	}
	d.endSweep()
	if s := d.sweep(); s != (summary{Due: 1, Skipped: 1}) {
		t.Errorf("the next sweep = %+v, want it to leave the connection alone", s)
	}
	if r := d.read(connectionID, "whiplash"); r.Status != "active" || r.AccessToken != before.AccessToken {
		t.Errorf("a reader finds it %s, with the same token: %v", r.Status, r.AccessToken == before.AccessToken)
	}
	if n := d.Simulator.Ledger("whiplash").TokenRequests["refresh_token"]; n != 1 {
		t.Errorf("%d refreshes were sent, want 1", n)
	}
}
