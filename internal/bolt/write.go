package bolt

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/evergrant/evergrant/internal/connection"
)

// change runs one write of a connection: next gets the row as it is, zero if it
// is not there, and returns what to store. The answer is the row as it was.
func (s *Store) change(ctx context.Context, op string, k connection.Key, next func(old connection.Connection) (connection.Connection, error)) (old connection.Connection, err error) {
	s.order.Lock()
	defer s.order.Unlock()
	var c connection.Connection
	err = s.update(ctx, func(tx *bbolt.Tx) error {
		if old, err = load(tx, k); err != nil {
			return err
		}
		if c, err = next(old); err != nil {
			return err
		}
		return save(tx, c)
	})
	if err != nil {
		return connection.Connection{}, fmt.Errorf("%s connection %s at %s: %w", op, k.ConnectionID, k.Provider, err)
	}
	if s.Changed != nil {
		s.Changed(old, recordOf(c).connection())
	}
	return old, nil
}

// Claim takes the lease of a connection that is active, free and due, or whose
// stored tokens are those of cl.StoredFence. It returns the connection as it
// was; its new fence is one more. Otherwise it is connection.ErrConflict.
func (s *Store) Claim(ctx context.Context, cl connection.Claim) (connection.Connection, error) {
	now := secondsOf(cl.Now).time()
	return s.change(ctx, "claim", cl.Key, func(c connection.Connection) (connection.Connection, error) {
		wanted := !c.Due.At.IsZero() && !c.Due.At.After(now)
		if cl.StoredFence != 0 {
			wanted = c.StoredFence == cl.StoredFence
		}
		if c.Status != connection.Active || !wanted || c.Lease.Held(now) {
			return c, connection.ErrConflict
		}
		c.Fence++
		c.Lease = connection.Lease{ID: cl.LeaseID, Until: cl.Until, SentAt: now}
		return c, nil
	})
}

// Commit ends the claim of c.Fence and c.Lease.ID: it writes all of c, without
// the lease. It is connection.ErrConflict if that claim is not in force any
// more, unless it was this very write that ended it.
func (s *Store) Commit(ctx context.Context, c connection.Connection) error {
	_, err := s.change(ctx, "commit", c.Key, func(old connection.Connection) (connection.Connection, error) {
		id := c.Lease.ID
		c.Lease = connection.Lease{}
		switch {
		case old.Fence == c.Fence && old.Lease.ID == id && id != "":
			return c, nil
		case old.Fence == c.Fence && old.Lease.ID == "" && old.AccessToken == c.AccessToken &&
			old.StoredFence == c.StoredFence && secondsOf(old.UpdatedAt) == secondsOf(c.UpdatedAt):
			return old, nil
		}
		return old, connection.ErrConflict
	})
	return err
}

// Defer writes the failure, due and UpdatedAt of c under the claim of c.Fence
// and c.Lease.ID, which stays. It is connection.ErrConflict if that claim is not
// in force any more.
func (s *Store) Defer(ctx context.Context, c connection.Connection) error {
	_, err := s.change(ctx, "defer", c.Key, func(old connection.Connection) (connection.Connection, error) {
		if old.Fence != c.Fence || old.Lease.ID != c.Lease.ID || c.Lease.ID == "" {
			return old, connection.ErrConflict
		}
		old.Failure, old.Due, old.UpdatedAt = c.Failure, c.Due, c.UpdatedAt
		return old, nil
	})
	return err
}

// Connect stores a new grant and returns the connection as it was, or the zero
// Connection. It is connection.ErrConflict where that is of another account.
func (s *Store) Connect(ctx context.Context, c connection.Connection) (connection.Connection, error) {
	return s.change(ctx, "connect", c.Key, func(old connection.Connection) (connection.Connection, error) {
		if !old.TakesAccount(c.Account.ID, c.AnyAccount) {
			return old, connection.ErrConflict
		}
		return newGrant(old, c), nil
	})
}

// newGrant returns c as the grant that follows old.
func newGrant(old, c connection.Connection) connection.Connection {
	c.Status = connection.Active
	c.Fence, c.StoredFence = old.Fence+1, old.Fence+1
	c.Lease, c.Failure = connection.Lease{}, connection.Failure{}
	return c
}

// Restore is Connect where the connection's fence is the given one, 0 meaning
// that there is none. Else it is connection.ErrConflict, unless it was this very
// write that raised the fence.
func (s *Store) Restore(ctx context.Context, c connection.Connection, fence int64) error {
	_, err := s.change(ctx, "restore", c.Key, func(old connection.Connection) (connection.Connection, error) {
		switch {
		case old.Fence == fence:
			return newGrant(old, c), nil
		case old.StoredFence == fence+1 && old.AccessToken == c.AccessToken && secondsOf(old.UpdatedAt) == secondsOf(c.UpdatedAt):
			return old, nil
		}
		return old, connection.ErrConflict
	})
	return err
}

// Disconnect removes tokens, lease, due and failure of a connection, and
// returns it as it was, or connection.ErrNotFound.
func (s *Store) Disconnect(ctx context.Context, k connection.Key, now time.Time) (connection.Connection, error) {
	return s.change(ctx, "disconnect", k, func(c connection.Connection) (connection.Connection, error) {
		if c.Key != k {
			return c, connection.ErrNotFound
		}
		c.Fence++
		c.Status, c.UpdatedAt = connection.Disconnected, now
		c.AccessToken, c.TokenType, c.ExpiresAt = "", "", time.Time{}
		c.SealedRefreshToken, c.RefreshExpiresAt = nil, time.Time{}
		c.Lease, c.Due, c.Failure = connection.Lease{}, connection.Due{}, connection.Failure{}
		return c, nil
	})
}

// Reseal puts sealed in the place of the sealed refresh token old and changes
// nothing else. It is connection.ErrConflict if old is not there.
func (s *Store) Reseal(ctx context.Context, k connection.Key, old, sealed []byte) error {
	_, err := s.change(ctx, "reseal", k, func(c connection.Connection) (connection.Connection, error) {
		if len(old) == 0 || !bytes.Equal(c.SealedRefreshToken, old) {
			return c, connection.ErrConflict
		}
		c.SealedRefreshToken = sealed
		return c, nil
	})
	return err
}
