package bolt

import (
	"context"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/evergrant/evergrant/internal/connection"
)

// A breaker is a connection.Breaker as it stands in the file.
type breaker struct {
	OpenUntil seconds `json:"open_until,omitempty"`
	Opened    int     `json:"opened,omitempty"`
	Reason    string  `json:"reason,omitempty"`
	HeldSince seconds `json:"held_since,omitempty"`
	Hour      window  `json:"hour,omitzero"`
	Recent    window  `json:"recent,omitzero"`
}

type window struct {
	Number int64    `json:"number,omitempty"`
	This   outcomes `json:"this,omitzero"`
	Last   outcomes `json:"last,omitzero"`
}

func (w window) window() connection.Window {
	return connection.Window{Number: w.Number, This: connection.Outcomes(w.This), Last: connection.Outcomes(w.Last)}
}

func windowOf(w connection.Window) window {
	return window{w.Number, outcomes(w.This), outcomes(w.Last)}
}

type outcomes struct {
	Refreshes     int `json:"refreshes,omitempty"`
	InvalidGrants int `json:"invalid_grants,omitempty"`
}

func (b breaker) breaker() connection.Breaker {
	return connection.Breaker{
		OpenUntil: b.OpenUntil.time(), Opened: b.Opened, Reason: b.Reason, HeldSince: b.HeldSince.time(),
		Hour: b.Hour.window(), Recent: b.Recent.window(),
	}
}

// providerID returns the ID of the row that says how a provider fares.
func providerID(provider string) string { return "provider#" + provider }

// GetBreaker returns what is known of a provider, the zero Breaker where
// nothing is.
func (s *Store) GetBreaker(ctx context.Context, provider string) (b connection.Breaker, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		row, err := loadState(tx, providerID(provider))
		b = row.Breaker.breaker()
		return err
	})
	if err != nil {
		return connection.Breaker{}, fmt.Errorf("get the breaker of %s: %w", provider, err)
	}
	return b, nil
}

// SetBreaker writes the OpenUntil, Opened and Reason of b; the rest stays.
func (s *Store) SetBreaker(ctx context.Context, provider string, b connection.Breaker) error {
	return s.changeState(ctx, "set the breaker of "+provider, providerID(provider), func(row *stateRow) error {
		row.Breaker.OpenUntil, row.Breaker.Opened, row.Breaker.Reason = secondsOf(b.OpenUntil), b.Opened, b.Reason
		return nil
	})
}

// Hold writes since when a person holds a provider, zero to release it.
func (s *Store) Hold(ctx context.Context, provider string, since time.Time) error {
	return s.changeState(ctx, "hold "+provider, providerID(provider), func(row *stateRow) error {
		row.Breaker.HeldSince = secondsOf(since)
		return nil
	})
}

// CountRefreshes adds o to the counts of a provider, and returns the breaker as it is then.
func (s *Store) CountRefreshes(ctx context.Context, provider string, o connection.Outcomes, now time.Time) (b connection.Breaker, err error) {
	err = s.changeState(ctx, "count refreshes of "+provider, providerID(provider), func(row *stateRow) error {
		b = row.Breaker.breaker().Count(o, now)
		row.Breaker.Hour, row.Breaker.Recent = windowOf(b.Hour), windowOf(b.Recent)
		return nil
	})
	if err != nil {
		return connection.Breaker{}, err
	}
	return b, nil
}

// ReserveTime reserves the next free d, in milliseconds, of a provider's time
// and returns its start, which is not before now. It is connection.ErrConflict
// where all of the time before latest is taken.
func (s *Store) ReserveTime(ctx context.Context, provider string, d time.Duration, now, latest time.Time) (start time.Time, err error) {
	err = s.changeState(ctx, "reserve time of "+provider, providerID(provider), func(row *stateRow) error {
		free := max(row.FreeAt, now.UnixMilli())
		if free >= latest.UnixMilli() {
			return connection.ErrConflict
		}
		start, row.FreeAt = time.UnixMilli(free).UTC(), free+d.Milliseconds()
		return nil
	})
	if err != nil {
		return time.Time{}, err
	}
	return start, nil
}
