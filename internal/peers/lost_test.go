package peers

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/refresh"
)

// rotating are the peers that take a refresh token once.
var rotating = []peer{oidcProvider, doorkeeperSingle}

// The one loss that no protocol can make good: the server has rotated, and its
// answer is gone. It is counted apart, the refresh token is used once more and
// no sooner than the lease allows, and the connection is not given up before a
// second strike.
func TestAnAnswerLostAfterAStrictRotation(t *testing.T) {
	t.Parallel()
	for how, lost := range answersLost {
		t.Run(how, func(t *testing.T) {
			each(t, rotating, func(t *testing.T, w *world) {
				w.connect()
				spent, accessToken := w.holds(), w.read().AccessToken
				w.due()
				w.wire.lose(lost)
				w.renew(refresh.Failed)
				if c := w.read(); !c.Lease.Held(w.clock()) || c.Failure.Count != 1 || c.Failure.Reason != "" || c.Due.At.Before(c.Lease.Until) || c.Status != connection.Active {
					t.Errorf("with the outcome unknown: %+v", c)
				}
				if l := w.ledger(); l.states() != "spent live" {
					t.Fatalf("refresh tokens are %s: the server has not rotated", l.states())
				}
				w.renew(refresh.Skipped) // the lease holds: nobody sends
				w.takeOver(spent)
				if c := w.read(); c.AccessToken != accessToken {
					t.Error("the access token is gone while it may still be valid")
				}
				w.secondStrike()
			})
		})
	}
}

// A process that dies with the answer in its hands leaves the same behind.
func TestACrashAfterAStrictRotation(t *testing.T) {
	t.Parallel()
	each(t, rotating, func(t *testing.T, w *world) {
		w.connect()
		spent := w.holds()
		w.due()
		w.crash("Commit")
		if l := w.ledger(); l.states() != "spent live" {
			t.Fatalf("refresh tokens are %s: the server has not rotated", l.states())
		}
		w.renew(refresh.Skipped)
		w.takeOver(spent)
		w.secondStrike()
	})
}

// takeOver lets the lease of a refresh run out whose answer is lost, and the
// next refresh find that the refresh token is spent.
func (w *world) takeOver(spent string) {
	w.t.Helper()
	c := w.read()
	w.pass(max(c.Lease.Until.Sub(w.clock()), c.Due.At.Sub(w.clock())))
	w.renew(refresh.Failed)
	if c = w.read(); c.Failure.Reason != "rotation_lost" || c.Status != connection.Active || c.Lease.ID != "" {
		w.t.Errorf("after the first strike: %+v", c)
	}
	if sent := w.wire.refreshes(); !slices.Equal(sent, []string{spent, spent}) {
		w.t.Errorf("%d requests, want the same refresh token twice", len(sent))
	}
	want := "spent live" // and nobody knows the live one
	if w.peer.strict {
		want = "revoked revoked"
	}
	if got := w.ledger().states(); got != want {
		w.t.Errorf("refresh tokens are %s, want %s", got, want)
	}
	w.renew(refresh.Skipped) // strikes are minutes apart
}

// secondStrike lets a refused connection come due again.
func (w *world) secondStrike() {
	w.t.Helper()
	if wait := w.read().Due.At.Sub(w.clock()); wait < 3*time.Minute-time.Second {
		w.t.Errorf("due again in %v, want minutes", wait)
	}
	w.due()
	w.renew(refresh.Failed)
	if c := w.read(); c.Failure.Reason != "rotation_lost" || c.Status != connection.ReauthorizationRequired {
		w.t.Errorf("after the second strike: %+v", c)
	}
	w.connect() // the person comes back
	w.lives()
}

// crash runs a refresh that dies, as with its process, instead of a write.
func (w *world) crash(op string) {
	w.t.Helper()
	w.store.OnWrite = func(o string, _ any) (bool, error) {
		if o == op {
			runtime.Goexit()
		}
		return true, nil
	}
	dead := make(chan struct{})
	go func() {
		defer close(dead)
		_, err := w.renewer.Renew(w.t.Context(), w.key, 0)
		w.t.Errorf("the refresh did not die in %s: %v", op, err)
	}()
	<-dead
	w.store.OnWrite = nil
}

