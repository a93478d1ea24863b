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

// SetBreaker writes the OpenUntil, Opened and Reason of b; the rest stays.
func (s *Store) SetBreaker(ctx context.Context, provider string, b connection.Breaker) error {
	update, values := expression([]attribute{
		{"open_until", at(b.OpenUntil)}, {"opened", number(int64(b.Opened))}, {"reason", text(b.Reason)},
	})
	return s.changeState(ctx, "set the breaker of "+provider, providerID(provider), update, "", values)
}

// Hold writes since when a person holds a provider, zero to release it.
func (s *Store) Hold(ctx context.Context, provider string, since time.Time) error {
	update, values := expression([]attribute{{"held_since", at(since)}})
	return s.changeState(ctx, "hold "+provider, providerID(provider), update, "", values)
}

// countTries is how often a count is tried against others that begin a span.
const countTries = 5

// CountRefreshes adds o to the counts of a provider and returns the breaker as
// it is then.
//
// Within the spans that are counted that is one call. The first count of a new
// span reads the row and writes it on condition that it is as it was read, so no
// count is lost to a race.
func (s *Store) CountRefreshes(ctx context.Context, provider string, o connection.Outcomes, now time.Time) (connection.Breaker, error) {
	doing, id := "count refreshes of "+provider, providerID(provider)
	spans := connection.Breaker{}.Count(o, now)
	for tries := 1; ; tries++ {
		row, err := s.updateState(ctx, doing, id,
			"ADD hour_refreshes :refreshes, hour_invalid_grants :refused, recent_refreshes :refreshes, recent_invalid_grants :refused",
			"recent_number >= :recent", // and so the hour, which it is a part of
			item{
				":refreshes": number(int64(o.Refreshes)), ":refused": number(int64(o.InvalidGrants)),
				":recent": number(spans.Recent.Number),
			})
		if errors.Is(err, connection.ErrConflict) {
			row, err = s.beginSpan(ctx, doing, provider, o, now)
		}
		switch {
		case err == nil:
			return readBreaker(provider, row)
		case !errors.Is(err, connection.ErrConflict) || tries == countTries:
			return connection.Breaker{}, err
		}
	}
}

// beginSpan counts o in a span that nothing was counted in before. It is
// connection.ErrConflict where somebody has counted meanwhile.
func (s *Store) beginSpan(ctx context.Context, doing, provider string, o connection.Outcomes, now time.Time) (item, error) {
	old, err := s.GetBreaker(ctx, provider)
	if err != nil {
		return nil, err
	}
	counted := old.Count(o, now)
	update, values := expression(append(window("hour", counted.Hour), window("recent", counted.Recent)...))
	condition := "attribute_not_exists(recent_number)"
	if old.Recent.Number != 0 {
		condition = "recent_number = :read AND recent_refreshes = :read_refreshes" // each refusal is a refresh
		values[":read"] = number(old.Recent.Number)
		values[":read_refreshes"] = number(int64(old.Recent.This.Refreshes))
	}
	return s.updateState(ctx, doing, providerID(provider), update, condition, values)
}

// window returns the attributes of a window.
func window(name string, w connection.Window) []attribute {
	return []attribute{
		{name + "_number", number(w.Number)},
		{name + "_refreshes", number(int64(w.This.Refreshes))},
		{name + "_invalid_grants", number(int64(w.This.InvalidGrants))},
		{name + "_last_refreshes", number(int64(w.Last.Refreshes))},
		{name + "_last_invalid_grants", number(int64(w.Last.InvalidGrants))},
	}
}

// readBreaker reads the row of a provider.
func readBreaker(provider string, row item) (connection.Breaker, error) {
	r := newReader(row)
	outcomes := func(name string) connection.Outcomes {
		return connection.Outcomes{Refreshes: int(r.number(name + "_refreshes")), InvalidGrants: int(r.number(name + "_invalid_grants"))}
	}
	window := func(name string) connection.Window {
		return connection.Window{Number: r.number(name + "_number"), This: outcomes(name), Last: outcomes(name + "_last")}
	}
	b := connection.Breaker{
		OpenUntil: r.at("open_until"), Opened: int(r.number("opened")), Reason: r.text("reason"), HeldSince: r.at("held_since"),
		Hour: window("hour"), Recent: window("recent"),
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
