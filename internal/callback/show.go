package callback

import (
	"net/http"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/completion"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/web"
	"github.com/evergrant/evergrant/pkg/providers"
)

// about says what a callback is about, by its authorization request: that is
// sealed, and a page for its own browser alone.
func (h *Handler) about(ar authrequest.Request) web.About {
	p, _ := providers.Find(ar.Key.Provider)
	return web.About{Provider: p.Name, ConnectionID: ar.Key.ConnectionID, Home: web.Home(ar.ReturnTo, h.CompletionURL)}
}

// show answers the browser with the outcome of its own authorization request:
// at the host if it has a place for that, else by a page of ours.
func (h *Handler) show(p providers.Provider, req web.Request, ar authrequest.Request, e ending) web.Response {
	if e.code == completion.CodeNotConfigured { // ours to mend, and no outcome for the host
		return web.Problem(req, web.NotConfigured)
	}
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
			return web.Done(req, web.Narrowed, string(e.outcome))
		}
		return web.Done(req, web.Connected, string(e.outcome))
	case connection.Denied:
		return web.Done(req, web.Denied, string(e.outcome))
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

// clean returns resp or, where that is a page at a URL which holds the
// provider's credential itself, a redirect to the callback without it. There the
// same browser is shown the outcome that is recorded, and can begin nothing.
//
// Errors come by another way and stay where they are: none of them is recorded
// for sure, and those that ask to load again need the credential for that.
func clean(p providers.Provider, req web.Request, ar authrequest.Request, resp web.Response) web.Response {
	if p.Blob == nil || req.Method != http.MethodGet || req.Params[p.Blob.Param] == "" || resp.Headers["Location"] != "" {
		return resp
	}
	return web.Redirect(http.StatusSeeOther, web.WithQuery(ar.RedirectURI, map[string]string{"state": ar.State}))
}
