// Package connections is the control plane: other Lambda functions and the
// command invoke it directly to look at connections and to complete, refresh,
// disconnect, issue and import them. It has no route; IAM decides who may.
//
// No secret is in any of its answers: readers take access tokens from the
// table.
package connections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/evergrant/evergrant/internal/completion"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/metrics"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/spill"
	"github.com/evergrant/evergrant/pkg/providers"
)

// Reader looks connections up. See the conformance suite for the promises.
type Reader interface {
	Get(ctx context.Context, k connection.Key) (connection.Connection, error)
	List(ctx context.Context, connectionID string) ([]connection.Connection, error)
	ListByStatus(ctx context.Context, status connection.Status, cursor string, limit int) (page []connection.Connection, next string, err error)
}

// Writer changes connections. See the conformance suite for the promises.
type Writer interface {
	spill.Connections
	Disconnect(ctx context.Context, k connection.Key, now time.Time) (old connection.Connection, err error)
	Reseal(ctx context.Context, k connection.Key, old, sealed []byte) error
}

// Requests takes held answers out of claimed authorization requests. See the
// conformance suite for the promises.
type Requests interface {
	TakeAnswer(ctx context.Context, id string, now time.Time) (connection.Request, error)
	GetRequest(ctx context.Context, id, state string) (connection.Request, error)
	completion.Requests
}

// Breakers tells how a provider fares, and holds it. See the conformance suite
// for the promises.
type Breakers interface {
	GetBreaker(ctx context.Context, provider string) (connection.Breaker, error)
	Hold(ctx context.Context, provider string, since time.Time) error
}

// Secrets is what the control plane needs of the secret store.
type Secrets interface {
	oauth.Credentials
	Client(ctx context.Context, provider string) (oauth.Client, error)
	SealKeys(ctx context.Context) (seal.Keys, error)
}

// Tokens is the provider's side. Each call is one request.
type Tokens interface {
	completion.Tokens
	Refresh(ctx context.Context, c oauth.Client, refreshToken oauth.Secret) (oauth.TokenSet, error)
	Issue(ctx context.Context, c oauth.Client) (oauth.TokenSet, error)
	Revoke(ctx context.Context, c oauth.Client, accessToken, refreshToken oauth.Secret) error
}

// A Handler serves direct invocations. Every field but Spill and FunctionName is
// required.
type Handler struct {
	Reader   Reader
	Writer   Writer
	Requests Requests
	Breakers Breakers
	Secrets  Secrets
	Tokens   Tokens
	Spill    spill.Store // takes new grants while Writer does not; nil: there is none
	// Renew refreshes a connection whose tokens are still those of storedFence.
	// It reports no error where somebody else is at it or was first, and logs
	// those that it reports.
	Renew  func(ctx context.Context, k connection.Key, storedFence int64) error
	Shards int            // of the due index
	Random func() float64 // in [0, 1): jitter
	Now    func() time.Time
	Log    *slog.Logger

	FunctionName string // in metrics; "": there are none, as in local mode
}

// A Request is the input. Which fields count depends on Action.
type Request struct {
	Action       string `json:"action"`
	ConnectionID string `json:"connection_id"`
	Provider     string `json:"provider"`

	Status string `json:"status"` // list
	Cursor string `json:"cursor"` // list, reseal
	Limit  int    `json:"limit"`  // list, reseal; 0: 100

	Handle string `json:"handle"` // complete: as it came to the completion URL

	TokenSHA256 string `json:"token_sha256"` // refresh: of the token that did not work, in lower-case hex
	MinTTL      int    `json:"min_ttl"`      // refresh: seconds that the caller needs

	RefreshToken oauth.Secret `json:"refresh_token"` // import
	AccessToken  oauth.Secret `json:"access_token"`  // import
}

// A Response is the output: one connection, or a page of them, or what became of
// one, or a provider, or an error; of complete also where the browser is to go then.
type Response struct {
	Connection  *View   `json:"connection,omitempty"`
	Connections []View  `json:"connections,omitzero"`
	Cursor      string  `json:"cursor,omitempty"`
	Reseal      *Reseal `json:"reseal,omitempty"`
	Provider    *Held   `json:"provider,omitempty"`
	Error       *Error  `json:"error,omitempty"`
	ReturnTo    string  `json:"return_to,omitempty"`
}

// An Error says what went wrong: Type never changes, Detail says what to do.
type Error struct {
	Type   string `json:"type"`
	Detail string `json:"detail"`
}

// Error returns type and detail.
func (e *Error) Error() string { return e.Type + ": " + e.Detail }

