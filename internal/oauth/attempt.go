package oauth

import (
	"context"
	"errors"
)

// Credentials finds other client credentials when a provider refuses some.
type Credentials interface {
	// Others returns other credentials of the same client to try after refused,
	// the likeliest first.
	Others(ctx context.Context, refused Client) ([]Client, error)
}

// WithCredentials calls call with c and, as long as the provider answers
// invalid_client, with each of the other credentials. That is safe even where
// a code or refresh token is good once: a provider authenticates the client
// before it looks at the grant (RFC 6749 section 3.2.1). Credentials of another
// client ID or environment are passed over, whatever from returns: call sends a
// grant that is bound to c's.
func WithCredentials(ctx context.Context, from Credentials, c Client, call func(Client) (TokenSet, error)) (TokenSet, error) {
	tokens, err := call(c)
	if !refusedClient(err) {
		return tokens, err
	}
	others, readErr := from.Others(ctx, c)
	for _, o := range others {
		if !o.Is(c.ID, c.Environment.Name) {
			continue
		}
		if tokens, err = call(o); !refusedClient(err) {
			return tokens, err
		}
	}
	return TokenSet{}, errors.Join(err, readErr)
}

func refusedClient(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == "invalid_client"
}
