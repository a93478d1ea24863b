package oauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// changed holds the credentials that are tried after refused ones.
type changed struct {
	secrets []Secret
	err     error
	reads   int
}

func (c *changed) Others(_ context.Context, refused Client) ([]Client, error) {
	c.reads++
	var out []Client
	for _, s := range c.secrets {
		refused.Secret = s
		out = append(out, refused)
	}
	return out, c.err
}

// Other credentials are tried where the provider refuses the client, and only
// there: any other answer may have used up the code or refresh token.
func TestWithCredentials(t *testing.T) {
	refusedClient := &Error{Status: 401, Code: "invalid_client"}
	gone := &Error{Status: 400, Code: "invalid_grant"}
	lost := &Error{Err: context.DeadlineExceeded}
	unread := errors.New("secrets are out of reach")
	tests := []struct {
		name    string
		from    changed
		answers map[Secret]error // nil: tokens
		tried   []Secret
		reads   int
		want    []error // what the error is; none: tokens
	}{
		{"tokens at once", changed{secrets: []Secret{"new"}}, map[Secret]error{"old": nil}, []Secret{"old"}, 0, nil},
		{"the grant is gone", changed{secrets: []Secret{"new"}}, map[Secret]error{"old": gone}, []Secret{"old"}, 0, []error{gone}},
		{"nobody knows", changed{secrets: []Secret{"new"}}, map[Secret]error{"old": lost}, []Secret{"old"}, 0, []error{lost}},
		{"the secret has changed", changed{secrets: []Secret{"new", "previous"}}, map[Secret]error{"old": refusedClient, "new": nil}, []Secret{"old", "new"}, 1, nil},
		{"the provider still wants the previous one", changed{secrets: []Secret{"new", "previous"}}, map[Secret]error{"old": refusedClient, "new": refusedClient, "previous": nil}, []Secret{"old", "new", "previous"}, 1, nil},
		{"the changed one is known, the grant is gone", changed{secrets: []Secret{"new", "previous"}}, map[Secret]error{"old": refusedClient, "new": gone}, []Secret{"old", "new"}, 1, []error{gone}},
		{"the changed one is known, nobody knows the rest", changed{secrets: []Secret{"new", "previous"}}, map[Secret]error{"old": refusedClient, "new": lost}, []Secret{"old", "new"}, 1, []error{lost}},
		{"none is right", changed{secrets: []Secret{"new"}}, map[Secret]error{"old": refusedClient, "new": refusedClient}, []Secret{"old", "new"}, 1, []error{refusedClient}},
		{"there is no other", changed{}, map[Secret]error{"old": refusedClient}, []Secret{"old"}, 1, []error{refusedClient}},
		{"the secret cannot be read", changed{err: unread}, map[Secret]error{"old": refusedClient}, []Secret{"old"}, 1, []error{refusedClient, unread}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var tried []Secret
			tokens, err := WithCredentials(t.Context(), &tt.from, Client{Secret: "old"}, func(c Client) (TokenSet, error) {
				tried = append(tried, c.Secret)
				if err := tt.answers[c.Secret]; err != nil {
					return TokenSet{}, fmt.Errorf("refresh: %w", err)
				}
				return TokenSet{AccessToken: "at"}, nil
			})
			if !slices.Equal(tried, tt.tried) || tt.from.reads != tt.reads {
				t.Errorf("tried %d credentials after %d reads, want %d after %d", len(tried), tt.from.reads, len(tt.tried), tt.reads)
			}
			if (err == nil) != (len(tt.want) == 0) || (tokens.AccessToken == "at") != (err == nil) {
				t.Fatalf("tokens = %v, error = %v", tokens, err)
			}
			for _, want := range tt.want {
				if !errors.Is(err, want) {
					t.Errorf("error = %v, want it to be %v", err, want)
				}
			}
		})
	}
}
