package connection

import (
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/oauth"
)

// What a store answers when there is nothing to do the work on.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("somebody else was first") // a condition of the write was not met
)

// A Key names a connection. The caller chooses ConnectionID: its tenant, shop
// or user.
type Key struct {
	ConnectionID string
	Provider     string
}

// A Status is the state of a connection, as readers see it.
type Status string

// A connection that needs a person keeps its access token until that ends.
const (
	Active                  Status = "active"
	ReauthorizationRequired Status = "reauthorization_required"
	Disconnected            Status = "disconnected"
)

// A Connection is one standing authorization: one item of the connections
// table. Times are whole seconds; a zero time is not known or not set.
type Connection struct {
	Key
	Status Status

	AccessToken        oauth.Secret
	TokenType          string
	ExpiresAt          time.Time // of the access token; zero: the provider names no expiry
	Scopes             []string
	ScopesMissing      []string // asked for and not granted, or no longer
	SealedRefreshToken []byte   // internal/seal, for RefreshTokenPurpose
	RefreshExpiresAt   time.Time

	Account     oauth.Account
	Metadata    map[string]string
	Environment string
	ClientID    string
	Issued      bool // by the client's own credentials, renewed by asking again

	// AnyAccount says that a new grant may be of another account than the
	// connection has had. It is not stored: see TakesAccount.
	AnyAccount bool

	Fence       int64 // goes up with every lease, connect and disconnect
	StoredFence int64 // the fence at which the stored tokens were written
	Lease       Lease

	ConnectedAt time.Time
	RefreshedAt time.Time
	UpdatedAt   time.Time
	Due         Due
	Failure     Failure

	// RequestID is the authorization request that made this grant, so that a
	// callback which is loaded again finds that it has succeeded.
	RequestID string
}

// TakesAccount reports whether a new grant of the account with an ID, "" if it
// is not known, may take the place of c's. A connection stays with its account
// until it is disconnected, so that nobody's data is mixed with another's; with
// anyAccount the client's secret says that this is meant.
func (c Connection) TakesAccount(id string, anyAccount bool) bool {
	return anyAccount || c.Account.ID == "" || c.Account.ID == id || c.Status == Disconnected
}

// Format prints c as package fmt would; see oauth.TokenSet.Format.
func (c Connection) Format(f fmt.State, verb rune) {
	type plain Connection
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), plain(c))
}

// A Lease is the exclusive use of a connection's refresh token.
type Lease struct {
	ID     string
	Until  time.Time
	SentAt time.Time // the intent: from here on the refresh token may have been used
}

// Held reports whether somebody holds the lease at now.
func (l Lease) Held(now time.Time) bool { return l.ID != "" && now.Before(l.Until) }

// Due says when a connection is to be refreshed, and in which shard of the due
// index it waits. The zero Due is never.
type Due struct {
	Shard string
	At    time.Time
}

// A DueKey is an entry of the due index.
type DueKey struct {
	Key
	At time.Time // since when it is due
}

// A Failure is the run of failed refreshes that a connection is in. The zero
// Failure is none.
type Failure struct {
	Code   string    // of the provider's or our own vocabulary, such as invalid_grant or timeout
	Detail string    // for an operator, in our words
	Count  int       // failures in a row
	Since  time.Time // the first of them
	At     time.Time // the last of them
	Reason string    // why the connection needs a person: invalid_grant or rotation_lost
}

// A Claim asks for the lease of a connection.
type Claim struct {
	Key
	LeaseID string
	Now     time.Time
	Until   time.Time
	// StoredFence, if not 0, replaces the condition that the connection is due:
	// it is refreshed now if the stored tokens are still those of this fence.
	StoredFence int64
}

// RefreshTokenPurpose is what a sealed refresh token is bound to: the table's
// logical name, the row and the field. A value copied elsewhere does not open.
func RefreshTokenPurpose(k Key) string {
	return "connections\x00" + k.ConnectionID + "\x00" + k.Provider + "\x00refresh_token"
}

const maxConnectionID = 256

// ValidID reports whether id may name a connection: 1 to 256 of A-Z a-z 0-9
// and . _ : @ / -
func ValidID(id string) bool {
	if id == "" || len(id) > maxConnectionID {
		return false
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == ':', c == '@', c == '/', c == '-':
		default:
			return false
		}
	}
	return true
}
