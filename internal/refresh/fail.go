package refresh

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/pkg/providers"
)

// maxRetryAfter is the longest that a provider may put us off.
const maxRetryAfter = time.Hour

// fail deals with a token request that brought no tokens.
func (r *Renewer) fail(ctx context.Context, j job, c connection.Connection, cause error) (Result, error) {
	if oauth.Unknown(cause) && !c.Issued && spends(j.client.Provider.Rotation) {
		// The lease runs out by itself. Until then nobody sends: the provider
		// may still be at work on this request.
		return Failed, fmt.Errorf("refresh at %s, outcome unknown: %w", c.Provider, cause)
	}
	switch remedy := oauth.RemedyFor(cause); {
	case remedy == oauth.Reconfigure:
		return Failed, r.release(ctx, j, c, fmt.Errorf("%w: %w", errMisconfigured, cause))
	case remedy == oauth.Reauthorize && !c.Issued: // no person could connect an issued one again
		return r.refused(ctx, j, c, cause)
	}
	c.Failure = next(c.Failure, code(cause), detail(cause), r.Now())
	wait := connection.Backoff(c.Failure.Count, r.Random())
	var e *oauth.Error
	if errors.As(cause, &e) {
		wait = max(wait, min(e.RetryAfter, maxRetryAfter))
	}
	return Failed, errors.Join(fmt.Errorf("refresh at %s: %w", c.Provider, cause), r.put(ctx, j, c, wait))
}

// spends reports whether a refresh token that was used may be dead minutes
// later, whether or not anybody heard the answer.
func spends(r providers.Rotation) bool { return r == providers.Strict || r == providers.Grace }

// refused deals with invalid_grant. It is believed only on fresh data, and
// only the second time, minutes later and from another run.
func (r *Renewer) refused(ctx context.Context, j job, c connection.Connection, cause error) (Result, error) {
	now, err := r.Leases.Get(ctx, c.Key)
	if err != nil {
		return Failed, fmt.Errorf("read again after invalid_grant: %w", err)
	}
	if now.Fence != c.Fence {
		return Skipped, nil // somebody moved on: theirs stands
	}
	reason := c.Failure.Reason
	struck, since := reason != "", r.Now().Sub(c.Failure.At)
	if struck && since < strikeAfter {
		return Failed, errors.Join(fmt.Errorf("refresh at %s, refused again too soon to count: %w", c.Provider, cause), r.put(ctx, j, c, strikeAfter))
	}
	if !struck {
		reason = "invalid_grant"
		if j.interrupted {
			reason = "rotation_lost" // an earlier answer never reached us
		}
	}
	c.Failure = next(c.Failure, "invalid_grant", "the provider no longer accepts the refresh token", r.Now())
	c.Failure.Reason = reason
	if !struck {
		return Failed, errors.Join(fmt.Errorf("refresh at %s, first strike: %w", c.Provider, cause), r.put(ctx, j, c, strikeAfter))
	}
	c.Status, c.Due, c.UpdatedAt = connection.ReauthorizationRequired, connection.Due{}, r.Now()
	if err := r.write(ctx, j, c); err != nil {
		return Failed, fmt.Errorf("mark connection: %w", err)
	}
	r.Log.WarnContext(ctx, "reauthorization required", "provider", c.Provider, "connection_id", c.ConnectionID, "reason", reason)
	return Failed, fmt.Errorf("refresh at %s, second strike: %w", c.Provider, cause)
}

// release gives the lease back after something that only an operator can mend.
// The connection is not charged: its failure stays as it was.
func (r *Renewer) release(ctx context.Context, j job, c connection.Connection, cause error) error {
	return errors.Join(
		fmt.Errorf("refresh at %s: %w", c.Provider, cause),
		r.put(ctx, j, c, connection.Backoff(3, r.Random())),
	)
}

// What an operator has to mend.
var (
	errMisconfigured = errors.New("misconfigured")                     // would meet each connection of the provider alike
	errUnusable      = errors.New("this connection cannot be used so") // meets this connection alone
)

// put writes c with the next refresh after wait, and ends the lease.
func (r *Renewer) put(ctx context.Context, j job, c connection.Connection, wait time.Duration) error {
	c.UpdatedAt = r.Now()
	if !c.Due.At.IsZero() {
		c.Due.At = r.Now().Add(wait + time.Duration(r.Random()*float64(wait/2))).Truncate(time.Second)
	}
	if err := r.write(ctx, j, c); err != nil && !errors.Is(err, connection.ErrConflict) {
		return fmt.Errorf("release connection: %w", err)
	}
	return nil
}

// next returns the failure that follows f. A strike is remembered until a
// refresh succeeds.
func next(f connection.Failure, code, detail string, now time.Time) connection.Failure {
	if f.Count == 0 {
		f.Since = now
	}
	f.Count++
	f.Code, f.Detail, f.At = code, detail, now
	return f
}

// code returns the code of a failure: the provider's, or ours.
func code(err error) string {
	var e *oauth.Error
	switch {
	case !errors.As(err, &e):
		return "internal"
	case e.Code != "":
		return e.Code
	case e.NotSent:
		return "unreachable"
	case e.Status == 0:
		return "no_answer"
	}
	return fmt.Sprintf("http_%d", e.Status)
}

// detail returns what an operator reads of a failure, in our words.
func detail(err error) string {
	var e *oauth.Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return "an error of ours: see the log"
}
