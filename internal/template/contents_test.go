package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// contents are the properties of all resources but alarms, which watch_test.go
// describes: by the logical IDs of those that have the same ones. After a semicolon
// stands what else is said of them, such as what becomes of them with the stack.
//
// What is not in the list changes something that no other rule looks at. A change
// here wants a rule about the values of what is new.
var contents = map[string]string{
	"Api":           "AWS::Serverless::HttpApi: AccessLogSettings DefaultRouteSettings DisableExecuteApiEndpoint RouteSettings StageName",
	"Domain":        "AWS::ApiGatewayV2::DomainName: DomainName DomainNameConfigurations MutualTlsAuthentication",
	"DomainMapping": "AWS::ApiGatewayV2::ApiMapping: ApiId DomainName Stage",
	"DomainRecord":  "AWS::Route53::RecordSet: AliasTarget HostedZoneId Name Type",

	"AuthorizeFunction": "AWS::Serverless::Function: AutoPublishAliasAllProperties DeploymentPreference Description Environment Events LoggingConfig Role " +
		"SourceKMSKeyArn; Metadata map[BuildMethod:makefile]",
	"CallbackFunction EventsFunction": "AWS::Serverless::Function: AutoPublishAliasAllProperties DeploymentPreference Description Environment Events LoggingConfig Role " +
		"SourceKMSKeyArn Timeout; Metadata map[BuildMethod:makefile]",
	"RefreshFunction": "AWS::Serverless::Function: AutoPublishAliasAllProperties DeploymentPreference Description Environment EventInvokeConfig Events LoggingConfig " +
		"MemorySize ReservedConcurrentExecutions Role SourceKMSKeyArn Timeout; Metadata map[BuildMethod:makefile]",
	"ConnectionsFunction": "AWS::Serverless::Function: AutoPublishAliasAllProperties DeploymentPreference Description Environment LoggingConfig Role " +
		"SourceKMSKeyArn Timeout; Metadata map[BuildMethod:makefile]",
	"AuthorizeRole CallbackRole ConnectionsRole EventsRole RefreshRole":            "AWS::IAM::Role: AssumeRolePolicyDocument Policies",
	"AccessLogs AuthorizeLogs CallbackLogs ConnectionsLogs EventsLogs RefreshLogs": "AWS::Logs::LogGroup: LogGroupName RetentionInDays; DeletionPolicy Delete; UpdateReplacePolicy Delete",

	"ShardQueue": "AWS::SQS::Queue: MessageRetentionPeriod RedrivePolicy SqsManagedSseEnabled VisibilityTimeout; DeletionPolicy Delete; UpdateReplacePolicy Delete",
	"EventsDeadLetters ShardDeadLetters SweepDeadLetters": "AWS::SQS::Queue: MessageRetentionPeriod SqsManagedSseEnabled; DeletionPolicy Delete; UpdateReplacePolicy Delete",
	"ShardWorkers": "AWS::Lambda::EventSourceMapping: BatchSize EventSourceArn FunctionName FunctionResponseTypes ScalingConfig",

	// Connections and their keys outlive the stack. A state that did would bring used
	// tickets back to life.
	"ConnectionsTable": "AWS::DynamoDB::Table: AttributeDefinitions BillingMode DeletionProtectionEnabled GlobalSecondaryIndexes KeySchema OnDemandThroughput " +
		"PointInTimeRecoverySpecification SSESpecification StreamSpecification WarmThroughput; DeletionPolicy RetainExceptOnCreate; UpdateReplacePolicy Retain",
	"ConnectSecret SealSecret": "AWS::SecretsManager::Secret: Description GenerateSecretString KmsKeyId; DeletionPolicy RetainExceptOnCreate; UpdateReplacePolicy Retain",
	"StateTable": "AWS::DynamoDB::Table: AttributeDefinitions BillingMode KeySchema SSESpecification TimeToLiveSpecification; " +
		"DeletionPolicy Delete; UpdateReplacePolicy Delete",

	"SecretKeyPolicy TableKeyPolicy TracingPolicy":              "AWS::IAM::ManagedPolicy: Description PolicyDocument Roles",
	"HostPolicy OperatorPolicy ReaderPolicy TenantReaderPolicy": "AWS::IAM::ManagedPolicy: Description PolicyDocument",
	"Overview": "AWS::CloudWatch::Dashboard: DashboardBody",
}

