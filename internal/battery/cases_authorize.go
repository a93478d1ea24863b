package battery

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// cases returns the whole battery.
func cases() []Case {
	return slices.Concat(tickets, links, starts, callbacks, browsers, formPosts, wayBack, hosts, answersFromProviders, sessions(), exchanges, answersWithTokens, oddTokens, refreshed, faultsOfOurs)
}

// Shorthands of the tables.
var (
	invalid = refused(http.StatusForbidden, "ticket-invalid")
	expired = refused(http.StatusForbidden, "ticket-expired")
	bad     = refused(http.StatusBadRequest, "bad-request")
	useless = refused(http.StatusBadRequest, "callback-invalid")
	used    = paid(refused(http.StatusForbidden, "ticket-used")) // a claim finds it out
)

// tickets are the cases of a connect ticket.
var tickets = []Case{
	{numbers: []int{1}, name: "no ticket starts nothing", steps: each(invalid,
		opens(query("")), opens(query("ticket=")), opens(query("ticket")), opens(query("connection_id=acct_1&return_to=https://app.example.com/")),
	)},
	{numbers: []int{2}, name: "a ticket with one bit flipped is refused", steps: flipped()},
	{numbers: []int{2}, name: "a forged ticket is refused", steps: each(invalid,
		opens(ticketed(func(t *ticket) { t.key = "c4nary-another-key-0123456789abcdefg" })),
		opens(ticketed(func(t *ticket) { t.key = "" })),
		opens(ticketed(func(t *ticket) { t.header["alg"] = "none" })),
		opens(ticketed(func(t *ticket) { t.header["alg"] = "None" })),
		opens(ticketed(func(t *ticket) { t.header["alg"] = "HS384" })),
		opens(ticketed(func(t *ticket) { t.header["alg"] = "HS512" })),
		opens(ticketed(func(t *ticket) { t.header["alg"] = "RS256" })),
		opens(ticketed(func(t *ticket) { t.header["alg"] = nil })),
		opens(ticketed(func(t *ticket) { t.header["crit"] = []string{"exp"} })),
		opens(ticketed(func(t *ticket) { t.header["kid"] = 1 })),
		opens(ticketed(func(t *ticket) {
			t.header = map[string]any{"alg": "none", "jwk": map[string]any{"kty": "oct", "k": "AA"}}
		})),
		opens(with("ticket", stranger)), opens(with("ticket", "..")), opens(with("ticket", "e30.e30.")), opens(cutSignature),
	)},
	{
		numbers: []int{3}, name: "a ticket that has expired, or is not valid yet, is refused",
		note:  "a minute of skew is allowed",
		steps: append(each(expired, opens(ticketed(aged(-10*time.Minute, -62*time.Second)))), each(invalid, opens(ticketed(aged(62*time.Second, 5*time.Minute))), opens(ticketed(claims("exp", nil))), opens(ticketed(claims("iat", nil))), opens(ticketed(aged(0, 15*time.Minute+2*time.Second))))...),
	},
	{
		numbers: []int{4}, name: "a ticket that has connected does not connect again", note: "opening the link again starts a flow, since link scanners do; it is the second completion that is refused",
		requests: 1, leaves: connected, steps: []step{
			then(ends("connected"), returns()),
			then(leads(nil), by((*flow).again, opens())),
			then(used, by((*flow).again, returns())),
			then(recalls("connected"), returns()),
		},
	},
	{
		numbers: []int{5}, name: "of two that use a ticket at once, one connects", note: "both are sent to the provider; one callback wins",
		requests: 1, leaves: connected, steps: []step{{
			do:   func(f *flow) { f.approved(); f.again().approved() },
			asks: []ask{returns(), by((*flow).again, returns())},
			want: []want{uncounted(recalls("connected")), uncounted(used)}, each: []int{1, 1},
		}},
	},
	{numbers: []int{6}, name: "a ticket for another provider or another service is refused", steps: each(invalid,
		opens(path("/authorize/whisk")), opens(ticketed(claims("provider", "whisk"))), opens(ticketed(claims("provider", "Whiplash"))),
		opens(ticketed(claims("provider", nil))), opens(ticketed(claims("aud", "someone-else"))), opens(ticketed(claims("aud", nil))),
	)},
	{numbers: []int{7}, name: "an unknown provider is nothing", steps: each(refused(http.StatusNotFound, "unknown-provider"),
		opens(path("/authorize/"+stranger)), opens(path("/callback/"+stranger)), opens(path("/authorize/WHIPLASH")),
		opens(path("/callback/"+stranger), method(http.MethodPost)), opens(path("/authorize/whiplash%00")),
	)},
	{
		numbers: []int{8}, name: "a connection ID that could be taken for another is refused", note: "403 like all that is wrong with a ticket, not 400",
		steps: each(invalid, opens(subject("")), opens(subject("acct\x00_1")), opens(subject("acct#1")), opens(subject("a b")), opens(subject("acct\x1f1")),
			opens(subject(strings.Repeat("a", 257))), opens(subject("ａcct")), opens(subject(nil)), opens(subject(42)), opens(subject([]string{"acct_1"}))),
	},
	{numbers: []int{8, 14}, name: "a connection ID of ten kilobytes is a query that is too long", steps: each(bad, opens(subject(strings.Repeat("a", 10<<10))))},
	{numbers: []int{10}, name: "a return_to off the allow-list is refused", steps: each(bad,
		opens(returnTo("https://evil.example/")), opens(returnTo("//evil.example/")), opens(returnTo("javascript:alert(1)")), opens(returnTo("https:evil.example")),
		opens(returnTo("https://app.example.com.evil.example/")), opens(returnTo("https://app.example.com@evil.example/")), opens(returnTo(`https://app.example.com\@evil.example/`)),
		opens(returnTo("https://evil.example/\r\nSet-Cookie: a=b")), opens(returnTo("http://app.example.com/")), opens(returnTo("https://app.example.com:444/")), opens(returnTo("/done")),
		opens(returnTo("https://user:pass@app.example.com/")), opens(returnTo("https://app.example.com/"+strings.Repeat("a", 2<<10))),
	)},
	{numbers: []int{12}, name: "a connection field that breaks out of its place is refused", provider: "whisk", steps: each(bad,
		opens(field("evil.com/#")), opens(field("a@b")), opens(field("a。b")), opens(field("..%2f")), opens(field("")), opens(field("a&client_id=b")), opens(field("a\r\nb")), opens(field("a\n")),
		opens(ticketed(claims("params", map[string]any{"shop": "evil.com"}))),
	)},
	{numbers: []int{12}, name: "a connection field that is one goes along, once", provider: "whisk", steps: each(leads(located("identity_provider", "google")), opens(field("google")))},
	{numbers: []int{114}, name: "a ticket with a time out of range is refused", steps: each(invalid,
		opens(ticketed(claims("exp", 253402300800))), opens(ticketed(claims("exp", 1e300))), opens(ticketed(claims("exp", -1))), opens(ticketed(claims("iat", -62135596801))),
		opens(ticketed(claims("exp", "2038-01-19"))), opens(ticketed(claims("iat", []int{1}))), opens(ticketed(claims("nbf", 253402300799))),
	)},
	{numbers: []int{112}, name: "a host whose clock is off by less than a minute is served", steps: slices.Concat(
		each(leads(nil), opens(ticketed(aged(50*time.Second, 5*time.Minute)))), each(leads(nil), opens(ticketed(aged(-5*time.Minute, -50*time.Second)))),
	)},
}

