package connection

import "time"

// forecastTime is how long before the end of a refresh token its end is told.
const forecastTime = 7 * 24 * time.Hour

// Expiring reports whether c will need a person within days: its refresh token
// ends less than a week after the next refresh, which may come too late to tell.
// What has only just been connected is not, so that a provider whose refresh
// tokens live for days is not told of with every new grant.
//
// The change from false to true is what the host is told of, once: each write
// of a connection is compared with the one before it.
func (c Connection) Expiring() bool {
	return !c.RefreshExpiresAt.IsZero() && c.RefreshExpiresAt.Sub(c.Due.At) < forecastTime && c.RefreshedAt.After(c.ConnectedAt)
}
