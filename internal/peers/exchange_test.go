package peers

import (
	"slices"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/refresh"
	"github.com/evergrant/evergrant/pkg/providers"
)

// The answer to the browser names who answers, where the server promises that:
// RFC 9207 section 2.
func TestACodeComesBackWithStateAndIssuer(t *testing.T) {
	t.Parallel()
	each(t, all, func(t *testing.T, w *world) {
		r := w.request()
		to, err := oauth.AuthorizationURL(w.secrets.client, r)
		if err != nil {
			t.Fatal(err)
		}
		back := w.authorize(to).Query()
		if back.Get("code") == "" || back.Get("state") != r.State {
			t.Errorf("code there: %v, state as sent: %v", back.Has("code"), back.Get("state") == r.State)
		}
		if got, want := back.Get("iss"), w.secrets.client.Provider.Issuer; got != want {
			t.Errorf("iss = %q, want %q", got, want)
		}
	})
}

func TestACodeIsExchangedWithItsVerifier(t *testing.T) {
	t.Parallel()
	each(t, all, func(t *testing.T, w *world) {
		tokens := w.grant()
		if tokens.TokenType != "Bearer" || tokens.RefreshToken == "" || !slices.Equal(tokens.Scopes, w.secrets.client.Scopes) {
			t.Errorf("got %+v", tokens)
		}
		if left := tokens.ExpiresAt.Sub(w.clock()); left < 119*time.Minute || left > 2*time.Hour {
			t.Errorf("the access token lives for %v, want two hours", left)
		}
		if !w.use(tokens.AccessToken) {
			t.Error("the access token does not work")
		}
		if l := w.ledger(); l.state(tokens.RefreshToken.Reveal()) != "live" || l.live() != 2 {
			t.Errorf("the server knows the refresh token as %s, %d tokens live", l.state(tokens.RefreshToken.Reveal()), l.live())
		}
	})
}

func TestACodeIsWorthNothingWithoutItsVerifier(t *testing.T) {
	t.Parallel()
	each(t, all, func(t *testing.T, w *world) {
		r := w.request()
		c, stolen := w.code(r), r
		stolen.Verifier = wrongVerifier
		if _, err := w.tokens.Exchange(t.Context(), w.secrets.client, stolen, c); code(err) != "invalid_grant" {
			t.Errorf("Exchange with a wrong verifier = %v", err)
		}
		if l := w.ledger(); l.live() != 0 {
			t.Errorf("%d tokens issued", l.live())
		}
		if _, err := w.tokens.Exchange(t.Context(), w.secrets.client, r, c); err != nil {
			t.Errorf("Exchange with the right verifier after that: %v", err)
		}
	})
}

// Where a server insists on PKCE, a request without a challenge ends before
// there is a code.
func TestARequestWithoutAChallengeIsRefused(t *testing.T) {
	t.Parallel()
	w := open(t, oidcProvider)
	plain := w.secrets.client
	plain.Provider.PKCE = providers.PKCEOff
	to, err := oauth.AuthorizationURL(plain, w.request())
	if err != nil {
		t.Fatal(err)
	}
	back := w.authorize(to).Query()
	if back.Get("error") != "invalid_request" || back.Has("code") || back.Get("iss") != w.server.url {
		t.Errorf("error %q of %q, code there: %v", back.Get("error"), back.Get("iss"), back.Has("code"))
	}
}

// Why a code is never sent again: one server takes back all that it has given
// for it.
func TestASecondUseOfACodeIsRefused(t *testing.T) {
	t.Parallel()
	each(t, all, func(t *testing.T, w *world) {
		r := w.request()
		c := w.code(r)
		first, err := w.tokens.Exchange(t.Context(), w.secrets.client, r, c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.tokens.Exchange(t.Context(), w.secrets.client, r, c); code(err) != "invalid_grant" {
			t.Errorf("the second Exchange = %v", err)
		}
		want := 2
		if w.peer.strict {
			want = 0
		}
		if l := w.ledger(); l.live() != want {
			t.Errorf("%d tokens live on, want %d", l.live(), want)
		}
		if works := w.use(first.AccessToken); works != (want > 0) {
			t.Errorf("the access token works: %v", works)
		}
	})
}

// The shipped definition of Whiplash, at the software that Whiplash runs on.
func TestTheDefinitionOfWhiplashFitsDoorkeeper(t *testing.T) {
	t.Parallel()
	whiplash, ok := providers.Find("whiplash")
	if !ok {
		t.Fatal("no whiplash")
	}
	for _, p := range []peer{doorkeeperKeeping, doorkeeperSingle} {
		t.Run(p.name, func(t *testing.T) {
			whiplash := whiplash
			whiplash.Endpoints.UserInfoURL = p.provider.Endpoints.UserInfoURL
			p.provider = whiplash
			w := open(t, p)
			w.connect()
			for range 2 {
				w.due()
				w.renew(refresh.Refreshed)
			}
			c := w.read()
			if !slices.Equal(c.Scopes, []string{"user_manage", "user_read"}) || c.TokenType != "Bearer" || !c.ExpiresAt.After(w.clock()) {
				t.Errorf("stored %+v at %v", c, w.clock())
			}
			who, err := w.tokens.Account(t.Context(), w.secrets.client, c.AccessToken)
			if err != nil || who.ID == "" || who.Label != w.account {
				t.Errorf("account %+v, %v", who, err)
			}
		})
	}
}
