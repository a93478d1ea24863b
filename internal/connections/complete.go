package connections

import (
	"context"
	"errors"
	"fmt"

	"github.com/evergrant/evergrant/internal/completion"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
)

// What a caller is told whose handle cannot be used.
var (
	errInvalidHandle = &Error{Type: "invalid_handle", Detail: "handle is not one that Evergrant has sent to the completion URL: pass it on as it came"}
	errHandleUsed    = &Error{Type: "handle_used", Detail: "the handle was used before, and works once: get says whether the connection was made; if it was not, have the person start again"}
	errHandleExpired = &Error{Type: "handle_expired", Detail: "the handle was not used within ten minutes, and nothing was changed: have the person start again"}
	errMismatch      = &Error{Type: "mismatch", Detail: "the handle is of another connection; it is used up, and nothing was changed. Somebody may have sent their own link to another person: have the person start again from your application"}
	errNoTime        = &Error{Type: "unavailable", Detail: "too little time is left for the provider, and the handle is still good: give the function more time, and try again"}
)

// complete exchanges and stores the answer that is held under a handle, now that
// the host has made sure that its signed-in user owns k. All that can fail comes
// before the answer is taken, which is once: a handle that is of another
// connection is used up, and its code never sent.
func (h *Handler) complete(ctx context.Context, k connection.Key, handle string) (Response, error) {
	keys, err := h.Secrets.SealKeys(ctx)
	if err != nil {
		return Response{}, err
	}
	id, ok := completion.ParseHandle(keys, handle)
	if !ok {
		return Response{}, errInvalidHandle
	}
	client, err := h.Secrets.Client(ctx, k.Provider)
	if err != nil {
		return Response{}, err
	}
	if end, ok := ctx.Deadline(); ok && end.Sub(h.Now()) < completion.Enough {
		return Response{}, errNoTime
	}
	held, err := h.Requests.TakeAnswer(ctx, id, h.Now())
	if errors.Is(err, connection.ErrConflict) {
		return Response{}, h.whyNotTaken(ctx, id)
	}
	if err != nil {
		return Response{}, err
	}
	answer, err := completion.Open(keys, held)
	if err != nil {
		return Response{}, err
	}
	return h.finish(ctx, k, client, keys, answer)
}

// finish completes k by an answer that was taken.
func (h *Handler) finish(ctx context.Context, k connection.Key, client oauth.Client, keys seal.Keys, a completion.Answer) (Response, error) {
	ctx, cancel := completion.Finishing(ctx, wholeTime)
	defer cancel()
	resp := Response{ReturnTo: a.Request.ReturnTo}
	if a.Request.Key != k {
		cause := fmt.Errorf("%w: it was completed for connection %s at %s", errMismatch, k.ConnectionID, k.Provider)
		return resp, &toldError{h.completer().Discard(ctx, a.Request, completion.CodeMismatch, cause)}
	}
	c, err := h.completer().Complete(ctx, client, keys, a)
	if failure := new(completion.Failure); errors.As(err, &failure) {
		return resp, &toldError{err}
	}
	if err != nil {
		return resp, err
	}
	v := view(c)
	resp.Connection = &v
	return resp, nil
}

// whyNotTaken says why there is no answer to take.
func (h *Handler) whyNotTaken(ctx context.Context, id string) error {
	r, err := h.Requests.GetRequest(ctx, id, "")
	switch {
	case errors.Is(err, connection.ErrNotFound), err == nil && len(r.Answer) > 0:
		return errHandleExpired
	case err != nil:
		return err
	}
	return errHandleUsed
}

// completer returns what stores new grants.
func (h *Handler) completer() *completion.Completer {
	return &completion.Completer{
		Credentials: h.Secrets, Tokens: h.Tokens, Requests: h.Requests, Connections: h.Writer, Spill: h.Spill,
		Shards: h.Shards, Random: h.Random, Now: h.Now, Log: h.Log,
		FunctionName: h.FunctionName,
	}
}
