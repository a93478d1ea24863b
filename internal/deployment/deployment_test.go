package deployment

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/settings"
	"github.com/evergrant/evergrant/internal/template"
)

// rules are what is true of every stack. Each says what breaks it.
var rules = map[string]func(s *stack) []string{
	"nothing refers to what is not created":                 dangling,
	"nothing waits for itself":                              circles,
	"no name is taken twice in an account":                  ownNames,
	"no action is a wildcard, no resource that SAM adds":    wildcards,
	"SAM adds no right beyond those of the schedule":        addedRoles,
	"everybody calls the alias of a function":               aliases,
	"a new version is tried in production, and goes back":   canary,
	"only the API may be called from outside":               doors,
	"what people cannot make again stays, and nothing else": retention,
	"each function starts with the variables that it gets":  variables,
	"the stack keeps the quotas of AWS":                     quotas,
	"every queue and table is encrypted, every log has end": atRest,
}

func TestEveryStackKeepsEveryRule(t *testing.T) {
	for name, s := range stacks(t) {
		for rule, check := range rules {
			t.Run(name+"/"+rule, func(t *testing.T) {
				for _, problem := range check(s) {
					t.Error(problem)
				}
			})
		}
	}
}

// of returns the resources of a type by their logical ID.
func (s *stack) of(kind string) map[string]map[string]any {
	found := map[string]map[string]any{}
	for id, r := range s.Resources {
		if r["Type"] == kind {
			found[id] = r
		}
	}
	return found
}

func (s *stack) production() bool { return s.parameters["Environment"] == "prod" }

func dangling(s *stack) (problems []string) {
	check := func(id string, node any) {
		for _, name := range references(node) {
			if s.Resources[name] == nil {
				problems = append(problems, fmt.Sprintf("%s refers to %s, which is not created", id, name))
			}
		}
	}
	for id, r := range s.Resources {
		check(id, r["Properties"])
	}
	for id, o := range s.Outputs {
		check("output "+id, o)
	}
	if len(s.Resources) < 20 || len(s.Outputs) < 5 {
		problems = append(problems, fmt.Sprintf("the stack has %d resources and %d outputs", len(s.Resources), len(s.Outputs)))
	}
	return problems
}

func circles(s *stack) (problems []string) {
	const under, done = 1, 2
	state := map[string]int{}
	var visit func(id string, way []string)
	visit = func(id string, way []string) {
		way = append(way, id)
		switch {
		case state[id] == under:
			problems = append(problems, strings.Join(way, " → "))
			return
		case state[id] == done || s.Resources[id] == nil:
			return
		}
		state[id] = under
		after := references(s.Resources[id]["Properties"])
		switch d := s.Resources[id]["DependsOn"].(type) {
		case string:
			after = append(after, d)
		case []any:
			for _, name := range d {
				after = append(after, fmt.Sprint(name))
			}
		}
		for _, name := range after {
			visit(name, slices.Clip(way))
		}
		state[id] = done
	}
	for _, id := range slices.Sorted(maps.Keys(s.Resources)) {
		visit(id, nil)
	}
	return problems
}

// named is the property that names a resource of each type that there is, "" for a
// type that has no name of its own. A name that holds the stack's name is no danger.
var named = map[string]string{
	"AWS::ApiGatewayV2::Api":           "Name",
	"AWS::ApiGatewayV2::ApiMapping":    "",
	"AWS::ApiGatewayV2::DomainName":    "", // a domain is one's own
	"AWS::ApiGatewayV2::Stage":         "", // $default, of its own API
	"AWS::CloudWatch::Alarm":           "AlarmName",
	"AWS::CloudWatch::Dashboard":       "DashboardName",
	"AWS::CodeDeploy::Application":     "ApplicationName",
	"AWS::CodeDeploy::DeploymentGroup": "DeploymentGroupName",
	"AWS::DynamoDB::Table":             "TableName",
	"AWS::IAM::ManagedPolicy":          "ManagedPolicyName",
	"AWS::IAM::Role":                   "RoleName",
	"AWS::Lambda::Alias":               "", // live, of its own function
	"AWS::Lambda::EventInvokeConfig":   "",
	"AWS::Lambda::EventSourceMapping":  "",
	"AWS::Lambda::Function":            "FunctionName",
	"AWS::Lambda::Permission":          "",
	"AWS::Lambda::Version":             "",
	"AWS::Logs::LogGroup":              "LogGroupName",
	"AWS::Route53::RecordSet":          "", // a domain is one's own
	"AWS::Scheduler::Schedule":         "Name",
	"AWS::SecretsManager::Secret":      "Name",
	"AWS::SQS::Queue":                  "QueueName",
}

