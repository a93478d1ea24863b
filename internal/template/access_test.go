package template

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// granted is what each role and managed policy allows: "action on resource". A
// change here is a change of what an intruder with it may do. What is allowed under
// a condition is there too; policies_test.go looks at the conditions.
var granted = map[string][]string{
	"AuthorizeRole": {
		"logs:CreateLogStream on AuthorizeLogs.Arn",
		"logs:PutLogEvents on AuthorizeLogs.Arn",
		"secretsmanager:BatchGetSecretValue on *",
		"secretsmanager:GetSecretValue on ConnectSecret",
		"secretsmanager:GetSecretValue on SealSecret",
		"secretsmanager:GetSecretValue on " + secretsBelow + "providers/*",
	},
	"CallbackRole": {
		"dynamodb:GetItem on ConnectionsTable.Arn",
		"dynamodb:GetItem on StateTable.Arn",
		"dynamodb:UpdateItem on ConnectionsTable.Arn",
		"dynamodb:UpdateItem on StateTable.Arn",
		"logs:CreateLogStream on CallbackLogs.Arn",
		"logs:PutLogEvents on CallbackLogs.Arn",
		"secretsmanager:CreateSecret on " + secretsBelow + "rescue/*",
		"secretsmanager:DeleteSecret on " + secretsBelow + "rescue/*",
		"secretsmanager:GetSecretValue on SealSecret",
		"secretsmanager:GetSecretValue on " + secretsBelow + "providers/*",
	},
	"RefreshRole": {
		"dynamodb:DescribeTable on ConnectionsTable.Arn",
		"dynamodb:GetItem on ConnectionsTable.Arn",
		"dynamodb:GetItem on StateTable.Arn",
		"dynamodb:Query on ${ConnectionsTable.Arn}/index/due",
		"dynamodb:UpdateItem on ConnectionsTable.Arn",
		"dynamodb:UpdateItem on StateTable.Arn",
		"logs:CreateLogStream on RefreshLogs.Arn",
		"logs:PutLogEvents on RefreshLogs.Arn",
		"secretsmanager:CreateSecret on " + secretsBelow + "rescue/*",
		"secretsmanager:DeleteSecret on " + secretsBelow + "rescue/*",
		"secretsmanager:GetSecretValue on SealSecret",
		"secretsmanager:GetSecretValue on " + secretsBelow + "providers/*",
		"secretsmanager:GetSecretValue on " + secretsBelow + "rescue/*",
		"secretsmanager:ListSecrets on *",
		"sqs:DeleteMessage on ShardQueue.Arn",
		"sqs:GetQueueAttributes on ShardQueue.Arn",
		"sqs:ReceiveMessage on ShardQueue.Arn",
		"sqs:SendMessage on ShardQueue.Arn",
		"sqs:SendMessage on SweepDeadLetters.Arn",
	},
	"ConnectionsRole": {
		"dynamodb:GetItem on ConnectionsTable.Arn",
		"dynamodb:GetItem on StateTable.Arn",
		"dynamodb:Query on ConnectionsTable.Arn",
		"dynamodb:Scan on ConnectionsTable.Arn",
		"dynamodb:UpdateItem on ConnectionsTable.Arn",
		"dynamodb:UpdateItem on StateTable.Arn",
		"logs:CreateLogStream on ConnectionsLogs.Arn",
		"logs:PutLogEvents on ConnectionsLogs.Arn",
		"secretsmanager:CreateSecret on " + secretsBelow + "rescue/*",
		"secretsmanager:DeleteSecret on " + secretsBelow + "rescue/*",
		"secretsmanager:GetSecretValue on SealSecret",
		"secretsmanager:GetSecretValue on " + secretsBelow + "providers/*",
		"secretsmanager:GetSecretValue on " + secretsBelow + "rescue/*",
	},
	"EventsRole": {
		"dynamodb:DescribeStream on ConnectionsTable.StreamArn",
		"dynamodb:GetRecords on ConnectionsTable.StreamArn",
		"dynamodb:GetShardIterator on ConnectionsTable.StreamArn",
		"dynamodb:ListStreams on *",
		"events:PutEvents on EventBus",
		"events:PutEvents on arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/${EventBus}",
		"kms:Decrypt on KmsKeyArn",
		"kms:DescribeKey on KmsKeyArn",
		"logs:CreateLogStream on EventsLogs.Arn",
		"logs:PutLogEvents on EventsLogs.Arn",
		"secretsmanager:GetSecretValue on ConnectSecret",
		"sqs:SendMessage on EventsDeadLetters.Arn",
	},
	"TableKeyPolicy": {
		"kms:Decrypt on KmsKeyArn", "kms:DescribeKey on KmsKeyArn", "kms:Encrypt on KmsKeyArn",
		"kms:GenerateDataKey on KmsKeyArn", "kms:ReEncryptFrom on KmsKeyArn", "kms:ReEncryptTo on KmsKeyArn",
	},
	"SecretKeyPolicy":    {"kms:Decrypt on KmsKeyArn"},
	"TracingPolicy":      {"xray:PutTelemetryRecords on *", "xray:PutTraceSegments on *"},
	"ReaderPolicy":       {"dynamodb:GetItem on ConnectionsTable.Arn", "kms:Decrypt on KmsKeyArn", "kms:DescribeKey on KmsKeyArn"},
	"TenantReaderPolicy": {"dynamodb:GetItem on ConnectionsTable.Arn", "kms:Decrypt on KmsKeyArn", "kms:DescribeKey on KmsKeyArn"},
	"HostPolicy": {
		"kms:Decrypt on KmsKeyArn",
		"lambda:InvokeFunction on ConnectionsFunction.Alias",
		"secretsmanager:GetSecretValue on ConnectSecret",
	},
	"OperatorPolicy": {
		"cloudformation:DescribeStacks on " + ours("cloudformation", "stack/${AWS::StackName}/*"),
		"cloudformation:ListStackResources on " + ours("cloudformation", "stack/${AWS::StackName}/*"),
		"cloudwatch:DescribeAlarms on " + ours("cloudwatch", "alarm:${AWS::StackName}-*"),
		"dynamodb:DescribeContinuousBackups on ConnectionsTable.Arn",
		"dynamodb:DescribeContinuousBackups on StateTable.Arn",
		"dynamodb:DescribeTable on ConnectionsTable.Arn",
		"dynamodb:DescribeTable on StateTable.Arn",
		"dynamodb:DescribeTimeToLive on ConnectionsTable.Arn",
		"dynamodb:DescribeTimeToLive on StateTable.Arn",
		"events:DescribeEventBus on EventBus",
		"events:DescribeEventBus on arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/${EventBus}",
		"lambda:GetEventSourceMapping on *",
		"lambda:GetFunctionConfiguration on AuthorizeFunction.Alias",
		"lambda:GetFunctionConfiguration on AuthorizeFunction.Arn",
		"lambda:GetFunctionConfiguration on CallbackFunction.Alias",
		"lambda:GetFunctionConfiguration on CallbackFunction.Arn",
		"lambda:GetFunctionConfiguration on ConnectionsFunction.Alias",
		"lambda:GetFunctionConfiguration on ConnectionsFunction.Arn",
		"lambda:GetFunctionConfiguration on EventsFunction.Alias",
		"lambda:GetFunctionConfiguration on EventsFunction.Arn",
		"lambda:GetFunctionConfiguration on RefreshFunction.Alias",
		"lambda:GetFunctionConfiguration on RefreshFunction.Arn",
		"lambda:InvokeFunction on ConnectionsFunction.Alias",
		"logs:FilterLogEvents on " + ours("logs", "log-group:/aws/lambda/${AWS::StackName}/*"),
		"logs:FilterLogEvents on " + ours("logs", "log-group:/aws/vendedlogs/${AWS::StackName}/*"),
		"logs:StartQuery on " + ours("logs", "log-group:/aws/lambda/${AWS::StackName}/*"),
		"logs:StartQuery on " + ours("logs", "log-group:/aws/vendedlogs/${AWS::StackName}/*"),
		"logs:GetQueryResults on *",
		"cloudwatch:GetMetricData on *",
		"scheduler:GetSchedule on RefreshFunctionSweep.Arn",
		"secretsmanager:CreateSecret on " + secretsBelow + "providers/*",
		"secretsmanager:CreateSecret on " + secretsBelow + "rescue/*",
		"secretsmanager:DescribeSecret on ConnectSecret",
		"secretsmanager:DescribeSecret on SealSecret",
		"secretsmanager:DescribeSecret on " + secretsBelow + "providers/*",
		"secretsmanager:GetSecretValue on " + secretsBelow + "providers/*",
		"secretsmanager:ListSecrets on *",
		"secretsmanager:PutSecretValue on " + secretsBelow + "providers/*",
		"sqs:ReceiveMessage on EventsDeadLetters.Arn",
		"sqs:ReceiveMessage on ShardDeadLetters.Arn",
		"sqs:ReceiveMessage on SweepDeadLetters.Arn",
	},
}

