package refresh

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
)

// A Spill keeps new tokens while the connection store will not take them. It
// must be read by key and at once: a spill that a later refresh does not see
// would let it send a refresh token that is already spent.
type Spill interface {
	// Put keeps sealed for the connection k under a fence. Putting the same
	// twice is no error.
	Put(ctx context.Context, k connection.Key, fence int64, sealed []byte) error

	// Find returns what is kept for k under the highest fence f with
	// after < f < before, and f; nil where there is nothing.
	Find(ctx context.Context, k connection.Key, after, before int64) (sealed []byte, f int64, err error)

	// Delete removes what is kept for k under a fence.
	Delete(ctx context.Context, k connection.Key, fence int64) error
}

// spilled is the form of a token set inside a spill.
type spilled struct {
	AccessToken      string    `json:"access_token"`
	TokenType        string    `json:"token_type"`
	RefreshToken     string    `json:"refresh_token,omitempty"`
	Scopes           []string  `json:"scopes,omitempty"`
	IssuedAt         time.Time `json:"issued_at"`
	ExpiresAt        time.Time `json:"expires_at,omitzero"`
	RefreshExpiresAt time.Time `json:"refresh_expires_at,omitzero"`
	Issued           bool      `json:"issued,omitempty"`
}

// spillPurpose is what a spill is bound to: the connection and the fence of
// the refresh that brought it.
func spillPurpose(k connection.Key, fence int64) string {
	return "spill\x00" + k.ConnectionID + "\x00" + k.Provider + "\x00" + strconv.FormatInt(fence, 10)
}

func sealTokens(keys seal.Keys, k connection.Key, fence int64, t oauth.TokenSet) ([]byte, error) {
	plain, err := json.Marshal(spilled{
		AccessToken: t.AccessToken.Reveal(), TokenType: t.TokenType, RefreshToken: t.RefreshToken.Reveal(), Scopes: t.Scopes,
		IssuedAt: t.IssuedAt, ExpiresAt: t.ExpiresAt, RefreshExpiresAt: t.RefreshExpiresAt, Issued: t.Issued,
	})
	if err != nil {
		return nil, fmt.Errorf("marshal spill: %w", err)
	}
	return keys.Seal(spillPurpose(k, fence), plain)
}

func openTokens(keys seal.Keys, k connection.Key, fence int64, sealed []byte) (oauth.TokenSet, error) {
	plain, err := keys.Open(spillPurpose(k, fence), sealed)
	if err != nil {
		return oauth.TokenSet{}, err
	}
	var s spilled
	if err := json.Unmarshal(plain, &s); err != nil {
		return oauth.TokenSet{}, errors.New("spill is not what was put there")
	}
	return oauth.TokenSet{
		AccessToken: oauth.Secret(s.AccessToken), TokenType: s.TokenType, RefreshToken: oauth.Secret(s.RefreshToken), Scopes: s.Scopes,
		IssuedAt: s.IssuedAt, ExpiresAt: s.ExpiresAt, RefreshExpiresAt: s.RefreshExpiresAt, Issued: s.Issued,
	}, nil
}

// recover looks, after a refresh that was cut off, for the tokens that it may
// have spilled, and stores them. Where it cannot look, nothing may be sent: the
// lease runs out again, and the next run looks again.
func (r *Renewer) recover(ctx context.Context, j job, c connection.Connection) (result Result, found bool, err error) {
	if r.Spill == nil {
		return Skipped, false, nil
	}
	sealed, fence, err := r.Spill.Find(ctx, c.Key, c.StoredFence, c.Fence)
	if err != nil {
		return Failed, false, fmt.Errorf("look for a spill: %w", err)
	}
	if sealed == nil {
		return Skipped, false, nil
	}
	tokens, err := openTokens(j.keys, c.Key, fence, sealed)
	if err != nil {
		return Failed, true, fmt.Errorf("%w: %w: spill of fence %d: %w", errUnusable, oauth.ErrNotConfigured, fence, err)
	}
	result, err = r.commit(ctx, j, c, tokens)
	if result == Refreshed {
		r.Log.WarnContext(ctx, "recovered from spill", "provider", c.Provider, "connection_id", c.ConnectionID, "fence", fence)
		for err == nil && sealed != nil { // a recovery that was cut off has spilled again
			r.forget(ctx, c.Key, fence)
			sealed, fence, err = r.Spill.Find(ctx, c.Key, c.StoredFence, fence)
		}
		return Refreshed, true, nil
	}
	return result, true, err
}

// forget deletes a spill that is no longer needed.
func (r *Renewer) forget(ctx context.Context, k connection.Key, fence int64) {
	ctx, cancel := context.WithTimeout(ctx, firstWrite)
	defer cancel()
	if err := r.Spill.Delete(ctx, k, fence); err != nil {
		r.Log.WarnContext(ctx, "spill not deleted, though it is no longer needed", "provider", k.Provider, "connection_id", k.ConnectionID, "fence", fence, "err", err)
	}
}

// What a refused commit means. Both are connection.ErrConflict.
var (
	errSuperseded = fmt.Errorf("%w: connected again or disconnected", connection.ErrConflict)
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
	case now.Status == connection.Disconnected || now.StoredFence >= c.Fence:
		return errSuperseded
	}
	return errOvertaken
}

// firstWrite is how long the store has to take new tokens before they go to
// the spill as well.
const firstWrite = 2 * time.Second

// keep stores new tokens somewhere, whatever fails: in the connection store;
// while that does not take them, in the spill as well; and if neither has them
// when time is up, sealed in the log. It reports the store's error.
func (r *Renewer) keep(ctx context.Context, j job, c connection.Connection, tokens oauth.TokenSet) error {
	first, cancel := context.WithTimeout(ctx, firstWrite)
	err := r.store(first, c)
	cancel()
	if err == nil || errors.Is(err, errSuperseded) {
		return err
	}
	sealed, sealErr := sealTokens(j.keys, c.Key, c.Fence, tokens)
	if sealErr != nil {
		return errors.Join(err, sealErr)
	}
	var settled, spilled atomic.Bool // settled: the tokens are where they belong, or no longer wanted
	var spillErr error
	var spilling sync.WaitGroup
	spilling.Go(func() {
		spillErr = connection.Persist(ctx, j.deadline.Add(-time.Second), r.Random, func(ctx context.Context) error {
			if settled.Load() || r.Spill == nil {
				return nil
			}
			err := r.Spill.Put(ctx, c.Key, c.Fence, sealed)
			spilled.Store(err == nil)
			return err
		})
	})
	err = connection.Persist(ctx, j.deadline.Add(-time.Second), r.Random, func(ctx context.Context) error { return r.store(ctx, c) })
	settled.Store(err == nil || errors.Is(err, errSuperseded))
	spilling.Wait()
	switch {
	case settled.Load() && spilled.Load():
		r.forget(ctx, c.Key, c.Fence)
	case settled.Load():
	case spilled.Load():
		r.Log.ErrorContext(ctx, "new tokens spilled", "provider", c.Provider, "connection_id", c.ConnectionID, "fence", c.Fence, "err", err)
	default:
		r.Log.ErrorContext(ctx, "new tokens only here: give this line to `evergrant rescue`", "provider", c.Provider, "connection_id", c.ConnectionID,
			"fence", c.Fence, "rescue", base64.StdEncoding.EncodeToString(sealed), "err", errors.Join(err, spillErr))
	}
	return err
}
