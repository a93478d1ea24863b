package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/connections"
	"github.com/evergrant/evergrant/internal/local"
)

// A clock is a time that a test moves on.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A record is what was printed.
type record struct {
	mu      sync.Mutex
	b       bytes.Buffer
	waiting map[string]chan struct{} // by the text that is waited for
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.b.Write(p)
	for text, found := range r.waiting {
		if strings.Contains(r.b.String(), text) {
			close(found)
			delete(r.waiting, text)
		}
	}
	return len(p), nil
}

// await waits until text has been printed.
func (r *record) await(t *testing.T, text string) {
	t.Helper()
	found := make(chan struct{})
	r.mu.Lock()
	if strings.Contains(r.b.String(), text) {
		close(found)
	} else {
		r.waiting = map[string]chan struct{}{text: found}
	}
	r.mu.Unlock()
	select {
	case <-found:
	case <-time.After(30 * time.Second):
		t.Fatalf("%q was not printed, but %q", text, r)
	}
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

// A running is a local mode on free ports that sweeps when the test says so.
type running struct {
	*local.Server
	clock *clock
	log   *record
	out   *record
	stop  func() error
}

// config returns the configuration of a local mode with its data in dir.
func config(t *testing.T, dir string, c *clock, log, out io.Writer) local.Config {
	t.Helper()
	return local.Config{
		Dir: dir, TokenLifetime: 30 * time.Second, Ticks: make(chan time.Time),
		Now: c.Now, Random: func() float64 { return 0.5 }, Log: canary.Log(t, slog.NewTextHandler(log, nil)), Out: out,
	}
}

// start starts a local mode, changed as the test likes, until the test ends or
// stops it.
func start(t *testing.T, change ...func(*local.Config)) running {
	t.Helper()
	r := running{clock: &clock{now: time.Now()}, log: new(record), out: new(record)}
	c := config(t, t.TempDir(), r.clock, r.log, r.out)
	for _, f := range change {
		f(&c)
	}
	server, err := local.Open(c)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	r.Server = server
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		err := <-done
		if closeErr := server.Close(); err == nil {
			err = closeErr
		}
		return err
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return r
}

// control calls the control plane as the command does.
func (r running) control(t *testing.T, action, connectionID, provider string) connections.Response {
	t.Helper()
	body, _ := json.Marshal(map[string]string{"action": action, "connection_id": connectionID, "provider": provider})
	resp, err := http.Post(r.URL+"/control", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatalf("control: %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var out connections.Response
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatalf("control: HTTP %d: %v", resp.StatusCode, err)
	}
	return out
}

// sweep sweeps and returns how many connections were refreshed.
func (r running) sweep(t *testing.T) int {
	t.Helper()
	s, err := r.Sweep(t.Context())
	if err != nil {
		t.Fatalf("Sweep: %v", err)
	}
	return s.Refreshed
}

// A person is a browser without a window: it keeps cookies and follows
// redirects.
type person struct{ http.Client }

func newPerson(t *testing.T) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{http.Client{Jar: jar, Timeout: 30 * time.Second}}
}

// post sends a form and returns where that led to, and the page there.
func (p *person) post(t *testing.T, to string, form url.Values) (*url.URL, string) {
	t.Helper()
	resp, err := p.PostForm(to, form)
	if err != nil {
		t.Fatalf("post to %s: %v", to, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read page: %v", err)
	}
	return resp.Request.URL, string(body)
}

// connect connects by the page, logging in and deciding ("approve" or "deny")
// at the simulated provider, and returns the page at the end.
func (p *person) connect(t *testing.T, r running, provider, connectionID, decision string) (*url.URL, string) {
	t.Helper()
	at, body := p.post(t, r.URL+"/connect", target(provider, connectionID))
	if provider == "whcc" { // its login is the approval
		action := map[string]string{"approve": "login", "deny": "deny"}[decision]
		return p.post(t, at.String(), url.Values{"action": {action}, "username": {"ada"}, "password": {"x"}})
	}
	if strings.Contains(body, `name="password"`) {
		at, _ = p.post(t, at.String(), url.Values{"action": {"login"}, "username": {"ada"}, "password": {"x"}})
	}
	return p.post(t, at.String(), url.Values{"action": {decision}})
}

// target is the form that names a connection.
func target(provider, connectionID string) url.Values {
	return url.Values{"provider": {provider}, "connection_id": {connectionID}}
}
