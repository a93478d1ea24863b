package local_test

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/local"
	"github.com/evergrant/evergrant/internal/simulator"
)

// The whole way without a window: connect, let time pass, sweep, disconnect.
func TestEachProviderCanBeConnectedRefreshedAndDisconnected(t *testing.T) {
	r := start(t)
	for _, provider := range []string{"whiplash", "whisk", "whatnot", "whcc"} {
		t.Run(provider, func(t *testing.T) {
			at, page := newPerson(t).connect(t, r, provider, "demo", "approve")
			if at.Path != "/" || at.Query().Get("result") != "connected" || !strings.Contains(page, "is connected as demo") {
				t.Fatalf("the browser ends at %s", at)
			}
			id := "demo"
			if provider == "whcc" {
				id = "issued"
				newPerson(t).post(t, r.URL+"/issue", target(provider, id))
			}
			for range 3 {
				before := r.control(t, "get", id, provider).Connection
				r.clock.Advance(25 * time.Second)
				r.sweep(t)
				if after := r.control(t, "get", id, provider).Connection; after == nil || after.ExpiresAt <= before.ExpiresAt || after.Failure != nil {
					t.Fatalf("after a sweep: %+v", after)
				}
			}
			newPerson(t).post(t, r.URL+"/disconnect", target(provider, id))
			if c := r.control(t, "get", id, provider).Connection; c.Status != connection.Disconnected || c.ExpiresAt != 0 {
				t.Errorf("after disconnecting: %+v", c)
			}
			if l := r.Simulator.Ledger(provider); len(l.Refused) != 0 {
				t.Errorf("the provider refused %v", l.Refused)
			}
		})
	}
}

func TestDecliningChangesNothing(t *testing.T) {
	r := start(t)
	for _, provider := range []string{"whiplash", "whisk", "whatnot", "whcc"} {
		at, page := newPerson(t).connect(t, r, provider, "demo", "deny")
		if at.Path != "/" || !strings.Contains(page, "access was declined") || !strings.Contains(page, "Nothing is connected yet") {
			t.Errorf("%s: the browser ends at %s", provider, at)
		}
	}
}

func TestConnectionsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	here := func(c *local.Config) { c.Dir = dir }
	r := start(t, here)
	newPerson(t).connect(t, r, "whatnot", "demo", "approve")
	if err := r.stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	again := start(t, here)
	again.clock.Advance(25 * time.Second)
	if got := again.sweep(t); got != 1 {
		t.Errorf("%d connections were refreshed after a restart, want 1", got)
	}
	if c := again.control(t, "get", "demo", "whatnot").Connection; c == nil || c.Failure != nil || c.Status != connection.Active {
		t.Errorf("connection = %+v", c)
	}
}

