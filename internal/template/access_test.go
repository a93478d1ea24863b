package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// granted is what each function may do: "action on resource". A change here is a
// change of what an intruder in that function may do.
var granted = map[string][]string{
	"authorize": {
		"logs:CreateLogStream on AuthorizeLogs.Arn",
		"logs:PutLogEvents on AuthorizeLogs.Arn",
		"secretsmanager:BatchGetSecretValue on *",
		"secretsmanager:GetSecretValue on ConnectSecret",
		"secretsmanager:GetSecretValue on SealSecret",
		"secretsmanager:GetSecretValue on " + secretsBelow + "providers/*",
	},
	"callback": {
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
	"refresh": {
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
	},
	"connections": {
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
}

// secretsBelow begins the ARN of the secrets that people make for this stack.
const secretsBelow = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:${AWS::StackName}/"

// An allowance is one statement of a role, its actions and resources as lists.
type allowance struct {
	role      string
	effect    any
	actions   []string
	resources []string
	other     []string // keys such as NotAction and NotResource
}

// allowances returns the statements of all roles that the template writes out,
// those under a condition included.
func allowances(doc map[string]any) []allowance {
	var found []allowance
	for id, role := range resources(doc, "AWS::IAM::Role") {
		policies, _ := at(role, "Properties", "Policies").([]any)
		for _, policy := range policies {
			statements, _ := at(policy, "PolicyDocument", "Statement").([]any)
			for _, s := range statements {
				if branches, ok := at(s, "Fn::If").([]any); ok && len(branches) == 3 && at(branches[2], "Ref") == "AWS::NoValue" {
					s = branches[1]
				}
				statement, _ := s.(map[string]any)
				a := allowance{role: id, effect: statement["Effect"], actions: list(statement["Action"]), resources: list(statement["Resource"])}
				for key := range statement {
					if !slices.Contains([]string{"Sid", "Effect", "Action", "Resource"}, key) {
						a.other = append(a.other, key)
					}
				}
				found = append(found, a)
			}
		}
	}
	return found
}

// list returns the names in one value or a list of them: a string as it is, a Ref
// as its resource, a GetAtt as resource.attribute, a Sub as its text.
func list(node any) []string {
	nodes, ok := node.([]any)
	if !ok {
		nodes = []any{node}
	}
	var names []string
	for _, n := range nodes {
		switch {
		case at(n, "Ref") != nil:
			names = append(names, fmt.Sprint(at(n, "Ref")))
		case at(n, "Fn::Sub") != nil:
			names = append(names, fmt.Sprint(at(n, "Fn::Sub")))
		case at(n, "Fn::GetAtt") != nil:
			names = append(names, strings.Join(list(at(n, "Fn::GetAtt")), "."))
		default:
			names = append(names, fmt.Sprint(n))
		}
	}
	return names
}

func permissions(doc map[string]any, p *problems) {
	for word, expected := range granted {
		var got []string
		for _, a := range allowances(doc) {
			if a.role != strings.TrimSuffix(functions[word], "Function")+"Role" {
				continue
			}
			for _, action := range a.actions {
				for _, resource := range a.resources {
					got = append(got, action+" on "+resource)
				}
			}
		}
		slices.Sort(got)
		for _, permission := range got {
			if !slices.Contains(expected, permission) {
				p.add("%s may %s, which it does not need", word, permission)
			}
		}
		for _, permission := range expected {
			if !slices.Contains(got, permission) {
				p.add("%s may not %s, which it needs", word, permission)
			}
		}
	}
}

// nowhere are the actions for which IAM knows no resource, so that "*" is the only
// one that a statement can name, each with the reason why it opens nothing.
var nowhere = map[string]string{
	"secretsmanager:BatchGetSecretValue": "it returns only the secrets that GetSecretValue may read",
	"secretsmanager:ListSecrets":         "it returns names, descriptions and tags, and no value",
}

func noWildcards(doc map[string]any, p *problems) {
	for _, a := range allowances(doc) {
		if a.effect != "Allow" || len(a.other) > 0 {
			p.add("%s: a statement has more than Allow, actions and resources: %v", a.role, a.other)
		}
		for _, action := range a.actions {
			if strings.ContainsAny(action, "*?") || !strings.Contains(action, ":") {
				p.add("%s: %s is not one exact action", a.role, action)
			}
		}
		if len(a.actions) == 1 && nowhere[a.actions[0]] != "" && slices.Equal(a.resources, []string{"*"}) {
			continue
		}
		for _, resource := range a.resources {
			if resource == secretsBelow+"providers/*" || resource == secretsBelow+"rescue/*" {
				continue // Their names are chosen after the deployment.
			}
			if strings.ContainsAny(resource, "*?") {
				p.add("%s: %s is not one exact resource", a.role, resource)
			}
		}
	}
}

// ownRoles rules out all that would add rights beside those in allowances.
func ownRoles(doc map[string]any, p *problems) {
	p.want("policies of all functions", at(doc, "Globals", "Function", "Policies"), `null`)
	for word, id := range functions {
		name := strings.TrimSuffix(id, "Function")
		properties := at(doc, "Resources", id, "Properties")
		role, _ := at(doc, "Resources", name+"Role", "Properties").(map[string]any)
		p.want(id+" role", at(properties, "Role"), fmt.Sprintf(`{"Fn::GetAtt":["%sRole","Arn"]}`, name))
		p.want(id+" policies", at(properties, "Policies"), `null`)
		p.want(id+" log group", at(properties, "LoggingConfig", "LogGroup"), fmt.Sprintf(`{"Ref":"%sLogs"}`, name))
		p.want(name+"Role", slices.Sorted(maps.Keys(role)), `["AssumeRolePolicyDocument","Policies"]`)
		p.want(name+"Role is for", at(role, "AssumeRolePolicyDocument", "Statement"),
			`[{"Action":"sts:AssumeRole","Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"}}]`)
		p.want(name+"Logs", at(doc, "Resources", name+"Logs", "Properties", "LogGroupName"),
			fmt.Sprintf(`{"Fn::Sub":"/aws/lambda/${AWS::StackName}/%s"}`, word))
	}
}

func names(doc map[string]any, p *problems) {
	for id, group := range resources(doc, "AWS::Logs::LogGroup") {
		p.want(id, at(group, "Properties", "RetentionInDays"), `{"Ref":"LogRetentionDays"}`)
	}
	for kind, property := range map[string]string{
		functionType:                  "FunctionName",
		"AWS::IAM::Role":              "RoleName",
		"AWS::DynamoDB::Table":        "TableName",
		"AWS::SecretsManager::Secret": "Name",
		"AWS::Serverless::HttpApi":    "Name",
		"AWS::SQS::Queue":             "QueueName",
	} {
		for id, resource := range resources(doc, kind) {
			p.want(id+" "+property, at(resource, "Properties", property), `null`)
		}
	}
}

func signedInProduction(doc map[string]any, p *problems) {
	p.want("variable", at(doc, "Resources", "AuthorizeFunction", "Properties", "Environment", "Variables", "ALLOW_UNSIGNED_CONNECT"),
		`{"Fn::If":["UnsignedConnect","true","false"]}`)
	p.want("condition", at(doc, "Conditions", "UnsignedConnect"),
		`{"Fn::And":[{"Fn::Not":[{"Condition":"IsProduction"}]},{"Fn::Equals":[{"Ref":"AllowUnsignedConnect"},"true"]}]}`)
	p.want("production", at(doc, "Conditions", "IsProduction"), `{"Fn::Equals":[{"Ref":"Environment"},"prod"]}`)
	p.want("default", at(doc, "Parameters", "AllowUnsignedConnect", "Default"), `"false"`)
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

func outputs(doc map[string]any, p *problems) {
	all, _ := at(doc, "Outputs").(map[string]any)
	p.want("outputs", slices.Sorted(maps.Keys(all)), `["ConnectSecretArn","ConnectionsFunctionArn","ConnectionsFunctionName",`+
		`"ConnectionsTableArn","ConnectionsTableName","ProviderSecrets","PublicUrl","RedirectUri","SealSecretArn"]`)
	for name, output := range all {
		if at(output, "Description") == nil {
			p.add("%s has no description", name)
		}
	}
	p.want("redirect URI", at(all, "RedirectUri", "Value"), `{"Fn::If":["HasPublicUrl",`+
		`{"Fn::Sub":"${PublicUrl}/callback/{provider}"},{"Fn::Sub":"https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/callback/{provider}"}]}`)
}
