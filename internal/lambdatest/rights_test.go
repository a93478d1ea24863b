package lambdatest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	manager "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/evergrant/evergrant/internal/eventtest"
	"github.com/evergrant/evergrant/internal/lambdatest"
)

// byLambda are the rights that no call of a function needs, each with its reason:
// Lambda makes these calls with the function's role ("Defining Lambda function
// permissions with an execution role" and the pages on each event source in the
// developer guide, read on 2026-11-23).
var byLambda = map[string]string{
	"logs:CreateLogStream on log-group:":   "Lambda begins a log stream for each process.",
	"logs:PutLogEvents on log-group:":      "Lambda writes there what a process prints.",
	"sqs:SendMessage on stack-SweepDead":   "Lambda sends there a sweep that failed: a destination of asynchronous invocations.",
	"sqs:SendMessage on stack-EventsDead":  "Lambda sends there where the records are that could not be told: a destination of the event source.",
	"sqs:ReceiveMessage on stack-Shard":    "Lambda polls the queue for the workers.",
	"sqs:DeleteMessage on stack-Shard":     "Lambda deletes a hint once a worker has answered.",
	"sqs:GetQueueAttributes on stack-Shar": "Lambda looks at the queue to scale the workers.",
	"dynamodb:DescribeStream on table/":    "Lambda finds the shards of the stream.",
	"dynamodb:GetShardIterator on table/":  "Lambda begins to read a shard.",
	"dynamodb:GetRecords on table/":        "Lambda reads the records that it hands to the function.",
	"dynamodb:ListStreams on *":            "Lambda finds the stream.",
}

// needless reports whether Lambda needs a right and the function does not.
func needless(right string) bool {
	for prefix := range byLambda {
		if strings.HasPrefix(right, prefix) {
			return true
		}
	}
	return false
}

// tooWide returns what is wrong with the rights that nothing has used: each must be
// one that Lambda uses, and each such must be there.
func tooWide(unused []string) (problems []string) {
	seen := map[string]bool{}
	for _, of := range unused {
		_, right, _ := strings.Cut(of, " ")
		if !needless(right) {
			problems = append(problems, of+": no test uses it. Take it out of template.yaml, test what it is for, or say in byLambda why it is there")
		}
		for prefix := range byLambda {
			seen[prefix] = seen[prefix] || strings.HasPrefix(right, prefix)
		}
	}
	for prefix := range byLambda {
		if len(unused) > 0 && !seen[prefix] {
			problems = append(problems, prefix+": a function uses it, or it is not there: take it out of byLambda")
		}
	}
	slices.Sort(problems)
	return problems
}

// connectionsWrite is what writes a connection.
const connectionsWrite = "dynamodb:UpdateItem on table/stack-ConnectionsTable"

// A duty is everything that a function has its rights for. It returns what can be
// seen of that from outside, a line each.
type duty func(*deployment) []string

// duties are those of all functions, with what is seen where nothing is missing.
var duties = map[string]struct {
	do   duty
	want []string
}{
	"AuthorizeFunction": {authorizing, []string{
		"starts with BatchGetSecretValue SealSecret ConnectSecret", "a link: 302 whiplash", "reads GetSecretValue whiplash",
	}},
	"CallbackFunction": {callingBack, []string{
		"approved: 303 connected", "loaded again: 303 connected", "DynamoDB away: 303 connected, spilled, 0 left",
	}},
	"RefreshFunction": {sweeping, []string{
		"due: {Due:1 Refreshed:1 Failed:0 Skipped:0 Remaining:0}",
		"DynamoDB away: {Due:1 Refreshed:1 Failed:0 Skipped:0 Remaining:0}, spilled, 0 left",
		"a spill of long ago: {Due:0 Refreshed:0 Failed:0 Skipped:0 Remaining:0}, 0 left",
		`more than it can do: {Due:500 Refreshed:0 Failed:0 Skipped:0 Remaining:500}, hints [{"shard":"3"}]`,
		"another table: {Due:0 Refreshed:0 Failed:0 Skipped:0 Remaining:0}, 4 held",
	}},
	"ConnectionsFunction": {controlling, []string{
		"issue: active", "get: active", "list: 1", "list by status: 1", "refresh: active", "hold: done",
		"a reader's refresh while held: provider_unavailable", "release: done", "a reader's refresh: active", "DynamoDB away: active, spilled, 0 left", "after a lease: active",
	}},
	"EventsFunction": {telling, []string{
		`connected: told, ["acct_42 Connection Connected"]`, `reauthorization: told, with a link, ["acct_42 Reauthorization Required"]`,
	}},
}

// dutyTime is the time-out of a function that does its duty, where it is not that of
// the template: what cannot be stored is tried until the end.
var dutyTime = map[string]time.Duration{"CallbackFunction": 8 * time.Second, "ConnectionsFunction": 42 * time.Second, "RefreshFunction": 42 * time.Second}

