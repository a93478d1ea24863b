package callback

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/web"
)

// Every line of the contract's table of statuses that ends a callback before
// anything is used up. Afterwards the right browser still succeeds.
func TestNothingIsConsumedByWhatIsRefused(t *testing.T) {
	type event = *events.APIGatewayV2HTTPRequest
	query := func(change func(q url.Values, f flow)) func(*world, event, flow) {
		return func(_ *world, ev event, f flow) {
			q, _ := url.ParseQuery(ev.RawQueryString)
			change(q, f)
			ev.RawQueryString = q.Encode()
		}
	}
	set := func(name, v string) func(*world, event, flow) {
		return query(func(q url.Values, _ flow) { q.Set(name, v) })
	}
	drop := func(name string) func(*world, event, flow) { return query(func(q url.Values, _ flow) { q.Del(name) }) }
	add := func(raw string) func(*world, event, flow) {
		return func(_ *world, ev event, _ flow) { ev.RawQueryString += "&" + raw }
	}
	cookies := func(list func(w *world, f flow) []string) func(*world, event, flow) {
		return func(w *world, ev event, f flow) { ev.Cookies = list(w, f) }
	}
	path := func(provider string) func(*world, event, flow) {
		return func(_ *world, ev event, _ flow) {
			ev.PathParameters["provider"], ev.RawPath = provider, "/callback/"+provider
		}
	}
	method := func(m string) func(*world, event, flow) {
		return func(_ *world, ev event, _ flow) { ev.RequestContext.HTTP.Method = m }
	}
	name := func(f flow) string { return authrequest.CookieName(f.State, true) }
	value := func(f flow) string { _, v, _ := strings.Cut(f.cookie, "="); return v }
	tests := []struct {
		name   string
		change func(*world, event, flow)
		want   web.Text
	}{
		{"unknown provider", path("acme"), web.UnknownProvider},
		{"PUT", method("PUT"), web.MethodNotAllowed},
		{"HEAD", method("HEAD"), web.MethodNotAllowed},
		{"DELETE", method("DELETE"), web.MethodNotAllowed},
		{"OPTIONS", method("OPTIONS"), web.MethodNotAllowed},
		{"a post that is no form", method("POST"), web.BadCallback},
		{"no parameters", func(_ *world, ev event, _ flow) { ev.RawQueryString = "" }, web.BadCallback},
		{"no state", drop("state"), web.BadCallback},
		{"an empty state", set("state", ""), web.BadCallback},
		{"a state of 42 characters", set("state", strings.Repeat("x", 42)), web.BadCallback},
		{"a state of 5 kB", set("state", strings.Repeat("x", 5000)), web.BadCallback},
		{"a state that is none of ours", set("state", strings.Repeat("x", 42)+"="), web.BadCallback},
		{"a state with a line break", query(func(q url.Values, f flow) { q.Set("state", f.State+"\n") }), web.BadCallback},
		{"an unknown state", set("state", strings.Repeat("x", 43)), web.WrongBrowser},
		{"the state twice", func(_ *world, ev event, f flow) { ev.RawQueryString += "&state=" + f.State }, web.BadCallback},
		{"the code twice", add("code=x"), web.BadCallback},
		{"bad encoding", add("x=%zz"), web.BadCallback},
		{"a query of 9 kB", add("x=" + strings.Repeat("x", 9000)), web.BadCallback},
		{"no cookie", cookies(func(*world, flow) []string { return nil }), web.WrongBrowser},
		{"another's cookie", cookies(func(w *world, _ flow) []string { return []string{w.start("whiplash", nil).cookie} }), web.WrongBrowser},
		{"another's cookie under this name", cookies(func(w *world, f flow) []string { return []string{name(f) + "=" + value(w.start("whiplash", nil))} }), web.WrongBrowser},
		{"the cookie under another name", cookies(func(w *world, f flow) []string { return []string{name(w.start("whiplash", nil)) + "=" + value(f)} }), web.WrongBrowser},
		{"the cookie of plain http", cookies(func(_ *world, f flow) []string {
			return []string{authrequest.CookieName(f.State, false) + "=" + value(f)}
		}), web.WrongBrowser},
		{"an altered cookie", cookies(func(_ *world, f flow) []string { return []string{name(f) + "=B" + value(f)[1:]} }), web.BadCallback},
		{"a shortened cookie", cookies(func(_ *world, f flow) []string { return []string{f.cookie[:len(f.cookie)-2]} }), web.BadCallback},
		{"an empty cookie", cookies(func(_ *world, f flow) []string { return []string{name(f) + "="} }), web.BadCallback},
		{"another provider's path", path("whatnot"), web.BadCallback},
		{"another host", func(w *world, ev event, _ flow) { w.PublicURL, ev.RequestContext.DomainName = "", "other.example.com" }, web.BadCallback},
		{"an iss, though the provider sends none", set("iss", "https://www.getwhiplash.com"), web.BadCallback},
		{"an empty iss", set("iss", ""), web.BadCallback},
		{"no code", drop("code"), web.BadCallback},
		{"an empty code", set("code", ""), web.BadCallback},
		{"a code of 5 kB", set("code", strings.Repeat("x", 5000)), web.BadCallback},
		{"an access token beside the code", set("access_token", "c4nary-token"), web.BadCallback},
		{"an ID token beside the code", set("id_token", "c4nary-token"), web.BadCallback},
		{"an access token alone", query(func(q url.Values, _ flow) { q.Del("code"); q.Set("access_token", "c4nary-token") }), web.BadCallback},
		{"an error without state", query(func(q url.Values, _ flow) { q.Del("state"); q.Set("error", "access_denied") }), web.BadCallback},
		{"an error without the cookie", func(_ *world, ev event, f flow) {
			ev.RawQueryString, ev.Cookies = "error=access_denied&state="+f.State, nil
		}, web.WrongBrowser},
		{"client credentials out of reach", func(w *world, _ event, _ flow) { w.vault.clientErr = errDown }, web.Unavailable},
		{"sealing keys out of reach", func(w *world, _ event, _ flow) { w.vault.sealErr = errDown }, web.Unavailable},
		{"client credentials not configured", func(w *world, _ event, _ flow) { w.vault.clientErr = fmt.Errorf("%w: x", oauth.ErrNotConfigured) }, web.NotConfigured},
		{"sealing keys not configured", func(w *world, _ event, _ flow) { w.vault.sealErr = fmt.Errorf("%w: x", oauth.ErrNotConfigured) }, web.NotConfigured},
		{"the store is out of reach", func(w *world, _ event, _ flow) {
			w.store.OnWrite = func(string, any) (bool, error) { return false, errDown }
		}, web.Unavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			f := w.start("whiplash", nil)
			answer := w.approve(f)
			ev := w.callback(f, answer)
			tt.change(w, &ev, f)
			resp := w.problem(ev, tt.want)
			if resp.Headers["Allow"] != map[bool]string{true: "GET, POST"}[tt.want.Status == 405] || (resp.Headers["Retry-After"] != "") != (tt.want.Status == 503) {
				t.Errorf("headers = %v", resp.Headers)
			}
			if level := strings.Contains(w.printed.String(), `"level":"ERROR"`); level != (tt.want.Status >= 500) {
				t.Errorf("log: %s", w.printed.String())
			}
			if w.exchanges("whiplash") != 0 {
				t.Error("there was a token request")
			}
			w.vault.clientErr, w.vault.sealErr, w.store.OnWrite, w.PublicURL = nil, nil, nil, publicURL
			w.returns(w.handle(w.callback(f, answer)), f, "connected")
		})
	}
}

