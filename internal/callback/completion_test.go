package callback

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/completion"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connections"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/simulator"
	"github.com/evergrant/evergrant/internal/web"
	"github.com/evergrant/evergrant/pkg/providers"
)

const completionURL = "https://app.example.com/complete"

// newHost returns a world whose host completes connections.
func newHost(t *testing.T) *world {
	w := newWorld(t)
	w.CompletionURL = completionURL
	return w
}

// held serves the callback of f and returns the handle that the browser takes to
// the host.
func (w *world) held(f flow, params url.Values) string {
	w.t.Helper()
	resp := w.handle(w.callback(f, params))
	to, err := url.Parse(resp.Headers["Location"])
	if err != nil {
		w.t.Fatal(err)
	}
	handle := to.Query().Get("handle")
	want := completionURL + "?connection_id=" + f.Key.ConnectionID + "&handle=" + handle + "&provider=" + f.Key.Provider
	if resp.StatusCode != http.StatusSeeOther || handle == "" || resp.Headers["Location"] != want || resp.Body != "" || len(resp.Cookies) > 0 {
		w.t.Errorf("answer = %d %s %s, want 303 %s", resp.StatusCode, resp.Headers["Location"], resp.Body, want)
	}
	return handle
}

// completing completes k by a handle, as the host's backend does.
func (w *world) completing(handle string, k connection.Key) connections.Response {
	w.t.Helper()
	control := &connections.Handler{
		Reader: w.store, Writer: w.store, Requests: w.store, Breakers: w.store, Secrets: w.vault,
		Tokens: &oauth.TokenClient{HTTP: oauth.NewHTTPClient(true), Now: w.clock}, Spill: w.Spill,
		Shards: 4, Random: w.Random, Now: w.clock, Log: w.Log, FunctionName: w.FunctionName,
	}
	raw, err := json.Marshal(map[string]string{"action": "complete", "handle": handle, "connection_id": k.ConnectionID, "provider": k.Provider})
	if err != nil {
		w.t.Error(err)
	}
	resp, err := control.Handle(w.t.Context(), raw)
	if err != nil {
		w.t.Errorf("complete: %v", err)
	}
	return resp
}

// complete is completing, and checks that nothing leaks.
func (w *world) complete(handle string, k connection.Key) connections.Response {
	w.t.Helper()
	resp := w.completing(handle, k)
	answer, err := json.Marshal(resp)
	if err != nil {
		w.t.Fatal(err)
	}
	known := w.known(w.callback(flow{}, nil))
	known.Guard("handle", handle)
	for _, f := range append(known.FindInLog(w.printed.String()), known.Find(string(answer))...) {
		w.t.Errorf("log or answer show the %s", f)
	}
	return resp
}

// refusedAs checks that there is no connection, by an error of a type.
func (w *world) refusedAs(resp connections.Response, typ string) {
	w.t.Helper()
	if resp.Connection != nil || resp.Error == nil || resp.Error.Type != typ {
		w.t.Errorf("answer = %+v, %v, want the error %s", resp.Connection, resp.Error, typ)
	}
}

// The whole way with completion by the host, at each provider: nothing is asked
// of the provider before the host has said who it is, and what is stored is the
// same as without.
func TestEachProviderIsCompletedByTheHost(t *testing.T) {
	for _, p := range providers.All() {
		t.Run(p.ID, func(t *testing.T) {
			w := newHost(t)
			f, location := w.byAuthorize(p.ID)
			answer := w.decide(location, "approve").Query()
			handle := w.held(f, answer)
			w.wrote(map[string]int{"ClaimRequest": 1})
			if again := w.held(f, answer); again != handle {
				t.Errorf("loaded again, the handle is %s, not %s", again, handle)
			}
			if n := w.exchanges(p.ID); n != 0 {
				t.Errorf("%d token requests before the host has completed", n)
			}
			w.nothingStored(f)

			w.now = w.now.Add(completion.Hold - time.Second)
			resp := w.complete(handle, f.Key)
			if resp.Error != nil || resp.Connection == nil || resp.ReturnTo != returnTo || resp.Connection.Status != connection.Active ||
				resp.Connection.AccountID != simulator.AccountID(p.ID, "ada") {
				t.Errorf("complete = %+v, %v, %s\n%s", resp.Connection, resp.Error, resp.ReturnTo, w.printed.String())
			}
			got, ledger := w.stored(f), w.sim.Ledger(p.ID)
			if got.AccessToken.Reveal() != ledger.LiveAccessTokens[0] || got.RequestID != connection.StateID(f.State) || len(ledger.Refused) > 0 {
				t.Errorf("stored %+v; the provider refused %v", got, ledger.Refused)
			}
			w.now = w.now.Add(-time.Minute) // while the cookie lives
			w.returns(w.handle(w.callback(f, answer)), f, "connected")
			w.refusedAs(w.complete(handle, f.Key), "handle_used")
			if n := w.exchanges(p.ID); n > 1 {
				t.Errorf("%d token requests", n)
			}
		})
	}
}

