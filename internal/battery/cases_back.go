package battery

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// bounces wants our own page that posts again, which costs nothing.
var bounces = want{status: http.StatusOK, bounce: true, free: true, check: postsWhatCame}

// formPosts are the cases of an answer by form_post.
var formPosts = []Case{
	{numbers: []int{47}, name: "a denial by form_post is posted again, and ends at the host", leaves: denied, steps: []step{
		then(want{status: http.StatusOK, bounce: true, free: true}, returns(without("code"), and("error=access_denied&error_description="+stranger), cookieless, posted)),
		then(ends("denied"), returns(without("code"), and("error=access_denied&"+again), posted)),
		then(recalls("denied"), returns(without("code"), and("error=access_denied&"+again), posted)), then(recalls("denied"), returns()),
	}},
	{numbers: []int{47}, name: "an error by form_post that is an attack is shown nowhere", leaves: failed, steps: []step{
		then(ends("failed"), returns(without("code"), and(attack), posted)), then(recalls("failed"), returns(posted)),
	}},
	{numbers: []int{47}, name: "a form with another's cookie uses nothing up", requests: 1, leaves: connected, steps: append(each(elsewhereStarted,
		returns(and(again), anothersCookie, posted), returns(and(again), anothersValue, posted), returns(and(again), cookieless), returns(with("state", nobody), and(again), posted),
	), then(ends("connected"), returns(and(again), posted)))},
	{numbers: []int{47}, name: "a form is read from the body alone", requests: 1, leaves: connected, steps: append(each(useless,
		returns(method(http.MethodPost), header("content-type", "application/x-www-form-urlencoded")), returns(posted, split("state")), returns(posted, split("code")),
		returns(method(http.MethodPost)), returns(posted, header("content-type", "multipart/form-data; boundary=a")),
	), then(ends("connected"), returns(posted, func(_ *flow, r *Request) { r.Query = "code=" + stranger + "&state=" + stranger })))},
	{numbers: []int{31, 47}, name: "ten forms at once send the code once", requests: 1, leaves: connected, steps: []step{
		{asks: []ask{returns(and(again), posted)}, times: 10, want: []want{uncounted(recalls("connected")), busy}}, then(recalls("connected"), returns()),
	}},
	{numbers: []int{47}, name: "our own page may be loaded again", requests: 1, leaves: connected, steps: []step{
		then(bounces, returns(cookieless, posted)), then(bounces, returns(cookieless, posted)), then(ends("connected"), returns(and(again), posted)),
		then(bounces, returns(cookieless, posted)), then(recalls("connected"), returns(and(again), posted)),
	}},
	{
		numbers: []int{41, 47}, name: "a token in the fragment comes by our own page, and by nothing else", provider: "whisk", needs: []ability{needSecrets}, leaves: connected, note: "where the client's secret asks for it, as Whisk documents",
		before: implicit, steps: []step{
			then(want{status: http.StatusOK, bounce: true, free: true}, returns(query(""), cookieless)),
			then(useless, returns()), then(useless, returns(without("access_token"), posted)), then(useless, returns(with("token_type", "mac"), posted)),
			then(elsewhereStarted, returns(and(again), cookieless, posted)),
			then(ends("connected"), returns(posted)), then(recalls("connected"), returns(posted)), then(recalls("connected"), returns(with("access_token", stranger), posted)), told(looksUp(`"token_in_front_channel":true`)),
		},
	},
	{
		numbers: []int{41, 54}, name: "a token in the fragment that the provider does not know fails", provider: "whisk", needs: []ability{needSecrets}, leaves: failed, code: "token_not_proved", note: "it is at least a live one that is stored",
		before: implicit, steps: []step{
			{do: namelessAccount, asks: []ask{returns(posted)}, want: []want{ends("failed")}}, then(recalls("failed"), returns(posted)),
		},
	},
}

// again is what our own page adds to a form.
const again = "evergrant_bounced=1"

// split moves a parameter of a form into the query.
func split(name string) change {
	return func(f *flow, r *Request) {
		form, _ := url.ParseQuery(r.Body) // as posted has it
		r.Query = url.Values{name: form[name]}.Encode()
		form.Del(name)
		r.Body = form.Encode()
	}
}