// secretsBelow begins the ARN of the secrets that people make for this stack.
const secretsBelow = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:${AWS::StackName}/"

// ours returns the ARN of what this stack has in a service, as the template says it.
func ours(service, resource string) string {
	return "arn:${AWS::Partition}:" + service + ":${AWS::Region}:${AWS::AccountId}:" + resource
}

// An allowance is one statement, its actions and resources as lists.
type allowance struct {
	of        string // the role or managed policy
	effect    any
	actions   []string
	resources []string
	other     []string // keys such as NotAction and NotResource
}

// allowances returns the statements of all roles and managed policies that the
// template writes out, those under a condition included.
func allowances(doc map[string]any) []allowance {
	var found []allowance
	add := func(id string, document any) {
		statements, _ := at(document, "Statement").([]any)
		for _, s := range statements {
			if branches, ok := at(s, "Fn::If").([]any); ok && len(branches) == 3 && at(branches[2], "Ref") == "AWS::NoValue" {
				s = branches[1]
			}
			statement, _ := s.(map[string]any)
			a := allowance{of: id, effect: statement["Effect"], actions: list(statement["Action"])}
			for _, r := range list(statement["Resource"]) {
				if r != "AWS::NoValue" {
					a.resources = append(a.resources, r)
				}
			}
			for key := range statement {
				if !slices.Contains([]string{"Sid", "Effect", "Action", "Resource", "Condition"}, key) {
					a.other = append(a.other, key)
				}
			}
			if statement["Sid"] == nil {
				a.other = append(a.other, "no Sid")
			}
			if version := at(document, "Version"); version != "2012-10-17" { // an older one knows no variables
				a.other = append(a.other, fmt.Sprintf("Version %v", version))
			}
			found = append(found, a)
		}
	}
	for id, role := range resources(doc, "AWS::IAM::Role") {
		policies, _ := at(role, "Properties", "Policies").([]any)
		for _, policy := range policies {
			add(id, at(policy, "PolicyDocument"))
		}
	}
	for id, policy := range resources(doc, "AWS::IAM::ManagedPolicy") {
		add(id, at(policy, "Properties", "PolicyDocument"))
	}
	return found
}