// What the table holds while the host is waited for opens under the seal keys
// alone, and in its row alone; the row ends soon.
func TestAHeldAnswerIsSealed(t *testing.T) {
	w := newHost(t)
	f := w.start("whiplash", nil)
	w.held(f, w.approve(f))
	id := connection.RequestID(f.TicketID, f.State)
	r, err := w.store.GetRequest(t.Context(), id, connection.StateID(f.State))
	if err != nil {
		t.Fatal(err)
	}
	if !r.HeldUntil.Equal(noon.Add(10*time.Minute)) || !r.ExpiresAt.Equal(noon.Add(time.Hour)) {
		t.Errorf("held until %s, kept until %s", r.HeldUntil, r.ExpiresAt)
	}
	for what, secret := range w.secrets(w.callback(f, url.Values{"state": {f.State}})) {
		if strings.Contains(string(r.Answer), secret) {
			t.Errorf("the row shows the %s", what)
		}
	}
	a, err := completion.Open(w.vault.seal, r)
	if err != nil || a.Request.State != f.State || a.Request.Verifier != f.Verifier || a.Request.Key != f.Key || a.Request.ReturnTo != returnTo || a.Params["code"] == "" || !a.At.Equal(noon) {
		t.Errorf("opened: %+v, %v", a.Request, err)
	}
	r.ID = "ticket#" + strings.Repeat("0", 64)
	if _, err := completion.Open(w.vault.seal, r); err == nil {
		t.Error("the answer opens in another row")
	}
}

// SECURITY row 44: user A's link is finished in user B's browser. The host
// knows B, and completes B's connection; the code is never sent.
func TestAnotherUsersLinkIsNeverExchanged(t *testing.T) {
	tests := []struct {
		name string
		key  connection.Key // that the host says its user owns
	}{
		{"another connection", connection.Key{ConnectionID: "acct_43", Provider: "whiplash"}},
		{"another provider", connection.Key{ConnectionID: "acct_42", Provider: "whatnot"}},
	}
	for _, tt := range tests {
		for _, change := range []func(*authrequest.Request){nil, noReturn} {
			t.Run(tt.name, func(t *testing.T) {
				w := newHost(t)
				f := w.start("whiplash", change)
				answer := w.approve(f)
				handle := w.held(f, answer)
				resp := w.complete(handle, tt.key)
				w.refusedAs(resp, "mismatch")
				if resp.ReturnTo != f.ReturnTo {
					t.Errorf("return_to = %s", resp.ReturnTo)
				}
				w.refusedAs(w.complete(handle, f.Key), "handle_used") // not even by the right one
				if w.exchanges("whiplash")+w.exchanges("whatnot") != 0 || w.store.Calls()["Connect"] != 0 {
					t.Errorf("the code was sent, or something stored: %v", w.store.Calls())
				}
				w.nothingStored(f)
				if change == nil {
					w.returns(w.handle(w.callback(f, answer)), f, "failed")
				} else {
					w.problem(w.callback(f, answer), web.ProviderFailed)
				}
			})
		}
	}
}

// SECURITY rows 45 and 46: a handle works for ten minutes, whatever the table
// still holds.
func TestAHandleExpires(t *testing.T) {
	w := newHost(t)
	f := w.start("whiplash", func(ar *authrequest.Request) { ar.ExpiresAt = noon.Add(time.Hour) })
	answer := w.approve(f)
	handle := w.held(f, answer)
	w.now = noon.Add(completion.Hold)
	for range 2 {
		w.refusedAs(w.complete(handle, f.Key), "handle_expired")
	}
	w.problem(w.callback(f, answer), web.Expired)
	if w.exchanges("whiplash") != 0 {
		t.Error("the code was sent")
	}
	w.nothingStored(f)
}

// SECURITY row 45: what no callback gave out is no handle.
func TestAHandleThatWasMadeUp(t *testing.T) {
	w := newHost(t)
	f := w.start("whiplash", nil)
	handle := w.held(f, w.approve(f))
	other, err := seal.ParseKeys([]byte(`{"current":"k1","k1":"fedcba9876543210fedcba9876543210"}`))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := completion.Handle(other, connection.RequestID(f.TicketID, f.State))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "x", handle[:len(handle)-1], handle + "A", "B" + handle[1:], handle + "\n", foreign, f.State} {
		w.refusedAs(w.complete(bad, f.Key), "invalid_handle")
	}
	if resp := w.complete(handle, f.Key); resp.Error != nil {
		t.Errorf("the right one: %v", resp.Error)
	}
}

