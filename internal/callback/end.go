package callback

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/completion"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/metrics"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/web"
	"github.com/evergrant/evergrant/pkg/providers"
)

// wholeTime is how long an exchange and its store may take where the invocation
// has no deadline.
const wholeTime = 20 * time.Second

// An ending is how a callback ends: by the outcome of its authorization request,
// or by the handle under which the host completes it.
type ending struct {
	outcome  connection.Outcome
	code     string // why it failed
	narrowed bool   // connected, with fewer scopes than were asked for
	handle   string
}

// connected returns the ending of a connection that was made.
func connected(c connection.Connection) ending {
	return ending{outcome: connection.Connected, narrowed: len(c.ScopesMissing) > 0}
}

// end turns the provider's answer into the ending of ar. Its error is a
// callback that cannot be used, or something of ours that is out of reach.
func (h *Handler) end(ctx context.Context, p providers.Provider, req web.Request, ar authrequest.Request, keys seal.Keys) (ending, error) {
	if _, ok := req.Params["error"]; ok {
		return h.declined(ctx, req, ar, keys)
	}
	if p.Blob != nil && req.Params[p.Blob.Param] == "" {
		e, err := h.firstEnding(ctx, ar.Record(h.Now()), keys) // at the URL of clean
		if errors.Is(err, connection.ErrNotFound) {
			return ending{}, fmt.Errorf("%w: %s is missing", errBadCallback, p.Blob.Param)
		}
		return e, err
	}
	client, err := h.Secrets.Client(ctx, p.ID)
	if err != nil {
		return ending{}, fmt.Errorf("client credentials of %s: %w", p.ID, err)
	}
	if client, err = ar.Client(client); err != nil {
		return h.changed(ctx, req, ar, keys)
	}
	answer, err := completion.Read(client, ar, req.Params, req.Method == http.MethodPost, h.Now())
	if err != nil {
		return ending{}, fmt.Errorf("%w: %w", errBadCallback, err)
	}
	record := ar.Record(h.Now())
	if h.CompletionURL != "" {
		if record, err = answer.Held(keys, record); err != nil {
			return ending{}, err
		}
	}
	ctx, cancel := completion.Finishing(ctx, wholeTime)
	defer cancel()
	switch err := h.Requests.ClaimRequest(ctx, record); {
	case errors.Is(err, connection.ErrConflict):
		return h.firstEnding(ctx, record, keys)
	case err != nil:
		return ending{}, fmt.Errorf("claim authorization request: %w", err)
	}
	if h.CompletionURL != "" {
		h.Log.InfoContext(ctx, "answer held for the host", "provider", p.ID, "connection_id", ar.Key.ConnectionID, "reference", req.Reference)
		return handleOf(keys, record)
	}
	c, err := h.completer().Complete(ctx, client, keys, answer)
	if failure := new(completion.Failure); errors.As(err, &failure) {
		return ending{outcome: connection.Failed, code: failure.Code}, nil
	}
	return connected(c), err
}

// completer returns what completes at once.
func (h *Handler) completer() *completion.Completer {
	return &completion.Completer{
		Credentials: h.Secrets, Tokens: h.Tokens, Requests: h.Requests, Connections: h.Connections, Spill: h.Spill,
		Shards: h.Shards, Random: h.Random, Now: h.Now, Log: h.Log,
		FunctionName: h.FunctionName,
	}
}

// handleOf returns the ending of an answer that is held for the host.
func handleOf(keys seal.Keys, record connection.Request) (ending, error) {
	handle, err := completion.Handle(keys, record.ID)
	return ending{handle: handle}, err
}

// declined ends ar by the error that the provider sent: the user's no, or its
// own failure. The ticket stays good.
func (h *Handler) declined(ctx context.Context, req web.Request, ar authrequest.Request, keys seal.Keys) (ending, error) {
	outcome := connection.Failed
	if req.Params["error"] == "access_denied" && req.Params["code"] == "" {
		outcome = connection.Denied
	}
	return h.deny(ctx, ar, keys, outcome, func() {
		h.Log.InfoContext(ctx, "authorization ended by provider", "provider", ar.Key.Provider, "connection_id", ar.Key.ConnectionID,
			"outcome", outcome, "code", oauth.KnownCode(req.Params["error"]), "reference", req.Reference)
	})
}

// changed ends ar whose client is another one by now: its answer goes nowhere,
// also when the client is put back. The ticket stays good.
func (h *Handler) changed(ctx context.Context, req web.Request, ar authrequest.Request, keys seal.Keys) (ending, error) {
	return h.deny(ctx, ar, keys, connection.Failed, func() {
		h.Log.WarnContext(ctx, "connection not made", "provider", ar.Key.Provider, "connection_id", ar.Key.ConnectionID,
			"code", completion.CodeClientChanged, "err", authrequest.ErrClientChanged, "reference", req.Reference)
	})
}

// deny ends ar without a claim, and tells of it, unless it has ended before.
func (h *Handler) deny(ctx context.Context, ar authrequest.Request, keys seal.Keys, outcome connection.Outcome, tell func()) (ending, error) {
	record := ar.Record(h.Now())
	record.Outcome = outcome
	switch err := h.Requests.DenyRequest(ctx, record); {
	case errors.Is(err, connection.ErrConflict):
		return h.firstEnding(ctx, record, keys)
	case err != nil:
		return ending{}, fmt.Errorf("record denial: %w", err)
	}
	tell()
	h.count(ctx, ar.Key.Provider, outcome)
	return ending{outcome: outcome}, nil
}

// count prints the metric of an authorization that has ended without a claim.
func (h *Handler) count(ctx context.Context, provider string, o connection.Outcome) {
	var b metrics.Batch
	if o == connection.Denied {
		b.Connection(provider, metrics.Denied)
	} else {
		b.Connection(provider, metrics.Failed)
	}
	b.Log(ctx, h.Log, h.FunctionName, h.Now())
}

// firstEnding tells how the claimed request has ended, or under which handle it
// waits.
func (h *Handler) firstEnding(ctx context.Context, record connection.Request, keys seal.Keys) (ending, error) {
	first, err := h.History.GetRequest(ctx, record.ID, record.State)
	switch {
	case err != nil:
		return ending{}, fmt.Errorf("look up authorization request: %w", err)
	case first.State != record.State:
		return ending{}, errTicketUsed
	case len(first.Answer) > 0 && !h.Now().Before(first.HeldUntil):
		return ending{}, errNotCompleted
	case len(first.Answer) > 0 && h.CompletionURL != "":
		return handleOf(keys, first)
	case first.Outcome != connection.Pending:
		return ending{outcome: first.Outcome, code: first.Code}, nil
	}
	c, err := h.History.Get(ctx, record.Key)
	switch {
	case err != nil && !errors.Is(err, connection.ErrNotFound):
		return ending{}, fmt.Errorf("look up connection: %w", err)
	case c.RequestID == record.State:
		return connected(c), nil
	case first.Code == completion.CodeKept:
		return ending{}, completion.ErrKept
	}
	return ending{}, errInProgress
}
