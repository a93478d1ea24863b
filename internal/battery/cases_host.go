package battery

import (
	"net/http"
	"strings"
)

// handed wants the browser to be sent to the host with a handle: one line.
var handed = want{handle: true, lines: 1}

// handedAgain wants the same once more: nothing is new.
var handedAgain = want{handle: true}

// told is a step of nothing but calls of the host's backend.
func told(calls ...call) step { return step{calls: calls} }

// hosts are the cases of a host that completes connections.
var hosts = []Case{
	{numbers: []int{44, 45}, name: "the host completes, once", hosted: true, requests: 1, leaves: connected, steps: []step{
		then(handed, returns()), then(handedAgain, returns()), told(completes(""), completes("handle_used"), completes("handle_used")), then(recalls("connected"), returns()),
	}},
	{
		numbers: []int{44}, name: "a link that is finished in another user's browser ends nothing but itself", hosted: true, leaves: failed, code: "mismatch",
		note:  "the browser is the victim's from the beginning, so cookie and state are right: only the host knows who is signed in",
		steps: []step{then(handed, returns()), told(completes("mismatch", anothers), completes("handle_used")), then(recalls("failed"), returns())},
	},
	{numbers: []int{44}, name: "a stranger's handle in one's own browser ends nothing but itself", hosted: true, leaves: failed, code: "mismatch", existing: true, steps: []step{
		then(handed, returns()), told(completes("mismatch", anothers)), told(completes("handle_used")), then(recalls("failed"), returns(with("code", stranger))),
	}},
	{numbers: []int{45}, name: "a completion at another provider ends the flow", hosted: true, leaves: failed, code: "mismatch", steps: []step{
		then(handed, returns()), told(completes("mismatch", named("provider", "whatnot")), completes("handle_used")), then(recalls("failed"), returns()),
	}},
	{numbers: []int{45}, name: "a handle that nobody gave out completes nothing, and the right one still does", hosted: true, requests: 1, leaves: connected, steps: []step{
		then(handed, returns()),
		told(completes("invalid_handle", named("handle", "")), completes("invalid_handle", named("handle", stranger)), completes("invalid_handle", named("handle", strings.Repeat("A", 100<<10))),
			completes("invalid_handle", altered(func(h string) string { return h[:len(h)-1] })), completes("invalid_handle", altered(func(h string) string { return h + "A" })), completes("invalid_handle", altered(func(h string) string { return h + "\n" })),
			completes("invalid_handle", altered(func(h string) string { return strings.ToLower(h) })), completes("")),
		then(recalls("connected"), returns()),
	}},
	{numbers: []int{45, 46}, name: "a handle works for ten minutes", hosted: true, leaves: held, steps: []step{
		then(handed, returns()), {do: overdue, calls: []call{completes("handle_expired"), completes("handle_expired", anothers)}},
		then(paid(refused(http.StatusBadRequest, "request-expired")), returns()),
	}},
	{numbers: []int{46}, name: "an answer that the host never asks for is held sealed, for ten minutes", hosted: true, leaves: held, steps: []step{
		then(handed, returns()), then(handedAgain, returns()), then(handedAgain, returns(with("code", stranger))),
	}},
	{numbers: []int{46}, name: "whData that the host never asks for is held sealed, for ten minutes", hosted: true, provider: "whcc", leaves: held, steps: []step{then(handed, returns()), then(handedAgain, returns())}},
	{numbers: []int{53, 54}, name: "whData is stored once the host has completed", hosted: true, provider: "whcc", leaves: connected, steps: []step{
		then(handed, returns()), told(completes(""), completes("handle_used")), then(recalls("connected"), returns()),
	}},
	{numbers: []int{44}, name: "nothing in a request says where the host completes", hosted: true, requests: 1, leaves: connected, steps: []step{
		then(handed, returns(and("completion_url=https://evil.example/&return_to=https://evil.example/&handle="+stranger+"&connection_id="+stranger+"&provider=whisk"), header("x-forwarded-host", "evil.example"))),
		told(completes("")),
	}},
	{numbers: []int{4}, name: "a ticket whose answer the host is waited for is used", hosted: true, requests: 1, leaves: connected, steps: []step{
		then(handed, returns()), then(used, by((*flow).again, returns())), told(completes("")), then(used, by((*flow).again, returns())),
	}},
	{numbers: []int{31}, name: "fifty callbacks at once are one handle", hosted: true, requests: 1, leaves: connected, steps: []step{
		then(handed, returns()), {asks: []ask{returns()}, times: 50, want: []want{handedAgain}, each: []int{50}}, told(completes("")),
	}},
	{numbers: []int{35}, name: "a denial needs no word of the host", hosted: true, leaves: denied, steps: []step{
		then(ends("denied"), returns(without("code"), and("error=access_denied"))), then(recalls("denied"), returns()),
	}},
	{numbers: []int{47}, name: "a form that is posted again goes to the host too", hosted: true, requests: 1, leaves: connected, steps: []step{
		then(bounces, returns(cookieless, posted)), then(handed, returns(posted)), then(handedAgain, returns(posted)), told(completes("")),
	}},
	{numbers: []int{71}, name: "a code that the provider refuses by then fails at the host", hosted: true, requests: 1, leaves: failed, code: "invalid_grant", script: replies(refusal(http.StatusBadRequest, "invalid_grant")), steps: []step{
		then(handed, returns()), told(completes("refused"), completes("handle_used")), then(recalls("failed"), returns()),
	}},
	{numbers: []int{73}, name: "client credentials that are refused by then are ours to mend", hosted: true, requests: 1, leaves: failed, code: "not_configured", script: replies(refusal(http.StatusUnauthorized, "invalid_client")), steps: []step{
		then(handed, returns()), told(completes("not_configured"), completes("handle_used")), then(recalled(configuration), returns()),
	}},
	{numbers: []int{78}, name: "a provider that is down by then fails at the host, and the code is not sent again", hosted: true, requests: 1, leaves: failed, code: "provider_failed", script: replies(fixed(500, page)), steps: []step{
		then(handed, returns()), told(completes("provider_unavailable"), completes("handle_used")), then(recalls("failed"), returns()),
	}},
	{numbers: []int{48}, name: "another token endpoint by then fails at the host, and the code is not sent", hosted: true, needs: []ability{needSecrets}, leaves: failed, code: "configuration_changed", steps: []step{
		then(handed, returns()),
		{do: func(f *flow) { f.configure(f.tokenURL(f.Provider.URL + "/whisk")) }, calls: []call{completes("configuration_changed"), completes("handle_used")}},
		then(recalls("failed"), returns()),
	}},
	{numbers: []int{52}, name: "another account than before is refused at the host", hosted: true, requests: 1, leaves: failed, code: "account_changed", existing: true, steps: []step{
		{do: anothersAccount, asks: []ask{returns()}, want: []want{handed}, calls: []call{completes("account_changed")}},
		then(recalled(conflicts("account-changed")), returns()),
	}},
}

// refreshed are the cases of the two answers of the list that only a refresh can
// get.
var refreshed = []Case{
	{numbers: []int{63}, name: "the old refresh token again is kept, and used again", new: true, requests: 4, leaves: connected, stored: renewable(true),
		script: func(p *Provider) []Reply { return []Reply{p.edited(nil), p.unrotated, p.unrotated} },
		steps:  []step{then(ends("connected"), returns()), told(refreshes, refreshes, refreshes), then(recalls("connected"), returns())}},
	{numbers: []int{72}, name: "a refusal of a token that somebody has replaced meanwhile marks nothing", existing: true, requests: 2, leaves: connected, stored: unharmed, before: overtaken,
		steps: []step{told(refreshes), then(recalls("connected"), returns())}},
}