func ownNames(s *stack) (problems []string) {
	for id, r := range s.Resources {
		property, known := named[fmt.Sprint(r["Type"])]
		if !known {
			problems = append(problems, fmt.Sprintf("%s is the first %v: say in named what names one", id, r["Type"]))
			continue
		}
		name := template.At(r, "Properties", property)
		if text, ok := name.(string); property != "" && name != nil && (!ok || !strings.Contains(text, s.name)) {
			problems = append(problems, fmt.Sprintf("%s has the name %v, which a second stack would take, too", id, name))
		}
	}
	return problems
}

// A statement is one of a policy, and where it stands.
type statement struct {
	id                 string
	effect             any
	actions, resources []any
	whole              map[string]any
}

// statements returns those of all roles and managed policies.
func (s *stack) statements() []statement {
	var found []statement
	add := func(id string, document any) {
		list := many(template.At(document, "Statement"))
		for _, item := range list {
			fields, _ := item.(map[string]any)
			found = append(found, statement{id, fields["Effect"], many(fields["Action"]), many(fields["Resource"]), fields})
		}
	}
	for id, r := range s.of("AWS::IAM::Role") {
		for _, policy := range many(template.At(r, "Properties", "Policies")) {
			add(id, template.At(policy, "PolicyDocument"))
		}
	}
	for id, r := range s.of("AWS::IAM::ManagedPolicy") {
		add(id, template.At(r, "Properties", "PolicyDocument"))
	}
	return found
}

// many returns a list as it is, and one value as a list of it.
func many(node any) []any {
	switch n := node.(type) {
	case nil:
		return nil
	case []any:
		return n
	}
	return []any{node}
}

// wildcards leaves those to package template that stand in template.yaml, each
// with its reason, but for actions.
func wildcards(s *stack) (problems []string) {
	for _, st := range s.statements() {
		if st.effect != "Allow" || len(st.actions) == 0 || len(st.resources) == 0 || st.whole["NotAction"] != nil || st.whole["NotResource"] != nil {
			problems = append(problems, fmt.Sprintf("%s: %v is not what is allowed where", st.id, st.whole))
		}
		for _, action := range st.actions {
			if name := fmt.Sprint(action); strings.ContainsAny(name, "*?") || !strings.Contains(name, ":") {
				problems = append(problems, fmt.Sprintf("%s: %v is not one action", st.id, action))
			}
		}
		for _, resource := range st.resources {
			if strings.ContainsAny(fmt.Sprint(resource), "*?") && !s.own[st.id] {
				problems = append(problems, fmt.Sprintf("%s: %v on %v", st.id, st.actions, resource))
			}
		}
	}
	return problems
}

// addedRoles looks at the roles that do not stand in template.yaml.
func addedRoles(s *stack) (problems []string) {
	for id, r := range s.of("AWS::IAM::Role") {
		managed := many(template.At(r, "Properties", "ManagedPolicyArns"))
		if id == "CodeDeployServiceRole" {
			// AWS's own policy, which lets CodeDeploy move the aliases and read the alarms.
			if len(managed) != 1 || !strings.HasSuffix(fmt.Sprint(managed[0]), ":iam::aws:policy/service-role/AWSCodeDeployRoleForLambda") {
				problems = append(problems, fmt.Sprintf("CodeDeploy has the policies %v", managed))
			}
			continue
		}
		if len(managed) > 0 {
			problems = append(problems, fmt.Sprintf("%s has rights that others wrote: %v", id, managed))
		}
		if strings.HasSuffix(id, "FunctionRole") {
			problems = append(problems, fmt.Sprintf("%s is a role that SAM wrote for a function", id))
		}
	}
	may := map[string]bool{}
	for _, st := range s.statements() {
		if st.id == "RefreshFunctionSweepRole" {
			may[fmt.Sprint(st.actions, references(st.resources))] = true
		}
	}
	delete(may, "[lambda:InvokeFunction] [RefreshFunctionAliaslive]")
	delete(may, "[sqs:SendMessage] [SweepDeadLetters]") // a tick that it could not deliver
	for right := range may {
		problems = append(problems, "the schedule may "+right)
	}
	return problems
}

