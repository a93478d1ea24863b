package doctor

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"github.com/evergrant/evergrant/internal/dynamotest"
)

func coded(code string) error {
	return &smithy.OperationError{ServiceID: "S", OperationName: "O", Err: &smithy.GenericAPIError{Code: code, Message: "CANARY request 1234"}}
}

// A fakeManager answers as Secrets Manager does.
type fakeManager struct {
	value    *secretsmanager.GetSecretValueOutput
	err      error
	describe error
}

func (f fakeManager) GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	return f.value, f.err
}

func (f fakeManager) DescribeSecret(context.Context, *secretsmanager.DescribeSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.DescribeSecretOutput, error) {
	return nil, f.describe
}

func TestASecretThatCannotBeReadSaysWhy(t *testing.T) {
	tests := []struct {
		name string
		api  fakeManager
		want string
		err  string
	}{
		{"text", fakeManager{value: &secretsmanager.GetSecretValueOutput{SecretString: aws.String("v")}}, "v", ""},
		{"binary", fakeManager{value: &secretsmanager.GetSecretValueOutput{SecretBinary: []byte("v")}}, "v", ""},
		{"missing", fakeManager{err: coded("ResourceNotFoundException")}, "", ErrMissing.Error()},
		{"hidden", fakeManager{err: coded("AccessDeniedException")}, "", ErrHidden.Error()},
		{"denied", fakeManager{err: coded("AccessDeniedException"), describe: coded("AccessDeniedException")}, "", ErrDenied.Error()},
		{"marked for deletion", fakeManager{err: coded("InvalidRequestException")}, "", "AWS answers InvalidRequestException"},
		{"no credentials", fakeManager{err: &smithy.OperationError{Err: errors.New("no credentials")}}, "", "no credentials"},
		{"anything else", fakeManager{err: errors.New("else")}, "", "else"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Manager{API: tt.api}.Secret(t.Context(), "s")
			if string(got) != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// The tables of template.yaml, as an emulator describes them, are those that
// doctor wants, but for what their tests do without.
func TestTheTablesOfTheTemplateAreFine(t *testing.T) {
	db := dynamotest.Open(t)
	tables := Database{API: db.Client, Now: func() time.Time { return noon }}
	connections, table := connectionsTable(t.Context(), tables, db.ConnectionsTable)
	for _, f := range connections[:3] {
		if f.Status != OK {
			t.Errorf("%+v", f)
		}
	}
	if table.Received != noon || table.Clock.IsZero() {
		t.Errorf("clock %v, received %v", table.Clock, table.Received)
	}
	if f := stateTable(t.Context(), tables, db.StateTable); f[0].Status != OK || f[1].Status != Problem {
		t.Errorf("without time to live: %+v", f)
	}
	_, err := db.Client.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{
		TableName: &db.StateTable, TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("expires_at"), Enabled: aws.Bool(true)},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range stateTable(t.Context(), tables, db.StateTable) {
		if f.Status != OK {
			t.Errorf("%+v", f)
		}
	}
	if f := stateTable(t.Context(), tables, "nowhere"); len(f) != 1 || f[0].Detail != "there is no table nowhere" {
		t.Errorf("%+v", f)
	}
}

// A fakeDynamo answers as DynamoDB does.
type fakeDynamo struct {
	table   *types.TableDescription
	ttl     types.TimeToLiveStatus
	pitr    types.PointInTimeRecoveryStatus
	err     error // of DescribeTable
	lifeErr error // of the other two
}

func (f fakeDynamo) DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error) {
	return &dynamodb.DescribeTableOutput{Table: f.table}, f.err
}

func (f fakeDynamo) DescribeTimeToLive(context.Context, *dynamodb.DescribeTimeToLiveInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTimeToLiveOutput, error) {
	return &dynamodb.DescribeTimeToLiveOutput{TimeToLiveDescription: &types.TimeToLiveDescription{TimeToLiveStatus: f.ttl, AttributeName: aws.String("expires_at")}}, f.lifeErr
}

func (f fakeDynamo) DescribeContinuousBackups(context.Context, *dynamodb.DescribeContinuousBackupsInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeContinuousBackupsOutput, error) {
	return &dynamodb.DescribeContinuousBackupsOutput{ContinuousBackupsDescription: &types.ContinuousBackupsDescription{
		PointInTimeRecoveryDescription: &types.PointInTimeRecoveryDescription{PointInTimeRecoveryStatus: f.pitr},
	}}, f.lifeErr
}

func TestHowATableIsKept(t *testing.T) {
	table := func(guarded bool) *types.TableDescription {
		return &types.TableDescription{
			TableStatus: types.TableStatusActive, DeletionProtectionEnabled: &guarded,
			KeySchema: []types.KeySchemaElement{ // DynamoDB promises no order
				{AttributeName: aws.String("provider"), KeyType: types.KeyTypeRange}, {AttributeName: aws.String("connection_id"), KeyType: types.KeyTypeHash},
			},
			AttributeDefinitions: []types.AttributeDefinition{
				{AttributeName: aws.String("provider"), AttributeType: types.ScalarAttributeTypeS}, {AttributeName: aws.String("connection_id"), AttributeType: types.ScalarAttributeTypeS},
			},
		}
	}
	read := func(api fakeDynamo) (Table, error) {
		return Database{API: api, Now: func() time.Time { return noon }}.Table(t.Context(), "t")
	}
	on, err := read(fakeDynamo{table: table(true), ttl: types.TimeToLiveStatusEnabling, pitr: types.PointInTimeRecoveryStatusEnabled})
	if err != nil || on.Keys != connectionKeys || !on.Guarded || !on.Recovery || on.TTL != "expires_at" || on.TTLErr != nil || on.RecoveryErr != nil {
		t.Errorf("on: %+v, %v", on, err)
	}
	off, err := read(fakeDynamo{table: table(false), ttl: types.TimeToLiveStatusDisabling, pitr: types.PointInTimeRecoveryStatusDisabled})
	if err != nil || off.Guarded || off.Recovery || off.TTL != "" {
		t.Errorf("off: %+v, %v", off, err)
	}
	hidden, err := read(fakeDynamo{table: table(true), lifeErr: coded("AccessDeniedException")})
	if err != nil || !errors.Is(hidden.TTLErr, ErrDenied) || !errors.Is(hidden.RecoveryErr, ErrDenied) {
		t.Errorf("hidden: %+v, %v", hidden, err)
	}
	if _, err := read(fakeDynamo{err: coded("ResourceNotFoundException")}); !errors.Is(err, ErrMissing) {
		t.Errorf("missing: %v", err)
	}
}

// A fakeLambda has functions with variables.
type fakeLambda map[string]*lambda.GetFunctionConfigurationOutput

func (f fakeLambda) GetFunctionConfiguration(_ context.Context, in *lambda.GetFunctionConfigurationInput, _ ...func(*lambda.Options)) (*lambda.GetFunctionConfigurationOutput, error) {
	switch out := f[*in.FunctionName]; {
	case out != nil:
		return out, nil
	case *in.FunctionName == "denied":
		return nil, coded("AccessDeniedException")
	}
	return nil, coded("ResourceNotFoundException")
}

func TestOnlySettingsAreReadOfAFunction(t *testing.T) {
	api := fakeLambda{
		"ours":   {Environment: &lambdatypes.EnvironmentResponse{Variables: map[string]string{"SEAL_SECRET": "s", "DUE_SHARDS": "4", "SOMEBODYS_PASSWORD": "CANARY"}}},
		"bare":   {},
		"sealed": {Environment: &lambdatypes.EnvironmentResponse{Error: &lambdatypes.EnvironmentError{Message: aws.String("kms")}}},
	}
	got := ReadFunctions(t.Context(), api, []string{"ours", "bare", "sealed", "denied", "nobody"})
	if len(got) != 5 || len(got[0].Settings) != 2 || got[0].Settings["SEAL_SECRET"] != "s" || got[0].Err != nil {
		t.Fatalf("%+v", got)
	}
	for i, want := range []string{"", "", "they cannot be decrypted by Lambda for you", ErrDenied.Error(), ErrMissing.Error()} {
		if (got[i].Err == nil) != (want == "") || got[i].Err != nil && got[i].Err.Error() != want {
			t.Errorf("%s: %v, want %q", got[i].Name, got[i].Err, want)
		}
	}
}
