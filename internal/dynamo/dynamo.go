// Package dynamo keeps connections in DynamoDB, in the two tables of
// template.yaml.
//
// It promises what package connectiontest demands of every store. Each write is
// one conditional update and no transaction. Items are mapped by hand, so that
// the names and types which other programs read stand in one place, item.go;
// an attribute of the wrong type is an error and never a zero value. Attributes
// that this package does not know are left alone.
//
// To add a field, add it to attributes and to readConnection; the suite's round
// trip fails until both are there. Retries are the client's.
package dynamo

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/connection"
)

// API is the part of *dynamodb.Client that Store uses.
type API interface {
	GetItem(ctx context.Context, in *dynamodb.GetItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	Query(ctx context.Context, in *dynamodb.QueryInput, opts ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	Scan(ctx context.Context, in *dynamodb.ScanInput, opts ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
	UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
}

// Store is a store on two tables. A function that touches one table may leave
// out the name of the other; every other field is required.
type Store struct {
	API              API
	ConnectionsTable string
	StateTable       string
}

// translate returns unmet for a condition that was not met, and else err.
func translate(err, unmet error) error {
	var failed *types.ConditionalCheckFailedException
	if errors.As(err, &failed) {
		return unmet
	}
	return err
}

// about adds to err what was being done with which connection.
func about(doing string, k connection.Key, err error) error {
	return fmt.Errorf("%s connection %s at %s: %w", doing, k.ConnectionID, k.Provider, err)
}