// flipped are steps with tickets of which one bit is another.
func flipped() []step {
	var asks []ask
	for i := range 60 {
		asks = append(asks, opens(func(f *flow, r *Request) {
			b := []byte(f.signed)
			at := len(b) * i / 60
			for bit := range 8 { // the first that leaves a character of the query
				if c := b[at] ^ 1<<bit; c == '-' || c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' {
					b[at] = c
					break
				}
			}
			with("ticket", string(b))(f, r)
		}))
	}
	return each(invalid, asks...)
}

// cutSignature leaves a byte of the signature out.
func cutSignature(f *flow, r *Request) { with("ticket", f.signed[:len(f.signed)-2])(f, r) }

// aged sets iat and exp, from now.
func aged(iat, exp time.Duration) func(*ticket) {
	return func(t *ticket) {
		now, _ := t.claims["iat"].(int64) // as newTicket has it
		t.claims["iat"], t.claims["exp"] = now+int64(iat/time.Second), now+int64(exp/time.Second)
	}
}

func subject(v any) change     { return ticketed(claims("sub", v)) }
func returnTo(v string) change { return ticketed(claims("return_to", v)) }
func field(value string) change {
	return ticketed(claims("params", map[string]any{"identity_provider": value}))
}

// located wants a parameter in the URL that the browser is sent to.
func located(name, value string) func(*flow, Answer) error {
	return func(_ *flow, a Answer) error {
		u, err := url.Parse(a.Header["Location"])
		if err != nil || !slices.Equal(u.Query()[name], []string{value}) {
			return fmt.Errorf("%s is not %q", name, value)
		}
		return nil
	}
}

