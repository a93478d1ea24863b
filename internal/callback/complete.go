package callback

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/spill"
	"github.com/evergrant/evergrant/internal/web"
	"github.com/evergrant/evergrant/pkg/providers"
)

// How the time of an invocation is divided, counted from its end.
const (
	answerTime = time.Second      // to answer the browser in
	storeTime  = 5 * time.Second  // kept for the store once the provider has answered
	wholeTime  = 20 * time.Second // where the invocation has no deadline
)

// complete turns the provider's answer into the outcome of ar. Its error is a
// callback that cannot be used, or something of ours that is out of reach.
func (h *Handler) complete(ctx context.Context, p providers.Provider, req web.Request, ar authrequest.Request, keys seal.Keys) (connection.Outcome, error) {
	if _, ok := req.Params["error"]; ok {
		return h.declined(ctx, req, ar)
	}
	client, err := h.Secrets.Client(ctx, p.ID)
	if err != nil {
		return "", fmt.Errorf("client credentials of %s: %w", p.ID, err)
	}
	obtain, err := h.answer(client, req, ar)
	if err != nil {
		return "", err
	}
	ctx, cancel := finishing(ctx)
	defer cancel()
	record := ar.Record(h.Now())
	switch err := h.Requests.ClaimRequest(ctx, record); {
	case errors.Is(err, connection.ErrConflict):
		return h.firstOutcome(ctx, record)
	case err != nil:
		return "", fmt.Errorf("claim authorization request: %w", err)
	}
	if client.ID != ar.ClientID || client.Environment.Name != ar.Environment {
		return h.failed(ctx, req, record, errClientChanged)
	}
	asking, cancel := h.asking(ctx)
	defer cancel()
	tokens, err := obtain(asking)
	if err != nil {
		return h.failed(ctx, req, record, fmt.Errorf("exchange code with %s: %w", p.ID, err))
	}
	if tokens.Account == (oauth.Account{}) {
		tokens.Account = h.account(asking, req, client, tokens.AccessToken)
	}
	if place, err := h.store(ctx, client, ar, keys, tokens); err != nil {
		return "", h.notStored(ctx, req, record, place, err)
	}
	h.Log.InfoContext(ctx, "connected", "provider", p.ID, "connection_id", ar.Key.ConnectionID, "reference", req.Reference)
	return connection.Connected, nil
}

// finishing returns the context for all that follows the claim. A browser that
// leaves does not end it: the code is used up then, and nobody else holds the
// tokens. It ends shortly before the invocation does.
func finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	ctx = context.WithoutCancel(ctx)
	if !ok {
		return context.WithTimeout(ctx, wholeTime)
	}
	return context.WithDeadline(ctx, end.Add(-answerTime))
}

// asking returns the context for calls of the provider. It leaves time for the
// store: a third of what there is, if that is less than storeTime.
func (h *Handler) asking(ctx context.Context) (context.Context, context.CancelFunc) {
	end, _ := ctx.Deadline() // there is one, by finishing
	return context.WithDeadline(ctx, end.Add(-min(storeTime, end.Sub(h.Now())/3)))
}

// answer finds the provider's answer in the callback and returns how to obtain
// the tokens of it.
func (h *Handler) answer(client oauth.Client, req web.Request, ar authrequest.Request) (func(context.Context) (oauth.TokenSet, error), error) {
	if b := client.Provider.Blob; b != nil {
		tokens, err := oauth.ParseBlob(*b, oauth.Secret(req.Params[b.Param]), h.Now())
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errBadCallback, err)
		}
		return func(context.Context) (oauth.TokenSet, error) { return tokens, nil }, nil
	}
	if client.ResponseType == "token" {
		tokens, err := oauth.ImplicitTokens(client, oauth.Secret(req.Params["access_token"]), req.Params["token_type"], req.Params["expires_in"], req.Params["scope"], h.Now())
		if err != nil || req.Method != http.MethodPost {
			return nil, fmt.Errorf("%w: a bearer access_token must come by the form of our own page", errBadCallback)
		}
		return func(context.Context) (oauth.TokenSet, error) { return tokens, nil }, nil
	}
	code := req.Params["code"]
	if code == "" || len(code) > maxCode {
		return nil, fmt.Errorf("%w: code is missing or too long", errBadCallback)
	}
	for _, name := range []string{"access_token", "id_token"} {
		if _, ok := req.Params[name]; ok {
			return nil, fmt.Errorf("%w: %s came, and was not asked for", errBadCallback, name)
		}
	}
	return func(ctx context.Context) (oauth.TokenSet, error) {
		return oauth.WithCredentials(ctx, h.Secrets, client, func(c oauth.Client) (oauth.TokenSet, error) {
			return h.Tokens.Exchange(ctx, c, ar.OAuth(), oauth.Secret(code))
		})
	}, nil
}

// declined ends ar by the error that the provider sent: the user's no, or its
// own failure. The ticket stays good.
func (h *Handler) declined(ctx context.Context, req web.Request, ar authrequest.Request) (connection.Outcome, error) {
	record := ar.Record(h.Now())
	switch err := h.Requests.DenyRequest(ctx, record); {
	case errors.Is(err, connection.ErrConflict):
		return h.firstOutcome(ctx, record)
	case err != nil:
		return "", fmt.Errorf("record denial: %w", err)
	}
	outcome := connection.Failed
	if req.Params["error"] == "access_denied" && req.Params["code"] == "" {
		outcome = connection.Denied
	}
	h.Log.InfoContext(ctx, "authorization ended by provider", "provider", ar.Key.Provider, "connection_id", ar.Key.ConnectionID,
		"outcome", outcome, "code", oauth.KnownCode(req.Params["error"]), "reference", req.Reference)
	return outcome, nil
}

