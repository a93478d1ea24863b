package doctor

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"
)

// SecretsAPI is the part of *secretsmanager.Client that Manager uses.
type SecretsAPI interface {
	GetSecretValue(ctx context.Context, in *secretsmanager.GetSecretValueInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
	DescribeSecret(ctx context.Context, in *secretsmanager.DescribeSecretInput, opts ...func(*secretsmanager.Options)) (*secretsmanager.DescribeSecretOutput, error)
}

// Manager is Secrets in Secrets Manager.
type Manager struct{ API SecretsAPI }

// Secret implements Secrets.
func (m Manager) Secret(ctx context.Context, name string) ([]byte, error) {
	out, err := m.API.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name})
	switch {
	case err == nil && out.SecretString != nil:
		return []byte(*out.SecretString), nil
	case err == nil:
		return out.SecretBinary, nil
	case code(err) == notFound:
		return nil, ErrMissing
	case errors.Is(brief(err), ErrDenied):
		if _, err := m.API.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &name}); err == nil {
			return nil, ErrHidden
		}
	}
	return nil, brief(err)
}

// TablesAPI is the part of *dynamodb.Client that Database uses.
type TablesAPI interface {
	DescribeTable(ctx context.Context, in *dynamodb.DescribeTableInput, opts ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
	DescribeTimeToLive(ctx context.Context, in *dynamodb.DescribeTimeToLiveInput, opts ...func(*dynamodb.Options)) (*dynamodb.DescribeTimeToLiveOutput, error)
	DescribeContinuousBackups(ctx context.Context, in *dynamodb.DescribeContinuousBackupsInput, opts ...func(*dynamodb.Options)) (*dynamodb.DescribeContinuousBackupsOutput, error)
}

// Database is Tables in DynamoDB.
type Database struct {
	API TablesAPI
	Now func() time.Time
}

// Table implements Tables.
func (d Database) Table(ctx context.Context, name string) (Table, error) {
	out, err := d.API.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	if err != nil {
		return Table{}, brief(err)
	}
	desc := out.Table
	t := Table{
		Status: string(desc.TableStatus), Keys: keysOf(desc.KeySchema, desc.AttributeDefinitions),
		Guarded: aws.ToBool(desc.DeletionProtectionEnabled), Indexes: map[string]Index{}, Received: d.Now(),
	}
	if s := desc.StreamSpecification; s != nil && aws.ToBool(s.StreamEnabled) {
		t.Stream, t.StreamARN = string(s.StreamViewType), aws.ToString(desc.LatestStreamArn)
	}
	t.Clock, _ = awsmiddleware.GetServerTime(out.ResultMetadata)
	for _, i := range desc.GlobalSecondaryIndexes {
		index := Index{Status: string(i.IndexStatus), Keys: keysOf(i.KeySchema, desc.AttributeDefinitions)}
		if i.Projection != nil {
			index.Projection = string(i.Projection.ProjectionType)
		}
		t.Indexes[aws.ToString(i.IndexName)] = index
	}
	d.life(ctx, name, &t)
	return t, nil
}

// life adds what DescribeTable does not tell.
func (d Database) life(ctx context.Context, name string, t *Table) {
	ttl, err := d.API.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &name})
	if t.TTLErr = brief(err); err == nil && ttl.TimeToLiveDescription != nil {
		switch ttl.TimeToLiveDescription.TimeToLiveStatus {
		case types.TimeToLiveStatusEnabled, types.TimeToLiveStatusEnabling:
			t.TTL = aws.ToString(ttl.TimeToLiveDescription.AttributeName)
		default:
		}
	}
	backups, err := d.API.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &name})
	if t.RecoveryErr = brief(err); err == nil && backups.ContinuousBackupsDescription != nil {
		r := backups.ContinuousBackupsDescription.PointInTimeRecoveryDescription
		t.Recovery = r != nil && r.PointInTimeRecoveryStatus == types.PointInTimeRecoveryStatusEnabled
	}
}

// keysOf writes a key schema as Table.Keys does.
func keysOf(schema []types.KeySchemaElement, attributes []types.AttributeDefinition) string {
	kind := map[string]string{}
	for _, a := range attributes {
		kind[aws.ToString(a.AttributeName)] = string(a.AttributeType)
	}
	var hash, others []string
	for _, k := range schema {
		key := aws.ToString(k.AttributeName) + " " + kind[aws.ToString(k.AttributeName)]
		if k.KeyType == types.KeyTypeHash {
			hash = append(hash, key)
		} else {
			others = append(others, key)
		}
	}
	return strings.Join(append(hash, others...), ", ")
}

// FunctionsAPI is the part of *lambda.Client that ReadFunctions uses.
type FunctionsAPI interface {
	GetFunctionConfiguration(ctx context.Context, in *lambda.GetFunctionConfigurationInput, opts ...func(*lambda.Options)) (*lambda.GetFunctionConfigurationOutput, error)
}

// ReadFunctions reads what the named functions were told.
func ReadFunctions(ctx context.Context, api FunctionsAPI, names []string) []Function {
	var all []Function
	for _, name := range names {
		f := Function{Name: name}
		out, err := api.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &name})
		switch {
		case err != nil:
			f.Err = brief(err)
		case out.Environment != nil && out.Environment.Error != nil:
			f.Err = errors.New("they cannot be decrypted by Lambda for you")
		case out.Environment != nil:
			f.Settings = KnownSettings(out.Environment.Variables)
		}
		all = append(all, f)
	}
	return all
}

// code returns the code of an AWS error, "" where it has none.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// notFound is the code for what is not there.
const notFound = "ResourceNotFoundException"

// brief returns err without request IDs: ErrMissing, ErrDenied, its code, or the
// cause of a call that was never answered. For nil it returns nil.
func brief(err error) error {
	var operation *smithy.OperationError
	switch {
	case err == nil:
		return nil
	case code(err) == notFound:
		return ErrMissing
	case code(err) == "AccessDenied", code(err) == "AccessDeniedException":
		return ErrDenied
	case code(err) != "":
		return errors.New("AWS answers " + code(err))
	case errors.As(err, &operation):
		return operation.Err
	}
	return err
}
