package dynamo_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/dynamo"
	"github.com/evergrant/evergrant/internal/oauth"
)

type (
	item = map[string]types.AttributeValue
	s    = types.AttributeValueMemberS
	n    = types.AttributeValueMemberN
	b    = types.AttributeValueMemberB
	ss   = types.AttributeValueMemberSS
	m    = types.AttributeValueMemberM
)

var (
	key   = connection.Key{ConnectionID: "acct_42", Provider: "whatnot"}
	epoch = time.Unix(1_760_000_000, 0).UTC()
	grant = connection.Connection{
		Key:                key,
		AccessToken:        "wn_access_tk_1",
		TokenType:          "Bearer",
		ExpiresAt:          epoch.Add(7200 * time.Second),
		Scopes:             []string{"write:orders", "read:orders"},
		SealedRefreshToken: []byte{1, 2, 0xff},
		RefreshExpiresAt:   epoch.Add(31_536_000 * time.Second),
		Account:            oauth.Account{ID: "u1", Label: "Ann"},
		Metadata:           map[string]string{"realmId": "9"},
		Environment:        "production",
		ClientID:           "client-1",
		ConnectedAt:        epoch,
		RefreshedAt:        epoch,
		UpdatedAt:          epoch,
		Due:                connection.Due{Shard: "3", At: epoch.Add(6480 * time.Second)},
		RequestID:          "ticket#1",
	}
)

// raw reads the item of the connection, as another program does.
func raw(t *testing.T, st *dynamo.Store) item {
	t.Helper()
	out, err := st.API.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &st.ConnectionsTable,
		Key:       item{"connection_id": &s{Value: "acct_42"}, "provider": &s{Value: "whatnot"}},
	})
	if err != nil {
		t.Fatalf("GetItem: %v", err)
	}
	return out.Item
}

// write changes attributes of the connection's item past the store.
func write(t *testing.T, st *dynamo.Store, attributes item) {
	t.Helper()
	var sets []string
	values := item{}
	for name, v := range attributes {
		sets = append(sets, name+" = :"+name)
		values[":"+name] = v
	}
	_, err := st.API.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName:                 &st.ConnectionsTable,
		Key:                       item{"connection_id": &s{Value: "acct_42"}, "provider": &s{Value: "whatnot"}},
		UpdateExpression:          aws.String("SET " + strings.Join(sets, ", ")),
		ExpressionAttributeValues: values,
	})
	if err != nil {
		t.Fatalf("UpdateItem: %v", err)
	}
}

// connect stores grant and returns what its holder works on after a claim.
func connect(t *testing.T, st *dynamo.Store) {
	t.Helper()
	if _, err := st.Connect(t.Context(), grant); err != nil {
		t.Fatalf("Connect: %v", err)
	}
}

// claim claims the connection for its stored tokens.
func claim(t *testing.T, st *dynamo.Store) connection.Connection {
	t.Helper()
	c, err := st.Claim(t.Context(), connection.Claim{
		Key: key, LeaseID: "lease-1", Now: epoch, Until: epoch.Add(90 * time.Second), StoredFence: 1,
	})
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	c.Fence++
	c.Lease.ID = "lease-1"
	return c
}

// check compares the item with what the contract says of it.
func check(t *testing.T, got, want item) {
	t.Helper()
	for name := range want {
		if set, ok := got[name].(*ss); ok && len(set.Value) > 1 && set.Value[0] > set.Value[1] {
			set.Value[0], set.Value[1] = set.Value[1], set.Value[0] // a set has no order
		}
		if !reflect.DeepEqual(got[name], want[name]) {
			t.Errorf("%s = %#v, want %#v", name, got[name], want[name])
		}
	}
	for name := range got {
		if want[name] == nil {
			t.Errorf("%s is there", name)
		}
	}
}

