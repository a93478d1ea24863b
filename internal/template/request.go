package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/smithy-go/encoding/cbor"
)

// Signer returns the access key ID that a request to AWS is signed with, and the
// service that it is signed for, such as dynamodb ("Create a signed AWS API
// request" in the IAM user guide, the credential scope, read on 2026-11-23). The
// signature itself is not looked at.
func Signer(header http.Header) (accessKeyID, service string, err error) {
	_, scope, _ := strings.Cut(header.Get("Authorization"), "Credential=")
	scope, _, _ = strings.Cut(scope, ",")
	parts := strings.Split(scope, "/")
	if len(parts) != 5 {
		return "", "", errors.New("a request to AWS is not signed")
	}
	return parts[0], parts[3], nil
}

// Calls returns what IAM decides on before a request to AWS is served, with the
// ARNs that the stack's policies name. Every call must be allowed; but of
// BatchGetSecretValue the first one only, and behind it is one for each secret of
// the list, in its order: Secrets Manager leaves out what is not allowed.
//
// Named returns what the stack calls a table, secret, queue, bus or function that
// has another name where the request goes. Condition keys are known of GetItem and
// PutEvents, which the template has conditions on. A request that cannot be read
// is an error.
func (s *Stack) Calls(r *http.Request, body []byte, named func(string) string) ([]Call, error) {
	_, service, err := Signer(r.Header)
	if err != nil {
		return nil, err
	}
	switch service {
	case "lambda":
		return s.functionCall(r, named)
	case "cloudformation", "monitoring", "scheduler":
		return partCalls(service, r, body)
	}
	target := r.Header.Get("X-Amz-Target")
	q := request{stack: s, named: named, operation: target[strings.LastIndex(target, ".")+1:]}
	if err := json.Unmarshal(body, &q); err != nil || q.operation == "" {
		return nil, fmt.Errorf("a request to %s is not AWS JSON: %w", service, err)
	}
	switch {
	case service == "dynamodb":
		return q.tables()
	case service == "secretsmanager":
		return q.secrets(), nil
	case service == "sqs" && q.QueueURL != "": // IAM has one action for a message and a batch
		return []Call{{Action: "sqs:" + strings.TrimSuffix(q.operation, "Batch"), Resource: arn("sqs", base(named(q.QueueURL)))}}, nil
	case service == "events" && q.operation == "PutEvents":
		return q.events(), nil
	case service == "events" && q.Name != "":
		return []Call{{Action: "events:" + q.operation, Resource: bus(named(q.Name))}}, nil
	case service == "logs" && q.LogGroupName != "":
		return []Call{{Action: "logs:" + q.operation, Resource: arn("logs", "log-group:"+named(q.LogGroupName)+":*")}}, nil
	}
	return nil, fmt.Errorf("what %s of %s is about is not known here", q.operation, service)
}

// base returns what is behind the last slash.
func base(name string) string { return name[strings.LastIndex(name, "/")+1:] }

// A request is the body of one in AWS JSON, as far as IAM looks at it.
type request struct {
	stack     *Stack
	named     func(string) string
	operation string

	TableName, IndexName     string // DynamoDB
	Key                      map[string]map[string]any
	ProjectionExpression     string
	ExpressionAttributeNames map[string]string
	AttributesToGet          []string
	RequestItems             map[string]any

	SecretID, Name string // Secrets Manager
	SecretIDList   []string

	QueueURL     string // SQS
	LogGroupName string // CloudWatch Logs
	Entries      []struct{ EventBusName, Source string }
}

// tables returns the calls of a request to DynamoDB.
func (q *request) tables() ([]Call, error) {
	call := func(table string) Call {
		resource := q.named(table)
		if !strings.HasPrefix(resource, "arn:") {
			resource = arn("dynamodb", "table/"+resource)
		}
		if q.IndexName != "" {
			resource += "/index/" + q.IndexName
		}
		return Call{Action: "dynamodb:" + q.operation, Resource: resource}
	}
	switch {
	case q.TableName != "" && q.operation == "GetItem":
		c := call(q.TableName)
		c.Context = q.conditions(base(c.Resource))
		return []Call{c}, nil
	case q.TableName != "":
		return []Call{call(q.TableName)}, nil
	case len(q.RequestItems) > 0:
		var list []Call
		for table := range q.RequestItems {
			list = append(list, call(table))
		}
		return list, nil
	}
	return nil, fmt.Errorf("which table %s is about is not known here", q.operation)
}

// conditions returns the condition keys of a GetItem ("Using IAM policy conditions
// for fine-grained access control" in DynamoDB's developer guide, read on
// 2026-11-23): the attributes are those of the key and the top-level ones that are
// asked for.
func (q *request) conditions(table string) map[string][]string {
	attributes, selected := slices.Sorted(maps.Keys(q.Key)), "ALL_ATTRIBUTES"
	asked := q.AttributesToGet
	if q.ProjectionExpression != "" {
		asked = strings.Split(q.ProjectionExpression, ",")
	}
	for _, name := range asked {
		name, _, _ = strings.Cut(strings.TrimSpace(name), ".")
		name, _, _ = strings.Cut(name, "[")
		if placed, ok := q.ExpressionAttributeNames[name]; ok {
			name = placed
		}
		attributes, selected = append(attributes, name), "SPECIFIC_ATTRIBUTES"
	}
	context := map[string][]string{"dynamodb:Attributes": attributes, "dynamodb:Select": {selected}}
	schema, _ := at(q.stack.Resources[strings.TrimPrefix(table, pseudo["AWS::StackName"]+"-")], "Properties", "KeySchema").([]any)
	for _, k := range schema {
		if name := fmt.Sprint(at(k, "AttributeName")); at(k, "KeyType") == "HASH" && q.Key[name]["S"] != nil {
			context["dynamodb:LeadingKeys"] = []string{fmt.Sprint(q.Key[name]["S"])}
		}
	}
	return context
}

