package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// noon is when these tests run.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// The secrets of these tests. None of them may be printed.
const (
	sealKey      = "CANARY-seal-0123456789abcdefghijklmnop"
	connectKey   = "CANARY-connect-0123456789abcdefghijklm"
	clientSecret = `CANARY/client+se"cret=&?`
	extraSecret  = "CANARY-extra-0123456789"
)

// A world is a deployment, or a local mode, of parts that tests change.
type world struct {
	settings  map[string]string
	functions []Function
	named     []string
	secrets   fakeSecrets
	tables    fakeTables
	public    *fakeWeb
	providers *fakeWeb
}

// A fakeSecrets holds documents and errors.
type fakeSecrets map[string]any

func (f fakeSecrets) Secret(_ context.Context, name string) ([]byte, error) {
	switch v := f[name].(type) {
	case string:
		return []byte(v), nil
	case error:
		return nil, v
	}
	return nil, ErrMissing
}

// A fakeTables holds tables.
type fakeTables map[string]*Table

func (f fakeTables) Table(_ context.Context, name string) (Table, error) {
	if name == "denied" {
		return Table{}, errors.New("AWS answers AccessDeniedException")
	}
	t, ok := f[name]
	if !ok {
		return Table{}, ErrMissing
	}
	return *t, nil
}

// A fakeWeb answers every GET alike, and reaches every host but down.
type fakeWeb struct {
	answer Answer
	err    error
	down   string

	mu   sync.Mutex
	gets []string
}

func (f *fakeWeb) Get(_ context.Context, to, _ string) (Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gets = append(f.gets, to)
	return f.answer, f.err
}

func (f *fakeWeb) Reach(_ context.Context, to string) error {
	if u, err := url.Parse(to); err != nil || u.Host == f.down {
		return errors.New("no such host")
	}
	return nil
}

// healthy returns a world in which there is nothing to be found.
func healthy() *world {
	keys := func(key string) string { return `{"current":"k1","k1":"` + key + `"}` }
	client, _ := json.Marshal(map[string]any{"client_id": "our-client", "client_secret": clientSecret, "extra": map[string]any{"note": extraSecret}})
	return &world{
		settings: map[string]string{
			"PUBLIC_URL": "https://connect.example.com/", "COMPLETION_URL": "https://app.example.com/complete", "RETURN_ORIGINS": "https://app.example.com",
			"CONNECT_SECRET": "stack/connect", "SEAL_SECRET": "stack/seal", "PROVIDER_SECRETS": "stack/providers/",
			"CONNECTIONS_TABLE": "connections", "STATE_TABLE": "state",
		},
		secrets: fakeSecrets{
			"stack/connect": keys(connectKey), "stack/seal": keys(sealKey), "stack/providers/whiplash": string(client), "stack/providers/whcc": string(client),
			ConnectRing: keys(connectKey), SealRing: keys(sealKey), "whiplash": string(client), // of local mode
		},
		tables: fakeTables{
			"connections": {
				Status: "ACTIVE", Keys: "connection_id S, provider S", Guarded: true, Recovery: true, Clock: noon, Received: noon.Add(2 * time.Second),
				Indexes: map[string]Index{"due": {Status: "ACTIVE", Keys: "due_shard S, due_at N", Projection: "KEYS_ONLY"}},
			},
			"state": {Status: "ACTIVE", Keys: "id S", TTL: "expires_at"},
		},
		public:    &fakeWeb{answer: ours()},
		providers: &fakeWeb{answer: Answer{Status: http.StatusFound, Header: map[string][]string{"Location": {"https://www.getwhiplash.com/login"}}}},
	}
}

// ours is what the callback answers to a request without parameters.
func ours() Answer {
	return Answer{
		Status: http.StatusBadRequest, Received: noon, Body: []byte(`{"type":"urn:evergrant:problem:callback-invalid"}`),
		Header: map[string][]string{
			"Cache-Control": {"no-store"}, "Referrer-Policy": {"no-referrer"}, "X-Content-Type-Options": {"nosniff"},
			"Strict-Transport-Security": {"max-age=31536000"}, "Date": {noon.Format(http.TimeFormat)},
		},
	}
}

// deployment examines w as a deployed stack.
func (w *world) deployment(t *testing.T) []Finding {
	t.Helper()
	return Deployment{
		Functions: w.functions, Settings: w.settings, Named: find(t, w.named), Secrets: w.secrets, Tables: w.tables,
		Public: w.public, Providers: func(bool) Web { return w.providers },
	}.Examine(t.Context())
}

// local examines w as a local mode.
func (w *world) local(t *testing.T) []Finding {
	t.Helper()
	return Local{
		URL: "http://localhost:8788", Dir: ".evergrant", Source: "secrets.json", Named: find(t, w.named), Secrets: w.secrets,
		Public: w.public, Web: w.providers,
	}.Examine(t.Context())
}

// text returns findings as Print writes them, without columns.
func text(findings []Finding) []string {
	lines := []string{}
	for _, f := range findings {
		line := string(f.Status) + " " + f.Check + ": " + f.Detail
		if f.Fix != "" {
			line += " | " + f.Fix
		}
		lines = append(lines, line)
	}
	return lines
}

// without returns the lines of all that are not among those.
func without(all, those []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(line string) bool { return slices.Contains(those, line) })
}

// leaked returns the secrets of these tests that stand in s, in any form.
func leaked(s string) []string {
	found := map[string]bool{}
	for _, secret := range []string{sealKey, connectKey, clientSecret, extraSecret} {
		inJSON := strings.Trim(quoted(secret), `"`)
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), inJSON} {
			if strings.Contains(s, form) {
				found[secret] = true
			}
		}
	}
	if strings.Contains(s, "CANARY") {
		found["CANARY"] = true
	}
	return slices.Sorted(maps.Keys(found))
}
