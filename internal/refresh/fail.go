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
func (r *Renewer) fail(ctx context.Context, j job, c connection.Connection, cause error) ending {
	e := ending{outcome: outcomeFailed, err: fmt.Errorf("refresh at %s: %w", c.Provider, cause), pause: pauseOf(cause)}
	unknown := oauth.Unknown(cause)
	switch remedy := oauth.RemedyFor(cause); {
	case unknown && !c.Issued && spends(j.client.Provider.Rotation):
		return r.leave(ctx, c, e)
	case remedy == oauth.Reconfigure && j.former:
		return r.formerRefused(ctx, j, c, cause)
	case remedy == oauth.Reconfigure:
		e.outcome, e.err = outcomeMisconfigured, fmt.Errorf("refresh at %s: %w: %w", c.Provider, errMisconfigured, cause)
		return r.release(ctx, j, c, e)
	case remedy == oauth.Reauthorize:
		return r.refused(ctx, j, c, e)
	case unknown:
		e.outcome = outcomeUnknown
	case code(cause) == codeNotSent:
		e.outcome = outcomeNotSent
	}
	return r.back(ctx, j, c, e)
}

// pauseOf returns how long the provider wants no request, 0 if it said nothing.
func pauseOf(cause error) time.Duration {
	var e *oauth.Error
	if !errors.As(cause, &e) {
		return 0
	}
	return min(e.RetryAfter, maxRetryAfter)
}

// spends reports whether a refresh token that was used may be dead minutes
// later, whether or not anybody heard the answer.
func spends(r providers.Rotation) bool { return r == providers.Strict || r == providers.Grace }

// back gives the lease back after a failure that is charged, and backs off.
func (r *Renewer) back(ctx context.Context, j job, c connection.Connection, e ending) ending {
	c.Failure = next(c.Failure, code(e.err), detail(e.err), r.Now())
	e.err = errors.Join(e.err, r.put(ctx, j, c, r.wait(c, e)))
	return e
}

// wait returns how long c waits after its last failure.
func (r *Renewer) wait(c connection.Connection, e ending) time.Duration {
	return max(connection.Backoff(c.Failure.Count, r.Random()), e.pause)
}

// leave lets the lease run out after an unknown outcome: until then nobody
// sends, since the provider may still be at work on this request. The row shows
// the failure and backs off, as far as that can be written at once.
func (r *Renewer) leave(ctx context.Context, c connection.Connection, e ending) ending {
	before := c
	e.outcome, e.err = outcomeUnknown, fmt.Errorf("outcome unknown: %w", e.err)
	now := r.Now()
	c.Failure = next(c.Failure, code(e.err), detail(e.err), now)
	c.UpdatedAt = now
	if !c.Due.At.IsZero() {
		c.Due.At = now.Add(max(r.wait(c, e), c.Lease.Until.Sub(now)))
	}
	ctx, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	switch err := r.Leases.Defer(ctx, c); {
	case err == nil:
		r.forecast(ctx, before, c)
	case !errors.Is(err, connection.ErrConflict):
		e.err = errors.Join(e.err, fmt.Errorf("defer connection: %w", err))
	}
	return e
}

// brief is how long a call may take that a refresh can do without.
const brief = 2 * time.Second

// refused deals with invalid_grant. It is believed only on fresh data, and
// only the second time, minutes later and from another run; not while the
// provider refuses so many that the fault is its own or ours, and not before
// the spill was searched once more for tokens that came late.
func (r *Renewer) refused(ctx context.Context, j job, c connection.Connection, e ending) ending {
	breaker, countErr := r.count(ctx, c.Provider)
	e.outcome = outcomeRefused
	if c.Issued { // no person could connect it again
		return r.back(ctx, j, c, e)
	}
	now, err := r.Leases.Get(ctx, c.Key)
	if err != nil {
		e.err = errors.Join(e.err, fmt.Errorf("read again after invalid_grant: %w", err))
		return e
	}
	if now.Fence != c.Fence {
		return ending{outcome: outcomeSuperseded, pause: e.pause}
	}
	struck, since := c.Failure.Reason != "", r.Now().Sub(c.Failure.At)
	switch {
	case countErr != nil:
		e.err = errors.Join(e.err, countErr)
		return r.strike(ctx, j, c, e)
	case breaker.MassRefusal(r.Now()):
		e.outcome = outcomeMassRefusal
		return r.back(ctx, j, c, e)
	case !struck:
		return r.strike(ctx, j, c, e)
	case since < strikeAfter:
		e.err = errors.Join(fmt.Errorf("refused again too soon to count: %w", e.err), r.put(ctx, j, c, strikeAfter))
		return e
	}
	if late, found := r.recover(ctx, j, c); found {
		return late
	}
	return r.mark(ctx, j, c, e)
}

