// Package connectiontest holds what every store of connections promises, as a
// suite of tests, and Memory, the store that other packages' tests use.
//
// A store is whatever has the methods of Connections, State and Providers. Their comments
// are the promises; Run checks them. Consumers do not import these interfaces:
// each declares the one to three methods that it calls.
//
// To change a promise, change its sentence, its subtest and the three stores:
// Memory, internal/bolt and internal/dynamo.
package connectiontest

import (
	"context"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// Connections is the connections table. Each write is atomic: it happens as a
// whole or not at all, and nobody sees it half done.
//
// Stores keep times as whole seconds, cut off, and scopes as a set: sorted,
// each once. What is empty or zero is not stored, so empty lists and maps come
// back as nil. What a store returns belongs to the caller.
//
// An error other than those of package connection is the medium's. Whether the
// write took place is then unknown, and to repeat it is safe for Commit, Defer,
// Restore, Reseal and Disconnect. A repeated Connect may return its own grant as the old one, and a
// repeated Claim may meet its own lease.
type Connections interface {
	// Get returns the connection as the last write left it, or ErrNotFound.
	Get(ctx context.Context, k connection.Key) (connection.Connection, error)

	// List returns all connections of a connection ID, ordered by provider.
	// None is not an error.
	List(ctx context.Context, connectionID string) ([]connection.Connection, error)

	// ListByStatus returns a page of the connections in a status, "" for all,
	// in the store's own order. The first cursor is ""; next is "" at the end.
	// A page holds at most limit (at least 1) connections. It may hold fewer,
	// even none, before the end: a store reads only so much for one page.
	// A cursor that no list returned is ErrBadCursor.
	ListByStatus(ctx context.Context, s connection.Status, cursor string, limit int) (page []connection.Connection, next string, err error)

	// Due returns a page of what is due in a shard at now, and since when, oldest first. It may
	// lag behind writes, so Claim checks again. Cursors are as in ListByStatus;
	// they stay good when the connections before them are refreshed.
	Due(ctx context.Context, shard string, now time.Time, cursor string) (keys []connection.DueKey, next string, err error)

	// Claim takes the lease of a connection and raises its fence by one. It
	// returns the connection as it was before, tokens and expired lease
	// included, so that no read is needed; due stays as it is.
	//
	// ErrConflict: the connection is not there, not active, leased at c.Now, or
	// not due at c.Now. With c.StoredFence set, its stored tokens must be those
	// of that fence and it need not be due.
	Claim(ctx context.Context, c connection.Claim) (old connection.Connection, err error)

	// Commit ends the claim that raised the fence to c.Fence under c.Lease.ID:
	// it writes all of c and removes the lease. ErrConflict: the claim is not
	// in force any more, and nothing was written. To find one's own earlier
	// Commit done is success.
	Commit(ctx context.Context, c connection.Connection) error

	// Defer writes the failure, due and UpdatedAt of c and nothing else under the
	// claim that raised the fence to c.Fence under c.Lease.ID, and leaves the
	// lease in force. ErrConflict: that claim is not in force any more.
	Defer(ctx context.Context, c connection.Connection) error

	// Connect stores a new grant, whatever was there before. It raises the
	// fence by one, also that of the stored tokens, makes the connection active
	// and ends any lease and failure. It returns the connection as it was, or
	// the zero Connection. ErrConflict: that does not take c's account, as
	// connection.TakesAccount has it, and nothing was written.
	Connect(ctx context.Context, c connection.Connection) (old connection.Connection, err error)

	// Restore is Connect, of any account, as long as the connection's fence is the given one, 0
	// meaning that there is no such connection; else it is ErrConflict. To find
	// one's own earlier Restore done is success, while these tokens are stored.
	Restore(ctx context.Context, c connection.Connection, fence int64) error

	// Reseal puts sealed in the place of the sealed refresh token old, and changes
	// nothing else, no fence and no lease. ErrConflict: the connection holds
	// another one, or there is no such connection.
	Reseal(ctx context.Context, k connection.Key, old, sealed []byte) error

	// Disconnect raises the fence by one, removes tokens, lease, due and
	// failure, and keeps the rest. It returns the connection as it was, with
	// the tokens to revoke, or ErrNotFound.
	Disconnect(ctx context.Context, k connection.Key, now time.Time) (old connection.Connection, err error)
}

// State is the state table: authorization requests under way, and the sweep
// lease. Nothing in it ends by time alone; ExpiresAt only says when the medium
// may forget, so it must not be before the end of the ticket.
type State interface {
	// ClaimRequest claims r.ID for r.State, once for all time, and holds
	// r.Answer, if there is one, until r.HeldUntil. ErrConflict: it is claimed,
	// also if by r.State itself, or r.State was denied.
	ClaimRequest(ctx context.Context, r connection.Request) error

	// TakeAnswer takes the answer out of a claim and returns the claim as it was.
	// ErrConflict: none is held at now. A call whose answer was lost has taken it.
	TakeAnswer(ctx context.Context, id string, now time.Time) (connection.Request, error)

	// DenyRequest remembers that the provider ended r.State without an answer:
	// as Failed, where r.Outcome is that, else as Denied. It leaves r.ID to other
	// states. ErrConflict: r.State has claimed r.ID, or ended before.
	DenyRequest(ctx context.Context, r connection.Request) error

	// FinishRequest adds r.Outcome and r.Code to the claim. ErrConflict: it is
	// not r.State that holds it.
	FinishRequest(ctx context.Context, r connection.Request) error

	// GetRequest returns the authorization request as a state sees it: denied,
	// if it was; else the claim, whose State may be another one; else
	// ErrNotFound.
	GetRequest(ctx context.Context, id, state string) (connection.Request, error)

	// TakeSweep takes the sweep lease of s.Name for s.ID until s.Until, or
	// prolongs it. It returns, for the sweep of all shards, every s.Shards that
	// was ever given, ascending, and the s.Table that was given last. ErrConflict:
	// another holds it at s.Now, and nothing was written.
	TakeSweep(ctx context.Context, s connection.Sweep) (connection.Swept, error)

	// EndSweep gives the sweep lease of a name back, if id still holds it.
	EndSweep(ctx context.Context, name, id string) error
}

// Providers is the part of the state table that is about how providers fare.
// All workers share it.
type Providers interface {
	// GetBreaker returns what is known of a provider, the zero Breaker where
	// nothing is.
	GetBreaker(ctx context.Context, provider string) (connection.Breaker, error)

	// SetBreaker writes the OpenUntil, Opened and Reason of b; the rest stays.
	SetBreaker(ctx context.Context, provider string, b connection.Breaker) error

	// Hold writes the HeldSince of a provider's breaker, zero to release it; the
	// rest stays.
	Hold(ctx context.Context, provider string, since time.Time) error

	// CountRefreshes adds o to the counts of a provider as Breaker.Count does,
	// and returns the breaker as it is then. A call whose answer was lost may
	// count twice.
	CountRefreshes(ctx context.Context, provider string, o connection.Outcomes, now time.Time) (connection.Breaker, error)

	// ReserveTime reserves the next free d, in milliseconds, of a provider's
	// time for the caller, who may then send what the provider's rate allows in
	// so long a time. It starts at start, which is not before now and before
	// latest; ErrConflict: there is none. A call whose answer was lost leaves a
	// gap. Times are kept in milliseconds here.
	ReserveTime(ctx context.Context, provider string, d time.Duration, now, latest time.Time) (start time.Time, err error)
}

// Store is both tables.
type Store interface {
	Connections
	State
	Providers
}
