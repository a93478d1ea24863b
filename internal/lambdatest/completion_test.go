package lambdatest_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/eventtest"
	"github.com/evergrant/evergrant/internal/lambdatest"
	"github.com/evergrant/evergrant/internal/simulator"
)

// completionURL is the page of the host that completes connections.
const completionURL = lambdatest.ReturnOrigin + "/complete"

// hosted deploys functions whose host completes connections.
func hosted(t *testing.T) *deployment {
	d := deploy(t, lambdatest.Config{})
	d.change["CallbackFunction"] = map[string]string{"COMPLETION_URL": completionURL}
	return d
}

// A completed is the answer to complete.
type completed struct {
	answer
	ReturnTo string `json:"return_to"`
}

// handle loads the callback and returns the handle that the browser takes to the
// host. Nothing is asked of the provider before.
func (d *deployment) handle(b *browser, back *url.URL) string {
	d.t.Helper()
	resp := d.visit(b, back)
	to, err := url.Parse(resp.Headers["Location"])
	if err != nil {
		d.t.Fatal(err)
	}
	q, provider := to.Query(), back.Path[strings.LastIndex(back.Path, "/")+1:]
	if resp.StatusCode != http.StatusSeeOther || to.Scheme+"://"+to.Host+to.Path != completionURL || len(q) != 3 ||
		q.Get("provider") != provider || q.Get("connection_id") != connectionID || q.Get("handle") == "" {
		d.t.Fatalf("callback answers %d to %s: %s", resp.StatusCode, to, resp.Body)
	}
	if n := d.Simulator.Ledger(provider).TokenRequests["authorization_code"]; n != 0 {
		d.t.Errorf("%d codes were sent before the host had completed", n)
	}
	return q.Get("handle")
}

// complete completes the connection of an ID by a handle, as the host does.
func (d *deployment) complete(handle, connectionID, provider string) completed {
	d.t.Helper()
	var event map[string]string
	if err := json.Unmarshal(eventtest.Read(d.t, "connections-complete.json", nil), &event); err != nil {
		d.t.Fatal(err)
	}
	event["handle"], event["connection_id"], event["provider"] = handle, connectionID, provider
	input, err := json.Marshal(event)
	if err != nil {
		d.t.Fatal(err)
	}
	var raw json.RawMessage
	d.invoke("ConnectionsFunction", input, &raw)
	var c completed
	if err := json.Unmarshal(raw, &c); err != nil {
		d.t.Fatal(err)
	}
	return c
}

// refusedAs checks that c is an error of a type.
func (d *deployment) refusedAs(c completed, typ string) {
	d.t.Helper()
	if c.Connection != nil || c.Error == nil || c.Error.Type != typ {
		d.t.Errorf("complete answers %+v, %+v, want %s", c.Connection, c.Error, typ)
	}
}

// exchanges returns how many codes a provider has seen.
func (d *deployment) exchanges(provider string) int {
	return d.Simulator.Ledger(provider).TokenRequests["authorization_code"]
}

// The whole way with completion by the host, with every process killed between
// two steps: what is held is in the table, and nothing in memory.
func TestTheHostCompletesWhateverIsKilledBetween(t *testing.T) {
	t.Parallel()
	d := hosted(t)
	for _, provider := range []string{"whiplash", "whisk", "whatnot", "whcc"} {
		b := newBrowser(t)
		back := d.answered(b, provider, "approve")
		d.DynamoDB.Take()
		handle := d.handle(b, back)
		d.wrote("callback", "UpdateItem StateTable")
		d.kill("CallbackFunction")
		if again := d.handle(b, back); again != handle {
			t.Errorf("%s: loaded again, the handle is another", provider)
		}
		d.kill("ConnectionsFunction")
		d.DynamoDB.Take()
		got := d.complete(handle, connectionID, provider)
		d.wrote("complete", "UpdateItem StateTable", "UpdateItem ConnectionsTable")
		if got.Error != nil || got.Connection["connection_status"] != "active" || got.ReturnTo != lambdatest.ReturnOrigin+"/done" {
			t.Fatalf("%s: complete answers %+v, %v, %s", provider, got.Error, got.Connection, got.ReturnTo)
		}
		d.kill("ConnectionsFunction")
		d.ends(d.visit(b, back), provider, "connected")
		d.refusedAs(d.complete(handle, connectionID, provider), "handle_used")
		if r := d.read(connectionID, provider); r.Status != "active" || r.AccessToken != d.Simulator.Ledger(provider).LiveAccessTokens[0] {
			t.Errorf("%s: stored %s", provider, r.Status)
		}
		if n := d.exchanges(provider); provider != "whcc" && n != 1 || provider == "whcc" && n != 0 {
			t.Errorf("%s: %d codes were sent", provider, n)
		}
	}
}

// wrote checks the calls of DynamoDB since the last time.
func (d *deployment) wrote(doing string, calls ...string) {
	d.t.Helper()
	if got := d.DynamoDB.Take(); strings.Join(got, ", ") != strings.Join(calls, ", ") {
		d.t.Errorf("%s takes %q of DynamoDB, want %q", doing, got, calls)
	}
}

