package battery

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

var configuration = refused(http.StatusInternalServerError, "not-configured")

// fails is a case in which an answer without tokens fails the flow, and the code
// is sent once. The log says why, by a code of ours or of RFC 6749.
func fails(number int, name string, r Reply, code ...string) Case {
	c := Case{numbers: []int{number}, name: name, requests: 1, leaves: failed, code: "provider_failed", script: replies(r), steps: []step{then(ends("failed"), returns()), then(recalls("failed"), returns())}}
	if len(code) > 0 {
		c.code = code[0]
	}
	return c
}

// misconfigured is a case in which the provider finds us wrong: an alarm, once.
func misconfigured(number int, name string, r Reply) Case {
	return Case{numbers: []int{number}, name: name, requests: 1, leaves: failed, code: "not_configured", script: replies(r), steps: []step{then(configuration, returns()), then(recalled(configuration), returns())}}
}

const page = "<!doctype html><title>" + stranger + "</title><form>sign in</form>"

// answersFromProviders are the cases of an answer without tokens.
var answersFromProviders = []Case{
	fails(56, "200 with an error fails", fixed(200, `{"error":"invalid_grant","access_token":"`+stranger+`"}`), "invalid_grant"),
	fails(56, "200 with an error that is an object fails", fixed(200, `{"error":{"code":"x","message":"`+stranger+`"},"access_token":"`+stranger+`"}`), "unrecognized_error"),
	fails(57, "200 with a page fails", fixed(200, page, "Content-Type", "text/html")),
	fails(57, "200 with a page that calls itself JSON fails", fixed(200, page, "Content-Type", "application/json")),
	fails(58, "200 with an empty body fails", fixed(200, "")),
	fails(58, "200 with torn JSON fails", fixed(200, `{"access_token":"`+stranger)),
	fails(58, "200 with something behind the JSON fails", fixed(200, `{"access_token":"`+stranger+`"}{}`)),
	fails(59, "200 without an access token fails", fixed(200, `{"refresh_token":"`+stranger+`"}`)),
	fails(59, "200 with the access token null fails", fixed(200, `{"access_token":null}`)),
	fails(59, "200 with a number for an access token fails", fixed(200, `{"access_token":4711}`)),
	fails(59, "200 with an empty access token fails", fixed(200, `{"access_token":""}`)),
	fails(59, "200 with an object for an access token fails", fixed(200, `{"access_token":{"value":"`+stranger+`"}}`)),
	fails(59, "200 with a list fails", fixed(200, `[{"access_token":"`+stranger+`"}]`)),
	fails(67, "200 with two access tokens fails", fixed(200, `{"access_token":"`+stranger+`","access_token":"`+stranger+`2"}`)),
	fails(67, "200 with two refresh tokens fails", fixed(200, `{"access_token":"`+stranger+`","refresh_token":"a","refresh_token":"b"}`)),
	fails(69, "202 without tokens fails", fixed(202, "{}")),
	fails(69, "204 fails", fixed(204, "")),
	fails(71, "invalid_grant fails", refusal(400, "invalid_grant"), "invalid_grant"),
	fails(75, "400 with a page fails", fixed(400, page, "Content-Type", "text/html")),
	fails(75, "400 with an unknown code fails", refusal(400, stranger), "unrecognized_error"),
	fails(75, "400 with nothing fails", fixed(400, "")),
	fails(76, "403 of a firewall fails", fixed(403, page, "Content-Type", "text/html")),
	fails(77, "429 fails", fixed(429, `{"error":"slow_down"}`, "Retry-After", "120")),
	fails(77, "429 that names a date fails", fixed(429, "", "Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT")),
	fails(77, "429 that asks for an absurd time fails", fixed(429, "", "Retry-After", "99999999999999999999")),
	fails(77, "429 without a time fails", fixed(429, page)),
	fails(78, "500 fails, and the code is not sent again", fixed(500, page)),
	fails(78, "502 fails, and the code is not sent again", fixed(502, page)),
	fails(78, "503 fails, and the code is not sent again", fixed(503, "", "Retry-After", "1")),
	fails(78, "504 fails, and the code is not sent again", fixed(504, `{"error":"invalid_grant"}`)),
	fails(81, "a connection that is cut fails, and the code is not sent again", dropped),
	fails(66, "an answer of ten megabytes fails", endless),
	fails(66, "a gzip bomb fails", bomb),
	misconfigured(74, "unauthorized_client is ours to mend", refusal(400, "unauthorized_client")),
	misconfigured(74, "unsupported_grant_type is ours to mend", refusal(400, "unsupported_grant_type")),
	misconfigured(74, "invalid_scope is ours to mend", refusal(400, "invalid_scope")),
	misconfigured(74, "invalid_request is ours to mend", refusal(400, "invalid_request")),
	misconfigured(73, "invalid_client of a secret that has not changed is ours to mend", refusal(401, "invalid_client")),
	redirects(301), redirects(302), redirects(303), redirects(307), redirects(308),
	misconfigured(70, "a redirect to somewhere that is no URL is ours to mend", fixed(302, "", "Location", "::"+stranger)),
	{numbers: []int{84}, name: "an error that repeats our secrets is shown and logged nowhere", requests: 1, leaves: failed, code: "unrecognized_error", script: replies(echo), steps: []step{then(ends("failed"), returns())}},
}