// firstOutcome tells how the claimed request has ended.
func (h *Handler) firstOutcome(ctx context.Context, record connection.Request) (connection.Outcome, error) {
	first, err := h.History.GetRequest(ctx, record.ID, record.State)
	switch {
	case err != nil:
		return "", fmt.Errorf("look up authorization request: %w", err)
	case first.State != record.State:
		return "", errTicketUsed
	case first.Code == codeNotConfigured:
		return "", errNotConfigured
	case first.Outcome != connection.Pending:
		return first.Outcome, nil
	}
	c, err := h.History.Get(ctx, record.Key)
	switch {
	case err != nil && !errors.Is(err, connection.ErrNotFound):
		return "", fmt.Errorf("look up connection: %w", err)
	case c.RequestID == record.State:
		return connection.Connected, nil
	case first.Code == codeKept:
		return "", errKept
	}
	return "", errInProgress
}

// The codes under which failures are recorded that the provider has no code
// for.
const (
	codeNotConfigured  = "not_configured"
	codeClientChanged  = "configuration_changed"
	codeProviderFailed = "provider_failed"
	codeNotStored      = "not_stored"
	codeKept           = "kept" // no failure: it is still to come
)

// notStored records, as far as that goes in the little time left, that the
// connection store did not take the grant. A reload must not wait for one that
// no store has; one that is spilled is connected within minutes.
func (h *Handler) notStored(ctx context.Context, req web.Request, record connection.Request, place spill.Place, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime/2)
	defer cancel()
	ending := errNotStored
	record.Outcome, record.Code = connection.Failed, codeNotStored
	if place == spill.Spilled {
		ending = errKept
		record.Outcome, record.Code = connection.Pending, codeKept
	}
	if err := h.Requests.FinishRequest(ctx, record); err != nil {
		h.Log.ErrorContext(ctx, "outcome not recorded", "provider", record.Key.Provider, "connection_id", record.Key.ConnectionID,
			"reference", req.Reference, "err", err)
	}
	return fmt.Errorf("%w: %w", ending, cause)
}

// errClientChanged stops an exchange that would go to another client than the
// one that the code was given to.
var errClientChanged = errors.New("the client changed since the browser was sent away")

// failed records that the exchange failed with cause. A wrong client secret is
// ours to mend, so it is no outcome that the host should see.
func (h *Handler) failed(ctx context.Context, req web.Request, record connection.Request, cause error) (connection.Outcome, error) {
	ours := oauth.RemedyFor(cause) == oauth.Reconfigure
	record.Outcome, record.Code = connection.Failed, failureCode(cause)
	if ours {
		record.Code = codeNotConfigured
	}
	if err := h.Requests.FinishRequest(ctx, record); err != nil {
		h.Log.ErrorContext(ctx, "outcome not recorded", "provider", record.Key.Provider, "connection_id", record.Key.ConnectionID,
			"reference", req.Reference, "err", err)
	}
	if ours {
		return "", cause
	}
	h.Log.WarnContext(ctx, "connection not made", "provider", record.Key.Provider, "connection_id", record.Key.ConnectionID,
		"code", record.Code, "reference", req.Reference, "err", cause)
	return connection.Failed, nil
}

// failureCode returns the code under which a failure is recorded.
func failureCode(err error) string {
	var e *oauth.Error
	switch {
	case errors.Is(err, errClientChanged):
		return codeClientChanged
	case errors.As(err, &e) && e.Code != "":
		return e.Code
	}
	return codeProviderFailed
}

// account asks who the new grant belongs to. It is asked before the grant is
// stored, in the one write that there is: with a new grant no older refresh
// token waits for the first use of the access token. Not to know is no failure.
func (h *Handler) account(ctx context.Context, req web.Request, client oauth.Client, token oauth.Secret) oauth.Account {
	account, err := h.Tokens.Account(ctx, client, token)
	if err != nil {
		h.Log.WarnContext(ctx, "account not looked up", "provider", client.Provider.ID, "reference", req.Reference, "err", err)
	}
	return account
}

// store stores a new grant, and tries again for as long as there is time; while
// the connection store does not take it, it is spilled.
func (h *Handler) store(ctx context.Context, client oauth.Client, ar authrequest.Request, keys seal.Keys, tokens oauth.TokenSet) (spill.Place, error) {
	if tokens.Scopes == nil {
		tokens.Scopes = client.Asked(ar.Scopes) // RFC 6749 section 5.1: as asked for
	}
	c, err := connection.New(ar.Key, client, tokens, keys, h.Shards)
	if err != nil {
		return spill.Lost, err
	}
	c.RequestID = connection.StateID(ar.State)
	end, _ := ctx.Deadline() // there is one, by finishing
	keeper := spill.Keeper{Store: h.Spill, Random: h.Random, Log: h.Log}
	place, err := keeper.KeepGrant(ctx, end, keys, c, tokens, h.Connections)
	if err != nil {
		return place, fmt.Errorf("store connection: %w", err)
	}
	return place, nil
}
