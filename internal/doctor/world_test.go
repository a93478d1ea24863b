package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/authorize"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/pkg/providers"
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
	stack     Stack
	stackErr  error
	cloud     *fakeCloud
	held      Held
}

// A fakeCloud holds the parts of a stack, or errors.
type fakeCloud struct {
	schedule    Schedule
	alarms      []Alarm
	mappings    map[string]Mapping
	scheduleErr error
	alarmsErr   error
	mappingErr  error
	busErr      error
}

func (f *fakeCloud) Schedule(context.Context, string) (Schedule, error) {
	return f.schedule, f.scheduleErr
}

func (f *fakeCloud) Alarms(context.Context, []string) ([]Alarm, error) { return f.alarms, f.alarmsErr }

func (f *fakeCloud) Mapping(_ context.Context, id string) (Mapping, error) {
	return f.mappings[id], f.mappingErr
}

func (f *fakeCloud) Bus(context.Context, string) error { return f.busErr }

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
		return Table{}, ErrDenied
	}
	t, ok := f[name]
	if !ok {
		return Table{}, ErrMissing
	}
	return *t, nil
}

// A fakeWeb answers every GET alike but those of connect links, and reaches
// every host but down.
type fakeWeb struct {
	answer    Answer
	authorize func(to string) Answer // what a connect link is answered with
	err       error
	down      string

	mu   sync.Mutex
	gets []string
}

func (f *fakeWeb) Get(_ context.Context, to, _ string) (Answer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	link, _, opened := strings.Cut(to, "?ticket=")
	f.gets = append(f.gets, link)
	if opened && f.err == nil {
		return f.authorize(to), nil
	}
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
	w := &world{
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
				Stream:  "NEW_AND_OLD_IMAGES", StreamARN: "arn:aws:dynamodb:eu-central-1:123456789012:table/connections/stream/1",
			},
			"state": {Status: "ACTIVE", Keys: "id S", TTL: "expires_at"},
		},
		public:    &fakeWeb{answer: ours()},
		providers: &fakeWeb{answer: Answer{Status: http.StatusFound, Header: map[string][]string{"Location": {"https://www.getwhiplash.com/login"}}}},
		stack: Stack{Name: "stack", Status: "UPDATE_COMPLETE", Resources: map[string]Resource{
			"RefreshFunction":      {"stack-refresh", "AWS::Lambda::Function"},
			"RefreshFunctionSweep": {"stack-sweep", "AWS::Scheduler::Schedule"},
			"HeartbeatAlarm":       {"stack-heartbeat", "AWS::CloudWatch::Alarm"},
			"SpilledAlarm":         {"stack-spilled", "AWS::CloudWatch::Alarm"},
		}},
		cloud: &fakeCloud{
			schedule: Schedule{State: "ENABLED", Target: "arn:aws:lambda:eu-central-1:123456789012:function:stack-refresh:live"},
			alarms:   []Alarm{{Name: "stack-heartbeat", Tells: true}, {Name: "stack-spilled", Tells: true}},
			mappings: map[string]Mapping{
				"writes": {State: "Enabled", Source: "arn:aws:dynamodb:eu-central-1:123456789012:table/connections/stream/1", Result: "OK"}, "workers": {State: "Enabled"},
			},
		},
		held: func(context.Context, string) (time.Time, error) { return time.Time{}, nil },
	}
	w.public.authorize = func(to string) Answer { return authorizing{w}.open(to) }
	return w
}

// tells turns the events of w on.
func (w *world) tells() {
	w.stack.Resources["EventsFunction"] = Resource{"stack-events", "AWS::Lambda::Function"}
	w.stack.Resources["EventsFunctionWrites"] = Resource{"writes", "AWS::Lambda::EventSourceMapping"}
	w.functions = append(w.functions, Function{Name: "stack-events:live", Settings: map[string]string{
		"EVENT_BUS": "host", "CONNECT_SECRET": "stack/connect", "PUBLIC_URL": "https://connect.example.com",
	}})
}

// An authorizing is the authorize function of w, as it is built.
type authorizing struct{ *world }

func (a authorizing) ring(names ...string) (keys seal.Keys, err error) {
	for _, name := range names {
		document, _ := a.secrets[name].(string)
		if keys, err = seal.ParseKeys([]byte(document)); err == nil {
			return keys, nil
		}
	}
	return keys, err
}

func (a authorizing) ConnectKeys(context.Context) (seal.Keys, error) {
	return a.ring("stack/connect", ConnectRing)
}

func (a authorizing) SealKeys(context.Context) (seal.Keys, error) {
	return a.ring("stack/seal", SealRing)
}

func (a authorizing) Others(context.Context, oauth.Client) ([]oauth.Client, error) { return nil, nil }

func (a authorizing) Client(_ context.Context, provider string) (oauth.Client, error) {
	p, _ := providers.Find(provider)
	document, _ := a.secrets["stack/providers/"+provider].(string)
	return oauth.ParseClient(p, []byte(document), true)
}

// open answers a connect link as API Gateway does with what the function
// returns.
func (a authorizing) open(link string) Answer {
	u, err := url.Parse(link)
	if err != nil {
		return Answer{}
	}
	h := authorize.Handler{Secrets: a, Provider: nil, PublicURL: u.Scheme + "://" + u.Host, Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler)}
	ev := events.APIGatewayV2HTTPRequest{RawPath: u.Path, RawQueryString: u.RawQuery, Headers: map[string]string{"accept": "application/problem+json"}}
	ev.RequestContext.HTTP.Method = http.MethodGet
	resp, err := h.Handle(context.Background(), ev)
	if err != nil {
		return Answer{}
	}
	header := http.Header{}
	for name, value := range resp.Headers {
		header.Set(name, value)
	}
	header["Set-Cookie"] = resp.Cookies
	return Answer{Status: resp.StatusCode, Header: header, Body: []byte(resp.Body), Received: noon}
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
		Stack: w.stack, StackErr: w.stackErr, Cloud: w.cloud, Held: w.held, Now: func() time.Time { return noon },
		Functions: w.functions, Settings: w.settings, Named: find(t, w.named), Secrets: w.secrets, Tables: w.tables,
		Public: w.public, Providers: func(bool) Web { return w.providers },
	}.Examine(t.Context())
}

// local examines w as a local mode.
func (w *world) local(t *testing.T) []Finding {
	t.Helper()
	return Local{
		URL: "http://localhost:8788", Dir: ".evergrant", Source: "secrets.json", Named: find(t, w.named), Secrets: w.secrets,
		Public: w.public, Web: w.providers, Held: w.held, Now: func() time.Time { return noon },
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