// secrets returns the calls of a request to Secrets Manager. Of a secret that goes
// by its name, IAM looks at the ARN, which ends in six characters more.
func (q *request) secrets() []Call {
	secret := func(action, id string) Call {
		id = q.named(id)
		if !strings.HasPrefix(id, "arn:") {
			id = arn("secretsmanager", "secret:"+id+"-Ab12Cd")
		}
		return Call{Action: "secretsmanager:" + action, Resource: id}
	}
	switch {
	case q.operation == "BatchGetSecretValue":
		list := []Call{{Action: "secretsmanager:BatchGetSecretValue", Resource: "*"}}
		for _, id := range q.SecretIDList {
			list = append(list, secret("GetSecretValue", id))
		}
		return list
	case q.SecretID != "":
		return []Call{secret(q.operation, q.SecretID)}
	case q.Name != "":
		return []Call{secret(q.operation, q.Name)}
	}
	return []Call{{Action: "secretsmanager:" + q.operation, Resource: "*"}}
}

// events returns a call for each entry of a PutEvents.
func (q *request) events() []Call {
	var list []Call
	for _, e := range q.Entries {
		list = append(list, Call{Action: "events:PutEvents", Resource: bus(q.named(e.EventBusName)), Context: map[string][]string{"events:source": {e.Source}}})
	}
	return list
}

// bus returns the ARN of an event bus that is named by it or by name.
func bus(name string) string {
	if strings.HasPrefix(name, "arn:") {
		return name
	}
	return arn("events", "event-bus/"+name)
}

// functionCall returns the call of a request to Lambda, whose path names the
// function or the event source mapping (API_Invoke, API_GetFunctionConfiguration and
// API_GetEventSourceMapping, 2026-11-23).
func (s *Stack) functionCall(r *http.Request, named func(string) string) ([]Call, error) {
	rest, _ := strings.CutPrefix(r.URL.Path, "/2015-03-31/")
	kind, rest, _ := strings.Cut(rest, "/")
	name, operation, _ := strings.Cut(rest, "/")
	if r.Method == http.MethodGet && kind == "event-source-mappings" && operation == "" {
		return []Call{{Action: "lambda:GetEventSourceMapping", Resource: "*", Context: map[string][]string{"lambda:FunctionArn": s.mapped(named(name))}}}, nil
	}
	action := map[string]string{"POST invocations": "lambda:InvokeFunction", "GET configuration": "lambda:GetFunctionConfiguration"}[r.Method+" "+operation]
	if kind != "functions" || action == "" {
		return nil, fmt.Errorf("what %s %s of Lambda is about is not known here", r.Method, r.URL.Path)
	}
	if qualifier := r.URL.Query().Get("Qualifier"); qualifier != "" {
		name += ":" + qualifier
	}
	if name = named(name); !strings.HasPrefix(name, "arn:") {
		name = arn("lambda", "function:"+name)
	}
	return []Call{{Action: action, Resource: name}}, nil
}

// mapped returns the ARN of the function that an event source mapping is for, none
// where there is no such mapping. One that SAM makes is named after its function, and
// goes to the alias.
func (s *Stack) mapped(id string) []string {
	id = strings.TrimPrefix(id, pseudo["AWS::StackName"]+"-")
	if function, ok := at(s.Resources[id], "Properties", "FunctionName").(string); ok {
		return []string{function}
	}
	for function := range s.resources(functionType) {
		if events, _ := at(s.Resources[function], "Properties", "Events").(map[string]any); events[strings.TrimPrefix(id, function)] != nil {
			return []string{arn("lambda", "function:"+pseudo["AWS::StackName"]+"-"+function+":live")}
		}
	}
	return nil
}

// partCalls returns the calls of a request to CloudFormation, CloudWatch or
// EventBridge Scheduler: a form, CBOR, and a path. The ARN of a stack ends in an
// identifier that its name does not have.
func partCalls(service string, r *http.Request, body []byte) ([]Call, error) {
	_, operation, _ := strings.Cut(r.URL.Path, "/operation/")
	switch name, isSchedule := strings.CutPrefix(r.URL.Path, "/schedules/"); service {
	case "scheduler":
		if r.Method == http.MethodGet && isSchedule {
			return []Call{{Action: "scheduler:GetSchedule", Resource: arn("scheduler", "schedule/default/"+name)}}, nil
		}
	case "cloudformation":
		form, err := url.ParseQuery(string(body))
		if stack := form.Get("StackName"); err == nil && stack != "" {
			return []Call{{Action: "cloudformation:" + form.Get("Action"), Resource: arn("cloudformation", "stack/"+stack+"/0a1b")}}, nil
		}
	case "monitoring":
		var list []Call
		value, _ := cbor.Decode(body)
		in, _ := value.(cbor.Map)
		names, _ := in["AlarmNames"].(cbor.List)
		for _, name := range names {
			list = append(list, Call{Action: "cloudwatch:" + operation, Resource: arn("cloudwatch", fmt.Sprint("alarm:", name))})
		}
		if len(list) > 0 && operation != "" {
			return list, nil
		}
	}
	return nil, fmt.Errorf("what %s %s of %s is about is not known here", r.Method, r.URL, service)
}
