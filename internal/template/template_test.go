package template

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func TestShortTagsReadLikeLongOnes(t *testing.T) {
	tests := map[string]struct{ source, want string }{
		"reference":          {"a: !Ref Table", `{"a":{"Ref":"Table"}}`},
		"attribute":          {"a: !GetAtt Table.Arn", `{"a":{"Fn::GetAtt":["Table","Arn"]}}`},
		"nested attribute":   {"a: !GetAtt Stack.Outputs.Arn", `{"a":{"Fn::GetAtt":["Stack","Outputs.Arn"]}}`},
		"substitution":       {`a: !Sub "${Table}/x"`, `{"a":{"Fn::Sub":"${Table}/x"}}`},
		"flow list":          {`a: !If [IsProduction, !Ref Table, "x"]`, `{"a":{"Fn::If":["IsProduction",{"Ref":"Table"},"x"]}}`},
		"block list":         {"a: !And\n  - !Condition B\n  - !Not [!Condition C]", `{"a":{"Fn::And":[{"Condition":"B"},{"Fn::Not":[{"Condition":"C"}]}]}}`},
		"long form":          {"a: {Ref: Table}", `{"a":{"Ref":"Table"}}`},
		"scalars":            {"a: 1\nb: 1.5\nc: true\nd: \"true\"\ne:\n", `{"a":1,"b":1.5,"c":true,"d":"true","e":null}`},
		"folded text":        {"a: >-\n  one\n  two\n", `{"a":"one two"}`},
		"comment in between": {"a:\n  # why\n  b: c # and how\n  # end\n", `{"a":{"b":"c"}}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			doc, err := parse([]byte(tt.source))
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestATemplateThatCannotBeReadNamesTheReason(t *testing.T) {
	tests := map[string]struct{ source, reason string }{
		"not YAML":      {"a: [", "parse the template"},
		"a list":        {"- a", "is not a mapping"},
		"two documents": {"a: b\n---\nc: d", "2 YAML documents"},
		"an anchor":     {"a: b\nc: &x d", "line 2"},
		"a merge key":   {"a:\n  <<: {b: c}", "line 2"},
		"a key twice":   {"a: b\na: c", "already defined"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if doc, err := parse([]byte(tt.source)); err == nil || !strings.Contains(err.Error(), tt.reason) {
				t.Errorf("got %v and error %v, want one with %q", doc, err, tt.reason)
			}
		})
	}
	if _, err := Tables("nowhere.yaml"); err == nil {
		t.Error("a template that is not there has tables")
	}
}

func TestTablesAreReadyToCreate(t *testing.T) {
	tables, err := Tables(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(tables) != 2 {
		t.Fatalf("got %d tables, want ConnectionsTable and StateTable", len(tables))
	}
	connections, state := tables[0], tables[1]
	if name := aws.ToString(connections.TableName); name != "ConnectionsTable" || connections.BillingMode != types.BillingModePayPerRequest {
		t.Errorf("first table is %s, %s", name, connections.BillingMode)
	}
	if len(connections.GlobalSecondaryIndexes) != 1 || connections.GlobalSecondaryIndexes[0].Projection.ProjectionType != types.ProjectionTypeKeysOnly {
		t.Errorf("indexes of connections: %+v", connections.GlobalSecondaryIndexes)
	}
	if len(connections.KeySchema) != 2 || connections.KeySchema[1].KeyType != types.KeyTypeRange {
		t.Errorf("key of connections: %+v", connections.KeySchema)
	}
	if name := aws.ToString(state.TableName); name != "StateTable" || len(state.KeySchema) != 1 {
		t.Errorf("second table is %s with key %+v", name, state.KeySchema)
	}
}

func TestAPropertyThatTablesDoesNotKnowIsAnError(t *testing.T) {
	tests := map[string]struct{ property, reason string }{
		"unknown property":       {"Colour: blue", "request of T"},
		"reference to nothing":   {"KeySchema: [{AttributeName: !Ref Key, KeyType: HASH}]", "render T"},
		"property of other type": {"KeySchema: HASH", "request of T"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "template.yaml")
			source := "Resources:\n  T:\n    Type: AWS::DynamoDB::Table\n    Properties:\n      " + tt.property + "\n"
			if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
				t.Fatal(err)
			}
			if tables, err := Tables(file); err == nil || !strings.Contains(err.Error(), tt.reason) {
				t.Errorf("got %v and error %v, want one that names the table", tables, err)
			}
		})
	}
}

func TestEnvironmentIsGlobalsAndTheFunctionsOwn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "template.yaml")
	source := `
Globals:
  Function:
    Environment:
      Variables: {GOMEMLIMIT: 1MiB, SHARED: x}
Resources:
  AFunction:
    Type: AWS::Serverless::Function
    Properties:
      Environment:
        Variables: {OWN: !Ref Table, SHARED: y}
  BFunction:
    Type: AWS::Serverless::Function
  Table:
    Type: AWS::DynamoDB::Table
`
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	environment, err := Environment(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(environment) != 2 || !slices.Equal(environment["AFunction"], []string{"OWN", "SHARED"}) || !slices.Equal(environment["BFunction"], []string{"SHARED"}) {
		t.Errorf("got %v", environment)
	}
}