// links are the cases of what else a request for authorize says.
var links = []Case{
	{
		numbers: []int{9, 11}, name: "parameters of ours in the query change nothing", note: "what away checks: each of ours once, with our value",
		requests: 1, leaves: connected, steps: []step{
			{asks: []ask{opens(and("redirect_uri=https://evil.example/&client_id=" + stranger + "&scope=everything&state=" + stranger + "&response_type=token&code_challenge=a&return_to=https://evil.example/&connection_id=" + stranger + "&params=x"))}, want: []want{leads(started)}},
			then(ends("connected"), returns()),
		},
	},
	{numbers: []int{13}, name: "a parameter that comes twice is refused", steps: each(bad,
		opens(doubled("ticket", "ticket")), opens(doubled("ticket", "tick%65t")), opens(and("a=1&a=1")), opens(and("scope=a&scope=b")),
	)},
	{numbers: []int{14}, name: "a query that is too long, too many or not encoded is refused", steps: each(bad,
		opens(and("a="+strings.Repeat("a", 9<<10))), opens(and(many(300))), opens(and("a=%zz")), opens(and("a=%")), opens(and("a=%ff%fe")), opens(and("%ff=a")), opens(and("a=%c0%af")),
	)},
	{numbers: []int{15}, name: "another method is refused, and says which is not", steps: each(
		want{status: http.StatusMethodNotAllowed, typ: "method-not-allowed", lines: 1, check: allows("GET")},
		opens(method(http.MethodPost)), opens(method(http.MethodPut)), opens(method(http.MethodDelete)), opens(method(http.MethodTrace)), opens(method(http.MethodOptions)), opens(method(http.MethodPatch)),
	)},
	{numbers: []int{15}, name: "another method at the callback is refused, and uses nothing up", requests: 1, leaves: connected, steps: append(each(
		want{status: http.StatusMethodNotAllowed, typ: "method-not-allowed", lines: 1, check: allows("GET, POST")},
		returns(method(http.MethodPut)), returns(method(http.MethodDelete)), returns(method(http.MethodTrace)), returns(method(http.MethodOptions)), returns(method(http.MethodHead)),
	), then(ends("connected"), returns()))},
	{
		numbers: []int{16}, name: "HEAD and prefetch do nothing", note: "400 for a prefetch, which a browser throws away, since it is no method",
		requests: 1, leaves: connected, steps: append(slices.Concat(
			each(refused(http.StatusMethodNotAllowed, "method-not-allowed"), opens(method(http.MethodHead))),
			each(refused(http.StatusMethodNotAllowed, "method-not-allowed"), returns(method(http.MethodHead)), returns(method(http.MethodHead), cookieless)),
			each(bad, opens(header("sec-purpose", "prefetch")), opens(header("sec-purpose", "prefetch;prerender")), opens(header("sec-purpose", "prefetch;anonymous-client-ip")), opens(header("purpose", "prefetch")), opens(header("x-moz", "prefetch")), opens(header("x-purpose", "preview"))),
			each(useless, returns(header("sec-purpose", "prefetch")), returns(header("sec-purpose", "prefetch;prerender")), returns(header("purpose", "prefetch")), returns(header("x-moz", "prefetch")), returns(header("x-purpose", "preview")),
				returns(without("code"), and("error=access_denied"), header("sec-purpose", "prefetch")), returns(posted, header("sec-purpose", "prefetch"))),
		), then(ends("connected"), returns())),
	},
	{numbers: []int{17}, name: "a link is for a window, not for a frame, an image or a script", steps: append(each(
		refused(http.StatusForbidden, "not-a-window"),
		opens(header("sec-fetch-dest", "iframe")), opens(header("sec-fetch-dest", "image")), opens(header("sec-fetch-dest", "script")), opens(header("sec-fetch-dest", "empty")),
		opens(header("sec-fetch-dest", "frame")), opens(header("sec-fetch-dest", "object")), opens(header("sec-fetch-dest", stranger)),
	), then(leads(nil), opens()), then(leads(nil), opens(func(_ *flow, r *Request) { delete(r.Header, "sec-fetch-dest") })))},
	{numbers: []int{24}, name: "forwarding headers change no URL", steps: each(leads(nil),
		opens(header("x-forwarded-host", "evil.example"), header("x-forwarded-proto", "http"), header("forwarded", "host=evil.example;proto=http"), header("x-original-url", "/authorize/whcc")),
	)},
	{numbers: []int{24}, name: "a forged Host changes no URL", needs: []ability{needHosts}, requests: 1, leaves: connected, steps: []step{
		then(leads(nil), opens(header("host", "evil.example"))), then(ends("connected"), returns(header("host", "evil.example"))),
	}},
}