// Where a used refresh token lives until the new access token is used, the
// second try brings a good pair at once.
func TestAnAnswerLostBeforeTheFirstUseLosesNothing(t *testing.T) {
	t.Parallel()
	for how, lost := range answersLost {
		t.Run(how, func(t *testing.T) {
			w := open(t, doorkeeperKeeping)
			w.connect()
			before := w.holds()
			w.due()
			w.wire.lose(lost)
			w.renew(refresh.Refreshed)
			if sent := w.wire.refreshes(); !slices.Equal(sent, []string{before, before}) {
				t.Errorf("%d requests, want the same refresh token twice", len(sent))
			}
			if l := w.ledger(); len(l.Rotations) != 2 || l.Rotations[1].To != w.holds() {
				t.Errorf("%d rotations; the last is stored: %v", len(l.Rotations), l.Rotations[len(l.Rotations)-1].To == w.holds())
			}
			w.lives()
		})
	}
}

// When both answers are lost, a later run gets a good pair.
func TestTwoAnswersLostBeforeTheFirstUseLoseNothing(t *testing.T) {
	t.Parallel()
	for how, lost := range answersLost {
		t.Run(how, func(t *testing.T) {
			w := open(t, doorkeeperKeeping)
			w.connect()
			w.due()
			w.wire.lose(lost, lost)
			w.renew(refresh.Failed)
			if c := w.read(); c.Status != connection.Active || c.Failure.Reason != "" {
				t.Errorf("after two lost answers: %+v", c)
			}
			w.pass(max(w.read().Lease.Until.Sub(w.clock()), 0))
			w.due()
			w.renew(refresh.Refreshed)
			w.lives()
		})
	}
}

func TestACrashBeforeTheFirstUseLosesNothing(t *testing.T) {
	t.Parallel()
	w := open(t, doorkeeperKeeping)
	w.connect()
	w.due()
	w.crash("Commit")
	w.renew(refresh.Skipped) // the lease holds
	w.pass(w.read().Lease.Until.Sub(w.clock()))
	w.renew(refresh.Refreshed)
	if l := w.ledger(); len(l.Rotations) != 2 {
		t.Errorf("%d rotations, want one of the dead process and one more", len(l.Rotations))
	}
	w.lives()
}

// Nobody can tell a request that never arrived from one whose answer is lost,
// and nothing has to be told.
func TestARequestLostOnItsWayLosesNothing(t *testing.T) {
	t.Parallel()
	each(t, all, func(t *testing.T, w *world) {
		w.connect()
		w.due()
		w.wire.lose(lostOnTheWay)
		want := refresh.Failed
		if w.peer.name == doorkeeperKeeping.name {
			want = refresh.Refreshed // by the second try
		}
		w.renew(want)
		if want == refresh.Failed {
			if l := w.ledger(); l.states() != "live" {
				t.Errorf("refresh tokens are %s", l.states())
			}
			w.pass(w.read().Lease.Until.Sub(w.clock()))
			w.renew(refresh.Refreshed)
		}
		if l := w.ledger(); len(l.Rotations) != 1 {
			t.Errorf("%d rotations, want 1", len(l.Rotations))
		}
		w.lives()
	})
}

// The server itself says so: at the moment of the write, the refresh token that
// is still in the store is still good.
func TestNothingUsesANewAccessTokenBeforeItIsStored(t *testing.T) {
	t.Parallel()
	w := open(t, doorkeeperKeeping)
	w.connect()
	before := w.holds()
	w.due()
	var atCommit ledger
	w.store.OnWrite = func(op string, _ any) (bool, error) {
		if op == "Commit" {
			atCommit = w.ledger()
		}
		return true, nil
	}
	w.renew(refresh.Refreshed)
	w.store.OnWrite = nil
	if got := atCommit.states(); got != "live live" || atCommit.state(before) != "live" {
		t.Errorf("refresh tokens are %s before the new one is stored", got)
	}
	if got := w.ledger().state(before); got != "live" {
		t.Errorf("the old refresh token is %s before anybody has used the new access token", got)
	}
	if !w.use(w.read().AccessToken) {
		t.Error("the stored access token does not work")
	}
	if got := w.ledger().state(before); got != "spent" {
		t.Errorf("the old refresh token is %s after the first use", got)
	}
	w.lives()
}
