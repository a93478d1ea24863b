package simulator

import (
	"crypto/rand"
	"encoding/hex"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A provider is the rules of one simulated provider. Those in the first group
// hold for all of them, the others for authorization code flows.
type provider struct {
	id, name   string
	paths      map[string]string           // by endpoint
	routes     func(*Simulator, *provider) // mounts the paths
	client     Client
	accessLife time.Duration
	newAccess  func() string
	account    func(username string) map[string]any // what the account endpoint answers

	scopes       map[string]string // what each allows, for the consent page
	scopeComma   bool              // a comma separates scopes too
	offlineScope string            // without it there is no refresh token; empty: always one
	pkce         bool              // S256 is checked; otherwise PKCE is ignored
	implicitLife time.Duration     // of access tokens of the implicit grant; zero: not offered
	codeLife     time.Duration
	refreshLife  time.Duration // zero: for ever
	newRefresh   func() string

	looseRedirect    bool // the token request's redirect URI may differ in its query
	multipart        bool // token requests may be multipart/form-data too
	refreshEndsOld   bool // a refresh ends the old access token at once
	reuseEndsGrant   bool // a spent refresh token that is used again ends the grant
	authenticate     func(request, Client) *Refusal
	refuse           func(request, Refusal) reply
	answer           func(issued) map[string]any
	refuseBearer     func(Refusal) reply // at the account endpoint
	accountRateLimit http.Header         // sent with the account
}

// issued is a successful token request.
type issued struct {
	access, refresh Token
	scopes          []string
	life            time.Duration
	at              time.Time
}

// split returns the scopes in raw.
func (p *provider) split(raw string) []string {
	if p.scopeComma {
		raw = strings.ReplaceAll(raw, ",", " ")
	}
	return strings.Fields(raw)
}

// sameRedirect reports whether a token request may name the redirect URI got
// for a code that was sent to want.
func (p *provider) sameRedirect(want, got string) bool {
	if p.looseRedirect {
		want, _, _ = strings.Cut(want, "?")
		got, _, _ = strings.Cut(got, "?")
	}
	return want == got
}

// bodySecret checks client authentication by client_id and client_secret in
// the body (RFC 6749 section 2.3.1). A client must not use two methods at once
// (section 2.3).
func bodySecret(rq request, c Client) *Refusal {
	id, secret := rq.params.Get("client_id"), rq.params.Get("client_secret")
	switch {
	case secret != "" && rq.Header.Get("Authorization") != "":
		return &Refusal{Code: "invalid_request", Reason: "the client authenticates in two ways at once"}
	case id != c.ID || secret != c.Secret:
		return &Refusal{Code: "invalid_client", Reason: "unknown client or wrong client secret"}
	}
	return nil
}

// oauthError is the error answer of RFC 6749 section 5.2.
func oauthError(_ request, f Refusal) reply {
	rep := reply{
		status:  http.StatusBadRequest,
		body:    map[string]any{"error": f.Code, "error_description": f.Reason},
		refusal: f,
	}
	if f.Code == "invalid_client" {
		rep.status = http.StatusUnauthorized
		rep.header = http.Header{"Www-Authenticate": {`Bearer realm="simulator", error="invalid_client"`}}
	}
	return rep
}

// oauthAnswer is the successful answer of RFC 6749 section 5.1.
func oauthAnswer(t issued) map[string]any {
	body := map[string]any{
		"access_token": t.access.Value,
		"token_type":   "bearer",
		"expires_in":   int64(t.life / time.Second),
		"scope":        strings.Join(t.scopes, " "),
	}
	if t.refresh.Value != "" {
		body["refresh_token"] = t.refresh.Value
	}
	return body
}

// email returns the mail address of a user who signed in as username.
func email(username string) string {
	if strings.Contains(username, "@") {
		return username
	}
	return url.PathEscape(username) + "@example.com"
}

// randomHex returns n random bytes in hexadecimal.
func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails, see crypto/rand
	return hex.EncodeToString(b)
}

// randomText returns n random characters of A-Z and 2-7.
func randomText(n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(rand.Text())
	}
	return b.String()[:n]
}

// randomBelow returns a random number below n.
func randomBelow(n int64) *big.Int {
	i, err := rand.Int(rand.Reader, big.NewInt(n))
	if err != nil {
		panic(err) // crypto/rand's reader never fails
	}
	return i
}
