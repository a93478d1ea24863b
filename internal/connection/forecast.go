package connection

import "time"

// forecastTime is how long before the end of a refresh token its end is told.
const forecastTime = 7 * 24 * time.Hour

// Expiring reports whether c will need a person within days: its refresh token
// ends less than a week after the next refresh, which may come too late to tell.
// What has only just been connected is not, so that a provider whose refresh
// tokens live for days is not told of with every new grant.
//
// See StartsExpiring for when it is told.
func (c Connection) Expiring() bool {
	return !c.RefreshExpiresAt.IsZero() && c.RefreshExpiresAt.Sub(c.Due.At) < forecastTime && c.RefreshedAt.After(c.ConnectedAt)
}

// StartsExpiring reports whether c is Expiring and old, what was stored before
// it, was not: this is told. A refresh that moves the end of the refresh token on
// tells nothing, however near that end is: the next one will move it again. The
// time of the next refresh may cross the week, go back and cross it again, so
// what must be told once is named by the end and its grant.
func (c Connection) StartsExpiring(old Connection) bool {
	return c.Expiring() && !old.Expiring() && !c.RefreshExpiresAt.After(old.RefreshExpiresAt)
}

// sameEnd is how far apart two answers may name one end of a refresh token: they
// count the seconds that are left, from when they were heard.
const sameEnd = time.Minute

// endOf returns the end of a refresh token that took the place of one that ended
// at old: old itself, where both name the same.
func endOf(old, now time.Time) time.Time {
	if now.Sub(old).Abs() <= sameEnd {
		return old
	}
	return now
}
