package refresh

import (
	"context"
	"errors"
	"fmt"

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

// recover looks for tokens that an earlier attempt may have spilled, and stores
// them. Where it cannot look, or cannot open what is there, nothing may be sent
// and nobody marked: the lease runs out, and the next run looks again.
func (r *Renewer) recover(ctx context.Context, j job, c connection.Connection) (e ending, found bool) {
	if r.Spill == nil {
		return ending{}, false
	}
	sealed, fence, err := r.Spill.Find(ctx, c.Key, c.StoredFence, c.Fence)
	if err != nil {
		return ending{outcome: outcomeFailed, err: fmt.Errorf("look for a spill: %w", err)}, true
	}
	if sealed == nil {
		return ending{}, false
	}
	at := connection.SpillKey{Key: c.Key, Fence: fence}
	g, err := spill.Open(j.keys, at, sealed)
	if err != nil {
		return ending{outcome: outcomeUnusable, err: fmt.Errorf("%w: %w: spill of fence %d: %w", errUnusable, oauth.ErrNotConfigured, fence, err)}, true
	}
	if e = r.commit(ctx, j, c, g.Tokens); e.outcome != outcomeRefreshed {
		return e, true
	}
	for err == nil && sealed != nil { // a recovery that was cut off has spilled again
		r.keeper().Forget(ctx, at)
		sealed, at.Fence, err = r.Spill.Find(ctx, c.Key, c.StoredFence, at.Fence)
	}
	return ending{outcome: outcomeRecovered}, true
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
