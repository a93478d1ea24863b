package lambdatest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/evergrant/evergrant/internal/lambdatest"
	"github.com/evergrant/evergrant/pkg/tokens"
)

// reader returns a client of a program that has the named policy and nothing else.
func (d *deployment) reader(policy string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		BaseEndpoint: &d.DynamoDB.URL, Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider(policy, "reader", ""),
	})
}

// The requests as they are sent, not as a test says that they are: what pkg/tokens
// asks for passes, and whatever else a reader could try is refused.
func TestAReaderGetsItsTokenAndNothingElse(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	d.connect("whatnot")
	api, table := d.reader("ReaderPolicy"), &d.Database.ConnectionsTable
	reader := &tokens.Reader{DynamoDB: api, Table: *table}
	token, err := reader.Read(t.Context(), connectionID, "whatnot", time.Minute)
	if err != nil || token.Warning != nil || token.AccessToken != d.read(connectionID, "whatnot").AccessToken {
		t.Errorf("it reads %+v: %v", token, err)
	}
	get := func(projection string) error {
		in := &dynamodb.GetItemInput{TableName: table, Key: key(connectionID, "whatnot")}
		if projection != "" {
			in.ProjectionExpression = &projection
		}
		_, err := api.GetItem(t.Context(), in)
		return err
	}
	for _, projection := range []string{"access_token", "connection_id, provider, access_token", "account_id, account_label, environment", "scopes[0]"} {
		if err := get(projection); err != nil {
			t.Errorf("it may not read %s: %v", projection, err)
		}
	}
	for name, try := range attempts(d, api, get) {
		if err := try(t.Context()); !isDenied(err) {
			t.Errorf("%s ends with %v", name, err)
		}
	}
}

func isDenied(err error) bool {
	var failed smithy.APIError
	return errors.As(err, &failed) && failed.ErrorCode() == "AccessDeniedException"
}

func TestAReaderOfATenantGetsItsTokensAlone(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	d.connect("whatnot")
	for caller, may := range map[string]bool{"TenantReaderPolicy:acct_42": true, "TenantReaderPolicy:acct_4": false, "TenantReaderPolicy": false} {
		reader := &tokens.Reader{DynamoDB: d.reader(caller), Table: d.Database.ConnectionsTable}
		if _, err := reader.Read(t.Context(), connectionID, "whatnot", time.Minute); isDenied(err) == may || (err == nil) != may {
			t.Errorf("%s reads %s: %v", caller, connectionID, err)
		}
	}
}

