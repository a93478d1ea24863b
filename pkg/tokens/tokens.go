// Package tokens reads fresh access tokens from the connections table.
//
// A read is one GetItem. Where the token has too little life left, or did not
// work, the reader asks the control plane for a refresh first; whatever comes
// of that, a token that is still valid is returned, with a warning.
//
// The package never sees a refresh token: the attribute is sealed, and a
// reader's policy does not reach it. It keeps nothing between reads.
package tokens

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// What a read can end in without a token.
var (
	// ErrNotConnected: there is no such connection, or it was disconnected. A
	// person must connect.
	ErrNotConnected = errors.New("tokens: not connected")

	// ErrReauthorizationRequired: the provider has ended the grant and the last
	// access token has expired. A person must connect again.
	ErrReauthorizationRequired = errors.New("tokens: reauthorization required")

	// ErrExpired: the access token has expired and could not be refreshed just
	// now. Try again later.
	ErrExpired = errors.New("tokens: expired and not refreshed yet")
)

// API is the part of *dynamodb.Client that a Reader uses.
type API interface {
	GetItem(ctx context.Context, in *dynamodb.GetItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
}

// A Reader reads tokens. DynamoDB and Table are required.
type Reader struct {
	DynamoDB API
	Table    string // the ConnectionsTable output of the stack

	// Invoke sends a payload to the connections function and returns its
	// answer. Without it nothing is refreshed on read: the schedule alone keeps
	// tokens fresh.
	Invoke func(ctx context.Context, payload []byte) ([]byte, error)

	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// A Token is what a request to the provider carries. Do not print it.
type Token struct {
	AccessToken string
	Type        string    // "Bearer", unless the provider says otherwise
	ExpiresAt   time.Time // zero: the provider names no expiry
	Scopes      []string
	Status      string // active, or reauthorization_required while the token still works

	// Warning says why the token has less life left than was asked for, if it
	// has; nil otherwise. The token works.
	Warning error
}

// A key is the input of the control plane.
type key struct {
	Action       string `json:"action"`
	ConnectionID string `json:"connection_id"`
	Provider     string `json:"provider"`
	MinTTL       int    `json:"min_ttl,omitempty"`
	TokenSHA256  string `json:"token_sha256,omitempty"`
}

// Read returns the access token of a connection with at least minTTL left. A
// token with less life that still works is returned with a Warning: a read
// never fails while a valid token exists.
func (r *Reader) Read(ctx context.Context, connectionID, provider string, minTTL time.Duration) (Token, error) {
	t, err := r.get(ctx, connectionID, provider)
	if err != nil || r.left(t) >= minTTL {
		return t, err
	}
	fresh := r.refresh(ctx, key{"refresh", connectionID, provider, int((minTTL + time.Second - 1) / time.Second), ""})
	return r.after(ctx, connectionID, provider, minTTL, t, fresh)
}

// Replace is for a caller whose request with old was answered 401: it returns
// another token, if there is one to be had. However many callers report one
// token, the provider is asked once.
func (r *Reader) Replace(ctx context.Context, connectionID, provider string, old Token) (Token, error) {
	sum := sha256.Sum256([]byte(old.AccessToken))
	err := r.refresh(ctx, key{"refresh", connectionID, provider, 0, hex.EncodeToString(sum[:])})
	t, readErr := r.get(ctx, connectionID, provider)
	if readErr != nil {
		return Token{}, readErr
	}
	if t.AccessToken == old.AccessToken {
		return Token{}, errors.Join(r.ended(t), err)
	}
	return t, nil
}

// after reads again once a refresh was tried, and takes what works: the new
// token, else the old one with a warning.
func (r *Reader) after(ctx context.Context, connectionID, provider string, minTTL time.Duration, old Token, refreshErr error) (Token, error) {
	t, err := r.get(ctx, connectionID, provider)
	if err != nil {
		t = old // a store that stumbles takes no valid token away
		refreshErr = errors.Join(refreshErr, err)
	}
	if r.left(t) <= 0 {
		return Token{}, errors.Join(r.ended(t), refreshErr)
	}
	if r.left(t) < minTTL {
		t.Warning = errors.Join(fmt.Errorf("tokens: less than %v left", minTTL), refreshErr)
	}
	return t, nil
}

// ended returns the error of a token that no longer serves.
func (r *Reader) ended(t Token) error {
	if t.Status == "reauthorization_required" {
		return ErrReauthorizationRequired
	}
	return ErrExpired
}

// forever is the life of a token without an expiry.
const forever = time.Duration(1<<63 - 1)

func (r *Reader) left(t Token) time.Duration {
	if t.ExpiresAt.IsZero() {
		return forever
	}
	now := time.Now //nolint:forbidigo // other people's programs leave Now out; in this one every caller sets it
	if r.Now != nil {
		now = r.Now
	}
	return t.ExpiresAt.Sub(now())
}

// refresh asks the control plane for a refresh.
func (r *Reader) refresh(ctx context.Context, k key) error {
	if r.Invoke == nil {
		return errors.New("tokens: no refresh on read: Invoke is not set")
	}
	payload, err := json.Marshal(k)
	if err != nil {
		return fmt.Errorf("tokens: marshal request: %w", err)
	}
	answer, err := r.Invoke(ctx, payload)
	if err != nil {
		return fmt.Errorf("tokens: invoke connections function: %w", err)
	}
	var out struct {
		Error *struct{ Type, Detail string } `json:"error"`
	}
	if err := json.Unmarshal(answer, &out); err != nil {
		return fmt.Errorf("tokens: answer of the connections function: %w", err)
	}
	if out.Error != nil {
		return fmt.Errorf("tokens: refresh: %s: %s", out.Error.Type, out.Error.Detail)
	}
	return nil
}

// get makes the one GetItem. It asks for the attributes that a reader's policy
// allows, and no others.
func (r *Reader) get(ctx context.Context, connectionID, provider string) (Token, error) {
	out, err := r.DynamoDB.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &r.Table,
		Key: map[string]types.AttributeValue{
			"connection_id": &types.AttributeValueMemberS{Value: connectionID},
			"provider":      &types.AttributeValueMemberS{Value: provider},
		},
		ProjectionExpression: aws.String("access_token, token_type, expires_at, scopes, connection_status"),
	})
	if err != nil {
		return Token{}, fmt.Errorf("tokens: read connection: %w", err)
	}
	t := Token{AccessToken: text(out.Item, "access_token"), Type: text(out.Item, "token_type"), Status: text(out.Item, "connection_status")}
	if set, ok := out.Item["scopes"].(*types.AttributeValueMemberSS); ok {
		t.Scopes = set.Value
	}
	if n, ok := out.Item["expires_at"].(*types.AttributeValueMemberN); ok {
		at, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil {
			return Token{}, fmt.Errorf("tokens: expires_at is not in Unix seconds: %w", err)
		}
		t.ExpiresAt = time.Unix(at, 0)
	}
	if t.AccessToken == "" {
		return Token{}, ErrNotConnected
	}
	return t, nil
}

func text(item map[string]types.AttributeValue, name string) string {
	s, _ := item[name].(*types.AttributeValueMemberS)
	if s == nil {
		return ""
	}
	return s.Value
}
