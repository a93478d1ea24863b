package battery

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A Provider is the authorization servers of the battery, one below each of the
// paths /whiplash, /whisk, /whatnot and /whcc. It behaves as RFC 6749 and, at
// Whiplash, RFC 7636 say, until it is told what to answer.
type Provider struct {
	URL string

	server *httptest.Server

	mu       sync.Mutex
	secrets  map[string]string // client secrets, by provider ID
	script   []Reply
	user     string // who approves
	nameless bool   // it does not tell whose account it is
	codes    map[string]*approval
	asked    []string          // codes of the token requests, "" for a refresh
	last     map[string]any    // the last answer with tokens, as it was sent
	kept     []secret          // codes, tokens and verifiers that nobody may print
	waiting  map[string]string // WHCC's sessions, to the callback URL of each
	owners   map[string]string // of access tokens
	grants   map[string]grant  // of refresh tokens that are good
}

// An approval is what a code stands for.
type approval struct {
	provider, redirectURI, challenge, scope, user string
	used                                          bool
}

// A grant is what a refresh token stands for.
type grant struct{ provider, scope, user string }

// A Reply is what the Provider answers to one token request. grant serves the
// request as the provider would have, and returns the answer; where it is not
// called, the request has no effect.
type Reply func(w http.ResponseWriter, r *http.Request, grant func() (int, map[string]any))

// NewProvider starts a Provider, until t ends.
func NewProvider(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{secrets: map[string]string{}, codes: map[string]*approval{}, waiting: map[string]string{}, owners: map[string]string{}, grants: map[string]grant{}, user: "ada"}
	mux := http.NewServeMux()
	for _, id := range []string{"whiplash", "whisk", "whatnot"} {
		p.secrets[id] = unique("client/se+cret=" + id)
		mux.HandleFunc("POST /"+id+"/token", p.token(id))
		mux.HandleFunc("GET /"+id+"/me", p.account)
		mux.HandleFunc("POST /"+id+"/revoke", func(http.ResponseWriter, *http.Request) {})
	}
	p.secrets["whcc"] = unique("client/se+cret=whcc")
	mux.HandleFunc("GET /whcc/prepare", p.prepare)
	p.server = httptest.NewUnstartedServer(mux)
	p.server.Config.ErrorLog = log.New(io.Discard, "", 0) // connections are broken on purpose
	p.server.Start()
	t.Cleanup(p.server.Close)
	p.URL = p.server.URL
	return p
}

// Document returns the client secret of a provider, as an operator stores it.
func (p *Provider) Document(id string) string { return p.document(id, nil) }

// document returns the client secret of a provider with members changed.
func (p *Provider) document(id string, change func(map[string]any)) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := map[string]string{"authorization_url": "authorize", "token_url": "token", "userinfo_url": "me", "revocation_url": "revoke"}
	if id == "whcc" {
		names = map[string]string{"prepare_url": "prepare", "token_url": "token"}
	}
	endpoints := map[string]string{} // all that there are: nothing goes to the real ones
	for name, path := range names {
		endpoints[name] = p.URL + "/" + id + "/" + path
	}
	d := map[string]any{"client_id": id + "-client", "client_secret": p.secrets[id], "endpoints": endpoints}
	if change != nil {
		change(d)
	}
	text, _ := json.Marshal(d) // strings: it cannot fail
	return string(text)
}

// rotate gives a client a new secret, which alone is good from now on.
func (p *Provider) rotate(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keep("old client secret", p.secrets[id])
	p.secrets[id] = unique("client-secret-" + id)
}

// begin forgets what was asked and said before.
func (p *Provider) begin(script []Reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script, p.asked, p.last, p.kept, p.user, p.nameless = script, nil, nil, nil, "ada", false
}

// keep adds a secret. p.mu is held.
func (p *Provider) keep(what, value string) { p.kept = append(p.kept, secret{what, value}) }

// private returns what nobody may print: the client secrets, and what the
// Provider gave and got since begin.
func (p *Provider) private() []secret {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := append([]secret(nil), p.kept...)
	for id, s := range p.secrets {
		all = append(all, secret{"client secret of " + id, s})
	}
	return all
}

// requests returns the codes of the token requests since begin, and what was sent
// last.
func (p *Provider) requests() ([]string, map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked), p.last
}

