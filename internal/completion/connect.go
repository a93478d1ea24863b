package completion

import (
	"context"
	"errors"
	"fmt"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/spill"
)

// A Grant is one that a provider is about to give, for a connection.
type Grant struct {
	Key       connection.Key
	Client    oauth.Client
	RequestID string // connection.StateID of the authorization request; "": there was none

	// Imported says that an operator brings it, who vouches for whose it is: an
	// account that cannot be looked up is then no reason to refuse it.
	Imported bool

	// Obtain asks the provider for it. It is called once.
	Obtain func(context.Context) (oauth.TokenSet, error)
}

// Connect obtains g, asks who it belongs to, and stores it. It tries that again
// for as long as there is time; while the connection store does not take it, it
// is spilled. ctx must be one of Finishing.
//
// The error is that of Obtain, ErrKept or ErrNotStored; or a Failure where the
// connection has another account, and keeps it.
func (c *Completer) Connect(ctx context.Context, keys seal.Keys, g Grant) (connection.Connection, error) {
	made, err := c.connect(ctx, keys, g)
	c.count(ctx, g.Key.Provider, err)
	return made, err
}

// connect is Connect, not counted.
func (c *Completer) connect(ctx context.Context, keys seal.Keys, g Grant) (connection.Connection, error) {
	asking, cancel := c.asking(ctx)
	defer cancel()
	tokens, err := g.Obtain(asking)
	if err != nil {
		return connection.Connection{}, fmt.Errorf("obtain grant at %s: %w", g.Key.Provider, err)
	}
	switch {
	case g.frontChannel():
		if tokens.Account, err = c.prove(asking, g, tokens); err != nil {
			return connection.Connection{}, err
		}
	case tokens.Account == oauth.Account{} && !tokens.Issued:
		tokens.Account = c.account(asking, g, tokens.AccessToken)
	}
	made, err := connection.New(g.Key, g.Client, tokens, keys, c.Shards)
	if err != nil {
		return made, fmt.Errorf("%w: %w", ErrNotStored, err)
	}
	made.RequestID = g.RequestID
	made.AnyAccount = made.AnyAccount || g.Imported && tokens.Account.ID == ""
	end, _ := ctx.Deadline() // there is one, by Finishing
	keeper := spill.Keeper{Store: c.Spill, Random: c.Random, Log: c.Log}
	place, err := keeper.KeepGrant(ctx, end, keys, made, tokens, c.Connections)
	switch {
	case err == nil:
		c.Log.InfoContext(ctx, "connected", "provider", g.Key.Provider, "connection_id", g.Key.ConnectionID, "issued", made.Issued, "token_in_front_channel", g.frontChannel())
		return made, nil
	case errors.Is(err, spill.ErrOtherAccount):
		return made, c.refuse(ctx, g, tokens, err)
	case place == spill.Spilled:
		return made, fmt.Errorf("%w: store connection: %w", ErrKept, err)
	}
	return made, fmt.Errorf("%w: store connection: %w", ErrNotStored, err)
}

// account asks who a new grant belongs to. It is asked before the grant is
// stored, in the one write that there is: with a new grant no older refresh
// token waits for the first use of the access token. Not to know is no failure,
// but for a connection that has an account.
func (c *Completer) account(ctx context.Context, g Grant, token oauth.Secret) oauth.Account {
	account, err := c.Tokens.Account(ctx, g.Client, token)
	if err != nil {
		c.Log.WarnContext(ctx, "account not looked up", "provider", g.Key.Provider, "connection_id", g.Key.ConnectionID, "err", err)
	}
	return account
}

// refuse ends a grant that the connection does not take, by cause: the tokens
// that it has stay. The grant is revoked where that ends no other one; its
// account may be connected elsewhere.
func (c *Completer) refuse(ctx context.Context, g Grant, tokens oauth.TokenSet, cause error) error {
	code := CodeAccountChanged
	if tokens.Account.ID == "" {
		code = CodeAccountUnknown
	}
	if g.Client.Provider.RevokesOne {
		ctx, cancel := c.asking(ctx)
		defer cancel()
		if err := c.Tokens.Revoke(ctx, g.Client, tokens.AccessToken, tokens.RefreshToken); err != nil {
			c.Log.WarnContext(ctx, "grant of another account not revoked", "provider", g.Key.Provider, "connection_id", g.Key.ConnectionID, "err", err)
		}
	}
	return &Failure{Code: code, Err: cause}
}
