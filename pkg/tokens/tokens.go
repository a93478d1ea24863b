// Package tokens reads fresh access tokens from the connections table.
//
// A read is one GetItem. Where the token has too little life left, or did not
// work, the Reader asks the control plane for a refresh and reads again. Two
// things hold whatever happens:
//
//   - A read never fails while a valid token exists. If the refresh fails,
//     hangs or panics, if the second read fails, or if the caller's context
//     ends, a token that still works is returned, with a [StaleError] as its
//     warning. Nobody who has one waits for longer than five seconds.
//   - One token is refreshed once. In a process all who need another token than
//     the one they have wait for one call; across processes the refresh is
//     conditional on the token, so who comes later finds the new one.
//
// The package keeps nothing between reads, sends nothing to a provider, and
// never sees a refresh token: that attribute is sealed, and a reader's policy
// does not reach it. A refresh may go on when the read that began it has
// returned. In a Lambda function it is then frozen with the process; the next
// invocation goes on with it, or begins another when a minute has passed.
//
// Programs in other languages do the same in a few lines, which the README has;
// change both together. Those have no single flight of their own: the control
// plane's is enough to keep a provider from being asked twice.
package tokens

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
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
	// access token has expired or does not work. A person must connect again.
	ErrReauthorizationRequired = errors.New("tokens: reauthorization required")

	// ErrExpired: the access token has expired or does not work, and could not
	// be refreshed just now. Try again later.
	ErrExpired = errors.New("tokens: expired and not refreshed yet")
)

// A StaleError is the warning of a token that works but has less life left than
// the reader asked for. Find it with [errors.As] in the token's Warning.
type StaleError struct {
	Wanted time.Duration // what the reader asked for
	Left   time.Duration // what the token has; more than zero
	Cause  error         // why there is no fresher one; nil: the provider's tokens live no longer
}

// Error says how much life is left and why it is no more.
func (e *StaleError) Error() string {
	s := fmt.Sprintf("tokens: %v left of the %v asked for", e.Left.Round(time.Second), e.Wanted)
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *StaleError) Unwrap() error { return e.Cause }

// API is the part of *dynamodb.Client that a Reader uses.
type API interface {
	GetItem(ctx context.Context, in *dynamodb.GetItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
}

// A Reader reads tokens. DynamoDB and Table are required. Make one for the
// whole process: it is safe for concurrent use, and must not be copied.
type Reader struct {
	DynamoDB API
	Table    string // the ConnectionsTable output of the stack

	// Invoke sends a payload to the connections function and returns its
	// answer. It is given a minute, and should end with its context. Without it
	// nothing is refreshed on read: the schedule alone keeps tokens fresh.
	Invoke func(ctx context.Context, payload []byte) ([]byte, error)

	// Now is the clock; nil is time.Now.
	Now func() time.Time

	mu      sync.Mutex
	flights map[flightKey]*flight // refreshes under way
}

// A Token is what a request to the provider carries. Package fmt and log/slog
// print it without the access token; encoding/json writes it in full.
type Token struct {
	AccessToken string
	Type        string    // "Bearer", unless the provider says otherwise
	ExpiresAt   time.Time // zero: the provider names no expiry
	Scopes      []string
	Status      string // active, or reauthorization_required while the token still works

	// Warning says why the token has less life left than was asked for, if it
	// has: a [*StaleError]. The token works.
	Warning error
}

// Format prints t as package fmt would, without the access token.
func (t Token) Format(f fmt.State, verb rune) {
	type plain Token
	if t.AccessToken != "" {
		t.AccessToken = "[redacted]"
	}
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), plain(t))
}

// LogValue returns t as it is printed.
func (t Token) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf("%+v", t)) }

// A key is that of a connection.
type key struct{ connectionID, provider string }