// Handle serves one invocation. Its error is always nil: whatever goes wrong
// is an answer to the caller, not a failed invocation.
func (h *Handler) Handle(ctx context.Context, raw json.RawMessage) (resp Response, _ error) {
	defer h.recover(ctx, &resp)
	var req Request
	if err := json.Unmarshal(raw, &req); err != nil {
		detail := `the input is not as it should be: send {"action": …, "connection_id": …, "provider": …}`
		var typ *json.UnmarshalTypeError
		if errors.As(err, &typ) && typ.Field != "" {
			detail = fmt.Sprintf("%s has the wrong type: send a %s", typ.Field, typ.Type.Kind())
		}
		return Response{Error: invalid(detail)}, nil
	}
	resp, err := h.serve(ctx, req)
	if err != nil {
		e := errorFor(err)
		if told := new(toldError); errors.As(err, &told) {
			return Response{Error: e, ReturnTo: resp.ReturnTo}, nil
		}
		h.Log.WarnContext(ctx, "not done", "action", req.Action, "connection_id", req.ConnectionID, "provider", req.Provider, "type", e.Type, "err", err)
		return Response{Error: e, ReturnTo: resp.ReturnTo}, nil
	}
	return resp, nil
}

// recover turns a panic into an answer. The log gets the type of the panic and
// the stack, but not its value, which may hold anything and which Lambda would
// tell the caller.
func (h *Handler) recover(ctx context.Context, resp *Response) {
	if cause := recover(); cause != nil {
		h.Log.ErrorContext(ctx, "panic", "type", fmt.Sprintf("%T", cause), "stack", string(debug.Stack()))
		*resp = Response{Error: &Error{Type: "internal", Detail: "this is a mistake of Evergrant's: the log says where"}}
	}
}

// serve calls the action that req names. With an error, the Response has no more
// than a ReturnTo.
func (h *Handler) serve(ctx context.Context, req Request) (Response, error) {
	switch req.Action {
	case "list":
		return h.list(ctx, req)
	case "reseal":
		return h.reseal(ctx, req)
	case "hold", "release", "held":
		return h.hold(ctx, req)
	}
	actions := map[string]func(context.Context, connection.Key, Request) (connection.Connection, error){
		"get":        h.get,
		"refresh":    h.refresh,
		"disconnect": h.disconnect,
		"issue":      h.issue,
		"import":     h.take,
	}
	act, ok := actions[req.Action]
	if !ok && req.Action != "complete" {
		return Response{}, invalid("action must be complete, get, list, refresh, disconnect, issue, import, reseal, hold, release or held")
	}
	if !connection.ValidID(req.ConnectionID) {
		return Response{}, invalid("connection_id must be 1 to 256 of A-Z a-z 0-9 . _ : @ / -")
	}
	if _, ok := providers.Find(req.Provider); !ok {
		return Response{}, errUnknownProvider
	}
	k := connection.Key{ConnectionID: req.ConnectionID, Provider: req.Provider}
	if req.Action == "complete" {
		return h.complete(ctx, k, req.Handle)
	}
	c, err := act(ctx, k, req)
	if err != nil {
		return Response{}, err
	}
	v := view(c)
	return Response{Connection: &v}, nil
}

func (h *Handler) get(ctx context.Context, k connection.Key, _ Request) (connection.Connection, error) {
	return h.Reader.Get(ctx, k)
}

// list answers with the connections of one connection ID, or a page of those
// with a status, or of all.
func (h *Handler) list(ctx context.Context, req Request) (Response, error) {
	var found []connection.Connection
	var next string
	var err error
	switch status := connection.Status(req.Status); {
	case req.ConnectionID != "" && !connection.ValidID(req.ConnectionID):
		return Response{}, invalid("connection_id must be 1 to 256 of A-Z a-z 0-9 . _ : @ / -")
	case req.ConnectionID != "" && req.Status != "":
		return Response{}, invalid("list takes either connection_id or status")
	case req.ConnectionID != "":
		found, err = h.Reader.List(ctx, req.ConnectionID)
	case status != "" && status != connection.Active && status != connection.ReauthorizationRequired && status != connection.Disconnected:
		return Response{}, invalid("status must be active, reauthorization_required or disconnected")
	default:
		var limit int
		if limit, err = pageOf(req); err == nil {
			found, next, err = h.Reader.ListByStatus(ctx, status, req.Cursor, limit)
		}
	}
	if err != nil {
		return Response{}, err
	}
	views := make([]View, len(found))
	for i, c := range found {
		views[i] = view(c)
	}
	return Response{Connections: views, Cursor: next}, nil
}

// pageOf returns how many connections a page that req asks for has at most.
func pageOf(req Request) (int, error) {
	switch {
	case req.Limit < 0 || req.Limit > 1000:
		return 0, invalid("limit must be from 1 to 1000")
	case req.Limit == 0:
		return 100, nil
	}
	return req.Limit, nil
}

