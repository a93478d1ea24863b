package local

import (
	"context"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/web"
	"github.com/evergrant/evergrant/pkg/providers"
)

// The host's session is a cookie with the connection IDs that its user owns. Who
// clicks connect owns what is connected; anybody may sign in as anybody. A real
// host has a login and a database in place of it, and the rest as it is here.
const (
	sessionCookie = "evergrant-local-user"
	maxOwned      = 10
)

// owned returns the connection IDs that r's user owns, the latest first.
func owned(r *http.Request) []string {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return nil
	}
	ids := strings.Split(c.Value, ",") // no connection ID has a comma
	return slices.DeleteFunc(ids, func(id string) bool { return !connection.ValidID(id) })
}

// setOwned signs in who owns ids, the first of which is the latest.
func (p *page) setOwned(w http.ResponseWriter, ids []string) {
	latest := ids[0]
	others := slices.DeleteFunc(ids[1:], func(id string) bool { return id == latest })
	ids = append([]string{latest}, others[:min(len(others), maxOwned-1)]...)
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // local mode is plain http
		Name: sessionCookie, Value: strings.Join(ids, ","), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// signInView is what signin.html shows.
type signInView struct {
	Style                          template.CSS
	Name                           string // of the provider
	Provider, ConnectionID, Handle string
}

// complete is the page that COMPLETION_URL names: it completes the connection
// for the user who is signed in. The query says which one is meant; which one it
// is, the session says, and the control plane compares.
func (p *page) complete(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	provider, known := providers.Find(q.Get("provider"))
	asked := q.Get("connection_id")
	if !known || !connection.ValidID(asked) {
		p.back(w, r, connection.Key{}, "invalid_request")
		return
	}
	mine := owned(r)
	if len(mine) == 0 {
		p.write(w, signInTemplate, signInView{
			Style: template.CSS(style), Name: provider.Name, Provider: provider.ID, ConnectionID: asked, Handle: q.Get("handle"), //nolint:gosec // it is our own file
		})
		return
	}
	k := connection.Key{ConnectionID: mine[0], Provider: provider.ID}
	if slices.Contains(mine, asked) {
		k.ConnectionID = asked
	}
	raw, _ := json.Marshal(map[string]string{ // strings: it cannot fail
		"action": "complete", "handle": q.Get("handle"), "connection_id": k.ConnectionID, "provider": k.Provider,
	})
	resp, err := p.invoke(r.Context(), raw)
	result := string(connection.Connected)
	switch {
	case err != nil:
		result = "internal"
	case resp.Error != nil:
		result = resp.Error.Type
	}
	if resp.ReturnTo == "" {
		p.back(w, r, connection.Key{ConnectionID: asked, Provider: provider.ID}, result)
		return
	}
	http.Redirect(w, r, web.WithQuery(resp.ReturnTo, map[string]string{
		"provider": provider.ID, "connection_id": asked, "result": result,
	}), http.StatusSeeOther)
}

// signIn signs in as the owner of a connection ID, and goes on with the
// completion that asked for it, if one did.
func (p *page) signIn(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimSpace(r.PostFormValue("user"))
	if !connection.ValidID(id) {
		p.back(w, r, connection.Key{}, "invalid_request")
		return
	}
	p.setOwned(w, []string{id})
	to := "/"
	if handle := r.PostFormValue("handle"); handle != "" {
		to = "/complete?" + url.Values{
			"handle": {handle}, "provider": {r.PostFormValue("provider")}, "connection_id": {r.PostFormValue("connection_id")},
		}.Encode()
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// within returns the context of an invocation that may take d. Its end is by
// now and by the machine's clock, whichever comes later: the clock that is handed
// in may stand still, or be ahead.
func within(ctx context.Context, now time.Time, d time.Duration) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithTimeout(ctx, d)
	if end, _ := inner.Deadline(); !end.Before(now.Add(d)) {
		return inner, cancel
	}
	cancel()
	return context.WithDeadline(ctx, now.Add(d))
}
