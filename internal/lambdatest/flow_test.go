package lambdatest_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/lambdatest"
	"github.com/evergrant/evergrant/internal/simulator"
)

// stays checks that a connection, which has just been made, survives three
// refreshes by the sweep, each with a token that is new and works.
func (d *deployment) stays(connectionID, provider string) {
	d.t.Helper()
	if s := d.sweep(); s != (summary{}) {
		d.t.Errorf("a sweep before anything is due: %+v", s)
	}
	tokens := []string{d.read(connectionID, provider).AccessToken}
	for range 3 {
		d.makeDue(connectionID, provider, "0")
		if s := d.sweep(); s != (summary{Due: 1, Refreshed: 1}) {
			d.t.Fatalf("sweep = %+v, want one refresh; printed:\n%s", s, d.printed())
		}
		r := d.read(connectionID, provider)
		if r.Status != "active" || slices.Contains(tokens, r.AccessToken) || r.ExpiresAt < time.Now().Unix()+1800 {
			d.t.Errorf("after a refresh: %s until %d, new: %v", r.Status, r.ExpiresAt, !slices.Contains(tokens, r.AccessToken))
		}
		if !slices.Contains(d.Simulator.Ledger(provider).LiveAccessTokens, r.AccessToken) {
			d.t.Error("the stored token is not one that works at the provider")
		}
		if item := d.item(connectionID, provider); item["lease_id"] != nil || item["failure"] != nil || number(d.t, item, "due_at") < time.Now().Unix() {
			d.t.Errorf("after a refresh: lease %v, failure %v, due at %v", item["lease_id"], item["failure"], item["due_at"])
		}
		tokens = append(tokens, r.AccessToken)
	}
	if s := d.sweep(); s != (summary{}) {
		d.t.Errorf("a sweep after all is done: %+v", s)
	}
}

// The way of a person and of a token through the four functions as they are
// deployed, at each provider of the authorization code flow.
func TestAConnectionIsMadeKeptFreshAndEnded(t *testing.T) {
	for provider, scopes := range map[string]string{
		"whiplash": "[user_manage user_read]", "whisk": "[offline_access]",
		"whatnot": "[read:customers read:inventory read:orders write:inventory write:orders]",
	} {
		t.Run(provider, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, lambdatest.Config{})
			d.connect(provider)
			r := d.read(connectionID, provider)
			if r.Status != "active" || r.TokenType != "Bearer" || r.ExpiresAt < time.Now().Unix()+1800 || fmt.Sprint(r.Scopes) != scopes {
				t.Errorf("stored: %s, %s, expires at %d, scopes %v", r.Status, r.TokenType, r.ExpiresAt, r.Scopes)
			}
			if got := text(t, d.item(connectionID, provider), "account_id"); got != simulator.AccountID(provider, "ada") {
				t.Errorf("account %q is not that of ada", got)
			}
			d.stays(connectionID, provider)
			d.controlled(provider)
			ledger := d.Simulator.Ledger(provider)
			if ledger.RefreshTokensReused != 0 || ledger.TokenRequests["authorization_code"] != 1 || ledger.TokenRequests["refresh_token"] != 4 {
				t.Errorf("the provider counted %v, %d refresh tokens used twice", ledger.TokenRequests, ledger.RefreshTokensReused)
			}
			if refused := ledger.Refused; len(refused) > 0 {
				t.Errorf("the provider refused %v", refused)
			}
			if provider != "whisk" && len(ledger.LiveRefreshTokens) > 0 { // Whisk offers no revocation
				t.Errorf("%d refresh tokens live on at the provider", len(ledger.LiveRefreshTokens))
			}
		})
	}
}

// controlled looks at a connection, refreshes it and ends it by the control
// plane.
func (d *deployment) controlled(provider string) {
	d.t.Helper()
	before := d.read(connectionID, provider)
	got := d.ask("get", connectionID, provider, nil).Connection
	if got["connection_status"] != "active" || got["expires_at"] != float64(before.ExpiresAt) || got["account_id"] != simulator.AccountID(provider, "ada") {
		d.t.Errorf("get answers %v", got)
	}
	if got := d.ask("refresh", connectionID, provider, map[string]any{"min_ttl": 60}); got.Error != nil || d.read(connectionID, provider).AccessToken != before.AccessToken {
		d.t.Errorf("a token that has life enough was refreshed: %+v", got)
	}
	if got := d.ask("refresh", connectionID, provider, nil); got.Error != nil || d.read(connectionID, provider).AccessToken == before.AccessToken {
		d.t.Errorf("refresh answers %+v, and the token is the old one", got)
	}
	if got := d.ask("disconnect", connectionID, provider, nil).Connection; got["connection_status"] != "disconnected" {
		d.t.Errorf("disconnect answers %v", got)
	}
	item := d.item(connectionID, provider)
	for _, name := range []string{"access_token", "refresh_token_sealed", "due_at", "due_shard"} {
		if item[name] != nil {
			d.t.Errorf("after the disconnect, %s is still there", name)
		}
	}
	if s := d.sweep(); s != (summary{}) {
		d.t.Errorf("a sweep after the disconnect: %+v", s)
	}
}

// WHCC answers a login with the credential itself, which has no end, and issues
// tokens of an hour to its clients.
func TestAConnectionWithWHCCIsMadeKeptFreshAndEnded(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	d.connect("whcc")
	r, item := d.read(connectionID, "whcc"), d.item(connectionID, "whcc")
	if r.Status != "active" || r.ExpiresAt != 0 || item["due_at"] != nil || text(t, item, "account_id") != simulator.AccountID("whcc", "ada") {
		t.Errorf("stored: %s, expires at %d, due at %v, account %v", r.Status, r.ExpiresAt, item["due_at"], item["account_id"])
	}
	if live := d.Simulator.Ledger("whcc").LiveAccessTokens; !slices.Equal(live, []string{r.AccessToken}) {
		t.Error("the stored token is not the one that works at the provider")
	}
	if got := d.ask("issue", "lab", "whcc", nil); got.Error != nil {
		t.Fatalf("issue answers %+v", got.Error)
	}
	d.stays("lab", "whcc")
	if got := d.ask("disconnect", connectionID, "whcc", nil).Connection; got["connection_status"] != "disconnected" {
		t.Errorf("disconnect answers %v", got)
	}
	if got := d.read("lab", "whcc"); got.Status != "active" {
		t.Errorf("the other connection is %s", got.Status)
	}
}

func TestWhoSaysNoEndsAtTheHostAndNothingIsStored(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	for _, provider := range []string{"whiplash", "whisk", "whatnot", "whcc"} {
		b := newBrowser(t)
		d.ends(d.visit(b, d.answered(b, provider, "deny")), provider, "denied")
		if item := d.item(connectionID, provider); item != nil {
			t.Errorf("%s: there is an item %v", provider, item)
		}
	}
}