// started takes the answer as the start of the flow.
func started(f *flow, a Answer) error {
	if len(a.Cookies) == 0 {
		return errors.New("there is no cookie to go on with")
	}
	f.take(a)
	return nil
}

// doubled adds a parameter that is there under another spelling of its name.
func doubled(name, spelt string) change {
	return func(_ *flow, r *Request) {
		for pair := range strings.SplitSeq(r.Query, "&") {
			if n, value, _ := strings.Cut(pair, "="); n == name {
				r.Query += "&" + spelt + "=" + value
				return
			}
		}
	}
}

// many are n parameters.
func many(n int) string {
	pairs := make([]string, n)
	for i := range pairs {
		pairs[i] = fmt.Sprintf("p%d=1", i)
	}
	return strings.Join(pairs, "&")
}

// allows wants an Allow header.
func allows(methods string) func(*flow, Answer) error {
	return func(_ *flow, a Answer) error {
		if a.Header["Allow"] != methods {
			return fmt.Errorf("allow is %q", a.Header["Allow"])
		}
		return nil
	}
}

// starts are the cases of many flows in one browser, and of what authorize needs.
var starts = []Case{
	{numbers: []int{20}, name: "cookies of others that fill the header are left alone", requests: 1, leaves: connected, steps: []step{
		then(leads(func(f *flow, a Answer) error {
			if len(a.Cookies) != 1 {
				return errors.New("it touches cookies that are not ours")
			}
			return started(f, a)
		}), opens(func(_ *flow, r *Request) {
			r.Cookies = []string{"session=" + strings.Repeat("a", 4000), "tracker=" + strings.Repeat("b", 4000)}
		})),
		then(ends("connected"), returns()),
	}},
	{numbers: []int{18}, name: "fifty forged tickets at once are refused each, and keep nobody out", note: "the 429 is the gateway's: internal/template holds its limits", steps: []step{
		{asks: []ask{opens(ticketed(func(t *ticket) { t.key = "another" }))}, times: 50, want: []want{uncounted(invalid)}, each: []int{50}},
		then(leads(nil), opens()),
	}},
	{
		numbers: []int{19}, name: "of fifty flows in one browser the last one ends well, and five are left", note: "there is no row that could be counted: the oldest cookies go, and nobody is refused",
		requests: 1, leaves: connected, steps: []step{{do: fiftyTabs, asks: []ask{returns(withAll)}, want: []want{ends("connected")}}},
	},
	{numbers: []int{20}, name: "of six flows in a browser the oldest gives way, and the others end well", requests: 1, leaves: connected, steps: []step{
		{do: sixTabs, asks: []ask{returns()}, want: []want{ends("connected")}},
	}},
	{numbers: []int{22, 23}, name: "authorize needs no table", note: "no flow is written, so none can be lost", needs: []ability{needFaults}, steps: []step{{
		do: func(f *flow) {
			for _, op := range []string{"ClaimRequest", "DenyRequest", "FinishRequest", "GetRequest", "Get", "Connect"} {
				f.Break(op, Lost)
			}
		}, asks: []ask{opens()}, want: []want{leads(nil)},
	}}},
	{numbers: []int{7, 107}, name: "a client secret that is missing or malformed is ours to mend", needs: []ability{needSecrets}, steps: slices.Concat(
		configured("", opens()), configured("not JSON", opens()), configured("{}", opens()), configured(`{"client_id":"`+stranger+`"}`, opens()), configured("[]", opens()),
	)},
}

