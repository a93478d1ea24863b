package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/refresh"
	"github.com/evergrant/evergrant/internal/settings"
)

// path is the template under test.
const path = "../../template.yaml"

// A rule is one promise of the template. It puts what breaks it into p.
type rule func(doc map[string]any, p *problems)

// rules are all promises by name. Each has a mutation in mutations_test.go.
var rules = map[string]rule{
	"a function is a small arm64 bootstrap that make builds":    builds,
	"a function waits as long as its work may take":             timeouts,
	"no function reserves concurrency unless it is asked for":   noReserve,
	"no function knows the URL of the API in front of it":       noCircle,
	"a function gets the settings that it takes, and no others": variables,
	"a setting has the value that its name says":                variableValues,
	"a condition is met by what asks for it":                    conditions,
	"what was not asked for is left out":                        nothingEmpty,
	"no function may be told to call private addresses":         noPrivate,
	"the garbage collector knows the memory":                    memoryLimit,
	"the routes are those of the contract":                      routes,
	"the API bounds its calls":                                  throttled,
	"the redirect URI has no stage in it":                       defaultStage,
	"the access log holds no query":                             accessLog,
	"a sweep a minute, never replayed":                          schedule,
	"fan-out is off unless it is asked for":                     fanOutIsOptional,
	"workers get hints, and bring broken ones back":             fanOut,
	"the connections table is that of the contract":             connectionsTable,
	"the state table is that of the contract":                   stateTable,
	"all that there is stands in the list":                      listed,
	"keys are generated in the form that the functions read":    generatedKeys,
	"each function has a role and a log group of its own":       ownRoles,
	"a role allows what its function does, and nothing else":    permissions,
	"no permission has a wildcard but those with a reason":      noWildcards,
	"no log is kept longer than was asked for":                  logsEnd,
	"an unsigned authorization is impossible in production":     signedInProduction,
	"a parameter is described, constrained, grouped and used":   parameters,
	"a parameter takes what can be deployed, and nothing else":  takes,
	"the outputs are what a host needs":                         outputs,

	"it can be deployed with every option":                                  options,
	"what an option does not need is not there":                             optional,
	"each may do what it does, and nothing that others do":                  neighbours,
	"a reader gets the documented GetItem, and nothing else":                readers,
	"everybody calls the alias":                                             alias,
	"what a parameter changes reaches the alias":                            reaches,
	"a deployment to production is gradual, and goes back when errors ring": gradual,
	"a host name of one's own is the only way in":                           customDomain,
	"the host is told of every change":                                      eventsForHost,
	"what is encrypted, warmed and limited is what was asked for":           tableOptions,
	"traces are sent where they are asked for":                              tracing,
	"the alarms are those of the list":                                      alarms,
	"an alarm says what it is, and asks for nothing that is not there":      alarmForms,
	"the dashboard shows metrics that there are":                            dashboard,
}

// textRules look at the text of the template, comments included.
var textRules = map[string]func(source string, p *problems){
	"a wildcard is defended in the comment of its statement": defended,
}

// check applies a rule to a template.
func check(name, source string) (problems, error) {
	var p problems
	if look, ok := textRules[name]; ok {
		look(source, &p)
		return p, nil
	}
	look, ok := rules[name]
	if !ok {
		return nil, fmt.Errorf("there is no rule %q", name)
	}
	doc, err := parse([]byte(source))
	if err != nil {
		return nil, err
	}
	look(doc, &p)
	return p, nil
}

// ruleNames are the names of all rules.
func ruleNames() []string {
	return slices.Concat(slices.Sorted(maps.Keys(rules)), slices.Sorted(maps.Keys(textRules)))
}

func TestTheTemplateKeepsEveryRule(t *testing.T) {
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range ruleNames() {
		t.Run(name, func(t *testing.T) {
			p, err := check(name, string(source))
			if err != nil {
				t.Fatal(err)
			}
			for _, problem := range p {
				t.Error(problem)
			}
		})
	}
}

// The Makefile and the folders have to know a function too, or `sam build` fails.
func TestEveryFunctionHasItsFolderAndItsBuild(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(makefile), "FUNCTIONS := ")
	line, _, _ = strings.Cut(line, "\n")
	builds := strings.Fields(line)
	slices.Sort(builds)
	if expected := slices.Sorted(maps.Values(functions)); !slices.Equal(builds, expected) {
		t.Errorf("the Makefile builds %v, want %v", builds, expected)
	}
	entries, err := os.ReadDir("../../functions")
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, entry := range entries {
		folders = append(folders, entry.Name())
	}
	if expected := slices.Sorted(maps.Keys(functions)); !slices.Equal(folders, expected) {
		t.Errorf("functions/ holds %v, want %v", folders, expected)
	}
}

