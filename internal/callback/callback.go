// Package callback serves /callback/{provider}: it takes the provider's answer
// from the browser that asked, and claims it once. Then it has it completed, or,
// where the host does that, holds it and sends the browser there.
//
// Everything is checked before anything is used up: a link scanner, a second
// tab or another browser cannot spoil what a person has started. One
// conditional write claims the authorization request, and holds the answer.
// Who may start is the work of package authorize, to exchange the code and to
// store the grant that of package completion.
package callback

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/completion"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/spill"
	"github.com/evergrant/evergrant/internal/web"
	"github.com/evergrant/evergrant/pkg/providers"
)

// Secrets is what the callback needs of the secret store.
type Secrets interface {
	oauth.Credentials

	// Client returns the client credentials for a provider. An error that is
	// oauth.ErrNotConfigured is the operator's to mend, any other passes.
	Client(ctx context.Context, provider string) (oauth.Client, error)

	// SealKeys returns the keys that seal cookies and refresh tokens.
	SealKeys(ctx context.Context) (seal.Keys, error)
}

// Requests claims authorization requests. See package connection for the
// record, and the conformance suite for the promises.
type Requests interface {
	ClaimRequest(ctx context.Context, r connection.Request) error
	DenyRequest(ctx context.Context, r connection.Request) error
	FinishRequest(ctx context.Context, r connection.Request) error
}

// History tells how an authorization request has ended, for a callback that is
// loaded again.
type History interface {
	GetRequest(ctx context.Context, id, state string) (connection.Request, error)
	Get(ctx context.Context, k connection.Key) (connection.Connection, error)
}

// A Handler serves the callback route. Every field is required but the URLs,
// Spill, FunctionName and Find.
type Handler struct {
	Secrets     Secrets
	Tokens      completion.Tokens
	Requests    Requests
	History     History
	Connections spill.Connections
	Spill       spill.Store // takes new grants while Connections does not; nil: there is none
	PublicURL   string      // "": https:// and the host that API Gateway names

	// CompletionURL is where the host completes connections; "": answers are
	// completed at once, whoever is signed in there.
	CompletionURL string

	Shards int            // of the due index
	Random func() float64 // in [0, 1): jitter
	Now    func() time.Time
	Log    *slog.Logger

	FunctionName string // in metrics; "": there are none, as in local mode

	// Find returns the definition of a provider; nil: providers.Find. Tests play
	// servers of others, which say who they are (RFC 9207) as no definition does.
	Find func(id string) (providers.Provider, bool)
}

// What ends a callback without an outcome.
var (
	errUnknownProvider = errors.New("unknown provider")
	errMethod          = errors.New("method not allowed")
	errBadCallback     = errors.New("unusable callback")
	errExpired         = errors.New("authorization request expired")
	errWrongBrowser    = errors.New("no cookie for this state")
	errTicketUsed      = errors.New("ticket already completed")
	errInProgress      = errors.New("exchange under way")
	errNotCompleted    = errors.New("the host did not complete the connection in time")
)

// Handle answers one request. Its error is always nil: whatever goes wrong is
// an answer to the browser, not a failed invocation.
func (h *Handler) Handle(ctx context.Context, ev events.APIGatewayV2HTTPRequest) (resp web.Response, _ error) {
	var req web.Request
	defer web.Recover(ctx, h.Log, &req, &resp)
	req, readErr := web.Read(ev)
	resp, err := h.serve(ctx, &req, readErr)
	if err != nil {
		return web.Refuse(ctx, h.Log, req, textFor(err), "callback", err), nil
	}
	return resp, nil
}

// serve checks the route and, of a callback without any parameter, whether it
// is one whose parameters stand in the fragment. It notes in req what the
// callback is about, as soon as it knows.
func (h *Handler) serve(ctx context.Context, req *web.Request, readErr error) (web.Response, error) {
	req.About.Home = web.Home(h.CompletionURL)
	find := h.Find
	if find == nil {
		find = providers.Find
	}
	p, ok := find(req.Provider)
	if !ok {
		return web.Response{}, errUnknownProvider
	}
	req.About.Provider = p.Name
	if req.Method != http.MethodGet && req.Method != http.MethodPost {
		return web.Response{}, errMethod
	}
	if readErr != nil {
		return web.Response{}, fmt.Errorf("%w: %w", errBadCallback, readErr)
	}
	if req.Method == http.MethodGet && !req.HasQuery && p.Implicit {
		client, err := h.Secrets.Client(ctx, p.ID)
		if err != nil {
			return web.Response{}, fmt.Errorf("client credentials of %s: %w", p.ID, err)
		}
		if client.ResponseType == "token" {
			return web.PostFragment(), nil
		}
	}
	return h.finish(ctx, p, req)
}

