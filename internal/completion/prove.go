package completion

import (
	"context"
	"errors"

	"github.com/evergrant/evergrant/internal/oauth"
)

// CodeTokenNotProved is the code of a token that came through the browser and
// that the provider does not know.
const CodeTokenNotProved = "token_not_proved"

// errAnotherAccount is a token of somebody else than the browser said.
var errAnotherAccount = errors.New("the token is of another account than the callback said")

// frontChannel reports whether the access token of g comes through the browser:
// WHCC's whData, or the implicit grant. Whoever has the browser can put another
// token in its place, and nothing here can tell (RFC 9700 section 4.6).
func (g Grant) frontChannel() bool {
	return !g.Imported && (g.Client.Provider.Blob != nil || g.Client.ResponseType == "token")
}

// prove has the provider itself say whose a token is that came through the
// browser, so that at least a live one is stored. Where there is no userinfo
// URL there is nobody to ask, and what the browser said stands.
func (c *Completer) prove(ctx context.Context, g Grant, tokens oauth.TokenSet) (oauth.Account, error) {
	account, err := c.Tokens.Account(ctx, g.Client, tokens.AccessToken)
	said := tokens.Account
	switch {
	case err != nil: // whatever it stands for, it is no matter of our client credentials
		return said, &Failure{Code: CodeTokenNotProved, Err: errors.New("prove the token of " + g.Key.Provider + ": " + err.Error())}
	case account == oauth.Account{}:
		return said, nil
	case said.ID != "" && account.ID != said.ID:
		return said, &Failure{Code: CodeTokenNotProved, Err: errAnotherAccount}
	}
	return account, nil
}
