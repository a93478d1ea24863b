package tokens

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// table answers with one item a call, the last one for ever.
type table struct {
	items []map[string]types.AttributeValue
	errs  map[int]error // by call
	calls int
}

func (d *table) GetItem(_ context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	n := d.calls
	d.calls++
	if strings.Contains(*in.ProjectionExpression, "refresh") {
		return nil, errors.New("a reader may not read that")
	}
	if err := d.errs[n]; err != nil {
		return nil, err
	}
	return &dynamodb.GetItemOutput{Item: d.items[min(n, len(d.items)-1)]}, nil
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// item is a connection whose token lives for left; 0: it names no expiry.
func item(token, status string, left time.Duration) map[string]types.AttributeValue {
	i := map[string]types.AttributeValue{"connection_status": &types.AttributeValueMemberS{Value: status}}
	if token != "" {
		i["access_token"] = &types.AttributeValueMemberS{Value: token}
		i["token_type"] = &types.AttributeValueMemberS{Value: "Bearer"}
		i["scopes"] = &types.AttributeValueMemberSS{Value: []string{"read:orders"}}
	}
	if left != 0 {
		i["expires_at"] = &types.AttributeValueMemberN{Value: fmt.Sprint(noon.Add(left).Unix())}
	}
	return i
}

type items = []map[string]types.AttributeValue

// A read never fails while a valid token exists.
func TestReadReturnsWhatStillWorks(t *testing.T) {
	down := errors.New("out of reach")
	tests := []struct {
		name    string
		items   items
		errs    map[int]error
		answer  string // of the control plane; "": it cannot be reached
		want    string
		err     error
		warning bool
		asked   bool
	}{
		{name: "fresh", items: items{item("a", "active", time.Hour)}, want: "a"},
		{name: "without an expiry", items: items{item("a", "active", 0)}, want: "a"},
		{name: "refreshed on read", items: items{item("a", "active", time.Minute), item("b", "active", time.Hour)}, answer: `{"connection":{}}`, want: "b", asked: true},
		{name: "refresh fails, the old token works", items: items{item("a", "active", time.Minute)}, answer: `{"error":{"type":"provider_unavailable"}}`, want: "a", warning: true, asked: true},
		{name: "control plane out of reach, the old token works", items: items{item("a", "active", time.Minute)}, want: "a", warning: true, asked: true},
		{name: "nonsense from the control plane, the old token works", items: items{item("a", "active", time.Minute)}, answer: `<html>`, want: "a", warning: true, asked: true},
		{name: "needs a person, the old token works", items: items{item("a", "reauthorization_required", time.Minute)}, answer: `{"error":{"type":"reauthorization_required"}}`, want: "a", warning: true, asked: true},
		{name: "table out of reach after the refresh, the old token works", items: items{item("a", "active", time.Minute)}, errs: map[int]error{1: down}, answer: `{"connection":{}}`, want: "a", warning: true, asked: true},
		{name: "expired, and refreshed", items: items{item("a", "active", -time.Minute), item("b", "active", time.Hour)}, answer: `{"connection":{}}`, want: "b", asked: true},
		{name: "expired, and not refreshed", items: items{item("a", "active", -time.Minute)}, answer: `{"error":{"type":"provider_unavailable"}}`, err: ErrExpired, asked: true},
		{name: "expired, and needs a person", items: items{item("a", "reauthorization_required", -time.Minute)}, answer: `{"error":{"type":"reauthorization_required"}}`, err: ErrReauthorizationRequired, asked: true},
		{name: "disconnected", items: items{item("", "disconnected", 0)}, err: ErrNotConnected},
		{name: "unknown", items: items{nil}, err: ErrNotConnected},
		{name: "table out of reach", items: items{nil}, errs: map[int]error{0: down}, err: down},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked := ""
			r := &Reader{DynamoDB: &table{items: tt.items, errs: tt.errs}, Table: "c", Now: func() time.Time { return noon },
				Invoke: func(_ context.Context, payload []byte) ([]byte, error) {
					asked = string(payload)
					if tt.answer == "" {
						return nil, down
					}
					return []byte(tt.answer), nil
				}}
			got, err := r.Read(t.Context(), "acct_42", "whatnot", 5*time.Minute)
			if got.AccessToken != tt.want || !errors.Is(err, tt.err) || (tt.err == nil) != (err == nil) {
				t.Errorf("Read = %q, %v; want %q, %v", got.AccessToken, err, tt.want, tt.err)
			}
			if (got.Warning != nil) != tt.warning {
				t.Errorf("warning = %v", got.Warning)
			}
			if want := `{"action":"refresh","connection_id":"acct_42","provider":"whatnot","min_ttl":300}`; tt.asked && asked != want || !tt.asked && asked != "" {
				t.Errorf("asked %s", asked)
			}
		})
	}
}

func TestReadWithoutAControlPlaneReturnsWhatStillWorks(t *testing.T) {
	r := &Reader{DynamoDB: &table{items: items{item("a", "active", time.Minute)}}, Table: "c", Now: func() time.Time { return noon }}
	if got, err := r.Read(t.Context(), "acct_42", "whatnot", time.Hour); err != nil || got.AccessToken != "a" || got.Warning == nil {
		t.Errorf("Read = %q, %v, warning %v", got.AccessToken, err, got.Warning)
	}
}

func TestReplaceReportsTheTokenThatDidNotWork(t *testing.T) {
	var asked string
	r := &Reader{DynamoDB: &table{items: items{item("b", "active", time.Hour)}}, Table: "c", Now: func() time.Time { return noon },
		Invoke: func(_ context.Context, payload []byte) ([]byte, error) {
			asked = string(payload)
			return []byte(`{"connection":{}}`), nil
		}}
	got, err := r.Replace(t.Context(), "acct_42", "whatnot", Token{AccessToken: "a"})
	if err != nil || got.AccessToken != "b" {
		t.Errorf("Replace = %q, %v", got.AccessToken, err)
	}
	if want := `"token_sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"`; !strings.Contains(asked, want) || strings.Contains(asked, `"a"`) {
		t.Errorf("asked %s", asked)
	}
	if _, err := r.Replace(t.Context(), "acct_42", "whatnot", Token{AccessToken: "b"}); !errors.Is(err, ErrExpired) {
		t.Errorf("Replace of the only token = %v", err)
	}
}
