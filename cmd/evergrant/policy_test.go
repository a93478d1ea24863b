package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/evergrant/evergrant/internal/template"
)

// A permitted is AWS with a stack of template.yaml, for a person who has one of its
// managed policies and nothing else. It is healthy: what it answers is beside the
// point, which is what it refuses.
type permitted struct {
	t      *testing.T
	stack  *template.Stack
	rights map[string]template.Policy

	mu      sync.Mutex
	used    map[string]bool // rights
	refused map[string]bool // "action on resource"
}

// permit points the AWS SDK at a permitted with a policy.
func permit(t *testing.T, id string) *permitted {
	t.Helper()
	stack, err := template.Render("../../template.yaml", map[string]string{"FanOut": "true", "EventBus": "host", "PublicUrl": "https://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := stack.Policy(id)
	if err != nil {
		t.Fatal(err)
	}
	newCloud(t, &cloud{}) // for what it sets
	p := &permitted{t: t, stack: stack, rights: policy.Rights(), used: map[string]bool{}, refused: map[string]bool{}}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	return p
}

func (p *permitted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	calls, err := p.stack.Calls(r, body, func(name string) string { return name })
	if err != nil {
		p.t.Errorf("a request that no policy can be asked about: %v", err)
	}
	for _, c := range calls {
		if !p.allows(c) {
			w.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"AccessDeniedException","message":"no policy allows it"}`)
			return
		}
	}
	if text, ok := p.parts(r, body); ok {
		w.Header().Set("Smithy-Protocol", "rpc-v2-cbor") // CloudWatch alone asks for it
		_, _ = io.WriteString(w, text)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	var in map[string]any
	_ = json.Unmarshal(body, &in)
	_ = json.NewEncoder(w).Encode(p.answer(r, in))
}

// allows reports whether the policy allows a call, and remembers it.
func (p *permitted) allows(c template.Call) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	allowed := false
	for right, part := range p.rights {
		if part.Allows(c) {
			allowed, p.used[right] = true, true
		}
	}
	if !allowed {
		fields := strings.SplitN(c.Resource, ":", 6)
		p.refused[c.Action+" on "+fields[len(fields)-1]] = true
	}
	return allowed
}

// parts plays CloudFormation, CloudWatch, EventBridge Scheduler and the event source
// mappings.
func (p *permitted) parts(r *http.Request, body []byte) (text string, ok bool) {
	member := func(logical, typ string) string {
		return "<member><LogicalResourceId>" + logical + "</LogicalResourceId><PhysicalResourceId>stack-" + logical + "</PhysicalResourceId><ResourceType>" + typ + "</ResourceType></member>"
	}
	form, _ := url.ParseQuery(string(body))
	switch action := form.Get("Action"); {
	case action == "DescribeStacks":
		text = "<R><DescribeStacksResult><Stacks><member><StackStatus>CREATE_COMPLETE</StackStatus><Outputs>"
		for name, value := range p.stack.Outputs {
			text += fmt.Sprintf("<member><OutputKey>%s</OutputKey><OutputValue>%v</OutputValue></member>", name, value)
		}
		return text + "</Outputs></member></Stacks></DescribeStacksResult></R>", true
	case action == "ListStackResources":
		text = member("RefreshFunctionSweep", "AWS::Scheduler::Schedule") + member("EventsFunctionWrites", "AWS::Lambda::EventSourceMapping")
		for id, resource := range p.stack.Resources {
			text += member(id, strings.Replace(fmt.Sprint(resource["Type"]), "Serverless", "Lambda", 1))
		}
		return "<R><ListStackResourcesResult><StackResourceSummaries>" + text + "</StackResourceSummaries></ListStackResourcesResult></R>", true
	case strings.HasSuffix(r.URL.Path, "/operation/DescribeAlarms"):
		return "\xa0", true // nothing, in CBOR
	case strings.HasPrefix(r.URL.Path, "/schedules/"):
		return `{"State":"ENABLED","Target":{"Arn":"arn:aws:lambda:eu-central-1:123456789012:function:stack-RefreshFunction:live"}}`, true
	case strings.HasPrefix(r.URL.Path, "/2015-03-31/event-source-mappings/"):
		return `{"State":"Enabled"}`, true
	}
	return "", false
}

// answer plays the other services.
func (p *permitted) answer(r *http.Request, in map[string]any) any {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	path := strings.Split(r.URL.Path, "/") // /2015-03-31/functions/NAME/…
	switch {
	case strings.HasSuffix(r.URL.Path, "/configuration"):
		function, _, _ := strings.Cut(strings.TrimPrefix(path[3], "stack-"), ":")
		return map[string]any{"Environment": map[string]any{"Variables": p.stack.Variables(function)}}
	case strings.HasSuffix(r.URL.Path, "/invocations"):
		connection := map[string]any{"connection_id": "acct_42", "provider": "whatnot", "connection_status": "active", "due_at": 1}
		return map[string]map[string]any{
			"list": {"connections": []any{connection}}, "reseal": {"reseal": map[string]any{"key": "k1"}}, "held": {"provider": map[string]any{"provider": in["provider"]}},
			"hold": {"provider": map[string]any{"provider": in["provider"]}}, "release": {"provider": map[string]any{"provider": in["provider"]}},
			"get": {"connection": connection}, "refresh": {"connection": connection}, "disconnect": {"connection": connection},
		}[fmt.Sprint(in["action"])]
	case operation == "GetSecretValue" && strings.Contains(fmt.Sprint(in["SecretId"]), "/providers/"):
		return map[string]any{"SecretString": `{"client_id":"i","client_secret":"s","endpoints":{"authorization_url":"https://127.0.0.1:1/a","token_url":"https://127.0.0.1:1/t"}}`}
	case operation == "GetSecretValue":
		return map[string]any{"SecretString": `{"current":"k1","k1":"` + strings.Repeat("k", 40) + `"}`}
	case operation == "DescribeTable":
		return map[string]any{"Table": map[string]any{"TableStatus": "ACTIVE"}}
	}
	return map[string]any{}
}

// ofOthers are the rights of operators that the command does not use.
var ofOthers = map[string]string{
	"logs:FilterLogEvents on ":                        "the AWS CLI finds the lines that `evergrant rescue` reads",
	"logs:StartQuery on ":                             "the AWS CLI begins the queries of docs/operations.md",
	"logs:GetQueryResults on ":                        "the AWS CLI shows what they found",
	"cloudwatch:GetMetricData on ":                    "the AWS CLI shows the metrics that an alarm is about",
	"secretsmanager:ListSecrets on ":                  "the AWS CLI lists the spills that wait",
	"sqs:ReceiveMessage on ":                          "the AWS CLI shows what lies in a dead-letter queue",
	"secretsmanager:CreateSecret on secret:stack/pro": "the AWS CLI makes the secret of a provider (README.md, Deploy)",
	"secretsmanager:PutSecretValue on secret:stack/p": "the AWS CLI changes it (docs/operations.md, Rotate a client secret)",
	"secretsmanager:DescribeSecret on secret:stack/p": "the AWS CLI shows its versions, and doctor asks where it may not read one",
}

// Each subcommand that talks to AWS, with the rights of an operator alone. It meets a
// refusal only where an operator is not to have a key.
func TestAnOperatorMayDoWhatTheCommandDoes(t *testing.T) {
	p := permit(t, "OperatorPolicy")
	const function = "stack-ConnectionsFunction:live"
	for _, args := range [][]string{
		{"list"}, {"show", "acct_42", "whatnot"}, {"refresh", "acct_42", "whatnot"}, {"disconnect", "acct_42", "whatnot", "--yes"}, {"reseal"},
		{"hold", "whatnot"}, {"release", "--all"}, {"verify", "whatnot", "--every", "0s", "--release"},
	} {
		if got := evergrant(t, append(args, "--function", function)...); got.code != exitOK {
			t.Errorf("%v: %+v", args, got)
		}
	}
	line := `{"rescue":"c2VhbGVk","provider":"whisk","connection_id":"acct_42","fence":1}`
	if got := at(t, tool{In: strings.NewReader(line)}, "rescue", "--rescue-secrets", "stack/rescue/"); got.code != exitOK {
		t.Errorf("rescue: %+v", got)
	}
	if len(p.refused) > 0 {
		t.Errorf("refused: %q", slices.Sorted(maps.Keys(p.refused)))
	}
	functions := "stack-AuthorizeFunction,stack-CallbackFunction,stack-RefreshFunction,stack-ConnectionsFunction,stack-EventsFunction"
	keys := []string{"secretsmanager:GetSecretValue on secret:ConnectSecret-Ab12Cd", "secretsmanager:GetSecretValue on secret:SealSecret-Ab12Cd"}
	for _, tt := range []struct {
		flag, value string
		refused     []string
	}{
		{"--stack", "stack", keys},
		{"--function", functions, append([]string{"lambda:InvokeFunction on function:stack-ConnectionsFunction"}, keys...)}, // everybody calls the alias
	} {
		clear(p.refused)
		got := examined(t, nil, tt.flag, tt.value, "--json")
		if refused := slices.Sorted(maps.Keys(p.refused)); !slices.Equal(refused, tt.refused) {
			t.Errorf("doctor %s is refused %q, want %q: %s", tt.flag, refused, tt.refused, got.stdout)
		}
	}
	there := map[string]bool{}
	for right := range p.rights {
		of := false
		for prefix := range ofOthers {
			if strings.HasPrefix(right, prefix) {
				of, there[prefix] = true, true
			}
		}
		if p.used[right] == of {
			t.Errorf("%s: the command uses it: %v, want %v", right, p.used[right], !of)
		}
	}
	for prefix, why := range ofOthers {
		if !there[prefix] {
			t.Errorf("%s is not allowed: %s", prefix, why)
		}
	}
}

// A link is signed with the key of the host, which an operator has not: who signs
// tickets connects for anybody.
func TestOnlyAHostSignsLinks(t *testing.T) {
	for id, code := range map[string]int{"HostPolicy": exitOK, "OperatorPolicy": exitFailure} {
		p := permit(t, id)
		got := evergrant(t, "link", "acct_42", "whatnot", "--public-url", "https://connect.example.com", "--connect-secret", fmt.Sprint(p.stack.Outputs["ConnectSecretArn"]))
		if got.code != code || (code != exitOK) != strings.Contains(got.err, "allow secretsmanager:GetSecretValue") {
			t.Errorf("%s: %+v", id, got)
		}
	}
}
