package events_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/dynamo"
	"github.com/evergrant/evergrant/internal/dynamotest"
	"github.com/evergrant/evergrant/internal/events"
	"github.com/evergrant/evergrant/internal/eventtest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/template"
)

// A bus takes everything.
type bus struct{ taken []connection.Notice }

func (b *bus) Publish(_ context.Context, notices []connection.Notice) ([]int, error) {
	b.taken = append(b.taken, notices...)
	return nil, nil
}

// ring is a ring of connect keys.
type ring struct{}

func (ring) ConnectKeys(context.Context) (seal.Keys, error) {
	return seal.ParseKeys([]byte(`{"current":"k1","k1":"` + strings.Repeat(canary.Marker, 6) + `"}`))
}

// A table is a connections table with a stream, and the writes of our stores.
type table struct {
	t     *testing.T
	store *dynamo.Store
	now   time.Time
}

// connect stores a new grant, whose refresh token lives for life; 0: not known.
func (w *table) connect(id string, life time.Duration) {
	w.t.Helper()
	w.now = w.now.Add(time.Hour)
	c := connection.Connection{
		Key: connection.Key{ConnectionID: id, Provider: "whatnot"}, Status: connection.Active,
		AccessToken: canary.Marker + "-access", TokenType: "Bearer", ExpiresAt: w.now.Add(2 * time.Hour), Scopes: []string{"a", "b"},
		SealedRefreshToken: []byte(canary.Marker + "-sealed"), Account: oauth.Account{ID: "7", Label: "Ann's <Shop>"},
		Metadata: map[string]string{"realmId": canary.Marker + "-metadata"}, Environment: "sandbox", ClientID: "client-1",
		ConnectedAt: w.now, RefreshedAt: w.now, UpdatedAt: w.now, RequestID: "ticket#" + w.now.String(), Due: connection.Due{Shard: "4.1", At: w.now},
	}
	if life > 0 {
		c.RefreshExpiresAt = w.now.Add(life)
	}
	_, err := w.store.Connect(w.t.Context(), c)
	w.must(err)
}

// under claims a connection, an hour later, changes what the holder works on and
// hands it to end.
func (w *table) under(id string, change func(*connection.Connection), end func(context.Context, connection.Connection) error) {
	w.t.Helper()
	w.now = w.now.Add(time.Hour)
	lease := "lease " + w.now.String()
	c, err := w.store.Claim(w.t.Context(), connection.Claim{Key: connection.Key{ConnectionID: id, Provider: "whatnot"}, LeaseID: lease, Now: w.now, Until: w.now.Add(time.Minute)})
	w.must(err)
	c.Fence, c.Lease.ID, c.UpdatedAt, c.Due.At = c.Fence+1, lease, w.now, w.now
	change(&c)
	w.must(end(w.t.Context(), c))
}

func (w *table) refresh(c *connection.Connection) {
	c.StoredFence, c.Failure, c.RefreshedAt, c.ExpiresAt = c.Fence, connection.Failure{}, w.now, w.now.Add(2*time.Hour)
}

func (w *table) fail(c *connection.Connection) {
	c.Failure = connection.Failure{Code: "invalid_grant", Count: c.Failure.Count + 1, Since: w.now, At: w.now, Reason: "invalid_grant"}
}

func (w *table) mark(c *connection.Connection) {
	w.fail(c)
	c.Status, c.Due = connection.ReauthorizationRequired, connection.Due{}
}

func (w *table) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// live plays the lives of two connections: one of a provider that names no end of
// refresh tokens, and one whose refresh token lives for seven days and some hours.
// It returns what the host is to be told.
func (w *table) live() []string {
	commit, leave := w.store.Commit, w.store.Defer
	nothing := func(*connection.Connection) {}
	w.connect("a", 0)
	w.under("a", w.refresh, commit)
	for range 2 {
		w.under("a", w.fail, commit)
	}
	w.under("a", w.fail, leave) // the third, whose lease goes on
	w.under("a", w.refresh, commit)
	w.under("a", w.fail, commit)
	w.under("a", w.mark, commit)
	w.connect("a", 0)
	w.under("a", nothing, commit) // given back
	w.under("a", nothing, func(context.Context, connection.Connection) error { return nil })
	w.connect("a", 0) // over the refresh under way
	_, err := w.store.Disconnect(w.t.Context(), connection.Key{ConnectionID: "a", Provider: "whatnot"}, w.now)
	w.must(err)
	w.connect("a", 0)

	w.connect("b", 7*24*time.Hour+90*time.Minute)
	w.under("b", w.refresh, commit)
	w.under("b", w.fail, leave) // which brings the end near
	w.under("b", w.refresh, commit)
	b, err := w.store.Get(w.t.Context(), connection.Key{ConnectionID: "b", Provider: "whatnot"})
	w.must(err)
	w.under("b", w.mark, commit)
	b.Status, b.UpdatedAt, b.RefreshedAt = connection.Active, w.now, w.now
	w.must(w.store.Restore(w.t.Context(), b, b.Fence+1)) // what the spill had
	return []string{
		"a Connection Connected", "a Connection Degraded", "a Connection Recovered", "a Reauthorization Required",
		"a Connection Reconnected", "a Connection Reconnected", "a Connection Disconnected", "a Connection Reconnected",
		"b Connection Connected", "b Connection Expiring", "b Reauthorization Required", "b Connection Recovered", "b Connection Expiring",
	}
}

// handle feeds the handler with records and returns what it publishes.
func handle(t *testing.T, records ...json.RawMessage) []connection.Notice {
	t.Helper()
	event, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		t.Fatal(err)
	}
	var batch events.Batch
	if err := json.Unmarshal(event, &batch); err != nil {
		t.Fatal(err)
	}
	b, now := new(bus), time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	var log bytes.Buffer
	h := &events.Handler{
		Maker: events.Maker{Keys: ring{}, PublicURL: "https://connect.example.com", Now: func() time.Time { return now }, Log: canary.Log(t, slog.NewTextHandler(&log, nil))},
		Bus:   b, Read: dynamo.ReadImage,
	}
	resp, err := h.Handle(t.Context(), batch)
	if err != nil || len(resp.BatchItemFailures) != 0 || strings.Contains(log.String(), "level=ERROR") {
		t.Fatalf("%+v, %v: %s", resp, err, log.String())
	}
	found := new(canary.Watch)
	for _, n := range b.taken {
		if f := found.Find(string(n.Detail)); len(f) > 0 {
			t.Errorf("%s shows %v", n.Type, f)
		}
	}
	if f := found.Find(log.String()); len(f) > 0 {
		t.Errorf("the log shows %v", f)
	}
	return b.taken
}

// What the stores write in DynamoDB, and its stream tells, is told to the host;
// and the filters of template.yaml let through whatever is to be told.
func TestTheStreamOfTheTableIsTold(t *testing.T) {
	db := dynamotest.Open(t)
	read := db.Stream(t)
	w := &table{t: t, now: time.Now(), store: &dynamo.Store{API: db.Client, ConnectionsTable: db.ConnectionsTable}}
	want := w.live()
	records := read()

	var got []string
	for _, n := range handle(t, records...) {
		if !strings.HasSuffix(n.Table, ":table/"+db.ConnectionsTable) {
			t.Errorf("%s is of the table %q", n.Type, n.Table)
		}
		var detail struct {
			ConnectionID string `json:"connection_id"`
		}
		if err := json.Unmarshal(n.Detail, &detail); err != nil {
			t.Fatal(err)
		}
		got = append(got, detail.ConnectionID+" "+n.Type)
	}
	if !slices.Equal(got, want) {
		t.Errorf("told %q\nwant %q", got, want)
	}

	patterns, passed, claims := filters(t), 0, 0
	for _, raw := range records {
		if !strings.Contains(string(raw), canary.Marker) && !strings.Contains(string(raw), "disconnected") {
			t.Fatalf("a record has no token, so nothing is shown by looking for one: %s", raw)
		}
		var record map[string]any
		if err := json.Unmarshal(raw, &record); err != nil {
			t.Fatal(err)
		}
		passes := slices.ContainsFunc(patterns, func(p map[string]any) bool { return matches(t, p, record) })
		told := len(handle(t, raw)) > 0
		if told && !passes {
			t.Errorf("the filters hold back what is to be told: %s", raw)
		}
		if passes {
			passed++
		}
		image := record["dynamodb"].(map[string]any)["NewImage"].(map[string]any)
		if _, leased := image["lease_id"]; leased && image["failure"] == nil {
			if claims++; passes {
				t.Errorf("the filters let a claim through: %s", raw)
			}
		}
	}
	if claims < 5 || passed == 0 {
		t.Errorf("%d claims, and %d of %d records pass", claims, passed, len(records))
	}
}

// What a restore puts back into the table of a stack, row by row.
func TestTheStreamOfARestoreTellsNothing(t *testing.T) {
	db := dynamotest.Open(t)
	read := db.Stream(t)
	now := time.Now()
	w := &table{t: t, now: now.Add(-60 * 24 * time.Hour), store: &dynamo.Store{API: db.Client, ConnectionsTable: db.ConnectionsTable}}
	w.live()
	w.connect("static", 0)
	w.connect("refused", 0)
	w.under("refused", w.mark, w.store.Commit)
	w.now = now
	w.connect("young", 0)
	before := len(read())
	first := handle(t, read()[before-1])

	rows, err := db.Client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &db.ConnectionsTable})
	w.must(err)
	for _, row := range rows.Items {
		_, err := db.Client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
			TableName: &db.ConnectionsTable, Key: map[string]types.AttributeValue{"connection_id": row["connection_id"], "provider": row["provider"]},
		})
		w.must(err)
		_, err = db.Client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &db.ConnectionsTable, Item: row})
		w.must(err)
	}
	records := read()[before:]
	got := handle(t, records...)
	if len(records) != 10 || len(first) != 1 || len(got) != 1 || got[0].Type != first[0].Type || !bytes.Equal(got[0].Detail, first[0].Detail) {
		t.Errorf("%d records told %q, want the first grant of just now alone, as it was told before: %q", len(records), got, first)
	}
}

