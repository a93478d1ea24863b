package connection

import (
	"hash/fnv"
	"strconv"
	"time"
)

// A Life is what the schedule knows of a grant.
type Life struct {
	IssuedAt         time.Time
	ExpiresAt        time.Time // zero: the provider names no expiry
	RefreshExpiresAt time.Time // zero: not known
	Margin           time.Duration
	Idle             time.Duration // the refresh token dies when unused for so long; 0: never
	Lazy             bool
}

// unknownLife is how long a token without any expiry is taken to live.
const unknownLife = 24 * time.Hour

// DueAt returns when to refresh: the expiry, less a margin, less a spread that
// comes from the key, so that connections made together fall due apart, yet
// always at the same moment. The margin is l.Margin or a tenth of the life, at
// least five minutes, at most a day; a token that lives too short for that is
// refreshed past half of its life. A token that ends no later than it was
// issued tells nothing, as one without an expiry.
//
// A refresh token is used before it ends, and one that dies when idle at half
// of that time. A lazy grant is due only for these two.
func DueAt(k Key, l Life) time.Time {
	var due time.Time
	if !l.Lazy {
		due = accessDue(k, l)
	}
	if left := l.RefreshExpiresAt.Sub(l.IssuedAt); left > 0 {
		due = earlier(due, l.RefreshExpiresAt.Add(-left/10-spread(k, left/20)))
	}
	if l.Idle > 0 {
		due = earlier(due, l.IssuedAt.Add(l.Idle/2-spread(k, l.Idle/20)))
	}
	return due.Truncate(time.Second)
}

// accessDue returns when the access token is to be replaced.
func accessDue(k Key, l Life) time.Time {
	expires := l.ExpiresAt
	if !expires.After(l.IssuedAt) {
		expires = l.IssuedAt.Add(unknownLife)
	}
	life := expires.Sub(l.IssuedAt)
	margin := l.Margin
	if margin == 0 {
		margin = min(max(life/10, 5*time.Minute), 24*time.Hour)
	}
	margin = min(margin, life/3)
	return expires.Add(-margin - spread(k, margin/2))
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// spread returns a duration of at most limit that depends on k alone.
func spread(k Key, limit time.Duration) time.Duration {
	return time.Duration(float64(limit) * float64(hash(k)%1000) / 1000)
}

// Shard returns the key of the shard of the due index that k waits in, where
// there are n. It names both numbers, as in 4.3 for the last of four, so that n
// can change while connections wait: they move when they are next written.
func Shard(k Key, n int) string {
	return ShardKey(n, int(hash(k)>>10)%max(n, 1))
}

// ShardKey returns the key of shard i of n, counted from 0.
func ShardKey(n, i int) string {
	return strconv.Itoa(max(n, 1)) + "." + strconv.Itoa(i)
}

func hash(k Key) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(k.ConnectionID + "\x00" + k.Provider))
	return h.Sum32()
}

// Backoff returns how long to wait after the count-th failure in a row: ten
// seconds, and full jitter over an exponential that starts at a minute and is
// capped at an hour. random is in [0, 1).
func Backoff(count int, random float64) time.Duration {
	limit := time.Hour
	if count < 7 {
		limit = time.Minute << max(count-1, 0)
	}
	return 10*time.Second + time.Duration(random*float64(min(limit, time.Hour)))
}