// SECURITY row 31: fifty callbacks at once hold one answer, and fifty
// completions at once send one code.
func TestParallelCompletionsMakeOneTokenRequest(t *testing.T) {
	w := newHost(t)
	f := w.start("whiplash", nil)
	answer := w.approve(f)
	ev := w.callback(f, answer)
	var callbacks, completions sync.WaitGroup
	var handles sync.Map
	for range 50 {
		callbacks.Go(func() {
			resp, err := w.Handle(t.Context(), ev)
			if err != nil || !strings.HasPrefix(resp.Headers["Location"], completionURL+"?") {
				t.Errorf("callback answers %d %s, %v", resp.StatusCode, resp.Headers["Location"], err)
			}
			handles.Store(resp.Headers["Location"], true)
		})
	}
	callbacks.Wait()
	given := 0
	handles.Range(func(any, any) bool { given++; return true })
	handle := w.held(f, answer)
	var connected, used atomic.Int32
	for range 50 {
		completions.Go(func() {
			switch resp := w.completing(handle, f.Key); {
			case resp.Error == nil:
				connected.Add(1)
			case resp.Error.Type == "handle_used":
				used.Add(1)
			default:
				t.Errorf("complete: %v", resp.Error)
			}
		})
	}
	completions.Wait()
	if given != 1 || connected.Load() != 1 || used.Load() != 49 || w.exchanges("whiplash") != 1 || w.store.Calls()["Connect"] != 1 {
		t.Errorf("%d handles, %d connected, %d used, %d token requests, calls %v", given, connected.Load(), used.Load(), w.exchanges("whiplash"), w.store.Calls())
	}
}

// A denial needs nobody's word: it goes straight back.
func TestADenialIsNotCompleted(t *testing.T) {
	w := newHost(t)
	f := w.start("whiplash", nil)
	back := w.decide(w.location(f), "deny").Query()
	w.returns(w.handle(w.callback(f, back)), f, "denied")
	w.returns(w.handle(w.callback(f, back)), f, "denied")
	w.wrote(map[string]int{"DenyRequest": 2, "GetRequest": 1})
}

// The ticket completes once: a second tab of it meets the first, whether that
// has been completed or not.
func TestAHeldTicketIsUsed(t *testing.T) {
	w := newHost(t)
	first := w.start("whiplash", nil)
	second := w.start("whiplash", func(ar *authrequest.Request) { ar.TicketID = first.TicketID })
	handle := w.held(first, w.approve(first))
	answer := w.approve(second)
	w.problem(w.callback(second, answer), web.LinkUsed)
	if resp := w.complete(handle, first.Key); resp.Error != nil {
		t.Errorf("complete: %v", resp.Error)
	}
	w.problem(w.callback(second, answer), web.LinkUsed)
}

// SECURITY row 48: the provider's client is another one by the time the host
// completes. The code is not sent to it, and the authorization request is dead.
func TestAClientThatChangedBeforeCompletion(t *testing.T) {
	elsewhere := func(w *world, provider, name string) map[string]any {
		endpoints := w.sim.Endpoints(w.base, provider)
		endpoints[name] = w.base + "/elsewhere"
		return map[string]any{"endpoints": endpoints}
	}
	tests := []struct {
		provider string
		members  func(*world) map[string]any
	}{
		{"whiplash", func(*world) map[string]any { return map[string]any{"client_id": "another"} }},
		{"whiplash", func(w *world) map[string]any { return elsewhere(w, "whiplash", "token_url") }},
		{"whcc", func(w *world) map[string]any { return elsewhere(w, "whcc", "userinfo_url") }}, // where its token is proved
	}
	for _, tt := range tests {
		w := newHost(t)
		f := w.start(tt.provider, nil)
		answer := w.approve(f)
		handle := w.held(f, answer)
		members := tt.members(w)
		w.vault.clients[tt.provider] = w.client(tt.provider, members)
		w.refusedAs(w.complete(handle, f.Key), "configuration_changed")
		w.vault.clients[tt.provider] = w.client(tt.provider, nil)
		w.refusedAs(w.complete(handle, f.Key), "handle_used")
		w.returns(w.handle(w.callback(f, answer)), f, "failed")
		if w.exchanges(tt.provider) != 0 {
			t.Errorf("%v: the code was sent", members)
		}
	}
}