// The events in the folder events/, and what the host hears of each.
func TestTheEventsInTheFolder(t *testing.T) {
	tests := map[string][]string{
		"events-connected.json":       {"Connection Connected"},
		"events-refreshed.json":       nil,
		"events-reauthorization.json": {"Reauthorization Required"},
		"events-disconnected.json":    {"Connection Disconnected"}, // of three records: one cannot be read, one is a removed row
	}
	for name, want := range tests {
		var event struct{ Records []json.RawMessage }
		if err := json.Unmarshal(eventtest.Read(t, name, nil), &event); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range event.Records {
			if strings.Contains(string(r), `"five"`) {
				continue // TestARecordThatCannotBeReadIsLeftOut
			}
			for _, n := range handle(t, r) {
				got = append(got, n.Type)
				if !strings.HasSuffix(n.Table, ":table/evergrant-ConnectionsTable-1A2B3C") {
					t.Errorf("%s: an event of the table %q", name, n.Table)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: told %q, want %q", name, got, want)
		}
	}
}

// filters returns the patterns by which template.yaml spares invocations.
func filters(t *testing.T) (patterns []map[string]any) {
	t.Helper()
	doc, err := template.Document("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var node any = doc
	for _, key := range []string{"Resources", "EventsFunction", "Properties", "Events", "Writes", "Properties", "FilterCriteria", "Filters"} {
		fields, _ := node.(map[string]any)
		node = fields[key]
	}
	list, _ := node.([]any)
	for _, f := range list {
		var p map[string]any
		if err := json.Unmarshal([]byte(f.(map[string]any)["Pattern"].(string)), &p); err != nil {
			t.Fatal(err)
		}
		patterns = append(patterns, p)
	}
	if len(patterns) == 0 {
		t.Fatal("template.yaml has no filters for EventsFunction")
	}
	return patterns
}

// matches reports whether record meets an EventBridge pattern ("Comparison
// operators", 2026-11-23), of which it knows what template.yaml needs: a field
// must have one of the listed values, or be there, or not be there.
func matches(t *testing.T, pattern map[string]any, record map[string]any) bool {
	t.Helper()
	for name, want := range pattern {
		got, there := record[name]
		switch want := want.(type) {
		case map[string]any:
			inner, _ := got.(map[string]any) // one that is not there has no fields
			if !matches(t, want, inner) {
				return false
			}
		case []any:
			if !slices.ContainsFunc(want, func(one any) bool { return meets(t, one, got, there) }) {
				return false
			}
		default:
			t.Fatalf("the pattern has %v for %s", want, name)
		}
	}
	return true
}

func meets(t *testing.T, want, got any, there bool) bool {
	t.Helper()
	operator, ok := want.(map[string]any)
	if !ok {
		return there && fmt.Sprint(got) == fmt.Sprint(want)
	}
	exists, ok := operator["exists"].(bool)
	if !ok || len(operator) != 1 {
		t.Fatalf("the pattern has %v, which this test does not know", operator)
	}
	return exists == there
}

// What the patterns are checked with must itself tell yes from no.
func TestPatternsAreReadAsEventBridgeDoes(t *testing.T) {
	record := map[string]any{"dynamodb": map[string]any{"NewImage": map[string]any{"a": map[string]any{"S": "x"}}}}
	tests := map[string]bool{
		`{}`: true,
		`{"dynamodb":{"NewImage":{"a":{"S":["x"]}}}}`:                             true,
		`{"dynamodb":{"NewImage":{"a":{"S":["y"]}}}}`:                             false,
		`{"dynamodb":{"NewImage":{"a":{"S":["y","x"]}}}}`:                         true,
		`{"dynamodb":{"NewImage":{"a":{"S":[{"exists":true}]}}}}`:                 true,
		`{"dynamodb":{"NewImage":{"a":{"S":[{"exists":false}]}}}}`:                false,
		`{"dynamodb":{"NewImage":{"b":{"S":[{"exists":false}]}}}}`:                true,
		`{"dynamodb":{"OldImage":{"a":{"S":[{"exists":true}]}}}}`:                 false,
		`{"dynamodb":{"NewImage":{"a":{"S":["x"]},"b":{"S":[{"exists":true}]}}}}`: false,
		`{"dynamodb":{"NewImage":{"a":{"S":["y",{"exists":true}]}}}}`:             true,
	}
	for text, want := range tests {
		var pattern map[string]any
		if err := json.Unmarshal([]byte(text), &pattern); err != nil {
			t.Fatal(err)
		}
		if got := matches(t, pattern, record); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
