package dynamo

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/connection"
)

// Claim takes the lease of a connection that is active, free and due, or whose
// stored tokens are those of cl.StoredFence. It returns the connection as it
// was; its new fence is one more. Otherwise it is connection.ErrConflict.
//
// It leaves due_at alone, so it costs one write and no write of the index.
func (s *Store) Claim(ctx context.Context, cl connection.Claim) (connection.Connection, error) {
	wanted := "due_at <= :now"
	values := item{
		":active": str(string(connection.Active)),
		":now":    number(cl.Now.Unix()),
		":until":  number(cl.Until.Unix()),
		":lease":  str(cl.LeaseID),
		":one":    number(1),
	}
	if cl.StoredFence != 0 {
		wanted = "stored_fence = :stored"
		values[":stored"] = number(cl.StoredFence)
	}
	return s.replace(ctx, "claim", cl.Key, connection.ErrConflict, &dynamodb.UpdateItemInput{
		UpdateExpression: aws.String("SET lease_id = :lease, lease_until = :until, lease_sent_at = :now ADD fence :one"),
		ConditionExpression: aws.String("connection_status = :active AND " + wanted +
			" AND (attribute_not_exists(lease_id) OR lease_until <= :now)"),
		ExpressionAttributeValues: values,
	})
}

// claimInForce is the condition of those who hold a claim.
const claimInForce = "fence = :fence AND lease_id = :lease"

// Commit ends the claim of c.Fence and c.Lease.ID: it writes all of c, without
// the lease. It is connection.ErrConflict if that claim is not in force any
// more, unless it was this very write that ended it: one read tells.
func (s *Store) Commit(ctx context.Context, c connection.Connection) error {
	update, values := expression(slices.Concat(attributes(c), noLease, []attribute{{"stored_fence", number(c.StoredFence)}}))
	values[":fence"], values[":lease"] = number(c.Fence), str(c.Lease.ID)
	_, conflict := s.replace(ctx, "commit", c.Key, connection.ErrConflict, &dynamodb.UpdateItemInput{
		UpdateExpression:          aws.String(update),
		ConditionExpression:       aws.String(claimInForce),
		ExpressionAttributeValues: values,
		ReturnValues:              types.ReturnValueNone,
	})
	if !errors.Is(conflict, connection.ErrConflict) {
		return conflict
	}
	stored, err := s.Get(ctx, c.Key)
	switch {
	case errors.Is(err, connection.ErrNotFound):
		return conflict
	case err != nil:
		return err
	case stored.Fence != c.Fence || stored.Lease.ID != "" || stored.StoredFence != c.StoredFence ||
		stored.AccessToken != c.AccessToken || stored.UpdatedAt.Unix() != c.UpdatedAt.Unix():
		return conflict
	}
	return nil
}

// Defer writes the failure, due and UpdatedAt of c under the claim of c.Fence
// and c.Lease.ID, which stays. It is connection.ErrConflict if that claim is not
// in force any more. To repeat it changes nothing.
func (s *Store) Defer(ctx context.Context, c connection.Connection) error {
	update, values := expression(waiting(c))
	values[":fence"], values[":lease"] = number(c.Fence), str(c.Lease.ID)
	_, err := s.replace(ctx, "defer", c.Key, connection.ErrConflict, &dynamodb.UpdateItemInput{
		UpdateExpression:          aws.String(update),
		ConditionExpression:       aws.String(claimInForce),
		ExpressionAttributeValues: values,
		ReturnValues:              types.ReturnValueNone,
	})
	return err
}

// Connect stores a new grant and returns the connection as it was, or the zero
// Connection. It is connection.ErrConflict where that is of another account.
//
// The client repeats a request whose answer was lost. The old connection is
// then this grant: its RequestID and its tokens are those of c. An old item that
// cannot be read is an error although the grant is stored; to repeat it is fine.
func (s *Store) Connect(ctx context.Context, c connection.Connection) (connection.Connection, error) {
	in := newGrant(c)
	if !c.AnyAccount {
		condition := "attribute_not_exists(account_id) OR connection_status = :disconnected"
		if c.Account.ID != "" {
			condition += " OR account_id = :account_id"
		}
		in.ConditionExpression = &condition
		in.ExpressionAttributeValues[":disconnected"] = str(string(connection.Disconnected))
	}
	return s.replace(ctx, "connect", c.Key, connection.ErrConflict, in)
}

