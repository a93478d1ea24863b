package refresh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/metrics"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/spill"
	"github.com/evergrant/evergrant/pkg/providers"
)

// Leases is what a refresh needs of the connection store. See the conformance
// suite for the promises.
type Leases interface {
	// Claim takes the lease and returns the connection as it was before; its
	// fence is then one more. connection.ErrConflict: it is not to be had.
	Claim(ctx context.Context, c connection.Claim) (old connection.Connection, err error)

	// Commit writes c under its fence and lease, and ends the lease.
	// connection.ErrConflict: somebody connected or disconnected meanwhile.
	Commit(ctx context.Context, c connection.Connection) error

	// Defer writes the failure and due of c under its fence and lease, and keeps
	// the lease.
	Defer(ctx context.Context, c connection.Connection) error

	// Get returns the connection as it is now.
	Get(ctx context.Context, k connection.Key) (connection.Connection, error)
}

// Refusals counts the refusals of a provider, for all its connections.
type Refusals interface {
	// CountRefreshes adds o and returns what is known of the provider then.
	CountRefreshes(ctx context.Context, provider string, o connection.Outcomes, now time.Time) (connection.Breaker, error)
}

// Secrets is what a refresh needs of the secret store.
type Secrets interface {
	oauth.Credentials

	// Client returns the client credentials for a provider.
	Client(ctx context.Context, provider string) (oauth.Client, error)

	// SealKeys returns the keys that seal refresh tokens.
	SealKeys(ctx context.Context) (seal.Keys, error)
}

// Tokens is the provider's side. Each call is one request.
type Tokens interface {
	Refresh(ctx context.Context, c oauth.Client, refreshToken oauth.Secret) (oauth.TokenSet, error)
	Issue(ctx context.Context, c oauth.Client) (oauth.TokenSet, error)
	Revoke(ctx context.Context, c oauth.Client, accessToken, refreshToken oauth.Secret) error
}

// The times of a refresh. A lease ends settle after the invocation that holds
// it must have ended, so that nobody sends while an earlier request may still
// be on its way.
const (
	settle   = 30 * time.Second
	reserve  = 5 * time.Second // for the write after the provider's answer
	attempt  = oauth.RefreshTimeout + reserve
	latest   = attempt - brief  // left of the invocation when a request is sent: a claim takes some of it
	allWrite = 20 * time.Second // where the invocation has no deadline
)

// strikeAfter is the least time between two strikes of invalid_grant.
const strikeAfter = 3 * time.Minute

// A Renewer refreshes single connections. Every field but Spill is required.
type Renewer struct {
	Leases   Leases
	Breakers Refusals
	Secrets  Secrets
	Tokens   Tokens
	Spill    Spill // nil: there is no second store, as in local mode
	Shards   int   // of the due index
	NewID    func() string
	Random   func() float64 // in [0, 1): jitter
	Now      func() time.Time
	Log      *slog.Logger

	spared sparing // former clients that are refused
}

// A Result is how one refresh went.
type Result int

// The results of a refresh.
const (
	Skipped   Result = iota // nothing to do, or somebody else does it
	Refreshed               // new tokens are stored
	Failed                  // the old tokens stand
)

// A Report is what a refresh tells the run that it is part of.
type Report struct {
	Result Result
	Pause  time.Duration // the provider wants no request for so long; 0: it said nothing

	Attempt metrics.Attempt // what is counted of it
}

// ErrNoTime is the answer to a refresh that could not be finished in what is
// left of the invocation. Nothing was sent.
var ErrNoTime = errors.New("not enough time left to finish a refresh")

// Renew refreshes the connection k: if it is due, or, with storedFence not 0,
// if its tokens are still those of that fence. The steps are those of
// docs/design.md; each is one named method.
//
// It logs what becomes of a claim, and what keeps it from making one; callers
// log no error of it again.
func (r *Renewer) Renew(ctx context.Context, k connection.Key, storedFence int64) (Report, error) {
	j, err := r.prepare(ctx, k, storedFence)
	if err != nil {
		return r.notBegun(ctx, k, fmt.Errorf("prepare refresh: %w", err))
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), j.deadline) // a caller who leaves loses no tokens
	defer cancel()
	c, err := r.claim(ctx, &j)
	switch {
	case errors.Is(err, connection.ErrConflict):
		return Report{Result: Skipped}, nil
	case err != nil:
		return r.notBegun(ctx, k, fmt.Errorf("claim connection: %w", err))
	}
	e := r.try(ctx, j, c)
	r.audit(ctx, c, e)
	return e.report(j, c), e.err
}