// listed compares what is in the template with the list, in all that SAM would read.
func listed(doc map[string]any, p *problems) {
	p.want("the template", keys(doc), `"AWSTemplateFormatVersion Conditions Description Globals Metadata Outputs Parameters Resources Rules Transform"`)
	p.want("globals", keys(doc["Globals"]), `"Function"`)
	p.want("all functions", keys(at(doc, "Globals", "Function")),
		`"Architectures AutoPublishAlias CodeUri DeploymentPreference Environment Handler LoggingConfig MemorySize Runtime Timeout Tracing"`)
	compare(doc, contents, p)
}

// compare compares all resources but alarms with a list.
func compare(doc map[string]any, contents map[string]string, p *problems) {
	want := map[string]string{}
	for ids, content := range contents {
		for id := range strings.FieldsSeq(ids) {
			want[id] = content
		}
	}
	all, _ := at(doc, "Resources").(map[string]any)
	for id, resource := range all {
		fields, _ := resource.(map[string]any)
		if fields["Type"] == "AWS::CloudWatch::Alarm" {
			continue
		}
		got := fmt.Sprintf("%v: %s", fields["Type"], keys(fields["Properties"]))
		for _, key := range slices.Sorted(maps.Keys(fields)) {
			if key != "Type" && key != "Properties" && key != "Condition" {
				got += fmt.Sprintf("; %s %v", key, fields[key])
			}
		}
		if got != want[id] {
			p.add("%s: got %s\nwant %s", id, got, want[id])
		}
		delete(want, id)
	}
	for id := range want {
		p.add("%s is missing", id)
	}
}

// keys returns the keys of a mapping, sorted, in one line.
func keys(node any) string {
	fields, _ := node.(map[string]any)
	return strings.Join(slices.Sorted(maps.Keys(fields)), " ")
}

// taken is what each parameter takes: its default, then its limits or its values.
// What a pattern takes is in patterns.
var taken = map[string]string{
	"Environment":                "String dev: [dev staging prod]",
	"LogRetentionDays":           "Number 30: [1 3 5 7 14 30 60 90 120 150 180 365 400 545 731 1096 1827 2192 2557 2922 3288 3653]",
	"PublicUrl":                  "String : pattern",
	"CompletionUrl":              "String : pattern",
	"ReturnOrigins":              "String : pattern",
	"AllowUnsignedConnect":       "String false: [true false]",
	"DueShards":                  "Number 4: 1 to 1024",
	"RefreshConcurrency":         "Number 128: 1 to 512",
	"FanOut":                     "String false: [true false]",
	"FanOutWorkers":              "Number 10: 2 to 1000",
	"RefreshReservedConcurrency": "Number 0: 0 to 2000",
	"CustomDomain":               "String : pattern, at most 128 characters",
	"CertificateArn":             "String : pattern",
	"HostedZoneId":               "String : pattern",
	"TrustStore":                 "String : pattern",
	"AuthorizeRateLimit":         "Number 20: 1 to 10000",
	"AuthorizeBurst":             "Number 40: 1 to 5000",
	"CallbackRateLimit":          "Number 50: 1 to 10000",
	"CallbackBurst":              "Number 100: 1 to 5000",
	"KmsKeyArn":                  "String : pattern",
	"WarmReads":                  "Number 12000: 12000 to 10000000",
	"WarmWrites":                 "Number 4000: 4000 to 10000000",
	"MaxReads":                   "Number 0: 0 to 10000000",
	"MaxWrites":                  "Number 0: 0 to 10000000",
	"Alarms":                     "String true: [true false]",
	"AlarmTopicArn":              "String : pattern",
	"Dashboard":                  "String false: [true false]",
	"Tracing":                    "String PassThrough: [Active PassThrough]",
	"EventBus":                   "String : pattern",
}

