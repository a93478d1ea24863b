package refresh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/spill"
)

// Spills lists what is kept in the spill, beside what a claim needs of it.
type Spills interface {
	Spill

	// List returns a page of all that is kept, and the cursor of the next one.
	List(ctx context.Context, cursor string) (page []connection.SpillEntry, next string, err error)
}

// Restorer is what a rescue needs of the connection store. See the conformance
// suite for the promises.
type Restorer interface {
	Get(ctx context.Context, k connection.Key) (connection.Connection, error)

	// Restore stores c as a new grant as long as the fence is the given one.
	Restore(ctx context.Context, c connection.Connection, fence int64) error
}

// A Rescuer brings back what was spilled and no claim would find: new grants,
// and refreshed tokens of connections that are not due or were marked. It
// deletes what is no longer wanted. Every field is required.
type Rescuer struct {
	Spills      Spills
	Connections Restorer
	Secrets     Secrets
	Tokens      Tokens
	Shards      int // of the due index
	Now         func() time.Time
	Log         *slog.Logger
}

// maxComplaints is how many spills an error of Rescue tells of one by one.
const maxComplaints = 3

// Rescue looks at all spills. Those that it cannot do anything about, it passes
// over, and tells of them in its error.
func (r *Rescuer) Rescue(ctx context.Context) error {
	if end, ok := ctx.Deadline(); ok { // the sweep around it has to end, too
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-reserve))
		defer cancel()
	}
	var complaints []error
	passed := 0
	for cursor, first := "", true; first || cursor != ""; first = false {
		page, next, err := r.Spills.List(ctx, cursor)
		if err != nil {
			return errors.Join(append(complaints, err)...)
		}
		for _, e := range page {
			if err := r.one(ctx, e); err != nil {
				if passed++; passed <= maxComplaints {
					complaints = append(complaints, err)
				}
			}
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("look for spills: %w", err)
		}
		cursor = next
	}
	if passed == 0 {
		return nil
	}
	return fmt.Errorf("%d spills passed over: %w", passed, errors.Join(complaints...))
}

// one brings the tokens of one spill to where they belong, if that is now known.
func (r *Rescuer) one(ctx context.Context, e connection.SpillEntry) error {
	if e.Err != nil {
		return e.Err
	}
	row, err := r.Connections.Get(ctx, e.Key)
	if err != nil && !errors.Is(err, connection.ErrNotFound) {
		return fmt.Errorf("look up connection: %w", err)
	}
	client, err := r.Secrets.Client(ctx, e.Provider)
	if err != nil {
		return fmt.Errorf("client credentials of %s: %w", e.Provider, err)
	}
	s := salvage{SpillKey: e.SpillKey, row: row, client: client}
	if s.keys, err = r.Secrets.SealKeys(ctx); err != nil {
		return fmt.Errorf("sealing keys: %w", err)
	}
	if s.grant, err = spill.Open(s.keys, e.SpillKey, e.Sealed); err != nil {
		return fmt.Errorf("spill of connection %s at %s: %w", e.ConnectionID, e.Provider, err)
	}
	switch s.verdict(r.Now()) {
	case restore:
		return r.restore(ctx, s)
	case drop:
		return r.drop(ctx, s)
	case foreign:
		return fmt.Errorf("spill of connection %s at %s is ahead of the table, and of another grant or no newer than what is there: remove it if it is of another table", e.ConnectionID, e.Provider)
	case wait:
	}
	return nil
}

// restore stores the tokens of s under the fence of the row that it was judged
// by. Whoever changes the row meanwhile goes first: the next rescue judges anew.
// Of the tokens of several refreshes the last are the live ones.
func (r *Rescuer) restore(ctx context.Context, s salvage) error {
	if s.Grant == 0 {
		if later, _, err := r.Spills.Find(ctx, s.Key, s.Fence, s.row.Fence+1); err != nil || later != nil {
			return err
		}
	}
	c, err := s.connection(r.Shards)
	if err == nil {
		err = r.Connections.Restore(ctx, c, s.row.Fence)
	}
	if errors.Is(err, connection.ErrConflict) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("restore connection %s at %s: %w", s.ConnectionID, s.Provider, err)
	}
	r.Log.WarnContext(ctx, "rescued", "provider", s.Provider, "connection_id", s.ConnectionID, "fence", s.Fence, "grant", s.Grant)
	return r.Spills.Delete(ctx, s.SpillKey)
}

// drop deletes a spill that nobody wants. Its tokens are revoked where they are
// of another grant than the row's, and that cannot hurt the row's.
func (r *Rescuer) drop(ctx context.Context, s salvage) error {
	revokes := s.client.Provider.RevokesOne
	if s.newer() && (s.row.Status != connection.Active || revokes) || s.otherAccount() && revokes {
		client, err := s.client.For(s.grant.ClientID, s.grant.Environment)
		if err == nil {
			err = r.Tokens.Revoke(ctx, client, s.grant.Tokens.AccessToken, s.grant.Tokens.RefreshToken)
		}
		if err != nil {
			r.Log.WarnContext(ctx, "late tokens not revoked", "provider", s.Provider, "connection_id", s.ConnectionID, "err", err)
		}
	}
	return r.Spills.Delete(ctx, s.SpillKey)
}
