package completion

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
)

// Hold is how long an answer waits for the host.
const Hold = 10 * time.Minute

// remember is how long the row of a held answer stays: longer than ticket and
// cookie live, and no longer than that, since it may hold a credential.
const remember = time.Hour

// maxCode is the longest authorization code that is taken, in bytes.
const maxCode = 4 << 10

// An Answer is what a provider has answered an authorization request with.
type Answer struct {
	Request authrequest.Request
	Params  map[string]oauth.Secret // those that stand for the grant: a code, or the grant itself
	At      time.Time
}

// Read takes the answer to r out of the parameters of a callback; posted says
// that they came by a form. An error means that they are no answer.
func Read(client oauth.Client, r authrequest.Request, params map[string]string, posted bool, now time.Time) (Answer, error) {
	a := Answer{Request: r, Params: map[string]oauth.Secret{}, At: now}
	names, code := []string{"code"}, false
	switch b := client.Provider.Blob; {
	case b != nil:
		names = []string{b.Param}
	case client.ResponseType == "token":
		names = []string{"access_token", "token_type", "expires_in", "scope"}
		if !posted {
			return Answer{}, errors.New("an access_token must come by the form of our own page")
		}
	default:
		code = true
	}
	for _, name := range []string{"access_token", "id_token"} {
		if _, ok := params[name]; ok && code {
			return Answer{}, fmt.Errorf("%s came, and was not asked for", name)
		}
	}
	for _, name := range names {
		if v, ok := params[name]; ok {
			a.Params[name] = oauth.Secret(v)
		}
	}
	if code && (a.Params["code"] == "" || len(a.Params["code"]) > maxCode) {
		return Answer{}, errors.New("code is missing or too long")
	}
	if !code {
		if _, err := a.tokens(client); err != nil {
			return Answer{}, err
		}
	}
	if err := a.checkCallback(client); err != nil {
		return Answer{}, err
	}
	return a, nil
}

// checkCallback refuses a credential that was made for another callback than
// ours: somebody else has got it, and a browser was made to bring it here. What
// names none is taken. A query is left out, since WHCC drops the one that holds
// our state (their page on OAuth, read 2026-11-23).
func (a Answer) checkCallback(client oauth.Client) error {
	b := client.Provider.Blob
	if b == nil || b.CallbackURL == "" {
		return nil
	}
	only := *b
	only.Metadata = []string{b.CallbackURL}
	tokens, err := oauth.ParseBlob(only, a.Params[b.Param], a.At)
	if err != nil {
		return err
	}
	named, there := tokens.Metadata[b.CallbackURL]
	if there && !samePlace(named, a.Request.RedirectURI) {
		return fmt.Errorf("%s was made for another callback", b.Param)
	}
	return nil
}

// samePlace reports whether two URLs have one origin and one path (RFC 6454
// section 4, RFC 3986 section 6.2.3).
func samePlace(a, b string) bool {
	place := func(raw string) (string, bool) {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || u.User != nil {
			return "", false
		}
		port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
		return u.Scheme + "://" + strings.TrimSuffix(strings.ToLower(u.Host), port) + u.EscapedPath(), true
	}
	first, ok := place(a)
	second, both := place(b)
	return ok && both && first == second
}

// tokens returns the grant that a itself is, where it is no code.
func (a Answer) tokens(client oauth.Client) (oauth.TokenSet, error) {
	if b := client.Provider.Blob; b != nil {
		return oauth.ParseBlob(*b, a.Params[b.Param], a.At)
	}
	text := func(name string) string { return a.Params[name].Reveal() }
	tokens, err := oauth.ImplicitTokens(client, a.Params["access_token"], text("token_type"), text("expires_in"), text("scope"), a.At)
	if err != nil {
		return oauth.TokenSet{}, fmt.Errorf("no bearer access_token: %w", err)
	}
	return tokens, nil
}

// obtain returns the grant that a stands for. A code is sent once.
func (c *Completer) obtain(ctx context.Context, client oauth.Client, a Answer) (oauth.TokenSet, error) {
	var tokens oauth.TokenSet
	var err error
	if code, ok := a.Params["code"]; ok {
		tokens, err = oauth.WithCredentials(ctx, c.Credentials, client, func(client oauth.Client) (oauth.TokenSet, error) {
			if client.Digest() != a.Request.Digest { // read anew, since the first ones were refused
				return oauth.TokenSet{}, authrequest.ErrClientChanged
			}
			return c.Tokens.Exchange(ctx, client, a.Request.OAuth(), code)
		})
	} else {
		tokens, err = a.tokens(client)
	}
	if tokens.Scopes == nil {
		tokens.Scopes = client.Asked(a.Request.Scopes) // RFC 6749 section 5.1: as asked for
	}
	tokens.Asked = a.Request.Scopes
	return tokens, err
}

// wire is the form of an Answer inside of a row. Values are bytes: a code need be
// no text.
type wire struct {
	Request json.RawMessage   `json:"request"`
	Params  map[string][]byte `json:"params"`
	At      time.Time         `json:"at"`
}

// purpose is what a held answer is bound to: the table's logical name, the row
// and the field.
func purpose(id string) string { return "state\x00" + id + "\x00answer" }

// Held returns r, the record of a's authorization request, with a in it.
func (a Answer) Held(keys seal.Keys, r connection.Request) (connection.Request, error) {
	request, err := a.Request.Marshal()
	if err != nil {
		return r, err
	}
	w := wire{Request: request, Params: map[string][]byte{}, At: a.At}
	for name, v := range a.Params {
		w.Params[name] = []byte(v.Reveal())
	}
	plain, err := json.Marshal(w)
	if err != nil {
		return r, fmt.Errorf("marshal answer: %w", err)
	}
	if r.Answer, err = keys.Seal(purpose(r.ID), plain); err != nil {
		return r, fmt.Errorf("seal answer: %w", err)
	}
	r.HeldUntil, r.ExpiresAt = a.At.Add(Hold), a.At.Add(remember)
	return r, nil
}

// Open returns the answer in r.
func Open(keys seal.Keys, r connection.Request) (Answer, error) {
	plain, err := keys.Open(purpose(r.ID), r.Answer)
	if err != nil {
		return Answer{}, fmt.Errorf("open answer: %w", err)
	}
	var w wire
	if err := json.Unmarshal(plain, &w); err != nil {
		return Answer{}, errors.New("held answer is not what was put there")
	}
	a := Answer{Params: map[string]oauth.Secret{}, At: w.At}
	for name, v := range w.Params {
		a.Params[name] = oauth.Secret(v)
	}
	a.Request, err = authrequest.Unmarshal(w.Request)
	return a, err
}
