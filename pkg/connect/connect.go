// Package connect makes connect tickets and the links that carry them.
//
// A connect ticket is the signed statement of your backend that this browser
// may connect this connection ID: a JWT (RFC 7519), HS256, that lives at most
// fifteen minutes. Make one when a signed-in user clicks "connect", and send
// the browser to its link. Any JWT library makes the same; this package saves
// the reading.
//
// CurrentKey takes the signing key from the text of the secret that holds it.
// The package fetches no secret and sends nothing. Checking tickets is the work
// of the authorize function.
package connect

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Audience is the aud claim of every ticket.
const Audience = "evergrant"

// MaxLife is the longest that a ticket may live.
const MaxLife = 15 * time.Minute

// MinKeyLength is the least that a signing key may have, in characters.
const MinKeyLength = 32

// A Key signs tickets: an entry of the secret that the deployment's
// CONNECT_SECRET names. It prints, logs and marshals without its secret.
type Key struct {
	ID     string // the kid header; may be empty
	Secret string `json:"-"`
}

// String names the key without its secret.
func (k Key) String() string { return "connect key " + k.ID }

// GoString returns the same as String.
func (k Key) GoString() string { return k.String() }

// CurrentKey returns the key that signs now: the current entry of secret, which
// is the text of the secret that the deployment's CONNECT_SECRET names. It is
// {"current":"k1","k1":"…"} or {"current":"k1","keys":{"k1":"…"}}. Read it anew
// every few minutes, or a rotated key stays in use. The error names no key.
func CurrentKey(secret []byte) (Key, error) {
	var ring map[string]any
	if err := json.Unmarshal(secret, &ring); err != nil {
		return Key{}, errors.New("connect: the connect secret is not a JSON object")
	}
	entries := ring
	if nested, ok := ring["keys"]; ok {
		entries, _ = nested.(map[string]any)
	}
	id, _ := ring["current"].(string)
	key, _ := entries[id].(string)
	if len(key) < MinKeyLength {
		return Key{}, errors.New(`connect: the connect secret's "current" does not name a key of 32 characters or more`)
	}
	return Key{ID: id, Secret: key}, nil
}

// A Ticket says who may connect what. ConnectionID and Provider are required.
type Ticket struct {
	ConnectionID string            // 1 to 256 of A-Z a-z 0-9 . _ : @ / -
	Provider     string            // such as "whatnot"
	ReturnTo     string            // where the browser goes at the end; an https URL on an allowed origin
	Scopes       []string          // may narrow the client's scopes, never widen them
	Params       map[string]string // the provider's connection fields
	Life         time.Duration     // 0: five minutes
}

var connectionID = regexp.MustCompile(`^[A-Za-z0-9._:@/-]{1,256}$`)

// Sign returns the ticket t as a JWT issued at now.
func (t Ticket) Sign(key Key, now time.Time) (string, error) {
	life := t.Life
	if life == 0 {
		life = 5 * time.Minute
	}
	switch {
	case !connectionID.MatchString(t.ConnectionID):
		return "", errors.New("connect: a connection ID is 1 to 256 of A-Z a-z 0-9 . _ : @ / -")
	case t.Provider == "":
		return "", errors.New("connect: a ticket needs a provider")
	case life < 0 || life > MaxLife:
		return "", errors.New("connect: a ticket lives at most 15 minutes")
	case len(key.Secret) < MinKeyLength:
		return "", errors.New("connect: the signing key is shorter than 32 characters")
	}
	claims := jwt.MapClaims{
		"aud": Audience, "sub": t.ConnectionID, "provider": t.Provider,
		"iat": now.Unix(), "exp": now.Add(life).Unix(), "jti": rand.Text(),
	}
	if t.ReturnTo != "" {
		claims["return_to"] = t.ReturnTo
	}
	if len(t.Scopes) > 0 {
		claims["scope"] = strings.Join(t.Scopes, " ")
	}
	if len(t.Params) > 0 {
		claims["params"] = t.Params
	}
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims)
	if key.ID != "" {
		token.Header["kid"] = key.ID
	}
	return token.SignedString([]byte(key.Secret))
}

// Link returns the URL to send the browser to: the authorize route of the
// deployment at publicURL with the ticket.
func (t Ticket) Link(publicURL string, key Key, now time.Time) (string, error) {
	signed, err := t.Sign(key, now)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(publicURL, "/") + "/authorize/" + url.PathEscape(t.Provider) + "?ticket=" + signed, nil
}