// onDuty starts a function for its duty.
func (d *deployment) onDuty(name string) *lambdatest.Function {
	d.t.Helper()
	env := d.Environment(d.t, name)
	for setting, value := range d.change[name] {
		env[setting] = value
	}
	timeout, ok := dutyTime[name]
	if !ok {
		timeout = 15 * time.Second
	}
	return lambdatest.Start(d.t, bootstraps(d.t)[name], env, timeout)
}

// observe sends an event through f, and returns its answer as short as it says something.
func observe(ctx context.Context, f *lambdatest.Function, event []byte) string {
	answer, err := f.Invoke(ctx, event)
	var a struct {
		StatusCode int
		Headers    map[string]string
		Connection *struct {
			ConnectionStatus string `json:"connection_status"`
		}
		Connections []any
		Provider    any
		Error       *struct{ Type string }
		Failures    *[]any `json:"batchItemFailures"`
		Due         *int
	}
	if err != nil || json.Unmarshal(answer, &a) != nil {
		return "fails"
	}
	switch {
	case a.StatusCode != 0:
		to := a.Headers["Location"]
		_, result, _ := strings.Cut(to, "&result=")
		if strings.Contains(to, "/whiplash/") {
			result = "whiplash"
		}
		return strings.TrimSpace(fmt.Sprint(a.StatusCode, " ", result))
	case a.Error != nil:
		return a.Error.Type
	case a.Connection != nil:
		return a.Connection.ConnectionStatus
	case a.Connections != nil:
		return fmt.Sprint(len(a.Connections))
	case a.Due != nil:
		var s summary
		_ = json.Unmarshal(answer, &s) // it was read before
		return fmt.Sprintf("%+v", s)
	case a.Provider != nil:
		return "done"
	case a.Failures != nil && len(*a.Failures) > 0:
		return "not told"
	}
	return "told"
}

