package callback

import (
	"net/http"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/completion"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/web"
	"github.com/evergrant/evergrant/pkg/providers"
)

// show answers the browser with the outcome of its own authorization request:
// at the host if it has a place for that, else by a page of ours.
func (h *Handler) show(p providers.Provider, req web.Request, ar authrequest.Request, e ending) web.Response {
	if ar.ReturnTo != "" {
		result := map[string]string{"provider": p.ID, "connection_id": ar.Key.ConnectionID, "result": string(e.outcome)}
		if e.narrowed {
			result["scopes"] = "narrowed"
		}
		return web.Redirect(http.StatusSeeOther, web.WithQuery(ar.ReturnTo, result))
	}
	switch e.outcome {
	case connection.Connected:
		if e.narrowed {
			return web.Done(req, web.NarrowedPage(p.Name), string(e.outcome))
		}
		return web.Done(req, web.ConnectedPage(p.Name), string(e.outcome))
	case connection.Denied:
		return web.Done(req, web.DeniedPage(p.Name), string(e.outcome))
	case connection.Failed, connection.Pending:
	}
	switch e.code {
	case completion.CodeAccountChanged:
		return web.Problem(req, web.AccountChanged)
	case completion.CodeAccountUnknown:
		return web.Problem(req, web.AccountUnknown)
	}
	return web.Problem(req, web.ProviderFailed)
}