// attempts are what a reader may not do.
func attempts(d *deployment, api *dynamodb.Client, get func(string) error) map[string]func(context.Context) error {
	table, state, row := &d.Database.ConnectionsTable, &d.Database.StateTable, key(connectionID, "whatnot")
	named := map[string]string{"#r": "refresh_token_sealed"}
	of := func(projection string) func(context.Context) error {
		return func(context.Context) error { return get(projection) }
	}
	return map[string]func(context.Context) error{
		"a whole item": of(""), "the refresh token": of("refresh_token_sealed"), "it beside the token": of("access_token, refresh_token_sealed"),
		"metadata": of("metadata.whData"), "the failure": of("failure.code"), "the lease": of("lease_id"), "the fence": of("access_token,fence"),
		"the refresh token by a placeholder": func(ctx context.Context) error {
			_, err := api.GetItem(ctx, &dynamodb.GetItemInput{TableName: table, Key: row, ProjectionExpression: aws.String("access_token, #r"), ExpressionAttributeNames: named})
			return err
		},
		"the refresh token, the older way": func(ctx context.Context) error {
			_, err := api.GetItem(ctx, &dynamodb.GetItemInput{TableName: table, Key: row, AttributesToGet: []string{"refresh_token_sealed"}})
			return err
		},
		"a batch": func(ctx context.Context) error {
			_, err := api.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{*table: {Keys: []map[string]types.AttributeValue{row}, ProjectionExpression: aws.String("access_token")}}})
			return err
		},
		"a query": func(ctx context.Context) error {
			_, err := api.Query(ctx, &dynamodb.QueryInput{TableName: table, KeyConditionExpression: aws.String("connection_id = :c"), ExpressionAttributeValues: map[string]types.AttributeValue{":c": row["connection_id"]}})
			return err
		},
		"a query of the index": func(ctx context.Context) error {
			_, err := api.Query(ctx, &dynamodb.QueryInput{TableName: table, IndexName: aws.String("due"), KeyConditionExpression: aws.String("due_shard = :c"), ExpressionAttributeValues: map[string]types.AttributeValue{":c": row["provider"]}})
			return err
		},
		"a scan": func(ctx context.Context) error {
			_, err := api.Scan(ctx, &dynamodb.ScanInput{TableName: table})
			return err
		},
		"a change": func(ctx context.Context) error {
			_, err := api.UpdateItem(ctx, &dynamodb.UpdateItemInput{TableName: table, Key: row, UpdateExpression: aws.String("REMOVE access_token")})
			return err
		},
		"a new item": func(ctx context.Context) error {
			_, err := api.PutItem(ctx, &dynamodb.PutItemInput{TableName: table, Item: row})
			return err
		},
		"a deletion": func(ctx context.Context) error {
			_, err := api.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: table, Key: row})
			return err
		},
		"the state table": func(ctx context.Context) error {
			_, err := api.GetItem(ctx, &dynamodb.GetItemInput{TableName: state, Key: map[string]types.AttributeValue{"id": row["provider"]}, ProjectionExpression: aws.String("access_token")})
			return err
		},
		"PartiQL": func(ctx context.Context) error {
			_, err := api.ExecuteStatement(ctx, &dynamodb.ExecuteStatementInput{Statement: aws.String(`SELECT access_token FROM "` + *table + `"`)})
			return err
		},
	}
}

// readByPython returns what a program in another language, without any code of
// ours, reads of a connection, and the calls that it takes.
func (d *deployment) readByPython(provider string) (read map[string]any, calls []string) {
	d.t.Helper()
	d.DynamoDB.Take()
	cmd := exec.CommandContext(d.t.Context(), lambdatest.Python(d.t), "testdata/read_token.py", d.Database.ConnectionsTable, connectionID, provider)
	cmd.Env = []string{
		"AWS_ENDPOINT_URL_DYNAMODB=" + d.DynamoDB.URL, "AWS_REGION=eu-central-1", "AWS_DEFAULT_REGION=eu-central-1",
		"AWS_ACCESS_KEY_ID=ReaderPolicy", "AWS_SECRET_ACCESS_KEY=reader", "AWS_EC2_METADATA_DISABLED=true",
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("read_token.py: %v\n%s", err, stderr.String())
	}
	if err := json.Unmarshal(out, &read); err != nil {
		d.t.Fatalf("read_token.py printed %s: %v", out, err)
	}
	return read, d.DynamoDB.Take()
}

func TestAProgramInPythonReadsTheTokenWithOneGetItem(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	d.connect("whatnot")
	for range 2 {
		read, calls := d.readByPython("whatnot")
		r := d.read(connectionID, "whatnot")
		scopes := []any{}
		for _, s := range r.Scopes {
			scopes = append(scopes, s)
		}
		got, _ := json.Marshal(read)
		want, _ := json.Marshal(map[string]any{
			"access_token": map[string]any{"S": r.AccessToken}, "token_type": map[string]any{"S": "Bearer"},
			"expires_at": map[string]any{"N": strconv.FormatInt(r.ExpiresAt, 10)}, "scopes": map[string]any{"SS": scopes},
			"connection_status": map[string]any{"S": "active"},
		})
		if !bytes.Equal(got, want) {
			t.Errorf("read %s\nwant %s", got, want)
		}
		if !slices.Equal(calls, []string{"GetItem ConnectionsTable"}) {
			t.Errorf("it took %q", calls)
		}
		if live := d.Simulator.Ledger("whatnot").LiveAccessTokens; !slices.Contains(live, r.AccessToken) {
			t.Error("the token does not work at the provider")
		}
		d.makeDue(connectionID, "whatnot", "0")
		if s := d.sweep(); s.Refreshed != 1 {
			t.Fatalf("sweep = %+v", s)
		}
	}
}
