package spill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
)

// A Grant is what a spill holds. Of a refresh that is Tokens, the client that they
// are bound to and the grant that they go on with; the rest is what a new
// connection has beside those.
type Grant struct {
	Tokens      oauth.TokenSet
	ClientID    string // "": the spill is older than this member of refreshes
	Environment string
	ConnectedAt time.Time // of a refresh, that of the connection; so is RequestID
	RequestID   string
	AnyAccount  bool // see connection.Connection
}

// Connections is what keeping a new grant needs of the connection store. See the
// conformance suite for the promises.
type Connections interface {
	Get(ctx context.Context, k connection.Key) (connection.Connection, error)
	Connect(ctx context.Context, c connection.Connection) (old connection.Connection, err error)
	Restore(ctx context.Context, c connection.Connection, fence int64) error
}

// ErrOtherAccount is the answer of KeepGrant where the connection has an account
// and the new grant is of another, or of one that is not known.
var ErrOtherAccount = fmt.Errorf("%w: the connection is of another account", ErrUnwanted)

// KeepGrant keeps a new grant: c, made of tokens. ErrUnwanted: somebody has
// connected or disconnected since, and theirs stands; or it is ErrOtherAccount.
func (k Keeper) KeepGrant(ctx context.Context, until time.Time, keys seal.Keys, c connection.Connection, tokens oauth.TokenSet, store Connections) (Place, error) {
	at := KeyOf(c.Key, tokens)
	tried := false
	write := func(ctx context.Context) error {
		if tried {
			return connectAgain(ctx, store, c)
		}
		tried = true
		_, err := store.Connect(ctx, c)
		if errors.Is(err, connection.ErrConflict) {
			return ErrOtherAccount
		}
		return err
	}
	return k.Keep(ctx, until, at, write, func() ([]byte, error) {
		return Seal(keys, at, Grant{Tokens: tokens, ClientID: c.ClientID, Environment: c.Environment, RequestID: c.RequestID, AnyAccount: c.AnyAccount})
	})
}

// errChanged is an error that another try may not meet.
var errChanged = errors.New("somebody else has just changed the connection")

// connectAgain stores c after a try whose outcome is unknown. What that try has
// stored may have been refreshed since, and is not to be overwritten.
func connectAgain(ctx context.Context, store Connections, c connection.Connection) error {
	row, err := store.Get(ctx, c.Key)
	switch {
	case err != nil && !errors.Is(err, connection.ErrNotFound):
		return err
	case row.ReplacedSince(c.ConnectedAt):
		return fmt.Errorf("%w: connected again or disconnected since", ErrUnwanted)
	case row.IsOf(c.ConnectedAt, c.RequestID):
		return nil
	case !row.TakesAccount(c.Account.ID, c.AnyAccount):
		return ErrOtherAccount
	}
	if err := store.Restore(ctx, c, row.Fence); !errors.Is(err, connection.ErrConflict) {
		return err
	}
	return errChanged
}

// KeyOf returns the key of the spill of a new grant.
func KeyOf(k connection.Key, tokens oauth.TokenSet) connection.SpillKey {
	return connection.SpillKey{Key: k, Grant: tokens.IssuedAt.UnixNano()}
}

// wireGrant is the form of a Grant inside a spill.
type wireGrant struct {
	AccessToken      string            `json:"access_token"`
	TokenType        string            `json:"token_type"`
	RefreshToken     string            `json:"refresh_token,omitempty"`
	Scopes           []string          `json:"scopes,omitempty"`
	Asked            []string          `json:"asked,omitempty"`
	IssuedAt         time.Time         `json:"issued_at"`
	ExpiresAt        time.Time         `json:"expires_at,omitzero"`
	RefreshExpiresAt time.Time         `json:"refresh_expires_at,omitzero"`
	Issued           bool              `json:"issued,omitempty"`
	AccountID        string            `json:"account_id,omitempty"`
	AccountLabel     string            `json:"account_label,omitempty"`
	Metadata         map[string]string `json:"metadata,omitempty"`
	ClientID         string            `json:"client_id,omitempty"`
	Environment      string            `json:"environment,omitempty"`
	ConnectedAt      time.Time         `json:"connected_at,omitzero"`
	RequestID        string            `json:"request_id,omitempty"`
	AnyAccount       bool              `json:"any_account,omitempty"`
}

// purpose is what a spill is bound to: its whole key.
func purpose(at connection.SpillKey) string {
	return "spill\x00" + at.ConnectionID + "\x00" + at.Provider + "\x00" + strconv.FormatInt(at.Fence, 10) + "\x00" + strconv.FormatInt(at.Grant, 10)
}

// Seal returns g as it is kept at a key. It opens nowhere else.
func Seal(keys seal.Keys, at connection.SpillKey, g Grant) ([]byte, error) {
	t := g.Tokens
	plain, err := json.Marshal(wireGrant{
		AccessToken: t.AccessToken.Reveal(), TokenType: t.TokenType, RefreshToken: t.RefreshToken.Reveal(), Scopes: t.Scopes, Asked: t.Asked,
		IssuedAt: t.IssuedAt, ExpiresAt: t.ExpiresAt, RefreshExpiresAt: t.RefreshExpiresAt, Issued: t.Issued,
		AccountID: t.Account.ID, AccountLabel: t.Account.Label, Metadata: t.Metadata,
		ClientID: g.ClientID, Environment: g.Environment, ConnectedAt: g.ConnectedAt, RequestID: g.RequestID, AnyAccount: g.AnyAccount,
	})
	if err != nil {
		return nil, fmt.Errorf("marshal spill: %w", err)
	}
	return keys.Seal(purpose(at), plain)
}

// Open returns what Seal made for the same key. It is seal.ErrNotOpened for any
// other.
func Open(keys seal.Keys, at connection.SpillKey, sealed []byte) (Grant, error) {
	plain, err := keys.Open(purpose(at), sealed)
	if err != nil {
		return Grant{}, err
	}
	var w wireGrant
	if err := json.Unmarshal(plain, &w); err != nil {
		return Grant{}, errors.New("spill is not what was put there")
	}
	return Grant{
		Tokens: oauth.TokenSet{
			AccessToken: oauth.Secret(w.AccessToken), TokenType: w.TokenType, RefreshToken: oauth.Secret(w.RefreshToken), Scopes: w.Scopes, Asked: w.Asked,
			IssuedAt: w.IssuedAt, ExpiresAt: w.ExpiresAt, RefreshExpiresAt: w.RefreshExpiresAt, Issued: w.Issued,
			Account: oauth.Account{ID: w.AccountID, Label: w.AccountLabel}, Metadata: w.Metadata,
		},
		ClientID: w.ClientID, Environment: w.Environment, ConnectedAt: w.ConnectedAt, RequestID: w.RequestID, AnyAccount: w.AnyAccount,
	}, nil
}