// redirects is a case in which the token request is sent on.
func redirects(status int) Case {
	return Case{
		numbers: []int{70}, name: fmt.Sprintf("a redirect by %d is not followed, and is ours to mend", status), requests: 1, leaves: failed, code: "not_configured", before: redirected(status),
		steps: []step{then(configuration, returns()), then(recalled(configuration), returns())},
	}
}

// redirected lets the provider redirect the token request to a second server,
// which must see nothing of it.
func redirected(status int) func(*flow) {
	return func(f *flow) {
		var seen atomic.Int64
		second := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
		f.Provider.begin([]Reply{func(w http.ResponseWriter, _ *http.Request, _ func() (int, map[string]any)) {
			w.Header().Set("Location", second.URL)
			w.WriteHeader(status)
		}})
		f.after(func() {
			second.Close()
			if seen.Load() > 0 {
				f.problem("the second server was asked")
			}
		})
	}
}

// echo answers with all that it was sent.
func echo(w http.ResponseWriter, r *http.Request, _ func() (int, map[string]any)) {
	answer(w, http.StatusBadRequest, map[string]any{"error": r.PostForm.Get("client_secret"), "error_description": r.PostForm.Encode(), "error_uri": r.Header.Get("Authorization")})
}

// sessions are the cases of an answer that never ends. They take the time of an
// invocation each.
func sessions() []Case {
	hangs := func(number int, name string, r Reply) Case {
		return Case{numbers: []int{number}, name: name, needs: []ability{needLimits}, requests: 1, leaves: failed, code: "provider_failed", script: replies(r), steps: []step{then(ends("failed"), returns(within)), then(recalls("failed"), returns())}}
	}
	return []Case{
		hangs(81, "a provider that does not answer is given up in time", silent),
		hangs(85, "an answer byte by byte is given up in time", slow),
		{numbers: []int{80}, name: "a provider that takes the connection and no request is given up in time", needs: []ability{needLimits, needSecrets}, leaves: failed, code: "provider_failed", steps: []step{
			{do: func(f *flow) { f.configure(f.tokenURL("https://" + f.deaf())); f.approved() }, asks: []ask{returns(within)}, want: []want{ends("failed")}},
		}},
	}
}