// The page says what to do; the log says what was wrong.
func TestTheLogSaysWhatWasWrong(t *testing.T) {
	for query, want := range map[string]string{
		"code=x&code=y": "a parameter is there twice", "code=%zz": "not properly encoded", "code=x": "state is missing", "a=" + strings.Repeat("x", 9000): "longer than",
	} {
		w := newWorld(t)
		ev := w.callback(w.start("whiplash", nil), nil)
		ev.RawQueryString = query
		w.problem(ev, web.BadCallback)
		if !strings.Contains(w.printed.String(), want) {
			t.Errorf("the log does not say %q: %s", want, w.printed.String())
		}
	}
}

// A link scanner that repeats the URL, without the cookie, burns nothing.
func TestALinkScannerCannotBurnTheState(t *testing.T) {
	w := newWorld(t)
	f := w.start("whiplash", nil)
	answer := w.approve(f)
	scan := w.event("callback-no-cookie.json", map[string]string{"code": answer.Get("code"), "state": f.State})
	for range 3 {
		w.problem(scan, web.WrongBrowser)
	}
	w.wrote(nil)
	w.returns(w.handle(w.callback(f, answer)), f, "connected")
}

// The cookie of a key that is gone from the ring is as good as altered.
func TestACookieOfAnotherRing(t *testing.T) {
	w := newWorld(t)
	f := w.start("whiplash", nil)
	answer := w.approve(f)
	ours := w.vault.seal
	w.vault.seal, _ = seal.ParseKeys([]byte(`{"current":"k1","k1":"fedcba9876543210fedcba9876543210"}`))
	w.problem(w.callback(f, answer), web.BadCallback)
	w.vault.seal = ours
	w.returns(w.handle(w.callback(f, answer)), f, "connected")
}

