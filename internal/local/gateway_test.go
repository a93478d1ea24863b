package local

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/canary"
)

// serve sends r through a gateway in front of handle.
func serve(t *testing.T, r *http.Request, handle func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error)) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/callback/{provider}", gateway{handle: handle, now: time.Now, log: canary.Log(t)})
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

func TestARequestReachesTheHandlerAsAPIGatewayHandsItOver(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), "GET", "http://localhost:8788/callback/whatnot?code=a%2Bb&state=s&state=t", nil)
	r.Header.Add("Cookie", "one=1; two=2")
	r.Header.Add("Cookie", "three=3")
	r.Header.Add("Accept", "text/html")
	r.Header.Add("Accept", "text/plain")
	var got events.APIGatewayV2HTTPRequest
	serve(t, r, func(ctx context.Context, ev events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		got = ev
		if d, ok := ctx.Deadline(); !ok || time.Until(d) > routeTime {
			t.Errorf("deadline = %v, %v, want one within %v", d, ok, routeTime)
		}
		return events.APIGatewayV2HTTPResponse{StatusCode: 204}, nil
	})
	if got.Version != "2.0" || got.RawPath != "/callback/whatnot" || got.RawQueryString != "code=a%2Bb&state=s&state=t" {
		t.Errorf("version %q, path %q, query %q", got.Version, got.RawPath, got.RawQueryString)
	}
	if want := []string{"one=1", "two=2", "three=3"}; !slices.Equal(got.Cookies, want) {
		t.Errorf("cookies = %v, want %v", got.Cookies, want)
	}
	if want := map[string]string{"host": "localhost:8788", "accept": "text/html,text/plain"}; !maps.Equal(got.Headers, want) {
		t.Errorf("headers = %v, want %v", got.Headers, want)
	}
	if c := got.RequestContext; c.HTTP.Method != "GET" || c.DomainName != "localhost" || len(c.RequestID) < 16 || got.PathParameters["provider"] != "whatnot" {
		t.Errorf("context = %+v, parameters = %v", c, got.PathParameters)
	}
}

func TestABodyThatIsNotTextIsBase64(t *testing.T) {
	tests := []struct {
		contentType, body string
		base64            bool
	}{
		{"application/x-www-form-urlencoded", "a=1", true},
		{"application/octet-stream", "\x00\xff", true},
		{"", "a", true},
		{"application/json; charset=utf-8", `{}`, false},
		{"text/plain", "hello", false},
		{"text/plain", "", false},
		{"application/octet-stream", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.contentType+" "+tt.body, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/callback/whisk", strings.NewReader(tt.body))
			r.Header.Set("Content-Type", tt.contentType)
			serve(t, r, func(_ context.Context, ev events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
				body := []byte(ev.Body)
				if ev.IsBase64Encoded {
					body, _ = base64.StdEncoding.DecodeString(ev.Body)
				}
				if ev.IsBase64Encoded != tt.base64 || string(body) != tt.body {
					t.Errorf("body = %q, base64 %v", ev.Body, ev.IsBase64Encoded)
				}
				return events.APIGatewayV2HTTPResponse{StatusCode: 204}, nil
			})
		})
	}
}

func TestAnAnswerIsWrittenBack(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/callback/whisk", nil)
	resp := serve(t, r, func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		return events.APIGatewayV2HTTPResponse{
			StatusCode: 303, Headers: map[string]string{"Location": "/x"}, Cookies: []string{"a=1; Path=/", "b=2"},
			Body: base64.StdEncoding.EncodeToString([]byte("hi")), IsBase64Encoded: true,
		}, nil
	})
	if resp.Code != 303 || resp.Header().Get("Location") != "/x" || resp.Body.String() != "hi" || !slices.Equal(resp.Header().Values("Set-Cookie"), []string{"a=1; Path=/", "b=2"}) {
		t.Errorf("status %d, header %v, body %q", resp.Code, resp.Header(), resp.Body)
	}
}

func TestWhatCannotBeHandedOverIsRefused(t *testing.T) {
	good := events.APIGatewayV2HTTPResponse{StatusCode: 200}
	tests := []struct {
		name string
		body io.Reader
		resp events.APIGatewayV2HTTPResponse
		err  error
		want int
	}{
		{"a body that is too large", bytes.NewReader(make([]byte, maxBody+1)), good, nil, 413},
		{"a body that breaks off", io.MultiReader(strings.NewReader("a"), broken{}), good, nil, 400},
		{"a handler that fails", nil, good, errors.New("secret"), 500},
		{"an answer that is not the base64 it says", nil, events.APIGatewayV2HTTPResponse{StatusCode: 200, Body: "%", IsBase64Encoded: true}, nil, 500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/callback/whisk", tt.body)
			resp := serve(t, r, func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
				return tt.resp, tt.err
			})
			if resp.Code != tt.want || strings.Contains(resp.Body.String(), "secret") {
				t.Errorf("status %d %q, want %d", resp.Code, resp.Body, tt.want)
			}
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
