package dynamo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/connection"
)

// sweepRow is the ID of the row that holds the sweep lease.
const sweepRow = "sweep"

// ClaimRequest claims r.ID for r.State, once for all time. It is
// connection.ErrConflict where r.ID is claimed or r.State was denied.
//
// Each call has a mark of its own, so that the client, which repeats a call
// whose answer is lost, does not meet its own claim as somebody else's.
func (s *Store) ClaimRequest(ctx context.Context, r connection.Request) error {
	update, values := expression([]attribute{
		{"request_state", str(r.State)},
		{"claim_mark", str(rand.Text())},
		{"connection_id", str(r.Key.ConnectionID)},
		{"provider", str(r.Key.Provider)},
		{"expires_at", number(r.ExpiresAt.Unix())},
		{"answer", binary(r.Answer)},
		{"held_until", at(r.HeldUntil)},
	})
	return s.changeState(ctx, "claim authorization request", r.ID, update,
		"(attribute_not_exists(request_state) AND NOT contains(denied, :request_state)) OR claim_mark = :claim_mark", values)
}

// TakeAnswer takes the answer out of the claimed request and returns the request
// with it. It is connection.ErrConflict where none is held at now.
//
// A call whose answer is lost, and which the client repeats, finds nothing any
// more: an answer is never taken twice, so it is rather taken for nothing.
func (s *Store) TakeAnswer(ctx context.Context, id string, now time.Time) (connection.Request, error) {
	const doing = "take the answer of authorization request"
	out, err := s.API.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &s.StateTable,
		Key:                       item{"id": str(id)},
		UpdateExpression:          aws.String("REMOVE answer"),
		ConditionExpression:       aws.String("attribute_exists(answer) AND held_until > :now"),
		ExpressionAttributeValues: item{":now": number(now.Unix())},
		ReturnValues:              types.ReturnValueAllOld,
	})
	if err != nil {
		return connection.Request{}, fmt.Errorf("%s: %w", doing, translate(err, connection.ErrConflict))
	}
	row := newReader(out.Attributes)
	r := readRequest(id, row)
	if *row.err != nil {
		return connection.Request{}, fmt.Errorf("%s %s: %w", doing, id, *row.err)
	}
	return r, nil
}

// readRequest reads the claim in a row.
func readRequest(id string, row *reader) connection.Request {
	return connection.Request{
		ID:        id,
		State:     row.text("request_state"),
		Key:       readKey(row),
		Outcome:   connection.Outcome(row.text("outcome")),
		Code:      row.text("code"),
		ExpiresAt: row.at("expires_at"),
		Answer:    row.binary("answer"),
		HeldUntil: row.at("held_until"),
	}
}

// DenyRequest remembers that the provider ended r.State without an answer: as
// Failed, where r.Outcome is that, else as Denied. It is connection.ErrConflict
// where r.State has claimed r.ID or ended before. The set failed is a part of
// the set denied.
//
// The row keeps the end that it has: that of the denial of an older
// authorization request may come before that of the ticket. Each call has a mark
// of its own, as ClaimRequest has.
func (s *Store) DenyRequest(ctx context.Context, r connection.Request) error {
	add := "ADD denied :states"
	if r.Outcome == connection.Failed {
		add += ", failed :states"
	}
	return s.changeState(ctx, "deny authorization request", r.ID,
		add+" SET denial_mark = :mark, connection_id = if_not_exists(connection_id, :connection),"+
			" provider = if_not_exists(provider, :provider), expires_at = if_not_exists(expires_at, :end)",
		"(NOT request_state = :state AND NOT contains(denied, :state)) OR denial_mark = :mark",
		item{
			":states":     set([]string{r.State}),
			":state":      str(r.State),
			":mark":       str(rand.Text()),
			":connection": str(r.Key.ConnectionID),
			":provider":   str(r.Key.Provider),
			":end":        number(r.ExpiresAt.Unix()),
		})
}

// FinishRequest adds r.Outcome and r.Code to the claim of r.State. It is
// connection.ErrConflict where r.State does not hold one.
func (s *Store) FinishRequest(ctx context.Context, r connection.Request) error {
	update, values := expression([]attribute{{"outcome", text(string(r.Outcome))}, {"code", text(r.Code)}})
	values[":state"] = str(r.State)
	return s.changeState(ctx, "finish authorization request", r.ID, update, "request_state = :state", values)
}

