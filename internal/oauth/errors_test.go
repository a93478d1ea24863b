package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"
)

// Only the provider's own invalid_grant asks a person to connect again.
func TestRemedyFor(t *testing.T) {
	tests := []struct {
		name    string
		err     error
		remedy  Remedy
		unknown bool
	}{
		{"no *Error at all", errors.New("x"), Retry, true},
		{"a deadline", context.DeadlineExceeded, Retry, true},
		{"the zero Error", &Error{}, Retry, true},
		{"not sent", &Error{NotSent: true}, Retry, false},
		{"no answer", &Error{Err: io.EOF}, Retry, true},
		{"an answer without tokens", &Error{Status: 200}, Retry, true},
		{"the rest of an answer is missing", &Error{Status: 200, Err: io.ErrUnexpectedEOF}, Retry, true},
		{"switched protocols", &Error{Status: 101}, Retry, true},
		{"redirect", &Error{Status: 302}, Reconfigure, false},
		{"redirect that claims invalid_grant", &Error{Status: 302, Code: "invalid_grant"}, Reconfigure, false},
		{"400 without a code", &Error{Status: 400}, Retry, false},
		{"400 with a code of its own", &Error{Status: 400, Code: unrecognized}, Retry, false},
		{"200 with a code of its own", &Error{Status: 200, Code: unrecognized}, Retry, false},
		{"403", &Error{Status: 403}, Retry, false},
		{"408", &Error{Status: 408}, Retry, false},
		{"429", &Error{Status: 429, RetryAfter: time.Minute}, Retry, false},
		{"500", &Error{Status: 500}, Retry, true},
		{"503", &Error{Status: 503}, Retry, true},
		{"invalid_grant", &Error{Status: 400, Code: "invalid_grant"}, Reauthorize, false},
		{"invalid_grant with 200", &Error{Status: 200, Code: "invalid_grant"}, Reauthorize, false},
		{"invalid_grant in another case", &Error{Status: 400, Code: "Invalid_Grant"}, Retry, false},
		{"invalid_client", &Error{Status: 401, Code: "invalid_client"}, Reconfigure, false},
		{"unauthorized_client", &Error{Status: 400, Code: "unauthorized_client"}, Reconfigure, false},
		{"invalid_request", &Error{Status: 400, Code: "invalid_request"}, Reconfigure, false},
		{"unsupported_grant_type", &Error{Status: 400, Code: "unsupported_grant_type"}, Reconfigure, false},
		{"invalid_scope", &Error{Status: 400, Code: "invalid_scope"}, Reconfigure, false},
		{"access_denied", &Error{Status: 400, Code: "access_denied"}, Retry, false},
		{"server_error", &Error{Status: 400, Code: "server_error"}, Retry, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for how, err := range map[string]error{
				"itself": tt.err, "wrapped": fmt.Errorf("refresh at x: %w", tt.err), "joined": errors.Join(tt.err, errors.New("and more")),
			} {
				if RemedyFor(err) != tt.remedy || Unknown(err) != tt.unknown {
					t.Errorf("%s: remedy = %d, unknown = %v, want %d, %v", how, RemedyFor(err), Unknown(err), tt.remedy, tt.unknown)
				}
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	tests := []struct {
		err  *Error
		want string
	}{
		{&Error{Reason: "no answer", Err: io.EOF}, "no answer: EOF"},
		{&Error{Status: 200, Reason: "the answer is HTML"}, "the answer is HTML (HTTP 200)"},
		{&Error{Status: 400, Code: "invalid_grant", Reason: "the provider refused"}, "invalid_grant (HTTP 400)"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("text = %q, want %q", got, tt.want)
		}
		if !errors.Is(tt.err, tt.err.Err) && tt.err.Err != nil {
			t.Errorf("%v does not unwrap to its cause", tt.err)
		}
	}
}

// A code decides and is logged, so it must be one of a list.
func TestKnownCode(t *testing.T) {
	for code, want := range map[string]string{
		"invalid_grant": "invalid_grant", "access_denied": "access_denied", "unsupported_token_type": "unsupported_token_type",
		"": "", "INVALID_GRANT": "", "invalid_grant ": "", canary: "", "<script>": "",
	} {
		if got := KnownCode(code); got != want {
			t.Errorf("KnownCode(%q) = %q, want %q", code, got, want)
		}
	}
}
