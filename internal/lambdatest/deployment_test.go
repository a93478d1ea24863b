package lambdatest_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/eventtest"
	"github.com/evergrant/evergrant/internal/lambdatest"
	"github.com/evergrant/evergrant/pkg/connect"
)

// connectionID is that of the events in the folder events/.
const connectionID = "acct_42"

// A deployment is the four functions in a world, started when they are first
// used.
type deployment struct {
	*lambdatest.World
	t       *testing.T
	change  map[string]map[string]string // of variables, by function
	running map[string]*lambdatest.Function
	started []*lambdatest.Function
}

func deploy(t *testing.T, c lambdatest.Config) *deployment {
	t.Helper()
	if c.Now == nil {
		c.Now = time.Now
	}
	w := lambdatest.Open(t, bootstraps(t), c)
	return &deployment{World: w, t: t, change: map[string]map[string]string{}, running: map[string]*lambdatest.Function{}}
}

// function returns the running function, such as AuthorizeFunction.
func (d *deployment) function(name string) *lambdatest.Function {
	d.t.Helper()
	if d.running[name] == nil {
		f := d.Start(d.t, name, d.change[name])
		d.running[name], d.started = f, append(d.started, f)
		d.t.Cleanup(func() {
			if d.t.Failed() {
				d.t.Logf("%s printed:\n%s", name, f.Output())
			}
		})
	}
	return d.running[name]
}

// kill ends the process of a function. The next event starts another.
func (d *deployment) kill(name string) {
	d.t.Helper()
	d.function(name).Kill()
	delete(d.running, name)
}

// printed is what all processes have printed, also those that have ended.
func (d *deployment) printed() string {
	var all strings.Builder
	for _, f := range d.started {
		all.WriteString(f.Output())
	}
	return all.String()
}

// invoke sends an event through a function and reads its answer into out.
func (d *deployment) invoke(name string, event []byte, out any) {
	d.t.Helper()
	answer, err := d.function(name).Invoke(d.t.Context(), event)
	if err != nil {
		d.t.Fatalf("%s: %v", name, err)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		d.t.Fatalf("%s answers %s: %v", name, answer, err)
	}
}

// visit opens a URL of ours in the browser.
func (d *deployment) visit(b *browser, target *url.URL) events.APIGatewayV2HTTPResponse {
	d.t.Helper()
	file, name := "authorize-no-ticket.json", "AuthorizeFunction"
	if strings.HasPrefix(target.Path, "/callback/") {
		file, name = "callback-fragment.json", "CallbackFunction"
	}
	var resp events.APIGatewayV2HTTPResponse
	d.invoke(name, addressed(d.t, file, target, b.sent()), &resp)
	b.keep(resp.Cookies)
	for _, h := range []string{"Cache-Control=no-store", "Referrer-Policy=no-referrer", "X-Content-Type-Options=nosniff"} {
		if key, value, _ := strings.Cut(h, "="); resp.Headers[key] != value {
			d.t.Errorf("the answer to %s lacks %s", target.Path, h)
		}
	}
	return resp
}

// addressed returns the event in file, a GET without a query, as if the browser
// had asked for target.
func addressed(t *testing.T, file string, target *url.URL, cookies []string) []byte {
	t.Helper()
	var ev events.APIGatewayV2HTTPRequest
	replace := map[string]string{}
	if strings.HasPrefix(file, "callback") {
		replace["cookie"] = ""
	}
	if err := json.Unmarshal(eventtest.Read(t, file, replace), &ev); err != nil {
		t.Fatal(err)
	}
	ev.RawPath, ev.RawQueryString, ev.Cookies = target.Path, target.RawQuery, cookies
	ev.PathParameters = map[string]string{"provider": target.Path[strings.LastIndex(target.Path, "/")+1:]}
	ev.RequestContext.HTTP.Path = target.Path
	for key, values := range target.Query() {
		if ev.QueryStringParameters == nil {
			ev.QueryStringParameters = map[string]string{}
		}
		ev.QueryStringParameters[key] = strings.Join(values, ",")
	}
	event, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	return event
}

