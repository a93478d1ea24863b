package template

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// option are values of parameters that go together, by what they are for.
var option = map[string]map[string]string{
	"defaults":             {},
	"a public URL":         {"PublicUrl": "https://connect.example.com/x", "CompletionUrl": "https://app.example.com/complete", "ReturnOrigins": "https://app.example.com"},
	"no ticket":            {"AllowUnsignedConnect": "true"},
	"a domain":             {"CustomDomain": "connect.example.com", "CertificateArn": certificate},
	"a domain and record":  {"CustomDomain": "connect.example.com", "CertificateArn": certificate, "HostedZoneId": "Z0123456789"},
	"a domain behind edge": {"CustomDomain": "origin.example.com", "CertificateArn": certificate, "TrustStore": "s3://my-bucket/ca.pem", "PublicUrl": "https://connect.example.com"},
	"fan-out":              {"FanOut": "true", "DueShards": "64"},
	"reserved concurrency": {"RefreshReservedConcurrency": "12"},
	"a key":                {"KmsKeyArn": keyARN},
	"warm tables":          {"WarmWrites": "40000"},
	"limited tables":       {"MaxReads": "1000", "MaxWrites": "1000"},
	"limited reads":        {"MaxReads": "1000"},
	"limited writes":       {"MaxWrites": "1000"},
	"no alarms":            {"Alarms": "false"},
	"no alarms for once":   {"Alarms": "false", "AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:pager"}, // lets a mend in
	"alarms that tell":     {"AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:pager"},
	"a dashboard":          {"Dashboard": "true"},
	"traces":               {"Tracing": "Active"},
	"an event bus":         {"EventBus": "default"},
	"an event bus by ARN":  {"EventBus": busARN},
}

// nonsense are values of parameters that cannot be meant together, and what the one
// who gives them is told.
var nonsense = []struct {
	parameters map[string]string
	told       string
}{
	{map[string]string{"CustomDomain": "connect.example.com"}, "CustomDomain needs CertificateArn."},
	{map[string]string{"CertificateArn": certificate}, "CertificateArn, HostedZoneId and TrustStore mean nothing without CustomDomain."},
	{map[string]string{"HostedZoneId": "Z0123456789"}, "CertificateArn, HostedZoneId and TrustStore mean nothing without CustomDomain."},
	{map[string]string{"TrustStore": "s3://my-bucket/ca.pem", "PublicUrl": "https://connect.example.com"}, "CertificateArn, HostedZoneId and TrustStore mean nothing without CustomDomain."},
	// Links would lead people to a host that wants a certificate of them.
	{map[string]string{"TrustStore": "s3://my-bucket/ca.pem", "CustomDomain": "connect.example.com", "CertificateArn": certificate}, "TrustStore needs PublicUrl,"},
	{map[string]string{"RefreshReservedConcurrency": "1"}, "RefreshReservedConcurrency is 0, or 2 at least,"},
	{map[string]string{"RefreshReservedConcurrency": "2", "FanOut": "true"}, "RefreshReservedConcurrency with FanOut is 0, or 2 more than FanOutWorkers,"},
	{map[string]string{"RefreshReservedConcurrency": "3", "FanOut": "true"}, "RefreshReservedConcurrency with FanOut is 0, or 2 more than FanOutWorkers,"},
}

// combination is one set of parameters.
type combination struct {
	name       string
	parameters map[string]string
}

// combinations are each option alone and all together, in dev and in prod. Of
// options that exclude each other, all together has the one that is last by name.
func combinations() []combination {
	var list []combination
	for _, environment := range []string{"dev", "prod"} {
		all := map[string]string{"Environment": environment}
		for _, name := range slices.Sorted(maps.Keys(option)) {
			one := maps.Clone(option[name])
			one["Environment"] = environment
			list = append(list, combination{name + " in " + environment, one})
			if one["Alarms"] != "false" {
				maps.Copy(all, option[name])
			}
		}
		list = append(list, combination{"all in " + environment, all})
	}
	return list
}

// options renders each combination: a reference to what a condition has left out
// would fail its deployment. What cannot be meant is refused before it.
func options(doc map[string]any, p *problems) {
	for _, c := range combinations() {
		if _, err := render(doc, c.parameters); err != nil {
			p.add("with %s: %v", c.name, err)
		}
	}
	for _, tt := range nonsense {
		if _, err := render(doc, tt.parameters); err == nil || !strings.Contains(err.Error(), tt.told) {
			p.add("with %v: %v, want %q", tt.parameters, err, tt.told)
		}
	}
}

