// Package authorize serves GET /authorize/{provider}: it checks who may
// connect what, and sends the browser to the provider.
//
// It touches no store. The whole authorization request goes along sealed in a
// cookie, so that ten thousand forged links cost nothing but their signature
// check. What comes back is the work of package callback.
package authorize

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/web"
	"github.com/evergrant/evergrant/pkg/providers"
)

// Secrets is what authorize needs of the secret store.
type Secrets interface {
	oauth.Credentials

	// Client returns the client credentials for a provider. An error that is
	// oauth.ErrNotConfigured is the operator's to mend, any other passes.
	Client(ctx context.Context, provider string) (oauth.Client, error)

	// ConnectKeys returns the keys that sign connect tickets.
	ConnectKeys(ctx context.Context) (seal.Keys, error)

	// SealKeys returns the keys that seal cookies.
	SealKeys(ctx context.Context) (seal.Keys, error)
}

// A Preparer makes the call that some providers want before the redirect.
type Preparer interface {
	Prepare(ctx context.Context, c oauth.Client, callbackURL string) (string, error)
}

// A Handler serves the authorize route. Every field is required but PublicURL,
// ReturnOrigins and AllowUnsigned.
type Handler struct {
	Secrets       Secrets
	Provider      Preparer
	PublicURL     string   // "": https:// and the host that API Gateway names
	ReturnOrigins []string // origins that return_to may have, such as https://app.example.com
	AllowUnsigned bool     // serve requests without a ticket
	Now           func() time.Time
	Log           *slog.Logger
}

// An order is what a ticket, or an unsigned request, asks for.
type order struct {
	key      connection.Key
	ticketID string
	returnTo string
	scopes   []string
	params   map[string]string
}

// What goes wrong before any provider is asked.
var (
	errUnknownProvider = errors.New("unknown provider")
	errMethod          = errors.New("method not allowed")
	errEmbedded        = errors.New("not asked for by a window")
	errTicket          = errors.New("no valid ticket")
	errExpired         = errors.New("ticket expired")
	errBadRequest      = errors.New("bad request")
)

// reserve is what is left of an invocation to answer the browser where something
// that the function waits for does not.
const reserve = time.Second

// Handle answers one request. Its error is always nil: whatever goes wrong is
// an answer to the browser, not a failed invocation.
func (h *Handler) Handle(ctx context.Context, ev events.APIGatewayV2HTTPRequest) (resp web.Response, _ error) {
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-reserve))
		defer cancel()
	}
	var req web.Request
	defer web.Recover(ctx, h.Log, &req, &resp)
	req, readErr := web.Read(ev)
	resp, err := h.start(ctx, &req, readErr)
	if err != nil {
		return web.Refuse(ctx, h.Log, req, textFor(err), "authorize", err), nil
	}
	return resp, nil
}

// start checks a request and returns the redirect to the provider. It notes in
// req what the request is about, as soon as it knows.
func (h *Handler) start(ctx context.Context, req *web.Request, readErr error) (web.Response, error) {
	if len(h.ReturnOrigins) == 1 {
		req.About.Home = web.Home(h.ReturnOrigins[0])
	}
	p, ok := providers.Find(req.Provider)
	if !ok {
		return web.Response{}, errUnknownProvider
	}
	req.About.Provider = p.Name
	if req.Method != http.MethodGet {
		return web.Response{}, errMethod
	}
	if readErr != nil {
		return web.Response{}, fmt.Errorf("%w: %w", errBadRequest, readErr)
	}
	if req.Embedded {
		return web.Response{}, errEmbedded
	}
	o, err := h.order(ctx, *req)
	if err != nil && !errors.Is(err, errExpired) {
		return web.Response{}, err
	}
	base, https := web.PublicURL(h.PublicURL, *req)
	if returnErr := h.checkReturnTo(o.returnTo, https); returnErr != nil {
		return web.Response{}, cmp.Or(err, returnErr)
	}
	req.About.Home = cmp.Or(web.Home(o.returnTo), req.About.Home)
	if err != nil {
		return web.Response{}, err
	}
	req.About.ConnectionID = o.key.ConnectionID
	client, err := h.Secrets.Client(ctx, req.Provider)
	if err != nil {
		return web.Response{}, fmt.Errorf("client credentials of %s: %w", req.Provider, err)
	}
	if o.scopes, err = client.Narrow(o.scopes); err != nil {
		return web.Response{}, fmt.Errorf("%w: %w", errBadRequest, err)
	}
	if err := client.CheckParams(o.params); err != nil {
		return web.Response{}, fmt.Errorf("%w: %w", errBadRequest, err)
	}
	ar := authrequest.Request{
		Key: o.key, State: oauth.NewState(), Verifier: oauth.Secret(oauth.NewState()),
		RedirectURI: base + "/callback/" + req.Provider, Scopes: o.scopes, Params: o.params,
		ReturnTo: o.returnTo, TicketID: o.ticketID, ExpiresAt: h.Now().Add(authrequest.Life),
	}
	return h.redirect(ctx, *req, client, ar, https)
}

