package connections

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/completion"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/pkg/providers"
)

// How long and how often a caller's refresh looks whether another one's has
// ended. A caller whose token still works does not wait for long; one that
// names its token may have been answered 401, so it waits.
const (
	patience     = 20 * time.Second
	briefly      = 3 * time.Second
	lookEach     = 250 * time.Millisecond
	answersUntil = oauth.RefreshTimeout + 5*time.Second // after it was sent, no answer comes any more
)

// maxTTL is the most that a caller may ask for, in seconds: ten years.
const maxTTL = 10 * 365 * 24 * 3600

// refresh refreshes a connection now if the caller's token still needs it. All
// callers who complain about one token cause one request: the refresh is
// conditional on the stored tokens, and who comes second waits for the first.
func (h *Handler) refresh(ctx context.Context, k connection.Key, req Request) (connection.Connection, error) {
	c, err := h.Reader.Get(ctx, k)
	if err != nil {
		return connection.Connection{}, err
	}
	switch {
	case c.Status == connection.Disconnected:
		return connection.Connection{}, &Error{Type: "disconnected", Detail: "the connection was disconnected: connect again"}
	case req.MinTTL < 0:
		return connection.Connection{}, invalid("min_ttl must be a number of seconds")
	case req.TokenSHA256 != "" && (len(req.TokenSHA256) != sha256.Size*2 || strings.Trim(req.TokenSHA256, "0123456789abcdef") != ""):
		return connection.Connection{}, invalid("token_sha256 must be 64 digits of lower-case hex")
	case req.MinTTL > maxTTL:
		return connection.Connection{}, invalid(fmt.Sprintf("min_ttl must be at most %d seconds", maxTTL))
	case !h.needed(c, req):
		return c, nil
	case c.Status == connection.ReauthorizationRequired:
		return connection.Connection{}, &Error{Type: "reauthorization_required", Detail: "the provider has ended the grant: a person must connect again"}
	case len(c.SealedRefreshToken) == 0 && !c.Issued:
		return connection.Connection{}, &Error{Type: "not_refreshable", Detail: "the provider gave nothing to refresh this connection with: connect again when its token ends"}
	}
	if h.pausing(ctx, c, req) {
		return connection.Connection{}, &Error{Type: "provider_unavailable", Detail: "the last refreshes of this connection or at this provider failed and the next one is due later, or an operator holds the provider: try again then"}
	}
	if err := h.Renew(ctx, k, c.StoredFence); err != nil {
		return connection.Connection{}, &toldError{fmt.Errorf("refresh: %w", err)}
	}
	return h.await(ctx, k, c.StoredFence, req)
}

// needed reports whether the token that the caller read is still the stored
// one and does not serve the caller.
func (h *Handler) needed(c connection.Connection, req Request) bool {
	if req.TokenSHA256 != "" {
		sum := sha256.Sum256([]byte(c.AccessToken.Reveal()))
		return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(req.TokenSHA256)) == 1
	}
	if req.MinTTL > 0 {
		left := c.ExpiresAt.Sub(h.Now())
		return !c.ExpiresAt.IsZero() && left < time.Duration(req.MinTTL)*time.Second
	}
	return true
}

// pausing reports whether c waits after a failed refresh, or its provider after
// those of others, so that a storm of readers does not ask a provider that has
// asked for a pause. A bare refresh, which a person has asked for, goes through.
// A breaker that cannot be read may be that of a provider that is held.
func (h *Handler) pausing(ctx context.Context, c connection.Connection, req Request) bool {
	if req.TokenSHA256 == "" && req.MinTTL == 0 {
		return false
	}
	now := h.Now()
	if c.Failure.Count > 0 && now.Before(c.Due.At) {
		return true
	}
	breaker, err := h.Breakers.GetBreaker(ctx, c.Provider)
	if err != nil {
		h.Log.WarnContext(ctx, "breaker not read, taken for open", "provider", c.Provider, "err", err)
	}
	return err != nil || breaker.Open(now)
}

// await returns the connection once its tokens are no longer those of
// storedFence, or nobody is refreshing them.
func (h *Handler) await(ctx context.Context, k connection.Key, storedFence int64, req Request) (connection.Connection, error) {
	for start := h.Now(); ; {
		c, err := h.Reader.Get(ctx, k)
		if err != nil {
			return connection.Connection{}, err
		}
		now := h.Now()
		wait := patience
		if now.Before(c.ExpiresAt) && req.TokenSHA256 == "" {
			wait = briefly
		}
		switch {
		case c.StoredFence != storedFence:
			return c, nil
		case !c.Lease.Held(now) || now.Sub(c.Lease.SentAt) > answersUntil:
			return connection.Connection{}, &Error{Type: "provider_unavailable", Detail: "another refresh of this connection has just failed: try again later"}
		case now.Sub(start) >= wait:
			return connection.Connection{}, &Error{Type: "busy", Detail: "another refresh of this connection is under way, or was cut off: read the token again in a moment"}
		}
		select {
		case <-ctx.Done():
			return connection.Connection{}, fmt.Errorf("wait for refresh: %w", ctx.Err())
		case <-time.After(lookEach):
		}
	}
}

