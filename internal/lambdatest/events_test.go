package lambdatest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/eventtest"
	"github.com/evergrant/evergrant/internal/lambdatest"
	"github.com/evergrant/evergrant/internal/simulator"
)

// Values are what stands for the placeholders of an event.
type values = map[string]string

// ticket brings a connect ticket.
func ticket(provider string) func(*deployment) values {
	return func(d *deployment) values { return values{"ticket": d.link(provider).Query().Get("ticket")} }
}

// after lets a person click button at the provider, and brings of what the
// browser has then the values with the given names: code, state, cookie, or
// body, the provider's answer as a form that API Gateway has encoded.
func after(provider, button string, names ...string) func(*deployment) values {
	return func(d *deployment) values {
		b := newBrowser(d.t)
		back := d.answered(b, provider, button)
		form := back.RawQuery
		if form == "" {
			form = back.EscapedFragment()
		}
		all := values{
			"code": back.Query().Get("code"), "state": back.Query().Get("state"), "cookie": b.sent()[0],
			"body": base64.StdEncoding.EncodeToString([]byte(form)),
		}
		some := values{}
		for _, name := range names {
			some[name] = all[name]
		}
		return some
	}
}

// due lets a connection's time pass. It is made to wait in shard 3, which
// refresh-hints.json names.
func due(provider string) func(*deployment) values {
	return func(d *deployment) values {
		d.makeDue(connectionID, provider, "3")
		return nil
	}
}

// served are the events in their order, each with what it meets and how it is
// answered. Status is 0 for an answer that is not HTTP; text stands in the
// place that a redirect names, else in the answer.
var served = []struct {
	file   string
	given  func(*deployment) values
	status int
	text   string
}{
	{"authorize.json", ticket("whiplash"), 302, "/whiplash/oauth/authorize?"},
	{"authorize.json", ticket("whatnot"), 403, "This link does not work"},
	{"authorize-head.json", ticket("whiplash"), 405, ""},
	{"authorize-no-ticket.json", nil, 403, "This link does not work"},
	{"authorize-json.json", nil, 403, `"type":"urn:evergrant:problem:ticket-invalid"`},
	{"authorize-unsigned.json", nil, 403, "This link does not work"},
	{"authorize-unsigned.json", unsigned, 302, "/whatnot/seller-api/rest/oauth/authorize?"},

	{"callback-no-cookie.json", after("whiplash", "approve", "code", "state"), 403, "the browser where you started"},
	{"callback-repeated.json", after("whiplash", "approve", "code", "state", "cookie"), 400, "Please start again"},
	{"callback-denied.json", after("whiplash", "deny", "state", "cookie"), 303, "result=denied"},
	{"callback.json", after("whiplash", "approve", "code", "state", "cookie"), 303, "result=connected"},
	{"callback-whcc-denied.json", after("whcc", "deny", "state", "cookie"), 303, "result=denied"},
	{"callback-whcc.json", after("whcc", "approve", "state", "cookie"), 303, "result=connected"},
	{"callback-form-post.json", after("whatnot", "approve", "body"), 200, `<form method="post">`},
	{"callback-form-post-again.json", after("whatnot", "approve", "body", "cookie"), 303, "result=connected"},
	{"callback-fragment.json", after("whisk", "approve", "cookie"), 200, "location.hash"},
	{"callback-fragment-post.json", after("whisk", "approve", "body", "cookie"), 303, "result=connected"},

	{"refresh.json", nil, 0, `{"due":0,"refreshed":0,"failed":0,"skipped":0,"remaining":0}`},
	{"refresh.json", due("whiplash"), 0, `{"due":1,"refreshed":1,"failed":0,"skipped":0,"remaining":0}`},
	{"refresh-rule.json", due("whiplash"), 0, `{"due":1,"refreshed":1,"failed":0,"skipped":0,"remaining":0}`},
	{"refresh-hints.json", due("whiplash"), 0, `{"batchItemFailures":null}`},
	{"refresh-sweep.json", nil, 0, `{"due":0,`}, // the hint was enough
	{"refresh-sweep.json", due("whatnot"), 0, `{"due":1,"refreshed":1,"failed":0,"skipped":0,"remaining":0}`},

	{"connections-import-static.json", nil, 0, `"connection_status":"active"`},
	{"connections-import.json", nil, 0, `"connection_status":"active"`},
	{"connections-issue.json", nil, 0, `"connection_status":"active"`},
	{"connections-complete.json", nil, 0, `"type":"invalid_handle"`},
	{"connections-get.json", nil, 0, `{"connection":{"connection_id":"acct_42","provider":"whatnot","connection_status":"active"`},
	{"connections-list.json", nil, 0, `{"connections":[{"connection_id":"acct_42","provider":"whatnot"`},
	{"connections-list-status.json", nil, 0, `{"connections":[{"connection_id":"acct_42",`},
	{"connections-list-page.json", cursor, 0, `{"connections":[{"connection_id":"acct_42",`},
	{"connections-refresh.json", nil, 0, `"connection_status":"active"`},
	{"connections-refresh-token.json", tokenHash, 0, `"connection_status":"active"`},
	{"connections-disconnect.json", nil, 0, `"connection_status":"disconnected"`},

	{"events-connected.json", nil, 0, `{"batchItemFailures":null}`},
	{"events-refreshed.json", nil, 0, `{"batchItemFailures":null}`},
	{"events-reauthorization.json", nil, 0, `{"batchItemFailures":null}`},
	{"events-disconnected.json", nil, 0, `{"batchItemFailures":null}`},
}