// optional looks at what costs something in a stack that does not ask for it.
func optional(doc map[string]any, p *problems) {
	for _, tt := range []struct {
		parameters map[string]string
		resources  []string
	}{
		{option["a domain"], []string{"Domain", "DomainMapping"}},
		{option["a domain and record"], []string{"DomainRecord"}},
		{option["fan-out"], []string{"ShardQueue", "ShardDeadLetters", "ShardWorkers"}},
		{option["a key"], []string{"TableKeyPolicy", "SecretKeyPolicy"}},
		{option["a dashboard"], []string{"Overview"}},
		{option["traces"], []string{"TracingPolicy"}},
		{option["an event bus"], []string{"EventsFunction", "EventsRole", "EventsLogs", "EventsDeadLetters", "EventsErrorsAlarm", "EventsDurationAlarm", "EventsAgeAlarm"}},
	} {
		without, err := render(doc, nil)
		with, err2 := render(doc, tt.parameters)
		if err != nil || err2 != nil {
			p.add("%v %v", err, err2)
			continue
		}
		for _, id := range tt.resources {
			if without.Resources[id] != nil {
				p.add("%s is there without %v", id, tt.parameters)
			}
			if with.Resources[id] == nil {
				p.add("%s is not there with %v", id, tt.parameters)
			}
		}
	}
	if bare, err := render(doc, option["a domain"]); err != nil || bare.Resources["DomainRecord"] != nil {
		p.add("a record is there without a zone, or %v", err)
	}
	quiet, err := render(doc, option["no alarms"])
	if err != nil {
		p.add("%v", err)
		return
	}
	if n := len(quiet.resources("AWS::CloudWatch::Alarm")); n > 0 {
		p.add("%d alarms are there although none was asked for", n)
	}
	p.want("stream without a bus", at(quiet.Resources["ConnectionsTable"], "Properties", "StreamSpecification"), `null`)
}

// alias looks at all that calls a function: the API and the schedule go where SAM
// sends them, which is the alias of AutoPublishAlias.
func alias(doc map[string]any, p *problems) {
	p.want("alias", at(doc, "Globals", "Function", "AutoPublishAlias"), `"live"`)
	for id, f := range resources(doc, functionType) {
		p.want(id+" alias", at(f, "Properties", "AutoPublishAlias"), `null`)
		p.want(id+" version by all properties", at(f, "Properties", "AutoPublishAliasAllProperties"), `true`)
		for _, kind := range []string{"Version", "VersionDescription", "AutoPublishCodeSha256"} {
			p.want(id+" "+kind, at(f, "Properties", kind), `null`)
		}
	}
	for id, mapping := range resources(doc, "AWS::Lambda::EventSourceMapping") {
		if name, _ := at(mapping, "Properties", "FunctionName", "Ref").(string); !strings.HasSuffix(name, "Function.Alias") {
			p.add("%s reads for %s, which is no alias", id, name)
		}
	}
	for _, a := range allowances(doc) {
		if slices.Contains(a.actions, "lambda:InvokeFunction") && !slices.Equal(a.resources, []string{"ConnectionsFunction.Alias"}) {
			p.add("%s invokes %v", a.of, a.resources)
		}
	}
}

// Without a qualifier it would be $LATEST, which nobody else calls.
func TestMakeInvokesTheAliasOfADeployedFunction(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	invoked := regexp.MustCompile(`(?m)^\tsam remote invoke .*$`).FindAllString(string(makefile), -1)
	if len(invoked) != 1 || !strings.HasSuffix(invoked[0], " --parameter Qualifier=live") {
		t.Errorf("make invokes %q", invoked)
	}
}

// versioned are the properties of a function that are part of a version.
var versioned = []string{"Description", "Environment", "Timeout", "MemorySize", "Role", "LoggingConfig"}

