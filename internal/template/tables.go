package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// operation holds the properties of a table that change how it is run and paid
// for, not what it can be asked. The table of a test does without them.
var operation = []string{
	"DeletionProtectionEnabled", "OnDemandThroughput", "PointInTimeRecoverySpecification",
	"SSESpecification", "Tags", "TimeToLiveSpecification", "WarmThroughput",
}

// Tables returns a request to create each DynamoDB table of the template at path,
// sorted by name: keys, attributes, indexes and billing as they are deployed with
// the default of every parameter.
//
// TableName is the logical ID, ConnectionsTable or StateTable; a caller that
// shares an emulator gives it a name of its own. A property that CreateTable does
// not have is an error.
func Tables(path string) ([]*dynamodb.CreateTableInput, error) {
	stack, err := Render(path, nil)
	if err != nil {
		return nil, err
	}
	found := stack.resources("AWS::DynamoDB::Table")
	var tables []*dynamodb.CreateTableInput
	for _, id := range slices.Sorted(maps.Keys(found)) {
		input, err := table(found[id])
		if err != nil {
			return nil, fmt.Errorf("make a request of %s: %w", id, err)
		}
		input.TableName = aws.String(id)
		tables = append(tables, input)
	}
	return tables, nil
}

// table converts one resource. CloudFormation names the properties of a table as
// the API does, so that they decode into the SDK's own type.
func table(resource map[string]any) (*dynamodb.CreateTableInput, error) {
	properties, err := mapping(resource["Properties"])
	if err != nil {
		return nil, err
	}
	schema := maps.Clone(properties)
	for _, name := range operation {
		delete(schema, name)
	}
	encoded, err := json.Marshal(schema)
	if err != nil {
		return nil, fmt.Errorf("encode its properties: %w", err)
	}
	input := new(dynamodb.CreateTableInput)
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(input); err != nil {
		return nil, fmt.Errorf("decode its properties: %w", err)
	}
	return input, nil
}