// disconnect revokes at the provider as far as it offers that, then marks the
// connection and removes its tokens. Tokens that a refresh has stored in
// between are revoked as well.
func (h *Handler) disconnect(ctx context.Context, k connection.Key, _ Request) (connection.Connection, error) {
	before, err := h.Reader.Get(ctx, k)
	if err != nil {
		return connection.Connection{}, err
	}
	h.revoke(ctx, before)
	old, err := h.Writer.Disconnect(ctx, k, h.Now())
	if err != nil {
		return connection.Connection{}, err
	}
	if old.StoredFence != before.StoredFence {
		h.revoke(ctx, old)
	}
	h.Log.InfoContext(ctx, "disconnected", "provider", k.Provider, "connection_id", k.ConnectionID)
	var b metrics.Batch
	b.Connection(k.Provider, metrics.Disconnected)
	b.Log(ctx, h.Log, h.FunctionName, h.Now())
	return h.Reader.Get(ctx, k)
}

// revoke revokes the tokens of c, as far as that goes: a provider that fails
// must not keep anybody from disconnecting.
func (h *Handler) revoke(ctx context.Context, c connection.Connection) {
	if c.AccessToken == "" && len(c.SealedRefreshToken) == 0 {
		return
	}
	client, err := h.Secrets.Client(ctx, c.Provider)
	if err == nil {
		client, err = client.For(c.ClientID, c.Environment)
	}
	if err == nil {
		var refreshToken oauth.Secret
		if keys, keysErr := h.Secrets.SealKeys(ctx); keysErr == nil && len(c.SealedRefreshToken) > 0 {
			refreshToken, _ = c.RefreshToken(keys) // without it the access token is revoked
		}
		err = h.Tokens.Revoke(ctx, client, c.AccessToken, refreshToken)
	}
	if err != nil {
		h.Log.WarnContext(ctx, "not revoked at the provider", "provider", c.Provider, "connection_id", c.ConnectionID, "err", err)
	}
}

// A toldError is one that was logged where it happened.
type toldError struct{ error }

// Unwrap returns the error itself.
func (e *toldError) Unwrap() error { return e.error }

var errUnknownProvider = &Error{Type: "unknown_provider", Detail: "provider is not one that Evergrant knows: see `evergrant providers`"}

// invalid returns the error of a request that the caller must change.
func invalid(detail string) *Error { return &Error{Type: "invalid_request", Detail: detail} }

// errorFor is the one place where a failure becomes an answer. The text of err
// stays in the log.
func errorFor(err error) *Error {
	var own *Error
	var wire *oauth.Error
	var failure *completion.Failure
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, completion.ErrKept):
		return &Error{Type: "kept", Detail: "the new grant is kept, and stored by itself within ten minutes: look again then, and ask for no other one"}
	case errors.Is(err, completion.ErrNotStored):
		return &Error{Type: "not_stored", Detail: "the new grant could not be stored, and an older one is as it was: the log has it, sealed, for `evergrant rescue`; or connect again once the table can be reached"}
	case errors.As(err, &failure) && failure.Code == completion.CodeAccountChanged:
		return &Error{Type: failure.Code, Detail: "the connection is of another account of the provider, and stays with it: have the person choose that account, or disconnect first; \"account_change\": \"accept\" in the client's secret lets accounts change"}
	case errors.As(err, &failure) && failure.Code == completion.CodeAccountUnknown:
		return &Error{Type: failure.Code, Detail: "the connection has an account, and which one this grant is of could not be found out, so nothing was changed: try again in a moment, or disconnect first"}
	case errors.As(err, &failure) && failure.Code == completion.CodeClientChanged:
		return &Error{Type: failure.Code, Detail: "the provider's client was changed while the person was there: have the person start again"}
	case errors.As(err, &failure) && failure.Code == completion.CodeTokenNotProved:
		return &Error{Type: failure.Code, Detail: "the provider did not confirm the token that came through the browser, so nothing was changed: have the person start again"}
	case errors.Is(err, connection.ErrNotFound):
		return &Error{Type: "not_found", Detail: "there is no such connection"}
	case errors.Is(err, connection.ErrBadCursor):
		return invalid("cursor is not one that list has answered with")
	case errors.Is(err, oauth.ErrNotConfigured), oauth.RemedyFor(err) == oauth.Reconfigure:
		return &Error{Type: "not_configured", Detail: "the provider's client credentials or the keys cannot be used: the log says which and why"}
	case oauth.RemedyFor(err) == oauth.Reauthorize:
		return &Error{Type: "refused", Detail: "the provider does not accept the grant"}
	case errors.As(err, &wire):
		return &Error{Type: "provider_unavailable", Detail: fmt.Sprintf("the provider did not answer as expected: %s; try again later", wire.Reason)}
	}
	return &Error{Type: "unavailable", Detail: "something that is needed is out of reach: try again in a moment"}
}