// exchanges are the cases of a provider that cannot be reached, and of a client
// that changes.
var exchanges = []Case{
	{numbers: []int{79}, name: "a provider that refuses the connection fails", needs: []ability{needSecrets}, leaves: failed, code: "provider_failed", steps: []step{
		{do: func(f *flow) { f.configure(f.tokenURL("https://" + f.closed())); f.approved() }, asks: []ask{returns()}, want: []want{ends("failed")}},
	}},
	{numbers: []int{79}, name: "a provider that speaks no TLS fails", needs: []ability{needSecrets}, leaves: failed, code: "provider_failed", steps: []step{
		{do: func(f *flow) {
			f.configure(f.tokenURL(strings.Replace(f.Provider.URL, "http:", "https:", 1)))
			f.approved()
		}, asks: []ask{returns()}, want: []want{ends("failed")}},
	}},
	{numbers: []int{82}, name: "a certificate that nobody vouches for fails, and sees no secret", needs: []ability{needSecrets}, leaves: failed, code: "provider_failed", steps: []step{
		{do: func(f *flow) { f.configure(f.tokenURL(f.untrusted())); f.approved() }, asks: []ask{returns()}, want: []want{ends("failed")}},
	}},
	changed("another client", func(_ *flow, d map[string]any) { d["client_id"] = "another" }),
	changed("another environment", func(_ *flow, d map[string]any) { d["environment"] = "sandbox" }),
	changed("another token endpoint", elsewhereIs("token_url")),
	changed("another place to log in", elsewhereIs("authorization_url")),
	changed("another place to ask who it is", elsewhereIs("userinfo_url")),
	{numbers: []int{48}, name: "what changed since the browser was sent away uses no ticket up", needs: []ability{needSecrets}, requests: 1, leaves: connected, steps: []step{
		{do: func(f *flow) { f.again().approved(); f.configure(f.tokenURL(f.Provider.URL + "/whisk")) }, asks: []ask{by((*flow).again, returns())}, want: []want{ends("failed")}},
		{do: func(f *flow) { f.configure(f.Provider.Document(f.c.provider)) }, asks: []ask{returns()}, want: []want{ends("connected")}},
	}},
	{numbers: []int{48, 107}, name: "a client that is gone since is ours to mend, and uses nothing up", needs: []ability{needSecrets}, requests: 1, leaves: connected, steps: []step{
		{do: func(f *flow) { f.approved(); f.configure("") }, asks: []ask{returns()}, want: []want{configuration}},
		{do: func(f *flow) { f.configure(f.Provider.Document(f.c.provider)) }, asks: []ask{returns()}, want: []want{ends("connected")}},
	}},
	{numbers: []int{73, 109}, name: "a secret that was rotated under way is read again, and connects", needs: []ability{needSecrets, needCache}, requests: 2, leaves: connected, steps: []step{
		{do: func(f *flow) {
			f.other().connect() // so that the callback has read the secret
			f.Provider.begin(nil)
			f.approved()
			f.Provider.rotate(f.c.provider)
			f.Configure(f.c.provider, f.Provider.Document(f.c.provider)) // and what was read before serves on
		}, asks: []ask{returns()}, want: []want{ends("connected")}},
	}},
}

// changed is a case of a client that changed since the browser was sent away: the
// code goes nowhere, also when the client is put back.
func changed(what string, change func(*flow, map[string]any)) Case {
	said := func(w want) want { return seen(w, logged(`"code":"configuration_changed"`)) }
	return Case{numbers: []int{48}, name: what + " since the browser was sent away fails, and the code is not sent", needs: []ability{needSecrets}, leaves: failed, steps: []step{
		{do: func(f *flow) {
			f.approved()
			f.configure(f.Provider.document(f.c.provider, func(d map[string]any) { change(f, d) }))
		}, asks: []ask{returns()}, want: []want{said(ends("failed"))}},
		then(recalls("failed"), returns()),
		{do: func(f *flow) { f.configure(f.Provider.Document(f.c.provider)) }, asks: []ask{returns()}, want: []want{recalls("failed")}},
	}}
}

// elsewhereIs names another server's endpoint: one that counts requests, too.
func elsewhereIs(member string) func(*flow, map[string]any) {
	return func(f *flow, d map[string]any) {
		endpoints, _ := d["endpoints"].(map[string]string)
		endpoints[member] = f.Provider.URL + "/whisk/token"
	}
}

// tokenURL is the client secret with another server's token endpoint.
func (p *player) tokenURL(server string) string {
	return p.Provider.document(p.c.provider, func(d map[string]any) {
		endpoints, _ := d["endpoints"].(map[string]string)
		endpoints["token_url"] = server + "/token"
	})
}

// listen opens a port until the case ends.
func (p *player) listen() net.Listener {
	var config net.ListenConfig
	l, err := config.Listen(p.ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		p.stop("listen: %v", err)
	}
	return l
}

// closed returns an address at which nobody listens.
func (p *player) closed() string {
	l := p.listen()
	_ = l.Close()
	return l.Addr().String()
}

// deaf returns an address that takes connections, and no word over them.
func (p *player) deaf() string {
	l := p.listen()
	p.after(func() { _ = l.Close() })
	return l.Addr().String()
}

// untrusted returns the URL of a server whose certificate is its own.
func (p *player) untrusted() string {
	var seen atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen.Add(1) }))
	server.Config.ErrorLog = p.Provider.server.Config.ErrorLog
	server.StartTLS()
	p.after(func() {
		server.Close()
		if seen.Load() > 0 {
			p.problem("a server without a certificate was told our secrets")
		}
	})
	return server.URL
}