// reaches changes each parameter. SAM makes a new version where the code of a
// function, with the values of parameters in it, has another hash (samtranslator
// 1.115, _construct_version); Lambda refuses one in which nothing has changed. So
// both must change together, or neither.
func reaches(doc map[string]any, p *problems) {
	changes := []map[string]string{{"Environment": "prod"}, {"Environment": "staging"}, {"LogRetentionDays": "7"}, {"DueShards": "8"}, {"RefreshConcurrency": "64"}, {"FanOutWorkers": "20"}}
	for _, name := range slices.Sorted(maps.Keys(option)) {
		changes = append(changes, option[name])
		for _, parameter := range slices.Sorted(maps.Keys(option[name])) {
			changes = append(changes, map[string]string{parameter: option[name][parameter]})
		}
	}
	starts := []map[string]string{{}, {"Environment": "prod"}, option["a public URL"], option["a domain"], option["an event bus"],
		{"EventBus": "default", "PublicUrl": "https://connect.example.com"}}
	for _, start := range starts {
		old := deployedWith(doc, start, p)
		for _, change := range changes {
			then := maps.Clone(start)
			maps.Copy(then, change)
			changed(doc, old, deployedWith(doc, then, p), p)
		}
	}
	for id, f := range resources(doc, functionType) {
		for _, property := range []string{"Tags", "PropagateTags"} {
			p.want(property+" of "+id, at(f, "Properties", property), `null`)
			p.want(property+" of all functions", at(doc, "Globals", "Function", property), `null`)
		}
		if branches, _ := at(f, "Properties", "SourceKMSKeyArn", "Fn::If").([]any); len(branches) != 3 || branches[0] != "Never" {
			p.add("the code of %s does not name its parameters", id)
		}
	}
	p.want("never", at(doc, "Conditions", "Never"), `{"Fn::Equals":[{"Ref":"AWS::StackName"},""]}`)
}

// A deployment is some parameters, and what of each function is part of a version.
type deployment struct {
	parameters map[string]string
	configs    map[string]string // as text, by logical ID
}

func deployedWith(doc map[string]any, parameters map[string]string, p *problems) deployment {
	d := deployment{parameters, map[string]string{}}
	r, err := newRenderer(doc, parameters)
	if err != nil {
		p.add("%v", err)
		return d
	}
	for id, f := range resources(doc, functionType) {
		if !r.exists(id) {
			continue
		}
		config := []any{tracingOf(parameters)} // of all functions
		for _, property := range versioned {
			v, err := r.value(at(f, "Properties", property))
			if err != nil {
				p.add("%s: %v", id, err)
			}
			config = append(config, v)
		}
		d.configs[id] = fmt.Sprint(config...)
	}
	return d
}

// changed compares the functions of two deployments.
func changed(doc map[string]any, before, after deployment, p *problems) {
	for id, old := range before.configs {
		next, there := after.configs[id]
		if !there {
			continue
		}
		if seen := codeText(doc, id, before.parameters) != codeText(doc, id, after.parameters); seen != (old != next) {
			p.add("%s from %v to %v: its configuration changes: %v, SAM sees a change: %v", id, before.parameters, after.parameters, old != next, seen)
		}
	}
}

func tracingOf(parameters map[string]string) string {
	if v := parameters["Tracing"]; v != "" {
		return v
	}
	return "PassThrough"
}

// codeText is what SAM takes the hash of, as far as parameters change it: the text
// in the branch of SourceKMSKeyArn that is never taken.
func codeText(doc map[string]any, id string, parameters map[string]string) string {
	branches, _ := at(doc, "Resources", id, "Properties", "SourceKMSKeyArn", "Fn::If").([]any)
	if len(branches) != 3 {
		return ""
	}
	text := fmt.Sprint(at(branches[1], "Fn::Sub"))
	return regexp.MustCompile(`\$\{(\w+)\}`).ReplaceAllStringFunc(text, func(v string) string {
		name := v[2 : len(v)-1]
		if value, ok := parameters[name]; ok {
			return value
		}
		return fmt.Sprint(at(doc, "Parameters", name, "Default"))
	})
}