// patterns are values that the pattern of a parameter takes, and values that it
// refuses. Each takes "", which asks for nothing.
var patterns = map[string]struct{ takes, refuses []string }{
	"PublicUrl":     {urls, noURLs},
	"CompletionUrl": {urls, noURLs},
	"ReturnOrigins": {
		[]string{"https://app.example.com", "https://app.example.com:8443,https://admin.example.com"},
		[]string{"http://app.example.com", "https://a.example.com,http://b.example.com", "https://app.example.com/", "https://a.example.com/x", "https://a.example.com, https://b.example.com",
			"https://a.example.com?x", "https://a.example.com#x", "https://", "*", "app.example.com"},
	},
	"CustomDomain": {
		[]string{"connect.example.com", "c-1.example.org"},
		[]string{"Connect.example.com", "https://connect.example.com", "*.example.com", "localhost", "connect.example.com/", "-c.example.com", "connect..example.com"},
	},
	"CertificateArn": {
		[]string{certificate, "arn:aws-us-gov:acm:us-gov-west-1:123456789012:certificate/0a1b2c3d-1111"},
		[]string{"0a1b2c3d", "arn:aws:iam::123456789012:server-certificate/c", "arn:aws:acm:eu-central-1:12:certificate/0a1b", "arn:aws:acm:eu-central-1:123456789012:certificate/*"},
	},
	"HostedZoneId": {[]string{"Z0123456789ABCDEFGHIJ"}, []string{"example.com", "/hostedzone/Z0123456789ABCDEFGHIJ", "z0123456789", "Z"}},
	"TrustStore": {
		[]string{"s3://my-bucket/ca.pem", "s3://my.bucket/a/b.pem"},
		[]string{"my-bucket/ca.pem", "https://my-bucket.s3.amazonaws.com/ca.pem", "s3://my-bucket", "s3://my-bucket/", "s3://My-Bucket/ca.pem", "s3://ab/ca.pem"},
	},
	"KmsKeyArn": {
		[]string{keyARN, "arn:aws-cn:kms:cn-north-1:123456789012:key/mrk-0a1b2c3d"},
		[]string{"0a1b2c3d", "alias/evergrant", "arn:aws:kms:eu-central-1:123456789012:alias/evergrant", "arn:aws:kms:eu-central-1:123456789012:key/*", "arn:aws:kms:*:123456789012:key/0a1b",
			"arn:aws:s3:eu-central-1:123456789012:key/0a1b"},
	},
	"AlarmTopicArn": {
		[]string{"arn:aws:sns:eu-central-1:123456789012:pager", "arn:aws:sns:eu-central-1:123456789012:pager.fifo"},
		[]string{"pager", "arn:aws:sns:eu-central-1:123456789012:*", "arn:aws:sns:eu-central-1:123456789012:pager:0a1b", "arn:aws:sqs:eu-central-1:123456789012:pager"},
	},
	"EventBus": {
		[]string{"default", "host", "aws.partner/example.com/1", busARN},
		[]string{"*", "my bus", "host*", "arn:aws:events:eu-central-1:123456789012:event-bus/*", "arn:aws:events:eu-central-1:123456789012:rule/host", "arn:aws:events:*:123456789012:event-bus/host"},
	},
}

var (
	urls   = []string{"https://connect.example.com", "https://connect.example.com:8443/a/b-c"}
	noURLs = []string{"http://connect.example.com", "connect.example.com", "https://", "https://connect.example.com/", "https://connect.example.com?x=1", "https://connect.example.com/#x",
		"https://u:p@connect.example.com", "https://connect.example.com https://x.example.com"}
)

// takes compares what each parameter takes with the lists.
func takes(doc map[string]any, p *problems) {
	all, _ := at(doc, "Parameters").(map[string]any)
	p.want("parameters", keys(all), quoted(strings.Join(slices.Sorted(maps.Keys(taken)), " ")))
	for name, parameter := range all {
		if got := constraint(parameter); got != taken[name] {
			p.add("%s: got %s\nwant %s", name, got, taken[name])
		}
		if at(parameter, "AllowedPattern") == nil {
			continue
		}
		examples := patterns[name]
		for _, value := range append(examples.takes, "") {
			if err := allows(parameter, value); err != nil {
				p.add("%s: %v", name, err)
			}
		}
		for _, value := range examples.refuses {
			if allows(parameter, value) == nil {
				p.add("%s takes %q", name, value)
			}
		}
		if len(examples.refuses) == 0 {
			p.add("no value of %s is known to be refused", name)
		}
	}
}

// constraint returns what a parameter takes, in one line, with all that is said of
// it but what people read.
func constraint(parameter any) string {
	said := copied(parameter)
	text := fmt.Sprintf("%v %v: ", said.take("Type"), said.take("Default"))
	if values := said.take("AllowedValues"); values != nil {
		text += fmt.Sprint(values)
	}
	if least, most := said.take("MinValue"), said.take("MaxValue"); least != nil || most != nil {
		text += fmt.Sprintf("%v to %v", least, most)
	}
	if said.take("AllowedPattern") != nil {
		text += "pattern"
	}
	if most := said.take("MaxLength"); most != nil {
		text += fmt.Sprintf(", at most %v characters", most)
	}
	said.take("Description")
	said.take("ConstraintDescription")
	return text + said.rest()
}

