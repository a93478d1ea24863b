package peers

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/refresh"
)

func TestThreeRefreshesInARow(t *testing.T) {
	t.Parallel()
	each(t, all, func(t *testing.T, w *world) {
		w.connect()
		held := []string{w.holds()}
		for range 3 {
			w.renew(refresh.Skipped) // not due yet
			w.due()
			w.renew(refresh.Refreshed)
			held = append(held, w.holds())
			c := w.read()
			if !w.use(c.AccessToken) || c.Failure != (connection.Failure{}) || c.Lease.ID != "" || !c.ExpiresAt.After(w.clock().Add(time.Hour)) {
				t.Errorf("after a refresh: %+v", c)
			}
		}
		l := w.ledger()
		for i, r := range l.Rotations {
			if r.From != held[i] || r.To != held[i+1] {
				t.Errorf("rotation %d is not the one that is stored", i)
			}
		}
		if got, want := l.states(), "spent spent spent live"; got != want || len(l.Rotations) != 3 || l.state(w.holds()) != "live" {
			t.Errorf("refresh tokens are %s after %d rotations, want %s after 3", got, len(l.Rotations), want)
		}
		if !slices.Equal(w.wire.refreshes(), held[:3]) {
			t.Errorf("%d refresh tokens sent, not each of the first three once", len(w.wire.refreshes()))
		}
	})
}

// The winner's answer comes only when all ten have tried.
func TestTenWorkersMakeOneRequest(t *testing.T) {
	t.Parallel()
	each(t, all, func(t *testing.T, w *world) {
		w.connect()
		w.due()
		var tried sync.WaitGroup
		tried.Add(10)
		w.store.OnWrite = func(op string, _ any) (bool, error) {
			if op == "Claim" {
				tried.Done()
			}
			return true, nil
		}
		release := make(chan struct{})
		w.wire.lose(held(func() {}, release))
		go func() {
			tried.Wait()
			close(release)
		}()
		results := make(chan refresh.Result, 10)
		var workers sync.WaitGroup
		for range 10 {
			workers.Go(func() {
				got, err := w.renewer.Renew(t.Context(), w.key, 0)
				if err != nil {
					t.Errorf("Renew: %v", err)
				}
				results <- got.Result
			})
		}
		workers.Wait()
		w.store.OnWrite = nil
		close(results)
		count := map[refresh.Result]int{}
		for r := range results {
			count[r]++
		}
		if count[refresh.Refreshed] != 1 || count[refresh.Skipped] != 9 || len(w.wire.refreshes()) != 1 {
			t.Errorf("results %v, %d requests; want one", count, len(w.wire.refreshes()))
		}
		w.lives()
	})
}

// lives checks that the grant is as good as new: what is stored works, and is
// what the server calls live; it can be refreshed again.
func (w *world) lives() {
	w.t.Helper()
	c := w.read()
	if c.Status != connection.Active || c.Failure != (connection.Failure{}) || c.Lease.ID != "" {
		w.t.Errorf("stored: %s, failure %+v, lease %+v", c.Status, c.Failure, c.Lease)
	}
	if s := w.ledger().state(w.holds()); s != "live" {
		w.t.Errorf("the stored refresh token is %s", s)
	}
	if !w.use(c.AccessToken) {
		w.t.Error("the stored access token does not work")
	}
	w.due()
	w.renew(refresh.Refreshed)
	if s := w.ledger().state(w.holds()); s != "live" {
		w.t.Errorf("the stored refresh token is %s after one more refresh", s)
	}
}

