package oauth

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/pkg/providers"
)

// An AuthorizationRequest is what the browser is sent to the provider with
// (RFC 6749 section 4.1.1).
type AuthorizationRequest struct {
	State       string
	Verifier    Secret // PKCE code verifier (RFC 7636 section 4.1)
	RedirectURI string
	Scopes      []string
	Params      map[string]string // the connect ticket's values for the provider's fields
}

// NewState returns 256 random bits, which also serve as a PKCE code verifier:
// 43 characters of A-Z a-z 0-9 - _ .
func NewState() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails: package crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// AuthorizationURL returns the URL to send the browser to. Parameters that the
// authorization endpoint already has stay; those of the protocol are ours.
func AuthorizationURL(c Client, r AuthorizationRequest) (string, error) {
	u, err := url.Parse(c.Endpoints.AuthorizationURL)
	if err != nil || u.Host == "" {
		return "", fmt.Errorf("authorization_url of %s is not a URL with a host", c.Provider.ID)
	}
	q := u.Query()
	for _, f := range c.Provider.Fields {
		if v, ok := r.Params[f.Name]; ok && f.Param != "" {
			q.Set(f.Param, v)
		}
	}
	q.Set("response_type", c.ResponseType)
	q.Set("client_id", c.ID)
	q.Set("redirect_uri", r.RedirectURI)
	q.Set("state", r.State)
	if scopes := c.Asked(r.Scopes); len(scopes) > 0 {
		q.Set("scope", strings.Join(scopes, c.separator()))
	}
	if c.Provider.PKCE == providers.PKCES256 && c.ResponseType == "code" {
		sum := sha256.Sum256([]byte(r.Verifier.Reveal()))
		q.Set("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]))
		q.Set("code_challenge_method", "S256")
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// Asked returns what an authorization request for scopes asks for: these and
// the ones that every request carries.
func (c Client) Asked(scopes []string) []string {
	out := slices.Clone(scopes)
	for _, s := range c.Provider.AddedScopes {
		if !slices.Contains(out, s) && c.ResponseType == "code" {
			out = append(out, s)
		}
	}
	return out
}

func (c Client) separator() string {
	if c.Provider.ScopeSeparator == "" {
		return " "
	}
	return c.Provider.ScopeSeparator
}

// CheckParams returns an error that names the first of params, by name, that
// the provider does not know or that does not match its pattern.
func (c Client) CheckParams(params map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		i := slices.IndexFunc(c.Provider.Fields, func(f providers.Field) bool { return f.Name == name })
		if i < 0 {
			return fmt.Errorf("params.%s is not a field of %s, which has %s: leave it out", name, c.Provider.Name, fieldNames(c.Provider))
		}
		pattern := c.Provider.Fields[i].Pattern
		if ok, err := regexp.MatchString(`\A(?:`+pattern+`)\z`, params[name]); err != nil || !ok {
			return fmt.Errorf("params.%s does not match %s", name, pattern)
		}
	}
	return nil
}

func fieldNames(p providers.Provider) string {
	names := make([]string, len(p.Fields))
	for i, f := range p.Fields {
		names[i] = f.Name
	}
	return cmp.Or(strings.Join(names, ", "), "none")
}