// statePattern is what oauth.NewState makes.
var statePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// finish finds the authorization request that the callback answers, and ends
// it.
func (h *Handler) finish(ctx context.Context, p providers.Provider, req *web.Request) (web.Response, error) {
	state := req.Params["state"]
	if !statePattern.MatchString(state) {
		return web.Response{}, fmt.Errorf("%w: state is missing or ill-formed", errBadCallback)
	}
	base, https := web.PublicURL(h.PublicURL, *req)
	cookie, ok := req.Cookies[authrequest.CookieName(state, https)]
	if !ok && req.Method == http.MethodPost && req.Params[bounced] == "" {
		return postAgain(req.Params)
	}
	if !ok {
		return web.Response{}, errWrongBrowser
	}
	keys, err := h.Secrets.SealKeys(ctx)
	if err != nil {
		return web.Response{}, fmt.Errorf("sealing keys: %w", err)
	}
	ar, err := authrequest.Open(keys, cookie)
	if err != nil {
		return web.Response{}, fmt.Errorf("%w: %w", errBadCallback, err)
	}
	if subtle.ConstantTimeCompare([]byte(ar.State), []byte(state)) != 1 {
		return web.Response{}, errWrongBrowser
	}
	req.About, req.Reference = h.about(ar), ar.Reference()
	if err := h.check(p, *req, ar, base); err != nil {
		return web.Response{}, err
	}
	e, err := h.end(ctx, p, *req, ar, keys)
	if err != nil {
		return web.Response{}, err
	}
	if e.handle != "" {
		return web.Redirect(http.StatusSeeOther, web.WithQuery(h.CompletionURL, map[string]string{
			"handle": e.handle, "provider": p.ID, "connection_id": ar.Key.ConnectionID,
		})), nil
	}
	return clean(p, *req, ar, h.show(p, *req, ar, e)), nil
}

// bounced marks a form that our own page has posted.
const bounced = "evergrant_bounced"

// maxAgain is how long the fields of a form may be, together, that is posted
// again, in bytes: anybody may post one, and gets it back in up to five times as
// many. An authorization code has four thousand at most.
const maxAgain = 6 << 10

// postAgain answers with a page that posts those parameters of a provider's
// answer again that count; no others, so that no text of a provider gets into
// the page.
func postAgain(params map[string]string) (web.Response, error) {
	fields, size := map[string]string{bounced: "1"}, 0
	for _, name := range []string{"code", "state", "iss", "error", "access_token", "token_type", "expires_in", "scope"} {
		if v, ok := params[name]; ok {
			fields[name] = v
			size += len(v)
		}
	}
	if size > maxAgain {
		return web.Response{}, fmt.Errorf("%w: the form is too long", errBadCallback)
	}
	return web.PostAgain(fields), nil
}

// check holds the callback against the authorization request it answers.
func (h *Handler) check(p providers.Provider, req web.Request, ar authrequest.Request, base string) error {
	switch {
	case !h.Now().Before(ar.ExpiresAt):
		return errExpired
	case ar.Key.Provider != p.ID || ar.RedirectURI != base+"/callback/"+p.ID:
		return fmt.Errorf("%w: it is for another provider or path", errBadCallback)
	}
	if iss, ok := req.Params["iss"]; iss != p.Issuer || ok != (p.Issuer != "") {
		return fmt.Errorf("%w: iss is not the provider's (RFC 9207)", errBadCallback)
	}
	return nil
}

// textFor is the one place where a failure becomes an answer. The text of err
// stays in the log.
func textFor(err error) web.Text {
	switch {
	case errors.Is(err, errUnknownProvider):
		return web.UnknownProvider
	case errors.Is(err, errMethod):
		return web.MethodNotAllowed.Allowing(http.MethodGet, http.MethodPost)
	case errors.Is(err, errBadCallback):
		return web.BadCallback
	case errors.Is(err, errExpired), errors.Is(err, errNotCompleted):
		return web.Expired
	case errors.Is(err, errWrongBrowser):
		return web.WrongBrowser
	case errors.Is(err, errTicketUsed):
		return web.LinkUsed
	case errors.Is(err, errInProgress):
		return web.Busy
	case errors.Is(err, completion.ErrKept):
		return web.Kept
	case errors.Is(err, completion.ErrNotStored):
		return web.NotSaved
	case errors.Is(err, oauth.ErrNotConfigured), oauth.RemedyFor(err) == oauth.Reconfigure:
		return web.NotConfigured
	}
	return web.Unavailable
}
