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
	OpenUntil seconds  `json:"open_until,omitempty"`
	Opened    int      `json:"opened,omitempty"`
	Reason    string   `json:"reason,omitempty"`
	Hour      int64    `json:"hour,omitempty"`
	ThisHour  outcomes `json:"this_hour,omitzero"`
	LastHour  outcomes `json:"last_hour,omitzero"`
}

type outcomes struct {
	Refreshes     int `json:"refreshes,omitempty"`
	InvalidGrants int `json:"invalid_grants,omitempty"`
}

func (b breaker) breaker() connection.Breaker {
	return connection.Breaker{
		OpenUntil: b.OpenUntil.time(), Opened: b.Opened, Reason: b.Reason,
		Hour: b.Hour, ThisHour: connection.Outcomes(b.ThisHour), LastHour: connection.Outcomes(b.LastHour),
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

// SetBreaker writes the OpenUntil, Opened and Reason of b; the counts stay.
func (s *Store) SetBreaker(ctx context.Context, provider string, b connection.Breaker) error {
	return s.changeState(ctx, "set the breaker of "+provider, providerID(provider), func(row *stateRow) error {
		row.Breaker.OpenUntil, row.Breaker.Opened, row.Breaker.Reason = secondsOf(b.OpenUntil), b.Opened, b.Reason
		return nil
	})
}

// CountRefreshes adds o to the counts of a provider in the clock hour of now,
// and returns the breaker as it is then.
func (s *Store) CountRefreshes(ctx context.Context, provider string, o connection.Outcomes, now time.Time) (b connection.Breaker, err error) {
	err = s.changeState(ctx, "count refreshes of "+provider, providerID(provider), func(row *stateRow) error {
		b = row.Breaker.breaker().Count(o, now)
		row.Breaker.Hour, row.Breaker.ThisHour, row.Breaker.LastHour = b.Hour, outcomes(b.ThisHour), outcomes(b.LastHour)
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
