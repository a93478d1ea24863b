// Package authrequest is the authorization request on its way: it travels
// sealed in a cookie of the browser that started it, from authorize to
// callback, so that starting one touches no store and only that browser can
// finish it.
//
// The claim of a finished request is a record of package connection.
package authrequest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
)

// Life is how long a person has at the provider.
const Life = 10 * time.Minute

// MaxCookies is how many authorization requests a browser may have under way.
const MaxCookies = 5

// maxCookie is how long a cookie's value may be, in bytes: browsers stop at
// 4096 with the name and the attributes.
const maxCookie = 3800

// maxOthers is how long the cookies of all other requests under way may be
// together, in bytes. An HTTP API refuses a request whose line and headers are
// longer than 10,240 bytes, so long cookies that pile up would lock the browser
// out until they expire.
const maxOthers = 4 << 10

// ErrTooLong is the answer to a request that does not fit into a cookie.
var ErrTooLong = errors.New("the authorization request does not fit into a cookie: shorten return_to, scope or params")

// A Request is one authorization request.
type Request struct {
	Key         connection.Key
	State       string
	Verifier    oauth.Secret
	RedirectURI string
	Scopes      []string
	Params      map[string]string
	ReturnTo    string // "": no place to go back to
	TicketID    string // "": there was no ticket
	ClientID    string
	Environment string
	Digest      string // of the client as it was: see Client
	ExpiresAt   time.Time
}

// wire is the form of Marshal. Names are short: cookies are small.
type wire struct {
	ConnectionID string            `json:"c"`
	Provider     string            `json:"p"`
	State        string            `json:"s"`
	Verifier     string            `json:"v"`
	RedirectURI  string            `json:"u"`
	Scopes       []string          `json:"o,omitempty"`
	Params       map[string]string `json:"q,omitempty"`
	ReturnTo     string            `json:"r,omitempty"`
	TicketID     string            `json:"t,omitempty"`
	ClientID     string            `json:"i"`
	Environment  string            `json:"e"`
	Digest       string            `json:"d"`
	ExpiresAt    int64             `json:"x"`
}

const purpose = "authorization request"

// encoding is strict, so that no two values stand for one request; Open refuses
// the line breaks that it would pass over.
var encoding = base64.RawURLEncoding.Strict()

// OAuth returns r as package oauth takes it.
func (r Request) OAuth() oauth.AuthorizationRequest {
	return oauth.AuthorizationRequest{State: r.State, Verifier: r.Verifier, RedirectURI: r.RedirectURI, Scopes: r.Scopes, Params: r.Params}
}

// ErrClientChanged is the answer where the client that a request was begun under
// is gone, or would send its code to another place by now.
var ErrClientChanged = errors.New("the client changed since the browser was sent away")

// Client returns the client that r was begun under, by what the provider's
// secret holds now: today's or one of its former clients. A code goes to the
// endpoints of the authorization server that it was asked of, or nowhere (OAuth
// 2.1 draft, section 7.15). The error is ErrClientChanged.
func (r Request) Client(now oauth.Client) (oauth.Client, error) {
	c, err := now.For(r.ClientID, r.Environment)
	if err != nil || c.Digest() != r.Digest {
		return oauth.Client{}, ErrClientChanged
	}
	return c, nil
}

// Record returns the record under which r is claimed. It stays for a day, much
// longer than ticket and cookie live.
func (r Request) Record(now time.Time) connection.Request {
	return connection.Request{
		ID: connection.RequestID(r.TicketID, r.State), State: connection.StateID(r.State),
		Key: r.Key, ExpiresAt: now.Add(24 * time.Hour),
	}
}

// Reference is what finds the log lines of r, whoever prints them and however
// often its callback is loaded. It ends the name of its cookie, and tells nothing
// of the state.
func (r Request) Reference() string { return reference(r.State) }

func reference(state string) string { return connection.StateID(state)[:16] }

// CookieName returns the name of the cookie that carries the request with the
// given state. Over plain http, which only local mode has, browsers take
// neither the __Host- prefix nor Secure.
func CookieName(state string, https bool) string {
	return prefix(https) + reference(state)
}

func prefix(https bool) string {
	if https {
		return "__Host-evergrant-"
	}
	return "evergrant-"
}

// suffix is what CookieName puts behind the prefix.
var suffix = regexp.MustCompile(`^[0-9a-f]{16}$`)