// try is one attempt: all that happens under a claim.
func (r *Renewer) try(ctx context.Context, j job, c connection.Connection) ending {
	if j.interrupted {
		if e, found := r.recover(ctx, j, c); found {
			return e
		}
	}
	send, err := r.request(j, c)
	if err != nil {
		return r.release(ctx, j, c, ending{outcome: outcomeUnusable, err: err})
	}
	tokens, err := r.send(ctx, j, send)
	if err != nil {
		return r.fail(ctx, j, c, err)
	}
	e := r.commit(ctx, j, c, tokens)
	e.pause = tokens.Pause
	return e
}

// A job is what one refresh has prepared.
type job struct {
	claim       connection.Claim
	client      oauth.Client // from the claim on that of the grant, if the secret names it
	former      bool         // client is a former one
	foreign     error        // why the grant's client is not known; nil: it is client
	keys        seal.Keys
	deadline    time.Time
	interrupted bool // an earlier refresh was cut off: the refresh token may be used
}

// prepare gets all that a refresh needs, so that what can fail fails before the
// claim.
func (r *Renewer) prepare(ctx context.Context, k connection.Key, storedFence int64) (job, error) {
	now := r.Now()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = now.Add(attempt + allWrite)
	}
	if deadline.Sub(now) < attempt {
		return job{}, ErrNoTime
	}
	client, err := r.Secrets.Client(ctx, k.Provider)
	if err != nil {
		return job{}, fmt.Errorf("client credentials of %s: %w", k.Provider, err)
	}
	keys, err := r.Secrets.SealKeys(ctx)
	if err != nil {
		return job{}, fmt.Errorf("sealing keys: %w", err)
	}
	return job{
		claim:  connection.Claim{Key: k, LeaseID: r.NewID(), Now: now, Until: deadline.Add(settle), StoredFence: storedFence},
		client: client, keys: keys, deadline: deadline,
	}, nil
}

// claim takes the lease and returns the connection as it is under it.
func (r *Renewer) claim(ctx context.Context, j *job) (connection.Connection, error) {
	c, err := r.Leases.Claim(ctx, j.claim)
	if err != nil {
		return connection.Connection{}, err
	}
	j.interrupted = c.Lease.ID != ""
	j.belong(c)
	c.Fence++
	c.Lease = connection.Lease{ID: j.claim.LeaseID, Until: j.claim.Until, SentAt: j.claim.Now}
	return c, nil
}

// belong makes the client that the grant of c was given to the one of j.
func (j *job) belong(c connection.Connection) {
	its, err := j.client.For(c.ClientID, c.Environment)
	if err != nil {
		j.foreign = err
		return
	}
	j.former = !j.client.Is(c.ClientID, c.Environment)
	j.client = its
}

// request returns the token request to send for c. It fails, with nothing
// sent, where c cannot be refreshed with what we have.
func (r *Renewer) request(j job, c connection.Connection) (func(context.Context, oauth.Client) (oauth.TokenSet, error), error) {
	if j.foreign != nil {
		return nil, fmt.Errorf("%w: %w", errUnusable, j.foreign)
	}
	if j.former && r.spared.spares(j.client, r.Now()) {
		return nil, fmt.Errorf("%w: %w: former client ID %q was refused a moment ago", errUnusable, oauth.ErrNotConfigured, j.client.ID)
	}
	if c.Issued {
		return r.Tokens.Issue, nil
	}
	refreshToken, err := c.RefreshToken(j.keys)
	if err != nil {
		return nil, fmt.Errorf("%w: %w: %w", errUnusable, oauth.ErrNotConfigured, err)
	}
	return func(ctx context.Context, client oauth.Client) (oauth.TokenSet, error) {
		return r.Tokens.Refresh(ctx, client, refreshToken)
	}, nil
}

