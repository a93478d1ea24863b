package authorize

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/pkg/connect"
)

// skew is how far the host's clock may be off.
const skew = time.Minute

// minTicketID is the least length of a ticket's jti, in characters.
const minTicketID = 16

// ticketClaims are the claims of a connect ticket. Those of RFC 7519 section
// 4.1 are checked by the library.
type ticketClaims struct {
	jwt.RegisteredClaims
	Provider string            `json:"provider"`
	ReturnTo string            `json:"return_to"`
	Scope    string            `json:"scope"`
	Params   map[string]string `json:"params"`
}

// verifyTicket checks signature and claims of a connect ticket for provider.
// With a kid only that key is tried, else each.
func verifyTicket(keys seal.Keys, provider, ticket string, now time.Time) (order, error) {
	var claims ticketClaims
	parser := jwt.NewParser(
		jwt.WithStrictDecoding(), jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithAudience(connect.Audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(skew), jwt.WithTimeFunc(func() time.Time { return now }),
	)
	if _, err := parser.ParseWithClaims(ticket, &claims, func(t *jwt.Token) (any, error) { return keysFor(keys, t) }); err != nil {
		return order{}, fmt.Errorf("ticket: %w", err)
	}
	switch {
	case strings.ContainsAny(ticket, "\r\n"): // the decoder would pass over them
		return order{}, errors.New("ticket: it has line breaks")
	case claims.Provider != provider:
		return order{}, errors.New("ticket: it is for another provider")
	case claims.IssuedAt == nil || claims.ExpiresAt.Sub(claims.IssuedAt.Time) > connect.MaxLife:
		return order{}, errors.New("ticket: iat and exp are needed, at most 15 minutes apart")
	case utf8.RuneCountInString(claims.ID) < minTicketID:
		return order{}, errors.New("ticket: jti is shorter than 16 characters")
	case !connection.ValidID(claims.Subject):
		return order{}, errors.New("ticket: sub is not a connection ID")
	}
	return order{
		key:      connection.Key{ConnectionID: claims.Subject, Provider: provider},
		ticketID: claims.ID, returnTo: claims.ReturnTo, scopes: strings.Fields(claims.Scope), params: claims.Params,
	}, nil
}

// keysFor returns the keys that may have signed t. A ticket that demands an
// extension is refused: there is none that we know (RFC 7515 section 4.1.11).
func keysFor(keys seal.Keys, t *jwt.Token) (any, error) {
	if _, ok := t.Header["crit"]; ok {
		return nil, errors.New("its header demands an extension")
	}
	if kid, ok := t.Header["kid"]; ok {
		id, _ := kid.(string)
		key, found := keys.Key(id)
		if !found {
			return nil, errors.New("its kid is not in the key ring")
		}
		return []byte(key), nil
	}
	var set jwt.VerificationKeySet
	for _, key := range keys.All() {
		set.Keys = append(set.Keys, []byte(key))
	}
	return set, nil
}
