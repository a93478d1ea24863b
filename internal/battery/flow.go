package battery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/evergrant/evergrant/internal/connection"
)

// A flow is one browser on its way through a case.
type flow struct {
	*player
	key      connection.Key
	jti      string
	signed   string // the ticket
	to       *url.URL
	state    string
	cookie   string   // name=value; "": it has not started
	jar      []string // all cookies of the browser, in a case that looks at them
	handle   string   // of the answer that the host is waited for
	params   url.Values
	returned bool  // the provider has answered: params are set
	second   *flow // another browser, once there is one
	tab      *flow // another tab with the same ticket, once there is one
}

var numbered atomic.Int64

// newFlow returns a flow with a ticket of its own.
func (p *player) newFlow(k connection.Key) *flow {
	f := &flow{player: p, key: k, jti: unique("ticket-id")}
	f.signed = f.newTicket().sign()
	p.guard("ticket ID", f.jti)
	p.guardTicket(f.signed)
	return f
}

// newKey returns the key of a connection that is not there.
func newKey(provider string) connection.Key {
	return connection.Key{ConnectionID: fmt.Sprintf("acct_%d", numbered.Add(1)), Provider: provider}
}

// other is somebody else with another connection at the same provider.
func (f *flow) other() *flow {
	if f.second == nil {
		f.second = f.newFlow(newKey(f.key.Provider))
	}
	return f.second
}

// again is the same browser in another tab, with the same ticket.
func (f *flow) again() *flow {
	if f.tab == nil {
		f.tab = &flow{player: f.player, key: f.key, jti: f.jti, signed: f.signed}
	}
	return f.tab
}

// request is what a browser sends to path.
func (f *flow) request(path, query string) Request {
	accept := "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	if f.way.document {
		accept = "application/problem+json, application/json"
	}
	return Request{by: f, Method: http.MethodGet, Path: path, Query: query, Header: map[string]string{
		"accept": accept, "sec-fetch-dest": "document", "sec-fetch-mode": "navigate", "sec-fetch-site": "cross-site",
	}}
}

// start sends the browser to the provider, unless it was.
func (f *flow) start() {
	if f.cookie == "" {
		a := f.do(f.opened())
		if a.Status != http.StatusFound || len(a.Cookies) == 0 {
			f.stop("the flow does not start: %d %s", a.Status, a.Body)
		}
		f.take(a)
	}
}

// opened is the request of somebody who opens the link.
func (f *flow) opened() Request {
	return f.request("/authorize/"+f.key.Provider, "ticket="+f.signed)
}

// take notes where an answer sends the browser, and with which cookie.
func (f *flow) take(a Answer) {
	to, err := url.Parse(a.Header["Location"])
	c, cookieErr := http.ParseSetCookie(a.Cookies[len(a.Cookies)-1])
	if err != nil || cookieErr != nil {
		f.stop("the browser is sent to %q with %q", a.Header["Location"], a.Cookies)
	}
	f.to, f.cookie = to, c.Name+"="+c.Value
	f.guard("cookie", c.Value)
	f.state = to.Query().Get("state")
	if f.key.Provider == "whcc" {
		f.Provider.mu.Lock()
		back, _ := url.Parse(f.Provider.waiting[to.Query().Get("SessionID")])
		f.Provider.mu.Unlock()
		f.state = back.Query().Get("state")
	}
	f.guard("state", f.state)
}

// approved starts the flow, lets its user approve, and returns the answer.
func (f *flow) approved() url.Values {
	f.start()
	if !f.returned {
		f.params, f.returned = f.Provider.approve(f.key.Provider, f.to), true
	}
	return f.params
}

// connect walks the whole way.
func (f *flow) connect() {
	a := f.do(returns()(f))
	if f.CompletionURL != "" {
		for _, problem := range f.toHost(f, a) {
			f.stop("%s", problem)
		}
		f.call(f, -1, completes(""))
		return
	}
	if a.Status != http.StatusOK && !strings.HasSuffix(a.Header["Location"], "result=connected") {
		f.stop("the connection is not made: %d %s %s", a.Status, a.Header["Location"], a.Body)
	}
}

// do sends one request; whoever cannot be asked ends the case.
func (f *flow) do(r Request) Answer {
	a, err := f.visit(r)
	if err != nil {
		f.stop("%s %s: %v", r.Method, r.Path, err)
	}
	return a
}

// claim returns the row of f's claim.
func (f *flow) claim(ctx context.Context) (connection.Request, error) {
	return f.GetRequest(ctx, "ticket#"+digest(f.jti), digest(f.state))
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// A change changes a request.
type change func(*flow, *Request)

// opens asks authorize with the ticket of f.
func opens(changes ...change) ask {
	return func(f *flow) Request {
		r := f.opened()
		for _, c := range changes {
			c(f, &r)
		}
		return r
	}
}

// returns brings the browser back with the provider's answer, which its user
// has approved.
func returns(changes ...change) ask {
	return func(f *flow) Request {
		r := f.request("/callback/"+f.key.Provider, f.approved().Encode())
		r.Cookies = []string{f.cookie}
		for _, c := range changes {
			c(f, &r)
		}
		return r
	}
}

// by lets another flow ask.
func by(of func(*flow) *flow, a ask) ask { return func(f *flow) Request { return a(of(f)) } }

// with replaces the parameter, or adds it: its value is as it is on the wire.
func with(name, raw string) change {
	return func(_ *flow, r *Request) {
		var pairs []string
		for pair := range strings.SplitSeq(r.Query, "&") {
			if n, _, _ := strings.Cut(pair, "="); n != name {
				pairs = append(pairs, pair)
			}
		}
		r.Query = strings.Join(append(pairs, name+"="+raw), "&")
	}
}

// without removes parameters.
func without(names ...string) change {
	return func(_ *flow, r *Request) {
		r.Query = strings.Join(slices.DeleteFunc(strings.Split(r.Query, "&"), func(pair string) bool {
			name, _, _ := strings.Cut(pair, "=")
			return slices.Contains(names, name)
		}), "&")
	}
}

// and adds to the query, as it is.
func and(raw string) change {
	return func(_ *flow, r *Request) { r.Query += "&" + raw }
}

// query replaces the query.
func query(raw string) change { return func(_ *flow, r *Request) { r.Query = raw } }

func method(m string) change { return func(_ *flow, r *Request) { r.Method = m } }

func header(name, value string) change {
	return func(_ *flow, r *Request) { r.Header[name] = value }
}

func path(p string) change { return func(_ *flow, r *Request) { r.Path = p } }

// within lets the invocation end after a time in which a provider that does not
// answer is waited for, and what came of it is recorded.
func within(f *flow, r *Request) { r.Time = f.shortly }

// cookieless is a browser without our cookies.
func cookieless(_ *flow, r *Request) { r.Cookies = nil }

// posted sends the query as a form, as response_mode=form_post does.
func posted(_ *flow, r *Request) {
	r.Method, r.Body, r.Query = http.MethodPost, r.Query, ""
	r.Header["content-type"] = "application/x-www-form-urlencoded"
}

// ticketed is a ticket that was made in another way.
func ticketed(changes ...func(*ticket)) change {
	return func(f *flow, r *Request) {
		t := f.newTicket()
		for _, c := range changes {
			c(t)
		}
		signed := t.sign()
		f.guardTicket(signed)
		with("ticket", signed)(f, r)
	}
}

// claims sets a claim of a ticket; nil removes it.
func claims(name string, value any) func(*ticket) {
	return func(t *ticket) {
		t.claims[name] = value
		if value == nil {
			delete(t.claims, name)
		}
	}
}
