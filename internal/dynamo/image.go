package dynamo

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/connection"
)

// inImages are the attributes that ReadImage looks at: those by which a state
// is known, and those that the host may be told. Neither tokens nor metadata
// are among them.
var inImages = []string{
	"connection_id", "provider", "connection_status", "expires_at", "scopes", "scopes_missing", "refresh_expires_at",
	"account_id", "account_label", "environment", "client_id", "grant_type", "request_id", "fence", "stored_fence",
	"connected_at", "refreshed_at", "updated_at", "due_shard", "due_at", "failure",
}

// ReadImage reads an image of a row from a record of the table's stream: JSON in
// the form of DynamoDB's API (API_streams_StreamRecord, 2026-11-23). It decodes
// no token and no metadata, so the connection that it returns is no whole one. No
// image, as that of a row before it was made, is the zero Connection.
func ReadImage(image []byte) (connection.Connection, error) {
	if len(image) == 0 || string(image) == "null" {
		return connection.Connection{}, nil
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(image, &all); err != nil {
		return connection.Connection{}, errors.New("the image is not an object of attributes")
	}
	i := item{}
	for _, name := range inImages {
		if raw, ok := all[name]; ok {
			v, err := imageValue(raw)
			if err != nil {
				return connection.Connection{}, fmt.Errorf("attribute %s %w", name, err)
			}
			i[name] = v
		}
	}
	return readConnection(i)
}

// imageValue converts a value such as {"N":"1"}. Of the types it knows those that
// an attribute in inImages can have. One of another type it makes NULL, which is
// no error before somebody reads it: a later release may add to a failure.
func imageValue(raw json.RawMessage) (types.AttributeValue, error) {
	var v struct {
		S, N *string
		SS   []string
		M    map[string]json.RawMessage
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, errors.New("is no value of DynamoDB")
	}
	switch {
	case v.S != nil:
		return str(*v.S), nil
	case v.N != nil:
		return &types.AttributeValueMemberN{Value: *v.N}, nil
	case v.SS != nil:
		return &types.AttributeValueMemberSS{Value: v.SS}, nil
	case v.M != nil:
		i := item{}
		for name, inner := range v.M {
			value, err := imageValue(inner)
			if err != nil {
				return nil, err
			}
			i[name] = value
		}
		return &types.AttributeValueMemberM{Value: i}, nil
	}
	return &types.AttributeValueMemberNULL{Value: true}, nil
}