// The names and types of docs/design.md that readers in any language rely on.
func TestAnItemIsWhatReadersExpect(t *testing.T) {
	st := open(t)
	connect(t, st)
	want := item{
		"connection_id":        &s{Value: "acct_42"},
		"provider":             &s{Value: "whatnot"},
		"access_token":         &s{Value: "wn_access_tk_1"},
		"token_type":           &s{Value: "Bearer"},
		"expires_at":           &n{Value: "1760007200"},
		"scopes":               &ss{Value: []string{"read:orders", "write:orders"}},
		"connection_status":    &s{Value: "active"},
		"refresh_token_sealed": &b{Value: []byte{1, 2, 0xff}},
		"refresh_expires_at":   &n{Value: "1791536000"},
		"account_id":           &s{Value: "u1"},
		"account_label":        &s{Value: "Ann"},
		"metadata":             &m{Value: item{"realmId": &s{Value: "9"}}},
		"environment":          &s{Value: "production"},
		"client_id":            &s{Value: "client-1"},
		"fence":                &n{Value: "1"},
		"stored_fence":         &n{Value: "1"},
		"connected_at":         &n{Value: "1760000000"},
		"refreshed_at":         &n{Value: "1760000000"},
		"updated_at":           &n{Value: "1760000000"},
		"due_shard":            &s{Value: "3"},
		"due_at":               &n{Value: "1760006480"},
		"request_id":           &s{Value: "ticket#1"},
	}
	check(t, raw(t, st), want)

	c := claim(t, st)
	want["fence"] = &n{Value: "2"}
	want["lease_id"], want["lease_until"], want["lease_sent_at"] = &s{Value: "lease-1"}, &n{Value: "1760000090"}, &n{Value: "1760000000"}
	check(t, raw(t, st), want)

	c.Status = connection.ReauthorizationRequired
	c.Due = connection.Due{}
	c.Failure = connection.Failure{Code: "invalid_grant", Detail: "refused twice", Count: 2, Since: epoch, At: epoch.Add(300 * time.Second), Reason: "invalid_grant"}
	if err := st.Commit(t.Context(), c); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	for _, name := range []string{"lease_id", "lease_until", "lease_sent_at", "due_shard", "due_at"} {
		delete(want, name)
	}
	want["connection_status"] = &s{Value: "reauthorization_required"}
	want["failure"] = &m{Value: item{
		"code": &s{Value: "invalid_grant"}, "detail": &s{Value: "refused twice"}, "count": &n{Value: "2"},
		"since": &n{Value: "1760000000"}, "at": &n{Value: "1760000300"}, "reason": &s{Value: "invalid_grant"},
	}}
	check(t, raw(t, st), want)

	if _, err := st.Disconnect(t.Context(), key, epoch); err != nil {
		t.Fatalf("Disconnect: %v", err)
	}
	for _, name := range []string{"access_token", "token_type", "expires_at", "refresh_token_sealed", "refresh_expires_at", "failure"} {
		delete(want, name)
	}
	want["connection_status"], want["fence"] = &s{Value: "disconnected"}, &n{Value: "3"}
	check(t, raw(t, st), want)
}

func TestWhatIsNotKnownIsAbsent(t *testing.T) {
	st := open(t)
	static := connection.Connection{Key: key, AccessToken: "access-1", TokenType: "Bearer", Issued: true}
	if _, err := st.Connect(t.Context(), static); err != nil {
		t.Fatalf("Connect: %v", err)
	}
	check(t, raw(t, st), item{
		"connection_id":     &s{Value: "acct_42"},
		"provider":          &s{Value: "whatnot"},
		"connection_status": &s{Value: "active"},
		"access_token":      &s{Value: "access-1"},
		"token_type":        &s{Value: "Bearer"},
		"grant_type":        &s{Value: "client_credentials"},
		"fence":             &n{Value: "1"},
		"stored_fence":      &n{Value: "1"},
	})
}

// A newer version, or the team itself, may keep more in an item.
func TestUnknownAttributesStay(t *testing.T) {
	st := open(t)
	connect(t, st)
	unknown := item{
		"team":    &s{Value: "billing"},
		"labels":  &ss{Value: []string{"a", "b"}},
		"history": &m{Value: item{"since": &n{Value: "1"}}},
	}
	write(t, st, unknown)
	survive := func(op string, err error) {
		t.Helper()
		got := raw(t, st)
		for name, want := range unknown {
			if err != nil || !reflect.DeepEqual(got[name], want) {
				t.Errorf("after %s: %s = %#v, %v, want %#v", op, name, got[name], err, want)
			}
		}
	}
	c := claim(t, st)
	survive("Claim", nil)
	survive("Commit", st.Commit(t.Context(), c))
	_, err := st.Connect(t.Context(), grant)
	survive("Connect", err)
	_, err = st.Disconnect(t.Context(), key, epoch)
	survive("Disconnect", err)
}

