package template

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// signed returns a request in the form that the SDKs give it.
func signed(service, method, target, url string) *http.Request {
	r := httptest.NewRequest(method, url, nil)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=who/20261123/eu-central-1/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	r.Header.Set("X-Amz-Target", target)
	return r
}

func TestARequestIsTheCallsThatIAMDecidesOn(t *testing.T) {
	stack, err := Render(path, map[string]string{"FanOut": "true", "EventBus": "host"})
	if err != nil {
		t.Fatal(err)
	}
	const dynamoDB, manager, watch = "DynamoDB_20120810.", "secretsmanager.", "/service/GraniteServiceVersion20100801/operation/DescribeAlarms"
	get := `"TableName":"real","Key":{"provider":{"S":"whatnot"},"connection_id":{"S":"acct_42"}}`
	read := func(asked, selected string) []string {
		return []string{"dynamodb:GetItem " + connectionsARN + " map[dynamodb:Attributes:[connection_id provider" + asked + "] dynamodb:LeadingKeys:[acct_42] dynamodb:Select:[" + selected + "]]"}
	}
	tests := map[string]struct {
		service, target, url, body string
		want                       []string
	}{
		"a whole item":              {"dynamodb", dynamoDB + "GetItem", "/", `{` + get + `}`, read("", "ALL_ATTRIBUTES")},
		"some attributes":           {"dynamodb", dynamoDB + "GetItem", "/", `{` + get + `,"ProjectionExpression":"access_token, scopes"}`, read(" access_token scopes", "SPECIFIC_ATTRIBUTES")},
		"parts of attributes":       {"dynamodb", dynamoDB + "GetItem", "/", `{` + get + `,"ProjectionExpression":"#f.code,list[0].a","ExpressionAttributeNames":{"#f":"failure"}}`, read(" failure list", "SPECIFIC_ATTRIBUTES")},
		"attributes, the older way": {"dynamodb", dynamoDB + "GetItem", "/", `{` + get + `,"AttributesToGet":["lease_id"]}`, read(" lease_id", "SPECIFIC_ATTRIBUTES")},
		"an index":                  {"dynamodb", dynamoDB + "Query", "/", `{"TableName":"real","IndexName":"due"}`, []string{"dynamodb:Query " + connectionsARN + "/index/due map[]"}},
		"a table by its ARN":        {"dynamodb", dynamoDB + "Scan", "/", `{"TableName":"` + stateARN + `"}`, []string{"dynamodb:Scan " + stateARN + " map[]"}},
		"a batch of items":          {"dynamodb", dynamoDB + "BatchGetItem", "/", `{"RequestItems":{"real":{}}}`, []string{"dynamodb:BatchGetItem " + connectionsARN + " map[]"}},
		"a secret by its name":      {"secretsmanager", manager + "GetSecretValue", "/", `{"SecretId":"stack/providers/whiplash"}`, []string{"secretsmanager:GetSecretValue " + providerARN + " map[]"}},
		"a secret by its ARN":       {"secretsmanager", manager + "DeleteSecret", "/", `{"SecretId":"` + sealARN + `"}`, []string{"secretsmanager:DeleteSecret " + sealARN + " map[]"}},
		"a new secret":              {"secretsmanager", manager + "CreateSecret", "/", `{"Name":"stack/providers/whiplash"}`, []string{"secretsmanager:CreateSecret " + providerARN + " map[]"}},
		"no secret in particular":   {"secretsmanager", manager + "ListSecrets", "/", `{"Filters":[{"Key":"name"}]}`, []string{"secretsmanager:ListSecrets * map[]"}},
		"a list of secrets": {"secretsmanager", manager + "BatchGetSecretValue", "/", `{"SecretIdList":["` + connectARN + `","stack/providers/whiplash"]}`,
			[]string{"secretsmanager:BatchGetSecretValue * map[]", "secretsmanager:GetSecretValue " + connectARN + " map[]", "secretsmanager:GetSecretValue " + providerARN + " map[]"}},
		"a batch of messages": {"sqs", "AmazonSQS.SendMessageBatch", "/", `{"QueueUrl":"https://sqs.eu-central-1.amazonaws.com/123456789012/stack-ShardQueue"}`, []string{"sqs:SendMessage " + arn("sqs", "stack-ShardQueue") + " map[]"}},
		"events": {"events", "AWSEvents.PutEvents", "/", `{"Entries":[{"EventBusName":"host","Source":"evergrant"},{"EventBusName":"` + busARN + `","Source":"another"}]}`,
			[]string{"events:PutEvents " + busARN + " map[events:source:[evergrant]]", "events:PutEvents " + busARN + " map[events:source:[another]]"}},
		"lines of a log":           {"logs", "Logs_20140328.FilterLogEvents", "/", `{"logGroupName":"/aws/lambda/stack/refresh"}`, []string{"logs:FilterLogEvents " + arn("logs", "log-group:/aws/lambda/stack/refresh:*") + " map[]"}},
		"an invocation":            {"lambda", "", "/2015-03-31/functions/stack-ConnectionsFunction:live/invocations", `not ours`, []string{"lambda:InvokeFunction " + liveARN + " map[]"}},
		"one of a qualifier":       {"lambda", "", "/2015-03-31/functions/stack-ConnectionsFunction/invocations?Qualifier=live", ``, []string{"lambda:InvokeFunction " + liveARN + " map[]"}},
		"one by ARN":               {"lambda", "", "/2015-03-31/functions/" + liveARN + "/invocations", ``, []string{"lambda:InvokeFunction " + liveARN + " map[]"}},
		"a configuration":          {"lambda", "GET", "/2015-03-31/functions/stack-RefreshFunction:live/configuration", ``, []string{"lambda:GetFunctionConfiguration " + arn("lambda", "function:stack-RefreshFunction:live") + " map[]"}},
		"a mapping":                {"lambda", "GET", "/2015-03-31/event-source-mappings/stack-ShardWorkers", ``, []string{"lambda:GetEventSourceMapping * map[lambda:FunctionArn:[" + arn("lambda", "function:stack-RefreshFunction:live") + "]]"}},
		"a mapping of SAM's":       {"lambda", "GET", "/2015-03-31/event-source-mappings/stack-EventsFunctionWrites", ``, []string{"lambda:GetEventSourceMapping * map[lambda:FunctionArn:[" + arn("lambda", "function:stack-EventsFunction:live") + "]]"}},
		"no mapping of ours":       {"lambda", "GET", "/2015-03-31/event-source-mappings/another", ``, []string{"lambda:GetEventSourceMapping * map[lambda:FunctionArn:[]]"}},
		"a stack":                  {"cloudformation", "", "/", `Action=DescribeStacks&StackName=stack`, []string{"cloudformation:DescribeStacks " + arn("cloudformation", "stack/stack/0a1b") + " map[]"}},
		"all stacks":               {"cloudformation", "", "/", `Action=DescribeStacks`, nil},
		"alarms":                   {"monitoring", "", watch, "\xa1\x6aAlarmNames\x82\x61a\x61b", []string{"cloudwatch:DescribeAlarms " + arn("cloudwatch", "alarm:a") + " map[]", "cloudwatch:DescribeAlarms " + arn("cloudwatch", "alarm:b") + " map[]"}},
		"alarms that it names not": {"monitoring", "", watch, "\xa0", nil},
		"alarms in no CBOR":        {"monitoring", "", watch, `{"AlarmNames":["a"]}`, nil},
		"a schedule":               {"scheduler", "GET", "/schedules/stack-x", ``, []string{"scheduler:GetSchedule " + arn("scheduler", "schedule/default/stack-x") + " map[]"}},
		"a change of a schedule":   {"scheduler", "PUT", "/schedules/stack-x", ``, nil},
		"a bus":                    {"events", "AWSEvents.DescribeEventBus", "/", `{"Name":"host"}`, []string{"events:DescribeEventBus " + busARN + " map[]"}},
		"no table":                 {"dynamodb", dynamoDB + "ExecuteStatement", "/", `{"Statement":"SELECT 1"}`, nil},
		"another service":          {"sts", "", "/", `{}`, nil},
		"another call of it":       {"lambda", "", "/2015-03-31/functions/f/policy", ``, nil},
		"what is no AWS JSON":      {"dynamodb", dynamoDB + "GetItem", "/", `<xml/>`, nil},
		"a request of nothing":     {"dynamodb", "", "/", `{}`, nil},
	}
	named := func(name string) string { return strings.Replace(name, "real", "stack-ConnectionsTable", 1) }
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			method := http.MethodPost
			if !strings.Contains(tt.target, ".") && tt.target != "" {
				method = tt.target // there is no header in a request that goes by its URL
			}
			calls, err := stack.Calls(signed(tt.service, method, tt.target, tt.url), []byte(tt.body), named)
			var got []string
			for _, c := range calls {
				got = append(got, fmt.Sprint(c.Action, " ", c.Resource, " ", c.Context))
			}
			if !slices.Equal(got, tt.want) || (err == nil) != (tt.want != nil) {
				t.Errorf("got %q, %v,\nwant %q", got, err, tt.want)
			}
		})
	}
	if _, err := stack.Calls(httptest.NewRequest(http.MethodPost, "/", nil), []byte(`{}`), named); err == nil {
		t.Error("a request without a signature is read")
	}
}