// link returns a connect link as the host's backend makes it.
func (d *deployment) link(provider string) *url.URL {
	d.t.Helper()
	raw, err := connect.Ticket{ConnectionID: connectionID, Provider: provider, ReturnTo: lambdatest.ReturnOrigin + "/done"}.
		Link(lambdatest.PublicURL, connect.Key{ID: "k1", Secret: d.ConnectKey}, time.Now())
	if err != nil {
		d.t.Fatal(err)
	}
	link, err := url.Parse(raw)
	if err != nil {
		d.t.Fatal(err)
	}
	return link
}

// sendAway opens a connect link and returns where the browser is sent.
func (d *deployment) sendAway(b *browser, provider string) string {
	d.t.Helper()
	resp := d.visit(b, d.link(provider))
	location := resp.Headers["Location"]
	if resp.StatusCode != http.StatusFound || !strings.HasPrefix(location, d.Provider+"/"+provider+"/") || len(resp.Cookies) != 1 {
		d.t.Fatalf("authorize answers %d to %s, %d cookies: %s", resp.StatusCode, location, len(resp.Cookies), resp.Body)
	}
	return location
}

// answered returns the URL by which the provider sends the browser back after
// the click on button.
func (d *deployment) answered(b *browser, provider, button string) *url.URL {
	d.t.Helper()
	back := b.decide(d.sendAway(b, provider), "ada", button)
	if back.Scheme+"://"+back.Host != lambdatest.PublicURL || back.Path != "/callback/"+provider {
		d.t.Fatalf("the provider sends the browser to %s", back)
	}
	fragment, err := url.ParseQuery(back.EscapedFragment())
	if err != nil {
		d.t.Fatal(err)
	}
	d.Watch.Guard("access token", fragment["access_token"]...)
	return back
}

// connect walks a browser the whole way, to the host's page.
func (d *deployment) connect(provider string) {
	d.t.Helper()
	b := newBrowser(d.t)
	d.ends(d.visit(b, d.answered(b, provider, "approve")), provider, "connected")
}

// ends checks that the browser is sent to the host with an outcome.
func (d *deployment) ends(resp events.APIGatewayV2HTTPResponse, provider, result string) {
	d.t.Helper()
	want := lambdatest.ReturnOrigin + "/done?connection_id=" + connectionID + "&provider=" + provider + "&result=" + result
	if got := resp.Headers["Location"]; resp.StatusCode != http.StatusSeeOther || got != want {
		d.t.Fatalf("the browser is sent by %d to %s, want %s; %s", resp.StatusCode, got, want, resp.Body)
	}
}

// A row is what the one GetItem of the contract tells a reader.
type row struct {
	AccessToken, TokenType, Status string
	ExpiresAt                      int64 // Unix seconds; 0: absent
	Scopes                         []string
}

