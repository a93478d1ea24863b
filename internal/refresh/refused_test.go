package refresh

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

var invalidGrant = &oauth.Error{Status: 400, Code: "invalid_grant"}

// Where nobody knows what became of a request, the row says so and waits for
// longer each time. The lease that keeps others away stays.
func TestAnUnknownOutcomeShowsInTheRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		f.endpoint.answer = refuse(&oauth.Error{Status: 502})
		for n := 1; n <= 4; n++ {
			f.renew(t, Failed)
			c := f.get(t, f.key)
			if c.Failure.Count != n || c.Failure.Code != "http_502" || c.Failure.Reason != "" || !c.Lease.Held(time.Now()) || c.Due.At.Before(c.Lease.Until) {
				t.Fatalf("after %d: %+v, due %v, %+v", n, c.Failure, c.Due.At, c.Lease)
			}
			if wait := time.Until(c.Due.At); n == 4 && wait < connection.Backoff(4, 0.5)-time.Second {
				t.Errorf("after %d unknown outcomes it waits %v only", n, wait)
			}
			<-time.After(time.Until(c.Due.At))
		}
		if f.held(t, f.key) != "c4nary-refresh-0" {
			t.Error("the tokens changed")
		}
	})
}

// That it shows is worth one try. Without it the lease alone spaces attempts.
func TestAnUnknownOutcomeThatCannotBeWrittenHarmsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		f.endpoint.answer = refuse(&oauth.Error{})
		f.Leases = hanging{f.store}
		begun := time.Now()
		if err := f.renewErr(t, Failed); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		if took := time.Since(begun); took > brief {
			t.Errorf("it took %v of the time of others", took)
		}
		if c := f.get(t, f.key); !c.Lease.Held(time.Now()) || c.Failure.Count != 0 {
			t.Errorf("%+v, %+v", c.Lease, c.Failure)
		}
		f.Leases, f.endpoint.answer = f.store, nil
		<-time.After(3 * time.Minute)
		f.renew(t, Refreshed)
	})
}

// hanging is a store that does not answer Defer.
type hanging struct{ Leases }

func (hanging) Defer(ctx context.Context, _ connection.Connection) error {
	<-ctx.Done()
	return ctx.Err()
}

// Tokens that reach the spill late, or are put there by a person, save a
// connection that would be marked.
func TestALateSpillIsFoundBeforeTheSecondStrike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		kept, _ := f.withSpill()
		f.connect(t, f.key)
		f.endpoint.answer = refuse(&oauth.Error{})
		f.renew(t, Failed)
		lost := f.get(t, f.key).Fence
		<-time.After(3 * time.Minute)
		f.endpoint.answer = refuse(invalidGrant)
		f.renew(t, Failed) // the first strike: the lease is given back
		f.spillTokens(t, kept, lost, rotated(7))
		<-time.After(6 * time.Minute)
		f.renew(t, Refreshed)
		if c := f.get(t, f.key); c.Status != connection.Active || f.held(t, f.key) != "c4nary-refresh-7" || c.Failure != (connection.Failure{}) {
			t.Errorf("%s, holding %s, %+v", c.Status, f.held(t, f.key), c.Failure)
		}
		if kept.Len() != 0 {
			t.Error("the spill is still there")
		}
	})
}

// Nobody is marked while it is not known whether there is a spill.
func TestNobodyIsMarkedWhileASpillIsInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		kept, _ := f.withSpill()
		f.connect(t, f.key)
		f.endpoint.answer = refuse(invalidGrant)
		f.renew(t, Failed)
		kept.OnCall = func(string) (bool, error) { return false, errAway }
		for range 3 {
			<-time.After(10 * time.Minute)
			if err := f.renewErr(t, Failed); !errors.Is(err, errAway) {
				t.Errorf("err = %v", err)
			}
		}
		if c := f.get(t, f.key); c.Status != connection.Active {
			t.Fatal("marked")
		}
		kept.OnCall = nil
		<-time.After(10 * time.Minute)
		f.renew(t, Failed)
		if c := f.get(t, f.key); c.Status != connection.ReauthorizationRequired {
			t.Errorf("%s once it is known that there is none", c.Status)
		}
	})
}