func permissions(doc map[string]any, p *problems) {
	got := map[string][]string{}
	for _, a := range allowances(doc) {
		for _, action := range a.actions {
			for _, resource := range a.resources {
				got[a.of] = append(got[a.of], action+" on "+resource)
			}
		}
	}
	for id := range got {
		if granted[id] == nil {
			p.add("%s is no role or policy that these rules know", id)
		}
	}
	for id, expected := range granted {
		for _, permission := range got[id] {
			if !slices.Contains(expected, permission) {
				p.add("%s may %s, which it does not need", id, permission)
			}
		}
		for _, permission := range expected {
			if !slices.Contains(got[id], permission) {
				p.add("%s may not %s, which it needs", id, permission)
			}
		}
	}
}

// nowhere are the actions for which IAM knows no resource, so that "*" is the only
// one that a statement can name, each with the reason why it opens nothing.
var nowhere = map[string]string{
	"secretsmanager:BatchGetSecretValue": "it returns only the secrets that GetSecretValue may read",
	"secretsmanager:ListSecrets":         "it returns names, descriptions and tags, and no value",
	"lambda:GetEventSourceMapping":       "its condition names the functions",
	"cloudwatch:GetMetricData":           "it returns numbers",
	"logs:GetQueryResults":               "it takes the ID of a query, which nobody guesses and nothing here lists",
	"dynamodb:ListStreams":               "it returns names of streams, and nothing in them",
	"xray:PutTelemetryRecords":           "it only sends",
	"xray:PutTraceSegments":              "it only sends",
}

func noWildcards(doc map[string]any, p *problems) {
	for _, a := range allowances(doc) {
		if a.effect != "Allow" || len(a.other) > 0 {
			p.add("%s: a statement is not Allow with Sid, actions and resources: %v", a.of, a.other)
		}
		for _, action := range a.actions {
			if strings.ContainsAny(action, "*?") || !strings.Contains(action, ":") {
				p.add("%s: %s is not one exact action", a.of, action)
			}
		}
		somewhere := func(action string) bool { return nowhere[action] == "" }
		if !slices.ContainsFunc(a.actions, somewhere) && slices.Equal(a.resources, []string{"*"}) {
			continue
		}
		for _, resource := range a.resources {
			if resource == secretsBelow+"providers/*" || resource == secretsBelow+"rescue/*" {
				continue // Their names are chosen after the deployment.
			}
			if a.of == "OperatorPolicy" && strings.Contains(resource, "${AWS::StackName}") {
				continue // AWS ends these names when it makes them.
			}
			if strings.ContainsAny(resource, "*?") {
				p.add("%s: %s is not one exact resource", a.of, resource)
			}
		}
	}
}

