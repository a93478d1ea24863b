package web

import (
	"context"
	"encoding/json"
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
		"Content-Security-Policy":      policy("", "'none'"),
	}
}

// policy allows nothing but the parts of a page that are given: styles and
// scripts by their hash, and forms to formAction. What is no page has it too:
// nobody can tell what a browser will one day show.
func policy(style, formAction string, scripts ...string) string {
	csp := "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action " + formAction
	if style != "" {
		csp += "; style-src " + hashOf(style)
	}
	for i, s := range scripts {
		if i == 0 {
			csp += "; script-src"
		}
		csp += " " + hashOf(s)
	}
	return csp
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

// Show answers with t as a page. r says what it is about.
func Show(r Request, t Text) Response {
	return page(r, t, "", "'none'")
}

// Problem answers with t as a page or, where the request asks for it, as a
// problem document (RFC 9457). Nothing that a stranger sent stands in it.
func Problem(r Request, t Text) Response {
	resp := Show(r, t)
	if r.WantsJSON {
		resp = document("application/problem+json", t.Status, map[string]any{
			"type": "urn:evergrant:problem:" + t.Type, "title": r.About.name(t.Title), "status": t.Status,
			"detail": r.About.name(t.Detail + " " + t.Next), "reference": r.Reference,
		})
	}
	switch t.Status {
	case http.StatusMethodNotAllowed:
		resp.Headers["Allow"] = t.Allow
	case http.StatusServiceUnavailable, http.StatusAccepted:
		resp.Headers["Retry-After"] = "5"
	}
	return resp
}

// Done answers a request that has ended well, or as the person wished: a page,
// or a JSON object with the result.
func Done(r Request, t Text, result string) Response {
	if r.WantsJSON {
		return document("application/json", t.Status, map[string]any{"result": result})
	}
	r.Reference = "" // there is nothing to look into
	return Show(r, t)
}

// document answers a program. members are strings and numbers.
func document(mediaType string, status int, members map[string]any) Response {
	h := headers()
	h["Content-Type"] = mediaType
	body, _ := json.Marshal(members) // strings and numbers: it cannot fail
	return Response{StatusCode: status, Headers: h, Body: string(body)}
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
