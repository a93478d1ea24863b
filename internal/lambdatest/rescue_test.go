//go:build proof

package lambdatest_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/evergrant/evergrant/internal/lambdatest"
)

// A person has approved, and DynamoDB takes no connection until the callback has
// to end. The grant is kept, the page says so, and a sweep brings it: nobody
// approves again.
func TestAGrantThatDynamoDBDidNotTakeIsConnectedByASweep(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	service, err := url.Parse(d.DynamoDB.URL)
	if err != nil {
		t.Fatal(err)
	}
	var away atomic.Bool
	proxy := httputil.NewSingleHostReverseProxy(service)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if away.Load() && (err != nil || bytes.Contains(body, []byte(d.Database.ConnectionsTable))) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"com.amazon.coral.service#AccessDeniedException","message":"not now"}`)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	d.change["CallbackFunction"] = values{"AWS_ENDPOINT_URL_DYNAMODB": front.URL}

	b := newBrowser(t)
	back := d.answered(b, "whatnot", "approve")
	away.Store(true)
	for range 2 { // the second one is a reload
		if resp := d.visit(b, back); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(resp.Body, "connected by itself within ten minutes") {
			t.Fatalf("the callback answers %d: %s", resp.StatusCode, resp.Body)
		}
		away.Store(false)
	}
	d.Secrets.Take()
	if s := d.sweep(); s != (summary{}) {
		t.Errorf("sweep = %+v", s)
	}
	row := d.read(connectionID, "whatnot")
	if !slices.Contains(d.Simulator.Ledger("whatnot").LiveAccessTokens, row.AccessToken) {
		t.Errorf("a reader finds no token that works in %+v", row)
	}
	if calls := d.Secrets.Take(); !slices.ContainsFunc(calls, func(call string) bool { return strings.HasPrefix(call, "DeleteSecret") }) {
		t.Errorf("the spill is still there: %q", calls)
	}
	d.ends(d.visit(b, back), "whatnot", "connected")
	d.makeDue(connectionID, "whatnot", "0")
	if s := d.sweep(); s != (summary{Due: 1, Refreshed: 1}) {
		t.Errorf("sweep afterwards = %+v", s)
	}
}
