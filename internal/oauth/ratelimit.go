package oauth

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter is the longest that a provider is believed to want: whoever
// asks for more has made a mistake that must not cost a grant.
const maxRetryAfter = 24 * time.Hour

// unknownReset is how long to wait where no request is left and the answer does
// not say until when.
const unknownReset = time.Minute

// exhausted returns how long the provider wants no further request, since the
// answer with this header has used up the last one; 0 where some are left, or
// nothing is said. The names are GitHub's, which most follow
// (docs.github.com, rate limits for the REST API, 2026-11-23), and those of
// draft-ietf-httpapi-ratelimit-headers-07.
func exhausted(h http.Header, now time.Time) time.Duration {
	if !isZero(h.Get("X-RateLimit-Remaining")) && !isZero(h.Get("RateLimit-Remaining")) {
		return 0
	}
	var wait time.Duration
	said := false
	for _, name := range []string{"X-RateLimit-Reset", "RateLimit-Reset"} {
		if d, ok := reset(h.Get(name), now); ok {
			wait, said = max(wait, d), true
		}
	}
	if after := retryAfter(h.Get("Retry-After"), now); after > 0 {
		wait, said = max(wait, after), true
	}
	if !said {
		return unknownReset
	}
	return wait
}

func isZero(header string) bool {
	n, err := strconv.Atoi(strings.TrimSpace(header))
	return err == nil && n == 0
}

// reset reads when a rate limit is renewed: in seconds from now, or, where the
// number is too large for that, in Unix seconds.
func reset(header string, now time.Time) (time.Duration, bool) {
	s, err := strconv.ParseFloat(strings.TrimSpace(header), 64)
	if err != nil || math.IsNaN(s) || s < 0 {
		return 0, false
	}
	if s >= 1e9 { // the autumn of 2001, or three decades from now
		s = max(s-float64(now.Unix()), 0)
	}
	return time.Duration(min(s, maxRetryAfter.Seconds()) * float64(time.Second)), true
}

// retryAfter reads a Retry-After header, in seconds or as a date (RFC 9110
// section 10.2.3); 0 where it says nothing usable, a day where it asks for more.
func retryAfter(header string, now time.Time) time.Duration {
	header = strings.TrimSpace(header)
	s, err := strconv.Atoi(header)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(s, 0), int(maxRetryAfter/time.Second))) * time.Second
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