func gradual(doc map[string]any, p *problems) {
	p.want("deployment of functions", at(doc, "Globals", "Function", "DeploymentPreference"), `{"Type":{"Fn::If":["IsProduction","Canary10Percent5Minutes","AllAtOnce"]}}`)
	for word, id := range functions {
		preference, _ := at(doc, "Resources", id, "Properties", "DeploymentPreference").(map[string]any)
		want := fmt.Sprintf(`{"Alarms":{"Fn::If":["Alarms",[{"Ref":"%sErrorsAlarm"}],[{"Ref":"AWS::NoValue"}]]}`, strings.TrimSuffix(id, "Function"))
		switch word {
		case "events": // its deployment group has its condition
			want += `,"PassthroughCondition":true`
		case "refresh":
			want += `,"Type":{"Fn::If":["IsProduction","Linear10PercentEvery1Minute","AllAtOnce"]}`
		}
		p.want("deployment of "+word, preference, want+"}")
	}
}

func customDomain(doc map[string]any, p *problems) {
	p.want("the execute-api host", at(doc, "Resources", "Api", "Properties", "DisableExecuteApiEndpoint"), `{"Fn::If":["HasCustomDomain",true,false]}`)
	p.want("SAM's own domain", at(doc, "Resources", "Api", "Properties", "Domain"), `null`)
	stack, err := render(doc, map[string]string{"CustomDomain": "connect.example.com", "CertificateArn": certificate, "HostedZoneId": "Z1", "TrustStore": "s3://my-bucket/ca.pem", "PublicUrl": "https://edge.example.com"})
	if err != nil {
		p.add("%v", err)
		return
	}
	p.want("domain", at(stack.Resources["Domain"], "Properties"), `{"DomainName":"connect.example.com",`+
		`"DomainNameConfigurations":[{"CertificateArn":"`+certificate+`","EndpointType":"REGIONAL","SecurityPolicy":"TLS_1_2"}],`+
		`"MutualTlsAuthentication":{"TruststoreUri":"s3://my-bucket/ca.pem"}}`)
	p.want("mapping", at(stack.Resources["DomainMapping"], "Properties"), `{"ApiId":"a1b2c3d4e5","DomainName":"connect.example.com","Stage":"$default"}`)
	p.want("record", at(stack.Resources["DomainRecord"], "Properties"), `{"AliasTarget":{"DNSName":"d-a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com",`+
		`"HostedZoneId":"Z1U9ULNL0V5AJ3"},"HostedZoneId":"Z1","Name":"connect.example.com","Type":"A"}`)
	p.want("tickets for links in events", at(doc, "Conditions", "HasCustomDomain"),
		`{"Fn::And":[{"Fn::Not":[{"Fn::Equals":[{"Ref":"CustomDomain"},""]}]},{"Fn::Not":[{"Fn::Equals":[{"Ref":"CertificateArn"},""]}]}]}`)
}

// eventsForHost holds the mapping to one that loses nothing. That the filters let
// everything through that the handler would tell is a test of internal/events.
func eventsForHost(doc map[string]any, p *problems) {
	stack, err := render(doc, option["an event bus"])
	if err != nil {
		p.add("%v", err)
		return
	}
	p.want("stream", at(stack.Resources["ConnectionsTable"], "Properties", "StreamSpecification"), `{"StreamViewType":"NEW_AND_OLD_IMAGES"}`)
	events, _ := at(stack.Resources["EventsFunction"], "Properties", "Events").(map[string]any)
	p.want("sources", slices.Sorted(maps.Keys(events)), `["Writes"]`)
	writes, _ := at(events, "Writes", "Properties").(map[string]any)
	writes = maps.Clone(writes)
	p.want("filters", writes["FilterCriteria"], `{"Filters":[{"Pattern":"{\"dynamodb\":{\"NewImage\":{\"lease_id\":{\"S\":[{\"exists\":false}]}}}}"},`+
		`{"Pattern":"{\"dynamodb\":{\"NewImage\":{\"failure\":{\"M\":{\"count\":{\"N\":[\"3\"]}}}}}}"},`+
		`{"Pattern":"{\"dynamodb\":{\"NewImage\":{\"refresh_expires_at\":{\"N\":[{\"exists\":true}]},\"failure\":{\"M\":{\"count\":{\"N\":[{\"exists\":true}]}}}}}}"}]}`)
	delete(writes, "FilterCriteria")
	p.want("mapping", writes, `{"BatchSize":100,"BisectBatchOnFunctionError":true,"DestinationConfig":{"OnFailure":{"Destination":"`+arn("sqs", "stack-EventsDeadLetters")+`","Type":"SQS"}},`+
		`"FunctionResponseTypes":["ReportBatchItemFailures"],"MaximumBatchingWindowInSeconds":1,"MaximumRecordAgeInSeconds":86400,"StartingPosition":"TRIM_HORIZON","Stream":"`+streamARN+`"}`)
	p.want("dead letters", at(stack.Resources["EventsDeadLetters"], "Properties"), `{"MessageRetentionPeriod":1209600,"SqsManagedSseEnabled":true}`)
	for _, tt := range []struct{ publicURL, domain, want string }{
		{"", "", "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com"},
		{"", "c.example.com", "https://c.example.com"},
		{"https://e.example.com", "c.example.com", "https://e.example.com"},
	} {
		parameters := map[string]string{"EventBus": "x", "PublicUrl": tt.publicURL}
		if tt.domain != "" {
			parameters["CustomDomain"], parameters["CertificateArn"] = tt.domain, certificate
		}
		stack, err := render(doc, parameters)
		if err != nil {
			p.add("%v", err)
			return
		}
		p.want("where links lead", at(stack.Resources["EventsFunction"], "Properties", "Environment", "Variables", "PUBLIC_URL"), quoted(tt.want))
	}
}

