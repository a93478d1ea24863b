package local

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// maxBody is the longest request body that is taken, in bytes. API Gateway
// takes ten megabytes; nothing that is meant for these routes comes near.
const maxBody = 1 << 20

// routeTime is how long a route may take, as at API Gateway.
const routeTime = 30 * time.Second

// A gateway is API Gateway for one route: it hands requests to a Lambda
// handler as an HTTP API does, payload 2.0, and writes its answers back.
type gateway struct {
	handle func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error)
	now    func() time.Time
	log    *slog.Logger
}

// ServeHTTP implements http.Handler.
func (g gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := g.now()
	ev, err := request(r, now)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, "The request is too large.", http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(w, "The request broke off.", http.StatusBadRequest)
		return
	}
	ctx, cancel := within(r.Context(), now, routeTime)
	defer cancel()
	resp, err := g.handle(ctx, ev)
	if err == nil {
		err = respond(w, resp)
	}
	if err != nil {
		g.log.ErrorContext(ctx, "route failed", "route", ev.RouteKey, "err", err)
		http.Error(w, "Internal Server Error", http.StatusInternalServerError)
	}
}

// request returns r as an event: header names in lower case, repeated headers
// joined by commas, cookies in a list of their own, and any body that is not
// text in base64.
func request(r *http.Request, now time.Time) (events.APIGatewayV2HTTPRequest, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		return events.APIGatewayV2HTTPRequest{}, err
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	ev := events.APIGatewayV2HTTPRequest{
		Version:         "2.0",
		RouteKey:        r.Method + " " + strings.TrimPrefix(r.Pattern, r.Method+" "),
		RawPath:         r.URL.Path,
		RawQueryString:  r.URL.RawQuery,
		Cookies:         cookiesOf(r),
		Headers:         headersOf(r),
		PathParameters:  map[string]string{"provider": r.PathValue("provider")},
		Body:            string(body),
		IsBase64Encoded: len(body) > 0 && !isText(r.Header.Get("Content-Type")),
	}
	if ev.IsBase64Encoded {
		ev.Body = base64.StdEncoding.EncodeToString(body)
	}
	ev.RequestContext = events.APIGatewayV2HTTPRequestContext{
		RouteKey: ev.RouteKey, Stage: "$default", APIID: "local", DomainName: host, RequestID: rand.Text(),
		Time: now.UTC().Format("02/Jan/2006:15:04:05 -0700"), TimeEpoch: now.UnixMilli(),
		HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{
			Method: r.Method, Path: r.URL.Path, Protocol: r.Proto, SourceIP: sourceOf(r), UserAgent: r.UserAgent(),
		},
	}
	return ev, nil
}

// cookiesOf returns each cookie as "name=value".
func cookiesOf(r *http.Request) []string {
	var cookies []string
	for _, line := range r.Header.Values("Cookie") {
		for pair := range strings.SplitSeq(line, ";") {
			if pair = strings.TrimSpace(pair); pair != "" {
				cookies = append(cookies, pair)
			}
		}
	}
	return cookies
}

// headersOf returns the headers but the cookies.
func headersOf(r *http.Request) map[string]string {
	headers := map[string]string{"host": r.Host}
	for name, values := range r.Header {
		if name != "Cookie" {
			headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
	}
	return headers
}

func sourceOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// isText reports whether API Gateway hands a body of this type over as it is.
func isText(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch media {
	case "application/json", "application/xml", "application/javascript":
		return true
	}
	return strings.HasPrefix(media, "text/")
}

// respond writes a handler's answer. Its error comes before anything is
// written.
func respond(w http.ResponseWriter, resp events.APIGatewayV2HTTPResponse) error {
	body := []byte(resp.Body)
	if resp.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(resp.Body); err != nil {
			return errors.New("the handler's body is not base64")
		}
	}
	h := w.Header()
	for name, value := range resp.Headers {
		h.Set(name, value)
	}
	for _, cookie := range resp.Cookies {
		h.Add("Set-Cookie", cookie)
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(body) // the client is gone: nobody to tell
	return nil
}
