package oauth

import (
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/pkg/providers"
)

// maxBlob is the longest credential that a callback may carry, in bytes.
const maxBlob = 16 << 10

// ParseBlob reads the credential that came in a callback parameter (WHCC's
// whData). Only the members that the definition names are taken: others are
// strangers with familiar names, such as whData's state, a US state.
func ParseBlob(b providers.Blob, raw Secret, now time.Time) (TokenSet, error) {
	if len(raw) > maxBlob {
		return TokenSet{}, fmt.Errorf("%s is longer than 16 KiB", b.Param)
	}
	d, err := parseObject([]byte(raw.Reveal()))
	if err != nil {
		return TokenSet{}, fmt.Errorf("%s: %w", b.Param, err)
	}
	token, _ := d[b.AccessToken].(string)
	if token == "" {
		return TokenSet{}, errors.New(b.Param + " has no " + b.AccessToken)
	}
	t := TokenSet{
		AccessToken: Secret(token), TokenType: "Bearer", IssuedAt: now,
		Account:  Account{ID: d.text(b.AccountID), Label: d.text(b.AccountLabel)},
		Metadata: map[string]string{},
	}
	for _, name := range b.Metadata {
		if v := d.text(name); v != "" {
			t.Metadata[name] = v
		}
	}
	return t, nil
}

// ImplicitTokens makes a token set of an implicit grant's parameters (RFC 6749
// section 4.2.2). There is never a refresh token. A token of another type than
// Bearer is an error: nobody here could use it (section 7.1).
func ImplicitTokens(c Client, accessToken Secret, tokenType, expiresIn, scope string, now time.Time) (TokenSet, error) {
	d := object{"access_token": accessToken.Reveal(), "token_type": tokenType, "expires_in": expiresIn}
	if scope != "" {
		d["scope"] = scope
	}
	t, err := tokensFrom(c, d, now)
	if err == nil && t.TokenType != "Bearer" {
		return TokenSet{}, errors.New("token_type is not Bearer")
	}
	return t, err
}
