package battery

import (
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

var (
	elsewhereStarted = refused(http.StatusForbidden, "wrong-browser")
	busy             = want{status: http.StatusAccepted, typ: "in-progress", lines: -1}
)

// A state that is well-formed, and nobody's.
const nobody = "c4nary-nobodys-state-0123456789-abcdefghijk"

// callbacks are the cases of what stands in the query of a callback.
var callbacks = []Case{
	{numbers: []int{25, 36}, name: "a callback without a state is useless", steps: each(useless,
		returns(query("")), returns(without("state")), returns(query("error=access_denied")), returns(query("error="+stranger+"&error_description="+stranger)), returns(query("code="+stranger)),
	)},
	{numbers: []int{26}, name: "a state that is ill-formed is useless", steps: each(useless,
		returns(with("state", "")), returns(with("state", strings.Repeat("a", 5<<10))), returns(with("state", stranger)), returns(with("state", "..%2f..%2f"+strings.Repeat("a", 37))), returns(with("state", strings.Repeat("%00", 43))),
		returns(with("state", strings.Repeat("a", 43)+"%0a")),
	)},
	{
		numbers: []int{26}, name: "a state that nobody started is refused like one of another browser", note: "403, since only its cookie tells whether it is known",
		steps: each(elsewhereStarted, returns(with("state", nobody)), returns(with("state", nobody), cookieless)),
	},
	{numbers: []int{33}, name: "a callback on another provider's path is useless, and costs nothing", note: "the flow is not destroyed: its own path still ends it", requests: 1, leaves: connected, steps: append(each(useless,
		returns(path("/callback/whisk")), returns(path("/callback/whatnot")), returns(path("/callback/whcc")),
	), then(ends("connected"), returns()))},
	{
		numbers: []int{34}, name: "an issuer that is not the provider's is useless", note: "none of the providers sends one, so any is wrong; the flow is not destroyed",
		requests: 1, leaves: connected, steps: append(each(useless,
			returns(and("iss=https://evil.example")), returns(and("iss=")), returns(and("iss=https://evil.example&iss=https://evil.example")), returns(and("iss=https://www.getwhiplash.com")), returns(and("iss=https://www.getwhiplash.com/")), returns(and("%69ss=https%253A%252F%252Fwww.getwhiplash.com")),
		), then(ends("connected"), returns())),
	},
	{numbers: []int{35}, name: "a user who declines ends at the host, and keeps what there was", leaves: denied, steps: []step{
		then(seen(ends("denied"), logged(`"outcome":"denied","code":"access_denied"`)), returns(without("code"), and("error=access_denied&error_description="+stranger))),
		then(recalls("denied"), returns()),
		then(recalls("denied"), returns(without("code"), and("error=access_denied"))),
		then(recalls("denied"), returns(without("code"), and("error=server_error"))),
	}},
	{numbers: []int{35}, name: "a user who declines may use the ticket again", requests: 1, leaves: connected, steps: []step{
		then(ends("denied"), by((*flow).again, returns(without("code"), and("error=access_denied")))),
		then(ends("connected"), returns()),
	}},
	{numbers: []int{37}, name: "an error that is an attack is the provider's failure, and shown nowhere", leaves: failed, steps: []step{
		then(seen(ends("failed"), logged(`"outcome":"failed","code":""`)), returns(without("code"), and(attack))),
	}},
	{numbers: []int{37}, name: "an error of a hundred kilobytes is useless", note: "as a form; a query of more than ten kilobytes reaches no function", steps: each(useless,
		returns(without("code"), and("error=a&error_description="+strings.Repeat("a", 50<<10))), returns(without("code"), and("error=a&error_description="+strings.Repeat("a", 100<<10)), posted), returns(without("code"), and("error=%ff")), returns(without("code"), and("error=%zz")),
	)},
	{numbers: []int{37}, name: "an error is remembered as a failure", leaves: failed, steps: []step{
		then(seen(ends("failed"), logged(`"outcome":"failed","code":"server_error"`)), returns(without("code"), and("error=server_error"))),
		then(recalls("failed"), returns(without("code"), and("error=server_error"))), then(recalls("failed"), returns()),
		then(recalls("failed"), returns(without("code"), and("error=access_denied"))),
	}},
	{numbers: []int{37}, name: "after a failure of the provider the ticket is good", requests: 1, leaves: connected, steps: []step{
		then(ends("failed"), by((*flow).again, returns(without("code"), and("error=temporarily_unavailable")))),
		then(ends("connected"), returns()),
	}},
	{numbers: []int{38}, name: "a code beside an error is not sent", leaves: failed, steps: []step{
		then(ends("failed"), returns(and("error=access_denied"))), then(recalls("failed"), returns()),
	}},
	{numbers: []int{39}, name: "a code that is empty or too long is useless", steps: each(useless,
		returns(with("code", "")), returns(without("code")), returns(with("code", strings.Repeat("a", 5<<10))),
	)},
	{
		numbers: []int{39}, name: "a strange code is sent on as it was, decoded once", requests: 1, leaves: failed, code: "invalid_grant",
		steps: []step{then(seen(ends("failed"), sentOn("a+b c/=%2B%41\x00é\u202e\r\n\"")), returns(with("code", url.QueryEscape("a+b c/=%2B%41\x00é\u202e\r\n\""))))},
	},
	{numbers: []int{39}, name: "a code of four kilobytes is sent on", requests: 1, leaves: failed, code: "invalid_grant", steps: []step{
		then(seen(ends("failed"), sentOn(strings.Repeat("a", 4<<10))), returns(with("code", strings.Repeat("a", 4<<10)))),
	}},
	{numbers: []int{40}, name: "two codes or two states use nothing up", requests: 1, leaves: connected, steps: append(each(useless,
		returns(doubled("code", "code")), returns(doubled("state", "state")), returns(and("code=b")), returns(and("state="+nobody)), returns(doubled("code", "c%6fde")), returns(and("error=a&error=b")),
	), then(ends("connected"), returns()))},
	{numbers: []int{40}, name: "parameters that nobody knows are passed over", requests: 1, leaves: connected, steps: []step{then(ends("connected"), returns(and(many(20))))}},
	{numbers: []int{41}, name: "a token in the query is useless", requests: 1, leaves: connected, steps: append(each(useless,
		returns(without("code"), and("access_token="+stranger+"&token_type=Bearer")), returns(and("access_token="+stranger)), returns(and("id_token="+stranger)), returns(without("code"), and("id_token="+stranger)), returns(and("access_token=")),
	), then(ends("connected"), returns()))},
	{
		numbers: []int{42}, name: "a stolen code is refused where there is PKCE", requests: 1, leaves: failed, code: "invalid_grant",
		steps: []step{then(ends("failed"), returns(func(f *flow, r *Request) {
			with("code", url.QueryEscape(f.other().approved().Get("code")))(f, r)
		}))},
	},
	{
		numbers: []int{43}, name: "a stolen code connects where there is no PKCE", provider: "whisk", requests: 1, leaves: connected,
		note: "a residual risk (RFC 9700 section 4.5): only the host can know whose account it is, by the account that is stored",
		steps: []step{then(ends("connected"), returns(func(f *flow, r *Request) {
			with("code", url.QueryEscape(f.other().approved().Get("code")))(f, r)
		})), told(looksUp(`"pkce":false`))},
	},
	{
		numbers: []int{53}, name: "whData that is none is useless, and stores nothing", provider: "whcc", requests: 0, leaves: connected, steps: append(each(useless,
			returns(without("whData")), whData(""), whData("not JSON"), whData("[]"), whData(`{"token":""}`), whData(`{"token":4711}`), whData(`{"token":null}`), whData(`{"token":["a"]}`),
			whData(`{"token":"`+stranger+`","token":"`+stranger+`2"}`), whData(`{"token":"`+stranger+`"}{}`), whData(`{"token":"`+stranger+`"`), whData(`{"token":"`+stranger+`","a":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`}`),
			whData(`{"token":"`+stranger+`","studio":"`+strings.Repeat("a", 50<<10)+`"}`), whData(`{"token":"`+stranger+`","studio":"`+strings.Repeat("a", 100<<10)+`"}`, posted), whData(`{"token":"`+stranger+`","studio":"`+strings.Repeat("a", 17<<10)+`"}`, posted), returns(doubled("whData", "whData")),
		), then(ends("connected"), returns())),
		stored: func(_ *flow, c connection.Connection) error {
			if c.Metadata["state"] != "MN" {
				return errors.New("the US state is not kept as one")
			}
			return nil
		},
	},
	{
		numbers: []int{53}, name: "whData that names another callback is useless", provider: "whcc",
		requests: 0, leaves: connected, steps: append(each(useless,
			whData(`{"token":"`+stranger+`","client_id":4711,"callback_url":"https://evil.example/callback/whcc"}`), whData(`{"token":"`+stranger+`","client_id":4711,"callback_url":"`+stranger+`"}`),
			whDataFor(func(own string) string { return own + "/" }), whDataFor(func(own string) string { return strings.Replace(own, "whcc", "whisk", 1) }), whDataFor(func(own string) string { return strings.Replace(own, "://", "://evil.example@", 1) }),
			whDataFor(func(own string) string { return "https://evil.example/?x=" + own }),
		), then(ends("connected"), returns())),
	},
	{
		numbers: []int{53}, name: "whData that names its callback with a query is good", provider: "whcc", requests: 0, leaves: connected, note: "WHCC's page drops our query; another one is its own",
		steps: []step{then(ends("connected"), returns(func(f *flow, r *Request) {
			with("whData", url.QueryEscape(strings.Replace(f.approved().Get("whData"), "/callback/whcc", "/callback/whcc?sessionID=1", 1)))(f, r)
		}))},
	},
	{
		numbers: []int{30, 53}, name: "the outcome of whData is shown at a URL without it, to its own browser", provider: "whcc", requests: 0, leaves: connected, steps: slices.Concat(
			each(elsewhereStarted, returns(without("whData"), cookieless), returns(without("whData"), anothersCookie)), each(useless, returns(without("whData"))),
			[]step{then(ends("connected"), returns())},
			each(recalls("connected"), returns(without("whData")), returns(), returns(without("whData")), whData(`{"token":"`+stranger+`"}`)),
			each(elsewhereStarted, returns(without("whData"), cookieless), returns(without("whData"), anothersCookie)),
		),
	},
	{numbers: []int{35, 53}, name: "a denial beside whData is shown at a URL without it", provider: "whcc", requests: 0, leaves: denied, steps: []step{
		then(ends("denied"), returns(and("error=access_denied"))), then(recalls("denied"), returns(without("whData"))), then(recalls("denied"), returns(and("error=access_denied"))),
	}},
	{
		numbers: []int{54}, name: "stolen whData cannot be told from one's own", provider: "whcc", leaves: connected, requests: 0,
		note: "a residual risk (RFC 9700 section 4.6): the account is stored for the host to look at",
		steps: []step{then(seen(ends("connected"), logged(`"token_in_front_channel":true`)), returns(func(f *flow, r *Request) {
			f.approved()
			with("whData", url.QueryEscape(f.other().approved().Get("whData")))(f, r)
		})), told(looksUp(`"token_in_front_channel":true`))},
	},
}

// attack is an error with everything that an attacker would write into it.
var attack = "error=" + url.QueryEscape("<script>alert('"+stranger+"')</script>") + "&error_description=" + url.QueryEscape(stranger+"\r\nSet-Cookie: a=b\u202e\x00\x1b[31m"+strings.Repeat("A", 2<<10)) +
	"&error_uri=" + url.QueryEscape("javascript:alert('"+stranger+"')")

// sentOn wants the provider to have got a code as it is.
func sentOn(code string) func(*flow, Answer) error {
	return func(f *flow, _ Answer) error {
		if asked, _ := f.Provider.requests(); len(asked) != 1 || asked[0] != code {
			return fmt.Errorf("the provider got %q", asked)
		}
		return nil
	}
}

// logged wants a text in the log of the case.
func logged(text string) func(*flow, Answer) error {
	return func(f *flow, _ Answer) error {
		if !strings.Contains(f.printed(), text) {
			return fmt.Errorf("the log does not say %s", text)
		}
		return nil
	}
}

// whDataFor is a callback of WHCC with a document that names another callback.
func whDataFor(change func(own string) string) ask {
	return func(f *flow) Request {
		return whData(`{"token":"` + stranger + `","callback_url":"` + change(f.PublicURL+"/callback/whcc") + `"}`)(f)
	}
}

// whData is a callback of WHCC with a document.
func whData(document string, changes ...change) ask {
	return returns(append([]change{with("whData", url.QueryEscape(document))}, changes...)...)
}

// browsers are the cases of who comes back, when, and how often.
var browsers = []Case{
	{numbers: []int{27, 32}, name: "whoever comes without the cookie uses nothing up", requests: 1, leaves: connected, steps: append(each(elsewhereStarted,
		returns(cookieless), returns(cookieless), returns(cookieless, without("code"), and("error=access_denied")), returns(nameless),
	), then(ends("connected"), returns()))},
	{numbers: []int{28}, name: "whoever comes with another's cookie uses nothing up", requests: 1, leaves: connected, steps: slices.Concat(
		each(elsewhereStarted, returns(anothersCookie), returns(anothersValue)), each(useless, returns(changedCookie), returns(noCookie("")), returns(noCookie(stranger))),
		[]step{then(ends("connected"), returns())},
	)},
	{numbers: []int{27, 28}, name: "where there is no PKCE, state and cookie are held to the same", provider: "whisk", requests: 1, leaves: connected, steps: append(each(elsewhereStarted,
		returns(cookieless), returns(anothersCookie), returns(anothersValue), returns(with("state", nobody)),
	), then(ends("connected"), returns()))},
	{numbers: []int{29}, name: "an authorization request that has expired is over", needs: []ability{needClock}, note: "there is no row to be marked: the cookie knows its end", steps: []step{
		{do: func(f *flow) { f.approved(); f.wait(10*time.Minute + time.Second) }, asks: []ask{returns()}, want: []want{refused(http.StatusBadRequest, "request-expired")}},
		then(refused(http.StatusBadRequest, "request-expired"), returns(without("code"), and("error=access_denied"))),
	}},
	{numbers: []int{29}, name: "an authorization request lives ten minutes, longer than its ticket", needs: []ability{needClock}, requests: 1, leaves: connected, steps: []step{
		{do: func(f *flow) { f.approved(); f.wait(9 * time.Minute) }, asks: []ask{returns()}, want: []want{ends("connected")}},
	}},
	{numbers: []int{30}, name: "a callback loaded again has the first outcome, and sends nothing", requests: 1, leaves: connected, steps: []step{
		then(ends("connected"), returns()), then(recalls("connected"), returns()), then(recalls("connected"), returns(with("code", stranger))), then(recalls("connected"), returns(without("code"), and("error=access_denied"))),
	}},
	{numbers: []int{30}, name: "a callback that failed has failed when it is loaded again", requests: 1, leaves: failed, code: "invalid_grant", script: replies(refusal(http.StatusBadRequest, "invalid_grant")), steps: []step{
		then(ends("failed"), returns()), then(recalls("failed"), returns()),
	}},
	{numbers: []int{31}, name: "fifty callbacks at once send the code once", requests: 1, leaves: connected, steps: []step{
		{asks: []ask{returns()}, times: 50, want: []want{uncounted(recalls("connected")), busy}}, then(recalls("connected"), returns()),
	}},
	{numbers: []int{47}, name: "an answer by form_post is posted again from our own page", requests: 1, leaves: connected, steps: []step{
		then(want{status: http.StatusOK, bounce: true, check: postsWhatCame}, returns(cookieless, and("a="+stranger), posted)), then(ends("connected"), returns(posted)), then(recalls("connected"), returns()),
	}},
	{numbers: []int{47}, name: "a form that was posted again without the cookie is another browser's", steps: each(elsewhereStarted, returns(cookieless, and("evergrant_bounced=1"), posted))},
	{numbers: []int{47}, name: "a form that is none is useless", requests: 1, leaves: connected, steps: append(each(useless,
		returns(posted, header("content-type", "application/json")), returns(posted, header("content-type", "text/plain")), returns(posted, header("content-type", "")), returns(and("code=b"), posted),
		returns(and("a="+strings.Repeat("a", 33<<10)), posted), returns(and(many(300)), posted), returns(and("a=%zz"), posted),
	), then(ends("connected"), returns()))},
	{numbers: []int{116}, name: "a form comes whole, whatever its type says besides", requests: 1, leaves: connected, steps: []step{
		then(ends("connected"), returns(posted, header("content-type", "application/x-www-form-urlencoded; charset=UTF-8"))),
	}},
	{numbers: []int{52}, name: "another account than before is refused, and the first one stays", requests: 1, leaves: failed, code: "account_changed", existing: true, steps: []step{
		{do: anothersAccount, asks: []ask{returns()}, want: []want{conflicts("account-changed")}},
		then(recalled(conflicts("account-changed")), returns()),
	}},
	{numbers: []int{52}, name: "an account that cannot be found out is refused where there is one", requests: 1, leaves: failed, code: "account_unknown", existing: true, steps: []step{
		{do: namelessAccount, asks: []ask{returns()}, want: []want{uncounted(conflicts("account-unknown"))}},
		then(recalled(conflicts("account-unknown")), returns()),
	}},
	{numbers: []int{52}, name: "an account that cannot be found out is none where there was none", new: true, requests: 1, leaves: connected, stored: nobodys, steps: []step{
		{do: namelessAccount, asks: []ask{returns()}, want: []want{uncounted(recalls("connected"))}},
	}},
	{numbers: []int{52}, name: "the same account again is a new grant", requests: 1, leaves: connected, steps: []step{then(ends("connected"), returns())}},
}

// nameless sends the cookie under another name.
func nameless(f *flow, r *Request) {
	_, value, _ := strings.Cut(f.cookie, "=")
	r.Cookies = []string{"evergrant=" + value}
}

// anothersCookie sends the cookie of another flow.
func anothersCookie(f *flow, r *Request) {
	f.other().start()
	r.Cookies = []string{f.other().cookie}
}

// anothersValue sends the value of another flow's cookie under the name of ours.
func anothersValue(f *flow, r *Request) {
	f.other().start()
	name, _, _ := strings.Cut(f.cookie, "=")
	_, value, _ := strings.Cut(f.other().cookie, "=")
	r.Cookies = []string{name + "=" + value}
}

// changedCookie flips a bit in the middle of the cookie's value.
func changedCookie(f *flow, r *Request) {
	b := []byte(f.cookie)
	if at := len(b) * 2 / 3; b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	r.Cookies = []string{string(b)}
}

// noCookie sends a value that is none.
func noCookie(value string) change {
	return func(f *flow, r *Request) {
		name, _, _ := strings.Cut(f.cookie, "=")
		r.Cookies = []string{name + "=" + value}
	}
}

var inputTag = regexp.MustCompile(`name="([a-z_]+)" value="([^"]*)"`)

// postsWhatCame wants the page to hold code and state as they came, and nothing
// that nobody knows.
func postsWhatCame(f *flow, a Answer) error {
	fields := map[string]string{}
	for _, m := range inputTag.FindAllStringSubmatch(a.Body, -1) {
		fields[m[1]] = html.UnescapeString(m[2])
	}
	if fields["code"] != f.params.Get("code") || fields["state"] != f.state || strings.Contains(a.Body, stranger) {
		return errors.New("the page does not post what came")
	}
	return nil
}

// nobodys wants a connection of which nobody knows whose it is.
func nobodys(_ *flow, c connection.Connection) error {
	if c.Account.ID != "" {
		return fmt.Errorf("the account is %q", c.Account.ID)
	}
	return nil
}

// namelessAccount lets the provider not tell whose account it is.
func namelessAccount(f *flow) {
	f.approved()
	f.Provider.mu.Lock()
	defer f.Provider.mu.Unlock()
	f.Provider.nameless = true
}

// anothersAccount lets another user of the provider approve.
func anothersAccount(f *flow) {
	f.Provider.mu.Lock()
	defer f.Provider.mu.Unlock()
	f.Provider.user = "bob"
}