// What the servers do themselves, without anything of ours but the client: the
// facts that the rotation classes of pkg/providers stand for.
func TestASpentRefreshToken(t *testing.T) {
	t.Parallel()
	rotate := func(w *world) (first, second oauth.TokenSet) {
		w.t.Helper()
		first = w.grant()
		second, err := w.send(first.RefreshToken)
		if err != nil || second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken {
			w.t.Fatalf("the first refresh: %v, or it brought nothing new", err)
		}
		return first, second
	}
	t.Run("ends the grant at oidc-provider", func(t *testing.T) {
		w := open(t, oidcProvider)
		first, second := rotate(w)
		if l := w.ledger(); l.states() != "spent live" {
			t.Errorf("refresh tokens are %s after a rotation", l.states())
		}
		if _, err := w.send(first.RefreshToken); code(err) != "invalid_grant" {
			t.Errorf("the spent one: %v", err)
		}
		if _, err := w.send(second.RefreshToken); code(err) != "invalid_grant" {
			t.Errorf("its successor after that: %v", err)
		}
		if l := w.ledger(); l.live() != 0 || w.use(second.AccessToken) {
			t.Errorf("%d tokens live on", l.live())
		}
	})
	t.Run("harms nothing at Doorkeeper without previous_refresh_token", func(t *testing.T) {
		w := open(t, doorkeeperSingle)
		first, second := rotate(w)
		if _, err := w.send(first.RefreshToken); code(err) != "invalid_grant" {
			t.Errorf("the spent one: %v", err)
		}
		if l := w.ledger(); l.states() != "spent live" {
			t.Errorf("refresh tokens are %s", l.states())
		}
		if _, err := w.send(second.RefreshToken); err != nil {
			t.Errorf("its successor after that: %v", err)
		}
	})
	t.Run("works until the first use at Doorkeeper with previous_refresh_token", func(t *testing.T) {
		w := open(t, doorkeeperKeeping)
		first, second := rotate(w)
		third, err := w.send(first.RefreshToken)
		if err != nil || third.RefreshToken == second.RefreshToken {
			t.Errorf("before the new access token is used: %v", err)
		}
		if !w.use(third.AccessToken) {
			t.Error("the new access token does not work")
		}
		if _, err := w.send(first.RefreshToken); code(err) != "invalid_grant" {
			t.Errorf("after the new access token is used: %v", err)
		}
		if l := w.ledger(); l.states() != "spent live live" {
			t.Errorf("refresh tokens are %s", l.states())
		}
		if _, err := w.send(third.RefreshToken); err != nil {
			t.Errorf("its successor: %v", err)
		}
	})
}

// send uses a refresh token, past the store.
func (w *world) send(refreshToken oauth.Secret) (oauth.TokenSet, error) {
	return w.tokens.Refresh(w.t.Context(), w.secrets.client, refreshToken)
}

func TestAWrongClientSecretLeavesTheGrantAlone(t *testing.T) {
	t.Parallel()
	each(t, all, func(t *testing.T, w *world) {
		w.connect()
		before := w.holds()
		w.due()
		w.secrets.client = w.client("not it")
		if got, err := w.renewer.Renew(t.Context(), w.key, 0); got.Result != refresh.Failed || code(err) != "invalid_client" {
			t.Errorf("Renew = %v, %v", got, err)
		}
		c := w.read()
		if c.Failure != (connection.Failure{}) || c.Status != connection.Active || c.Lease.ID != "" || w.holds() != before {
			t.Errorf("charged, marked or leased: %+v", c)
		}
		if l := w.ledger(); l.states() != "live" || len(l.Rotations) != 0 {
			t.Errorf("refresh tokens are %s", l.states())
		}
		w.secrets.client = w.client(clientSecret)
		w.due()
		w.renew(refresh.Refreshed)
		w.lives()
	})
}

func TestAChangedClientSecretIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	each(t, all, func(t *testing.T, w *world) {
		w.connect()
		w.due()
		w.secrets.client, w.secrets.others = w.client("rotated away"), []oauth.Client{w.client(clientSecret)}
		w.renew(refresh.Refreshed)
		if n := len(w.wire.refreshes()); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
		w.secrets.client = w.client(clientSecret)
		w.lives()
	})
}
