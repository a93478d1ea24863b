package oauth

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evergrant/evergrant/pkg/providers"
)

// How long one call may take. A refresh gets long: giving up on a provider
// that is about to answer loses the refresh token that the answer carries.
const (
	ExchangeTimeout = 10 * time.Second
	RefreshTimeout  = 30 * time.Second
	accountTimeout  = 5 * time.Second
)

// A TokenSet is what a provider granted.
type TokenSet struct {
	AccessToken      Secret
	TokenType        string // "Bearer", unless the provider says otherwise
	RefreshToken     Secret // "": the answer brought none, so an older one stays
	IssuedAt         time.Time
	ExpiresAt        time.Time // zero: the provider names no expiry
	RefreshExpiresAt time.Time // of RefreshToken; zero: not known
	Scopes           []string  // nil: as asked for (RFC 6749 section 5.1)
	Asked            []string  // of a new grant: the scopes that it was to have; nil: not known
	Account          Account
	Metadata         map[string]string
	Issued           bool // to the client itself, without a user: renewed by asking again

	// Pause is how long the provider wants no further request from this client,
	// since its answer said that none is left; 0: it said nothing.
	Pause time.Duration
}

// An Account says who a connection is at the provider.
type Account struct{ ID, Label string }

// A TokenClient sends token requests. Every field is required.
type TokenClient struct {
	HTTP *http.Client // made by NewHTTPClient
	Now  func() time.Time
}

// Exchange redeems an authorization code (RFC 6749 section 4.1.3). It is never
// to be repeated: a server may revoke the tokens of a code that it sees twice.
func (t *TokenClient) Exchange(ctx context.Context, c Client, r AuthorizationRequest, code Secret) (TokenSet, error) {
	form := url.Values{
		"grant_type":   {"authorization_code"},
		"code":         {code.Reveal()},
		"redirect_uri": {r.RedirectURI},
	}
	if c.Provider.PKCE == providers.PKCES256 {
		form.Set("code_verifier", r.Verifier.Reveal())
	}
	tokens, err := t.post(ctx, ExchangeTimeout, c, form)
	if err == nil && tokens.TokenType != "Bearer" {
		return TokenSet{}, &Error{Status: http.StatusOK, Reason: "token_type is not Bearer"}
	}
	return tokens, err
}

// Refresh uses a refresh token (RFC 6749 section 6), once.
func (t *TokenClient) Refresh(ctx context.Context, c Client, refreshToken Secret) (TokenSet, error) {
	return t.post(ctx, RefreshTimeout, c, url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {refreshToken.Reveal()},
	})
}

// Issue asks for a token for the client itself, without a user. Where the
// provider offers no such grant, nothing is sent.
func (t *TokenClient) Issue(ctx context.Context, c Client) (TokenSet, error) {
	tokens, err := t.issue(ctx, c)
	tokens.Issued = err == nil
	return tokens, err
}