// send sends the token request, once; again only where the provider refused
// the client before it looked at the grant, or where its refresh tokens stand
// a second use after an unknown outcome. Each time there must be time for an
// answer: what was claimed slowly, or looked for in the spill, is not sent.
func (r *Renewer) send(ctx context.Context, j job, request func(context.Context, oauth.Client) (oauth.TokenSet, error)) (oauth.TokenSet, error) {
	once := func() (oauth.TokenSet, error) {
		return oauth.WithCredentials(ctx, r.Secrets, j.client, func(c oauth.Client) (oauth.TokenSet, error) {
			if j.deadline.Sub(r.Now()) < latest {
				return oauth.TokenSet{}, fmt.Errorf("%w: %w", ErrNoTime, &oauth.Error{NotSent: true, Reason: "too little time was left to hear an answer"})
			}
			return request(ctx, c)
		})
	}
	tokens, err := once()
	if err == nil || !oauth.Unknown(err) || j.client.Provider.Rotation == providers.Strict {
		return tokens, err
	}
	var e *oauth.Error
	again, second := once()
	if errors.As(second, &e) && e.NotSent {
		return tokens, err // which is still unknown
	}
	return again, second
}

// commit stores new tokens. They are real and nobody else holds them, so the
// write is tried until just before the deadline, on a context that no caller
// can cancel.
func (r *Renewer) commit(ctx context.Context, j job, c connection.Connection, tokens oauth.TokenSet) ending {
	before := c
	c.StoredFence = c.Fence
	if err := c.Accept(j.client, tokens, j.keys, r.Shards); err != nil {
		return ending{outcome: outcomeFailed, err: err}
	}
	at := connection.SpillKey{Key: c.Key, Fence: c.Fence}
	place, err := r.keeper().Keep(ctx, j.deadline.Add(-time.Second), at,
		func(ctx context.Context) error { return r.store(ctx, c) },
		func() ([]byte, error) {
			return spill.Seal(j.keys, at, spill.Grant{Tokens: tokens, ClientID: c.ClientID, Environment: c.Environment, ConnectedAt: c.ConnectedAt, RequestID: c.RequestID})
		})
	switch {
	case errors.Is(err, errSuperseded):
		return ending{outcome: outcomeSuperseded, err: r.superseded(ctx, j, c, tokens)}
	case err == nil:
		r.forecast(ctx, before, c)
		return ending{outcome: outcomeRefreshed}
	}
	outcome := map[spill.Place]outcome{spill.Spilled: outcomeSpilled, spill.Logged: outcomeLogged, spill.Lost: outcomeFailed}[place]
	return ending{outcome: outcome, err: fmt.Errorf("store refreshed tokens: %w", err)}
}

// forecast tells, once, that the refresh token of c ends within days, so that
// the host can ask its user in time.
func (r *Renewer) forecast(ctx context.Context, before, c connection.Connection) {
	if c.StartsExpiring(before) {
		r.Log.WarnContext(ctx, "reauthorization expected", "provider", c.Provider, "connection_id", c.ConnectionID,
			"refresh_expires_at", c.RefreshExpiresAt.UTC().Truncate(time.Second))
	}
}

// write commits c, again and again until just before the deadline.
func (r *Renewer) write(ctx context.Context, j job, c connection.Connection) error {
	return connection.Persist(ctx, j.deadline.Add(-time.Second), r.Random, func(ctx context.Context) error { return r.Leases.Commit(ctx, c) })
}

// superseded revokes tokens that came too late: somebody has disconnected or
// connected again, and theirs stands. After a reconnect only a provider that is
// known to revoke one grant alone is asked: another may end the new one.
func (r *Renewer) superseded(ctx context.Context, j job, c connection.Connection, tokens oauth.TokenSet) error {
	now, err := r.Leases.Get(ctx, c.Key)
	if err != nil && !errors.Is(err, connection.ErrNotFound) {
		return fmt.Errorf("look up connection: %w", err)
	}
	sameGrant := now.ConnectedAt.Equal(c.ConnectedAt) // refreshed once more since
	if now.Status == connection.Active && (sameGrant || !j.client.Provider.RevokesOne) {
		return nil
	}
	err = j.foreign
	if err == nil {
		err = r.Tokens.Revoke(ctx, j.client, tokens.AccessToken, tokens.RefreshToken)
	}
	if err != nil {
		r.Log.WarnContext(ctx, "late tokens not revoked", "provider", c.Provider, "connection_id", c.ConnectionID, "err", err)
	}
	return nil
}
