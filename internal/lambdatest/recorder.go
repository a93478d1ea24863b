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

// A Recorder stands in front of an AWS service and notes each call. It refuses those
// that the template does not allow.
type Recorder struct {
	URL string

	mu     sync.Mutex
	calls  []string
	served func(call string) // called after each call that was served, if set
	names  map[string]string // what a table or secret is called here, by its name
}

// OnServed lets f be called after each call that was served, as Take names it.
func (r *Recorder) OnServed(f func(call string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.served = f
}

// record starts a Recorder in front of the service at target, until t ends.
func record(t testing.TB, g *guard, target string, names map[string]string) *Recorder {
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
		call, served := r.note(req.Header.Get("X-Amz-Target"), body)
		body, refusal := g.admits(req, body)
		if refusal != "" {
			refuse(w, refusal)
			return
		}
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		proxy.ServeHTTP(w, req)
		if served != nil {
			served(call)
		}
	}))
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// note adds one call. All services speak AWS JSON: the operation stands in a
// header, what it is about in the body.
func (r *Recorder) note(target string, body []byte) (call string, served func(string)) {
	var about struct {
		TableName, IndexName, SecretId string
		SecretIdList                   []string
	}
	_ = json.Unmarshal(body, &about) // a call that cannot be read is noted too
	call = target[strings.LastIndex(target, ".")+1:]
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
	return call, r.served
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