// implicit has the client ask for tokens in the fragment, and the user approve.
func implicit(f *flow) {
	f.configure(f.Provider.document(f.c.provider, func(d map[string]any) { d["response_type"] = "token" }))
	f.start()
	if f.to.Query().Get("response_type") != "token" {
		f.problem("the provider is asked for %s", f.to.Query().Get("response_type"))
	}
	token := unique("fragment-token")
	f.Provider.sent(map[string]any{"access_token": token})
	f.params, f.returned = url.Values{"access_token": {token}, "token_type": {"Bearer"}, "expires_in": {"3600"}, "state": {f.state}}, true
}

// wayBack are the cases of a browser that goes back, or comes back late.
var wayBack = []Case{
	{numbers: []int{30}, name: "whoever goes back and approves once more sees the first outcome", requests: 1, leaves: connected, steps: []step{
		then(ends("connected"), returns()), then(recalls("connected"), returns(approvedAgain)), then(recalls("connected"), returns(without("code"), and("error=access_denied"))),
	}},
	{numbers: []int{30, 35}, name: "whoever goes back after a denial and approves has declined", leaves: denied, note: "the link still works: it is opened again for another answer", steps: []step{
		then(ends("denied"), returns(without("code"), and("error=access_denied"))), then(recalls("denied"), returns(approvedAgain)),
	}},
	{numbers: []int{30}, name: "whoever goes back after a failure and approves has failed", requests: 1, leaves: failed, code: "invalid_grant", script: replies(refusal(http.StatusBadRequest, "invalid_grant")), steps: []step{
		then(ends("failed"), returns()), then(recalls("failed"), returns(approvedAgain)),
	}},
	{numbers: []int{4, 30}, name: "whoever goes back to the link after a failure needs a new one", requests: 1, leaves: failed, script: replies(fixed(http.StatusInternalServerError, "")), steps: []step{
		then(ends("failed"), returns()), then(leads(nil), by((*flow).again, opens())), then(used, by((*flow).again, returns())), then(recalls("failed"), returns()),
	}},
	{numbers: []int{30}, name: "two tabs come back in the other order, and both end well", requests: 2, leaves: connected, steps: []step{
		{do: func(f *flow) { f.approved(); f.other().approved() }, asks: []ask{by((*flow).other, returns())}, want: []want{{result: "connected", status: http.StatusOK, lines: 1}}},
		then(ends("connected"), returns()), then(recalls("connected"), returns()),
	}},
	{numbers: []int{4, 30}, name: "two tabs with one link: the first to come back counts", requests: 1, leaves: connected, steps: []step{
		{do: func(f *flow) { f.again().approved(); f.approved() }, asks: []ask{returns()}, want: []want{ends("connected")}},
		then(used, by((*flow).again, returns())), then(recalls("connected"), returns()), then(used, by((*flow).again, returns())),
	}},
	{numbers: []int{29, 30}, name: "a callback that is loaded again after ten minutes has expired", needs: []ability{needClock}, requests: 1, leaves: connected, note: "the browser has dropped the cookie by then, and is told that it is another one", steps: []step{
		then(ends("connected"), returns()),
		{do: func(f *flow) { f.wait(10*time.Minute + time.Second) }, asks: []ask{returns()}, want: []want{refused(http.StatusBadRequest, "request-expired")}},
		then(elsewhereStarted, returns(cookieless)),
	}},
}

// approvedAgain comes with a new code: the user has approved once more.
func approvedAgain(f *flow, r *Request) {
	with("code", url.QueryEscape(f.Provider.approve(f.key.Provider, f.to).Get("code")))(f, r)
}

// overtaken lets f connect while a refresh of an older grant is under way, which
// is refused then.
func overtaken(f *flow) {
	f.Provider.begin([]Reply{func(w http.ResponseWriter, r *http.Request, grant func() (int, map[string]any)) {
		f.connect()
		refusal(http.StatusBadRequest, "invalid_grant")(w, r, grant)
	}})
}

// unharmed wants a connection that nothing is held against.
func unharmed(_ *flow, c connection.Connection) error {
	if c.Failure.Count != 0 || c.Lease.ID != "" || !slices.Equal(c.ScopesMissing, nil) {
		return errors.New("something is held against it, or it is still claimed")
	}
	return nil
}
