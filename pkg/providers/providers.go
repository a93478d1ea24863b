// Package providers holds the providers that Evergrant can connect to.
//
// A Provider is data: its endpoints, its scopes, and the few switches in which
// providers really differ. The zero value of every field is the standard:
// authorization code (RFC 6749), PKCE S256 (RFC 7636), form body, client secret
// in the body, scopes separated by spaces, and a refresh token that can be used
// once. A definition writes only its deviations, each with its reason.
//
// This package does no I/O, reads no settings and never sees a client secret.
//
// To add a provider, write one file with one Provider value, list it in all,
// and run the tests: they hold every provider to the same rules.
package providers

import "time"

// all lists every provider, in the order in which people see them.
var all = []Provider{whiplash, whisk, whatnot, whcc}

// All returns every provider.
func All() []Provider { return append([]Provider(nil), all...) }

// Find returns the provider with the given ID.
func Find(id string) (Provider, bool) {
	for _, p := range all {
		if p.ID == id {
			return p, true
		}
	}
	return Provider{}, false
}

// A Provider is an authorization server and its quirks.
type Provider struct {
	ID   string // lower case: the path segment and the last part of the secret's name
	Name string // as people know it
	Docs string // the page that the definition follows
	Read string // when that page was read, as 2006-01-02

	Environments []Environment // the first is the default
	Endpoints    Endpoints     // the same in every environment; a path is relative to its BaseURL

	// The authorization request.
	Scopes         []string          // asked for when the client's secret names none; empty: KnownScopes
	KnownScopes    []string          // every scope that may be asked for; empty: the list is not public
	AddedScopes    []string          // added to every authorization request
	RefusedScopes  map[string]string // scope → why it can never be asked for
	ScopeSeparator string            // zero: a space
	PKCE           PKCE
	Fields         []Field  // what a connect ticket's params may say
	Prepare        *Prepare // a call that must precede the redirect
	Implicit       bool     // response_type=token is offered, for clients whose secret asks for it

	// The callback.
	Issuer string // the iss that every answer carries (RFC 9207); zero: it sends none
	Blob   *Blob  // the credential itself arrives, in one parameter

	// Token requests and their answers.
	ClientAuth ClientAuth
	Issue      *Issue            // a grant without a browser, renewed by asking again
	Answer     Answer            // where things stand in a token answer
	ErrorCodes map[string]string // the provider's error code → the RFC 6749 section 5.2 code it means

	// The life of a grant. Zero durations are unknown.
	NoRefresh        bool // there are no refresh tokens
	Rotation         Rotation
	GraceTime        time.Duration // with Grace: how long a used refresh token still works
	AccessTokenLife  time.Duration // where the answer does not say
	RefreshTokenLife time.Duration // from its issue
	RefreshTokenIdle time.Duration // it dies when unused for so long
	Margin           time.Duration // refresh so long before expiry; zero: by the token's life
	Lazy             bool          // refresh on read, and on schedule only to keep the grant alive

	// What the token endpoint stands. Zero: its page names no limit.
	RefreshRate        float64 // token requests a second, for the client as a whole
	RefreshConcurrency int     // token requests at the same time

	// Who am I, and the end of a grant.
	AccountID    string // path in the userinfo answer
	AccountLabel string // path in the userinfo answer
	Revocation   Revocation
	RevokesOne   bool // a revocation leaves the user's other grants to the client alone (RFC 7009 section 2.1 lets it end them)
}

// An Environment is a named set of a provider's base URLs.
type Environment struct {
	Name        string
	BaseURL     string
	Endpoints   Endpoints // what stands elsewhere than BaseURL + the provider's path
	TokenPrefix string    // how access tokens of this environment begin, if they are marked
}

// Endpoints are the URLs of a provider. An empty one is not offered.
type Endpoints struct {
	AuthorizationURL string `json:"authorization_url"`
	TokenURL         string `json:"token_url"`
	RevocationURL    string `json:"revocation_url"`
	UserInfoURL      string `json:"userinfo_url"`
	PrepareURL       string `json:"prepare_url"`
}

// PKCE says whether the authorization request carries a code challenge.
type PKCE int

// The zero PKCE is the one that RFC 9700 section 2.1.1 recommends.
const (
	PKCES256 PKCE = iota // RFC 7636 section 4.2
	PKCEOff              // the provider refuses or ignores a challenge
)