// aliases looks at everything that names a function, the alias and its version
// excepted: who names the function itself would call what is not tried yet.
func aliases(s *stack) (problems []string) {
	functions := s.of("AWS::Lambda::Function")
	for id := range functions {
		alias := s.Resources[id+"Aliaslive"]
		version := references(template.At(alias, "Properties", "FunctionVersion"))
		if template.At(alias, "Properties", "Name") != "live" || len(version) != 1 || s.Resources[version[0]]["Type"] != "AWS::Lambda::Version" {
			problems = append(problems, fmt.Sprintf("%s has no alias live of a version", id))
		}
	}
	calls := func(id string, node any) {
		for _, name := range references(node) {
			if functions[name] != nil {
				problems = append(problems, fmt.Sprintf("%s is for %s, not for its alias", id, name))
			}
		}
	}
	for _, kind := range []string{"AWS::ApiGatewayV2::Api", "AWS::Lambda::Permission", "AWS::Scheduler::Schedule", "AWS::Lambda::EventSourceMapping"} {
		for id, r := range s.of(kind) {
			calls(id, r["Properties"])
		}
	}
	for _, st := range s.statements() {
		if slices.Contains(st.actions, any("lambda:InvokeFunction")) {
			calls(st.id, st.resources)
		}
	}
	for id, r := range s.of("AWS::Lambda::EventInvokeConfig") {
		if template.At(r, "Properties", "Qualifier") != "live" {
			problems = append(problems, fmt.Sprintf("%s is not for the alias", id))
		}
	}
	return problems
}

func canary(s *stack) (problems []string) {
	for id := range s.of("AWS::Lambda::Function") {
		group := template.At(s.Resources[id+"DeploymentGroup"], "Properties")
		way := fmt.Sprint(template.At(group, "DeploymentConfigName"))
		if slow := strings.Contains(way, "Canary") || strings.Contains(way, "Linear"); slow != s.production() {
			problems = append(problems, fmt.Sprintf("%s goes out by %s", id, way))
		}
		if s.production() {
			if alarms := many(template.At(group, "AlarmConfiguration", "Alarms")); len(alarms) == 0 || template.At(group, "AutoRollbackConfiguration", "Enabled") != true {
				problems = append(problems, fmt.Sprintf("nothing brings %s back: %v", id, group))
			}
		}
		if template.At(s.Resources[id+"Aliaslive"], "UpdatePolicy", "CodeDeployLambdaAliasUpdate", "DeploymentGroupName") == nil {
			problems = append(problems, fmt.Sprintf("the alias of %s is moved at once", id))
		}
	}
	return problems
}

func doors(s *stack) (problems []string) {
	for id, r := range s.Resources {
		if r["Type"] == "AWS::Lambda::Url" {
			problems = append(problems, id+" opens a function to everybody")
		}
	}
	for id, r := range s.of("AWS::Lambda::Permission") {
		function := fmt.Sprint(references(template.At(r, "Properties", "FunctionName")))
		if template.At(r, "Properties", "Principal") != "apigateway.amazonaws.com" || !slices.Contains(references(template.At(r, "Properties", "SourceArn")), "Api") {
			problems = append(problems, id+" lets somebody else in than the API")
		}
		if !strings.Contains(function, "Authorize") && !strings.Contains(function, "Callback") {
			problems = append(problems, fmt.Sprintf("%s opens %s to the API", id, function))
		}
	}
	return problems
}