// A remainder is a copy of a mapping, of which what was looked at is taken away.
type remainder map[string]any

func copied(node any) remainder {
	fields, _ := node.(map[string]any)
	return maps.Clone(fields)
}

func (r remainder) take(key string) any {
	value := r[key]
	delete(r, key)
	return value
}

// rest returns what nobody has looked at.
func (r remainder) rest() string {
	if len(r) == 0 {
		return ""
	}
	return fmt.Sprintf("; %v", map[string]any(r))
}

// given are the outputs of a stack with the default of each parameter.
var given = map[string]string{
	"PublicUrl":               "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com",
	"RedirectUri":             "https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/callback/{provider}",
	"ConnectionsTableName":    "stack-ConnectionsTable",
	"ConnectionsTableArn":     arn("dynamodb", "table/stack-ConnectionsTable"),
	"ConnectionsFunctionName": "stack-ConnectionsFunction:live",
	"ConnectionsFunctionArn":  arn("lambda", "function:stack-ConnectionsFunction:live"),
	"ConnectSecretArn":        arn("secretsmanager", "secret:ConnectSecret-Ab12Cd"),
	"SealSecretArn":           arn("secretsmanager", "secret:SealSecret-Ab12Cd"),
	"ProviderSecrets":         "stack/providers/",
	"RescueSecrets":           "stack/rescue/",
	"ReaderPolicyArn":         "arn:aws:iam::123456789012:policy/stack-ReaderPolicy",
	"TenantReaderPolicyArn":   "arn:aws:iam::123456789012:policy/stack-TenantReaderPolicy",
	"HostPolicyArn":           "arn:aws:iam::123456789012:policy/stack-HostPolicy",
	"OperatorPolicyArn":       "arn:aws:iam::123456789012:policy/stack-OperatorPolicy",
}

// outputs renders them in each environment, and with the names that a stack may have.
func outputs(doc map[string]any, p *problems) {
	all, _ := at(doc, "Outputs").(map[string]any)
	for name, output := range all {
		// No Export: its name would be taken for a second stack, and a stack that is
		// imported from cannot be deleted.
		if of := keys(output); of != "Description Value" && of != "Condition Description Value" {
			p.add("the output %s has %s", name, of)
		}
	}
	const domain, public = "c.example.com", "https://e.example.com/x"
	for _, tt := range []struct{ environment, domain, publicURL, want string }{
		{"dev", "", "", given["PublicUrl"]},
		{"prod", "", "", given["PublicUrl"]},
		{"dev", domain, "", "https://" + domain},
		{"prod", domain, public, public},
	} {
		want := maps.Clone(given)
		want["PublicUrl"], want["RedirectUri"] = tt.want, tt.want+"/callback/{provider}"
		parameters := map[string]string{"Environment": tt.environment, "PublicUrl": tt.publicURL}
		if tt.domain != "" {
			parameters["CustomDomain"], parameters["CertificateArn"] = tt.domain, certificate
			want["CustomDomainTarget"] = "d-a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com"
		}
		stack, err := render(doc, parameters)
		if err != nil {
			p.add("%v", err)
			continue
		}
		for name := range stack.Outputs {
			if _, known := want[name]; !known {
				p.add("nobody needs the output %s", name)
			}
		}
		for name, value := range want {
			p.want("output "+name, stack.Outputs[name], quoted(value))
		}
	}
}

// met are parameters with which each condition is met. With those in unmet, the
// defaults where there are none, it is not.
var met = map[string]map[string]string{
	"IsProduction":        {"Environment": "prod"},
	"HasPublicUrl":        {"PublicUrl": "https://connect.example.com"},
	"UnsignedConnect":     {"AllowUnsignedConnect": "true"},
	"FanOut":              {"FanOut": "true"},
	"ReservesConcurrency": {"RefreshReservedConcurrency": "2"},
	"HasCustomDomain":     option["a domain"],
	"HasHostedZone":       option["a domain and record"],
	"HasTrustStore":       option["a domain behind edge"],
	"HasKmsKey":           {"KmsKeyArn": keyARN},
	"IsWarm":              {"WarmReads": "12001"},
	"LimitsReads":         {"MaxReads": "1"},
	"LimitsWrites":        {"MaxWrites": "1"},
	"LimitsReadsOrWrites": {"MaxReads": "1"},
	"Alarms":              {},
	"AlarmsOnEvents":      {"EventBus": "host"},
	"HasAlarmTopic":       option["alarms that tell"],
	"Dashboard":           {"Dashboard": "true"},
	"Tracing":             {"Tracing": "Active"},
	"TellsHost":           {"EventBus": "host"},
	"EventBusIsArn":       {"EventBus": busARN},
}