// defended finds wildcards in statements whose own comment does not name them: the
// lines within a statement and those right above it.
func defended(source string, p *problems) {
	wildcard := regexp.MustCompile(`(\w+/|:)?\*`)
	var above, comments string
	indent, sid := -1, ""
	for line := range strings.Lines(source) {
		text := strings.TrimSpace(line)
		depth := len(line) - len(strings.TrimLeft(line, " "))
		switch {
		case strings.HasPrefix(text, "#"):
			above += text
			comments += text
			continue
		case strings.HasPrefix(text, "- Sid: "):
			indent, sid, comments = depth, strings.TrimPrefix(text, "- Sid: "), above
		case text != "" && depth <= indent:
			indent = -1
		}
		if text != "" {
			above = ""
		}
		if found := wildcard.FindString(text); indent >= 0 && found != "" && !strings.Contains(comments, found) {
			p.add("no comment of the statement %s defends %s", sid, found)
		}
	}
}

// ownRoles and the list of contents rule out what would add rights beside those in
// allowances.
func ownRoles(doc map[string]any, p *problems) {
	for word, id := range functions {
		name := strings.TrimSuffix(id, "Function")
		properties := at(doc, "Resources", id, "Properties")
		p.want(id+" role", at(properties, "Role"), fmt.Sprintf(`{"Fn::GetAtt":["%sRole","Arn"]}`, name))
		p.want(id+" logs", at(properties, "LoggingConfig"), fmt.Sprintf(`{"LogGroup":{"Ref":"%sLogs"}}`, name))
		p.want(name+"Role is for", at(doc, "Resources", name+"Role", "Properties", "AssumeRolePolicyDocument"),
			`{"Statement":[{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"}}],"Version":"2012-10-17"}`)
		p.want(name+"Logs", at(doc, "Resources", name+"Logs", "Properties", "LogGroupName"),
			fmt.Sprintf(`{"Fn::Sub":"/aws/lambda/${AWS::StackName}/%s"}`, word))
	}
}

func logsEnd(doc map[string]any, p *problems) {
	for id, group := range resources(doc, "AWS::Logs::LogGroup") {
		p.want(id, at(group, "Properties", "RetentionInDays"), `{"Ref":"LogRetentionDays"}`)
	}
}

func signedInProduction(doc map[string]any, p *problems) {
	p.want("variable", at(doc, "Resources", "AuthorizeFunction", "Properties", "Environment", "Variables", "ALLOW_UNSIGNED_CONNECT"),
		`{"Fn::If":["UnsignedConnect","true","false"]}`)
	p.want("condition", at(doc, "Conditions", "UnsignedConnect"),
		`{"Fn::And":[{"Fn::Not":[{"Condition":"IsProduction"}]},{"Fn::Equals":[{"Ref":"AllowUnsignedConnect"},"true"]}]}`)
	p.want("production", at(doc, "Conditions", "IsProduction"), `{"Fn::Equals":[{"Ref":"Environment"},"prod"]}`)
}

func parameters(doc map[string]any, p *problems) {
	encoded, err := json.Marshal(map[string]any{"r": doc["Resources"], "c": doc["Conditions"], "g": doc["Globals"]})
	if err != nil {
		p.add("%v", err)
		return
	}
	grouped := map[string]bool{}
	groups, _ := at(doc, "Metadata", "AWS::CloudFormation::Interface", "ParameterGroups").([]any)
	for _, group := range groups {
		for _, name := range list(at(group, "Parameters")) {
			grouped[name] = true
		}
	}
	all, _ := at(doc, "Parameters").(map[string]any)
	for name, parameter := range all {
		fields, _ := parameter.(map[string]any)
		_, values := fields["AllowedValues"]
		_, pattern := fields["AllowedPattern"]
		_, least := fields["MinValue"]
		_, most := fields["MaxValue"]
		described := fields["Description"] != nil && at(doc, "Metadata", "AWS::CloudFormation::Interface", "ParameterLabels", name) != nil
		switch {
		case !described:
			p.add("%s has no description or no label", name)
		case !values && !pattern && (!least || !most):
			p.add("%s takes any value", name)
		case !grouped[name]:
			p.add("%s is in no group", name)
		case !strings.Contains(string(encoded), fmt.Sprintf(`{"Ref":%q}`, name)):
			p.add("%s changes nothing", name)
		}
	}
}

// quoted returns text as JSON.
func quoted(text string) string { return strconv.Quote(text) }
