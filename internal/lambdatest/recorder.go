package lambdatest

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// A Recorder stands in front of an AWS service and notes each call.
type Recorder struct {
	URL string

	mu    sync.Mutex
	calls []string
	names map[string]string // what a table or secret is called here, by its name
}

// record starts a Recorder in front of the service at target, until t ends.
func record(t testing.TB, target string, names map[string]string) *Recorder {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	r := &Recorder{names: names}
	proxy := &httputil.ReverseProxy{
		Rewrite:  func(p *httputil.ProxyRequest) { p.SetURL(to) },
		ErrorLog: log.New(io.Discard, "", 0), // a function that is killed leaves broken connections
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			http.Error(w, "the request cannot be read", http.StatusBadRequest)
			return
		}
		r.note(req.Header.Get("X-Amz-Target"), body)
		req.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// note adds one call. Both services speak AWS JSON: the operation stands in a
// header, what it is about in the body.
func (r *Recorder) note(target string, body []byte) {
	var about struct {
		TableName, IndexName, SecretId string
		SecretIdList                   []string
	}
	_ = json.Unmarshal(body, &about) // a call that cannot be read is noted too
	call := target[strings.LastIndex(target, ".")+1:]
	for _, subject := range append(about.SecretIdList, about.TableName, about.SecretId) {
		if name, ok := r.names[subject]; ok {
			subject = name
		}
		if subject != "" {
			call += " " + subject
		}
	}
	if about.IndexName != "" {
		call += "/" + about.IndexName
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, call)
}

// Take returns the calls since it was last called, in their order, such as
// "UpdateItem ConnectionsTable", "Query ConnectionsTable/due" and
// "BatchGetSecretValue SealSecret ConnectSecret".
func (r *Recorder) Take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}