func TestAnAuthorizationRequestExpires(t *testing.T) {
	w := newWorld(t)
	f := w.start("whiplash", nil)
	answer := w.approve(f)
	w.now = w.now.Add(authrequest.Life)
	for _, params := range []url.Values{answer, {"error": {"access_denied"}, "state": {f.State}}} {
		w.problem(w.callback(f, params), web.Expired)
	}
	w.wrote(nil)
	w.now = w.now.Add(-time.Second)
	w.returns(w.handle(w.callback(f, answer)), f, "connected")
}

// RFC 9207: a provider that sends iss sends the right one each time.
func TestIssuerIsComparedExactly(t *testing.T) {
	w := newWorld(t)
	p := w.vault.clients["whiplash"].Provider
	p.Issuer = "https://issuer.example"
	f := w.start("whiplash", nil)
	tests := []struct {
		iss  []string
		good bool
	}{
		{[]string{"https://issuer.example"}, true},
		{nil, false},
		{[]string{""}, false},
		{[]string{"https://issuer.example/"}, false},
		{[]string{"https://Issuer.example"}, false},
		{[]string{"https%3A%2F%2Fissuer.example"}, false},
		{[]string{"https://evil.example"}, false},
	}
	for _, tt := range tests {
		req := web.Request{Params: map[string]string{}}
		if tt.iss != nil {
			req.Params["iss"] = tt.iss[0]
		}
		if err := w.Handler.check(p, req, f.Request, publicURL); (err == nil) != tt.good {
			t.Errorf("iss %v: %v", tt.iss, err)
		}
	}
}

// The user's no goes straight to the host. Nothing of the provider's words
// stands in a URL or page of ours.
func TestTheProvidersError(t *testing.T) {
	hostile := strings.Repeat("x", 3000) + "\r\nSet-Cookie: a=1\x00\u202e<script>c4nary()</script>"
	tests := []struct {
		name   string
		params url.Values
		result string
	}{
		{"access_denied", url.Values{"error": {"access_denied"}}, "denied"},
		{"access_denied with a description", url.Values{"error": {"access_denied"}, "error_description": {hostile}, "error_uri": {"javascript:c4nary()"}}, "denied"},
		{"access_denied with a code", url.Values{"error": {"access_denied"}, "code": {"c4nary-code"}}, "failed"},
		{"server_error", url.Values{"error": {"server_error"}}, "failed"},
		{"temporarily_unavailable", url.Values{"error": {"temporarily_unavailable"}}, "failed"},
		{"an error that nobody knows", url.Values{"error": {hostile}}, "failed"},
		{"an empty error", url.Values{"error": {""}}, "failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			f, page := w.start("whiplash", nil), w.start("whiplash", noReturn)
			for _, fl := range []flow{f, page} {
				q := url.Values{"state": {fl.State}}
				for name, v := range tt.params {
					q[name] = v
				}
				ev := w.callback(fl, q)
				for range 2 { // and loaded again
					resp := w.handle(ev)
					switch {
					case fl.ReturnTo != "":
						w.returns(resp, fl, tt.result)
					case tt.result == "denied":
						w.shows(resp, web.Done(asked(fl, ""), web.Denied, ""))
					default:
						w.shows(resp, web.Problem(asked(fl, fl.Reference()), web.ProviderFailed))
					}
				}
			}
			w.nothingStored(f)
			if w.exchanges("whiplash") != 0 || strings.Contains(w.printed.String(), "c4nary") || strings.Contains(w.printed.String(), "Set-Cookie") {
				t.Errorf("%d token requests, log %s", w.exchanges("whiplash"), w.printed.String())
			}
			if !strings.Contains(w.printed.String(), `"reference":"`) {
				t.Error("the reference finds no log line")
			}
		})
	}
}

