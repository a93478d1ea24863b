package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// ARNs as the rendered template has them.
var (
	connectionsARN = arn("dynamodb", "table/stack-ConnectionsTable")
	stateARN       = arn("dynamodb", "table/stack-StateTable")
	streamARN      = connectionsARN + "/stream/2026-11-23T00:00:00.000"
	sealARN        = arn("secretsmanager", "secret:SealSecret-Ab12Cd")
	connectARN     = arn("secretsmanager", "secret:ConnectSecret-Ab12Cd")
	providerARN    = arn("secretsmanager", "secret:stack/providers/whiplash-Ab12Cd")
	rescueARN      = arn("secretsmanager", "secret:stack/rescue/whiplash/0123456789abcdef/7-Ab12Cd")
	liveARN        = arn("lambda", "function:stack-ConnectionsFunction:live")
)

const (
	certificate = "arn:aws:acm:eu-central-1:123456789012:certificate/0a1b"
	keyARN      = "arn:aws:kms:eu-central-1:123456789012:key/0a1b"
	busARN      = "arn:aws:events:eu-central-1:123456789012:event-bus/host"
)

// calls returns one call each, without context.
func calls(resource string, actions ...string) []Call {
	var list []Call
	for _, a := range actions {
		list = append(list, Call{Action: a, Resource: resource})
	}
	return list
}

// under returns calls with a value of one condition key.
func under(key, value string, list []Call) []Call {
	for i := range list {
		list[i].Context = map[string][]string{key: {value}}
	}
	return list
}

// logs returns the calls by which Lambda writes the log of a function.
func logs(word string) []Call {
	return calls(arn("logs", "log-group:/aws/lambda/stack/"+word+":log-stream:2026/11/23/x"), "logs:CreateLogStream", "logs:PutLogEvents")
}

// reading is the GetItem of a reader that asks for attributes of its key.
func reading(attributes []string, more map[string][]string) Call {
	context := map[string][]string{
		"dynamodb:Attributes":  append([]string{"connection_id", "provider"}, attributes...),
		"dynamodb:Select":      {"SPECIFIC_ATTRIBUTES"},
		"dynamodb:LeadingKeys": {"acct_42"},
	}
	maps.Copy(context, more)
	return Call{Action: "dynamodb:GetItem", Resource: connectionsARN, Context: context}
}

