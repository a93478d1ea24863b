package lambdatest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	lambda "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/lambdatest"
	"github.com/evergrant/evergrant/internal/simulator"
)

// A hostBus is EventBridge, as far as PutEvents goes (API_PutEvents, 2026-11-23).
type hostBus struct {
	t   *testing.T
	url string
	// answer, if set, answers a call instead, or says which entries fail.
	answer func(call int, w http.ResponseWriter) (answered bool, failing []int)

	mu    sync.Mutex
	calls int
	taken []hostEvent
}

// A hostEvent is an entry that was taken.
type hostEvent struct {
	Source, DetailType, EventBusName, Detail string
	Resources                                []string
	Time                                     float64
}

// told says who was told what.
func (e hostEvent) told() string {
	var detail struct {
		ConnectionID string `json:"connection_id"`
	}
	_ = json.Unmarshal([]byte(e.Detail), &detail)
	return detail.ConnectionID + " " + e.DetailType
}

// ids returns the ID of each event that was taken, with who was told what, and
// forgets them.
func (b *hostBus) ids() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := map[string]string{}
	for _, e := range b.taken {
		var detail struct{ ID string }
		_ = json.Unmarshal([]byte(e.Detail), &detail)
		ids[detail.ID] = e.told()
	}
	b.taken = nil
	return ids
}