func TestADenialEvent(t *testing.T) {
	w := newWorld(t)
	f := w.start("whiplash", nil)
	ev := w.event("callback-denied.json", map[string]string{"state": f.State, "cookie": f.cookie})
	w.returns(w.handle(ev), f, "denied")
	w.wrote(map[string]int{"DenyRequest": 1})
	g := w.start("whiplash", noReturn)
	program := w.event("callback-denied.json", map[string]string{"state": g.State, "cookie": g.cookie})
	program.Headers["accept"] = "application/json"
	if resp := w.handle(program); resp.StatusCode != 200 || resp.Body != `{"result":"denied"}` {
		t.Errorf("a program sees %d %s", resp.StatusCode, resp.Body)
	}
}

// Tokens that work are never touched by an authorization that does not.
func TestAFailedReconnectLeavesTheConnection(t *testing.T) {
	w := newWorld(t)
	first := w.start("whiplash", nil)
	w.connect(first)
	before := w.stored(first)
	denied := w.start("whiplash", nil)
	w.returns(w.handle(w.callback(denied, url.Values{"error": {"access_denied"}, "state": {denied.State}})), denied, "denied")
	failed := w.start("whiplash", nil)
	w.returns(w.handle(w.callback(failed, url.Values{"code": {"unknown-code"}, "state": {failed.State}})), failed, "failed")
	if after := w.stored(first); after.AccessToken != before.AccessToken || after.Fence != before.Fence || after.Status != connection.Active {
		t.Errorf("the connection is %+v", after)
	}
}

// A denial uses up the authorization request, and not the ticket.
func TestADenialLeavesTheTicket(t *testing.T) {
	w := newWorld(t)
	first := w.start("whiplash", nil)
	second := w.start("whiplash", func(ar *authrequest.Request) { ar.TicketID = first.TicketID })
	code := w.approve(first)
	deny := url.Values{"error": {"access_denied"}, "state": {first.State}}
	w.returns(w.handle(w.callback(first, deny)), first, "denied")
	w.returns(w.handle(w.callback(first, code)), first, "denied") // its state is used up
	if w.exchanges("whiplash") != 0 {
		t.Error("a code was exchanged after the denial")
	}
	w.returns(w.connect(second), second, "connected")
	w.returns(w.handle(w.callback(first, deny)), first, "denied")
	w.returns(w.handle(w.callback(first, code)), first, "denied")
	if w.exchanges("whiplash") != 1 {
		t.Errorf("%d token requests", w.exchanges("whiplash"))
	}
}

func TestATicketCompletesOnce(t *testing.T) {
	w := newWorld(t)
	first := w.start("whiplash", nil)
	second := w.start("whiplash", func(ar *authrequest.Request) { ar.TicketID = first.TicketID })
	w.returns(w.connect(first), first, "connected")
	w.problem(w.callback(second, w.approve(second)), web.LinkUsed)
	w.problem(w.callback(second, w.approve(second)), web.LinkUsed)
	if w.exchanges("whiplash") != 1 || w.stored(first).RequestID != connection.StateID(first.State) {
		t.Errorf("%d token requests", w.exchanges("whiplash"))
	}
	w.returns(w.handle(w.callback(first, w.approve(first))), first, "connected")
}

// Without a ticket each authorization request stands for itself.
func TestWithoutTicketsRequestsAreApart(t *testing.T) {
	w := newWorld(t)
	unsigned := func(ar *authrequest.Request) { ar.TicketID = "" }
	for range 2 {
		f := w.start("whiplash", unsigned)
		w.returns(w.connect(f), f, "connected")
	}
	if w.exchanges("whiplash") != 2 {
		t.Errorf("%d token requests", w.exchanges("whiplash"))
	}
}

