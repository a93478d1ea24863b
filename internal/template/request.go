package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
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
	if service == "lambda" {
		return functionCall(r, named)
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
		bus := q.named(e.EventBusName)
		if !strings.HasPrefix(bus, "arn:") {
			bus = arn("events", "event-bus/"+bus)
		}
		list = append(list, Call{Action: "events:PutEvents", Resource: bus, Context: map[string][]string{"events:source": {e.Source}}})
	}
	return list
}

// functionCall returns the call of a request to Lambda, whose path names the
// function (API_Invoke and API_GetFunctionConfiguration, 2026-11-23).
func functionCall(r *http.Request, named func(string) string) ([]Call, error) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/2015-03-31/functions/")
	name, operation, _ := strings.Cut(rest, "/")
	action := map[string]string{"POST invocations": "lambda:InvokeFunction", "GET configuration": "lambda:GetFunctionConfiguration"}[r.Method+" "+operation]
	if !ok || action == "" {
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
