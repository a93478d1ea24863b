package oauth

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// A Secret is a token, a code or a client secret. It prints, logs and marshals
// as "[redacted]"; call Reveal where it goes on the wire or into the store.
//
// Package fmt ignores methods in three places, so keep it in exported fields,
// give a struct that holds one a Format method as TokenSet has, and never use
// the verb %p. Package json ignores them on the keys of a map.
type Secret string

// Format writes "[redacted]" for every verb. Without it a verb that is not for
// strings, such as %d, would print the secret as the argument that is wrong.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// Format prints t as package fmt would. A pointer to a struct without this
// method, inside of something that is printed with %s, shows all its secrets:
// package fmt then calls no method below that pointer.
func (t TokenSet) Format(f fmt.State, verb rune) {
	type plain TokenSet
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), plain(t))
}

// Format prints c as package fmt would; see TokenSet.Format.
func (c Client) Format(f fmt.State, verb rune) {
	type plain Client
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), plain(c))
}

// Format prints r as package fmt would; see TokenSet.Format.
func (r AuthorizationRequest) Format(f fmt.State, verb rune) {
	type plain AuthorizationRequest
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), plain(r))
}

// String returns "[redacted]".
func (Secret) String() string { return redacted }

// GoString returns "[redacted]".
func (Secret) GoString() string { return redacted }

// LogValue returns "[redacted]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns "[redacted]".
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }
