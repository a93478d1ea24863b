package local

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connections"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/pkg/connect"
	"github.com/evergrant/evergrant/pkg/providers"
)

//go:embed page.html
var pageText string

//go:embed token.html
var tokenText string

//go:embed signin.html
var signInText string

//go:embed style.css
var style string

//go:embed script.js
var script string

var (
	pageTemplate   = template.Must(template.New("page").Parse(pageText))
	tokenTemplate  = template.Must(template.New("token").Parse(tokenText))
	signInTemplate = template.Must(template.New("signin").Parse(signInText))
)

// records is what the page reads of the store.
type records interface {
	Get(ctx context.Context, k connection.Key) (connection.Connection, error)
	ListByStatus(ctx context.Context, status connection.Status, cursor string, limit int) (page []connection.Connection, next string, err error)
}

// clients tells which providers are configured.
type clients interface {
	Client(ctx context.Context, provider string) (oauth.Client, error)
}

// A page is the web page of local mode. Whatever it changes, it changes by the
// control plane or by a connect link, as a host would.
type page struct {
	url       string // of local mode
	simulated bool
	hosts     bool   // it completes connections
	source    string // where client credentials come from
	store     records
	clients   clients
	control   func(context.Context, json.RawMessage) (connections.Response, error)
	refreshes *counter
	key       connect.Key
	now       func() time.Time
	log       *slog.Logger
}

// controlTime is how long a control plane request may take, as deployed.
const controlTime = time.Minute

// routes returns what the page serves. Paths that change something take POST
// alone.
func (p *page) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.show)
	mux.HandleFunc("POST /connect", p.connect)
	mux.HandleFunc("GET /complete", p.complete)
	mux.HandleFunc("POST /sign-in", p.signIn)
	mux.HandleFunc("POST /issue", p.act("issue"))
	mux.HandleFunc("POST /refresh", p.act("refresh"))
	mux.HandleFunc("POST /disconnect", p.act("disconnect"))
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("POST /control", p.serveControl)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		mux.ServeHTTP(w, r)
	})
}

// show shows the page. What a callback or a form has brought about stands in
// the query.
func (p *page) show(w http.ResponseWriter, r *http.Request) {
	v, err := p.view(r.Context(), r.URL.Query())
	if err != nil {
		p.log.ErrorContext(r.Context(), "page not shown", "err", err)
		http.Error(w, "The data folder cannot be read: the log says why.", http.StatusInternalServerError)
		return
	}
	if p.hosts {
		v.SignedIn = strings.Join(owned(r), ", ")
	}
	p.write(w, pageTemplate, v)
}

// connect makes a connect ticket, as a host's backend does, and sends the
// browser to its link.
func (p *page) connect(w http.ResponseWriter, r *http.Request) {
	k, ok := p.target(w, r)
	if !ok {
		return
	}
	ticket := connect.Ticket{ConnectionID: k.ConnectionID, Provider: k.Provider, ReturnTo: p.url + "/", Params: map[string]string{}}
	for name, values := range r.PostForm {
		if field, ok := strings.CutPrefix(name, "field."); ok && values[0] != "" {
			ticket.Params[field] = values[0]
		}
	}
	link, err := ticket.Link(p.url, p.key, p.now())
	if err != nil {
		p.log.ErrorContext(r.Context(), "no connect link", "err", err)
		p.back(w, r, k, "internal")
		return
	}
	if p.hosts {
		p.setOwned(w, append([]string{k.ConnectionID}, owned(r)...))
	}
	http.Redirect(w, r, link, http.StatusSeeOther)
}

// act returns a handler that has the control plane do action.
func (p *page) act(action string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		k, ok := p.target(w, r)
		if !ok {
			return
		}
		raw, _ := json.Marshal(map[string]string{"action": action, "connection_id": k.ConnectionID, "provider": k.Provider}) // strings: it cannot fail
		resp, err := p.invoke(r.Context(), raw)
		switch {
		case err != nil:
			p.back(w, r, k, "internal")
		case resp.Error != nil:
			p.back(w, r, k, resp.Error.Type)
		default:
			p.back(w, r, k, action)
		}
	}
}

// invoke calls the control plane with the time that the function has.
func (p *page) invoke(ctx context.Context, raw json.RawMessage) (connections.Response, error) {
	ctx, cancel := within(ctx, p.now(), controlTime)
	defer cancel()
	return p.control(ctx, raw)
}

// target returns the connection that a form names. Where it names none that
// can be, the browser is sent back.
func (p *page) target(w http.ResponseWriter, r *http.Request) (connection.Key, bool) {
	k := connection.Key{ConnectionID: strings.TrimSpace(r.PostFormValue("connection_id")), Provider: r.PostFormValue("provider")}
	if _, known := providers.Find(k.Provider); !known || !connection.ValidID(k.ConnectionID) {
		p.back(w, r, connection.Key{}, "invalid_request")
		return connection.Key{}, false
	}
	return k, true
}

// back sends the browser to the page, which says by result what has happened.
func (p *page) back(w http.ResponseWriter, r *http.Request, k connection.Key, result string) {
	q := url.Values{"result": {result}}
	if k != (connection.Key{}) {
		q.Set("provider", k.Provider)
		q.Set("connection_id", k.ConnectionID)
	}
	http.Redirect(w, r, "/?"+q.Encode(), http.StatusSeeOther)
}

// token shows the access token of one connection, on a page that is kept
// nowhere.
func (p *page) token(w http.ResponseWriter, r *http.Request) {
	k, ok := p.target(w, r)
	if !ok {
		return
	}
	c, err := p.store.Get(r.Context(), k)
	if err != nil || c.AccessToken == "" {
		p.back(w, r, k, "not_found")
		return
	}
	row := p.row(c)
	p.write(w, tokenTemplate, tokenView{row: row, Style: template.CSS(style), Script: template.JS(script), Token: c.AccessToken.Reveal(), Type: c.TokenType}) //nolint:gosec // both are our own files
}

// policy is the content security policy of every page: our style and script by
// their hashes, requests to ourselves, and nothing else. It names no
// form-action, since browsers apply that to the provider's page too, to which a
// form's redirect leads.
var policy = "default-src 'none'; style-src " + hashOf(style) + "; script-src " + hashOf(script) +
	"; connect-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'"

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// write writes one page.
func (p *page) write(w http.ResponseWriter, t *template.Template, data any) {
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		p.log.Error("page not written", "err", err)
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	_, _ = w.Write(b.Bytes()) // the browser is gone: nobody to tell
}