// problems are sentences about what a rule found.
type problems []string

func (p *problems) add(format string, args ...any) {
	*p = append(*p, fmt.Sprintf(format, args...))
}

// want adds a problem where the JSON of got is not the JSON in want.
func (p *problems) want(what string, got any, want string) {
	encoded, err := json.Marshal(got)
	if err != nil {
		p.add("%s: %v", what, err)
		return
	}
	if string(encoded) != want {
		p.add("%s: got %s, want %s", what, encoded, want)
	}
}

// functions are the functions by their folder.
var functions = map[string]string{
	"authorize":   "AuthorizeFunction",
	"callback":    "CallbackFunction",
	"refresh":     "RefreshFunction",
	"connections": "ConnectionsFunction",
	"events":      "EventsFunction",
}

func builds(doc map[string]any, p *problems) {
	p.want("runtime", at(doc, "Globals", "Function", "Runtime"), `"provided.al2023"`)
	p.want("architecture", at(doc, "Globals", "Function", "Architectures"), `["arm64"]`)
	p.want("handler", at(doc, "Globals", "Function", "Handler"), `"bootstrap"`)
	p.want("sources", at(doc, "Globals", "Function", "CodeUri"), `"."`)
	// All metrics are lines at the level INFO, in JSON.
	p.want("logs", at(doc, "Globals", "Function", "LoggingConfig"), `{"ApplicationLogLevel":"INFO","LogFormat":"JSON"}`)
}

func timeouts(doc map[string]any, p *problems) {
	p.want("all functions", at(doc, "Globals", "Function", "Timeout"), `15`)
	for word, seconds := range map[string]string{"authorize": `null`, "callback": `29`, "refresh": `90`, "connections": `60`, "events": `30`} {
		function := at(doc, "Resources", functions[word])
		p.want(word, at(function, "Properties", "Timeout"), seconds)
	}
	for _, word := range []string{"refresh", "connections"} {
		timeout, _ := strconv.Atoi(fmt.Sprint(at(doc, "Resources", functions[word], "Properties", "Timeout")))
		if least := int(refresh.LeastTimeout.Seconds()); timeout < least {
			p.add("%s ends after %d seconds, and may need %d for one refresh", word, timeout, least)
		}
	}
}

func noReserve(doc map[string]any, p *problems) {
	p.want("reserved", at(doc, "Resources", "RefreshFunction", "Properties", "ReservedConcurrentExecutions"),
		`{"Fn::If":["ReservesConcurrency",{"Ref":"RefreshReservedConcurrency"},{"Ref":"AWS::NoValue"}]}`)
}

func noCircle(doc map[string]any, p *problems) {
	api := regexp.MustCompile(`"Api"|\$\{Api[}.]`)
	for id, function := range resources(doc, functionType) {
		if id == "EventsFunction" {
			continue // no route leads to it, which the rule about routes sees to
		}
		encoded, err := json.Marshal(at(function, "Properties", "Environment"))
		if err != nil {
			p.add("%v", err)
			return
		}
		if api.Match(encoded) {
			p.add("the environment of %s names the API, which needs the function first", id)
		}
	}
}

// variables compares both ways. No deployment offers ALLOW_PRIVATE_PROVIDERS, which
// is for development.
func variables(doc map[string]any, p *problems) {
	given, err := environment(doc)
	if err != nil {
		p.add("%v", err)
		return
	}
	for word, id := range functions {
		taken := slices.DeleteFunc(slices.Sorted(slices.Values(settings.Function(word).Names())), func(s string) bool { return s == "ALLOW_PRIVATE_PROVIDERS" })
		if !slices.Equal(given[id], taken) {
			p.add("%s gets %v, main.go demands %v", id, given[id], taken)
		}
	}
}

func noPrivate(doc map[string]any, p *problems) {
	p.want("all functions", at(doc, "Globals", "Function", "Environment", "Variables", "ALLOW_PRIVATE_PROVIDERS"), `null`)
	for id, function := range resources(doc, functionType) {
		p.want(id, at(function, "Properties", "Environment", "Variables", "ALLOW_PRIVATE_PROVIDERS"), `null`)
	}
}