// gets is a case in which tokens come, in whatever shape, and are stored.
func gets(number int, name string, script func(*Provider) []Reply, stored func(*flow, connection.Connection) error) Case {
	return Case{numbers: []int{number}, name: name, requests: 1, leaves: connected, script: script, stored: stored, steps: []step{then(ends("connected"), returns()), then(recalls("connected"), returns())}}
}

// noted is c with a note.
func noted(c Case, note string) Case {
	c.note = note
	return c
}

// set is a script of one answer with one member changed.
func set(name string, value any) func(*Provider) []Reply {
	return func(p *Provider) []Reply { return []Reply{p.set(name, value)} }
}

// written is a script of one answer in another shape.
func written(status int, text func(map[string]any) string, header ...string) func(*Provider) []Reply {
	return func(p *Provider) []Reply { return []Reply{p.written(status, text, header...)} }
}

// answersWithTokens are the cases of an answer that is good, if odd.
var answersWithTokens = []Case{
	gets(55, "a good answer connects", nil, func(f *flow, c connection.Connection) error {
		return errors.Join(lives(7200)(f, c), renewable(true)(f, c), scoped("user_manage", "user_read")(f, c), accountOf("ada")(f, c))
	}),
	gets(58, "an answer that is whole connects, though its length promises more", func(p *Provider) []Reply { return []Reply{p.longer} }, nil),
	gets(60, "an answer without token_type is of type Bearer", set("token_type", nil), typed("Bearer")),
	gets(60, "the type bearer is Bearer", set("token_type", "bearer"), typed("Bearer")),
	gets(61, "an expires_in of -1 is none", set("expires_in", -1), lives(7200)),
	gets(61, "an expires_in of 0 is none", set("expires_in", 0), lives(7200)),
	gets(61, "an expires_in of 1e99 is a century", set("expires_in", 1e99), lives(100*365*86400)),
	gets(61, "an expires_in that is text counts", set("expires_in", "3600"), lives(3600)),
	gets(61, "an expires_in with a fraction counts", set("expires_in", 3600.5), lives(3600)),
	gets(61, "an expires_in that is null is none", set("expires_in", json.RawMessage("null")), lives(7200)),
	gets(61, "an answer without expires_in has the life that the provider documents", set("expires_in", nil), lives(7200)),
	gets(61, "an expires_in that is an object is none", set("expires_in", map[string]any{"a": 1}), lives(7200)),
	gets(62, "an answer without a refresh token connects, and is not renewed", set("refresh_token", nil), renewable(false)),
	gets(64, "an empty refresh token is none", set("refresh_token", ""), renewable(false)),
	gets(64, "a refresh token that is null is none", set("refresh_token", json.RawMessage("null")), renewable(false)),
	gets(64, "a refresh token that is no text is none", set("refresh_token", []string{}), renewable(false)),
	{numbers: []int{65}, name: "fewer scopes than asked for are stored, and the host is told", requests: 1, leaves: connected, script: set("scope", "user_read"), stored: lacks("user_manage"), steps: []step{
		then(narrowed(ends("connected")), returns()), then(narrowed(recalls("connected")), returns()),
	}, note: "the host is told and decides: no token is revoked for it"},
	gets(65, "scopes with commas are several", set("scope", "user_read,user_manage"), scoped("user_manage", "user_read")),
	gets(67, "a member that comes twice with one value is that value", written(200, func(m map[string]any) string {
		return `{"token_type":"Bearer","token_type":"Bearer",` + asJSON(m)[1:]
	}), typed("Bearer")),
	gets(68, "an answer that is a form connects", written(200, asForm, "Content-Type", "application/x-www-form-urlencoded"), lives(7200)),
	gets(68, "an answer that is a form and calls itself a text connects", written(200, asForm, "Content-Type", "text/plain"), nil),
	noted(gets(69, "201 with tokens connects", written(201, asJSON), nil), "any 2xx that holds tokens is a success: to refuse it would lose them"),
	gets(112, "an answer of a provider whose clock is far off counts from its receipt", set("created_at", 1), lives(7200)),
}