func TestAnAttributeOfAnotherTypeIsAnError(t *testing.T) {
	number, text, null := &n{Value: "424242"}, &s{Value: "424242"}, &types.AttributeValueMemberNULL{Value: true}
	tests := []struct {
		attribute string // in the error
		item      item
	}{
		{"access_token is N, not S", item{"access_token": number}},
		{"access_token is NULL, not S", item{"access_token": null}},
		{"connection_status is N, not S", item{"connection_status": number}},
		{"token_type is N, not S", item{"token_type": number}},
		{"expires_at is S, not N", item{"expires_at": text}},
		{"expires_at is not a whole number", item{"expires_at": &n{Value: "1760000000.5"}}},
		{"expires_at is not a whole number", item{"expires_at": &n{Value: "42424242424242424242"}}},
		{"scopes is S, not SS", item{"scopes": text}},
		{"scopes_missing is S, not SS", item{"scopes_missing": text}},
		{"scopes is L, not SS", item{"scopes": &types.AttributeValueMemberL{Value: []types.AttributeValue{text}}}},
		{"refresh_token_sealed is S, not B", item{"refresh_token_sealed": text}},
		{"refresh_expires_at is S, not N", item{"refresh_expires_at": text}},
		{"account_id is N, not S", item{"account_id": number}},
		{"account_label is N, not S", item{"account_label": number}},
		{"metadata is S, not M", item{"metadata": text}},
		{"metadata.realmId is N, not S", item{"metadata": &m{Value: item{"realmId": number}}}},
		{"environment is N, not S", item{"environment": number}},
		{"client_id is N, not S", item{"client_id": number}},
		{"grant_type is N, not S", item{"grant_type": number}},
		{"request_id is N, not S", item{"request_id": number}},
		{"fence is S, not N", item{"fence": text}},
		{"stored_fence is S, not N", item{"stored_fence": text}},
		{"lease_id is N, not S", item{"lease_id": number}},
		{"lease_until is S, not N", item{"lease_until": text}},
		{"lease_sent_at is S, not N", item{"lease_sent_at": text}},
		{"connected_at is S, not N", item{"connected_at": text}},
		{"refreshed_at is S, not N", item{"refreshed_at": text}},
		{"updated_at is S, not N", item{"updated_at": text}},
		{"failure is S, not M", item{"failure": text}},
		{"failure.count is S, not N", item{"failure": &m{Value: item{"count": text}}}},
		{"failure.code is N, not S", item{"failure": &m{Value: item{"code": number}}}},
	}
	for _, tt := range tests {
		t.Run(tt.attribute, func(t *testing.T) {
			st := open(t)
			connect(t, st)
			write(t, st, tt.item)
			_, getErr := st.Get(t.Context(), key)
			_, listErr := st.List(t.Context(), key.ConnectionID)
			_, _, pageErr := st.ListByStatus(t.Context(), "", "", 10)
			errs := map[string]error{"Get": getErr, "List": listErr, "ListByStatus": pageErr}
			if tt.item["fence"] == nil && tt.item["account_id"] == nil { // DynamoDB itself cannot add to a text, nor find a number to be the account
				_, errs["Connect"] = st.Connect(t.Context(), grant)
				// The grant is stored all the same, and with it the item is good again.
				if c, err := st.Get(t.Context(), key); err != nil || c.Fence != 2 {
					t.Errorf("Get after Connect = %v", err)
				}
			}
			for op, err := range errs {
				if err == nil || !strings.Contains(err.Error(), "acct_42 at whatnot: attribute "+tt.attribute) {
					t.Errorf("%s: err = %v, want one that names connection and attribute", op, err)
				} else if strings.Contains(err.Error(), "4242") {
					t.Errorf("%s: the error shows the value: %v", op, err)
				}
			}
		})
	}
}

func TestAStateRowOfAnotherTypeIsAnError(t *testing.T) {
	st := open(t)
	r := connection.Request{ID: "ticket#1", State: "a", Key: key, ExpiresAt: epoch}
	if err := st.ClaimRequest(t.Context(), r); err != nil {
		t.Fatalf("ClaimRequest: %v", err)
	}
	_, err := st.API.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName:                 &st.StateTable,
		Key:                       item{"id": &s{Value: r.ID}},
		UpdateExpression:          aws.String("SET denied = :text"),
		ExpressionAttributeValues: item{":text": &s{Value: "a"}},
	})
	if err != nil {
		t.Fatalf("UpdateItem: %v", err)
	}
	if _, err := st.GetRequest(t.Context(), r.ID, "a"); err == nil || !strings.Contains(err.Error(), "ticket#1: attribute denied is S, not SS") {
		t.Errorf("err = %v, want one that names row and attribute", err)
	}
}