// Whoever loads the callback again sees how it ended first.
func TestReloadShowsTheFirstOutcome(t *testing.T) {
	tests := []struct {
		name   string
		code   string // "": the provider's
		change func(*authrequest.Request)
		want   func(*world, web.Response, flow)
	}{
		{"connected", "", nil, func(w *world, resp web.Response, f flow) { w.returns(resp, f, "connected") }},
		{"connected, with a page", "", noReturn, func(w *world, resp web.Response, f flow) {
			w.shows(resp, web.Done(asked(f, ""), web.Connected, ""))
		}},
		{"failed", "unknown-code", nil, func(w *world, resp web.Response, f flow) { w.returns(resp, f, "failed") }},
		{"failed, with a page", "unknown-code", noReturn, func(w *world, resp web.Response, f flow) {
			w.shows(resp, web.Problem(asked(f, f.Reference()), web.ProviderFailed))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			f := w.start("whiplash", tt.change)
			answer := w.approve(f)
			if tt.code != "" {
				answer.Set("code", tt.code)
			}
			for i := range 4 {
				ev := w.callback(f, answer)
				ev.RequestContext.RequestID = fmt.Sprintf("request-%d", i)
				tt.want(w, w.handle(ev), f)
				if i == 2 {
					answer.Set("code", "another-code") // or comes with another code
				}
			}
			deny := w.callback(f, url.Values{"error": {"access_denied"}, "state": {f.State}})
			tt.want(w, w.handle(deny), f)
			if w.exchanges("whiplash") != 1 {
				t.Errorf("%d token requests", w.exchanges("whiplash"))
			}
		})
	}
}

// While the first callback is at work, the others wait for nothing.
func TestACallbackThatWasCutOff(t *testing.T) {
	w := newWorld(t)
	for n := range 2 { // without a connection, and with one of an earlier request
		f := w.start("whiplash", nil)
		if err := w.store.ClaimRequest(t.Context(), f.Record(w.now)); err != nil {
			t.Fatal(err)
		}
		resp := w.problem(w.callback(f, w.approve(f)), web.Busy)
		if resp.Headers["Retry-After"] == "" || w.exchanges("whiplash") != n {
			t.Errorf("headers %v, %d token requests", resp.Headers, w.exchanges("whiplash"))
		}
		w.connect(w.start("whiplash", nil))
	}
}

// An unreadable store.
type unreadable struct{ History }

func (unreadable) GetRequest(_ context.Context, _, _ string) (connection.Request, error) {
	return connection.Request{}, errDown
}

func TestHistoryOutOfReach(t *testing.T) {
	w := newWorld(t)
	f := w.start("whiplash", nil)
	w.connect(f)
	w.History = unreadable{w.store}
	w.problem(w.callback(f, w.approve(f)), web.Unavailable)
}

// The store cannot take a denial: it is not lost, and can be sent again.
func TestADenialOutOfReach(t *testing.T) {
	w := newWorld(t)
	f := w.start("whiplash", nil)
	deny := w.callback(f, url.Values{"error": {"access_denied"}, "state": {f.State}})
	w.store.OnWrite = func(string, any) (bool, error) { return false, errDown }
	w.problem(deny, web.Unavailable)
	w.store.OnWrite = nil
	w.returns(w.handle(deny), f, "denied")
}

// A panicking secret store stands for any mistake of ours.
type panicking struct{ *vault }

func (panicking) SealKeys(context.Context) (seal.Keys, error) { panic(errors.New("c4nary " + sealKey)) }

func TestAPanicIsAnAnswer(t *testing.T) {
	w := newWorld(t)
	w.Secrets = panicking{w.vault}
	f := w.start("whiplash", nil)
	resp := w.problem(w.callback(f, url.Values{"code": {"x"}, "state": {f.State}}), web.Internal)
	if resp.StatusCode != http.StatusInternalServerError || strings.Contains(w.printed.String(), "c4nary") {
		t.Error("the panic is shown")
	}
}