// issue makes a connection by the client's own credentials.
func (h *Handler) issue(ctx context.Context, k connection.Key, _ Request) (connection.Connection, error) {
	client, err := h.Secrets.Client(ctx, k.Provider)
	if err != nil {
		return connection.Connection{}, err
	}
	if client.Provider.Issue == nil {
		return connection.Connection{}, &Error{Type: "not_offered", Detail: client.Provider.Name + " issues no tokens without a user: connect in a browser"}
	}
	return h.store(ctx, k, client, "", func(ctx context.Context) (oauth.TokenSet, error) {
		return oauth.WithCredentials(ctx, h.Secrets, client, func(c oauth.Client) (oauth.TokenSet, error) { return h.Tokens.Issue(ctx, c) })
	})
}

// take imports a grant that was made elsewhere: a refresh token, proved by one
// refresh, or a static access token, which is never due.
func (h *Handler) take(ctx context.Context, k connection.Key, req Request) (connection.Connection, error) {
	if (req.RefreshToken == "") == (req.AccessToken == "") {
		return connection.Connection{}, invalid("import takes either refresh_token or access_token")
	}
	if token := (req.RefreshToken + req.AccessToken).Reveal(); strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return connection.Connection{}, invalid("the token has white space or characters that no token has: paste it again")
	}
	client, err := h.Secrets.Client(ctx, k.Provider)
	if err != nil {
		return connection.Connection{}, err
	}
	if req.AccessToken != "" {
		if err := checkPrefix(client, req.AccessToken); err != nil {
			return connection.Connection{}, err
		}
		return h.store(ctx, k, client, "", func(context.Context) (oauth.TokenSet, error) {
			return oauth.TokenSet{AccessToken: req.AccessToken, TokenType: "Bearer", IssuedAt: h.Now()}, nil
		})
	}
	if client.Provider.NoRefresh {
		return connection.Connection{}, &Error{Type: "not_offered", Detail: client.Provider.Name + " has no refresh tokens: import an access_token, or connect in a browser"}
	}
	id := importID(req.RefreshToken)
	c, err := h.Reader.Get(ctx, k)
	switch {
	case err != nil && !errors.Is(err, connection.ErrNotFound):
		return connection.Connection{}, err
	case c.RequestID == id && c.Status != connection.Disconnected:
		return c, nil // whose answer was lost; to send the spent token again could end the grant
	}
	return h.store(ctx, k, client, id, func(ctx context.Context) (oauth.TokenSet, error) {
		tokens, err := oauth.WithCredentials(ctx, h.Secrets, client, func(c oauth.Client) (oauth.TokenSet, error) {
			return h.Tokens.Refresh(ctx, c, req.RefreshToken)
		})
		if tokens.RefreshToken == "" {
			tokens.RefreshToken = req.RefreshToken
		}
		return tokens, err
	})
}

// importID returns what a connection made of a refresh token remembers of it.
func importID(refreshToken oauth.Secret) string {
	sum := sha256.Sum256([]byte("import\x00" + refreshToken.Reveal()))
	return hex.EncodeToString(sum[:])
}

// checkPrefix refuses a token that is marked as one of another environment.
func checkPrefix(client oauth.Client, token oauth.Secret) error {
	var marked providers.Environment
	for _, e := range client.Provider.Environments {
		if e.TokenPrefix != "" && strings.HasPrefix(token.Reveal(), e.TokenPrefix) && len(e.TokenPrefix) > len(marked.TokenPrefix) {
			marked = e
		}
	}
	if marked.Name != "" && marked.Name != client.Environment.Name {
		return invalid(fmt.Sprintf("access_token is one of %s's %s environment, the client is of %s", client.Provider.Name, marked.Name, client.Environment.Name))
	}
	return nil
}

// store obtains a new grant, stores it and returns the connection. The keys
// come first: what can fail fails before the provider answers.
func (h *Handler) store(ctx context.Context, k connection.Key, client oauth.Client, requestID string, obtain func(context.Context) (oauth.TokenSet, error)) (connection.Connection, error) {
	keys, err := h.Secrets.SealKeys(ctx)
	if err != nil {
		return connection.Connection{}, err
	}
	ctx, cancel := completion.Finishing(ctx, wholeTime) // a caller who leaves loses no grant
	defer cancel()
	if _, err := h.completer().Connect(ctx, keys, completion.Grant{Key: k, Client: client, RequestID: requestID, Imported: true, Obtain: obtain}); err != nil {
		return connection.Connection{}, err
	}
	return h.Reader.Get(ctx, k)
}

// wholeTime is how long a new grant may take where the invocation has no
// deadline.
const wholeTime = 2 * oauth.RefreshTimeout