// oddTokens are the cases of tokens that are strange, or cut.
var oddTokens = []Case{
	{numbers: []int{60}, name: "a token of another type than Bearer fails", requests: 1, leaves: failed, code: "provider_failed", script: set("token_type", "MAC"), steps: []step{then(ends("failed"), returns())}},
	{numbers: []int{58, 81}, name: "an answer that breaks off fails, and the code is not sent again", requests: 1, leaves: failed, code: "provider_failed", script: func(p *Provider) []Reply { return []Reply{p.broken} }, steps: []step{then(ends("failed"), returns()), then(recalls("failed"), returns())}},
	gets(83, "a token with quotes, spaces and letters of the world is stored as it is", set("access_token", `c4nary-"tok en'<é>`+"\u2028\\"), nil),
	gets(83, "a token of sixteen kilobytes is stored as it is", set("access_token", "c4nary-"+strings.Repeat("long", 4<<10)), nil),
	{numbers: []int{83}, name: "a token with a line break is stored as it is, though no header carries it", new: true, requests: 1, leaves: connected, script: set("access_token", "c4nary-token\r\nwith: lines"), steps: []step{
		then(want{status: http.StatusOK, result: "connected", lines: 2}, returns()),
	}},
	fails(83, "a token above the cap fails", fixed(200, `{"access_token":"`+strings.Repeat("a", 65<<10)+`"}`)),
}

// lives wants the connection to expire so many seconds after it was made.
func lives(seconds int64) func(*flow, connection.Connection) error {
	return func(_ *flow, c connection.Connection) error {
		if got := c.ExpiresAt.Unix() - c.RefreshedAt.Unix(); got < seconds-1 || got > seconds+1 {
			return errors.New("it lives " + strconv.FormatInt(got, 10) + " s")
		}
		return nil
	}
}

// narrowed wants the host to be told that scopes are missing.
func narrowed(w want) want {
	w.also = "&scopes=narrowed"
	return w
}

func typed(typ string) func(*flow, connection.Connection) error {
	return func(_ *flow, c connection.Connection) error {
		if c.TokenType != typ {
			return fmt.Errorf("the type is %q", c.TokenType)
		}
		return nil
	}
}

func scoped(scopes ...string) func(*flow, connection.Connection) error {
	return func(_ *flow, c connection.Connection) error {
		if !slices.Equal(slices.Sorted(slices.Values(c.Scopes)), scopes) {
			return fmt.Errorf("the scopes are %q", c.Scopes)
		}
		return nil
	}
}

// lacks wants a connection of which the row names the scopes that were asked for
// in vain.
func lacks(scopes ...string) func(*flow, connection.Connection) error {
	return func(f *flow, c connection.Connection) error {
		if !slices.Equal(slices.Sorted(slices.Values(c.ScopesMissing)), scopes) {
			return fmt.Errorf("the scopes missing are %q", c.ScopesMissing)
		}
		return scoped("user_read")(f, c)
	}
}

func accountOf(user string) func(*flow, connection.Connection) error {
	return func(_ *flow, c connection.Connection) error {
		if c.Account.ID != "id-"+user {
			return fmt.Errorf("the account is %q", c.Account.ID)
		}
		return nil
	}
}

// renewable wants a refresh token, sealed, and a time at which it is used; or
// neither.
func renewable(want bool) func(*flow, connection.Connection) error {
	return func(_ *flow, c connection.Connection) error {
		if len(c.SealedRefreshToken) > 0 != want || !c.Due.At.IsZero() != want {
			return fmt.Errorf("%d bytes of a refresh token, due at %s", len(c.SealedRefreshToken), c.Due.At)
		}
		return nil
	}
}

