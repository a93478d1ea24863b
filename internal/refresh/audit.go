package refresh

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/metrics"
	"github.com/evergrant/evergrant/internal/oauth"
)

// An outcome is how an attempt has ended, as its line in the log names it.
type outcome string

// The outcomes. docs/operations.md says what to do about each.
const (
	outcomeRefreshed     outcome = "refreshed"     // new tokens are stored
	outcomeRecovered     outcome = "recovered"     // those of an earlier attempt are stored, from the spill
	outcomeSuperseded    outcome = "superseded"    // somebody has connected again or disconnected: theirs stands
	outcomeSpilled       outcome = "spilled"       // new tokens are in the spill alone
	outcomeLogged        outcome = "logged"        // new tokens are in the log alone
	outcomeNotSent       outcome = "not_sent"      // the provider was not reached
	outcomeUnknown       outcome = "unknown"       // it is not known whether the provider has carried the request out
	outcomeFailed        outcome = "failed"        // something else: the provider's, or ours
	outcomeRefused       outcome = "refused"       // invalid_grant, which is not believed yet
	outcomeMarked        outcome = "marked"        // invalid_grant, believed: a person must connect again
	outcomeMassRefusal   outcome = "mass_refusal"  // invalid_grant, like so many others that it is not believed
	outcomeMisconfigured outcome = "misconfigured" // would meet each connection of the provider alike
	outcomeUnusable      outcome = "unusable"      // meets this connection alone
)

// result is what the run counts an outcome as.
func (o outcome) result() Result {
	switch o {
	case outcomeRefreshed, outcomeRecovered:
		return Refreshed
	case outcomeSuperseded:
		return Skipped
	default:
		return Failed
	}
}

// level is that of an outcome's line: error where somebody must do something,
// or tokens are at risk; nothing by default where all went well.
func (o outcome) level() slog.Level {
	switch o {
	case outcomeRefreshed:
		return slog.LevelDebug
	case outcomeSpilled, outcomeLogged, outcomeMassRefusal, outcomeMisconfigured, outcomeUnusable:
		return slog.LevelError
	default:
		return slog.LevelWarn
	}
}

// An ending is how an attempt has ended, and why.
type ending struct {
	outcome outcome
	reason  string // with marked: invalid_grant or rotation_lost
	pause   time.Duration
	err     error
}

// report returns the report of an attempt for c, the connection as it was
// claimed. What a move to another client has left behind is no failure of a run.
func (e ending) report(j job, c connection.Connection) Report {
	result := e.outcome.result()
	if e.left(j) {
		result = Skipped
	}
	return Report{Result: result, Pause: e.pause, Attempt: e.attempt(j, c)}
}

// audit writes the one line of an attempt.
func (r *Renewer) audit(ctx context.Context, c connection.Connection, e ending) {
	attrs := []slog.Attr{
		slog.String("provider", c.Provider), slog.String("connection_id", c.ConnectionID),
		slog.String("outcome", string(e.outcome)), slog.Int64("fence", c.Fence),
	}
	if e.reason != "" {
		attrs = append(attrs, slog.String("reason", e.reason))
	}
	if e.err != nil {
		attrs = append(attrs, slog.String("code", code(e.err)), slog.Any("err", e.err))
	}
	r.Log.LogAttrs(ctx, e.outcome.level(), "refresh", attrs...)
}

// notBegun reports a refresh for which nothing was claimed, as far as is known.
// A run that ends is no news.
func (r *Renewer) notBegun(ctx context.Context, k connection.Key, err error) (Report, error) {
	level, attempt := slog.LevelWarn, metrics.Attempt{Outcome: metrics.Failed}
	switch {
	case errors.Is(err, ErrNoTime):
		level, attempt = slog.LevelDebug, metrics.Attempt{}
	case errors.Is(err, oauth.ErrNotConfigured):
		attempt = metrics.Attempt{Outcome: metrics.Misconfigures, Also: []metrics.Metric{metrics.Misconfigured}}
	}
	r.Log.Log(ctx, level, "refresh not begun", "provider", k.Provider, "connection_id", k.ConnectionID, "err", err)
	return Report{Result: Failed, Attempt: attempt}, err
}