// count counts a refusal. Without its answer nobody is marked.
func (r *Renewer) count(ctx context.Context, provider string) (connection.Breaker, error) {
	ctx, cancel := context.WithTimeout(ctx, brief)
	defer cancel()
	b, err := r.Breakers.CountRefreshes(ctx, provider, connection.Outcomes{Refreshes: 1, InvalidGrants: 1}, r.Now())
	if err != nil {
		return b, fmt.Errorf("count refusal: %w", err)
	}
	return b, nil
}

// strike remembers a refusal that is the first, or as good as the first. It
// asks again minutes later.
func (r *Renewer) strike(ctx context.Context, j job, c connection.Connection, e ending) ending {
	reason := c.Failure.Reason
	if reason == "" {
		reason = "invalid_grant"
		if j.interrupted {
			reason = "rotation_lost" // an earlier answer never reached us
		}
	}
	c.Failure = refusal(c.Failure, reason, r.Now())
	e.err = errors.Join(fmt.Errorf("first strike: %w", e.err), r.put(ctx, j, c, strikeAfter))
	return e
}

// mark ends the refreshes of c until a person connects it again.
func (r *Renewer) mark(ctx context.Context, j job, c connection.Connection, e ending) ending {
	c.Failure = refusal(c.Failure, c.Failure.Reason, r.Now())
	c.Status, c.Due, c.UpdatedAt = connection.ReauthorizationRequired, connection.Due{}, r.Now()
	switch err := r.write(ctx, j, c); {
	case errors.Is(err, connection.ErrConflict):
		e.outcome = outcomeSuperseded
	case err != nil:
		e.err = errors.Join(e.err, fmt.Errorf("mark connection: %w", err))
	default:
		e.outcome, e.reason, e.err = outcomeMarked, c.Failure.Reason, fmt.Errorf("second strike: %w", e.err)
	}
	return e
}

// refusal returns the failure that follows f by a refusal.
func refusal(f connection.Failure, reason string, now time.Time) connection.Failure {
	f = next(f, "invalid_grant", "the provider no longer accepts the refresh token", now)
	f.Reason = reason
	return f
}

// release gives the lease back after something that only an operator can mend.
// The connection is not charged: its failure stays as it was.
func (r *Renewer) release(ctx context.Context, j job, c connection.Connection, e ending) ending {
	e.err = errors.Join(e.err, r.put(ctx, j, c, connection.Backoff(3, r.Random())))
	return e
}

// What an operator has to mend.
var (
	errMisconfigured = errors.New("misconfigured")                     // would meet each connection of the provider alike
	errUnusable      = errors.New("this connection cannot be used so") // meets this connection alone
)

// put writes c with the next refresh after wait, and ends the lease.
func (r *Renewer) put(ctx context.Context, j job, c connection.Connection, wait time.Duration) error {
	before := c
	c.UpdatedAt = r.Now()
	if !c.Due.At.IsZero() {
		c.Due.At = r.Now().Add(wait + time.Duration(r.Random()*float64(wait/2))).Truncate(time.Second)
	}
	switch err := r.write(ctx, j, c); {
	case err == nil:
		r.forecast(ctx, before, c)
	case !errors.Is(err, connection.ErrConflict):
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

// codeNotSent is the code of a request that never reached the provider.
const codeNotSent = "unreachable"

// code returns the code of a failure: the provider's, or ours.
func code(err error) string {
	var e *oauth.Error
	switch {
	case !errors.As(err, &e):
		return "internal"
	case e.Code != "":
		return e.Code
	case e.NotSent:
		return codeNotSent
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
