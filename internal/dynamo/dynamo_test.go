package dynamo_test

import (
	"testing"

	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/dynamo"
	"github.com/evergrant/evergrant/internal/dynamotest"
	"github.com/evergrant/evergrant/internal/mutate"
)

// open returns a store on fresh tables. Make mutate plays it without single
// conditions.
func open(t *testing.T) *dynamo.Store {
	t.Helper()
	db := dynamotest.Open(t)
	return &dynamo.Store{API: mutate.Wrap(db.Client), ConnectionsTable: db.ConnectionsTable, StateTable: db.StateTable}
}

func TestDynamoDBKeepsEveryPromise(t *testing.T) {
	dynamotest.Open(t) // so that a missing emulator is said once
	connectiontest.Run(t, func(t *testing.T) connectiontest.Store { return open(t) })
}