// needed are the calls that each role and policy is for: those that the code makes,
// and those that Lambda makes with its rights. The tests of internal/lambdatest
// count the calls of the built functions.
func needed() map[string][]Call {
	queue := func(id string) string { return arn("sqs", "stack-"+id) }
	store := slices.Concat(
		calls(connectionsARN, "dynamodb:GetItem", "dynamodb:UpdateItem"), calls(stateARN, "dynamodb:GetItem", "dynamodb:UpdateItem"),
		calls(sealARN, "secretsmanager:GetSecretValue"), calls(providerARN, "secretsmanager:GetSecretValue"),
		calls(rescueARN, "secretsmanager:CreateSecret", "secretsmanager:DeleteSecret"))
	return map[string][]Call{
		"AuthorizeRole": slices.Concat(logs("authorize"), calls(sealARN, "secretsmanager:GetSecretValue"), calls(connectARN, "secretsmanager:GetSecretValue"),
			calls(providerARN, "secretsmanager:GetSecretValue"), calls("*", "secretsmanager:BatchGetSecretValue")),
		"CallbackRole": slices.Concat(logs("callback"), store),
		"RefreshRole": slices.Concat(logs("refresh"), store, calls(connectionsARN+"/index/due", "dynamodb:Query"), calls(connectionsARN, "dynamodb:DescribeTable"),
			calls(rescueARN, "secretsmanager:GetSecretValue"), calls("*", "secretsmanager:ListSecrets"), calls(queue("SweepDeadLetters"), "sqs:SendMessage"),
			calls(queue("ShardQueue"), "sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")),
		"ConnectionsRole": slices.Concat(logs("connections"), store, calls(connectionsARN, "dynamodb:Query", "dynamodb:Scan"), calls(rescueARN, "secretsmanager:GetSecretValue")),
		"EventsRole": slices.Concat(logs("events"), calls(streamARN, "dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"),
			calls("*", "dynamodb:ListStreams"), under("events:source", "evergrant", calls(busARN, "events:PutEvents")),
			calls(connectARN, "secretsmanager:GetSecretValue"), calls(queue("EventsDeadLetters"), "sqs:SendMessage")),
		"ReaderPolicy":       {reading([]string{"access_token", "expires_at"}, nil)},
		"TenantReaderPolicy": {reading([]string{"access_token", "expires_at"}, map[string][]string{"aws:PrincipalTag/connection_id": {"acct_42"}})},
		"HostPolicy":         slices.Concat(calls(connectARN, "secretsmanager:GetSecretValue"), calls(liveARN, "lambda:InvokeFunction")),
		"OperatorPolicy": slices.Concat(calls(liveARN, "lambda:InvokeFunction", "lambda:GetFunctionConfiguration"),
			calls(arn("lambda", "function:stack-RefreshFunction"), "lambda:GetFunctionConfiguration"),
			calls(arn("lambda", "function:stack-EventsFunction:live"), "lambda:GetFunctionConfiguration"),
			calls(arn("cloudformation", "stack/stack/0a1b"), "cloudformation:DescribeStacks", "cloudformation:ListStackResources"),
			calls(arn("cloudwatch", "alarm:stack-HeartbeatAlarm-Ab12"), "cloudwatch:DescribeAlarms"),
			calls(arn("scheduler", "schedule/default/stack-RefreshFunctionSweep"), "scheduler:GetSchedule"),
			under("lambda:FunctionArn", arn("lambda", "function:stack-EventsFunction:live"), calls("*", "lambda:GetEventSourceMapping")),
			under("lambda:FunctionArn", arn("lambda", "function:stack-RefreshFunction:live"), calls("*", "lambda:GetEventSourceMapping")),
			calls(busARN, "events:DescribeEventBus"),
			calls(connectionsARN, "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "dynamodb:DescribeContinuousBackups"),
			calls(stateARN, "dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive", "dynamodb:DescribeContinuousBackups"),
			calls(sealARN, "secretsmanager:DescribeSecret"), calls(connectARN, "secretsmanager:DescribeSecret"),
			calls(providerARN, "secretsmanager:CreateSecret", "secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"),
			calls(arn("logs", "log-group:/aws/lambda/stack/refresh:*"), "logs:FilterLogEvents", "logs:StartQuery"),
			calls(arn("logs", "log-group:/aws/vendedlogs/stack/api:*"), "logs:FilterLogEvents", "logs:StartQuery"),
			calls("*", "cloudwatch:GetMetricData", "logs:GetQueryResults", "secretsmanager:ListSecrets"),
			calls(queue("SweepDeadLetters"), "sqs:ReceiveMessage"), calls(queue("ShardDeadLetters"), "sqs:ReceiveMessage"), calls(queue("EventsDeadLetters"), "sqs:ReceiveMessage"),
			calls(rescueARN, "secretsmanager:CreateSecret")),
	}
}

// withKey adds what they need beside where the stack has a key and traces.
func withKey(all map[string][]Call) map[string][]Call {
	const via = "kms:ViaService"
	secret := under(via, "secretsmanager.eu-central-1.amazonaws.com", calls(keyARN, "kms:Decrypt"))
	read := under(via, "dynamodb.eu-central-1.amazonaws.com", calls(keyARN, "kms:Decrypt", "kms:DescribeKey"))
	write := under(via, "dynamodb.eu-central-1.amazonaws.com", calls(keyARN, "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo"))
	for id := range all {
		if strings.HasSuffix(id, "Role") {
			all[id] = slices.Concat(all[id], secret, calls("*", "xray:PutTraceSegments", "xray:PutTelemetryRecords"))
		}
	}
	for _, id := range []string{"CallbackRole", "RefreshRole", "ConnectionsRole"} {
		all[id] = slices.Concat(all[id], read, write)
	}
	for _, id := range []string{"EventsRole", "ReaderPolicy", "TenantReaderPolicy"} {
		all[id] = slices.Concat(all[id], read)
	}
	all["HostPolicy"] = slices.Concat(all["HostPolicy"], secret)
	return all
}

// nobodys are calls that nobody may make: what would lose or show grants, what
// would widen rights, and what a permission with a slip in it would open.
func nobodys() []Call {
	return slices.Concat(
		calls(connectionsARN, "dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:DeleteTable", "dynamodb:UpdateTable", "dynamodb:BatchGetItem", "dynamodb:BatchWriteItem",
			"dynamodb:PartiQLSelect", "dynamodb:ExportTableToPointInTime", "dynamodb:UpdateContinuousBackups", "dynamodb:CreateBackup"),
		calls(stateARN, "dynamodb:Scan", "dynamodb:Query", "dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:DeleteTable"),
		calls(arn("dynamodb", "table/another"), "dynamodb:GetItem", "dynamodb:UpdateItem", "dynamodb:Query"),
		calls(connectionsARN+"/index/due", "dynamodb:Scan", "dynamodb:GetItem"), calls(connectionsARN+"/index/another", "dynamodb:Query"),
		calls(sealARN, "secretsmanager:PutSecretValue", "secretsmanager:DeleteSecret", "secretsmanager:UpdateSecret", "secretsmanager:PutResourcePolicy"),
		calls(connectARN, "secretsmanager:PutSecretValue", "secretsmanager:DeleteSecret"),
		calls(providerARN, "secretsmanager:DeleteSecret", "secretsmanager:PutResourcePolicy"),
		calls(arn("secretsmanager", "secret:another-Ab12Cd"), "secretsmanager:GetSecretValue", "secretsmanager:CreateSecret", "secretsmanager:DeleteSecret"),
		calls(arn("secretsmanager", "secret:stack2/providers/whiplash-Ab12Cd"), "secretsmanager:GetSecretValue"),
		calls(arn("lambda", "function:stack-ConnectionsFunction"), "lambda:InvokeFunction", "lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration"),
		calls(arn("lambda", "function:stack-RefreshFunction:live"), "lambda:InvokeFunction"), calls(liveARN, "lambda:UpdateAlias"),
		under("lambda:FunctionArn", arn("lambda", "function:another"), calls("*", "lambda:GetEventSourceMapping")), calls("*", "lambda:GetEventSourceMapping"),
		calls(arn("cloudformation", "stack/stack/0a1b"), "cloudformation:DeleteStack", "cloudformation:UpdateStack", "cloudformation:GetTemplate"),
		calls(arn("cloudformation", "stack/stack2/0a1b"), "cloudformation:DescribeStacks"), calls(arn("cloudwatch", "alarm:stack2-HeartbeatAlarm"), "cloudwatch:DescribeAlarms"),
		calls(arn("cloudwatch", "alarm:stack-HeartbeatAlarm-Ab12"), "cloudwatch:DeleteAlarms", "cloudwatch:DisableAlarmActions"),
		calls(arn("scheduler", "schedule/default/stack-RefreshFunctionSweep"), "scheduler:UpdateSchedule", "scheduler:DeleteSchedule"),
		calls(arn("scheduler", "schedule/default/stack-Another"), "scheduler:GetSchedule"),
		calls(arn("sqs", "stack-ShardQueue"), "sqs:PurgeQueue", "sqs:DeleteQueue"), calls(arn("sqs", "another"), "sqs:SendMessage"),
		under("events:source", "another", calls(busARN, "events:PutEvents")), calls(busARN, "events:PutEvents"),
		under("events:source", "evergrant", calls(arn("events", "event-bus/another"), "events:PutEvents")),
		calls(keyARN, "kms:Decrypt", "kms:GenerateDataKey"), under("kms:ViaService", "s3.eu-central-1.amazonaws.com", calls(keyARN, "kms:Decrypt")),
		under("kms:ViaService", "dynamodb.eu-central-1.amazonaws.com", calls(keyARN, "kms:CreateGrant", "kms:ScheduleKeyDeletion")),
		calls(arn("sqs", "stack-SweepDeadLetters"), "sqs:DeleteMessage", "sqs:PurgeQueue"),
		calls(arn("lambda", "function:stack-RefreshFunction"), "lambda:PutFunctionConcurrency", "lambda:DeleteFunctionConcurrency"),
		calls(arn("logs", "log-group:/aws/lambda/stack/refresh:*"), "logs:DeleteLogGroup", "logs:GetLogEvents"), calls("*", "logs:DescribeQueries"),
		calls(arn("logs", "log-group:/aws/lambda/stack2/refresh:*"), "logs:FilterLogEvents", "logs:StartQuery"),
		calls("arn:aws:iam::123456789012:role/stack-RefreshRole", "iam:PassRole", "sts:AssumeRole"), calls("*", "iam:CreateRole", "kms:ListKeys"),
	)
}

// neighbours evaluates what each role and policy allows, with and without the key:
// all that it needs, and nothing that only others need or nobody may.
func neighbours(doc map[string]any, p *problems) {
	plain := map[string]string{"FanOut": "true", "EventBus": "host"}
	guarded := map[string]string{"FanOut": "true", "EventBus": busARN, "KmsKeyArn": keyARN, "Tracing": "Active"}
	for _, tt := range []struct {
		parameters map[string]string
		needed     map[string][]Call
	}{{plain, needed()}, {guarded, withKey(needed())}} {
		stack, err := render(doc, tt.parameters)
		if err != nil {
			p.add("%v", err)
			return
		}
		all := slices.Concat(slices.Collect(maps.Values(withKey(needed())))...)
		all = append(all, nobodys()...)
		for id, own := range tt.needed {
			policy, err := stack.Policy(id)
			if err != nil {
				p.add("%v", err)
				continue
			}
			for _, c := range own {
				if !policy.Allows(c) {
					p.add("%s may not %s on %s %v, which it needs", id, c.Action, c.Resource, c.Context)
				}
			}
			for _, c := range all {
				if policy.Allows(c) && !slices.ContainsFunc(own, func(o Call) bool { return fmt.Sprint(o) == fmt.Sprint(c) }) && !narrower(id, c) {
					p.add("%s may %s on %s %v, which others do", id, c.Action, c.Resource, c.Context)
				}
			}
		}
	}
}

// narrower reports whether c is a call of another that is part of what id may do
// anyway: whoever reads whole items may read some attributes of one.
func narrower(id string, c Call) bool {
	switch id {
	case "CallbackRole", "RefreshRole", "ConnectionsRole":
		return c.Action == "dynamodb:GetItem" && c.Resource == connectionsARN
	case "ReaderPolicy":
		return c.Context["aws:PrincipalTag/connection_id"] != nil
	}
	return false
}

// projection finds the attributes that a documented GetItem asks for.
var projection = regexp.MustCompile(`ProjectionExpression(?:=|:\s*)(?:aws\.String\()?"([a-z_, ]+)"`)

// documented returns the projections of README.md, of pkg/tokens and of the list in
// the contract.
func documented(p *problems) [][]string {
	lists := [][]string{{"access_token", "token_type", "expires_at", "scopes", "connection_status"}, {"account_id", "account_label", "environment"}}
	for _, file := range []string{"../../README.md", "../../pkg/tokens/tokens.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			p.add("%v", err)
		}
		found := projection.FindAllStringSubmatch(string(text), -1)
		if len(found) == 0 {
			p.add("%s has no GetItem with a ProjectionExpression", file)
		}
		for _, m := range found {
			lists = append(lists, strings.Split(m[1], ", "))
		}
	}
	return lists
}

