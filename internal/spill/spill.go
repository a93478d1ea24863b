// Package spill keeps new tokens somewhere, whatever fails: in the connection
// store; while that does not take them, sealed, in a second store as well; and
// if neither has them when time is up, sealed in the log. Refreshed tokens and
// new grants are kept alike.
//
// What is in the second store comes back by package refresh: by the next claim
// of the connection, or by the sweep's search. What is in the log comes back by
// `evergrant rescue`. This package never reads a spill, but for its form.
package spill

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// Store is the second store. Putting the same twice is no error, nor is
// deleting what is not there.
type Store interface {
	Put(ctx context.Context, at connection.SpillKey, sealed []byte) error
	Delete(ctx context.Context, at connection.SpillKey) error
}

// A Keeper keeps new tokens. Every field but Store is required.
type Keeper struct {
	Store  Store          // nil: there is none, as in local mode
	Random func() float64 // in [0, 1): jitter
	Log    *slog.Logger
}

// A Place is where new tokens are.
type Place int

// The places, the best first.
const (
	Stored  Place = iota // where they belong; or they are no longer wanted
	Spilled              // in the second store alone
	Logged               // in the log alone
	Lost                 // nowhere: they could not even be sealed
)

// ErrUnwanted is the answer of a write that nobody wants any more.
var ErrUnwanted = errors.New("tokens no longer wanted")

// firstWrite is how long the connection store has before new tokens go to the
// second store as well, and how long a spill may take to be deleted.
const firstWrite = 2 * time.Second

// Keep calls write, the write of new tokens to the connection store, until it
// succeeds or until the given time. From the first failure on, what seal
// returns goes to the second store in parallel. The error is write's.
func (k Keeper) Keep(ctx context.Context, until time.Time, at connection.SpillKey, write func(context.Context) error, seal func() ([]byte, error)) (Place, error) {
	first, cancel := context.WithTimeout(ctx, firstWrite)
	err := write(first)
	cancel()
	if settled(err) {
		return Stored, err
	}
	sealed, sealErr := seal()
	if sealErr != nil {
		return Lost, errors.Join(err, sealErr)
	}
	var done, spilled atomic.Bool
	var spillErr error
	var spilling sync.WaitGroup
	spilling.Go(func() {
		spillErr = connection.Persist(ctx, until, k.Random, func(ctx context.Context) error {
			if done.Load() || k.Store == nil {
				return nil
			}
			err := k.Store.Put(ctx, at, sealed)
			spilled.Store(err == nil)
			return err
		})
	})
	err = connection.Persist(ctx, until, k.Random, write)
	done.Store(settled(err))
	spilling.Wait()
	switch {
	case done.Load():
		if spilled.Load() {
			k.Forget(ctx, at)
		}
		return Stored, err
	case spilled.Load():
		return Spilled, err
	}
	k.Log.LogAttrs(ctx, slog.LevelError, "new tokens only here: give this line to `evergrant rescue`",
		attrs(at, slog.String("rescue", base64.StdEncoding.EncodeToString(sealed)), slog.Any("err", errors.Join(err, spillErr)))...)
	return Logged, err
}

// settled reports whether a write that ended with err needs no further try.
func settled(err error) bool { return err == nil || errors.Is(err, ErrUnwanted) }

// Forget deletes a spill that is no longer needed.
func (k Keeper) Forget(ctx context.Context, at connection.SpillKey) {
	ctx, cancel := context.WithTimeout(ctx, firstWrite)
	defer cancel()
	if err := k.Store.Delete(ctx, at); err != nil {
		k.Log.LogAttrs(ctx, slog.LevelWarn, "spill not deleted, though it is no longer needed", attrs(at, slog.Any("err", err))...)
	}
}

// attrs names the tokens of a key in the log.
func attrs(at connection.SpillKey, more ...slog.Attr) []slog.Attr {
	of := slog.Int64("fence", at.Fence)
	if at.Grant != 0 {
		of = slog.Int64("grant", at.Grant)
	}
	return append([]slog.Attr{slog.String("provider", at.Provider), slog.String("connection_id", at.ConnectionID), of}, more...)
}
