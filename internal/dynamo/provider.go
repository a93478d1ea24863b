package dynamo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/evergrant/evergrant/internal/connection"
)

// providerID returns the ID of the row that says how a provider fares.
func providerID(provider string) string { return "provider#" + provider }

// GetBreaker returns what is known of a provider, the zero Breaker where
// nothing is.
func (s *Store) GetBreaker(ctx context.Context, provider string) (connection.Breaker, error) {
	out, err := s.API.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      &s.StateTable,
		Key:            item{"id": str(providerID(provider))},
		ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return connection.Breaker{}, fmt.Errorf("get the breaker of %s: %w", provider, err)
	}
	return readBreaker(provider, out.Item)
}

// SetBreaker writes the OpenUntil, Opened and Reason of b; the counts stay.
func (s *Store) SetBreaker(ctx context.Context, provider string, b connection.Breaker) error {
	update, values := expression([]attribute{
		{"open_until", at(b.OpenUntil)}, {"opened", number(int64(b.Opened))}, {"reason", text(b.Reason)},
	})
	return s.changeState(ctx, "set the breaker of "+provider, providerID(provider), update, "", values)
}

// CountRefreshes adds o to the counts of a provider in the clock hour of now,
// and returns the breaker as it is then.
//
// Within the hour that is one call. The first of an hour moves the counts of
// the hour before, and the first after an idle hour clears them; both are told
// from others by their conditions alone, so no count is lost to a race.
func (s *Store) CountRefreshes(ctx context.Context, provider string, o connection.Outcomes, now time.Time) (connection.Breaker, error) {
	const begin = " invalid_grants = :invalid_grants, refreshes = :refreshes, counted_hour = :hour"
	hour := connection.Breaker{}.Count(o, now).Hour
	counts := item{":refreshes": number(int64(o.Refreshes)), ":invalid_grants": number(int64(o.InvalidGrants))}
	steps := []struct {
		update, condition string
		values            item
	}{
		{"ADD refreshes :refreshes, invalid_grants :invalid_grants", "counted_hour >= :hour", item{":hour": number(hour)}},
		{
			"SET last_refreshes = refreshes, last_invalid_grants = invalid_grants," + begin, "counted_hour = :before",
			item{":hour": number(hour), ":before": number(hour - 1)},
		},
		{
			"SET last_refreshes = :zero, last_invalid_grants = :zero," + begin,
			"attribute_not_exists(counted_hour) OR counted_hour < :before",
			item{":hour": number(hour), ":before": number(hour - 1), ":zero": number(0)},
		},
	}
	var row item
	var err error
	for range 3 { // hours go up, so the third time the first step applies
		for _, step := range steps {
			for name, v := range counts {
				step.values[name] = v
			}
			row, err = s.updateState(ctx, "count refreshes of "+provider, providerID(provider), step.update, step.condition, step.values)
			if err == nil {
				return readBreaker(provider, row)
			}
			if !errors.Is(err, connection.ErrConflict) {
				return connection.Breaker{}, err
			}
		}
	}
	return connection.Breaker{}, err
}

// readBreaker reads the row of a provider.
func readBreaker(provider string, row item) (connection.Breaker, error) {
	r := newReader(row)
	count := func(name string) int { return int(r.number(name)) }
	b := connection.Breaker{
		OpenUntil: r.at("open_until"),
		Opened:    count("opened"),
		Reason:    r.text("reason"),
		Hour:      r.number("counted_hour"),
		ThisHour:  connection.Outcomes{Refreshes: count("refreshes"), InvalidGrants: count("invalid_grants")},
		LastHour:  connection.Outcomes{Refreshes: count("last_refreshes"), InvalidGrants: count("last_invalid_grants")},
	}
	if *r.err != nil {
		return connection.Breaker{}, fmt.Errorf("read the breaker of %s: %w", provider, *r.err)
	}
	return b, nil
}

// ReserveTime reserves the next free d, in milliseconds, of a provider's time
// and returns its start, which is not before now. It is connection.ErrConflict
// where all of the time before latest is taken.
//
// free_at is the end of what is reserved, and only ever rises.
func (s *Store) ReserveTime(ctx context.Context, provider string, d time.Duration, now, latest time.Time) (time.Time, error) {
	doing, id := "reserve time of "+provider, providerID(provider)
	if now.UnixMilli() >= latest.UnixMilli() {
		return time.Time{}, fmt.Errorf("%s: %w", doing, connection.ErrConflict)
	}
	err := s.changeState(ctx, doing, id, "SET free_at = :end", "attribute_not_exists(free_at) OR free_at <= :now",
		item{":now": number(now.UnixMilli()), ":end": number(now.UnixMilli() + d.Milliseconds())})
	if err == nil {
		return time.UnixMilli(now.UnixMilli()).UTC(), nil
	}
	if !errors.Is(err, connection.ErrConflict) {
		return time.Time{}, err
	}
	row, err := s.updateState(ctx, doing, id, "ADD free_at :d", "free_at < :latest",
		item{":d": number(d.Milliseconds()), ":latest": number(latest.UnixMilli())})
	if err != nil {
		return time.Time{}, err
	}
	r := newReader(row)
	start := r.moment("free_at").Add(-d.Truncate(time.Millisecond))
	if *r.err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", doing, *r.err)
	}
	return start, nil
}
