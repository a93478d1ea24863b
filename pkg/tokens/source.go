package tokens

import (
	"context"
	"time"

	"golang.org/x/oauth2"
)

// TokenSource returns a source of the connection's tokens for programs that use
// golang.org/x/oauth2. Each call of its Token method is one Read with ctx,
// which therefore must not be that of a single request; who wants the warning
// calls Read. It is safe for concurrent use.
//
// Use it in an [oauth2.Transport]. Do not wrap it in [oauth2.ReuseTokenSource],
// nor give it to [oauth2.NewClient], which does so: that keeps a token until ten
// seconds before its Expiry, for ever if it has none. It notices no refresh,
// though some providers end the old token with one; no 401; no disconnect; and
// no minTTL above ten seconds. A read is cheap enough for each request; where it
// is not, keep a token for the length of one job.
//
// After a 401, report the token with Replace: the source returns the new one
// from then on.
func (r *Reader) TokenSource(ctx context.Context, connectionID, provider string, minTTL time.Duration) oauth2.TokenSource {
	return source(func() (*oauth2.Token, error) {
		t, err := r.Read(ctx, connectionID, provider, minTTL)
		if err != nil {
			return nil, err
		}
		return &oauth2.Token{AccessToken: t.AccessToken, TokenType: t.Type, Expiry: t.ExpiresAt}, nil
	})
}

// A source is an oauth2.TokenSource.
type source func() (*oauth2.Token, error)

// Token calls the source.
func (s source) Token() (*oauth2.Token, error) { return s() }