// Read returns the access token of a connection, with at least minTTL left
// where that is to be had. Choose minTTL for the work that the token is for, a
// minute or so, and well below the life of the provider's tokens: what the
// provider's new tokens do not last is asked for in vain at each read.
//
// A token with less life that still works is returned with a Warning, so no
// error is returned while a valid token exists. The errors are ErrNotConnected,
// ErrReauthorizationRequired, ErrExpired, and those of a table out of reach.
func (r *Reader) Read(ctx context.Context, connectionID, provider string, minTTL time.Duration) (Token, error) {
	k := key{connectionID, provider}
	old, err := r.get(ctx, k, eventually)
	if errors.Is(err, ErrNotConnected) {
		old, err = r.get(ctx, k, consistently) // it may be new
	}
	left := r.left(old)
	if err != nil || left > 0 && left >= minTTL {
		return old, err
	}
	wait := flightTime
	if left > 0 {
		wait = min(patience, left/2) // no token expires while it waits to be returned
	}
	t, cause := r.renew(ctx, k, old, wait)
	if errors.Is(cause, ErrNotConnected) {
		return Token{}, cause // the user disconnected meanwhile
	}
	if r.left(t) <= 0 && r.left(old) > 0 {
		t, cause = old, errors.Join(cause, errors.New("tokens: the new token has expired"))
	}
	if left = r.left(t); left <= 0 {
		return Token{}, errors.Join(ended(t), cause)
	}
	if left < minTTL {
		t.Warning = &StaleError{Wanted: minTTL, Left: left, Cause: cause}
	}
	return t, nil
}

// Replace is for a caller whose request with old was answered 401: it returns
// another token, if there is one to be had. Of old only the AccessToken counts.
// However many callers report one token, the provider is asked once.
//
// It waits until the refresh has ended, a minute at most, or ctx: there is no
// token to fall back on. The errors are those of Read; ErrExpired where the
// reported token is still the only one. Send the request again once, and not
// for ever: a 401 can have reasons that no token mends.
func (r *Reader) Replace(ctx context.Context, connectionID, provider string, old Token) (Token, error) {
	k := key{connectionID, provider}
	t, err := r.get(ctx, k, consistently)
	if err != nil {
		return Token{}, err
	}
	serves := func() bool { return t.AccessToken != old.AccessToken && r.left(t) > 0 }
	if !serves() {
		t, err = r.renew(ctx, k, t, flightTime)
	}
	switch {
	case errors.Is(err, ErrNotConnected):
		return Token{}, err
	case !serves():
		return Token{}, errors.Join(ended(t), err)
	}
	return t, nil
}

// ended returns the error of a token that no longer serves.
func ended(t Token) error {
	if t.Status == "reauthorization_required" {
		return ErrReauthorizationRequired
	}
	return ErrExpired
}

// forever is the life of a token without an expiry.
const forever = time.Duration(1<<63 - 1)

// left returns how long t lives.
func (r *Reader) left(t Token) time.Duration {
	if t.ExpiresAt.IsZero() {
		return forever
	}
	return t.ExpiresAt.Sub(r.now())
}

func (r *Reader) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now() //nolint:forbidigo // other people's programs leave Now out; in this one every caller sets it
}

// How a table is read: consistently costs twice as much, and sees what was
// written a moment ago.
const (
	eventually   = false
	consistently = true
)

// get makes one GetItem. It asks for the attributes that a reader's policy
// allows, and no others. Its error is ErrNotConnected where there is no token.
func (r *Reader) get(ctx context.Context, k key, consistent bool) (Token, error) {
	out, err := r.DynamoDB.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &r.Table,
		Key: map[string]types.AttributeValue{
			"connection_id": &types.AttributeValueMemberS{Value: k.connectionID},
			"provider":      &types.AttributeValueMemberS{Value: k.provider},
		},
		ConsistentRead:       &consistent,
		ProjectionExpression: aws.String("access_token, token_type, expires_at, scopes, connection_status"),
	})
	if err != nil {
		return Token{}, fmt.Errorf("tokens: read connection: %w", err)
	}
	t := Token{
		AccessToken: text(out.Item, "access_token"),
		Type:        cmp.Or(text(out.Item, "token_type"), "Bearer"),
		Status:      text(out.Item, "connection_status"),
	}
	if t.AccessToken == "" {
		return Token{}, ErrNotConnected
	}
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
	return t, nil
}

// text returns the string that item has under name, or "".
func text(item map[string]types.AttributeValue, name string) string {
	s, _ := item[name].(*types.AttributeValueMemberS)
	if s == nil {
		return ""
	}
	return s.Value
}
