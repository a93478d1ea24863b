package refresh

import (
	"context"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// A Table tells whether the connections table is another one than before, and
// holds what must not be refreshed then. Every field is required.
type Table struct {
	// ID returns that of the table. Each table that is made has another one, also
	// under a name that is old. "": it has none.
	ID        func(ctx context.Context) (string, error)
	Hold      func(ctx context.Context, provider string, since time.Time) error
	Providers []string // all that there are
}

// lookTime is how long a sweep waits to be told which table it works on.
const lookTime = 3 * time.Second

// exchanged reports whether the connections table is another one than before, the
// ID that sweeps remember. Its refresh tokens may be those of a backup, used
// since, so that every provider is held then, and this sweep sends nothing.
//
// The caller holds lease. The new ID is remembered once all is held: whoever is
// cut off in between, or fails with the error that is returned, leaves it to the
// next sweep to hold again. What a person releases after that stays released.
func (h *Handler) exchanged(ctx context.Context, lease connection.Sweep, before string) (bool, error) {
	if h.Table == nil {
		return false, nil
	}
	looking, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	now, err := h.Table.ID(looking)
	if err != nil { // that it was exchanged is rare, that tokens expire is not
		h.Log.ErrorContext(ctx, "connections table not looked at, the sweep goes on: another one would not be noticed", "err", err)
		return false, nil
	}
	if now == "" || now == before {
		return false, nil
	}
	lease.Table = now
	if before == "" {
		if _, err := h.Sweeps.TakeSweep(ctx, lease); err != nil {
			h.Log.WarnContext(ctx, "connections table not remembered", "err", err)
		}
		return false, nil
	}
	for _, p := range h.Table.Providers {
		if err := h.Table.Hold(ctx, p, h.Now()); err != nil {
			return true, fmt.Errorf("the connections table is another one than before, hold %s: %w", p, err)
		}
	}
	h.Log.ErrorContext(ctx, "connections table is another one than before: every provider is on hold; "+
		`see "Restore from a backup" in docs/operations.md, then evergrant verify and release`, "table_id", now, "before", before)
	if _, err := h.Sweeps.TakeSweep(ctx, lease); err != nil {
		return true, fmt.Errorf("remember the connections table: %w", err)
	}
	return true, nil
}