// SECURITY rows 44 and 45: for another connection, for another provider, by a
// handle that was made up or has expired, no code is ever sent.
func TestAHandleForSomebodyElseSendsNoCode(t *testing.T) {
	t.Parallel()
	d := hosted(t)
	b := newBrowser(t)
	back := d.answered(b, "whiplash", "approve")
	handle := d.handle(b, back)
	d.refusedAs(d.complete(handle[1:]+"A", connectionID, "whiplash"), "invalid_handle")
	d.refusedAs(d.complete(handle, "acct_43", "whiplash"), "mismatch")
	d.refusedAs(d.complete(handle, connectionID, "whiplash"), "handle_used")
	d.ends(d.visit(b, back), "whiplash", "failed")

	other := newBrowser(t)
	handle = d.handle(other, d.answered(other, "whiplash", "approve"))
	d.refusedAs(d.complete(handle, connectionID, "whatnot"), "mismatch")

	late := newBrowser(t)
	handle = d.handle(late, d.answered(late, "whiplash", "approve"))
	d.tenMinutesLater()
	d.refusedAs(d.complete(handle, connectionID, "whiplash"), "handle_expired")
	if n := d.exchanges("whiplash") + d.exchanges("whatnot"); n != 0 {
		t.Errorf("%d codes were sent", n)
	}
	for _, id := range []string{connectionID, "acct_43"} {
		if item := d.item(id, "whiplash"); item != nil {
			t.Errorf("something is stored for %s", id)
		}
	}
}

// tenMinutesLater lets the time of every held answer pass.
func (d *deployment) tenMinutesLater() {
	d.t.Helper()
	out, err := d.Database.Client.Scan(d.t.Context(), &dynamodb.ScanInput{TableName: &d.Database.StateTable})
	if err != nil {
		d.t.Fatal(err)
	}
	passed := 0
	for _, row := range out.Items {
		if row["answer"] == nil {
			continue
		}
		passed++
		update := "SET held_until = :past"
		_, err := d.Database.Client.UpdateItem(d.t.Context(), &dynamodb.UpdateItemInput{
			TableName: &d.Database.StateTable, Key: map[string]types.AttributeValue{"id": row["id"]}, UpdateExpression: &update,
			ExpressionAttributeValues: map[string]types.AttributeValue{":past": &types.AttributeValueMemberN{Value: "1"}},
		})
		if err != nil {
			d.t.Fatal(err)
		}
	}
	if passed == 0 {
		d.t.Fatal("no answer is held")
	}
}

// SECURITY row 31, as deployed: several environments of the function complete by
// one handle at once, and one code is sent.
func TestCompletionsByOneHandleAtOnceSendOneCode(t *testing.T) {
	t.Parallel()
	d := hosted(t)
	b := newBrowser(t)
	handle := d.handle(b, d.answered(b, "whiplash", "approve"))
	input, err := json.Marshal(map[string]string{"action": "complete", "handle": handle, "connection_id": connectionID, "provider": "whiplash"})
	if err != nil {
		t.Fatal(err)
	}
	var functions []*lambdatest.Function
	for range 3 {
		functions = append(functions, d.Start(t, "ConnectionsFunction", nil))
	}
	var mu sync.Mutex
	var made, used int
	var hosts sync.WaitGroup
	for i := range 50 {
		hosts.Go(func() {
			raw, err := functions[i%len(functions)].Invoke(t.Context(), input)
			var c completed
			if err == nil {
				err = json.Unmarshal(raw, &c)
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.Errorf("complete: %v", err)
			case c.Error == nil:
				made++
			case c.Error.Type == "handle_used":
				used++
			default:
				t.Errorf("complete answers %+v", c.Error)
			}
		})
	}
	hosts.Wait()
	if n := d.exchanges("whiplash"); made != 1 || used != 49 || n != 1 {
		t.Errorf("%d made, %d used, %d codes sent", made, used, n)
	}
}

// SECURITY row 50: the process is killed while the code is at the provider. The
// older connection is as it was, nobody waits for ever, and no code is sent
// twice.
func TestACompletionThatIsKilledKeepsTheOlderConnection(t *testing.T) {
	t.Parallel()
	d := hosted(t)
	first := newBrowser(t)
	if got := d.complete(d.handle(first, d.answered(first, "whatnot", "approve")), connectionID, "whatnot"); got.Error != nil {
		t.Fatal(got.Error)
	}
	before := d.read(connectionID, "whatnot")

	second := newBrowser(t)
	back := d.answered(second, "whatnot", "approve")
	resp := d.visit(second, back)
	to, _ := url.Parse(resp.Headers["Location"])
	handle, asked, gone := to.Query().Get("handle"), make(chan struct{}), make(chan struct{})
	d.Simulator.Answer("whatnot", simulator.Answer{Edit: func(map[string]any) {
		close(asked)
		<-gone
	}})
	input, _ := json.Marshal(map[string]string{"action": "complete", "handle": handle, "connection_id": connectionID, "provider": "whatnot"})
	f, ended := d.function("ConnectionsFunction"), make(chan error)
	go func() {
		_, err := f.Invoke(t.Context(), input)
		ended <- err
	}()
	select {
	case <-asked:
	case err := <-ended:
		t.Fatalf("it ended without a token request: %v", err)
	}
	d.kill("ConnectionsFunction")
	close(gone)
	if err := <-ended; err == nil {
		t.Error("the killed invocation has an answer")
	}
	d.refusedAs(d.complete(handle, connectionID, "whatnot"), "handle_used")
	if resp := d.visit(second, back); resp.StatusCode != http.StatusAccepted {
		t.Errorf("loaded again: %d", resp.StatusCode)
	}
	if after := d.read(connectionID, "whatnot"); after.AccessToken != before.AccessToken || after.Status != "active" {
		t.Errorf("the older connection is %s, with its token: %t", after.Status, after.AccessToken == before.AccessToken)
	}
	if n := d.exchanges("whatnot"); n != 2 {
		t.Errorf("%d codes were sent, want 2", n)
	}
}
