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

// StartsExpiring reports whether c is the first to be Expiring after old, what
// was stored before it: this is told, once. A refresh that moves the end of the
// refresh token on by more than a minute tells nothing, however near that end
// is: the next one will move it again.
func (c Connection) StartsExpiring(old Connection) bool {
	return c.Expiring() && !old.Expiring() && c.RefreshExpiresAt.Sub(old.RefreshExpiresAt) <= time.Minute
}