func TestStoppingWaitsForARefreshUnderWay(t *testing.T) {
	dir := t.TempDir()
	ticks := make(chan time.Time)
	r, whatnot, _ := realProviders(t, func(c *local.Config) { c.Dir, c.Ticks = dir, ticks })
	newPerson(t).connect(t, r, "whatnot", "demo", "approve")
	r.clock.Advance(25 * time.Second)
	asked, answer := make(chan struct{}), make(chan struct{})
	whatnot.Answer("whatnot", simulator.Answer{Edit: func(map[string]any) {
		close(asked)
		<-answer
	}})
	ticks <- r.clock.Now()
	select {
	case <-asked:
	case <-time.After(30 * time.Second):
		t.Fatalf("nothing was refreshed: %s", r.log)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	select {
	case err := <-stopped:
		t.Fatalf("it stopped (%v) while the provider was answering", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(answer)
	if err := <-stopped; err != nil {
		t.Fatalf("stop: %v", err)
	}
	if log := r.log.String(); !strings.Contains(log, "refreshed=1") {
		t.Errorf("the tokens of the last answer were not stored: %s", log)
	}
}

func TestWhatFellDueWhileNothingRanIsSweptAtOnce(t *testing.T) {
	dir := t.TempDir()
	r := start(t, func(c *local.Config) { c.Dir = dir })
	newPerson(t).connect(t, r, "whatnot", "demo", "approve")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	later := &clock{now: r.clock.Now().Add(25 * time.Second)}
	again := start(t, func(c *local.Config) { c.Dir, c.Ticks, c.Now, c.TokenLifetime = dir, nil, later.Now, 0 }) // by the timer after a minute
	again.log.await(t, "refreshed=1")
}

// Browsers open connections ahead.
func TestStoppingWaitsForNobodyWhoAsksNothing(t *testing.T) {
	r := start(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.SimulatorURL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	get(t, r.SimulatorURL) // whose connection was accepted after this one
	begin := time.Now()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestRunStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out, log := new(record), new(record)
	if err := local.Run(ctx, config(t, t.TempDir(), &clock{now: time.Now()}, log, out)); err != nil {
		t.Fatalf("Run: %v", err)
	}
	for _, part := range []string{"http://localhost:", "http://127.0.0.1:", "simulated", "Ctrl-C"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("it says %q, which lacks %q", out, part)
		}
	}
}

// realProviders starts a local mode with a real provider, Whatnot, which is a
// simulator of the test's own.
func realProviders(t *testing.T, change ...func(*local.Config)) (r running, whatnot *simulator.Simulator, file string) {
	t.Helper()
	whatnot = simulator.New(simulator.Config{Now: func() time.Time { return r.clock.Now() }, TokenLifetime: 30 * time.Second})
	server := httptest.NewServer(whatnot)
	t.Cleanup(server.Close)
	document, err := json.Marshal(map[string]any{"whatnot": whatnot.Secret(server.URL, "whatnot")})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "secrets.json")
	if err := os.WriteFile(file, document, 0o644); err != nil {
		t.Fatal(err)
	}
	r = start(t, append(change, func(c *local.Config) { c.SecretsFile, c.AllowPrivate, c.TokenLifetime = file, true, 0 })...)
	return r, whatnot, file
}

func TestASecretsFileMeansRealProviders(t *testing.T) {
	r, _, file := realProviders(t)
	if r.Simulator != nil || r.SimulatorURL != "" {
		t.Errorf("providers are simulated at %s", r.SimulatorURL)
	}
	if log := r.log.String(); !strings.Contains(log, "chmod 600") || !strings.Contains(log, file) {
		t.Errorf("log = %q, want a warning that others can read the file", log)
	}
	r.out.await(t, "real providers")
	if out := r.out.String(); !strings.Contains(out, file) {
		t.Errorf("it says %q", out)
	}
	_, page := get(t, r.URL)
	if !strings.Contains(page, `id="connect-whatnot"`) || strings.Contains(page, `id="connect-whisk"`) || !strings.Contains(page, "add &#34;whisk&#34; to "+file) {
		t.Error("the page does not tell who is configured and who is not")
	}
	at, _ := newPerson(t).post(t, r.URL+"/connect", target("whatnot", "demo"))
	if !strings.HasPrefix(at.Path, "/whatnot/") || at.Query().Get("redirect_uri") != r.URL+"/callback/whatnot" {
		t.Errorf("the browser is led to %s", at)
	}
}

func TestRealAndSimulatedConnectionsAreKeptApart(t *testing.T) {
	dir := t.TempDir()
	r := start(t, func(c *local.Config) { c.Dir = dir })
	newPerson(t).connect(t, r, "whatnot", "demo", "approve")
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	live, _, _ := realProviders(t, func(c *local.Config) { c.Dir = dir })
	if got := live.control(t, "get", "demo", "whatnot"); got.Error == nil {
		t.Errorf("the simulated connection is among the real ones: %+v", got.Connection)
	}
}

func TestABadSecretsFileStopsTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets.json")
	if err := os.WriteFile(file, []byte(`{"whisk":{"client_id":"id"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config(t, t.TempDir(), &clock{now: time.Now()}, new(record), new(record))
	c.SecretsFile, c.TokenLifetime = file, 0
	if s, err := local.Open(c); err == nil || !strings.Contains(err.Error(), "whisk: client_secret is missing") {
		t.Errorf("Open = %v, %v", s, err)
	}
}

func TestAFolderInUseIsSaid(t *testing.T) {
	dir := t.TempDir()
	start(t, func(c *local.Config) { c.Dir = dir })
	if _, err := local.Open(config(t, dir, &clock{now: time.Now()}, new(record), new(record))); err == nil || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("Open = %v", err)
	}
}

func TestOtherNamesOfThisMachineAreRefused(t *testing.T) {
	r := start(t)
	port := r.URL[strings.LastIndex(r.URL, ":"):]
	simulatorPort := r.SimulatorURL[strings.LastIndex(r.SimulatorURL, ":"):]
	tests := []struct {
		url, host string
		want      int
	}{
		{r.URL, "localhost" + port, 200},
		{r.URL, "127.0.0.1" + port, 200},
		{r.URL, "evil.example" + port, 421},
		{r.URL, "localhost", 421},
		{r.URL, "localhost" + simulatorPort, 421},
		{r.URL, "localhost.evil.example" + port, 421},
		{r.URL + "/authorize/whisk", "evil.example" + port, 421},
		{r.URL + "/callback/whisk", "evil.example" + port, 421},
		{r.SimulatorURL + "/whisk/oauth/v2/authorize", "evil.example" + simulatorPort, 421},
	}
	for _, tt := range tests {
		req, err := http.NewRequestWithContext(t.Context(), "GET", tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = tt.host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s as %s: %d, want %d", tt.url, tt.host, resp.StatusCode, tt.want)
		}
	}
}