// ours reports whether name is one that CookieName returns. No other comes back
// in a header of ours, whatever a browser sends.
func ours(name string, https bool) bool {
	rest, ok := strings.CutPrefix(name, prefix(https))
	return ok && suffix.MatchString(rest)
}

// Marshal returns r as Unmarshal takes it. It holds secrets: it is to be sealed.
func (r Request) Marshal() ([]byte, error) {
	plain, err := json.Marshal(wire{
		ConnectionID: r.Key.ConnectionID, Provider: r.Key.Provider, State: r.State, Verifier: r.Verifier.Reveal(),
		RedirectURI: r.RedirectURI, Scopes: r.Scopes, Params: r.Params, ReturnTo: r.ReturnTo, TicketID: r.TicketID,
		ClientID: r.ClientID, Environment: r.Environment, Digest: r.Digest, ExpiresAt: r.ExpiresAt.Unix(),
	})
	if err != nil {
		return nil, fmt.Errorf("marshal authorization request: %w", err)
	}
	return plain, nil
}

// Unmarshal reads what Marshal wrote.
func Unmarshal(plain []byte) (Request, error) {
	var w wire
	if err := json.Unmarshal(plain, &w); err != nil {
		return Request{}, fmt.Errorf("read authorization request: %w", err)
	}
	return Request{
		Key: connection.Key{ConnectionID: w.ConnectionID, Provider: w.Provider}, State: w.State, Verifier: oauth.Secret(w.Verifier),
		RedirectURI: w.RedirectURI, Scopes: w.Scopes, Params: w.Params, ReturnTo: w.ReturnTo, TicketID: w.TicketID,
		ClientID: w.ClientID, Environment: w.Environment, Digest: w.Digest, ExpiresAt: time.Unix(w.ExpiresAt, 0),
	}, nil
}

// SetCookie returns the Set-Cookie line that gives r to the browser. Lax, since
// the provider sends the browser back from another site.
func SetCookie(keys seal.Keys, r Request, https bool) (string, error) {
	plain, err := r.Marshal()
	if err != nil {
		return "", err
	}
	sealed, err := keys.Seal(purpose, plain)
	if err != nil {
		return "", fmt.Errorf("seal authorization request: %w", err)
	}
	value := encoding.EncodeToString(sealed)
	if len(value) > maxCookie {
		return "", ErrTooLong
	}
	return fmt.Sprintf("%s=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax", CookieName(r.State, https), value, int(Life.Seconds())) + secure(https), nil
}

func secure(https bool) string {
	if https {
		return "; Secure"
	}
	return ""
}

// Open reads the value of a cookie that SetCookie made.
func Open(keys seal.Keys, value string) (Request, error) {
	sealed, err := encoding.DecodeString(value)
	if err != nil || strings.ContainsAny(value, "\r\n") {
		return Request{}, seal.ErrNotOpened
	}
	plain, err := keys.Open(purpose, sealed)
	if err != nil {
		return Request{}, fmt.Errorf("open authorization request: %w", err)
	}
	return Unmarshal(plain)
}

// A pending is a cookie of ours in a browser.
type pending struct {
	name, value string
	expiresAt   time.Time
}

// Evict returns the Set-Cookie lines that make room for one more request in a
// browser that has cookies: the unreadable and the expired ones of ours go, and
// of the others the oldest, as many as there are too many or too long.
func Evict(keys seal.Keys, cookies map[string]string, https bool, now time.Time) []string {
	var lines []string
	drop := func(name string) {
		lines = append(lines, name+"=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"+secure(https))
	}
	var kept []pending
	length := 0
	for _, name := range slices.Sorted(maps.Keys(cookies)) {
		if !ours(name, https) {
			continue
		}
		r, err := Open(keys, cookies[name])
		if err != nil || !now.Before(r.ExpiresAt) {
			drop(name)
			continue
		}
		kept = append(kept, pending{name, cookies[name], r.ExpiresAt})
		length += len(name) + len(cookies[name])
	}
	slices.SortStableFunc(kept, func(a, b pending) int { return a.expiresAt.Compare(b.expiresAt) })
	for len(kept) >= MaxCookies || length > maxOthers {
		length -= len(kept[0].name) + len(kept[0].value)
		drop(kept[0].name)
		kept = kept[1:]
	}
	return lines
}
