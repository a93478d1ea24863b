// Package simulator plays Whiplash, Whisk, Whatnot and WHCC: their login and
// consent pages, token endpoints and account endpoints, as strict as their
// documents allow, on one HTTP handler. Local mode puts it in front of a
// person's browser; tests use it as an independent judge of the clients that
// talk to it, and make it misbehave with [Simulator.Answer].
//
// It is not a security product: any user name and password signs in, nothing
// behind it is real, and it trusts whoever can reach it. It imports no other
// package of the project, so that a mistake there cannot repeat itself here.
//
// A provider is one file that fills a provider value; what OAuth 2.0 providers
// share stands in authorize.go, token.go and grants.go. To change how one
// behaves, change its file; to add one, write its file and list it in New.
package simulator

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Config says which clients the simulated providers know and what they keep.
type Config struct {
	// Now is the clock. It is required.
	Now func() time.Time

	// TokenLifetime is the life of every access token. Zero is each
	// provider's documented life: Whiplash 2 hours, Whisk 30 days (its
	// implicit grant 1 day), Whatnot 1 hour, WHCC's consumer credentials 1 hour.
	TokenLifetime time.Duration

	// Clients are the registered clients by provider ID. A provider without
	// one knows [DefaultClient].
	Clients map[string]Client

	// RedirectURIs are the registered redirect URIs, compared as a whole
	// (WHCC's callback URL without its query, where its state travels).
	// Empty: any http or https URI on localhost, 127.0.0.1 or [::1].
	RedirectURIs []string

	// Save, if set, is called after each change of the grants, before the
	// request that made it is answered. It must not call the Simulator.
	Save func(State)

	// State is what Save was given before a restart.
	State State
}

// A Client is a registration at one provider: client ID and secret, or WHCC's
// consumer key and consumer secret.
type Client struct{ ID, Secret string }

// DefaultClient returns the client that a provider knows when it is given
// none. Its secret holds characters that must be escaped on the wire, as the
// base64 secrets of WHCC do.
func DefaultClient(provider string) Client {
	return Client{ID: "simulated-" + provider + "-client", Secret: "not/a+real=" + provider + "-secret"}
}

// The endpoints of a provider, under the names that a client's secret uses.
const (
	authorizationURL = "authorization_url"
	tokenURL         = "token_url"
	revocationURL    = "revocation_url"
	userinfoURL      = "userinfo_url"
	prepareURL       = "prepare_url"
)

// A Simulator is the simulated providers. It is safe for concurrent use.
type Simulator struct {
	config    Config
	providers map[string]*provider
	mux       *http.ServeMux

	mu       sync.Mutex
	grants   []*Grant
	index    map[string]*Grant // by access token, live refresh token and remembered spent ones
	codes    map[string]*code
	sessions map[string]session  // of WHCC, by session ID
	scripts  map[string][]Answer // by provider ID and endpoint
	ledgers  map[string]*Ledger
}

// New makes the four simulated providers.
func New(c Config) *Simulator {
	s := &Simulator{
		config:    c,
		providers: make(map[string]*provider),
		mux:       http.NewServeMux(),
		index:     make(map[string]*Grant),
		codes:     make(map[string]*code),
		sessions:  make(map[string]session),
		scripts:   make(map[string][]Answer),
		ledgers:   make(map[string]*Ledger),
	}
	for _, p := range []*provider{whiplash(), whisk(), whatnot(), whcc()} {
		p.client = DefaultClient(p.id)
		if registered, ok := c.Clients[p.id]; ok {
			p.client = registered
		}
		if c.TokenLifetime > 0 {
			p.accessLife, p.implicitLife = c.TokenLifetime, c.TokenLifetime
		}
		s.providers[p.id] = p
		s.ledgers[p.id] = newLedger()
		p.routes(s, p)
	}
	s.restore(c.State)
	return s
}

// maxBody is the longest request body that is read, in bytes.
const maxBody = 64 << 10

// ServeHTTP serves the providers' own paths under /whiplash, /whisk, /whatnot
// and /whcc. Mount it at the root of a listener.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	s.mux.ServeHTTP(w, r)
}

// Endpoints returns the URLs of provider below base, such as
// "http://127.0.0.1:8789", under the keys that a client's secret uses in its
// "endpoints": authorization_url, token_url, revocation_url, userinfo_url and
// prepare_url, only those that the provider has. It returns nil for a provider
// that is not simulated.
func (s *Simulator) Endpoints(base, provider string) map[string]string {
	p, ok := s.providers[provider]
	if !ok {
		return nil
	}
	urls := make(map[string]string, len(p.paths))
	for key, path := range p.paths {
		urls[key] = strings.TrimSuffix(base, "/") + path
	}
	return urls
}

// Secret returns the members of the client's secret with which a service reaches
// provider below base as DefaultClient; nil for a provider that is not simulated.
func (s *Simulator) Secret(base, provider string) map[string]any {
	endpoints := s.Endpoints(base, provider)
	if endpoints == nil {
		return nil
	}
	c := DefaultClient(provider)
	return map[string]any{"client_id": c.ID, "client_secret": c.Secret, "endpoints": endpoints}
}

// oauthRoutes mounts what the authorization code providers share.
func (s *Simulator) oauthRoutes(p *provider) {
	s.mux.HandleFunc("GET "+p.paths[authorizationURL], s.authorize(p))
	s.mux.HandleFunc("POST "+p.paths[authorizationURL], s.authorize(p))
	s.handle(http.MethodPost, p, tokenURL, s.token(p))
	s.handle(http.MethodGet, p, userinfoURL, s.userinfo(p))
}

// AccountID returns the account ID that provider gives to the user who signs
// in as username: always the same one. The empty user name is the client's own
// account, which WHCC's consumer credentials act for.
func AccountID(provider, username string) string {
	if provider == "whisk" {
		sum := sha256.Sum256([]byte(username))
		return hex.EncodeToString(sum[:16])
	}
	return strconv.FormatInt(accountNumber(provider, username), 10)
}

// accountNumber is the account ID of the providers that count their accounts.
func accountNumber(provider, username string) int64 {
	sum := sha256.Sum256([]byte(provider + ":" + username))
	return 100_000 + int64(binary.BigEndian.Uint32(sum[:]))
}

// Revoke withdraws the grants of one account, as its user can do at the
// provider: all its tokens are dead.
func (s *Simulator) Revoke(provider, accountID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endAccount(provider, accountID)
}

// must returns a provider that a test names. A misspelt one is a bug in the
// test and panics.
func (s *Simulator) must(id string) *provider {
	p, ok := s.providers[id]
	if !ok {
		panic("simulator: there is no provider " + strconv.Quote(id))
	}
	return p
}