// What people see who look into the table in an outage: docs/design.md names it.
func TestAProvidersRowIsWhatPeopleExpect(t *testing.T) {
	st := open(t)
	err := st.SetBreaker(t.Context(), "whatnot", connection.Breaker{OpenUntil: epoch.Add(30 * time.Second), Opened: 1, Reason: "outage"})
	if err != nil {
		t.Fatalf("SetBreaker: %v", err)
	}
	for hour, o := range []connection.Outcomes{{Refreshes: 7, InvalidGrants: 1}, {Refreshes: 5}} {
		if _, err := st.CountRefreshes(t.Context(), "whatnot", o, epoch.Add(time.Duration(hour)*time.Hour)); err != nil {
			t.Fatalf("CountRefreshes: %v", err)
		}
	}
	if _, err := st.ReserveTime(t.Context(), "whatnot", time.Second, epoch.Add(time.Millisecond), epoch.Add(time.Minute)); err != nil {
		t.Fatalf("ReserveTime: %v", err)
	}
	out, err := st.API.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &st.StateTable, Key: item{"id": &s{Value: "provider#whatnot"}}})
	if err != nil {
		t.Fatalf("GetItem: %v", err)
	}
	check(t, out.Item, item{
		"id":                         &s{Value: "provider#whatnot"},
		"open_until":                 &n{Value: "1760000030"},
		"opened":                     &n{Value: "1"},
		"reason":                     &s{Value: "outage"},
		"hour_number":                &n{Value: "488889"},
		"hour_refreshes":             &n{Value: "5"},
		"hour_invalid_grants":        &n{Value: "0"},
		"hour_last_refreshes":        &n{Value: "7"},
		"hour_last_invalid_grants":   &n{Value: "1"},
		"recent_number":              &n{Value: "5866678"},
		"recent_refreshes":           &n{Value: "5"},
		"recent_invalid_grants":      &n{Value: "0"},
		"recent_last_refreshes":      &n{Value: "0"},
		"recent_last_invalid_grants": &n{Value: "0"},
		"free_at":                    &n{Value: "1760000001001"},
	})
}

func TestAProvidersRowOfAnotherTypeIsAnError(t *testing.T) {
	st := open(t)
	_, err := st.API.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName:                 &st.StateTable,
		Key:                       item{"id": &s{Value: "provider#whatnot"}},
		UpdateExpression:          aws.String("SET hour_refreshes = :text"),
		ExpressionAttributeValues: item{":text": &s{Value: "4242"}},
	})
	if err != nil {
		t.Fatalf("UpdateItem: %v", err)
	}
	if _, err := st.GetBreaker(t.Context(), "whatnot"); err == nil || !strings.Contains(err.Error(), "whatnot: attribute hour_refreshes is S, not N") {
		t.Errorf("err = %v, want one that names provider and attribute", err)
	}
}

// TTL deletes by this attribute, and takes seconds as a number.
func TestAStateRowEndsByItself(t *testing.T) {
	st := open(t)
	claimed := connection.Request{ID: "ticket#1", State: "a", Key: key, ExpiresAt: epoch}
	denied := connection.Request{ID: "ticket#2", State: "a", Key: key, ExpiresAt: epoch}
	if err := st.ClaimRequest(t.Context(), claimed); err != nil {
		t.Fatalf("ClaimRequest: %v", err)
	}
	if err := st.DenyRequest(t.Context(), denied); err != nil {
		t.Fatalf("DenyRequest: %v", err)
	}
	for _, id := range []string{"ticket#1", "ticket#2"} {
		out, err := st.API.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &st.StateTable, Key: item{"id": &s{Value: id}}})
		if err != nil || !reflect.DeepEqual(out.Item["expires_at"], types.AttributeValue(&n{Value: "1760000000"})) {
			t.Errorf("expires_at of %s = %#v, %v", id, out.Item["expires_at"], err)
		}
	}
}