var unmet = map[string]map[string]string{
	"IsProduction":    {"Environment": "staging"},
	"UnsignedConnect": {"AllowUnsignedConnect": "true", "Environment": "prod"},
	"HasHostedZone":   option["a domain"],
	"HasTrustStore":   option["a domain"],
	"LimitsReads":     {"MaxWrites": "1"},
	"LimitsWrites":    {"MaxReads": "1"},
	"Alarms":          {"Alarms": "false"},
	"AlarmsOnEvents":  {"EventBus": "host", "Alarms": "false"},
	"EventBusIsArn":   {"EventBus": "host"},
}

func conditions(doc map[string]any, p *problems) {
	all, _ := at(doc, "Conditions").(map[string]any)
	for name := range all {
		if met[name] == nil && name != "Never" {
			p.add("nobody knows when %s is met", name)
		}
	}
	for name, parameters := range met {
		for _, tt := range []struct {
			parameters map[string]string
			want       bool
		}{{parameters, true}, {unmet[name], false}} {
			r, err := newRenderer(doc, tt.parameters)
			if err != nil {
				p.add("%v", err)
				continue
			}
			if got := r.holds(name); got != tt.want {
				p.add("with %v %s is %v", tt.parameters, name, got)
			}
			if _, err := r.stack(); err != nil {
				p.add("with %v: %v", tt.parameters, err)
			}
		}
	}
}

// values are those of the variables of a stack in which each has one, in every
// function that gets it. Of GOMEMLIMIT there is a rule.
var values = map[string]string{
	"ALLOW_UNSIGNED_CONNECT": "true",
	"COMPLETION_URL":         "https://app.example.com/complete",
	"CONNECTIONS_TABLE":      "stack-ConnectionsTable",
	"CONNECT_SECRET":         connectARN,
	"DUE_SHARDS":             "8",
	"EVENT_BUS":              "host",
	"PROVIDER_SECRETS":       "stack/providers/",
	"PUBLIC_URL":             "https://connect.example.com",
	"REFRESH_CONCURRENCY":    "64",
	"RESCUE_SECRETS":         "stack/rescue/",
	"RETURN_ORIGINS":         "https://app.example.com",
	"SEAL_SECRET":            sealARN,
	"SHARD_QUEUE_URL":        "https://sqs.eu-central-1.amazonaws.com/123456789012/stack-ShardQueue",
	"STATE_TABLE":            "stack-StateTable",
}

func variableValues(doc map[string]any, p *problems) {
	stack, err := render(doc, map[string]string{
		"AllowUnsignedConnect": "true", "CompletionUrl": "https://app.example.com/complete", "DueShards": "8", "EventBus": "host", "FanOut": "true",
		"PublicUrl": "https://connect.example.com", "RefreshConcurrency": "64", "ReturnOrigins": "https://app.example.com",
	})
	if err != nil {
		p.add("%v", err)
		return
	}
	for _, id := range functions {
		for name, got := range stack.Variables(id) {
			if got != values[name] && name != "GOMEMLIMIT" {
				p.add("%s of %s is %q, want %q", name, id, got, values[name])
			}
		}
	}
}

// nothingEmpty looks for what was not asked for and stands in a resource all the same,
// as "" or as the limit 0, where AWS would refuse it. A setting may be empty.
func nothingEmpty(doc map[string]any, p *problems) {
	for _, name := range []string{"defaults", "a domain", "limited reads", "limited writes"} {
		stack, err := render(doc, option[name])
		if err != nil {
			p.add("%v", err)
			continue
		}
		for id, resource := range stack.Resources {
			properties := copied(resource["Properties"])
			properties.take("Environment")
			if encoded, _ := json.Marshal(properties); bytes.Contains(encoded, []byte(`:""`)) || bytes.Contains(encoded, []byte(`:"0"`)) {
				p.add("with %s %s has what was not asked for: %s", name, id, encoded)
			}
		}
	}
}
