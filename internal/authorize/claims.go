package authorize

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// ticketClaims are the claims of a connect ticket. What RFC 7519 section 4.1
// says of their values is checked by the library.
type ticketClaims struct {
	jwt.RegisteredClaims
	Provider string
	ReturnTo string
	Scope    string
	Params   map[string]string
}

// UnmarshalJSON reads claims to the letter, where package encoding/json would
// take a name in other letters, the last of two values, and a time in quotes.
func (c *ticketClaims) UnmarshalJSON(b []byte) error {
	claims, err := members(b)
	if err != nil {
		return err
	}
	for name, to := range map[string]any{
		"aud": &c.Audience, "sub": &c.Subject, "jti": &c.ID, "provider": &c.Provider, "return_to": &c.ReturnTo, "scope": &c.Scope,
	} {
		if err := read(claims[name], to); err != nil {
			return fmt.Errorf("%s is not of its type", name)
		}
	}
	for name, to := range map[string]**jwt.NumericDate{"exp": &c.ExpiresAt, "iat": &c.IssuedAt, "nbf": &c.NotBefore} {
		var seconds *float64
		if err := read(claims[name], &seconds); err != nil || seconds != nil && *seconds > maxTime {
			return fmt.Errorf("%s is not a time", name)
		}
		if seconds != nil {
			*to = jwt.NewNumericDate(time.Unix(int64(*seconds), 0))
		}
	}
	return c.readParams(claims["params"])
}

// maxTime is the last time that a ticket may name, in Unix seconds: the end of
// the year 9999. Much larger ones overflow, and are then in the past.
const maxTime = 253402300799

// readParams reads the object of strings that params is.
func (c *ticketClaims) readParams(raw json.RawMessage) error {
	if raw == nil || string(raw) == "null" {
		return nil
	}
	fields, err := members(raw)
	if err != nil {
		return fmt.Errorf("params: %w", err)
	}
	c.Params = map[string]string{}
	for name, value := range fields {
		var text *string
		if err := json.Unmarshal(value, &text); err != nil || text == nil {
			return errors.New("params is not an object of strings")
		}
		c.Params[name] = *text
	}
	return nil
}

// read decodes a member that may be missing.
func read(raw json.RawMessage, to any) error {
	if raw == nil {
		return nil
	}
	return json.Unmarshal(raw, to)
}

// members returns the members of a JSON object, each of which may be there
// once: two programs may read a repeated one as two things (RFC 7519 section 4).
func members(b []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') || !utf8.Valid(b) {
		return nil, errors.New("not a JSON object")
	}
	all := map[string]json.RawMessage{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, errors.New("not a JSON object")
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, errors.New("not a JSON object")
		}
		key, _ := name.(string) // what else could name a member
		if _, twice := all[key]; twice {
			return nil, errors.New("a member is there twice")
		}
		all[key] = value
	}
	return all, nil
}
