package refresh

import (
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/spill"
)

// A salvage is a spill, and the connection that it belongs to.
type salvage struct {
	connection.SpillKey
	grant  spill.Grant
	row    connection.Connection // zero: there is none
	client oauth.Client
	keys   seal.Keys
}

// A verdict is what is to be done with a spill.
type verdict int

const (
	wait    verdict = iota // a claim finds it, or may be about to
	restore                // it is the newest that there is
	drop                   // nobody wants it
	foreign                // it may be of another table or grant, or older than what is stored
)

// verdict judges s at now.
func (s salvage) verdict(now time.Time) verdict {
	if s.Grant != 0 {
		if s.newer() || s.otherAccount() || s.row.IsOf(s.grant.Tokens.IssuedAt, s.grant.RequestID) { // its own write, whose answer was lost
			return drop
		}
		return restore
	}
	claimed := s.row.Lease.ID != "" && !s.row.Due.At.IsZero() && !s.row.Due.At.After(now) // by the next sweep, which looks for it
	lost := s.Fence > s.row.Fence || s.Fence <= s.row.StoredFence                         // no claim would find it
	switch {
	case lost && s.continues() && !s.row.Lease.Held(now):
		return restore // the table came from a backup, and fences began anew
	case s.Fence > s.row.Fence && !s.continues():
		return foreign
	case s.row.Status == connection.Disconnected || s.Fence <= s.row.StoredFence && !s.continues():
		return drop
	case s.row.Lease.Held(now), s.row.Status == connection.Active && claimed:
		return wait
	}
	return restore
}

// newer reports whether somebody has connected again or disconnected since.
func (s salvage) newer() bool { return s.row.ReplacedSince(s.grant.Tokens.IssuedAt) }

// continues reports whether s is of a refresh of the row's own grant, given after
// the tokens that the row has.
func (s salvage) continues() bool {
	return s.row.Status != connection.Disconnected && sameGrant(s.grant, s.row) && s.grant.Tokens.IssuedAt.After(s.row.RefreshedAt.Add(clockSkew))
}

// sameGrant reports whether g is of a refresh of the grant that c has.
func sameGrant(g spill.Grant, c connection.Connection) bool {
	return !g.ConnectedAt.IsZero() && c.IsOf(g.ConnectedAt, g.RequestID)
}

// otherAccount reports whether s is a new grant of another account than the
// connection's.
func (s salvage) otherAccount() bool {
	return s.Grant != 0 && !s.row.TakesAccount(s.grant.Tokens.Account.ID, s.grant.AnyAccount || s.client.AnyAccount)
}

// connection returns the connection with the tokens of s.
func (s salvage) connection(shards int) (connection.Connection, error) {
	if s.Grant == 0 {
		c := s.row
		err := c.Accept(s.client, s.grant.Tokens, s.keys, shards)
		return c, err
	}
	c, err := connection.New(s.Key, s.client, s.grant.Tokens, s.keys, shards)
	c.ClientID, c.Environment, c.RequestID = s.grant.ClientID, s.grant.Environment, s.grant.RequestID
	return c, err
}