func memoryLimit(doc map[string]any, p *problems) {
	p.want("memory in MB", at(doc, "Globals", "Function", "MemorySize"), `512`)
	p.want("80 % of it", at(doc, "Globals", "Function", "Environment", "Variables", "GOMEMLIMIT"), `"410MiB"`)
	for id, function := range resources(doc, functionType) {
		memory, limit := `null`, `null`
		if id == "RefreshFunction" {
			memory, limit = `1024`, `"820MiB"`
		}
		p.want(id, at(function, "Properties", "MemorySize"), memory)
		p.want(id, at(function, "Properties", "Environment", "Variables", "GOMEMLIMIT"), limit)
	}
}

func routes(doc map[string]any, p *problems) {
	for word, id := range functions {
		events, _ := at(doc, "Resources", id, "Properties", "Events").(map[string]any)
		switch word {
		case "authorize", "callback":
			p.want("what calls "+id, events, fmt.Sprintf(`{"Any":{"Properties":{"ApiId":{"Ref":"Api"},"Method":"ANY","Path":"/%s/{provider}","PayloadFormatVersion":"2.0"},"Type":"HttpApi"}}`, word))
		case "refresh":
			p.want("what calls "+id, keys(events), `"Sweep"`)
			p.want("sweep", at(events, "Sweep", "Type"), `"ScheduleV2"`)
		case "events":
			p.want("what calls "+id, keys(events), `"Writes"`)
			p.want("writes", at(events, "Writes", "Type"), `"DynamoDB"`)
		}
	}
}

func throttled(doc map[string]any, p *problems) {
	p.want("throttling", at(doc, "Resources", "Api", "Properties", "DefaultRouteSettings"),
		`{"ThrottlingBurstLimit":100,"ThrottlingRateLimit":50}`)
	p.want("throttling of each route", at(doc, "Resources", "Api", "Properties", "RouteSettings"),
		`{"ANY /authorize/{provider}":{"ThrottlingBurstLimit":{"Ref":"AuthorizeBurst"},"ThrottlingRateLimit":{"Ref":"AuthorizeRateLimit"}},`+
			`"ANY /callback/{provider}":{"ThrottlingBurstLimit":{"Ref":"CallbackBurst"},"ThrottlingRateLimit":{"Ref":"CallbackRateLimit"}}}`)
}

func defaultStage(doc map[string]any, p *problems) {
	p.want("stage", at(doc, "Resources", "Api", "Properties", "StageName"), `"$default"`)
}

// accessLog knows the fields that tell what happened. None has a query in it.
func accessLog(doc map[string]any, p *problems) {
	format, _ := at(doc, "Resources", "Api", "Properties", "AccessLogSettings", "Format").(string)
	var fields map[string]string
	if err := json.Unmarshal([]byte(format), &fields); err != nil {
		p.add("the access log format is not JSON: %v", err)
		return
	}
	p.want("fields", fields, `{"bytes":"$context.responseLength","error":"$context.error.message","integrationStatus":"$context.integrationStatus",`+
		`"invocation":"$context.integration.requestId","ip":"$context.identity.sourceIp","latencyMs":"$context.responseLatency","method":"$context.httpMethod",`+
		`"path":"$context.path","requestId":"$context.requestId","route":"$context.routeKey","status":"$context.status","time":"$context.requestTime"}`)
	p.want("access log", at(doc, "Resources", "Api", "Properties", "AccessLogSettings", "DestinationArn"),
		`{"Fn::GetAtt":["AccessLogs","Arn"]}`)
	p.want("access log group", at(doc, "Resources", "AccessLogs", "Properties", "LogGroupName"),
		`{"Fn::Sub":"/aws/vendedlogs/${AWS::StackName}/api"}`)
}

// schedule looks at both queues that could bring an old sweep back.
func schedule(doc map[string]any, p *problems) {
	refresh := at(doc, "Resources", "RefreshFunction", "Properties")
	sweep, _ := at(refresh, "Events", "Sweep", "Properties").(map[string]any)
	sweep = maps.Clone(sweep)
	delete(sweep, "Description")
	p.want("schedule", sweep, `{"DeadLetterConfig":{"Arn":{"Fn::GetAtt":["SweepDeadLetters","Arn"]}},"Input":"{\"action\":\"sweep\"}","OmitName":true,`+
		`"RetryPolicy":{"MaximumEventAgeInSeconds":60,"MaximumRetryAttempts":0},"ScheduleExpression":"rate(1 minute)"}`)
	p.want("asynchronous calls", at(refresh, "EventInvokeConfig"),
		`{"DestinationConfig":{"OnFailure":{"Destination":{"Fn::GetAtt":["SweepDeadLetters","Arn"]},"Type":"SQS"}},`+
			`"MaximumEventAgeInSeconds":60,"MaximumRetryAttempts":0}`)
	p.want("dead letters", at(doc, "Resources", "SweepDeadLetters", "Properties"), `{"MessageRetentionPeriod":86400,"SqsManagedSseEnabled":true}`)
}

