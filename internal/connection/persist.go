package connection

import (
	"context"
	"errors"
	"time"
)

// patience is how long Persist waits for one write.
const patience = 5 * time.Second

// Persist calls write until it succeeds or is refused by a condition, or until
// deadline. One write has five seconds: what hangs may work the next time. It
// is for tokens that a provider has just answered with: they are
// real, and nobody else holds them, so neither a caller who leaves nor a store
// that stumbles may lose them. random is in [0, 1).
func Persist(ctx context.Context, deadline time.Time, random func() float64, write func(context.Context) error) error {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := attempt(ctx, write)
		if err == nil || errors.Is(err, ErrConflict) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait/2 + time.Duration(random()*float64(wait/2))):
		}
	}
}

func attempt(ctx context.Context, write func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return write(ctx)
}