// GetRequest returns the authorization request as a state sees it: its denial,
// else the claim, else connection.ErrNotFound.
func (s *Store) GetRequest(ctx context.Context, id, state string) (connection.Request, error) {
	const doing = "get authorization request %s: %w"
	out, err := s.API.GetItem(ctx, &dynamodb.GetItemInput{
		TableName:      &s.StateTable,
		Key:            item{"id": str(id)},
		ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return connection.Request{}, fmt.Errorf(doing, id, err)
	}
	row := newReader(out.Item)
	r := readRequest(id, row)
	if slices.Contains(row.set("denied"), state) {
		r = connection.Request{ID: id, State: state, Key: r.Key, Outcome: connection.Denied, ExpiresAt: r.ExpiresAt}
		if slices.Contains(row.set("failed"), state) {
			r.Outcome = connection.Failed
		}
	}
	if *row.err != nil {
		return connection.Request{}, fmt.Errorf(doing, id, *row.err)
	}
	if r.State == "" {
		return connection.Request{}, fmt.Errorf(doing, id, connection.ErrNotFound)
	}
	return r, nil
}

// TakeSweep takes the sweep lease of s.Name, or prolongs it, and returns what
// sweeps remember. It is connection.ErrConflict while another holds it.
func (s *Store) TakeSweep(ctx context.Context, sweep connection.Sweep) (connection.Swept, error) {
	const doing = "take the sweep lease"
	update := "SET lease_id = :id, lease_until = :until"
	values := item{":id": str(sweep.ID), ":until": number(sweep.Until.Unix()), ":now": number(sweep.Now.Unix())}
	if sweep.Name == "" {
		if sweep.Table != "" {
			update += ", table_id = :table"
			values[":table"] = str(sweep.Table)
		}
		update += " ADD generations :shards"
		values[":shards"] = &types.AttributeValueMemberNS{Value: []string{strconv.Itoa(sweep.Shards)}}
	}
	row, err := s.updateState(ctx, doing, sweepID(sweep.Name), update,
		"attribute_not_exists(lease_id) OR lease_id = :id OR lease_until <= :now", values)
	if err != nil {
		return connection.Swept{}, err
	}
	r := newReader(row)
	swept := connection.Swept{Generations: r.numbers("generations"), Table: r.text("table_id")}
	if *r.err != nil {
		return connection.Swept{}, fmt.Errorf("%s: %w", doing, *r.err)
	}
	return swept, nil
}

// EndSweep gives the sweep lease of a name back, if id still holds it.
func (s *Store) EndSweep(ctx context.Context, name, id string) error {
	err := s.changeState(ctx, "end the sweep", sweepID(name),
		"REMOVE lease_id, lease_until", "lease_id = :id", item{":id": str(id)})
	if errors.Is(err, connection.ErrConflict) {
		return nil // it is another's, or nobody's
	}
	return err
}

// sweepID returns the ID of the row that holds the sweep lease of a name.
func sweepID(name string) string {
	if name == "" {
		return sweepRow
	}
	return sweepRow + "#" + name
}

// updateState sends one update of a row of the state table and returns the row
// as it is then. No condition is "".
func (s *Store) updateState(ctx context.Context, doing, id, update, condition string, values item) (item, error) {
	in := &dynamodb.UpdateItemInput{
		TableName:                 &s.StateTable,
		Key:                       item{"id": str(id)},
		UpdateExpression:          &update,
		ExpressionAttributeValues: values,
		ReturnValues:              types.ReturnValueAllNew,
	}
	if condition != "" {
		in.ConditionExpression = &condition
	}
	if len(values) == 0 {
		in.ExpressionAttributeValues = nil
	}
	out, err := s.API.UpdateItem(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, translate(err, connection.ErrConflict))
	}
	return out.Attributes, nil
}

// changeState is updateState for those who do not look at the row.
func (s *Store) changeState(ctx context.Context, doing, id, update, condition string, values item) error {
	_, err := s.updateState(ctx, doing, id, update, condition, values)
	return err
}
