//go:build proof

package lambdatest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/evergrant/evergrant/internal/lambdatest"
)

// A gate stands before everything that the functions of a deployment talk to:
// the tables, the secrets and the providers. It holds one call, while the
// process that makes it is killed, so that a test needs no hook in the product.
type gate struct {
	t                 *testing.T
	dynamoDB, secrets string // the gate's own URLs

	written func() // called after each write of a connection, before it is answered

	mu     sync.Mutex
	calls  map[string]int // since the last hold was set, by name
	hold   *hold
	away   absence
	lives  map[string]int    // processes that were, by function
	paths  map[string]string // of a provider's endpoint to its name
	target map[string]string // URL of each service
}

// An absence is when DynamoDB takes no write of a connection. The zero absence
// is never.
type absence struct {
	from  int    // the first write that it does not take
	until string // the name of the call that it is back after; "": the process has to be dead
}

// A hold is the call that is held.
type hold struct {
	call    string
	nth     int // the first is 1
	after   bool
	reached chan struct{} // closed when the call is held
	gone    chan struct{} // closed once the process is dead
}

// guarded deploys the bootstraps in paths with a gate in front of the services.
// Its calls are named by what they are for, see the methods awsCall and
// providerCall.
func guarded(t *testing.T, paths map[string]string, c lambdatest.Config) (*deployment, *gate) {
	t.Helper()
	g := &gate{t: t, written: func() {}, calls: map[string]int{}, lives: map[string]int{}, paths: map[string]string{}, target: map[string]string{}}
	provider := g.front("provider", g.providerCall)
	c.Client = func(_ string, secret map[string]any) {
		endpoints := map[string]string{}
		for name, raw := range secret["endpoints"].(map[string]string) {
			u, err := url.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			if name != "authorization_url" { // where the browser goes
				g.paths[u.Path], raw = name, provider+u.Path
			}
			endpoints[name] = raw
		}
		secret["endpoints"] = endpoints
	}
	d := &deployment{World: lambdatest.Open(t, paths, c), t: t, change: map[string]map[string]string{}, running: map[string]*lambdatest.Function{}}
	g.target["provider"], g.target["dynamodb"], g.target["secrets"] = d.Provider, d.DynamoDB.URL, d.Secrets.URL
	g.dynamoDB, g.secrets = g.front("dynamodb", g.awsCall(d)), g.front("secrets", g.awsCall(d))
	for _, name := range []string{"AuthorizeFunction", "CallbackFunction", "RefreshFunction", "ConnectionsFunction"} {
		g.admit(d, name)
	}
	return d, g
}

// admit lets the next process of a function through. Its calls to AWS have the
// path /function/life.
func (g *gate) admit(d *deployment, function string) {
	path := "/" + function + "/" + strconv.Itoa(g.lives[function])
	d.change[function] = values{"AWS_ENDPOINT_URL_DYNAMODB": g.dynamoDB + path, "AWS_ENDPOINT_URL_SECRETS_MANAGER": g.secrets + path}
}

// providerCall names a call to a provider by its endpoint.
func (g *gate) providerCall(r *http.Request, _ []byte) string { return g.paths[r.URL.Path] }

// awsCall names a call to DynamoDB or Secrets Manager; "" is one at which
// nobody dies.
func (g *gate) awsCall(d *deployment) func(*http.Request, []byte) string {
	return func(r *http.Request, body []byte) string {
		var about struct {
			TableName, IndexName, SecretId, Name string
			Key                                  map[string]map[string]string
		}
		_ = json.Unmarshal(body, &about) // what has another form has no name
		target := r.Header.Get("X-Amz-Target")
		operation := target[strings.LastIndex(target, ".")+1:]
		switch {
		case operation == "Query" && about.IndexName == "due":
			return "due"
		case operation == "UpdateItem" && about.TableName == d.Database.ConnectionsTable:
			return "connection"
		case operation == "UpdateItem" && about.Key["id"]["S"] == "sweep":
			return "sweep"
		case operation == "UpdateItem":
			return "request"
		case !strings.Contains(about.SecretId+about.Name, "/rescue/"):
			return ""
		case operation == "CreateSecret":
			return "spill"
		case operation == "DeleteSecret":
			return "forget"
		}
		return "recover"
	}
}

// front serves in front of one service, until the test ends, and returns its
// URL.
func (g *gate) front(service string, name func(*http.Request, []byte) string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the process died in the middle of a call
		}
		call := name(r, body)
		target, function, life := g.target[service]+r.URL.RequestURI(), "", ""
		if service != "provider" {
			function, life, _ = strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
			target = g.target[service]
		}
		h, refuse := g.meet(call, function, life)
		switch {
		case h != nil && !h.after:
			h.wait(g.t)
		case refuse: // in a way that the SDK does not try again
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"com.amazon.coral.service#AccessDeniedException","message":"not now"}`)
			return
		}
		answer := g.forward(r, target, body)
		if call == "connection" {
			g.written()
		}
		g.answered(call)
		if h != nil {
			h.wait(g.t)
		}
		maps.Copy(w.Header(), answer.header)
		w.WriteHeader(answer.status)
		_, _ = w.Write(answer.body) // a process that is gone is noticed by its end
	}))
	g.t.Cleanup(server.Close)
	return server.URL
}

// meet counts a call of a process. It returns the hold for it, or nil, and
// whether it is to be refused. It cuts what a dead process had on its way.
func (g *gate) meet(call, function, life string) (*hold, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if function != "" && life != strconv.Itoa(g.lives[function]) {
		panic(http.ErrAbortHandler)
	}
	g.calls[call]++
	refuse := g.away.from > 0 && call == "connection" && g.calls[call] >= g.away.from
	if h := g.hold; h != nil && h.call == call && h.nth == g.calls[call] {
		return h, refuse
	}
	return nil, refuse
}

// answered brings DynamoDB back after the call that it waits for.
func (g *gate) answered(call string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if call != "" && call == g.away.until {
		g.away = absence{}
	}
}

// A passed answer is that of a service, whole.
type passed struct {
	status int
	header http.Header
	body   []byte
}

// forward sends a call on to its service. It ends with the test only: what has
// left a process takes effect whatever becomes of the process.
func (g *gate) forward(r *http.Request, target string, body []byte) passed {
	req, err := http.NewRequestWithContext(g.t.Context(), r.Method, target, bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Header = r.Header.Clone()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return passed{resp.StatusCode, resp.Header, answer}
}

// set lets the gate hold the nth call of that name from now on, before or after
// it has taken effect.
func (g *gate) set(call string, nth int, after bool, away absence) *hold {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold = &hold{call: call, nth: nth, after: after, reached: make(chan struct{}), gone: make(chan struct{})}
	g.away = away
	clear(g.calls)
	return g.hold
}

// lift lets everything pass again, once the process of function is dead.
func (g *gate) lift(function string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.hold.gone)
	g.lives[function]++
	g.hold, g.away = nil, absence{}
}

// wait holds a call until the process that made it is dead, and cuts its
// connection then.
func (h *hold) wait(t *testing.T) {
	close(h.reached)
	select {
	case <-h.gone:
	case <-t.Context().Done():
	}
	panic(http.ErrAbortHandler)
}
