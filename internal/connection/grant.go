package connection

import (
	"fmt"
	"slices"

	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
)

// New returns the connection k with a new grant, ready to be stored. Fences
// are the store's to set.
func New(k Key, client oauth.Client, tokens oauth.TokenSet, keys seal.Keys, shards int) (Connection, error) {
	c := Connection{
		Key: k, Status: Active, Account: tokens.Account, Metadata: tokens.Metadata,
		Environment: client.Environment.Name, ClientID: client.ID, Issued: tokens.Issued, ConnectedAt: tokens.IssuedAt,
		AnyAccount: client.AnyAccount || tokens.Issued, // one that is issued is nobody's, and was asked for
	}
	err := c.Accept(client, tokens, keys, shards)
	return c, err
}

// Accept takes new tokens into c and sets when it is due again. A refresh
// token stays where the answer brought none (RFC 6749 section 6), scopes stay
// where it names none (section 5.1). Those that it names without some that were
// there or were asked for leave these missing.
func (c *Connection) Accept(client oauth.Client, tokens oauth.TokenSet, keys seal.Keys, shards int) error {
	if tokens.RefreshToken != "" {
		sealed, err := keys.Seal(RefreshTokenPurpose(c.Key), []byte(tokens.RefreshToken.Reveal()))
		if err != nil {
			return fmt.Errorf("seal refresh token: %w", err)
		}
		c.SealedRefreshToken, c.RefreshExpiresAt = sealed, endOf(c.RefreshExpiresAt, tokens.RefreshExpiresAt)
	}
	c.AccessToken, c.TokenType, c.ExpiresAt = tokens.AccessToken, tokens.TokenType, tokens.ExpiresAt
	if tokens.Scopes != nil {
		c.ScopesMissing = missing(client, slices.Concat(c.Scopes, c.ScopesMissing, tokens.Asked), tokens.Scopes)
		c.Scopes = tokens.Scopes
	}
	c.Failure = Failure{}
	c.RefreshedAt, c.UpdatedAt = tokens.IssuedAt, tokens.IssuedAt
	c.Due = Due{}
	if len(c.SealedRefreshToken) == 0 && !c.Issued {
		return nil // nothing renews it
	}
	at := DueAt(c.Key, Life{
		IssuedAt: tokens.IssuedAt, ExpiresAt: tokens.ExpiresAt, RefreshExpiresAt: c.RefreshExpiresAt,
		Margin: client.Provider.Margin, Idle: client.Provider.RefreshTokenIdle, Lazy: client.Lazy,
	})
	if !at.IsZero() {
		c.Due = Due{Shard: Shard(c.Key, shards), At: at}
	}
	return nil
}

// missing returns those of asked that granted lacks, sorted; nil for none. The
// scopes that every request carries are no permissions: many a provider answers
// without them.
func missing(client oauth.Client, asked, granted []string) []string {
	lacks := slices.DeleteFunc(slices.Clone(asked), func(s string) bool {
		return slices.Contains(granted, s) || slices.Contains(client.Provider.AddedScopes, s)
	})
	if len(lacks) == 0 {
		return nil
	}
	slices.Sort(lacks)
	return slices.Compact(lacks)
}

// RefreshToken opens the refresh token of c.
func (c Connection) RefreshToken(keys seal.Keys) (oauth.Secret, error) {
	plain, err := keys.Open(RefreshTokenPurpose(c.Key), c.SealedRefreshToken)
	if err != nil {
		return "", fmt.Errorf("refresh token: %w", err)
	}
	return oauth.Secret(plain), nil
}
