package simulator

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"time"
)

// A code is an authorization code that was sent to a redirect URI.
type code struct {
	provider, username string
	scopes             []string
	redirectURI        string
	challenge          string // of PKCE, S256; empty: none was sent
	expiresAt          time.Time
	grant              *Grant // what it was exchanged for; nil: not yet
}

// token is the token endpoint of p (RFC 6749 section 3.2). Client
// authentication comes first: a wrong client never touches a grant.
func (s *Simulator) token(p *provider) endpoint {
	return func(rq request) reply {
		g, scopes, refused := s.grantOf(p, rq)
		if refused != nil {
			return p.refuse(rq, *refused)
		}
		access := s.newToken(p.newAccess(), p.accessLife)
		now := s.config.Now()
		s.grantAccess(g, access, func(old Token) bool { return old.live(now) && !p.refreshEndsOld })
		if p.offlineScope == "" || slices.Contains(g.Scopes, p.offlineScope) {
			s.rotate(g, s.newToken(p.newRefresh(), p.refreshLife))
		}
		s.save()
		return reply{status: http.StatusOK, body: p.answer(issued{
			access: access, refresh: g.Refresh, scopes: scopes, life: p.accessLife, at: now,
		})}
	}
}

// grantOf returns the grant that a token request may have tokens of, and their
// scopes.
func (s *Simulator) grantOf(p *provider, rq request) (*Grant, []string, *Refusal) {
	problem := rq.problem
	if rq.multipart && !p.multipart {
		problem = "the body must be form-encoded"
	}
	if problem != "" {
		return nil, nil, &Refusal{Code: "invalid_request", Reason: problem}
	}
	if refused := p.authenticate(rq, p.client); refused != nil {
		return nil, nil, refused
	}
	switch rq.params.Get("grant_type") {
	case "authorization_code":
		return s.exchange(p, rq)
	case "refresh_token":
		return s.refresh(p, rq)
	case "":
		return nil, nil, &Refusal{Code: "invalid_request", Reason: "grant_type is missing"}
	}
	return nil, nil, &Refusal{Code: "unsupported_grant_type", Reason: "the grant type is not supported"}
}

// exchange makes a grant of an authorization code (RFC 6749 section 4.1.3). A
// request that is refused for anything but the code itself leaves the code
// good; one that comes a second time ends the grant made by the first.
func (s *Simulator) exchange(p *provider, rq request) (*Grant, []string, *Refusal) {
	if name := rq.missing("code", "redirect_uri"); name != "" {
		return nil, nil, &Refusal{Code: "invalid_request", Reason: name + " is missing"}
	}
	c := s.codes[rq.params.Get("code")]
	invalid := func(reason string) (*Grant, []string, *Refusal) {
		return nil, nil, &Refusal{Code: "invalid_grant", Reason: reason}
	}
	switch {
	case c == nil || c.provider != p.id:
		return invalid("the authorization code is unknown")
	case c.grant != nil:
		s.end(c.grant)
		return invalid("the authorization code has been used before")
	case !s.config.Now().Before(c.expiresAt):
		return invalid("the authorization code has expired")
	case !p.sameRedirect(c.redirectURI, rq.params.Get("redirect_uri")):
		return invalid("the redirect URI is not the one of the authorization request")
	case p.pkce && !verifies(rq.params.Get("code_verifier"), c.challenge):
		return invalid("the code verifier does not match the code challenge")
	}
	c.grant = &Grant{Provider: p.id, Username: c.username, Scopes: c.scopes}
	s.add(c.grant)
	return c.grant, c.scopes, nil
}

// The forms of RFC 7636 section 4.1 and of an S256 challenge, section 4.2.
var (
	verifierForm  = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)
	challengeForm = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
)

// verifies reports whether verifier is the one of an S256 challenge. A verifier
// that no challenge asked for is refused too: it is what a PKCE downgrade looks
// like (RFC 9700 section 4.8.2).
func verifies(verifier, challenge string) bool {
	if challenge == "" {
		return verifier == ""
	}
	sum := sha256.Sum256([]byte(verifier))
	return verifierForm.MatchString(verifier) && base64.RawURLEncoding.EncodeToString(sum[:]) == challenge
}

// refresh returns the grant of a refresh token (RFC 6749 section 6). The
// request may narrow the scopes of the new access token, never widen them.
func (s *Simulator) refresh(p *provider, rq request) (*Grant, []string, *Refusal) {
	if name := rq.missing("refresh_token"); name != "" {
		return nil, nil, &Refusal{Code: "invalid_request", Reason: name + " is missing"}
	}
	g, refused := s.byRefresh(p, rq.params.Get("refresh_token"))
	if refused != nil {
		return nil, nil, refused
	}
	scopes := p.split(rq.params.Get("scope"))
	if len(scopes) == 0 {
		scopes = g.Scopes
	}
	for _, scope := range scopes {
		if !slices.Contains(g.Scopes, scope) {
			return nil, nil, &Refusal{Code: "invalid_scope", Reason: "the scope is wider than the grant"}
		}
	}
	return g, scopes, nil
}

// userinfo is the account endpoint of p: it needs a live access token.
func (s *Simulator) userinfo(p *provider) endpoint {
	return func(rq request) reply {
		g, refused := s.authorized(p, rq)
		if refused != nil {
			return p.refuseBearer(*refused)
		}
		return reply{status: http.StatusOK, header: p.accountRateLimit, body: p.account(g.Username)}
	}
}

// Reasons that a provider may answer in different ways.
const (
	reasonNoToken = "the access token is missing"
	reasonExpired = "the access token has expired"
)

// authorized returns the grant whose live access token rq carries.
func (s *Simulator) authorized(p *provider, rq request) (*Grant, *Refusal) {
	g, t := s.byAccess(p, rq.bearer())
	switch {
	case rq.Header.Get("Authorization") == "":
		return nil, &Refusal{Code: "invalid_request", Reason: reasonNoToken}
	case g == nil:
		return nil, &Refusal{Code: "invalid_token", Reason: "the access token is unknown or revoked"}
	case !t.live(s.config.Now()):
		return nil, &Refusal{Code: "invalid_token", Reason: reasonExpired}
	}
	return g, nil
}