// ClientAuth says how the client proves itself at the token endpoint.
type ClientAuth int

// The zero ClientAuth is the one most providers document.
const (
	ClientSecretPost   ClientAuth = iota // in the body (RFC 6749 section 2.3.1)
	ClientSecretBasic                    // HTTP Basic (RFC 6749 section 2.3.1)
	ClientSecretBearer                   // Authorization: Bearer <client_secret>, and in the body
)

// Rotation says what becomes of a refresh token that has been used.
type Rotation int

// The zero Rotation is the one that loses most when it is wrong: assume it
// until the provider says otherwise.
const (
	Strict        Rotation = iota // dead at once; using it again may kill the grant
	Grace                         // accepted again for GraceTime
	UntilFirstUse                 // alive until the new access token is first used
	Reusable                      // never replaced
)

// Revocation says how a grant is ended at the RevocationURL.
type Revocation int

// The zero Revocation is the standard's.
const (
	RevokeToken       Revocation = iota // POST token with client authentication (RFC 7009)
	RevokeWithAccount                   // POST as the user: Authorization: Bearer <access_token>
)

// A Field is a value that a connect ticket's params may carry for a provider.
type Field struct {
	Name    string
	Pattern string // a regular expression that the whole value must match
	Param   string // the authorization request parameter that it becomes
}

// Prepare is a call from server to server that must precede the redirect and
// that answers with the URL to send the browser to. It is a GET of the
// PrepareURL. The state travels in the query of the callback URL.
type Prepare struct {
	Params   map[string]string // query parameters; see Expand
	Redirect string            // path of the URL in the answer
}

// Issue is a grant that needs no browser. The zero Issue is the client
// credentials grant of RFC 6749 section 4.4.
type Issue struct {
	Params map[string]string // a GET of the TokenURL with this query; see Expand
}

// A Blob is a callback parameter whose value is a JSON object that holds the
// credential itself.
type Blob struct {
	Param        string   // the callback parameter
	AccessToken  string   // member of the object
	AccountID    string   // member of the object
	AccountLabel string   // member of the object
	CallbackURL  string   // member of the object: what it was made for; zero: it does not say
	Metadata     []string // members that are kept with the connection
}

// An Answer says where things stand in a token answer. Paths are member names
// joined by dots; a zero path is the name of RFC 6749 section 5.
type Answer struct {
	AccessToken string
	IssuedAt    string // Unix seconds; zero: the answer does not say
	Effective   string // with Expires: the life is the difference of two dates
	Expires     string
	DateLayout  string // of both, as package time writes it
	ErrorCode   string
}

// Expand returns params with the placeholders {client_id}, {client_secret} and
// {callback_url} replaced. A placeholder is a whole value, never part of one.
func Expand(params map[string]string, clientID, clientSecret, callbackURL string) map[string]string {
	values := map[string]string{"{client_id}": clientID, "{client_secret}": clientSecret, "{callback_url}": callbackURL}
	out := make(map[string]string, len(params))
	for name, v := range params {
		if value, ok := values[v]; ok {
			v = value
		}
		out[name] = v
	}
	return out
}

// Environment returns the environment with the given name, the default one for
// an empty name.
func (p Provider) Environment(name string) (Environment, bool) {
	for i, e := range p.Environments {
		if e.Name == name || (name == "" && i == 0) {
			return e, true
		}
	}
	return Environment{}, false
}

// In returns the endpoints of p in environment e, as whole URLs.
func (p Provider) In(e Environment) Endpoints {
	resolve := func(own, shared string) string {
		switch {
		case own != "":
			return own
		case len(shared) > 0 && shared[0] == '/':
			return e.BaseURL + shared
		}
		return shared
	}
	return Endpoints{
		AuthorizationURL: resolve(e.Endpoints.AuthorizationURL, p.Endpoints.AuthorizationURL),
		TokenURL:         resolve(e.Endpoints.TokenURL, p.Endpoints.TokenURL),
		RevocationURL:    resolve(e.Endpoints.RevocationURL, p.Endpoints.RevocationURL),
		UserInfoURL:      resolve(e.Endpoints.UserInfoURL, p.Endpoints.UserInfoURL),
		PrepareURL:       resolve(e.Endpoints.PrepareURL, p.Endpoints.PrepareURL),
	}
}