// item returns a whole item of the connections table, read past the functions.
func (d *deployment) item(connectionID, provider string) map[string]types.AttributeValue {
	d.t.Helper()
	out, err := d.Database.Client.GetItem(d.t.Context(), &dynamodb.GetItemInput{
		TableName: &d.Database.ConnectionsTable, ConsistentRead: aws.Bool(true),
		Key: key(connectionID, provider),
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return out.Item
}

func key(connectionID, provider string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{
		"connection_id": &types.AttributeValueMemberS{Value: connectionID},
		"provider":      &types.AttributeValueMemberS{Value: provider},
	}
}

// read reads a connection as other programs do. The types of the attributes
// are part of the contract: one that differs fails the test.
func (d *deployment) read(connectionID, provider string) row {
	d.t.Helper()
	item := d.item(connectionID, provider)
	r := row{
		AccessToken: text(d.t, item, "access_token"), TokenType: text(d.t, item, "token_type"),
		Status: text(d.t, item, "connection_status"), ExpiresAt: number(d.t, item, "expires_at"),
	}
	if v, ok := item["scopes"]; ok {
		set, ok := v.(*types.AttributeValueMemberSS)
		if !ok {
			d.t.Fatalf("scopes is %T", v)
		}
		r.Scopes = slices.Sorted(slices.Values(set.Value))
	}
	return r
}

// text returns an attribute of type S, "" where it is absent.
func text(t *testing.T, item map[string]types.AttributeValue, name string) string {
	t.Helper()
	v, ok := item[name]
	if !ok {
		return ""
	}
	s, ok := v.(*types.AttributeValueMemberS)
	if !ok {
		t.Fatalf("%s is %T", name, v)
	}
	return s.Value
}

// number returns an attribute of type N, 0 where it is absent.
func number(t *testing.T, item map[string]types.AttributeValue, name string) int64 {
	t.Helper()
	v, ok := item[name]
	if !ok {
		return 0
	}
	s, ok := v.(*types.AttributeValueMemberN)
	if !ok {
		t.Fatalf("%s is %T", name, v)
	}
	n, err := strconv.ParseInt(s.Value, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// makeDue lets the time at which a connection is to be refreshed pass. It
// waits in the given shard of the due index then.
func (d *deployment) makeDue(connectionID, provider, shard string) {
	d.t.Helper()
	d.update(connectionID, provider, "SET due_at = :past, due_shard = :shard", map[string]types.AttributeValue{
		":past": &types.AttributeValueMemberN{Value: "1"}, ":shard": &types.AttributeValueMemberS{Value: "4." + shard},
	})
}

// endLease frees a connection, as the time does after a refresh whose outcome
// nobody knows.
func (d *deployment) endLease(connectionID, provider string) {
	d.t.Helper()
	d.update(connectionID, provider, "REMOVE lease_id, lease_until, lease_sent_at", nil)
}

// update changes a connection that is due at some time, past the functions.
func (d *deployment) update(connectionID, provider, expression string, values map[string]types.AttributeValue) {
	d.t.Helper()
	_, err := d.Database.Client.UpdateItem(d.t.Context(), &dynamodb.UpdateItemInput{
		TableName: &d.Database.ConnectionsTable, Key: key(connectionID, provider),
		UpdateExpression: &expression, ConditionExpression: aws.String("attribute_exists(due_at)"), ExpressionAttributeValues: values,
	})
	if err != nil {
		d.t.Fatalf("%s at %s: %s: %v", connectionID, provider, expression, err)
	}
}

// A summary is the answer to a sweep.
type summary struct{ Due, Refreshed, Failed, Skipped, Remaining int }

func (d *deployment) sweep() summary {
	d.t.Helper()
	var s summary
	d.invoke("RefreshFunction", eventtest.Read(d.t, "refresh.json", nil), &s)
	return s
}

// endSweep ends the sweep lease, as the time does that a killed sweep had left.
func (d *deployment) endSweep() {
	d.t.Helper()
	_, err := d.Database.Client.DeleteItem(d.t.Context(), &dynamodb.DeleteItemInput{
		TableName: &d.Database.StateTable, Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "sweep"}},
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

// An answer is that of the control plane.
type answer struct {
	Connection  map[string]any
	Connections []map[string]any
	Cursor      string
	Error       *struct{ Type, Detail string }
}

// ask asks the control plane to do something with a connection.
func (d *deployment) ask(action, connectionID, provider string, more map[string]any) answer {
	d.t.Helper()
	input := map[string]any{"action": action, "connection_id": connectionID, "provider": provider}
	maps.Copy(input, more)
	event, err := json.Marshal(input)
	if err != nil {
		d.t.Fatal(err)
	}
	var raw json.RawMessage
	d.invoke("ConnectionsFunction", event, &raw)
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		d.t.Fatal(err)
	}
	return a
}