func newHostBus(t *testing.T, d *deployment) *hostBus {
	b := &hostBus{t: t}
	server := httptest.NewServer(d.Guarded(b))
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

func (b *hostBus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct{ Entries []hostEvent }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Header.Get("X-Amz-Target") != "AWSEvents.PutEvents" || len(in.Entries) == 0 || len(in.Entries) > 10 {
		b.t.Errorf("a call of %s with %d entries: %v", r.Header.Get("X-Amz-Target"), len(in.Entries), err)
	}
	b.mu.Lock()
	b.calls++
	call, answer := b.calls, b.answer
	b.mu.Unlock()
	var failing []int
	if answer != nil {
		var done bool
		if done, failing = answer(call, w); done {
			return
		}
	}
	var out struct {
		FailedEntryCount int
		Entries          []map[string]string
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, e := range in.Entries {
		if slices.Contains(failing, i) {
			out.FailedEntryCount++
			out.Entries = append(out.Entries, map[string]string{"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"})
			continue
		}
		b.taken = append(b.taken, e)
		out.Entries = append(out.Entries, map[string]string{"EventId": fmt.Sprintf("e%d", len(b.taken))})
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(out)
}

// Told returns what was taken, in order, and forgets it.
func (b *hostBus) Told() (list []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.taken {
		list = append(list, e.told())
	}
	b.taken = nil
	return list
}

// tells starts the function that tells the host, with timeout, at b.
func tells(t *testing.T, d *deployment, b *hostBus, timeout time.Duration) *lambdatest.Function {
	t.Helper()
	secrets := d.Environment(t, "AuthorizeFunction")
	f := lambdatest.Start(t, bootstraps(t)["EventsFunction"], values{
		"EVENT_BUS": "host", "CONNECT_SECRET": secrets["CONNECT_SECRET"], "PUBLIC_URL": lambdatest.PublicURL, "AWS_ACCESS_KEY_ID": "EventsFunction",
		"AWS_ENDPOINT_URL_EVENTBRIDGE": b.url, "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets["AWS_ENDPOINT_URL_SECRETS_MANAGER"],
	}, timeout)
	t.Cleanup(func() {
		if found := d.Watch.Find(f.Output()); len(found) > 0 {
			t.Errorf("EventsFunction has printed secrets: %v", found)
		}
		if t.Failed() {
			t.Logf("EventsFunction printed:\n%s", f.Output())
		}
	})
	return f
}

// hand hands records to the function as Lambda does, and again from the first one
// that it could not tell, until there is none. It returns how often.
func hand(t *testing.T, f *lambdatest.Function, records []json.RawMessage) (times int) {
	t.Helper()
	for len(records) > 0 {
		if times++; times > 20 {
			t.Fatal("there is no end")
		}
		batch, err := json.Marshal(map[string]any{"Records": records})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := f.Invoke(t.Context(), batch)
		if failed := new(lambdatest.FunctionError); errors.As(err, &failed) {
			continue // all of them again
		}
		var resp lambda.DynamoDBEventResponse
		if err != nil || json.Unmarshal(answer, &resp) != nil {
			t.Fatalf("%s, %v", answer, err)
		}
		if len(resp.BatchItemFailures) == 0 {
			return times
		}
		at := slices.IndexFunc(records, func(r json.RawMessage) bool {
			return strings.Contains(string(r), `"`+resp.BatchItemFailures[0].ItemIdentifier+`"`)
		})
		if at < 0 || len(resp.BatchItemFailures) != 1 {
			t.Fatalf("the answer is %s", answer)
		}
		records = records[at:]
	}
	return times
}

// refuse lets the provider refuse a connection's grant until it is marked.
func (d *deployment) refuse(provider string) {
	d.t.Helper()
	for range 2 {
		d.Simulator.Answer(provider, simulator.Answer{Status: http.StatusBadRequest, Body: `{"error":"invalid_grant"}`})
		d.makeDue(connectionID, provider, "0")
		if failure, ok := d.item(connectionID, provider)["failure"].(*types.AttributeValueMemberM); ok { // minutes later
			failure.Value["at"] = &types.AttributeValueMemberN{Value: "1"}
			d.update(connectionID, provider, "SET failure = :failure", map[string]types.AttributeValue{":failure": failure})
		}
		d.sweep()
	}
	if got := d.read(connectionID, provider).Status; got != "reauthorization_required" {
		d.t.Fatalf("after two refusals the connection is %s", got)
	}
}

// The whole way: what the built functions write, the stream of the table has, and
// the built function tells; and the link that it tells reconnects.
func TestTheHostIsToldOfWhatTheFunctionsDo(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	read := d.Database.Stream(t)
	d.connect("whatnot")
	d.makeDue(connectionID, "whatnot", "0")
	d.sweep()
	d.refuse("whatnot")
	bus := newHostBus(t, d)
	f := tells(t, d, bus, 30*time.Second)
	hand(t, f, read())
	link := d.toldLink(bus)
	if got, want := bus.Told(), []string{"acct_42 Connection Connected", "acct_42 Reauthorization Required"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	before := len(read())

	b := newBrowser(t)
	sent := d.visit(b, link)
	if sent.StatusCode != http.StatusFound {
		t.Fatalf("the link is answered by %d: %s", sent.StatusCode, sent.Body)
	}
	back := b.decide(sent.Headers["Location"], "ada", "approve")
	if resp := d.visit(b, back); resp.StatusCode != http.StatusOK || d.read(connectionID, "whatnot").Status != "active" {
		t.Fatalf("reconnecting ends with %d", resp.StatusCode)
	}
	d.ask("disconnect", connectionID, "whatnot", nil)
	hand(t, f, read()[before:])
	if got, want := bus.Told(), []string{"acct_42 Connection Reconnected", "acct_42 Connection Disconnected"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	hand(t, f, read())
	once := bus.ids()
	hand(t, f, read()) // a stream may deliver all of it again
	if again := bus.ids(); len(once) != 4 || !maps.Equal(once, again) {
		t.Errorf("IDs %v, and then %v", once, again)
	}
}

// toldLink returns the reconnect link of what was told, of which nothing else is
// a secret.
func (d *deployment) toldLink(b *hostBus) *url.URL {
	d.t.Helper()
	var link *url.URL
	for _, e := range b.taken {
		var detail struct {
			URL string `json:"reconnect_url"`
		}
		if err := json.Unmarshal([]byte(e.Detail), &detail); err != nil || e.Source != "evergrant" || e.EventBusName != "host" || e.Time == 0 ||
			len(e.Resources) != 1 || !strings.HasSuffix(e.Resources[0], ":table/"+d.Database.ConnectionsTable) {
			d.t.Fatalf("entry %+v: %v", e, err)
		}
		if found := d.Watch.Find(strings.ReplaceAll(e.Detail, detail.URL, "")); len(found) > 0 {
			d.t.Errorf("%s tells secrets: %v", e.DetailType, found)
		}
		if detail.URL != "" {
			var err error
			if link, err = url.Parse(detail.URL); err != nil {
				d.t.Fatal(err)
			}
			d.Watch.Guard("reconnect ticket", link.Query().Get("ticket"))
		}
	}
	if link == nil {
		d.t.Fatal("there is no link to reconnect")
	}
	return link
}

// A restore puts rows back, which the stream tells of like any other.
func TestTheHostIsToldNothingOfWhatARestorePutsBack(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	bus, first := newHostBus(t, d), rows(1)[0]
	f := tells(t, d, bus, 30*time.Second)
	week := strings.Replace(string(first), `"SequenceNumber"`, `"ApproximateCreationDateTime":1769083201,"SequenceNumber"`, 1)
	marked := strings.NewReplacer(`"active"`, `"reauthorization_required"`, `"fence":{"N":"1"}`, `"fence":{"N":"7"}`).Replace(string(first))
	hand(t, f, []json.RawMessage{json.RawMessage(week), json.RawMessage(marked), first})
	if got, want := bus.Told(), []string{"acct_0 Connection Connected"}; !slices.Equal(got, want) || !strings.Contains(f.Output(), "rows put back passed over") {
		t.Errorf("told %q, want %q", got, want)
	}
}

// rows returns the records of n new connections, and of the end of each.
func rows(n int) (records []json.RawMessage) {
	image := func(i, fence int, status string) string {
		return fmt.Sprintf(`{"connection_id":{"S":"acct_%d"},"provider":{"S":"whatnot"},"connection_status":{"S":"%s"},"fence":{"N":"%d"},`+
			`"updated_at":{"N":"1768478400"},"connected_at":{"N":"1768478400"},"access_token":{"S":"c4nary"}}`, i, status, fence)
	}
	for i := range n {
		records = append(records, json.RawMessage(fmt.Sprintf(`{"dynamodb":{"SequenceNumber":"1%03d","NewImage":%s}}`, i, image(i, 1, "active"))))
	}
	for i := range n {
		records = append(records, json.RawMessage(fmt.Sprintf(`{"dynamodb":{"SequenceNumber":"2%03d","OldImage":%s,"NewImage":%s}}`, i, image(i, 1, "active"), image(i, 2, "disconnected"))))
	}
	return records
}

// throttled is the answer to a call that EventBridge does not take.
func throttled(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write([]byte(`{"__type":"ThrottlingException","message":"slow down"}`))
}

// Whatever becomes of the calls, each event is told, and a connection's in order.
func TestTheHostIsToldAtLeastOnceWhateverTheBusDoes(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	tests := []struct {
		name   string
		answer func(call int, w http.ResponseWriter) (bool, []int)
		times  int  // of invocations
		whole  bool // each event is told once
	}{
		{"takes all", nil, 1, true},
		{"throttles two calls", func(call int, w http.ResponseWriter) (bool, []int) {
			if call == 1 || call == 3 {
				throttled(w)
				return true, nil
			}
			return false, nil
		}, 1, true},
		{"throttles the second call until the client gives up", func(call int, w http.ResponseWriter) (bool, []int) {
			if 2 <= call && call <= 4 {
				throttled(w)
				return true, nil
			}
			return false, nil
		}, 2, true},
		{"refuses single entries", func(call int, _ http.ResponseWriter) (bool, []int) {
			return false, map[int][]int{1: {3, 5}, 2: {0}, 4: {9}}[call]
		}, 4, false},
		{"takes a call, and breaks its answer off", func(call int, w http.ResponseWriter) (bool, []int) {
			if call == 1 {
				panic(http.ErrAbortHandler)
			}
			return false, nil
		}, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bus := newHostBus(t, d)
			bus.answer = tt.answer
			records := rows(12)
			if times := hand(t, tells(t, d, bus, 30*time.Second), records); times != tt.times {
				t.Errorf("%d invocations, want %d", times, tt.times)
			}
			told := bus.Told()
			if tt.whole != (len(told) == len(records)) {
				t.Errorf("%d events were told of %d", len(told), len(records))
			}
			for i := range 12 {
				connected, ended := fmt.Sprintf("acct_%d Connection Connected", i), fmt.Sprintf("acct_%d Connection Disconnected", i)
				if at := slices.Index(told, connected); at < 0 || at > slices.Index(told, ended) {
					t.Errorf("acct_%d: %q", i, told)
				}
			}
		})
	}
}

// A bus that hangs costs an invocation, whose end the function sees coming.
func TestABusThatHangsFailsTheInvocationInTime(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	bus := newHostBus(t, d)
	release := make(chan struct{})
	bus.answer = func(int, http.ResponseWriter) (bool, []int) { <-release; return false, nil }
	f := tells(t, d, bus, 3*time.Second)
	t.Cleanup(func() { close(release) })
	batch, _ := json.Marshal(map[string]any{"Records": rows(1)})
	_, err := f.Invoke(t.Context(), batch)
	if failed := new(lambdatest.FunctionError); !errors.As(err, &failed) || !strings.Contains(failed.Message, "no event could be published") {
		t.Errorf("the invocation ends with %v", err)
	}
	if !strings.Contains(f.Output(), `"events not published"`) {
		t.Errorf("nothing says why: %s", f.Output())
	}
}
