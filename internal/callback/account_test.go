package callback

import (
	"reflect"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connections"
	"github.com/evergrant/evergrant/internal/simulator"
	"github.com/evergrant/evergrant/internal/web"
)

// SECURITY row 52: a reconnect that comes back with another account is refused,
// with an outcome that names it, and the connection is as it was. A secret that
// says so has it accepted.
func TestAReconnectStaysWithItsAccount(t *testing.T) {
	unknown := simulator.Answer{Endpoint: "userinfo_url", Status: 503}
	tests := []struct {
		name   string
		user   string
		answer *simulator.Answer // to who it is
		accept bool
		code   string // "": it is connected
		page   web.Text
	}{
		{"the same account", "ada", nil, false, "", web.Text{}},
		{"another", "grace", nil, false, "account_changed", web.AccountChanged},
		{"one that is not told now", "ada", &unknown, false, "account_unknown", web.AccountUnknown},
		{"another, accepted", "grace", nil, true, "", web.Text{}},
		{"one that is not told now, accepted", "ada", &unknown, true, "", web.Text{}},
	}
	for _, tt := range tests {
		for _, byHost := range []bool{false, true} {
			t.Run(tt.name, func(t *testing.T) {
				w := newWorld(t)
				if tt.accept {
					w.vault.clients["whiplash"] = w.client("whiplash", map[string]any{"account_change": "accept"})
				}
				w.connect(w.start("whiplash", nil))
				f := w.start("whiplash", nil)
				before := w.stored(f)
				w.user = tt.user
				if byHost {
					w.CompletionURL = completionURL
				}
				answer := w.approve(f)
				if tt.answer != nil {
					w.sim.Answer("whiplash", *tt.answer)
				}
				var completed connections.Response
				if byHost {
					completed = w.complete(w.held(f, answer), f.Key)
				} else {
					w.handle(w.callback(f, answer))
				}
				if tt.code == "" {
					w.returns(w.handle(w.callback(f, answer)), f, "connected")
					if w.stored(f).AccessToken == before.AccessToken {
						t.Error("the old tokens are still there")
					}
					return
				}
				if byHost {
					w.refusedAs(completed, tt.code)
				}
				w.returns(w.handle(w.callback(f, answer)), f, "failed")
				if after := w.stored(f); !reflect.DeepEqual(after, before) {
					t.Errorf("the connection is %+v, want %+v", after, before)
				}
				if live := w.sim.Ledger("whiplash").LiveAccessTokens; len(live) != 1 || live[0] != before.AccessToken.Reveal() {
					t.Errorf("%d access tokens live: the new grant was not revoked, or the old one was", len(live))
				}
				if !strings.Contains(w.printed.String(), `"code":"`+tt.code+`"`) {
					t.Errorf("log: %s", w.printed.String())
				}
				w.user, w.CompletionURL = tt.user, ""
				g := w.start("whiplash", noReturn)
				answer = w.approve(g)
				if tt.answer != nil {
					w.sim.Answer("whiplash", *tt.answer)
				}
				w.problem(w.callback(g, answer), tt.page)
				w.problem(w.callback(g, answer), tt.page) // and when it is loaded again
			})
		}
	}
}

// At a provider where a revocation may end all grants of a user, the refused one
// is left to end by itself.
func TestARefusedGrantIsRevokedWhereThatEndsNoOther(t *testing.T) {
	w := newWorld(t)
	w.connect(w.start("whatnot", nil))
	w.user = "grace"
	f := w.start("whatnot", nil)
	w.returns(w.connect(f), f, "failed")
	if live := w.sim.Ledger("whatnot").LiveAccessTokens; len(live) != 2 {
		t.Errorf("%d access tokens live", len(live))
	}
}

// After a disconnect any account may be connected.
func TestADisconnectLetsTheAccountChange(t *testing.T) {
	w := newWorld(t)
	f := w.start("whiplash", nil)
	w.connect(f)
	if _, err := w.store.Disconnect(t.Context(), f.Key, w.now); err != nil {
		t.Fatal(err)
	}
	w.user = "grace"
	f = w.start("whiplash", nil)
	w.returns(w.connect(f), f, "connected")
	if got := w.stored(f).Account.ID; got != simulator.AccountID("whiplash", "grace") {
		t.Errorf("account %s", got)
	}
}

// SECURITY row 65: fewer scopes than were asked for are seen in the connection,
// where the browser goes, on the page, and when it is loaded again.
func TestScopesThatWereNotGrantedAreSaid(t *testing.T) {
	narrow := simulator.Answer{Edit: func(m map[string]any) { m["scope"] = "user_read" }}
	w := newWorld(t)
	f := w.start("whiplash", nil)
	answer := w.approve(f)
	w.sim.Answer("whiplash", narrow)
	for range 2 {
		w.returns(w.handle(w.callback(f, answer)), f, "connected&scopes=narrowed")
	}
	if c := w.stored(f); !reflect.DeepEqual(c.ScopesMissing, []string{"user_manage"}) || !reflect.DeepEqual(c.Scopes, []string{"user_read"}) {
		t.Errorf("scopes %v, missing %v", c.Scopes, c.ScopesMissing)
	}
	f = w.start("whiplash", noReturn)
	answer = w.approve(f)
	w.sim.Answer("whiplash", narrow)
	for range 2 {
		w.shows(w.handle(w.callback(f, answer)), web.Done(asked(f, ""), web.Narrowed, "connected"))
	}
	w.CompletionURL = completionURL
	f = w.start("whiplash", nil)
	answer = w.approve(f)
	handle := w.held(f, answer)
	w.sim.Answer("whiplash", narrow)
	if resp := w.complete(handle, f.Key); resp.Error != nil || !reflect.DeepEqual(resp.Connection.ScopesMissing, []string{"user_manage"}) {
		t.Errorf("complete = %+v", resp)
	}
	w.returns(w.handle(w.callback(f, answer)), f, "connected&scopes=narrowed")
	w.CompletionURL = ""
	w.connect(w.start("whiplash", nil))
	if c := w.stored(f); c.ScopesMissing != nil || c.Status != connection.Active {
		t.Errorf("after a whole grant %v are missing", c.ScopesMissing)
	}
}
