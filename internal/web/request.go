package web

import (
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// The most that a request may bring.
const (
	maxQuery  = 8 << 10  // bytes
	maxForm   = 32 << 10 // bytes
	maxParams = 100
)

// A Request is what the handlers look at of an HTTP request.
type Request struct {
	Method    string
	Provider  string // the last part of the path
	Params    map[string]string
	Cookies   map[string]string
	Host      string // as API Gateway names itself, never a header
	WantsJSON bool
	Reference string // finds the log line of this request
	HasQuery  bool
	About     About // what is known of it beyond the request itself; handlers fill it in

	// Embedded says that the answer is for a frame, an image, a script or a
	// fetch, and not for a window (Fetch Metadata, section 2.1). A browser that
	// does not tell is believed.
	Embedded bool
}

// Read reads ev. The parameters are those of the query, or of the form if the
// request is a POST. A parameter that comes twice is an error, since payload
// 2.0 joins repeated ones with commas and nobody could tell (RFC 6749 section
// 3.1). So is what a browser fetches ahead (Fetch, section 3.8): nobody has
// opened it yet, and a browser throws a refusal away. The Request is usable for
// an answer even where there is an error.
func Read(ev events.APIGatewayV2HTTPRequest) (Request, error) {
	r := Request{
		Method:    ev.RequestContext.HTTP.Method,
		Provider:  ev.PathParameters["provider"],
		Host:      ev.RequestContext.DomainName,
		WantsJSON: wantsJSON(ev.Headers["accept"]),
		Reference: ev.RequestContext.RequestID,
		Cookies:   cookies(ev.Cookies),
		HasQuery:  ev.RawQueryString != "",
	}
	if dest := ev.Headers["sec-fetch-dest"]; dest != "" && dest != "document" {
		r.Embedded = true
	}
	if r.Provider == "" {
		r.Provider = ev.RawPath[strings.LastIndex(ev.RawPath, "/")+1:]
	}
	if ahead(ev.Headers) {
		return r, errors.New("a browser fetches it ahead, and nobody has opened it")
	}
	if len(ev.RawQueryString) > maxQuery {
		return r, fmt.Errorf("the query is longer than %d bytes", maxQuery)
	}
	raw := ev.RawQueryString
	if r.Method == http.MethodPost {
		var err error
		if raw, err = form(ev); err != nil {
			return r, err
		}
	}
	var err error
	r.Params, err = parameters(raw)
	return r, err
}

// ahead reports whether a browser loads what nobody has opened yet. The header
// is Sec-Purpose; the others are what browsers sent before there was one.
func ahead(headers map[string]string) bool {
	for _, name := range []string{"sec-purpose", "purpose", "x-purpose", "x-moz"} {
		if v := strings.ToLower(headers[name]); strings.Contains(v, "prefetch") || strings.Contains(v, "preview") {
			return true
		}
	}
	return false
}

// form returns the body of a form-encoded POST.
func form(ev events.APIGatewayV2HTTPRequest) (string, error) {
	if typ, _, err := mime.ParseMediaType(ev.Headers["content-type"]); err != nil || typ != "application/x-www-form-urlencoded" {
		return "", errors.New("the body must be application/x-www-form-urlencoded")
	}
	body := ev.Body
	if ev.IsBase64Encoded {
		b, err := base64.StdEncoding.DecodeString(body)
		if err != nil {
			return "", errors.New("the body is not base64")
		}
		body = string(b)
	}
	if len(body) > maxForm {
		return "", fmt.Errorf("the form is longer than %d bytes", maxForm)
	}
	return body, nil
}

// parameters reads a query or form. Its errors name no value, and a name only
// if it is a plain word.
func parameters(raw string) (map[string]string, error) {
	params := map[string]string{}
	if raw == "" {
		return params, nil
	}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, errors.New("a parameter is not properly encoded")
		}
		if _, twice := params[name]; twice {
			return nil, errors.New("a parameter is there twice")
		}
		params[name] = value
		if len(params) > maxParams {
			return nil, fmt.Errorf("there are more than %d parameters", maxParams)
		}
	}
	return params, nil
}

// cookies reads the cookies that payload 2.0 lists, the first of each name.
func cookies(list []string) map[string]string {
	all := map[string]string{}
	for _, c := range list {
		for pair := range strings.SplitSeq(c, ";") {
			name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
			if _, known := all[name]; ok && !known {
				all[name] = value
			}
		}
	}
	return all
}

// wantsJSON reports whether an Accept header asks for JSON and not for a page.
func wantsJSON(accept string) bool {
	accept = strings.ToLower(accept)
	return strings.Contains(accept, "json") && !strings.Contains(accept, "text/html")
}

// PublicURL returns the URL that the world knows this deployment by, without a
// slash at its end, and whether it is https. configured wins; else it is the
// host that API Gateway names.
func PublicURL(configured string, r Request) (base string, https bool) {
	if configured == "" {
		configured = "https://" + r.Host
	}
	return strings.TrimSuffix(configured, "/"), strings.HasPrefix(configured, "https://")
}
