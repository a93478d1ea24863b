package peers

import (
	"sync"
	"testing"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/refresh"
)

// RFC 7009 section 2.1.
func TestRevocationEndsTheGrant(t *testing.T) {
	t.Parallel()
	each(t, all, func(t *testing.T, w *world) {
		w.connect()
		w.due()
		w.renew(refresh.Refreshed)
		c, refreshToken := w.read(), oauth.Secret(w.holds())
		if !w.use(c.AccessToken) {
			t.Fatal("the access token does not work")
		}
		if err := w.tokens.Revoke(t.Context(), w.secrets.client, c.AccessToken, refreshToken); err != nil {
			t.Fatalf("Revoke: %v", err)
		}
		if l := w.ledger(); l.state(refreshToken.Reveal()) != "revoked" || l.state(c.AccessToken.Reveal()) != "revoked" {
			t.Errorf("refresh tokens are %s, the access token is %s", l.states(), l.state(c.AccessToken.Reveal()))
		}
		if w.use(c.AccessToken) {
			t.Error("the access token still works")
		}
		if _, err := w.tokens.Refresh(t.Context(), w.secrets.client, refreshToken); code(err) != "invalid_grant" {
			t.Errorf("Refresh after Revoke = %v", err)
		}
		if err := w.tokens.Revoke(t.Context(), w.secrets.client, c.AccessToken, refreshToken); err != nil {
			t.Errorf("Revoke of what is revoked: %v", err)
		}
	})
}

func TestRevocationNeedsTheClientSecret(t *testing.T) {
	t.Parallel()
	each(t, all, func(t *testing.T, w *world) {
		tokens := w.grant()
		if err := w.tokens.Revoke(t.Context(), w.client("not it"), tokens.AccessToken, tokens.RefreshToken); err == nil {
			t.Error("Revoke with a wrong client secret succeeds")
		}
		if l := w.ledger(); l.live() != 2 {
			t.Errorf("%d tokens live, want 2", l.live())
		}
	})
}

// Tokens that arrive after a disconnect are revoked, not stored.
func TestADisconnectDuringARefreshLeavesNothingAlive(t *testing.T) {
	t.Parallel()
	each(t, all, func(t *testing.T, w *world) {
		w.connect()
		old, refreshToken := w.read(), oauth.Secret(w.holds())
		w.due()
		w.during(func() {
			if _, err := w.store.Disconnect(t.Context(), w.key, w.clock()); err != nil {
				t.Error(err)
			}
			if err := w.tokens.Revoke(t.Context(), w.secrets.client, old.AccessToken, refreshToken); err != nil {
				t.Errorf("Revoke: %v", err)
			}
		})
		if c := w.read(); c.Status != connection.Disconnected || c.AccessToken != "" || len(c.SealedRefreshToken) != 0 {
			t.Errorf("stored: %+v", c)
		}
		if l := w.ledger(); l.live() != 0 {
			t.Errorf("%d tokens live on; refresh tokens are %s", l.live(), l.states())
		}
	})
}

// How far a revocation reaches is the server's to say (RFC 7009 section 2.1). At
// oidc-provider all that one browser has granted is one authorization.
func TestRevocationReachesAsFarAsTheServerLikes(t *testing.T) {
	t.Parallel()
	each(t, all, func(t *testing.T, w *world) {
		first, again := w.grant(), w.grant()
		w.browser = newBrowser(t)
		elsewhere := w.grant()
		if err := w.tokens.Revoke(t.Context(), w.secrets.client, first.AccessToken, first.RefreshToken); err != nil {
			t.Fatalf("Revoke: %v", err)
		}
		if works := w.use(again.AccessToken); works == w.peer.strict {
			t.Errorf("what the same browser has granted again works: %v", works)
		}
		if !w.use(elsewhere.AccessToken) {
			t.Error("what another browser has granted is gone")
		}
	})
}

// A new grant stands against the answer to a refresh of the old one, also where
// both are one authorization, so that revoking the late answer would end it.
func TestAReconnectDuringARefreshStands(t *testing.T) {
	t.Parallel()
	each(t, all, func(t *testing.T, w *world) {
		w.connect()
		w.due()
		var reconnected string
		w.during(func() {
			w.connect()
			reconnected = w.holds()
		})
		if w.holds() != reconnected {
			t.Error("the late answer has replaced the new grant")
		}
		w.lives()
	})
}

// during runs do while the server's answer to a refresh is under way.
func (w *world) during(do func()) {
	w.t.Helper()
	under, release := make(chan struct{}), make(chan struct{})
	answered := sync.OnceFunc(func() { close(under) })
	w.wire.lose(held(answered, release))
	var late sync.WaitGroup
	late.Go(func() {
		defer answered() // also where nothing was sent
		if got, err := w.renewer.Renew(w.t.Context(), w.key, 0); got.Result != refresh.Skipped || err != nil {
			w.t.Errorf("the late refresh = %v, %v", got, err)
		}
	})
	defer late.Wait()
	defer close(release)
	<-under
	do()
}

// Doorkeeper 5.5 answers 200 and does nothing once the access token of the same
// answer has expired. A connection that is kept fresh is not in that state.
func TestDoorkeeperKeepsTheRefreshTokenOfAnExpiredAccessToken(t *testing.T) {
	t.Parallel()
	for _, p := range []peer{doorkeeperKeeping, doorkeeperSingle} {
		t.Run(p.name, func(t *testing.T) {
			w := open(t, p)
			tokens := w.grant("brief")
			if err := w.tokens.Revoke(t.Context(), w.secrets.client, tokens.AccessToken, tokens.RefreshToken); err != nil {
				t.Fatalf("Revoke: %v", err)
			}
			if _, err := w.tokens.Refresh(t.Context(), w.secrets.client, tokens.RefreshToken); err != nil {
				t.Errorf("Refresh: %v", err)
			}
		})
	}
}
