package connection

import "time"

// Outcomes counts the refreshes of a provider.
type Outcomes struct {
	Refreshes     int // token requests that the provider answered, whatever it said
	InvalidGrants int // those that it refused with invalid_grant
}

// A Breaker is what is remembered of how a provider fares, for all its
// connections. The zero Breaker is that of a provider of which nothing is
// known: closed.
type Breaker struct {
	OpenUntil time.Time // no refresh before
	Opened    int       // how often in a row it opened; 0 after a success
	Reason    string    // why it opened: outage, rate_limit or misconfigured

	Hour     int64 // the clock hour that ThisHour counts, in hours of Unix time
	ThisHour Outcomes
	LastHour Outcomes // of the hour before Hour
}

// Open reports whether no refresh may begin at now.
func (b Breaker) Open(now time.Time) bool { return now.Before(b.OpenUntil) }

// Count adds o to what b counts, in the clock hour of now.
func (b Breaker) Count(o Outcomes, now time.Time) Breaker {
	switch hour := hourOf(now); {
	case hour == b.Hour+1:
		b.Hour, b.LastHour, b.ThisHour = hour, b.ThisHour, Outcomes{}
	case hour > b.Hour+1:
		b.Hour, b.LastHour, b.ThisHour = hour, Outcomes{}, Outcomes{}
	}
	b.ThisHour.Refreshes += o.Refreshes
	b.ThisHour.InvalidGrants += o.InvalidGrants
	return b
}

// Many refusals at once are the provider's fault or ours, not the users': more
// than so many, and more than this share of all refreshes.
const (
	massRefusals = 10
	massShare    = 0.20
)

// MassRefusal reports whether the provider has refused so many grants in the
// hour before now that none of these refusals is to be believed. The hour
// before the clock hour counts by the part of it that is less than an hour ago.
func (b Breaker) MassRefusal(now time.Time) bool {
	b = b.Count(Outcomes{}, now)
	part := 1 - now.Sub(now.Truncate(time.Hour)).Hours()
	refused := float64(b.ThisHour.InvalidGrants) + part*float64(b.LastHour.InvalidGrants)
	all := float64(b.ThisHour.Refreshes) + part*float64(b.LastHour.Refreshes)
	return refused > massRefusals && refused > massShare*all
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

// A Sweep asks for the sweep lease.
type Sweep struct {
	Name  string // the shard that is swept; "": all of them
	ID    string // of who asks
	Now   time.Time
	Until time.Time
	// Shards is the number of shards of the due index from now on. The store
	// remembers each number that was ever given.
	Shards int
}