// What is out of reach or not configured is found before the answer is taken:
// the handle stays good.
func TestWhatIsOutOfReachLeavesTheHandle(t *testing.T) {
	w := newHost(t)
	f := w.start("whiplash", nil)
	handle := w.held(f, w.approve(f))
	w.vault.clientErr = errDown
	w.refusedAs(w.complete(handle, f.Key), "unavailable")
	w.vault.clientErr, w.vault.sealErr = nil, errDown
	w.refusedAs(w.complete(handle, f.Key), "unavailable")
	w.vault.sealErr = nil
	w.store.OnWrite = func(op string, _ any) (bool, error) { return false, errDown }
	w.refusedAs(w.complete(handle, f.Key), "unavailable")
	w.store.OnWrite = nil
	if resp := w.complete(handle, f.Key); resp.Error != nil {
		t.Errorf("complete: %v", resp.Error)
	}
}

// A provider that fails by the time of completion: the answer says so, and the
// reload shows it; the handle is used up.
func TestACompletionThatFails(t *testing.T) {
	tests := []struct {
		name   string
		answer simulator.Answer
		typ    string
	}{
		{"500", simulator.Answer{Status: 500}, "provider_unavailable"},
		{"invalid_grant", simulator.Answer{Status: 400, Body: `{"error":"invalid_grant"}`}, "refused"},
		{"invalid_client", simulator.Answer{Status: 401, Body: `{"error":"invalid_client"}`}, "not_configured"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newHost(t)
			f := w.start("whiplash", nil)
			answer := w.approve(f)
			handle := w.held(f, answer)
			w.sim.Answer("whiplash", tt.answer)
			resp := w.complete(handle, f.Key)
			w.refusedAs(resp, tt.typ)
			if resp.ReturnTo != returnTo {
				t.Errorf("return_to = %q", resp.ReturnTo)
			}
			w.refusedAs(w.complete(handle, f.Key), "handle_used")
			w.nothingStored(f)
			if tt.typ == "not_configured" {
				w.problem(w.callback(f, answer), web.NotConfigured)
				return
			}
			w.returns(w.handle(w.callback(f, answer)), f, "failed")
		})
	}
}

// SECURITY rows 49 and 50: cut off between the take and the store, nobody waits
// for ever, and an older connection is as it was.
func TestACompletionThatWasCutOff(t *testing.T) {
	w := newHost(t)
	old := w.start("whiplash", nil)
	if resp := w.complete(w.held(old, w.approve(old)), old.Key); resp.Error != nil {
		t.Fatal(resp.Error)
	}
	before := w.stored(old)
	f := w.start("whiplash", nil)
	answer := w.approve(f)
	handle := w.held(f, answer)
	id, _ := completion.ParseHandle(w.vault.seal, handle)
	if _, err := w.store.TakeAnswer(t.Context(), id, w.now); err != nil { // and the process is killed
		t.Fatal(err)
	}
	w.refusedAs(w.complete(handle, f.Key), "handle_used")
	w.problem(w.callback(f, answer), web.Busy)
	if after := w.stored(f); !reflect.DeepEqual(after, before) {
		t.Errorf("the older connection is %+v, want %+v", after, before)
	}
	again := w.start("whiplash", nil)
	if resp := w.complete(w.held(again, w.approve(again)), again.Key); resp.Error != nil {
		t.Errorf("started again: %v", resp.Error)
	}
}

// SECURITY row 33: the path of a callback is the one that its authorization
// request was made for, with the host as without.
func TestAHostIsSentNothingOfAnotherProvider(t *testing.T) {
	w := newHost(t)
	f := w.start("whiplash", nil)
	ev := w.callback(f, w.approve(f))
	ev.RawPath, ev.PathParameters["provider"] = "/callback/whatnot", "whatnot"
	w.problem(ev, web.BadCallback)
	w.wrote(nil)
}

// A handle of an older key of the ring is as good as one of the current key.
func TestAHandleOutlivesItsKey(t *testing.T) {
	w := newHost(t)
	f := w.start("whiplash", nil)
	handle := w.held(f, w.approve(f))
	rotated, err := seal.ParseKeys([]byte(`{"current":"k2","k1":"` + sealKey + `","k2":"fedcba9876543210fedcba9876543210"}`))
	if err != nil {
		t.Fatal(err)
	}
	w.vault.seal = rotated
	if resp := w.complete(handle, f.Key); resp.Error != nil {
		t.Errorf("complete: %v", resp.Error)
	}
}
