package dynamo

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// TableAPI is the part of *dynamodb.Client that tells of tables. It is not in API,
// so that only the function that asks carries it.
type TableAPI interface {
	DescribeTable(ctx context.Context, in *dynamodb.DescribeTableInput, opts ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
}

// TableID returns the ID that DynamoDB gave the table of a name: each table that is
// made has another one, also one that is restored from a backup under a name that
// is old, and has it while it is CREATING (API_TableDescription, 2026-11-23). "":
// an emulator gave it none. The answer may lag by seconds.
func TableID(ctx context.Context, api TableAPI, name string) (string, error) {
	out, err := api.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	if err != nil {
		return "", fmt.Errorf("describe table %s: %w", name, err)
	}
	return aws.ToString(out.Table.TableId), nil
}