// approve lets the user of the moment approve what the browser was sent to, and
// returns the parameters of the callback.
func (p *Provider) approve(id string, to *url.URL) url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := to.Query()
	if id == "whcc" {
		back, _ := url.Parse(p.waiting[q.Get("SessionID")]) // "" has no query
		token := unique("whdata-token")
		p.keep("whData", token)
		data, _ := json.Marshal(map[string]any{"client_id": 4711, "callback_url": strings.Split(back.String(), "?")[0], "token": token, "studio": p.user, "state": "MN"})
		p.last = map[string]any{"access_token": token}
		return url.Values{"whData": {string(data)}, "state": {back.Query().Get("state")}}
	}
	code := unique("code/+%=" + id)
	p.codes[code] = &approval{provider: id, redirectURI: q.Get("redirect_uri"), challenge: q.Get("code_challenge"), scope: q.Get("scope"), user: p.user}
	p.keep("code", code)
	return url.Values{"code": {code}, "state": {q.Get("state")}}
}

// token is the token endpoint (RFC 6749 section 4.1.3).
func (p *Provider) token(id string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		if r.ParseForm() != nil {
			http.Error(w, "no form", http.StatusBadRequest)
			return
		}
		form := r.PostForm
		p.mu.Lock()
		p.asked = append(p.asked, form.Get("code"))
		p.keep("verifier", form.Get("code_verifier"))
		reply := p.edited(nil)
		if len(p.script) > 0 {
			reply, p.script = p.script[0], p.script[1:]
		}
		p.mu.Unlock()
		reply(w, r, func() (int, map[string]any) { return p.grant(id, form) })
	}
}

// grant serves one token request.
func (p *Provider) grant(id string, form url.Values) (int, map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	refuse := func(status int, code string) (int, map[string]any) {
		return status, map[string]any{"error": code, "error_description": "c4nary-stranger says no"}
	}
	a := p.codes[form.Get("code")]
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	switch {
	case form.Get("client_id") != id+"-client" || form.Get("client_secret") != p.secrets[id]:
		return refuse(http.StatusUnauthorized, "invalid_client")
	case form.Get("grant_type") == "refresh_token":
		g, good := p.grants[form.Get("refresh_token")]
		if !good || g.provider != id {
			return refuse(http.StatusBadRequest, "invalid_grant")
		}
		delete(p.grants, form.Get("refresh_token"))
		return http.StatusOK, p.tokens(g)
	case form.Get("grant_type") != "authorization_code":
		return refuse(http.StatusBadRequest, "unsupported_grant_type")
	case a == nil || a.used || a.provider != id || a.redirectURI != form.Get("redirect_uri"):
		return refuse(http.StatusBadRequest, "invalid_grant")
	case a.challenge != "" && a.challenge != base64.RawURLEncoding.EncodeToString(sum[:]):
		return refuse(http.StatusBadRequest, "invalid_grant")
	}
	a.used = true
	return http.StatusOK, p.tokens(grant{provider: id, scope: a.scope, user: a.user})
}

// tokens are new ones of a grant. p.mu is held.
func (p *Provider) tokens(g grant) map[string]any {
	access, refresh := unique("access-token"), unique("refresh-token")
	p.owners[access], p.grants[refresh] = g.user, g
	return map[string]any{"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": 7200, "scope": g.scope}
}

// sent notes an answer with tokens as it leaves, and returns it.
func (p *Provider) sent(answer map[string]any) map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = answer
	for _, name := range []string{"access_token", "refresh_token"} {
		if s, ok := answer[name].(string); ok {
			p.keep(name, s)
		}
	}
	return answer
}

// account tells who an access token belongs to, under the names of every provider.
func (p *Provider) account(w http.ResponseWriter, r *http.Request) {
	_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	p.mu.Lock()
	user, nameless := p.owners[token], p.nameless
	p.mu.Unlock()
	if nameless {
		answer(w, http.StatusInternalServerError, map[string]any{"message": "c4nary-stranger"})
		return
	}
	if user == "" {
		user = "ada" // of a token that a case made up
	}
	mail := user + "@example.com"
	answer(w, http.StatusOK, map[string]any{"id": "id-" + user, "email": mail, "username": user, "user": map[string]any{"id": "id-" + user, "email": mail}})
}

// prepare is the call that WHCC wants before the redirect.
func (p *Provider) prepare(w http.ResponseWriter, r *http.Request) {
	session := unique("session")
	p.mu.Lock()
	p.waiting[session] = r.URL.Query().Get("callback_url")
	p.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"RedirectURI": p.URL + "/whcc/login?SessionID=" + session})
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	text, _ := json.Marshal(body) // of what JSON can hold: it cannot fail
	_, _ = fmt.Fprintf(w, "%s", text)
}