// forEvents is the world that the events take.
var forEvents = lambdatest.Config{
	// What connections-import.json brings was granted elsewhere.
	Grants: []simulator.Grant{{Provider: "whiplash", Username: "ada", Scopes: []string{"user_read"}, Refresh: simulator.Token{Value: "8c488ab5f75d61"}}},
	Client: func(provider string, secret map[string]any) {
		if provider == "whisk" {
			secret["response_type"] = "token"
		}
	},
}

// unsigned lets the authorize function take requests without a ticket.
func unsigned(d *deployment) values {
	d.change["AuthorizeFunction"] = values{"ALLOW_UNSIGNED_CONNECT": "true"}
	d.kill("AuthorizeFunction")
	return nil
}

// cursor asks for a page of connections, and brings the cursor of the next one.
func cursor(d *deployment) values {
	page := d.ask("list", "", "", map[string]any{"limit": 1})
	return values{"cursor": page.Cursor}
}

// tokenHash brings what a reader says of a token that did not work.
func tokenHash(d *deployment) values {
	return values{"token_hash": fmt.Sprintf("%x", sha256.Sum256([]byte(d.read(connectionID, "whiplash").AccessToken)))}
}

// takes returns the function that an event is for: the prefix of its file is
// the function's folder.
func takes(file string) string {
	prefix, _, _ := strings.Cut(strings.TrimSuffix(file, ".json"), "-")
	return strings.ToUpper(prefix[:1]) + prefix[1:] + "Function"
}

func TestEveryEventIsServedByItsFunction(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir("../../events")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, s := range served {
		listed[s.file] = true
	}
	for _, f := range files {
		if f.IsDir() {
			continue // the schemas of what the host is told
		}
		if bootstraps(t)[takes(f.Name())] == "" {
			t.Errorf("events/%s: no function has that prefix", f.Name())
		}
		if !listed[f.Name()] {
			t.Errorf("events/%s: say in served how it is answered", f.Name())
		}
	}
	d := deploy(t, forEvents)
	for _, s := range served {
		var replace values
		if s.given != nil {
			replace = s.given(d)
		}
		var answer json.RawMessage
		d.invoke(takes(s.file), eventtest.Read(t, s.file, replace), &answer)
		if s.status == 0 {
			if !strings.Contains(string(answer), s.text) {
				t.Errorf("%s is answered by %s, want %s", s.file, answer, s.text)
			}
			continue
		}
		var resp events.APIGatewayV2HTTPResponse
		if err := json.Unmarshal(answer, &resp); err != nil {
			t.Fatalf("%s is answered by %s: %v", s.file, answer, err)
		}
		shown := resp.Headers["Location"]
		if shown == "" {
			shown = resp.Body
		}
		if resp.StatusCode != s.status || !strings.Contains(shown, s.text) {
			t.Errorf("%s is answered by %d %s, want %d %s", s.file, resp.StatusCode, shown, s.status, s.text)
		}
		if _, err := url.Parse(resp.Headers["Location"]); err != nil {
			t.Errorf("%s: %v", s.file, err)
		}
	}
}