// A provider that refuses many grants at once has a fault, or we have: nobody
// is asked to connect again for it.
func TestMassRefusalMarksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		lines := f.lines(t)
		var all []connection.Key
		for i := range 20 {
			k := connection.Key{ConnectionID: fmt.Sprintf("acct_%d", i), Provider: "acme"}
			all = append(all, k)
			f.connect(t, k)
		}
		f.endpoint.answer = refuse(invalidGrant)
		for range 3 {
			for _, k := range all {
				_, _ = f.Renew(t.Context(), k, f.get(t, k).StoredFence)
			}
			<-time.After(10 * time.Minute)
		}
		for _, k := range all {
			if c := f.get(t, k); c.Status != connection.Active || c.Failure.Count == 0 {
				t.Errorf("%s: %s, %+v", k.ConnectionID, c.Status, c.Failure)
			}
		}
		mass := 0
		for _, l := range lines("refresh") {
			if l.Outcome == "mass_refusal" && l.Level == "ERROR" {
				mass++
			}
		}
		if mass != 50 { // ten were few
			t.Errorf("%d lines of mass refusal, want 50", mass)
		}
		f.endpoint.answer = nil
		<-time.After(3 * time.Hour)
		for _, k := range all {
			if got, err := f.Renew(t.Context(), k, 0); got.Result != Refreshed {
				t.Errorf("afterwards: %v", err)
			}
		}
	})
}

// A refusal that is not believed is no strike: the next one alone would mark.
func TestARefusalDuringAMassRefusalIsNoStrike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		if _, err := f.store.CountRefreshes(t.Context(), "acme", connection.Outcomes{Refreshes: 20, InvalidGrants: 20}, time.Now()); err != nil {
			t.Fatal(err)
		}
		f.endpoint.answer = refuse(invalidGrant)
		f.renew(t, Failed)
		if c := f.get(t, f.key); c.Failure.Reason != "" || c.Failure.Count != 1 {
			t.Errorf("failure %+v", c.Failure)
		}
		<-time.After(4 * time.Hour)
		f.renew(t, Failed)
		if c := f.get(t, f.key); c.Status != connection.Active || c.Failure.Reason != "invalid_grant" {
			t.Errorf("%s, %+v", c.Status, c.Failure)
		}
	})
}

// Refusals that cannot be counted mark nobody, and hold nobody up.
func TestNobodyIsMarkedBlind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		f.endpoint.answer = refuse(invalidGrant)
		f.store.OnWrite = func(op string, _ any) (bool, error) {
			return true, map[bool]error{true: errAway}[op == "CountRefreshes"]
		}
		for range 4 {
			f.renew(t, Failed)
			<-time.After(time.Until(f.get(t, f.key).Due.At))
		}
		if c := f.get(t, f.key); c.Status != connection.Active || c.Failure.Reason != "invalid_grant" || c.Failure.Count != 4 {
			t.Fatalf("%s, %+v", c.Status, c.Failure)
		}
		f.store.OnWrite = nil
		f.renew(t, Failed)
		if c := f.get(t, f.key); c.Status != connection.ReauthorizationRequired {
			t.Errorf("%s once refusals are counted again", c.Status)
		}
	})
}

// The loser of a race is not charged for the refusal, nor is somebody who has
// connected again while it was written down.
func TestAMarkLosesAgainstAReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		f.endpoint.answer = refuse(invalidGrant)
		f.renew(t, Failed)
		<-time.After(10 * time.Minute)
		f.store.OnWrite = func(op string, _ any) (bool, error) {
			if op == "Commit" {
				f.store.OnWrite = nil
				f.connect(t, f.key)
			}
			return true, nil
		}
		f.renew(t, Skipped)
		if c := f.get(t, f.key); c.Status != connection.Active || c.Failure.Count != 0 {
			t.Errorf("%s, %+v", c.Status, c.Failure)
		}
	})
}
