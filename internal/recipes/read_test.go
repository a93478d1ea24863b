package recipes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/dynamo"
	"github.com/evergrant/evergrant/internal/dynamotest"
	"github.com/evergrant/evergrant/internal/oauth"
)

// An aws stands in front of a DynamoDB emulator and plays the connections
// function. The connection ID says how that behaves.
type aws struct {
	t     *testing.T
	store *dynamo.Store
	proxy http.Handler
	done  chan struct{} // closed when the test ends

	mu    sync.Mutex
	calls map[string][]string // by connection ID
}

// newAWS starts an aws; db is behind it.
func newAWS(t *testing.T, db dynamotest.Database) (a *aws, endpoint string) {
	t.Helper()
	to, err := url.Parse(db.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	a = &aws{
		t: t, store: &dynamo.Store{API: db.Client, ConnectionsTable: db.ConnectionsTable}, done: make(chan struct{}), calls: map[string][]string{},
		proxy: &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }},
	}
	server := httptest.NewServer(allowing(t, db.ConnectionsTable, a, "ReaderPolicy", "HostPolicy"))
	t.Cleanup(func() { close(a.done); server.Close() })
	return a, server.URL
}

// connect keeps a connection with an access token that ends in life; 0: nobody
// knows.
func (a *aws) connect(id, token string, life time.Duration) {
	a.t.Helper()
	c := connection.Connection{
		Key: connection.Key{ConnectionID: id, Provider: "whiplash"}, Status: connection.Active, AccessToken: oauth.Secret(token), TokenType: "Bearer",
	}
	if life != 0 {
		c.ExpiresAt = time.Now().Add(life)
	}
	if _, err := a.store.Connect(a.t.Context(), c); err != nil {
		a.t.Error(err)
	}
}

func (a *aws) note(id, call string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls[id] = append(a.calls[id], call)
}

// noted returns the calls about a connection.
func (a *aws) noted(id string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls[id]
}

func (a *aws) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if r.URL.Path == "/2015-03-31/functions/connections/invocations" {
		a.invoke(w, body)
		return
	}
	var in struct {
		Key struct {
			ID struct{ S string } `json:"connection_id"`
		}
		ConsistentRead bool
	}
	_ = json.Unmarshal(body, &in) // what is not JSON is noted as what it is not
	_, call, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if in.ConsistentRead {
		call = "consistent " + call
	}
	a.note(in.Key.ID.S, call)
	r.Body = io.NopCloser(bytes.NewReader(body))
	a.proxy.ServeHTTP(w, r)
}

// invoke is the connections function.
func (a *aws) invoke(w http.ResponseWriter, body []byte) {
	var in struct {
		Action, Provider string
		ConnectionID     string  `json:"connection_id"`
		MinTTL           float64 `json:"min_ttl"`
	}
	if err := json.Unmarshal(body, &in); err != nil || in.Action != "refresh" || in.Provider != "whiplash" || in.MinTTL != 60 {
		a.t.Errorf("the function got %s: %v", body, err)
	}
	a.note(in.ConnectionID, "Invoke")
	switch in.ConnectionID {
	case "renewed":
		a.connect("renewed", "new", time.Hour)
		_, _ = io.WriteString(w, `{"connection":{}}`)
	case "crashing":
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		_, _ = io.WriteString(w, `{"errorMessage":"timed out"}`)
	case "away":
		http.Error(w, `{"Message":"out of reach"}`, http.StatusServiceUnavailable)
	case "hanging":
		<-a.done
	default:
		_, _ = io.WriteString(w, `{"error":{"type":"provider_failed","detail":"…"}}`)
	}
}

// A reader that is written from README.md alone keeps promise 1: it reads a
// token with one GetItem, and returns one that is still valid whatever comes of
// a refresh.
func TestAReaderOfEachLanguage(t *testing.T) {
	t.Parallel()
	const read, ask, again = "GetItem", "Invoke", "consistent GetItem"
	tests := []struct {
		id    string
		life  time.Duration
		want  string
		calls []string
	}{
		{"fresh", time.Hour, "old", []string{read}},
		{"endless", 0, "old", []string{read}},
		{"renewed", 30 * time.Second, "new", []string{read, ask, again}},
		{"failing", 55 * time.Second, "old", []string{read, ask, again}},
		{"crashing", 55 * time.Second, "old", []string{read, ask, again}},
		{"away", 55 * time.Second, "old", []string{read, ask}},
		{"expired", -time.Minute, "error: not connected, or expired and not refreshed yet", []string{read, ask, again}},
		{"nobody", 0, "error: not connected, or expired and not refreshed yet", []string{read, ask, again}},
		{"hanging", 55 * time.Second, "old", []string{read, ask}},
	}
	for _, l := range languages {
		if l.name == "go" {
			continue // package tokens has its own tests
		}
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			db := dynamotest.Open(t)
			a, endpoint := newAWS(t, db)
			var ids []string
			for _, tt := range tests {
				ids = append(ids, tt.id)
				if tt.id != "nobody" {
					a.connect(tt.id, "old", tt.life)
				}
			}
			out, warnings := l.run(t, fmt.Sprintf(l.read, l.program(t, reading)), "AWS_ENDPOINT_URL="+endpoint, "TABLE="+db.ConnectionsTable, "IDS="+strings.Join(ids, " "))
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if len(lines) != len(tests) {
				t.Fatalf("it printed %s", out)
			}
			for i, tt := range tests {
				var got [2]string
				if err := json.Unmarshal([]byte(lines[i]), &got); err != nil || got != [2]string{tt.id, tt.want} {
					t.Errorf("%s: got %s, want %q: %v", tt.id, lines[i], tt.want, err)
				}
				if calls := a.noted(tt.id); !slices.Equal(calls, tt.calls) {
					t.Errorf("%s: it took %q, want %q", tt.id, calls, tt.calls)
				}
			}
			if stale, failed := strings.Count(warnings, "seconds left"), strings.Count(warnings, "not refreshed"); stale != 4 || failed != 2 {
				t.Errorf("%d warnings of a token that ends soon, %d of a failed refresh: %s", stale, failed, warnings)
			}
		})
	}
}

// What README.md reads tokens with in Go is compiled, and vetted.
func TestTheReaderInGoIsCompiled(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file := filepath.Join(folder, "main.go")
	if err := os.WriteFile(file, fmt.Appendf(nil, languages[0].read, languages[0].program(t, reading)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "vet", file)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
