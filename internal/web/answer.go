package web

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/events"
)

// A Response is what API Gateway takes (payload 2.0).
type Response = events.APIGatewayV2HTTPResponse

// headers returns what every answer carries.
func headers() map[string]string {
	return map[string]string{
		"Cache-Control":                "no-store",
		"Referrer-Policy":              "no-referrer",
		"X-Content-Type-Options":       "nosniff",
		"Strict-Transport-Security":    "max-age=31536000; includeSubDomains",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
	}
}

// Redirect sends the browser to location. status is 302 or 303: 307 and 308
// would send a form on (RFC 9700 section 4.12).
func Redirect(status int, location string, setCookies ...string) Response {
	h := headers()
	h["Location"] = location
	return Response{StatusCode: status, Headers: h, Cookies: setCookies}
}

// WithQuery returns the URL with params added at the end of its query, each
// instead of those of the same name. The rest of the query stays as it is
// written: its owner may read it in ways of its own.
func WithQuery(to string, params map[string]string) string {
	u, err := url.Parse(to)
	if err != nil {
		return to
	}
	var pairs []string
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		raw, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(raw)
		if _, ours := params[name]; pair != "" && (err != nil || !ours) {
			pairs = append(pairs, pair)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		pairs = append(pairs, url.QueryEscape(name)+"="+url.QueryEscape(params[name]))
	}
	u.RawQuery = strings.Join(pairs, "&")
	return u.String()
}

// Show answers with a page.
func Show(status int, p Page) Response {
	return page(status, p, "", "'none'")
}

// Problem answers with t as a page or, where the request asks for it, as a
// problem document (RFC 9457). Nothing of the request stands in it.
func Problem(r Request, t Text) Response {
	h := headers()
	var resp Response
	if r.WantsJSON {
		h["Content-Type"] = "application/problem+json"
		body, _ := json.Marshal(map[string]any{ // strings and a number: it cannot fail
			"type": "urn:evergrant:problem:" + t.Type, "title": t.Title, "status": t.Status, "detail": t.Detail, "reference": r.Reference,
		})
		resp = Response{StatusCode: t.Status, Headers: h, Body: string(body)}
	} else {
		resp = Show(t.Status, Page{Title: t.Title, Text: t.Detail, Reference: r.Reference})
	}
	switch t.Status {
	case http.StatusMethodNotAllowed:
		resp.Headers["Allow"] = t.Allow
	case http.StatusServiceUnavailable, http.StatusAccepted:
		resp.Headers["Retry-After"] = "5"
	}
	return resp
}

// Refuse answers with t, and logs why a route refused r. What is ours to mend
// is an error in the log. The provider is a stranger's text until it is known.
func Refuse(ctx context.Context, log *slog.Logger, r Request, t Text, route string, err error) Response {
	level, provider := slog.LevelInfo, r.Provider
	if t.Status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	if t.Type == UnknownProvider.Type {
		provider = "unknown"
	}
	log.Log(ctx, level, "request refused", "route", route, "provider", provider, "status", t.Status, "reference", r.Reference, "err", err)
	return Problem(r, t)
}

// A Page is one message to a person.
type Page struct {
	Title     string
	Text      string
	Reference string // finds the log line; may be empty
	Good      bool   // a success
}

const style = `:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--paper:#f4f6f8;--card:#fff;--line:#dfe4ea;--good:#1a7f4b;--bad:#b3541e}
@media(prefers-color-scheme:dark){:root{--ink:#e8ecf1;--soft:#9aa6b4;--paper:#12161c;--card:#1b2129;--line:#2c343f;--good:#4cc38a;--bad:#f0a070}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;background:var(--paper);color:var(--ink);font:1.0625rem/1.55 system-ui,sans-serif}
main{width:100%;max-width:30rem;background:var(--card);border:1px solid var(--line);border-top:4px solid var(--bad);border-radius:.75rem;padding:2rem}
main.good{border-top-color:var(--good)}h1{margin:0 0 .75rem;font-size:1.4rem;line-height:1.25}p{margin:0}
small{display:block;margin-top:1.5rem;color:var(--soft);overflow-wrap:anywhere}button{font:inherit;margin-top:1.25rem;padding:.6rem 1.1rem;border:0;border-radius:.5rem;background:var(--ink);color:var(--card)}`

// page writes p with extra markup at its end, and a policy that allows our own
// style, the scripts in extra by their hash, and forms to formAction.
func page(status int, p Page, extra, formAction string, scripts ...string) Response {
	class := ""
	if p.Good {
		class = ` class="good"`
	}
	var b strings.Builder
	b.WriteString(`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>`)
	b.WriteString(html.EscapeString(p.Title))
	b.WriteString(`</title><style>` + style + `</style></head><body><main` + class + `><h1>`)
	b.WriteString(html.EscapeString(p.Title) + `</h1><p>` + html.EscapeString(p.Text) + `</p>` + extra)
	if p.Reference != "" {
		b.WriteString(`<small>Reference: ` + html.EscapeString(p.Reference) + `</small>`)
	}
	b.WriteString(`</main></body></html>`)
	h := headers()
	h["Content-Type"] = "text/html; charset=utf-8"
	csp := "default-src 'none'; style-src " + hashOf(style) + "; base-uri 'none'; frame-ancestors 'none'; form-action " + formAction
	if len(scripts) > 0 {
		csp += "; script-src"
		for _, s := range scripts {
			csp += " " + hashOf(s)
		}
	}
	h["Content-Security-Policy"] = csp
	return Response{StatusCode: status, Headers: h, Body: b.String()}
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// formTargets are where the forms of our own pages may lead. They post to
// ourselves, but browsers hold the redirect that answers a form to this list
// too (form-action of CSP level 3), and that one goes to the host.
const formTargets = "'self' https: http://localhost:*"

const submitScript = `document.forms[0].submit()`

// PostAgain answers a cross-site post, which carries no Lax cookie, with a page
// that posts fields again to the same path from our own origin.
func PostAgain(fields map[string]string) Response {
	var form strings.Builder
	form.WriteString(`<form method="post">`)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		form.WriteString(`<input type="hidden" name="` + html.EscapeString(name) + `" value="` + html.EscapeString(fields[name]) + `">`)
	}
	form.WriteString(`<button>` + goOn + `</button></form><script>` + submitScript + `</script>`)
	return page(http.StatusOK, continuing, form.String(), formTargets, submitScript)
}

// fragmentScript moves the fragment's parameters into a form of the same names.
const fragmentScript = `for(const[k,v]of new URLSearchParams(location.hash.slice(1))){const i=document.createElement("input");i.type="hidden";i.name=k;i.value=v;document.forms[0].append(i)}history.replaceState(null,"",location.pathname);document.forms[0].submit()`

// PostFragment answers with a page that posts the URL's fragment to the same
// path: the implicit grant's answer never reaches a server by itself.
func PostFragment() Response {
	extra := `<form method="post"><button>` + goOn + `</button></form><script>` + fragmentScript + `</script>`
	return page(http.StatusOK, continuing, extra, formTargets, fragmentScript)
}

// Done answers a request that has ended well, or as the person wished: a page,
// or a JSON object with the result.
func Done(r Request, p Page, result string) Response {
	if !r.WantsJSON {
		return Show(http.StatusOK, p)
	}
	h := headers()
	h["Content-Type"] = "application/json"
	body, _ := json.Marshal(map[string]string{"result": result}) // strings: it cannot fail
	return Response{StatusCode: http.StatusOK, Headers: h, Body: string(body)}
}