func retention(s *stack) (problems []string) {
	stay := map[string]string{}
	for id, r := range s.Resources {
		policies := fmt.Sprintf("%v, %v", r["DeletionPolicy"], r["UpdateReplacePolicy"])
		if r["Type"] != "AWS::Lambda::Version" && strings.Contains(policies, "Retain") { // SAM keeps versions
			stay[id] = policies
		}
	}
	const always = "RetainExceptOnCreate, Retain"
	if want := map[string]string{"ConnectionsTable": always, "SealSecret": always, "ConnectSecret": always}; !maps.Equal(stay, want) {
		problems = append(problems, fmt.Sprintf("%v stay when the stack goes, want %v", stay, want))
	}
	table := template.At(s.Resources["ConnectionsTable"], "Properties")
	if template.At(table, "DeletionProtectionEnabled") != s.production() {
		problems = append(problems, fmt.Sprintf("the protection of the connections table is %v", template.At(table, "DeletionProtectionEnabled")))
	}
	return problems
}

// variables loads the settings of each function from its rendered environment, as
// its main.go does.
func variables(s *stack) (problems []string) {
	functions := s.of("AWS::Lambda::Function")
	if len(functions) < 4 {
		problems = append(problems, fmt.Sprintf("there are %d functions", len(functions)))
	}
	for id, r := range functions {
		f := settings.Function(strings.ToLower(strings.TrimSuffix(id, "Function")))
		environment, _ := template.At(r, "Properties", "Environment", "Variables").(map[string]any)
		for _, name := range f.Names() {
			// No deployment offers what is for development.
			if _, ok := environment[name]; !ok && name != "ALLOW_PRIVATE_PROVIDERS" {
				problems = append(problems, fmt.Sprintf("%s does not get %s", id, name))
			}
		}
		for name := range environment {
			if name != "GOMEMLIMIT" && !slices.Contains(f.Names(), name) {
				problems = append(problems, fmt.Sprintf("%s gets %s, which it does not read", id, name))
			}
		}
		_, err := settings.Load(f, func(name string) string { return s.known(environment[name]) })
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s does not start: %v", id, err))
		}
	}
	return problems
}

// known is the text of a value; for a reference, one as AWS makes it.
func (s *stack) known(node any) string {
	if node == nil {
		return ""
	}
	text := fmt.Sprint(node)
	id := strings.TrimSuffix(strings.TrimPrefix(text, "${"), "}")
	switch s.Resources[id]["Type"] {
	case "AWS::SQS::Queue":
		return "https://sqs.eu-central-1.amazonaws.com/123456789012/" + id
	case "AWS::SecretsManager::Secret":
		return "arn:aws:secretsmanager:eu-central-1:123456789012:secret:" + id + "-AbCdEf"
	case "AWS::DynamoDB::Table":
		return s.name + "-" + id + "-1A2B3C"
	}
	return reference.ReplaceAllString(text, "0a1b2c3d")
}

// quotas are those of CloudFormation, IAM and Lambda that a template can run into.
func quotas(s *stack) (problems []string) {
	size := func(what string, node any, most int) {
		if n := len(compact(node)); n > most {
			problems = append(problems, fmt.Sprintf("%s has %d characters, %d are the most", what, n, most))
		}
	}
	if len(s.Resources) > 500 || len(s.Outputs) > 200 {
		problems = append(problems, fmt.Sprintf("%d resources and %d outputs", len(s.Resources), len(s.Outputs)))
	}
	size("the stack", s.Resources, 1<<20)
	for id, r := range s.of("AWS::IAM::Role") {
		size("all policies of "+id, template.At(r, "Properties", "Policies"), 10240)
	}
	for id, r := range s.of("AWS::IAM::ManagedPolicy") {
		size(id, template.At(r, "Properties", "PolicyDocument"), 6144)
	}
	for id, r := range s.of("AWS::Lambda::Function") {
		size("the environment of "+id, template.At(r, "Properties", "Environment", "Variables"), 4096)
		if description, _ := template.At(r, "Properties", "Description").(string); len(description) > 256 {
			problems = append(problems, id+" is described in more than 256 characters")
		}
	}
	return problems
}

func atRest(s *stack) (problems []string) {
	for id, r := range s.of("AWS::SQS::Queue") {
		if template.At(r, "Properties", "SqsManagedSseEnabled") != true && template.At(r, "Properties", "KmsMasterKeyId") == nil {
			problems = append(problems, id+" is not encrypted")
		}
	}
	for id, r := range s.of("AWS::Logs::LogGroup") {
		if template.At(r, "Properties", "RetentionInDays") == nil {
			problems = append(problems, id+" is kept for ever")
		}
	}
	return problems
}
