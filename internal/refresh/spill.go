package refresh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/spill"
)

// A Spill keeps new tokens while the connection store will not take them. It
// must be read by key and at once: a spill that a later refresh does not see
// would let it send a refresh token that is already spent.
type Spill interface {
	spill.Store

	// Find returns what refreshes of k have put under the highest fence f with
	// after < f < before, and f; nil where there is nothing.
	Find(ctx context.Context, k connection.Key, after, before int64) (sealed []byte, f int64, err error)
}

// keeper keeps new tokens.
func (r *Renewer) keeper() spill.Keeper {
	return spill.Keeper{Store: r.Spill, Random: r.Random, Log: r.Log}
}

// clockSkew is how far the clocks of two workers may be apart.
const clockSkew = time.Minute

// recover looks for tokens that an earlier attempt may have spilled, and stores
// them. Where it cannot look, or cannot open what is there, nothing may be sent
// and nobody marked: the lease runs out, and the next run looks again.
func (r *Renewer) recover(ctx context.Context, j job, c connection.Connection) (e ending, found bool) {
	if r.Spill == nil {
		return ending{}, false
	}
	at, g, err := r.spilled(ctx, j, c)
	switch {
	case errors.Is(err, errUnusable):
		return ending{outcome: outcomeUnusable, err: err}, true
	case err != nil:
		return ending{outcome: outcomeFailed, err: err}, true
	case at.Fence == 0:
		return ending{}, false
	}
	if e = r.commit(ctx, j, c, g.Tokens); e.outcome != outcomeRefreshed {
		return e, true
	}
	for more := true; more; { // a recovery that was cut off has spilled again
		r.keeper().Forget(ctx, at)
		var sealed []byte
		sealed, at.Fence, err = r.Spill.Find(ctx, c.Key, c.StoredFence, at.Fence)
		more = err == nil && sealed != nil
	}
	return ending{outcome: outcomeRecovered}, true
}

// spilled returns the newest spill that an earlier attempt at c may have left,
// and its key, whose fence is 0 where there is none. One that is older than what
// is stored, or of another grant, is passed over: it is of a time before the table
// came from a backup, and fences began anew.
func (r *Renewer) spilled(ctx context.Context, j job, c connection.Connection) (at connection.SpillKey, g spill.Grant, err error) {
	for before := c.Fence; ; before = at.Fence {
		sealed, fence, err := r.Spill.Find(ctx, c.Key, c.StoredFence, before)
		at = connection.SpillKey{Key: c.Key, Fence: fence}
		if err != nil {
			return at, g, fmt.Errorf("look for a spill: %w", err)
		}
		if sealed == nil {
			return connection.SpillKey{}, g, nil
		}
		if g, err = spill.Open(j.keys, at, sealed); err != nil {
			return at, g, fmt.Errorf("%w: %w: spill of fence %d: %w", errUnusable, oauth.ErrNotConfigured, fence, err)
		}
		if sameGrant(g, c) && !g.Tokens.IssuedAt.Before(c.RefreshedAt.Add(-clockSkew)) {
			return at, g, nil
		}
	}
}

// What a refused commit means. Both are connection.ErrConflict.
var (
	errSuperseded = fmt.Errorf("%w: %w: connected again or disconnected", connection.ErrConflict, spill.ErrUnwanted)
	errOvertaken  = fmt.Errorf("%w: another refresh of the same grant has claimed it", connection.ErrConflict)
)

// store commits c once. A refusal is looked into: where somebody connected or
// disconnected, theirs stands. Where only a later claim is in the way, which
// no lease allows, the tokens are the only live ones and must not be dropped.
func (r *Renewer) store(ctx context.Context, c connection.Connection) error {
	err := r.Leases.Commit(ctx, c)
	if !errors.Is(err, connection.ErrConflict) {
		return err
	}
	now, err := r.Leases.Get(ctx, c.Key)
	switch {
	case errors.Is(err, connection.ErrNotFound):
		return errSuperseded
	case err != nil:
		return fmt.Errorf("look into refused commit: %w", err)
	case now.Status != connection.Disconnected && now.StoredFence == c.Fence:
		return nil // an earlier try took effect, and somebody has claimed it since: no other write has this fence
	case now.Status == connection.Disconnected || now.StoredFence > c.Fence:
		return errSuperseded
	}
	return errOvertaken
}
