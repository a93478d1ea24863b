package dynamo

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/evergrant/evergrant/internal/connection"
)

const (
	dueIndex = "due" // of template.yaml

	// duePage is how many keys one call of Due returns at most: 60 KB.
	duePage = 500

	// scanPage is how many items one call of ListByStatus looks at, at most, to
	// find those in a status.
	scanPage = 1000
)

// Get returns the connection k as the last write left it, or
// connection.ErrNotFound.
func (s *Store) Get(ctx context.Context, k connection.Key) (connection.Connection, error) {
	out, err := s.API.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      &s.ConnectionsTable,
		Key:            rowKey(k),
		ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return connection.Connection{}, about("get", k, err)
	}
	if out.Item == nil {
		return connection.Connection{}, about("get", k, connection.ErrNotFound)
	}
	return readConnection(out.Item)
}

// List returns all connections of a connection ID, ordered by provider.
func (s *Store) List(ctx context.Context, connectionID string) (list []connection.Connection, err error) {
	in := &dynamodb.QueryInput{
		TableName:                 &s.ConnectionsTable,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("connection_id = :id"),
		ExpressionAttributeValues: item{":id": str(connectionID)},
	}
	for {
		out, err := s.API.Query(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list connections of %s: %w", connectionID, err)
		}
		page, err := readConnections(out.Items)
		if err != nil {
			return nil, err
		}
		list = append(list, page...)
		if in.ExclusiveStartKey = out.LastEvaluatedKey; in.ExclusiveStartKey == nil {
			return list, nil
		}
	}
}

// ListByStatus returns a page of the connections in a status, "" for all, in no
// order. It looks at 1000 items or 1 MB, so a page may be short or empty before
// the end; next is "" at the end. It reads the whole table in the end, and is
// for operators.
func (s *Store) ListByStatus(ctx context.Context, status connection.Status, cursor string, limit int) (page []connection.Connection, next string, err error) {
	limit = max(limit, 1)
	in := &dynamodb.ScanInput{TableName: &s.ConnectionsTable, Limit: aws.Int32(int32(min(limit, scanPage)))}
	if status != "" {
		in.Limit = aws.Int32(scanPage)
		in.FilterExpression = aws.String("connection_status = :status")
		in.ExpressionAttributeValues = item{":status": str(string(status))}
	}
	if cursor != "" {
		after, err := connection.ParseCursor(cursor)
		if err != nil {
			return nil, "", fmt.Errorf("list connections: %w", err)
		}
		in.ExclusiveStartKey = rowKey(after.Key)
	}
	out, err := s.API.Scan(ctx, in)
	if err != nil {
		return nil, "", fmt.Errorf("list connections: %w", err)
	}
	if page, err = readConnections(out.Items); err != nil {
		return nil, "", err
	}
	if len(page) > limit {
		page = page[:limit]
		return page, connection.Cursor{Key: page[limit-1].Key}.String(), nil
	}
	return page, nextCursor(out.LastEvaluatedKey), nil
}

// Due returns a page of what is due in a shard at now, and since when, oldest first. The index
// lags behind writes a little. Cursors are "" at the start and at the end.
func (s *Store) Due(ctx context.Context, shard string, now time.Time, cursor string) (keys []connection.DueKey, next string, err error) {
	in := &dynamodb.QueryInput{
		TableName:                 &s.ConnectionsTable,
		IndexName:                 aws.String(dueIndex),
		KeyConditionExpression:    aws.String("due_shard = :shard AND due_at <= :now"),
		ExpressionAttributeValues: item{":shard": str(shard), ":now": number(now.Unix())},
		Limit:                     aws.Int32(duePage),
	}
	if cursor != "" {
		after, err := connection.ParseCursor(cursor)
		if err == nil && after.DueAt.IsZero() {
			err = fmt.Errorf("%w: it is not of the due index", connection.ErrBadCursor)
		}
		if err != nil {
			return nil, "", fmt.Errorf("find what is due in shard %s: %w", shard, err)
		}
		in.ExclusiveStartKey = rowKey(after.Key)
		in.ExclusiveStartKey["due_shard"] = str(shard)
		in.ExclusiveStartKey["due_at"] = at(after.DueAt)
	}
	out, err := s.API.Query(ctx, in)
	if err != nil {
		return nil, "", fmt.Errorf("find what is due in shard %s: %w", shard, err)
	}
	for _, row := range out.Items {
		r := newReader(row)
		keys = append(keys, connection.DueKey{Key: readKey(r), At: r.at("due_at")})
	}
	return keys, nextCursor(out.LastEvaluatedKey), nil
}

// readKey reads the key of a connection. DynamoDB sees to its type.
func readKey(r *reader) connection.Key {
	return connection.Key{ConnectionID: r.text("connection_id"), Provider: r.text("provider")}
}

// nextCursor returns the cursor that continues after a key, "" if it is nil.
func nextCursor(last item) string {
	if last == nil {
		return ""
	}
	r := newReader(last)
	return connection.Cursor{Key: readKey(r), DueAt: r.at("due_at")}.String()
}
