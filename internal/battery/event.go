package battery

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"
)

// Event returns r as API Gateway hands it to a function (HTTP API, payload 2.0,
// "Create AWS Lambda proxy integrations for HTTP APIs", read 2026-11-23). A form
// comes in base64.
func Event(r Request) events.APIGatewayV2HTTPRequest {
	provider := r.Path[strings.LastIndex(r.Path, "/")+1:]
	ev := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "ANY " + strings.TrimSuffix(r.Path, provider) + "{provider}", RawPath: r.Path, RawQueryString: r.Query,
		Cookies: r.Cookies, Headers: map[string]string{"host": host}, PathParameters: map[string]string{"provider": provider},
		QueryStringParameters: map[string]string{},
	}
	query, _ := url.ParseQuery(r.Query) // what it can read of it
	for name, values := range query {
		ev.QueryStringParameters[name] = strings.Join(values, ",")
	}
	for name, value := range r.Header {
		ev.Headers[name] = value
	}
	if r.Body != "" {
		ev.Body, ev.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte(r.Body)), true
	}
	ev.RequestContext = events.APIGatewayV2HTTPRequestContext{
		RouteKey: ev.RouteKey, Stage: "$default", DomainName: host, RequestID: rand.Text() + "=", APIID: "a1b2c3d4e5",
		HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{Method: r.Method, Path: r.Path, Protocol: "HTTP/1.1", SourceIP: "203.0.113.10"},
	}
	return ev
}

// host is where events come from, whatever their Host header says.
const host = "connect.example.com"

// Answered returns a function's answer as a browser gets it.
func Answered(resp events.APIGatewayV2HTTPResponse) Answer {
	a := Answer{Status: resp.StatusCode, Header: map[string]string{}, Cookies: resp.Cookies, Body: resp.Body}
	for name, value := range resp.Headers {
		a.Header[http.CanonicalHeaderKey(name)] = value
	}
	return a
}