func tableOptions(doc map[string]any, p *problems) {
	properties := func(parameters map[string]string, id string) any {
		stack, err := render(doc, parameters)
		if err != nil {
			p.add("%v", err)
			return nil
		}
		return at(stack.Resources[id], "Properties")
	}
	for _, id := range []string{"ConnectionsTable", "StateTable"} {
		p.want(id+" without a key", at(properties(nil, id), "SSESpecification"), `null`)
		p.want(id+" with a key", at(properties(option["a key"], id), "SSESpecification"), `{"KMSMasterKeyId":"`+keyARN+`","SSEEnabled":true,"SSEType":"KMS"}`)
	}
	for _, id := range []string{"SealSecret", "ConnectSecret"} {
		p.want(id+" without a key", at(properties(nil, id), "KmsKeyId"), `null`)
		p.want(id+" with a key", at(properties(option["a key"], id), "KmsKeyId"), quoted(keyARN))
	}
	index := func(parameters map[string]string, property string) any {
		indexes, _ := at(properties(parameters, "ConnectionsTable"), "GlobalSecondaryIndexes").([]any)
		if len(indexes) != 1 {
			p.add("there are %d indexes", len(indexes))
			return nil
		}
		return at(indexes[0], property)
	}
	const connections = "ConnectionsTable"
	for _, property := range []string{"WarmThroughput", "OnDemandThroughput"} {
		p.want(property, at(properties(nil, connections), property), `null`)
		p.want(property+" of the index", index(nil, property), `null`)
	}
	p.want("warm table", at(properties(option["warm tables"], connections), "WarmThroughput"), `{"ReadUnitsPerSecond":"12000","WriteUnitsPerSecond":"40000"}`)
	p.want("warm index", index(option["warm tables"], "WarmThroughput"), `{"ReadUnitsPerSecond":12000,"WriteUnitsPerSecond":"40000"}`)
	p.want("limits", at(properties(option["limited tables"], connections), "OnDemandThroughput"), `{"MaxReadRequestUnits":"1000","MaxWriteRequestUnits":"1000"}`)
	p.want("limits of the index", index(option["limited tables"], "OnDemandThroughput"), `{"MaxWriteRequestUnits":"1000"}`)
	p.want("limit of writes", at(properties(option["limited writes"], connections), "OnDemandThroughput"), `{"MaxWriteRequestUnits":"1000"}`)
	for name, value := range map[string]string{"WarmReads": "12000", "WarmWrites": "4000", "MaxReads": "0", "MaxWrites": "0", "KmsKeyArn": ""} {
		p.want("default of "+name, fmt.Sprint(at(doc, "Parameters", name, "Default")), quoted(value))
	}
}

func tracing(doc map[string]any, p *problems) {
	p.want("tracing", at(doc, "Globals", "Function", "Tracing"), `{"Ref":"Tracing"}`)
	p.want("default", at(doc, "Parameters", "Tracing", "Default"), `"PassThrough"`)
	p.want("values", at(doc, "Parameters", "Tracing", "AllowedValues"), `["Active","PassThrough"]`)
	for id, f := range resources(doc, functionType) {
		p.want("tracing of "+id, at(f, "Properties", "Tracing"), `null`)
	}
}