// order returns what the request may ask for: by its ticket, or by its query
// where requests without a ticket are allowed. With errExpired it returns what
// the ticket asked for.
func (h *Handler) order(ctx context.Context, req web.Request) (order, error) {
	ticket := req.Params["ticket"]
	if ticket == "" && h.AllowUnsigned {
		id := req.Params["connection_id"]
		if !connection.ValidID(id) {
			return order{}, fmt.Errorf("%w: connection_id must be 1 to 256 of A-Z a-z 0-9 . _ : @ / -", errBadRequest)
		}
		return order{
			key:      connection.Key{ConnectionID: id, Provider: req.Provider},
			returnTo: req.Params["return_to"], scopes: strings.Fields(req.Params["scope"]),
		}, nil
	}
	if ticket == "" {
		return order{}, fmt.Errorf("%w: ticket is missing", errTicket)
	}
	keys, err := h.Secrets.ConnectKeys(ctx)
	if err != nil {
		return order{}, fmt.Errorf("ticket keys: %w", err)
	}
	o, err := verifyTicket(keys, req.Provider, ticket, h.Now())
	if err != nil {
		return o, fmt.Errorf("%w: %w", errTicket, err)
	}
	return o, nil
}

// maxReturnTo is how long return_to may be, in bytes.
const maxReturnTo = 1 << 10

// checkReturnTo accepts https URLs on an allowed origin. In local mode, which
// is not served by https, it accepts http ones of localhost too.
func (h *Handler) checkReturnTo(raw string, https bool) error {
	if raw == "" {
		return nil
	}
	u, err := url.Parse(raw)
	if err != nil || len(raw) > maxReturnTo || u.User != nil || u.Host == "" || strings.ContainsFunc(raw, unclean) {
		return fmt.Errorf("%w: return_to is not a clean URL", errBadRequest)
	}
	local := u.Scheme == "http" && u.Hostname() == "localhost" && !https
	if (u.Scheme != "https" && !local) || !slices.Contains(h.ReturnOrigins, origin(u)) {
		return fmt.Errorf("%w: the origin of return_to is not among RETURN_ORIGINS", errBadRequest)
	}
	return nil
}

// unclean reports whether a character may not stand in a URL as it is (RFC
// 3986 section 2), or is read in more than one way there.
func unclean(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }

// origin returns the origin of u: scheme, host and a port that is not the
// scheme's own (RFC 6454 section 6.2).
func origin(u *url.URL) string {
	own := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
	return u.Scheme + "://" + strings.TrimSuffix(strings.ToLower(u.Host), own)
}

// redirect sends the browser to the provider with the authorization request ar.
func (h *Handler) redirect(ctx context.Context, req web.Request, client oauth.Client, ar authrequest.Request, https bool) (web.Response, error) {
	keys, err := h.Secrets.SealKeys(ctx)
	if err != nil {
		return web.Response{}, fmt.Errorf("sealing keys: %w", err)
	}
	to, client, err := h.destination(ctx, client, ar)
	if err != nil {
		return web.Response{}, err
	}
	ar.ClientID, ar.Environment, ar.Digest = client.ID, client.Environment.Name, client.Digest()
	cookie, err := authrequest.SetCookie(keys, ar, https)
	if errors.Is(err, authrequest.ErrTooLong) {
		return web.Response{}, fmt.Errorf("%w: %w", errBadRequest, err)
	}
	if err != nil {
		return web.Response{}, err
	}
	cookies := authrequest.Evict(keys, req.Cookies, https, h.Now())
	return web.Redirect(http.StatusFound, to, append(cookies, cookie)...), nil
}

// destination returns the URL at the provider, and the client that it is for:
// a provider that is asked to prepare it may have refused the first one.
func (h *Handler) destination(ctx context.Context, client oauth.Client, ar authrequest.Request) (string, oauth.Client, error) {
	if client.Provider.Prepare == nil {
		to, err := oauth.AuthorizationURL(client, ar.OAuth())
		return to, client, err
	}
	var to string
	callbackURL := web.WithQuery(ar.RedirectURI, map[string]string{"state": ar.State})
	_, err := oauth.WithCredentials(ctx, h.Secrets, client, func(c oauth.Client) (none oauth.TokenSet, err error) {
		client = c
		to, err = h.Provider.Prepare(ctx, c, callbackURL)
		return none, err
	})
	if err != nil {
		return "", client, fmt.Errorf("prepare at %s: %w", client.Provider.ID, err)
	}
	return to, client, nil
}

// textFor is the one place where a failure becomes an answer. The text of err
// stays in the log.
func textFor(err error) web.Text {
	var wire *oauth.Error
	switch {
	case errors.Is(err, errUnknownProvider):
		return web.UnknownProvider
	case errors.Is(err, errMethod):
		return web.MethodNotAllowed.Allowing(http.MethodGet)
	case errors.Is(err, errEmbedded):
		return web.NotAWindow
	case errors.Is(err, errExpired):
		return web.LinkExpired
	case errors.Is(err, errTicket):
		return web.LinkInvalid
	case errors.Is(err, errBadRequest):
		return web.BadRequest
	case errors.Is(err, oauth.ErrNotConfigured), oauth.RemedyFor(err) == oauth.Reconfigure:
		return web.NotConfigured
	case errors.As(err, &wire):
		return web.ProviderFailed
	}
	return web.Unavailable
}
