package dynamo

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

// imageOf returns an item as a record of a stream has it.
func imageOf(t *testing.T, i item) []byte {
	t.Helper()
	var value func(v types.AttributeValue) any
	value = func(v types.AttributeValue) any {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			return map[string]any{"S": v.Value}
		case *types.AttributeValueMemberN:
			return map[string]any{"N": v.Value}
		case *types.AttributeValueMemberB:
			return map[string]any{"B": base64.StdEncoding.EncodeToString(v.Value)}
		case *types.AttributeValueMemberSS:
			return map[string]any{"SS": v.Value}
		case *types.AttributeValueMemberM:
			m := map[string]any{}
			for name, inner := range v.Value {
				m[name] = value(inner)
			}
			return map[string]any{"M": m}
		}
		t.Fatalf("%T", v)
		return nil
	}
	all := map[string]any{}
	for name, v := range i {
		all[name] = value(v)
	}
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func whole() connection.Connection {
	noon := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	return connection.Connection{
		Key: connection.Key{ConnectionID: "acct_42", Provider: "whatnot"}, Status: connection.ReauthorizationRequired,
		AccessToken: "canary", TokenType: "Bearer", ExpiresAt: noon, Scopes: []string{"a", "b"}, ScopesMissing: []string{"c"},
		SealedRefreshToken: []byte("canary"), RefreshExpiresAt: noon.Add(time.Hour), Account: oauth.Account{ID: "7", Label: "Ann"},
		Metadata: map[string]string{"canary": "canary"}, Environment: "sandbox", ClientID: "client", Issued: true, RequestID: "ticket#1",
		Fence: 9, StoredFence: 8, Lease: connection.Lease{ID: "l", Until: noon, SentAt: noon},
		ConnectedAt: noon, RefreshedAt: noon.Add(time.Minute), UpdatedAt: noon.Add(time.Hour), Due: connection.Due{Shard: "4.2", At: noon},
		Failure: connection.Failure{Code: "invalid_grant", Detail: "d", Count: 2, Since: noon, At: noon, Reason: "rotation_lost"},
	}
}

func wholeItem() item {
	c := whole()
	i := present(attributes(c))
	for name, v := range rowKey(c.Key) {
		i[name] = v
	}
	i["fence"], i["stored_fence"] = number(c.Fence), number(c.StoredFence)
	i["lease_id"], i["lease_until"], i["lease_sent_at"] = str("l"), number(1), number(1)
	i["of_a_later_version"] = &types.AttributeValueMemberB{Value: []byte{1}}
	return i
}

// All of a row but what the host must not be told is read as Get reads it.
func TestAnImageIsReadWithoutItsSecrets(t *testing.T) {
	want := whole()
	want.AccessToken, want.TokenType, want.SealedRefreshToken, want.Metadata, want.Lease = "", "", nil, nil, connection.Lease{}
	got, err := ReadImage(imageOf(t, wholeItem()))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	for _, none := range []string{"", "null"} {
		if got, err := ReadImage([]byte(none)); err != nil || !reflect.DeepEqual(got, connection.Connection{}) {
			t.Errorf("no image is %+v, %v", got, err)
		}
	}
}

func TestAnImageThatIsNoRowIsAnError(t *testing.T) {
	tests := map[string]string{
		"not JSON":               `{`,
		"no object":              `[]`,
		"another type":           `{"fence":{"S":"1"}}`,
		"no whole number":        `{"fence":{"N":"1.5"}}`,
		"a type that none has":   `{"scopes":{"L":[]}}`,
		"no type":                `{"scopes":{}}`,
		"no value of DynamoDB":   `{"scopes":"a"}`,
		"a map of another type":  `{"failure":{"M":{"count":{"BOOL":true}}}}`,
		"a count that is a text": `{"failure":{"M":{"count":{"S":"3"}}}}`,
	}
	for name, image := range tests {
		if c, err := ReadImage([]byte(image)); err == nil {
			t.Errorf("%s: %+v", name, c)
		} else if strings.Contains(err.Error(), "1.5") {
			t.Errorf("%s: the error shows a value: %v", name, err)
		}
	}
	later := `{"failure":{"M":{"count":{"N":"3"},"of_tomorrow":{"BOOL":true},"and":{"L":[]}}},"of_tomorrow":{"BS":["AQ=="]}}`
	if c, err := ReadImage([]byte(later)); err != nil || c.Failure.Count != 3 {
		t.Errorf("what a later release adds is an error: %+v, %v", c, err)
	}
	if _, err := ReadImage([]byte(`{"access_token":{"X":1},"metadata":{"S":"x"},"refresh_token_sealed":7}`)); err != nil {
		t.Errorf("what is not looked at is an error: %v", err)
	}
}
