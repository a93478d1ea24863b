package oauth

import (
	"errors"
	"fmt"
	"time"
)

// An Error is a call to a provider that brought no tokens.
type Error struct {
	Status     int           // HTTP status; 0: no answer
	Code       string        // as KnownCode, "unrecognized_error" for any other, "" where the provider named none
	NotSent    bool          // the request provably never reached the provider
	RetryAfter time.Duration // how long the provider wants no further request; 0: it said nothing
	Foreign    bool          // the answer is none of a token endpoint: HTML, empty, a proxy's text
	Reason     string        // in our words: what was wrong with the answer
	Err        error         // the cause, if it was the network
}

// Error names the status, the code and the reason. Text of the provider is not
// part of it: an answer may repeat a secret.
func (e *Error) Error() string {
	s := e.Reason
	if e.Code != "" {
		s = e.Code
	}
	if e.Status != 0 {
		s = fmt.Sprintf("%s (HTTP %d)", s, e.Status)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// A Remedy is what can be done about a failed token request.
type Remedy int

// The zero Remedy is Retry, so that forgetting to classify is harmless.
const (
	Retry       Remedy = iota // nothing is known to be lost: try again later
	Reauthorize               // the provider says that the grant is gone
	Reconfigure               // our registration or request is wrong: tell an operator
)

// RemedyFor classifies err. An error that it does not know is worth a retry:
// no unknown may cost a user the connection.
func RemedyFor(err error) Remedy {
	var e *Error
	if !errors.As(err, &e) {
		return Retry
	}
	if e.Status >= 300 && e.Status < 400 {
		return Reconfigure // a redirect is never followed: the endpoint is wrong
	}
	switch e.Code {
	case "invalid_grant":
		return Reauthorize
	case "invalid_client", "unauthorized_client", "invalid_request",
		"unsupported_grant_type", "invalid_scope":
		return Reconfigure
	}
	return Retry
}

// Unknown reports whether the outcome of the token request that failed with
// err is unknown: it may have been carried out, and its answer is lost.
func Unknown(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return true
	}
	if e.NotSent {
		return false
	}
	return e.Status >= 500 || (e.Status < 300 && e.Code == "")
}

// knownCodes are the codes that may be repeated in logs and decided upon:
// RFC 6749 sections 4.1.2.1 and 5.2, RFC 7009 section 2.2.1.
var knownCodes = map[string]bool{
	"invalid_request": true, "invalid_client": true, "invalid_grant": true,
	"unauthorized_client": true, "unsupported_grant_type": true, "invalid_scope": true,
	"access_denied": true, "unsupported_response_type": true, "server_error": true,
	"temporarily_unavailable": true, "unsupported_token_type": true,
}

// KnownCode returns code if it is one that a standard defines, else "".
func KnownCode(code string) string {
	if knownCodes[code] {
		return code
	}
	return ""
}

// ErrNotConfigured is the answer where a provider's client credentials are
// missing or cannot be used as they are. An operator mends it.
var ErrNotConfigured = errors.New("not configured")
