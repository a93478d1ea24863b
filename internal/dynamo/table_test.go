package dynamo_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/dynamo"
	"github.com/evergrant/evergrant/internal/dynamotest"
	"github.com/evergrant/evergrant/internal/template"
)

// A table keeps its ID, and another one of its name has another.
func TestATableThatIsMadeAnewHasAnotherID(t *testing.T) {
	db := dynamotest.Open(t)
	id := func() string {
		t.Helper()
		id, err := dynamo.TableID(t.Context(), db.Client, db.ConnectionsTable)
		if err != nil || id == "" {
			t.Fatalf("TableID = %q, %v", id, err)
		}
		return id
	}
	before := id()
	if id() != before {
		t.Error("a table has two IDs")
	}
	tables, err := template.Tables("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Client.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: &db.ConnectionsTable}); err != nil {
		t.Fatal(err)
	}
	var missing *types.ResourceNotFoundException
	if _, err := dynamo.TableID(t.Context(), db.Client, db.ConnectionsTable); !errors.As(err, &missing) {
		t.Errorf("TableID without a table: %v", err)
	}
	tables[0].TableName = &db.ConnectionsTable
	if _, err := db.Client.CreateTable(t.Context(), tables[0]); err != nil {
		t.Fatal(err)
	}
	if id() == before {
		t.Error("a table that was made anew has the ID of the one before")
	}
}