// fiftyTabs opens forty-nine other flows, each in the same browser, before f.
func fiftyTabs(f *flow) {
	jar := map[string]string{}
	for i := range 50 {
		tab := f
		if i < 49 {
			tab = f.newFlow(newKey(f.key.Provider))
		}
		r := tab.opened()
		for name, value := range jar {
			r.Cookies = append(r.Cookies, name+"="+value)
		}
		if length := len(strings.Join(r.Cookies, "; ")) + len(r.Query); length > 8<<10 {
			f.problem("flow %d sends %d bytes, which is near the 10,240 that API Gateway takes", i+1, length)
		}
		a := f.do(r)
		for _, problem := range f.away(tab, a) {
			f.problem("flow %d: %s", i+1, problem)
		}
		for _, line := range a.Cookies {
			if c, err := http.ParseSetCookie(line); err == nil {
				jar[c.Name] = c.Value
				if c.MaxAge < 0 {
					delete(jar, c.Name)
				}
			}
		}
		tab.take(a)
	}
	if len(jar) > 5 {
		f.problem("%d cookies are left, want 5", len(jar))
	}
	for name, value := range jar {
		f.jar = append(f.jar, name+"="+value)
	}
}

// withAll sends every cookie of the browser.
func withAll(f *flow, r *Request) { r.Cookies = f.jar }

// sixTabs opens five other flows, each in the same browser, before f.
func sixTabs(f *flow) {
	var jar []string
	tab := func(f *flow) Answer {
		r := f.opened()
		r.Cookies = jar
		a := f.do(r)
		for _, problem := range f.away(f, a) {
			f.problem("%s", problem)
		}
		f.take(a)
		return a
	}
	for range 5 {
		other := f.newFlow(newKey(f.key.Provider))
		tab(other)
		jar = append(jar, other.cookie)
	}
	if a := tab(f); len(a.Cookies) != 2 {
		f.problem("the sixth flow removes %d cookies, want 1", len(a.Cookies)-1)
	}
}

// configured is a step with a client secret that leads to an operator.
func configured(document string, a ask) []step {
	return []step{{do: func(f *flow) { f.configure(document) }, asks: []ask{a}, want: []want{refused(http.StatusInternalServerError, "not-configured")}}}
}