// fanOutIsOptional looks at all that would cost something, or fail, in a stack
// without fan-out.
func fanOutIsOptional(doc map[string]any, p *problems) {
	for _, id := range []string{"ShardQueue", "ShardDeadLetters", "ShardWorkers"} {
		p.want(id, at(doc, "Resources", id, "Condition"), `"FanOut"`)
	}
	p.want("variable", at(doc, "Resources", "RefreshFunction", "Properties", "Environment", "Variables", "SHARD_QUEUE_URL"),
		`{"Fn::If":["FanOut",{"Ref":"ShardQueue"},""]}`)
}

func fanOut(doc map[string]any, p *problems) {
	p.want("hints", at(doc, "Resources", "ShardQueue", "Properties"), `{"MessageRetentionPeriod":3600,`+
		`"RedrivePolicy":{"deadLetterTargetArn":{"Fn::GetAtt":["ShardDeadLetters","Arn"]},"maxReceiveCount":5},"SqsManagedSseEnabled":true,"VisibilityTimeout":540}`)
	p.want("dead letters", at(doc, "Resources", "ShardDeadLetters", "Properties"), `{"MessageRetentionPeriod":1209600,"SqsManagedSseEnabled":true}`)
	p.want("workers", at(doc, "Resources", "ShardWorkers", "Properties"), `{"BatchSize":1,"EventSourceArn":{"Fn::GetAtt":["ShardQueue","Arn"]},`+
		`"FunctionName":{"Ref":"RefreshFunction.Alias"},"FunctionResponseTypes":["ReportBatchItemFailures"],"ScalingConfig":{"MaximumConcurrency":{"Ref":"FanOutWorkers"}}}`)
	timeout, _ := json.Marshal(at(doc, "Resources", "RefreshFunction", "Properties", "Timeout"))
	p.want("six times the function's time-out", string(timeout), `"90"`)
}

func connectionsTable(doc map[string]any, p *problems) {
	properties := at(doc, "Resources", "ConnectionsTable", "Properties")
	p.want("billing", at(properties, "BillingMode"), `"PAY_PER_REQUEST"`)
	p.want("attributes", at(properties, "AttributeDefinitions"),
		`[{"AttributeName":"connection_id","AttributeType":"S"},{"AttributeName":"provider","AttributeType":"S"},`+
			`{"AttributeName":"due_shard","AttributeType":"S"},{"AttributeName":"due_at","AttributeType":"N"}]`)
	p.want("key", at(properties, "KeySchema"),
		`[{"AttributeName":"connection_id","KeyType":"HASH"},{"AttributeName":"provider","KeyType":"RANGE"}]`)
	stack, err := render(doc, nil)
	if err != nil {
		p.add("%v", err)
		return
	}
	p.want("indexes", at(stack.Resources["ConnectionsTable"], "Properties", "GlobalSecondaryIndexes"),
		`[{"IndexName":"due","KeySchema":[{"AttributeName":"due_shard","KeyType":"HASH"},{"AttributeName":"due_at","KeyType":"RANGE"}],`+
			`"Projection":{"ProjectionType":"KEYS_ONLY"}}]`)
	p.want("recovery, for 35 days", at(properties, "PointInTimeRecoverySpecification"), `{"PointInTimeRecoveryEnabled":true}`)
	p.want("protection", at(properties, "DeletionProtectionEnabled"), `{"Fn::If":["IsProduction",true,false]}`)
}

func stateTable(doc map[string]any, p *problems) {
	properties := at(doc, "Resources", "StateTable", "Properties")
	p.want("billing", at(properties, "BillingMode"), `"PAY_PER_REQUEST"`)
	p.want("attributes", at(properties, "AttributeDefinitions"), `[{"AttributeName":"id","AttributeType":"S"}]`)
	p.want("key", at(properties, "KeySchema"), `[{"AttributeName":"id","KeyType":"HASH"}]`)
	p.want("time to live", at(properties, "TimeToLiveSpecification"), `{"AttributeName":"expires_at","Enabled":true}`)
}

// generatedKeys holds the secrets to {"current":"k1","k1":"<64 letters and digits>"}.
func generatedKeys(doc map[string]any, p *problems) {
	for id, secret := range resources(doc, "AWS::SecretsManager::Secret") {
		p.want(id, at(secret, "Properties", "GenerateSecretString"),
			`{"ExcludePunctuation":true,"GenerateStringKey":"k1","PasswordLength":64,"SecretStringTemplate":"{\"current\":\"k1\"}"}`)
	}
}
