package connection

import "time"

// Outcomes counts the refreshes of a provider.
type Outcomes struct {
	Refreshes     int // token requests that the provider answered, whatever it said
	InvalidGrants int // those of them that it refused with invalid_grant
}

// A Breaker is what is remembered of how a provider fares, for all its
// connections. The zero Breaker is that of a provider of which nothing is
// known: closed.
type Breaker struct {
	OpenUntil time.Time // no refresh before; zero once the provider has answered since
	Opened    int       // for how many outages in a row; 0 after an answer
	Reason    string    // why it opened: Outage, RateLimit or Misconfiguration
	HeldSince time.Time // held, whatever the provider answers, until a person releases it; zero: it is not
	InARow    int       // failures in a row that are not opened for at once, in this run: stores do not keep it

	Hour   Window // of an hour: what a small deployment sees of an incident
	Recent Window // of five minutes: what a large one sees before a second strike
}

// A Window counts what happened lately.
type Window struct {
	Number int64    // of the span of time that This counts, in spans of Unix time
	This   Outcomes // in that span
	Last   Outcomes // in the one before
}

// The spans of the windows of a Breaker.
const (
	hour   = time.Hour
	recent = 5 * time.Minute
)

// count adds o to w, whose spans are as long as given.
func (w Window) count(o Outcomes, span time.Duration, now time.Time) Window {
	switch n := now.Unix() / int64(span/time.Second); {
	case n == w.Number+1:
		w = Window{Number: n, Last: w.This}
	case n > w.Number+1:
		w = Window{Number: n}
	}
	w.This.Refreshes += o.Refreshes
	w.This.InvalidGrants += o.InvalidGrants
	return w
}

// massRefusal reports whether many were refused in the last span before now. The
// span before counts by the part of it that is not older.
func (w Window) massRefusal(span time.Duration, now time.Time) bool {
	w = w.count(Outcomes{}, span, now)
	part := 1 - float64(now.Sub(now.Truncate(span)))/float64(span)
	refused := float64(w.This.InvalidGrants) + part*float64(w.Last.InvalidGrants)
	all := float64(w.This.Refreshes) + part*float64(w.Last.Refreshes)
	return refused > massRefusals && refused > massShare*all
}

// Why a breaker opens.
const (
	Outage           = "outage"
	RateLimit        = "rate_limit"
	Misconfiguration = "misconfigured"
)

// Open reports whether no refresh may begin at now.
func (b Breaker) Open(now time.Time) bool { return !b.HeldSince.IsZero() || now.Before(b.OpenUntil) }

// HalfOpen reports whether b was open before now, and the provider has not
// answered since: one refresh at a time finds out how it is.
func (b Breaker) HalfOpen(now time.Time) bool { return !b.OpenUntil.IsZero() && !b.Open(now) }

// A Signal is what the outcome of one refresh tells of the provider.
type Signal int

// The zero Signal is that of a failure of our own, or of one connection.
const (
	NoSignal      Signal = iota
	Answered             // the provider answers, whatever it says
	NoAnswer             // out of reach, silent, torn, 5xx, a page of something in front
	RateLimited          // it answers, and wants no request for a while
	Objected             // it objects to a request, in a way that one user's grant or all may meet
	Misconfigured        // it refuses our client, or we have none
)

// How long a breaker stays open.
const (
	manyInARow       = 5                // failures that open it
	outageFirst      = 30 * time.Second // doubled with each outage in a row
	outageLongest    = 5 * time.Minute
	limitUnknown     = time.Minute // where the provider does not say until when
	limitLongest     = time.Hour
	misconfiguration = 5 * time.Minute // as long as a client's secret is cached
)

// After returns the breaker that follows b when a refresh ended at now with
// signal s, the provider wanting a pause as long as given, 0 if it named none.
// random is in [0, 1): an outage is a quarter shorter at most, so that workers
// do not come back all at once.
//
// While b is open it does not change: these are refreshes that had begun before.
func (b Breaker) After(s Signal, pause time.Duration, now time.Time, random float64) Breaker {
	if s == NoSignal || b.Open(now) {
		return b
	}
	if s == Objected {
		if b.InARow++; b.InARow < manyInARow {
			return b
		}
		s = Misconfigured
	}
	if s == NoAnswer {
		b.InARow++
		if b.InARow < manyInARow && !b.HalfOpen(now) {
			return b
		}
		open := min(outageFirst<<min(b.Opened, 10), outageLongest)
		open -= time.Duration(random * float64(open/4))
		b.InARow, b.Opened, b.Reason = 0, b.Opened+1, Outage
		b.OpenUntil = now.Add(max(open, min(pause, limitLongest)))
		return b
	}
	b.OpenUntil, b.Opened, b.Reason, b.InARow = time.Time{}, 0, "", 0
	switch s {
	case RateLimited:
		if pause <= 0 {
			pause = limitUnknown
		}
		b.OpenUntil, b.Reason = now.Add(min(pause, limitLongest)), RateLimit
	case Misconfigured:
		b.OpenUntil, b.Reason = now.Add(misconfiguration), Misconfiguration
	default:
	}
	return b
}

// Count adds o to what b counts.
func (b Breaker) Count(o Outcomes, now time.Time) Breaker {
	b.Hour, b.Recent = b.Hour.count(o, hour, now), b.Recent.count(o, recent, now)
	return b
}

// Many refusals at once are the provider's fault or ours, not the users': more
// than so many, and more than this share of all refreshes.
const (
	massRefusals = 10
	massShare    = 0.20
)

// MassRefusal reports whether the provider has refused so many grants in the
// hour before now, or in the five minutes, that none of these refusals is to be
// believed. In a large deployment the hour before an incident outweighs its
// first ten minutes, while a second strike takes three.
func (b Breaker) MassRefusal(now time.Time) bool {
	return b.Hour.massRefusal(hour, now) || b.Recent.massRefusal(recent, now)
}

// A Sweep asks for the sweep lease.
type Sweep struct {
	Name  string // the shard that is swept; "": all of them
	ID    string // of who asks
	Now   time.Time
	Until time.Time
	// Shards is the number of shards of the due index from now on. The store
	// remembers each number that was ever given.
	Shards int
	// Table is the ID of the connections table from now on, for the sweep of all
	// shards to remember; "": what is remembered stays.
	Table string
}

// Swept is what sweeps of all shards remember. That of a sweep of one is zero.
type Swept struct {
	Generations []int  // every number of shards that there ever was, ascending
	Table       string // the ID of the connections table; "": none was given
}
