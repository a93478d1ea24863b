// Package completion turns what a provider has answered into a stored
// connection: it exchanges the code, asks who it is, and stores the grant.
//
// That happens in one of two places, by this one implementation. Where there is
// no COMPLETION_URL, package callback does it at once. Else the answer is held,
// sealed in the row of its claim, and the browser takes a handle to the host;
// package connections takes the answer out once the host has said who is signed
// in. Who may do either is decided there, not here.
package completion

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/spill"
)

// Tokens is the provider's side. Each call is one request.
type Tokens interface {
	// Exchange redeems an authorization code. It is called at most once a code.
	Exchange(ctx context.Context, c oauth.Client, r oauth.AuthorizationRequest, code oauth.Secret) (oauth.TokenSet, error)

	// Account tells who an access token belongs to, as far as the provider does.
	Account(ctx context.Context, c oauth.Client, accessToken oauth.Secret) (oauth.Account, error)

	// Revoke ends a grant.
	Revoke(ctx context.Context, c oauth.Client, accessToken, refreshToken oauth.Secret) error
}

// Requests records how an authorization request has ended. See the conformance
// suite for the promises.
type Requests interface {
	FinishRequest(ctx context.Context, r connection.Request) error
}

// A Completer completes connections. Every field but Spill and FunctionName is
// required.
type Completer struct {
	Credentials oauth.Credentials
	Tokens      Tokens
	Requests    Requests
	Connections spill.Connections
	Spill       spill.Store    // takes new grants while Connections does not; nil: there is none
	Shards      int            // of the due index
	Random      func() float64 // in [0, 1): jitter
	Now         func() time.Time
	Log         *slog.Logger

	FunctionName string // in metrics; "": there are none, as in local mode
}

// How the time of an invocation is divided, counted from its end.
const (
	answerTime = time.Second     // to answer in
	storeTime  = 5 * time.Second // kept for the store once the provider has answered
)

// Enough is the time that an exchange and its store may take.
const Enough = oauth.ExchangeTimeout + storeTime + answerTime

// Finishing returns the context for all that follows a claim. A caller who
// leaves does not end it: the code is used up then, and nobody else holds the
// tokens. It ends shortly before the invocation does, which is whole long where
// it has no deadline.
func Finishing(ctx context.Context, whole time.Duration) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	ctx = context.WithoutCancel(ctx)
	if !ok {
		return context.WithTimeout(ctx, whole)
	}
	return context.WithDeadline(ctx, end.Add(-answerTime))
}

// asking returns the context for calls of the provider. It leaves time for the
// store: a third of what there is, if that is less than storeTime.
func (c *Completer) asking(ctx context.Context) (context.Context, context.CancelFunc) {
	end, _ := ctx.Deadline() // there is one, by Finishing
	return context.WithDeadline(ctx, end.Add(-min(storeTime, end.Sub(c.Now())/3)))
}

// The codes under which failures are recorded that the provider has no code
// for.
const (
	CodeNotConfigured  = "not_configured"
	CodeClientChanged  = "configuration_changed"
	CodeProviderFailed = "provider_failed"
	CodeNotStored      = "not_stored"
	CodeKept           = "kept"     // no failure: it is still to come
	CodeMismatch       = "mismatch" // the host completed another connection by this handle
	CodeAccountChanged = "account_changed"
	CodeAccountUnknown = "account_unknown"
)

// What Complete reports beside a Failure.
var (
	ErrKept      = errors.New("the connection store did not take the new grant: it is spilled, and stored later")
	ErrNotStored = errors.New("the new grant is lost: the connection store did not take it")
)

// A Failure is an authorization request that has ended without a connection, by
// what it was answered with. It is recorded and logged.
type Failure struct {
	Code string // under which it is recorded
	Err  error
}

// Error returns the cause.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Complete makes the connection that a stands for, or records why there is
// none. The claim of a must be the caller's, and ctx one of Finishing.
//
// The error is a Failure, ErrKept or ErrNotStored. The reference of a's request
// finds all that is logged.
func (c *Completer) Complete(ctx context.Context, client oauth.Client, keys seal.Keys, a Answer) (connection.Connection, error) {
	r := a.Request
	c = c.of(r)
	client, err := r.Client(client)
	if err != nil {
		err = c.failed(ctx, r, err)
		c.count(ctx, r.Key.Provider, err)
		return connection.Connection{}, err
	}
	made, err := c.Connect(ctx, keys, Grant{
		Key: r.Key, Client: client, RequestID: connection.StateID(r.State),
		Obtain: func(ctx context.Context) (oauth.TokenSet, error) { return c.obtain(ctx, client, a) },
	})
	switch {
	case errors.Is(err, ErrKept), errors.Is(err, ErrNotStored):
		return made, c.notStored(ctx, r, err)
	case err != nil:
		return made, c.failed(ctx, r, err)
	}
	return made, nil
}

// notStored records, as far as that goes in the little time left, that the
// connection store did not take the grant. A reload must not wait for one that
// no store has; one that is spilled is connected within minutes.
func (c *Completer) notStored(ctx context.Context, r authrequest.Request, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime/2)
	defer cancel()
	if errors.Is(cause, ErrKept) {
		c.record(ctx, r, connection.Pending, CodeKept)
	} else {
		c.record(ctx, r, connection.Failed, CodeNotStored)
	}
	return cause
}

// Discard ends r without a connection, and without a word to the provider, by
// cause. It returns the Failure that it has recorded and logged.
func (c *Completer) Discard(ctx context.Context, r authrequest.Request, code string, cause error) error {
	err := c.of(r).failed(ctx, r, &Failure{Code: code, Err: cause})
	c.count(ctx, r.Key.Provider, err)
	return err
}

// of returns c, whose log lines the reference of r finds.
func (c *Completer) of(r authrequest.Request) *Completer {
	its := *c
	its.Log = c.Log.With("reference", r.Reference())
	return &its
}

// failed records and logs that there is no connection, by cause. What is ours to
// mend is an error in the log.
func (c *Completer) failed(ctx context.Context, r authrequest.Request, cause error) error {
	code, level := failureCode(cause), slog.LevelWarn
	if code == CodeNotConfigured {
		level = slog.LevelError
	}
	c.record(ctx, r, connection.Failed, code)
	c.Log.Log(ctx, level, "connection not made", "provider", r.Key.Provider, "connection_id", r.Key.ConnectionID, "code", code, "err", cause)
	return &Failure{Code: code, Err: cause}
}

// failureCode returns the code under which a failure is recorded.
func failureCode(err error) string {
	var e *oauth.Error
	var f *Failure
	switch {
	case oauth.RemedyFor(err) == oauth.Reconfigure:
		return CodeNotConfigured
	case errors.As(err, &f):
		return f.Code
	case errors.Is(err, authrequest.ErrClientChanged):
		return CodeClientChanged
	case errors.As(err, &e) && e.Code != "":
		return e.Code
	}
	return CodeProviderFailed
}

// record records the outcome of r, for a callback that is loaded again. What
// cannot be recorded is logged.
func (c *Completer) record(ctx context.Context, r authrequest.Request, o connection.Outcome, code string) {
	record := r.Record(c.Now())
	record.Outcome, record.Code = o, code
	if err := c.Requests.FinishRequest(ctx, record); err != nil {
		c.Log.ErrorContext(ctx, "outcome not recorded", "provider", r.Key.Provider, "connection_id", r.Key.ConnectionID, "err", err)
	}
}
