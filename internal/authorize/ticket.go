package authorize

import (
	"cmp"
	"encoding/base64"
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

// verifyTicket checks signature and claims of a connect ticket for provider. With
// errExpired it returns what a ticket asks for that was good until it expired.
func verifyTicket(keys seal.Keys, provider, ticket string, now time.Time) (order, error) {
	var claims ticketClaims
	parser := jwt.NewParser(
		jwt.WithStrictDecoding(), jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithAudience(connect.Audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(skew), jwt.WithTimeFunc(func() time.Time { return now }),
	)
	_, err := parser.ParseWithClaims(ticket, &claims, func(t *jwt.Token) (any, error) { return keysFor(keys, t) })
	if errors.Is(err, jwt.ErrTokenExpired) {
		o, err := verifyTicket(keys, provider, ticket, claims.ExpiresAt.Time)
		return o, cmp.Or(err, errExpired)
	}
	if err != nil {
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

// keysFor returns the keys that may have signed t: the one that its kid names,
// else every key of the ring. A kid is a hint (RFC 7515 section 4.1.4), and the
// JWT libraries of some hosts set one of their own.
//
// A ticket that demands an extension is refused: there is none that we know
// (section 4.1.11).
func keysFor(keys seal.Keys, t *jwt.Token) (any, error) {
	encoded, _, _ := strings.Cut(t.Raw, ".")
	header, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("its header: %w", err)
	}
	if _, err := members(header); err != nil {
		return nil, fmt.Errorf("its header: %w", err)
	}
	if _, ok := t.Header["crit"]; ok {
		return nil, errors.New("its header demands an extension")
	}
	kid, named := t.Header["kid"]
	id, text := kid.(string)
	if named && !text {
		return nil, errors.New("its kid is not text")
	}
	if key, found := keys.Key(id); found {
		return []byte(key), nil
	}
	var set jwt.VerificationKeySet
	for _, key := range keys.All() {
		set.Keys = append(set.Keys, []byte(key))
	}
	return set, nil
}
