package dynamo

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

// An item is a row of a table, or a map in one.
type item = map[string]types.AttributeValue

// An attribute is one of an item. Without a value it is absent.
type attribute struct {
	name  string
	value types.AttributeValue
}

// noLease removes the lease.
var noLease = []attribute{{name: "lease_id"}, {name: "lease_until"}, {name: "lease_sent_at"}}

// clientCredentials is the grant_type of a connection that was issued to the
// client itself (RFC 6749 section 4.4).
const clientCredentials = "client_credentials"

// attributes returns everything of c but its key, its fences and its lease.
// expression needs all of them, so that what became empty is removed.
// No name is among DynamoDB's reserved words, so expressions can use them.
func attributes(c connection.Connection) []attribute {
	grantType := ""
	if c.Issued {
		grantType = clientCredentials
	}
	return append(waiting(c), []attribute{
		{"connection_status", text(string(c.Status))},
		{"access_token", text(c.AccessToken.Reveal())},
		{"token_type", text(c.TokenType)},
		{"expires_at", at(c.ExpiresAt)},
		{"scopes", set(c.Scopes)},
		{"scopes_missing", set(c.ScopesMissing)},
		{"refresh_token_sealed", binary(c.SealedRefreshToken)},
		{"refresh_expires_at", at(c.RefreshExpiresAt)},
		{"account_id", text(c.Account.ID)},
		{"account_label", text(c.Account.Label)},
		{"metadata", texts(c.Metadata)},
		{"environment", text(c.Environment)},
		{"client_id", text(c.ClientID)},
		{"grant_type", text(grantType)},
		{"request_id", text(c.RequestID)},
		{"connected_at", at(c.ConnectedAt)},
		{"refreshed_at", at(c.RefreshedAt)},
	}...)
}

// waiting returns those of attributes that say how long c waits, and why.
func waiting(c connection.Connection) []attribute {
	due := c.Due
	if due.Shard == "" || due.At.IsZero() {
		due = connection.Due{}
	}
	return []attribute{
		{"due_shard", text(due.Shard)},
		{"due_at", at(due.At)},
		{"failure", failure(c.Failure)},
		{"updated_at", at(c.UpdatedAt)},
	}
}

// readConnection is the reverse of attributes, for a whole item.
func readConnection(i item) (connection.Connection, error) {
	r := newReader(i)
	f := r.sub("failure")
	c := connection.Connection{
		Key:                readKey(r),
		Status:             connection.Status(r.text("connection_status")),
		AccessToken:        oauth.Secret(r.text("access_token")),
		TokenType:          r.text("token_type"),
		ExpiresAt:          r.at("expires_at"),
		Scopes:             r.set("scopes"),
		ScopesMissing:      r.set("scopes_missing"),
		SealedRefreshToken: r.binary("refresh_token_sealed"),
		RefreshExpiresAt:   r.at("refresh_expires_at"),
		Account:            oauth.Account{ID: r.text("account_id"), Label: r.text("account_label")},
		Metadata:           r.texts("metadata"),
		Environment:        r.text("environment"),
		ClientID:           r.text("client_id"),
		Issued:             r.text("grant_type") == clientCredentials,
		RequestID:          r.text("request_id"),
		Fence:              r.number("fence"),
		StoredFence:        r.number("stored_fence"),
		Lease:              connection.Lease{ID: r.text("lease_id"), Until: r.at("lease_until"), SentAt: r.at("lease_sent_at")},
		ConnectedAt:        r.at("connected_at"),
		RefreshedAt:        r.at("refreshed_at"),
		UpdatedAt:          r.at("updated_at"),
		Due:                connection.Due{Shard: r.text("due_shard"), At: r.at("due_at")},
		Failure: connection.Failure{
			Code: f.text("code"), Detail: f.text("detail"), Count: int(f.number("count")),
			Since: f.at("since"), At: f.at("at"), Reason: f.text("reason"),
		},
	}
	if *r.err != nil {
		return connection.Connection{}, about("read", c.Key, *r.err)
	}
	return c, nil
}

// readConnections reads what a query or scan found.
func readConnections(items []item) (list []connection.Connection, err error) {
	for _, i := range items {
		c, err := readConnection(i)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// present returns the item of those attributes that have a value.
func present(all []attribute) item {
	i := item{}
	for _, a := range all {
		if a.value != nil {
			i[a.name] = a.value
		}
	}
	return i
}

// expression returns the update that leaves an item with exactly these
// attributes, and its values. It also makes the other assignments.
func expression(all []attribute, assignments ...string) (update string, values item) {
	var remove []string
	values = item{}
	for _, a := range all {
		if a.value == nil {
			remove = append(remove, a.name)
			continue
		}
		assignments = append(assignments, a.name+" = :"+a.name)
		values[":"+a.name] = a.value
	}
	if len(assignments) > 0 {
		update = "SET " + strings.Join(assignments, ", ")
	}
	if len(remove) > 0 {
		update += " REMOVE " + strings.Join(remove, ", ")
	}
	return update, values
}

// rowKey returns the primary key of k.
func rowKey(k connection.Key) item {
	return item{"connection_id": str(k.ConnectionID), "provider": str(k.Provider)}
}

// The functions below make values. Those that can be absent return nil for
// what is empty or zero.

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func text(s string) types.AttributeValue {
	if s == "" {
		return nil
	}
	return str(s)
}

// at returns t in Unix seconds.
func at(t time.Time) types.AttributeValue {
	if t.IsZero() {
		return nil
	}
	return number(t.Unix())
}

func binary(b []byte) types.AttributeValue {
	if len(b) == 0 {
		return nil
	}
	return &types.AttributeValueMemberB{Value: b}
}

// set returns a set of strings. DynamoDB refuses an empty member and one that
// stands in it twice; neither may cost a grant.
func set(list []string) types.AttributeValue {
	members := slices.Compact(slices.Sorted(slices.Values(list)))
	if len(members) > 0 && members[0] == "" {
		members = members[1:]
	}
	if len(members) == 0 {
		return nil
	}
	return &types.AttributeValueMemberSS{Value: members}
}

func texts(m map[string]string) types.AttributeValue {
	if len(m) == 0 {
		return nil
	}
	i := item{}
	for name, s := range m {
		i[name] = str(s)
	}
	return &types.AttributeValueMemberM{Value: i}
}

func failure(f connection.Failure) types.AttributeValue {
	if f == (connection.Failure{}) {
		return nil
	}
	return &types.AttributeValueMemberM{Value: present([]attribute{
		{"code", text(f.Code)},
		{"detail", text(f.Detail)},
		{"count", number(int64(f.Count))},
		{"since", at(f.Since)},
		{"at", at(f.At)},
		{"reason", text(f.Reason)},
	})}
}
