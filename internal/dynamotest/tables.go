package dynamotest

import (
	"context"
	"crypto/rand"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/evergrant/evergrant/internal/tooltest"
)

// A Database is a pair of empty tables.
type Database struct {
	Client           *dynamodb.Client
	Endpoint         string // URL of the emulator; it takes any credentials and region
	ConnectionsTable string
	StateTable       string
}

// running is the emulator of this process, started by the first test that
// needs it.
var running = sync.OnceValues(start)

// Open makes fresh tables, with names that no other test has, until t ends.
// Where there is no emulator, t ends as tooltest.Missing says.
func Open(t testing.TB) Database {
	t.Helper()
	e, err := running()
	if err != nil {
		tooltest.Missing(t, err)
	}
	client := dynamodb.New(dynamodb.Options{
		BaseEndpoint: &e.endpoint,
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	db := Database{Client: client, Endpoint: e.endpoint}
	names := map[string]*string{"ConnectionsTable": &db.ConnectionsTable, "StateTable": &db.StateTable}
	for _, table := range e.tables {
		if name := names[*table.TableName]; name != nil {
			*name = create(t, client, *table)
		}
	}
	if db.ConnectionsTable == "" || db.StateTable == "" {
		t.Fatal("template.yaml has no ConnectionsTable or no StateTable")
	}
	return db
}

// create makes a table and returns its name.
func create(t testing.TB, client *dynamodb.Client, table dynamodb.CreateTableInput) string {
	t.Helper()
	name := *table.TableName + "-" + rand.Text()
	table.TableName = &name
	if _, err := client.CreateTable(t.Context(), &table); err != nil {
		t.Fatalf("create table: %v", err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if _, err := client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &name}); err != nil {
			t.Errorf("delete table: %v", err)
		}
	})
	active := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 10*time.Millisecond, time.Second
	})
	if err := active.Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String(name)}, 30*time.Second); err != nil {
		t.Fatalf("wait for table: %v", err)
	}
	return name
}
