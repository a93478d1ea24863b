package simulator

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An authorization is what a checked authorization request asks for (RFC 6749
// section 4.1.1).
type authorization struct {
	redirectURI      string // empty: there is none to be trusted
	state            string
	implicit         bool
	scopes           []string
	challenge        string
	identityProvider string // of Whisk
}

// authorize is the authorization endpoint of p: it shows the login page, then
// the consent page, and sends the browser back. All that a page needs to know
// stands in the query of its URL, to which its forms post.
func (s *Simulator) authorize(p *provider) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a, refused := s.readAuthorization(p, r)
		s.mu.Lock()
		s.ledgers[p.id].Requests[authorizationURL]++
		if refused != nil {
			refused.Endpoint = authorizationURL
			s.refused(p, *refused)
		}
		s.mu.Unlock()
		username := signedIn(r)
		switch {
		case refused != nil && a.redirectURI == "":
			show(w, http.StatusBadRequest, page{Provider: p, View: "error", Message: "The request cannot be used: " + refused.Reason + "."})
		case refused != nil:
			sendBack(w, r, a, url.Values{"error": {refused.Code}, "error_description": {refused.Reason}})
		case r.Method == http.MethodPost:
			s.decide(w, r, p, a, username)
		case username == "":
			show(w, http.StatusOK, page{Provider: p, View: "login", IdentityProvider: a.identityProvider})
		default:
			show(w, http.StatusOK, page{Provider: p, View: "consent", Username: username, Scopes: a.scopes})
		}
	}
}

// readAuthorization checks every parameter. Without a client and a redirect
// URI that are known, nothing may be sent back (RFC 6749 section 4.1.2.1): the
// authorization then has no redirectURI.
func (s *Simulator) readAuthorization(p *provider, r *http.Request) (authorization, *Refusal) {
	q, problem := parseQuery(r.URL.RawQuery)
	switch {
	case problem != "":
		return authorization{}, &Refusal{Code: "invalid_request", Reason: problem}
	case q.Get("client_id") != p.client.ID:
		return authorization{}, &Refusal{Code: "invalid_client", Reason: "the client is unknown"}
	case !s.registered(q.Get("redirect_uri")):
		return authorization{}, &Refusal{Code: "invalid_request", Reason: "the redirect URI is not registered"}
	}
	a := authorization{
		redirectURI:      q.Get("redirect_uri"),
		state:            q.Get("state"),
		implicit:         q.Get("response_type") == "token" && p.implicitLife > 0,
		scopes:           p.split(q.Get("scope")),
		identityProvider: q.Get("identity_provider"),
	}
	if p.pkce {
		a.challenge = q.Get("code_challenge")
	}
	return a, p.refuseAuthorization(q, a)
}

// refuseAuthorization says what is wrong with an authorization request whose
// client and redirect URI are right.
func (p *provider) refuseAuthorization(q url.Values, a authorization) *Refusal {
	method := q.Get("code_challenge_method")
	switch {
	case q.Get("response_type") == "":
		return &Refusal{Code: "invalid_request", Reason: "response_type is missing"}
	case q.Get("response_type") != "code" && !a.implicit:
		return &Refusal{Code: "unsupported_response_type", Reason: "the response type is not supported"}
	case len(a.scopes) == 0 && !a.implicit: // the example of the implicit grant has none
		return &Refusal{Code: "invalid_scope", Reason: "the scope is missing"}
	case p.pkce && (a.challenge != "" || method != "") && (method != "S256" || !challengeForm.MatchString(a.challenge)):
		return &Refusal{Code: "invalid_request", Reason: "the code challenge must be one of S256"}
	}
	for _, scope := range a.scopes {
		if _, ok := p.scopes[scope]; !ok {
			return &Refusal{Code: "invalid_scope", Reason: "a scope is unknown or never given to OAuth clients"}
		}
	}
	return nil
}

// registered reports whether raw is a redirect URI of the client.
func (s *Simulator) registered(raw string) bool {
	if len(s.config.RedirectURIs) > 0 {
		return slices.Contains(s.config.RedirectURIs, raw)
	}
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || strings.Contains(raw, "#") {
		return false
	}
	return slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname())
}

// decide does what the user asked for on a page: log in, switch the account,
// approve or deny.
func (s *Simulator) decide(w http.ResponseWriter, r *http.Request, p *provider, a authorization, username string) {
	switch action := r.PostFormValue("action"); {
	case action == "login" && loginError(r) != "":
		show(w, http.StatusUnprocessableEntity, page{Provider: p, View: "login", Message: loginError(r), IdentityProvider: a.identityProvider})
	case action == "login":
		signIn(w, p, strings.TrimSpace(r.PostFormValue("username")))
		again(w, r)
	case action == "logout" || username == "":
		signIn(w, p, "")
		again(w, r)
	case action == "approve":
		sendBack(w, r, a, s.approve(p, a, username))
	case action == "deny":
		s.mu.Lock()
		s.ledgers[p.id].Denied++
		s.mu.Unlock()
		sendBack(w, r, a, url.Values{"error": {"access_denied"}, "error_description": {"The user denied the request"}})
	default:
		show(w, http.StatusBadRequest, page{Provider: p, View: "error", Message: "This form is not one of ours."})
	}
}

// again shows the page of r anew, after its form changed who is signed in.
func again(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, r.URL.RequestURI(), http.StatusSeeOther) //nolint:gosec // the path is one of the mux's own
}

// approve makes the user's approval a code, or an access token where the
// request is for the implicit grant (RFC 6749 section 4.2).
func (s *Simulator) approve(p *provider, a authorization, username string) url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledgers[p.id].Approved++
	if a.implicit {
		g := &Grant{Provider: p.id, Username: username, Scopes: a.scopes}
		t := s.newToken(p.newAccess(), p.implicitLife)
		g.Access = []Token{t}
		s.add(g)
		s.save()
		seconds := strconv.FormatInt(int64(p.implicitLife/time.Second), 10)
		return url.Values{"access_token": {t.Value}, "token_type": {"Bearer"}, "expires_in": {seconds}}
	}
	now := s.config.Now()
	maps.DeleteFunc(s.codes, func(_ string, c *code) bool { return !now.Before(c.expiresAt) })
	value := randomText(40)
	s.codes[value] = &code{
		provider: p.id, username: username, scopes: a.scopes,
		redirectURI: a.redirectURI, challenge: a.challenge, expiresAt: now.Add(p.codeLife),
	}
	return url.Values{"code": {value}}
}

// sendBack redirects to the client with v and the state: in the query, or in
// the fragment for the implicit grant.
func sendBack(w http.ResponseWriter, r *http.Request, a authorization, v url.Values) {
	if a.state != "" {
		v.Set("state", a.state)
	}
	target := withQuery(a.redirectURI, v.Encode())
	if a.implicit {
		target = a.redirectURI + "#" + v.Encode()
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, target, http.StatusFound)
}

// withQuery adds query to uri, which keeps its own (RFC 6749 section 3.1.2).
func withQuery(uri, query string) string {
	if strings.Contains(uri, "?") {
		return uri + "&" + query
	}
	return uri + "?" + query
}
