package refresh

import (
	"errors"
	"net/http"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

// signal returns what the outcome of a refresh tells of its provider, and for
// how long the provider wants no further request. What fails on our side, such
// as the store, tells nothing.
func signal(report Report, err error) (connection.Signal, time.Duration) {
	pause := report.Pause
	var e *oauth.Error
	wire := errors.As(err, &e)
	if wire {
		pause = max(pause, e.RetryAfter)
	}
	switch {
	case errors.Is(err, errUnusable), errors.Is(err, ErrNoTime):
		return connection.NoSignal, 0
	case wire && (e.Code == "invalid_scope" || e.Code == "invalid_request"):
		return connection.Objected, 0
	case errors.Is(err, errMisconfigured), errors.Is(err, oauth.ErrNotConfigured):
		return connection.Misconfigured, 0
	case wire && e.Status == http.StatusTooManyRequests:
		return connection.RateLimited, pause
	case wire && (e.NotSent || oauth.Unknown(e) || e.Foreign):
		return connection.NoAnswer, pause
	case pause > 0:
		return connection.RateLimited, pause
	case wire, err == nil && report.Result == Refreshed:
		return connection.Answered, 0
	}
	return connection.NoSignal, 0
}

// answered reports whether a refresh is to be counted as one that the provider
// answered. The Renewer counts those that it refused with invalid_grant itself.
func answered(s connection.Signal, err error) bool {
	var e *oauth.Error
	refused := errors.As(err, &e) && oauth.RemedyFor(err) == oauth.Reauthorize
	switch s {
	case connection.Answered, connection.RateLimited, connection.Objected:
		return !refused
	case connection.Misconfigured:
		return e != nil
	default:
		return false
	}
}