// newGrant returns the update that stores c as a new grant.
func newGrant(c connection.Connection) *dynamodb.UpdateItemInput {
	c.Status, c.Failure = connection.Active, connection.Failure{}
	const next = "if_not_exists(fence, :zero) + :one"
	update, values := expression(append(attributes(c), noLease...), "fence = "+next, "stored_fence = "+next)
	values[":zero"], values[":one"] = number(0), number(1)
	return &dynamodb.UpdateItemInput{UpdateExpression: aws.String(update), ExpressionAttributeValues: values}
}

// Restore is Connect where the connection's fence is the given one, 0 meaning
// that there is none. Else it is connection.ErrConflict, unless it was this very
// write that raised the fence: one read tells.
func (s *Store) Restore(ctx context.Context, c connection.Connection, fence int64) error {
	in := newGrant(c)
	in.ReturnValues = types.ReturnValueNone
	in.ConditionExpression = aws.String("attribute_not_exists(connection_id)")
	if fence != 0 {
		in.ConditionExpression = aws.String("fence = :seen")
		in.ExpressionAttributeValues[":seen"] = number(fence)
	}
	_, conflict := s.replace(ctx, "restore", c.Key, connection.ErrConflict, in)
	if !errors.Is(conflict, connection.ErrConflict) {
		return conflict
	}
	stored, err := s.Get(ctx, c.Key)
	switch {
	case errors.Is(err, connection.ErrNotFound):
		return conflict
	case err != nil:
		return err
	case stored.StoredFence != fence+1 || stored.AccessToken != c.AccessToken || stored.UpdatedAt.Unix() != c.UpdatedAt.Unix():
		return conflict
	}
	return nil
}

// Disconnect removes tokens, lease, due and failure of a connection, and
// returns it as it was, or connection.ErrNotFound.
func (s *Store) Disconnect(ctx context.Context, k connection.Key, now time.Time) (connection.Connection, error) {
	return s.replace(ctx, "disconnect", k, connection.ErrNotFound, &dynamodb.UpdateItemInput{
		UpdateExpression: aws.String("SET connection_status = :disconnected, updated_at = :now ADD fence :one" +
			" REMOVE access_token, token_type, expires_at, refresh_token_sealed, refresh_expires_at," +
			" due_shard, due_at, failure, lease_id, lease_until, lease_sent_at"),
		ConditionExpression: aws.String("attribute_exists(connection_id)"),
		ExpressionAttributeValues: item{
			":disconnected": str(string(connection.Disconnected)),
			":now":          number(now.Unix()),
			":one":          number(1),
		},
	})
}

// Reseal puts sealed in the place of the sealed refresh token old and changes
// nothing else. It is connection.ErrConflict if old is not there.
func (s *Store) Reseal(ctx context.Context, k connection.Key, old, sealed []byte) error {
	_, err := s.replace(ctx, "reseal", k, connection.ErrConflict, &dynamodb.UpdateItemInput{
		UpdateExpression:          aws.String("SET refresh_token_sealed = :sealed"),
		ConditionExpression:       aws.String("refresh_token_sealed = :old"),
		ExpressionAttributeValues: item{":old": &types.AttributeValueMemberB{Value: append([]byte{}, old...)}, ":sealed": binary(sealed)},
		ReturnValues:              types.ReturnValueNone,
	})
	return err
}

// replace sends one update of k's item and returns the connection as it was. A
// condition that is not met is unmet.
func (s *Store) replace(ctx context.Context, doing string, k connection.Key, unmet error, in *dynamodb.UpdateItemInput) (connection.Connection, error) {
	in.TableName, in.Key = &s.ConnectionsTable, rowKey(k)
	if in.ReturnValues == "" {
		in.ReturnValues = types.ReturnValueAllOld
	}
	out, err := s.API.UpdateItem(ctx, in)
	if err != nil {
		return connection.Connection{}, about(doing, k, translate(err, unmet))
	}
	if out.Attributes["connection_status"] == nil { // dynoxide returns the key of an item that was not there
		return connection.Connection{}, nil
	}
	return readConnection(out.Attributes)
}