func TestAPolicyIsTheSumOfItsRights(t *testing.T) {
	const table = "arn:aws:dynamodb:eu-central-1:123456789012:table/a"
	policy := policyOf(t, `{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":["`+table+`","`+table+`/index/b"]},
		{"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"`+table+`","Condition":{"StringEquals":{"a":"b"}}},
		{"Effect":"Allow","Action":"secretsmanager:ListSecrets","Resource":"*"},
		{"Effect":"Deny","Action":"dynamodb:Query","Resource":"`+table+`/index/b"}`)
	rights := policy.Rights()
	want := []string{"dynamodb:GetItem on table/a", "dynamodb:GetItem on table/a/index/b", "dynamodb:Query on table/a", "dynamodb:Query on table/a/index/b", "secretsmanager:ListSecrets on *"}
	if got := slices.Sorted(maps.Keys(rights)); !slices.Equal(got, want) {
		t.Fatalf("rights %q,\nwant %q", got, want)
	}
	for _, c := range slices.Concat(calls(table, "dynamodb:GetItem", "dynamodb:Query"), calls(table+"/index/b", "dynamodb:GetItem", "dynamodb:Query"), calls("*", "secretsmanager:ListSecrets")) {
		var by []string
		for name, part := range rights {
			if part.Allows(c) {
				by = append(by, name)
			}
		}
		if policy.Allows(c) != (len(by) == 1) {
			t.Errorf("%s on %s is allowed by %q", c.Action, c.Resource, by)
		}
	}
}
