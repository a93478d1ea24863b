package oauth

import "log/slog"

const redacted = "[redacted]"

// A Secret is a token, a code or a client secret. It prints, logs and marshals
// as "[redacted]"; call Reveal where it goes on the wire or into the store.
// Keep it in exported fields: package fmt ignores methods on unexported ones.
type Secret string

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