func readers(doc map[string]any, p *problems) {
	stack, err := render(doc, nil)
	if err != nil {
		p.add("%v", err)
		return
	}
	tag := map[string][]string{"aws:PrincipalTag/connection_id": {"acct_42"}}
	policies := map[string]Policy{}
	for _, id := range []string{"ReaderPolicy", "TenantReaderPolicy"} {
		if policies[id], err = stack.Policy(id); err != nil {
			p.add("%v", err)
		}
		for _, attributes := range documented(p) {
			if !policies[id].Allows(reading(attributes, tag)) {
				p.add("%s does not let the documented GetItem of %v through", id, attributes)
			}
		}
		whole := reading(nil, tag)
		delete(whole.Context, "dynamodb:Attributes")
		unknown := reading([]string{"access_token"}, tag)
		delete(unknown.Context, "dynamodb:Select")
		everything := reading(nil, tag)
		everything.Context["dynamodb:Select"] = []string{"ALL_ATTRIBUTES"}
		for what, c := range map[string]Call{
			"a request that names no attribute": whole, "a request for all attributes": everything, "a request of unknown kind": unknown,
			"the sealed refresh token": reading([]string{"access_token", "refresh_token_sealed"}, tag), "metadata": reading([]string{"metadata"}, tag),
			"the lease": reading([]string{"lease_id"}, tag), "the failure": reading([]string{"failure"}, tag),
		} {
			if policies[id].Allows(c) {
				p.add("%s lets %s through", id, what)
			}
		}
	}
	for key, want := range map[string]bool{"acct_42": true, "acct_42:shop": true, "acct_420": false, "acct_7": false, "acct_42/shop": false} {
		c := reading([]string{"access_token"}, map[string][]string{"dynamodb:LeadingKeys": {key}, "aws:PrincipalTag/connection_id": {"acct_42"}})
		if got := policies["TenantReaderPolicy"].Allows(c); got != want {
			p.add("the tenant acct_42 reads %s: %v, want %v", key, got, want)
		}
		delete(c.Context, "aws:PrincipalTag/connection_id")
		if policies["TenantReaderPolicy"].Allows(c) {
			p.add("a caller without the tag reads %s", key)
		}
	}
	blind := reading([]string{"access_token"}, tag)
	delete(blind.Context, "dynamodb:LeadingKeys")
	if policies["TenantReaderPolicy"].Allows(blind) {
		p.add("a request without a key is let through")
	}
}

