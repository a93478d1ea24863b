package web

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/eventtest"
)

// event returns an event of the folder events/, with change made to it.
func event(t *testing.T, name string, replace map[string]string, change func(*events.APIGatewayV2HTTPRequest)) events.APIGatewayV2HTTPRequest {
	t.Helper()
	var ev events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(eventtest.Read(t, name, replace), &ev); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&ev)
	}
	return ev
}

// get returns the event of a GET with the given query.
func get(t *testing.T, query string) events.APIGatewayV2HTTPRequest {
	t.Helper()
	return event(t, "authorize.json", map[string]string{"ticket": "x"}, func(ev *events.APIGatewayV2HTTPRequest) { ev.RawQueryString = query })
}

// post returns the event of a POST with the given body, in base64 as API
// Gateway has it.
func post(t *testing.T, body string) events.APIGatewayV2HTTPRequest {
	t.Helper()
	return event(t, "callback-form-post.json", map[string]string{"body": base64.StdEncoding.EncodeToString([]byte(body))}, nil)
}

func TestReadTakesWhatAPIGatewaySays(t *testing.T) {
	r, err := Read(event(t, "callback.json", map[string]string{"code": "c%2B1", "state": "s", "cookie": "a=1"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if r.Method != "GET" || r.Provider != "whiplash" || r.Host != "connect.example.com" || r.Reference != "ZQf5gh2lvHcEJ1Q=" || !r.HasQuery || r.WantsJSON {
		t.Errorf("request = %+v", r)
	}
	if r.Params["code"] != "c+1" || r.Params["state"] != "s" || len(r.Params) != 2 || r.Cookies["a"] != "1" {
		t.Errorf("parameters %v, cookies %v", r.Params, r.Cookies)
	}
}

func TestReadTakesTheProviderFromThePath(t *testing.T) {
	ev := get(t, "")
	ev.PathParameters = nil
	if r, _ := Read(ev); r.Provider != "whiplash" || r.HasQuery {
		t.Errorf("provider = %q, query %v", r.Provider, r.HasQuery)
	}
	if r, err := Read(events.APIGatewayV2HTTPRequest{}); r.Provider != "" || err != nil {
		t.Errorf("an empty event reads as %+v, %v", r, err)
	}
}

func TestReadTellsAWindowFromWhatIsEmbedded(t *testing.T) {
	for dest, want := range map[string]bool{"": false, "document": false, "iframe": true, "image": true, "script": true, "empty": true} {
		r, err := Read(with(get(t, ""), func(ev *events.APIGatewayV2HTTPRequest) { ev.Headers["sec-fetch-dest"] = dest }))
		if err != nil || r.Embedded != want {
			t.Errorf("sec-fetch-dest %q: embedded is %v, %v", dest, r.Embedded, err)
		}
	}
	r, err := Read(with(get(t, ""), func(ev *events.APIGatewayV2HTTPRequest) { delete(ev.Headers, "sec-fetch-dest") }))
	if err != nil || r.Embedded {
		t.Errorf("a browser that does not tell: embedded is %v, %v", r.Embedded, err)
	}
}

// A canary stands in each of these requests, and in none of the errors.
const canary = "c4nary-in-a-request"

func TestReadIsStrict(t *testing.T) {
	var many []string
	for i := range 300 {
		many = append(many, "p"+strconv.Itoa(i)+"=")
	}
	tests := []struct {
		name string
		ev   events.APIGatewayV2HTTPRequest
		want map[string]string // nil: an error
	}{
		{"no query", get(t, ""), map[string]string{}},
		{"empty pairs count for nothing", get(t, "&&a=1&"), map[string]string{"a": "1"}},
		{"a name alone is empty", get(t, "a"), map[string]string{"a": ""}},
		{"values are decoded once", get(t, "a=%252B+%2B%3D=&b=%C3%A9"), map[string]string{"a": "%2B +==", "b": "é"}},
		{"commas are part of a value", get(t, "a=1,2"), map[string]string{"a": "1,2"}},
		{"the same parameter twice", get(t, "a="+canary+"&a="+canary), nil},
		{"the same parameter twice, one of them encoded", get(t, "a=1&%61="+canary), nil},
		{"bad percent encoding of a value", get(t, "a="+canary+"%zz"), nil},
		{"bad percent encoding of a name", get(t, canary+"%=1"), nil},
		{"a value that is not UTF-8", get(t, "a="+canary+"%ff"), nil},
		{"a name that is not UTF-8", get(t, canary+"%ff=1"), nil},
		{"a query of 8 kB", get(t, "a="+strings.Repeat("x", 8190)), map[string]string{"a": strings.Repeat("x", 8190)}},
		{"a query of 9 kB", get(t, "a="+canary+strings.Repeat("x", 9000)), nil},
		{"300 parameters", get(t, strings.Join(many, "&")), nil},
		{"a form in base64", post(t, "a=1+2&b=%3D"), map[string]string{"a": "1 2", "b": "="}},
		{"an empty form", post(t, ""), map[string]string{}},
		{"a form with the same parameter twice", post(t, "a=1&a="+canary), nil},
		{"a form of 33 kB", post(t, "a="+canary+strings.Repeat("x", 33<<10)), nil},
		{"a form as text", with(post(t, ""), func(ev *events.APIGatewayV2HTTPRequest) { ev.Body, ev.IsBase64Encoded = "a=1", false }), map[string]string{"a": "1"}},
		{"a form that is not base64", with(post(t, ""), func(ev *events.APIGatewayV2HTTPRequest) { ev.Body = "%" + canary }), nil},
		{"a form with a charset", with(post(t, "a=1"), func(ev *events.APIGatewayV2HTTPRequest) {
			ev.Headers["content-type"] = "application/x-www-form-urlencoded; charset=UTF-8"
		}), map[string]string{"a": "1"}},
		{"a body that is no form", with(post(t, `{"a":"`+canary+`"}`), func(ev *events.APIGatewayV2HTTPRequest) { ev.Headers["content-type"] = "application/json" }), nil},
		{"a body without a type", with(post(t, "a=1"), func(ev *events.APIGatewayV2HTTPRequest) { delete(ev.Headers, "content-type") }), nil},
		{"a prefetch", with(get(t, "a="+canary), func(ev *events.APIGatewayV2HTTPRequest) { ev.Headers["sec-purpose"] = "prefetch" }), nil},
		{"a prefetch as Chrome used to say it", with(get(t, "a="+canary), func(ev *events.APIGatewayV2HTTPRequest) { ev.Headers["purpose"] = "prefetch" }), nil},
		{"a prefetch as Firefox used to say it", with(get(t, "a="+canary), func(ev *events.APIGatewayV2HTTPRequest) { ev.Headers["x-moz"] = "prefetch" }), nil},
		{"a preview as Safari says it", with(get(t, "a="+canary), func(ev *events.APIGatewayV2HTTPRequest) { ev.Headers["x-purpose"] = "Preview" }), nil},
		{"a prerender", with(get(t, "a="+canary), func(ev *events.APIGatewayV2HTTPRequest) { ev.Headers["sec-purpose"] = "prefetch;prerender" }), nil},
		{"a form takes nothing from the query", with(post(t, "a=1"), func(ev *events.APIGatewayV2HTTPRequest) { ev.RawQueryString = "b=2" }), map[string]string{"a": "1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Read(tt.ev)
			if (err == nil) != (tt.want != nil) {
				t.Fatalf("error = %v", err)
			}
			if err != nil {
				if strings.Contains(err.Error(), canary) {
					t.Errorf("the error repeats the request: %v", err)
				}
				if r.Provider == "" || r.Reference == "" {
					t.Errorf("nothing to answer with: %+v", r)
				}
				return
			}
			if len(r.Params) != len(tt.want) {
				t.Errorf("parameters = %v", r.Params)
			}
			for name, want := range tt.want {
				if r.Params[name] != want {
					t.Errorf("%s = %q, want %q", name, r.Params[name], want)
				}
			}
		})
	}
}

func with(ev events.APIGatewayV2HTTPRequest, change func(*events.APIGatewayV2HTTPRequest)) events.APIGatewayV2HTTPRequest {
	change(&ev)
	return ev
}

func TestReadTakesTheFirstCookieOfAName(t *testing.T) {
	ev := get(t, "")
	ev.Cookies = []string{"a=1", "b=2=3; c=", " a=4", "broken", "d=5;e=6"}
	r, err := Read(ev)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": "1", "b": "2=3", "c": "", "d": "5", "e": "6"} {
		if got, ok := r.Cookies[name]; !ok || got != want {
			t.Errorf("cookie %s = %q, %v, want %q", name, got, ok, want)
		}
	}
	if len(r.Cookies) != 5 {
		t.Errorf("cookies = %v", r.Cookies)
	}
}

func TestOnlyProgramsGetJSON(t *testing.T) {
	tests := []struct {
		accept string
		want   bool
	}{
		{"", false},
		{"*/*", false},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false},
		{"application/json", true},
		{"application/problem+json, application/json;q=0.9", true},
		{"Application/JSON", true},
		{"text/html, application/json;q=0.1", false},
	}
	for _, tt := range tests {
		ev := get(t, "")
		ev.Headers["accept"] = tt.accept
		if r, _ := Read(ev); r.WantsJSON != tt.want {
			t.Errorf("Accept: %s asks for JSON: %v", tt.accept, r.WantsJSON)
		}
	}
}

// What a client sends is never part of the public URL.
func TestPublicURLIsTheSettingOrTheDomainName(t *testing.T) {
	ev := get(t, "")
	for _, name := range []string{"host", "x-forwarded-host", "forwarded", "origin", "referer"} {
		ev.Headers[name] = "evil.example"
	}
	ev.Headers["x-forwarded-proto"] = "http"
	r, _ := Read(ev)
	tests := []struct {
		configured string
		want       string
		https      bool
	}{
		{"", "https://connect.example.com", true},
		{"https://oauth.example.org/evergrant", "https://oauth.example.org/evergrant", true},
		{"https://oauth.example.org/", "https://oauth.example.org", true},
		{"http://localhost:8788", "http://localhost:8788", false},
	}
	for _, tt := range tests {
		if got, https := PublicURL(tt.configured, r); got != tt.want || https != tt.https {
			t.Errorf("PublicURL(%q) = %s, %v", tt.configured, got, https)
		}
	}
}