// faultsOfOurs are the cases of a store that fails, and of a process that ends.
var faultsOfOurs = []Case{
	{numbers: []int{102}, name: "a claim that cannot be written is tried again later, and nothing is used up", needs: []ability{needFaults}, requests: 1, leaves: connected, steps: []step{
		{do: func(f *flow) { f.approved(); f.Break("ClaimRequest", Lost) }, asks: []ask{returns()}, want: []want{away503}},
		{do: func(f *flow) { f.Mend() }, asks: []ask{returns()}, want: []want{ends("connected")}},
	}},
	{numbers: []int{102}, name: "an outcome that cannot be read is not taken for none", needs: []ability{needFaults}, requests: 1, leaves: connected, steps: []step{
		then(ends("connected"), returns()),
		{do: func(f *flow) { f.Break("GetRequest", Lost) }, asks: []ask{returns()}, want: []want{away503}},
		{do: func(f *flow) { f.Mend(); f.Break("Get", Lost) }, asks: []ask{returns()}, want: []want{away503}},
		{do: func(f *flow) { f.Mend() }, asks: []ask{returns()}, want: []want{recalls("connected")}},
	}},
	{numbers: []int{105}, name: "a connection that is not as it should be is left as it is", needs: []ability{needRows}, requests: 1, leaves: connected, steps: []step{
		then(ends("connected"), returns()),
		{do: garbled, asks: []ask{returns()}, want: []want{away503}, calls: []call{looksUp("").refused("unavailable")}},
		{do: (*flow).mended, asks: []ask{returns()}, want: []want{recalls("connected")}},
	}},
	{numbers: []int{49}, name: "a claim whose answer is lost sends no code, and a new link starts again", needs: []ability{needFaults}, leaves: pending, steps: []step{
		{do: func(f *flow) { f.approved(); f.Break("ClaimRequest", Unanswered) }, asks: []ask{returns()}, want: []want{away503}},
		{do: func(f *flow) { f.Mend() }, asks: []ask{returns()}, want: []want{{status: http.StatusAccepted, typ: "in-progress", lines: 1}}},
	}},
	{numbers: []int{49}, name: "a crash after the claim sends no code", needs: []ability{needFaults}, leaves: pending, steps: []step{
		{do: func(f *flow) { f.approved(); f.Break("ClaimRequest", Crashed) }, asks: []ask{returns()}, want: []want{crashed}},
		{do: func(f *flow) { f.Mend() }, asks: []ask{returns()}, want: []want{{status: http.StatusAccepted, typ: "in-progress", lines: 1}}},
	}},
	{numbers: []int{49, 50}, name: "whoever was cut off starts again with a new link", needs: []ability{needFaults}, requests: 2, leaves: connected, steps: []step{
		{do: func(f *flow) { f.Break("Connect", CrashedBefore) }, asks: []ask{by(cutOff, returns())}, want: []want{crashed}},
		{do: func(f *flow) { f.Mend() }, asks: []ask{returns()}, want: []want{ends("connected")}},
	}},
	{numbers: []int{50}, name: "a crash before the grant is stored leaves what there was", needs: []ability{needFaults}, requests: 1, leaves: pending, steps: []step{
		{do: func(f *flow) { f.approved(); f.Break("Connect", CrashedBefore) }, asks: []ask{returns()}, want: []want{crashed}},
		{do: func(f *flow) { f.Mend() }, asks: []ask{returns()}, want: []want{{status: http.StatusAccepted, typ: "in-progress", lines: 1}}},
	}},
	{numbers: []int{51}, name: "a grant that the store does not take is kept sealed, and the user is told so", needs: []ability{needFaults, needLimits}, requests: 1, leaves: pending, steps: []step{
		{do: func(f *flow) { f.approved(); f.Break("Connect", Lost); f.Break("Restore", Lost) }, asks: []ask{returns(within)}, want: []want{{status: http.StatusServiceUnavailable, typ: "kept", lines: -1}}},
		then(want{status: http.StatusServiceUnavailable, typ: "kept", lines: 1}, returns()),
	}},
	{numbers: []int{51}, name: "a grant whose write loses its answer is stored once", needs: []ability{needFaults, needLimits}, requests: 1, leaves: connected, steps: []step{
		{do: func(f *flow) { f.approved(); f.Break("Connect", Unanswered) }, asks: []ask{returns()}, want: []want{uncounted(recalls("connected"))}},
		{do: func(f *flow) { f.Mend() }, asks: []ask{returns()}, want: []want{recalls("connected")}},
	}},
	{numbers: []int{112}, name: "a clock that has stepped back makes no expiry of the past", needs: []ability{needClock}, requests: 1, leaves: connected, stored: lives(7200), steps: []step{
		{do: func(f *flow) { f.approved(); f.wait(-20 * time.Second) }, asks: []ask{returns()}, want: []want{ends("connected")}},
	}},
}

var (
	away503 = refused(http.StatusServiceUnavailable, "unavailable")
	crashed = want{status: http.StatusInternalServerError, typ: "internal", lines: 1}
)

// garbled gives an attribute of f's connection another type.
func garbled(f *flow) {
	mend, err := f.Garble(f.key)
	if err != nil {
		f.stop("garble: %v", err)
	}
	f.mendRow = mend
}

// mended undoes garbled.
func (f *flow) mended() { f.mendRow() }

// cutOff is another flow for the same connection.
func cutOff(f *flow) *flow {
	if f.second == nil {
		f.second = f.newFlow(f.key)
	}
	return f.second
}