func (t *TokenClient) issue(ctx context.Context, c Client) (TokenSet, error) {
	if c.Provider.Issue == nil {
		return TokenSet{}, &Error{NotSent: true, Code: "unsupported_grant_type", Reason: "the provider gives no token without a person"}
	}
	if c.Provider.Issue.Params != nil {
		params := providers.Expand(c.Provider.Issue.Params, c.ID, c.Secret.Reveal(), "")
		a, err := t.get(ctx, ExchangeTimeout, c.Endpoints.TokenURL, params, "")
		if err != nil {
			return TokenSet{}, err
		}
		return decodeTokens(c, a, t.Now())
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(c.Scopes) > 0 {
		form.Set("scope", strings.Join(c.Scopes, c.separator()))
	}
	return t.post(ctx, ExchangeTimeout, c, form)
}

// Revoke ends a grant at the provider, as far as it offers that: nil where it
// offers nothing. Either token may be empty; where the provider needs the one
// that is, there is nothing to revoke.
func (t *TokenClient) Revoke(ctx context.Context, c Client, accessToken, refreshToken Secret) error {
	asUser := c.Provider.Revocation == providers.RevokeWithAccount
	if c.Endpoints.RevocationURL == "" || (accessToken == "" && (refreshToken == "" || asUser)) {
		return nil
	}
	if asUser {
		a, err := t.send(ctx, ExchangeTimeout, http.MethodPost, c.Endpoints.RevocationURL, nil, bearer(accessToken))
		return refusal(c, a, err)
	}
	form := url.Values{"token": {refreshToken.Reveal()}, "token_type_hint": {"refresh_token"}}
	if refreshToken == "" {
		form = url.Values{"token": {accessToken.Reveal()}, "token_type_hint": {"access_token"}}
	}
	a, err := t.sendForm(ctx, ExchangeTimeout, c, c.Endpoints.RevocationURL, form)
	return refusal(c, a, err)
}

// Account asks who the access token belongs to; the zero Account where the
// provider does not tell.
func (t *TokenClient) Account(ctx context.Context, c Client, accessToken Secret) (Account, error) {
	if c.Endpoints.UserInfoURL == "" {
		return Account{}, nil
	}
	a, err := t.get(ctx, accountTimeout, c.Endpoints.UserInfoURL, nil, bearer(accessToken))
	if err != nil {
		return Account{}, err
	}
	if err := refusal(c, a, nil); err != nil {
		return Account{}, err
	}
	d, err := parseObject(a.body)
	if err != nil {
		return Account{}, &Error{Status: a.status, Reason: "the answer is not a JSON object"}
	}
	return Account{ID: d.text(c.Provider.AccountID), Label: d.text(c.Provider.AccountLabel)}, nil
}

// Prepare makes the call that must precede the redirect and returns the URL to
// send the browser to. That URL must be on the host of the PrepareURL. Where
// the provider wants no such call, nothing is sent.
func (t *TokenClient) Prepare(ctx context.Context, c Client, callbackURL string) (string, error) {
	if c.Provider.Prepare == nil {
		return "", &Error{NotSent: true, Code: "invalid_request", Reason: "the provider wants no call before the redirect"}
	}
	params := providers.Expand(c.Provider.Prepare.Params, c.ID, c.Secret.Reveal(), callbackURL)
	a, err := t.get(ctx, ExchangeTimeout, c.Endpoints.PrepareURL, params, "")
	if err != nil {
		return "", err
	}
	if err := refusal(c, a, nil); err != nil {
		return "", err
	}
	d, err := parseObject(a.body)
	if err != nil {
		return "", &Error{Status: a.status, Reason: "the answer is not a JSON object"}
	}
	redirect := d.text(c.Provider.Prepare.Redirect)
	to, err := url.Parse(redirect)
	from, _ := url.Parse(c.Endpoints.PrepareURL)
	if err != nil || redirect == "" || to.User != nil || from == nil || to.Scheme != from.Scheme || to.Host != from.Host {
		return "", &Error{Status: a.status, Reason: c.Provider.Prepare.Redirect + " is not on the provider's host"}
	}
	return redirect, nil
}

// post sends a token request and reads the tokens from its answer.
func (t *TokenClient) post(ctx context.Context, timeout time.Duration, c Client, form url.Values) (TokenSet, error) {
	a, err := t.sendForm(ctx, timeout, c, c.Endpoints.TokenURL, form)
	if err != nil {
		return TokenSet{}, err
	}
	return decodeTokens(c, a, t.Now())
}

// sendForm sends form with the client authentication that the provider wants,
// and with no other (RFC 6749 section 2.3: one method a request).
func (t *TokenClient) sendForm(ctx context.Context, timeout time.Duration, c Client, to string, form url.Values) (answer, error) {
	var authorization string
	switch c.Provider.ClientAuth {
	case providers.ClientSecretBasic:
		pair := url.QueryEscape(c.ID) + ":" + url.QueryEscape(c.Secret.Reveal())
		authorization = "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
	case providers.ClientSecretBearer:
		authorization = bearer(c.Secret)
		fallthrough
	case providers.ClientSecretPost:
		form.Set("client_id", c.ID)
		form.Set("client_secret", c.Secret.Reveal())
	}
	return t.send(ctx, timeout, http.MethodPost, to, form, authorization)
}

// get sends a GET with params added to the URL's query.
func (t *TokenClient) get(ctx context.Context, timeout time.Duration, to string, params map[string]string, authorization string) (answer, error) {
	u, err := url.Parse(to)
	if err != nil {
		return answer{}, &Error{NotSent: true, Reason: "the endpoint is not a URL"}
	}
	q := u.Query()
	for name, v := range params {
		q.Set(name, v)
	}
	u.RawQuery = q.Encode()
	return t.send(ctx, timeout, http.MethodGet, u.String(), nil, authorization)
}

func bearer(s Secret) string { return "Bearer " + s.Reveal() }
