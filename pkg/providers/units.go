package providers

import "time"

// Providers speak of hours, days and years.
const (
	hour = time.Hour
	day  = 24 * hour
)