// manager returns what reads and writes the secrets past the functions.
func (d *deployment) manager() *secretsmanager.Client {
	return secretsmanager.New(secretsmanager.Options{
		BaseEndpoint: &d.Secrets.URL, Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
}

// spills returns the spills that there are.
func (d *deployment) spills() []manager.SecretListEntry {
	d.t.Helper()
	prefix := d.Environment(d.t, "RefreshFunction")["RESCUE_SECRETS"]
	out, err := d.manager().ListSecrets(d.t.Context(), &secretsmanager.ListSecretsInput{
		Filters: []manager.Filter{{Key: manager.FilterNameStringTypeName, Values: []string{prefix}}},
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return out.SecretList
}

// away lets DynamoDB take no connection of a function, after as many as claims, until
// it has spilled. It returns what was to be seen, and the spill.
func (d *deployment) away(function string, claims int, do func() string) (line string, spill *secretsmanager.GetSecretValueOutput) {
	d.t.Helper()
	giveBack, back := func() {}, false
	withhold := func() { giveBack = d.Withhold(function, connectionsWrite) }
	if claims == 0 {
		withhold()
	}
	d.DynamoDB.OnServed(func(call string) {
		if call == "UpdateItem ConnectionsTable" {
			if claims--; claims == 0 {
				withhold()
			}
		}
	})
	d.Secrets.OnServed(func(call string) {
		if call == "CreateSecret" && !back {
			back = true
			if list := d.spills(); len(list) > 0 {
				spill, _ = d.manager().GetSecretValue(d.t.Context(), &secretsmanager.GetSecretValueInput{SecretId: list[0].Name})
			}
			giveBack()
		}
	})
	line = do()
	d.DynamoDB.OnServed(nil)
	d.Secrets.OnServed(nil)
	if back {
		line += ", spilled"
	} else {
		giveBack()
	}
	return fmt.Sprintf("%s, %d left", line, len(d.spills())), spill
}

func authorizing(d *deployment) []string {
	f := d.onDuty("AuthorizeFunction")
	lines := []string{"starts with " + strings.Join(d.Secrets.Take(), ", ")}
	lines = append(lines, "a link: "+observe(d.t.Context(), f, addressed(d.t, "authorize-no-ticket.json", d.link("whiplash"), nil)))
	return append(lines, "reads "+strings.Join(d.Secrets.Take(), ", "))
}

func callingBack(d *deployment) (lines []string) {
	f := d.onDuty("CallbackFunction")
	b := newBrowser(d.t)
	back := d.answered(b, "whiplash", "approve")
	event := func() []byte { return addressed(d.t, "callback-fragment.json", back, b.sent()) }
	for _, doing := range []string{"approved: ", "loaded again: "} {
		lines = append(lines, doing+observe(d.t.Context(), f, event()))
	}
	b = newBrowser(d.t)
	back = d.answered(b, "whiplash", "approve")
	line, _ := d.away("CallbackFunction", 0, func() string { return observe(d.t.Context(), f, event()) })
	return append(lines, "DynamoDB away: "+line)
}

func sweeping(d *deployment) (lines []string) {
	d.connect("whiplash")
	d.makeDue(connectionID, "whiplash", "3")
	f, sweep := d.onDuty("RefreshFunction"), eventtest.Read(d.t, "refresh.json", nil)
	lines = append(lines, "due: "+observe(d.t.Context(), f, sweep))
	d.makeDue(connectionID, "whiplash", "3")
	line, spill := d.away("RefreshFunction", 1, func() string { return observe(d.t.Context(), f, sweep) })
	lines = append(lines, "DynamoDB away: "+line)
	f.Kill()
	for _, s := range d.spills() {
		d.unspill(s)
	}
	if spill != nil {
		_, err := d.manager().CreateSecret(d.t.Context(), &secretsmanager.CreateSecretInput{Name: spill.Name, SecretBinary: spill.SecretBinary})
		if err != nil {
			d.t.Fatal(err)
		}
	}
	queue := d.Queue(d.t)
	d.change["RefreshFunction"] = values{"SHARD_QUEUE_URL": queue.URL}
	f = d.onDuty("RefreshFunction")
	lines = append(lines, fmt.Sprintf("a spill of long ago: %s, %d left", observe(d.t.Context(), f, sweep), len(d.spills())))
	d.fill("3", 500)
	line = observe(d.t.Context(), f, sweep)
	_, hints := queue.Event(d.t, eventtest.Read(d.t, "refresh-hints.json", nil))
	lines = append(lines, fmt.Sprintf("more than it can do: %s, hints %s", line, hints))
	d.exchange()
	line = observe(d.t.Context(), f, sweep)
	return append(lines, fmt.Sprintf("another table: %s, %d held", line, d.held()))
}

// unspill removes a spill.
func (d *deployment) unspill(s manager.SecretListEntry) {
	d.t.Helper()
	force := true
	if _, err := d.manager().DeleteSecret(d.t.Context(), &secretsmanager.DeleteSecretInput{SecretId: s.Name, ForceDeleteWithoutRecovery: &force}); err != nil {
		d.t.Fatal(err)
	}
}

func controlling(d *deployment) (lines []string) {
	f := d.onDuty("ConnectionsFunction")
	ask := func(action string, more string) string {
		return observe(d.t.Context(), f, []byte(`{"action":"`+action+`","provider":"whcc"`+more+`}`))
	}
	one := `,"connection_id":"` + connectionID + `"`
	lines = append(lines, "issue: "+ask("issue", one), "get: "+ask("get", one), "list: "+ask("list", one),
		"list by status: "+ask("list", `,"status":"active"`), "refresh: "+ask("refresh", one), "hold: "+ask("hold", ""),
		"a reader's refresh while held: "+ask("refresh", one+`,"min_ttl":86400`), "release: "+ask("release", ""),
		"a reader's refresh: "+ask("refresh", one+`,"min_ttl":86400`))
	line, _ := d.away("ConnectionsFunction", 0, func() string { return ask("issue", `,"connection_id":"another"`) })
	lines = append(lines, "DynamoDB away: "+line)
	if d.item(connectionID, "whcc") != nil { // whoever had the lease may have spilled
		d.update(connectionID, "whcc", "SET lease_id = :id, lease_until = :past, lease_sent_at = :past ADD fence :one", map[string]types.AttributeValue{
			":id": &types.AttributeValueMemberS{Value: "dead"}, ":past": &types.AttributeValueMemberN{Value: "1"}, ":one": &types.AttributeValueMemberN{Value: "1"},
		})
	}
	return append(lines, "after a lease: "+ask("refresh", one))
}

func telling(d *deployment) (lines []string) {
	bus := newHostBus(d.t, d)
	d.change["EventsFunction"] = values{"PUBLIC_URL": lambdatest.PublicURL, "AWS_ENDPOINT_URL_EVENTBRIDGE": bus.url}
	f := d.onDuty("EventsFunction")
	for _, what := range []string{"connected", "reauthorization"} {
		line := what + ": " + observe(d.t.Context(), f, eventtest.Read(d.t, "events-"+what+".json", nil))
		if bus.mu.Lock(); slices.ContainsFunc(bus.taken, func(e hostEvent) bool { return strings.Contains(e.Detail, "/authorize/whatnot?ticket=") }) {
			line += ", with a link"
		}
		bus.mu.Unlock()
		lines = append(lines, fmt.Sprintf("%s, %q", line, bus.Told()))
	}
	return lines
}

// All tests of this package run under the policies of the template. Here each
// function does in one go what it has all its rights for.
func TestAFunctionNeedsEveryRightThatItHas(t *testing.T) {
	t.Parallel()
	for function, duty := range duties {
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, lambdatest.Config{})
			if lines := duty.do(d); !slices.Equal(lines, duty.want) {
				t.Errorf("it does\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(duty.want, "\n"))
			}
			all, used := d.Rights(function)
			for _, right := range all {
				if slices.Contains(used, right) == needless(right) {
					t.Errorf("%s: the function uses it: %v, want %v", right, needless(right), !needless(right))
				}
			}
		})
	}
}
