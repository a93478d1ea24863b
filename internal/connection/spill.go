package connection

import "time"

// A SpillKey names tokens that wait outside of the connections table, since it
// did not take them: those that a refresh brought, by the fence of its claim, or
// those of a new grant, by when it was given. One of Fence and Grant is set.
type SpillKey struct {
	Key
	Fence int64
	Grant int64 // nanoseconds of Unix time
}

// A SpillEntry is one of a list of spills.
type SpillEntry struct {
	SpillKey
	Sealed []byte
	Err    error // why it cannot be read; the rest is not set then
}

// ReplacedSince reports whether somebody has connected c again, or disconnected
// it, since a grant was given.
func (c Connection) ReplacedSince(given time.Time) bool {
	given = given.Truncate(time.Second) // as rows keep times
	if c.Status == Disconnected && !c.UpdatedAt.Before(given) {
		return true
	}
	return c.ConnectedAt.After(given)
}

// IsOf reports whether c was made by the grant that was given at a time, to an
// authorization request or to none. Its tokens may be newer.
func (c Connection) IsOf(given time.Time, requestID string) bool {
	return c.ConnectedAt.Equal(given.Truncate(time.Second)) && c.RequestID == requestID
}