// The calls that the code can make are those of the narrow interfaces that it
// declares. Each is one that some role is for, and no role is for others, but for
// those that Lambda makes with its rights.
func TestRolesAreForTheCallsOfTheCode(t *testing.T) {
	input := regexp.MustCompile(`\bin \*(dynamodb|secretsmanager|sqs|eventbridge)\.(\w+)Input\b`)
	inCode := map[string]bool{}
	for _, folder := range []string{"dynamo", "secrets", "queue", "bus"} {
		files, err := filepath.Glob("../" + folder + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("internal/%s holds no code: %v", folder, err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, m := range input.FindAllStringSubmatch(string(source), -1) {
				inCode[strings.Replace(m[1], "eventbridge", "events", 1)+":"+strings.TrimSuffix(m[2], "MessageBatch")] = true
			}
		}
	}
	inCode["sqs:SendMessage"] = inCode["sqs:Send"] // IAM has one action for a message and a batch
	delete(inCode, "sqs:Send")
	lambda := []string{"logs:CreateLogStream", "logs:PutLogEvents", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes",
		"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"}
	needs := map[string]bool{}
	for id, calls := range needed() {
		for _, c := range calls {
			if strings.HasSuffix(id, "Role") && !slices.Contains(lambda, c.Action) {
				needs[c.Action] = true
			}
		}
	}
	if got, want := slices.Sorted(maps.Keys(needs)), slices.Sorted(maps.Keys(inCode)); !slices.Equal(got, want) {
		t.Errorf("roles are for %v,\nthe code calls %v", got, want)
	}
}

// longest returns how many characters a policy may have: in the partition and region,
// with the name of the stack and those that CloudFormation makes of it, that have the
// most.
func longest(t *testing.T, doc map[string]any, id string) int {
	t.Helper()
	r, err := newRenderer(doc, map[string]string{"FanOut": "true", "KmsKeyArn": keyARN, "EventBus": strings.TrimSuffix(busARN, "host") + strings.Repeat("b", 256)})
	if err != nil {
		t.Fatal(err)
	}
	r.values["AWS::StackName"] = strings.Repeat("s", 128)
	made := regexp.MustCompile(`stack-\w+`)
	r.physical = func(id, attribute string) (any, error) {
		value, err := r.madeUp(id, attribute)
		name := 64 // of functions and schedules
		switch at(doc, "Resources", id, "Type") {
		case "AWS::DynamoDB::Table":
			name = 160 // with the stack's, whole
		case "AWS::SQS::Queue":
			name = 80
		}
		return made.ReplaceAllString(fmt.Sprint(value), strings.Repeat("n", name)), err
	}
	stack, err := r.stack()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(at(stack.Resources[id], "Properties", "PolicyDocument"))
	if err != nil {
		t.Fatal(err)
	}
	long := strings.NewReplacer("arn:aws:", "arn:aws-us-gov:", "eu-central-1", "us-gov-west-1", "Secret-Ab12Cd", "Secret-0123456789ab-Ab12Cd")
	return len(long.Replace(string(text)))
}

// IAM takes 6,144 characters of a managed policy, white space not counted, and
// CloudFormation 128 of a stack's name ("IAM and AWS STS quotas", 2026-11-23).
func TestAPolicyFitsWhateverTheStackIsCalled(t *testing.T) {
	doc, err := read("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for id := range resources(doc, "AWS::IAM::ManagedPolicy") {
		if id == "TracingPolicy" {
			continue // names nothing
		}
		if n := longest(t, doc, id); n > 6144 {
			t.Errorf("%s may have %d characters", id, n)
		}
	}
}
