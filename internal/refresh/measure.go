package refresh

import (
	"errors"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/metrics"
)

// attempt returns what is counted of an attempt for c, the connection as it was
// claimed.
func (e ending) attempt(j job, c connection.Connection) metrics.Attempt {
	a := metrics.Attempt{Outcome: e.outcome.counted()}
	switch e.outcome {
	case outcomeMarked:
		a.Also = []metrics.Metric{metrics.NeedsPerson}
		if e.reason == "rotation_lost" {
			a.Also = append(a.Also, metrics.RotationLost)
		}
	case outcomeSpilled:
		a.Also = []metrics.Metric{metrics.Spilled}
	case outcomeLogged:
		a.Also = []metrics.Metric{metrics.TokensOnlyInLog}
	case outcomeMisconfigured:
		a.Also = []metrics.Metric{metrics.Misconfigured}
	case outcomeMassRefusal:
		a.Also = []metrics.Metric{metrics.MassRefusal}
	case outcomeUnusable:
		left := e.left(j)
		if errors.Is(e.err, errFormerRefused) || left && news(c, j.claim.Now) {
			a.Also = []metrics.Metric{metrics.Misconfigured}
		}
		if left {
			return a
		}
	default:
	}
	issued := c.ConnectedAt
	if c.RefreshedAt.After(issued) {
		issued = c.RefreshedAt
	}
	if !j.client.Lazy && c.ExpiresAt.Sub(issued) >= longEnough {
		a.Began, a.Expires = j.claim.Now, c.ExpiresAt
	}
	return a
}

// left reports whether the attempt of j found that no secret names the client of
// its grant: a move to another client has left the connection behind. As a rule
// that is meant, and lasts, so it must not be told for ever.
func (e ending) left(j job) bool { return j.foreign != nil && errors.Is(e.err, j.foreign) }

// news reports whether it is news that c was left behind: it is the first attempt
// since its tokens were stored, or its access token has not ended a week ago. A
// client ID that was mistyped looks the same, and is to be heard.
func news(c connection.Connection, now time.Time) bool {
	return c.UpdatedAt.Equal(c.RefreshedAt) || now.Before(c.ExpiresAt.Add(week))
}

const week = 7 * 24 * time.Hour

// longEnough is the life of an access token from which on it is news that little
// of it was left: of a shorter one there always is, since a sweep comes each
// minute and the margin is a third of the life. A lazy client's tokens run out on
// purpose.
const longEnough = 10 * time.Minute

// counted returns the outcome under which o is counted.
func (o outcome) counted() metrics.Outcome {
	switch o {
	case outcomeRefreshed, outcomeRecovered:
		return metrics.Refreshed
	case outcomeNotSent, outcomeFailed:
		return metrics.Failed
	case outcomeUnknown:
		return metrics.Unknown
	case outcomeRefused, outcomeMassRefusal:
		return metrics.Refused
	case outcomeMarked:
		return metrics.Marked
	case outcomeMisconfigured:
		return metrics.Misconfigures
	default: // superseded, spilled, logged, unusable: a line in the log tells of each
		return metrics.Other
	}
}

// measure adds how the provider fared to the metrics of the run. What was spared
// while it is out of reach, or refuses our client, counts as failed; what a
// person holds does not.
func (l *lane) measure() {
	l.mu.Lock()
	defer l.mu.Unlock()
	failed := l.failedNow
	down := l.breaker.HeldSince.IsZero() && !l.breaker.OpenUntil.IsZero() && l.breaker.Reason != connection.RateLimit
	if down && !l.late {
		failed += max(l.due-l.refreshed-l.failedNow-l.skipped, 0)
	}
	if down && l.breaker.Reason == connection.Misconfiguration {
		l.metrics.Add(metrics.Misconfigured, 1)
	}
	l.metrics.Share(l.provider, failed, failed+l.refreshed)
}
