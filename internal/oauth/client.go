package oauth

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/evergrant/evergrant/pkg/providers"
)

// A Client is our registration at a provider, with the provider's endpoints in
// the environment that it belongs to.
type Client struct {
	Provider           providers.Provider
	ID                 string
	Secret             Secret
	Environment        providers.Environment
	Endpoints          providers.Endpoints
	Scopes             []string       // what a connection may ask for; without AddedScopes
	ResponseType       string         // "code", or "token" for the implicit grant
	Lazy               bool           // refresh on read
	AnyAccount         bool           // a reconnect may bring another account of the provider
	RefreshRate        float64        // token requests a second; 0: no limit is known
	RefreshConcurrency int            // token requests at the same time; 0: no limit is known
	Extra              map[string]any // what no other field holds, decoded JSON; its strings are of type Secret
	Former             []Client       // those that connections may still be of; see For
}

// Digest returns what tells c from a client that would send a code elsewhere: 22
// characters of a hash over client ID, environment and every endpoint, after
// what the secret overrides. There is no secret in it.
func (c Client) Digest() string {
	named, _ := json.Marshal([]any{c.ID, c.Environment.Name, c.Endpoints}) // strings: it cannot fail
	sum := sha256.Sum256(named)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// clientDocument is the JSON form of a client (DESIGN: the provider's secret).
type clientDocument struct {
	ClientID           string              `json:"client_id"`
	ClientSecret       string              `json:"client_secret"`
	Environment        string              `json:"environment"`
	Scopes             []string            `json:"scopes"`
	Endpoints          providers.Endpoints `json:"endpoints"`
	ResponseType       string              `json:"response_type"`
	Refresh            string              `json:"refresh"`
	AccountChange      string              `json:"account_change"`
	RefreshRate        *float64            `json:"refresh_rate"`
	RefreshConcurrency *int                `json:"refresh_concurrency"`
	Extra              map[string]any      `json:"extra"`
	Former             []formerDocument    `json:"former"`
}

// ParseClient reads client credentials for p from their JSON form. With
// allowPrivate, URLs may use http on a loopback host. Its errors name the
// member and the fix and never repeat a value that could be secret.
func ParseClient(p providers.Provider, document []byte, allowPrivate bool) (Client, error) {
	var d clientDocument
	if err := json.Unmarshal(bytes.TrimPrefix(document, byteOrderMark), &d); err != nil {
		return Client{}, jsonProblem(err)
	}
	if err := checkMembers(bytes.TrimPrefix(document, byteOrderMark)); err != nil {
		return Client{}, err
	}
	for _, m := range []struct{ name, value string }{{"client_id", d.ClientID}, {"client_secret", d.ClientSecret}} {
		if err := checkCredential(p, m.name, m.value); err != nil {
			return Client{}, err
		}
	}
	env, ok := p.Environment(d.Environment)
	if !ok {
		return Client{}, fmt.Errorf("environment %q is unknown: %s has %s", d.Environment, p.Name, environmentNames(p))
	}
	c := Client{
		Provider: p, ID: d.ClientID, Secret: Secret(d.ClientSecret), Environment: env,
		Endpoints: override(p.In(env), d.Endpoints), ResponseType: "code", Lazy: p.Lazy,
		RefreshRate: p.RefreshRate, RefreshConcurrency: p.RefreshConcurrency,
	}
	c.Extra, _ = secrets(d.Extra).(map[string]any)
	if err := errors.Join(c.setChoices(d), c.setLimits(d)); err != nil {
		return Client{}, err
	}
	if err := checkEndpoints(c.Endpoints, allowPrivate); err != nil {
		return Client{}, err
	}
	if err := c.setFormer(d); err != nil {
		return Client{}, err
	}
	return c, nil
}

// checkCredential refuses what no provider gives out: nothing, and the line
// break that a file or a terminal adds.
func checkCredential(p providers.Provider, name, value string) error {
	switch {
	case value == "":
		return fmt.Errorf("%s is missing: add the one that %s gave you", name, p.Name)
	case strings.ContainsFunc(value, unicode.IsControl):
		return fmt.Errorf("%s has a line break or another control character: remove it", name)
	}
	return nil
}

// secrets returns v, a decoded JSON value, with each string as a Secret.
func secrets(v any) any {
	switch v := v.(type) {
	case string:
		return Secret(v)
	case []any:
		for i := range v {
			v[i] = secrets(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = secrets(v[name])
		}
	}
	return v
}

// setChoices takes scopes, response type, refresh mode and what a change of the
// account means from d.
func (c *Client) setChoices(d clientDocument) error {
	if err := CheckScopes(c.Provider, d.Scopes); err != nil {
		return err
	}
	c.Scopes = d.Scopes
	if len(c.Scopes) == 0 {
		c.Scopes = c.Provider.Scopes
	}
	if len(c.Scopes) == 0 {
		c.Scopes = c.Provider.KnownScopes
	}
	switch {
	case d.ResponseType == "token" && !c.Provider.Implicit:
		return fmt.Errorf(`response_type "token" is not offered by %s: leave it out`, c.Provider.Name)
	case d.ResponseType != "" && d.ResponseType != "code" && d.ResponseType != "token":
		return errors.New(`response_type must be "code" or "token"`)
	case d.ResponseType == "token":
		c.ResponseType = "token"
	}
	switch d.Refresh {
	case "":
	case "lazy", "eager":
		c.Lazy = d.Refresh == "lazy"
	default:
		return errors.New(`refresh must be "lazy", or be left out`)
	}
	switch d.AccountChange {
	case "", "refuse", "accept":
		c.AnyAccount = d.AccountChange == "accept"
	default:
		return errors.New(`account_change must be "accept", or be left out`)
	}
	return nil
}

// setLimits takes what the secret says of the token endpoint's limits. It knows
// what was agreed with the provider, so it wins over the definition.
func (c *Client) setLimits(d clientDocument) error {
	if d.RefreshRate != nil {
		if *d.RefreshRate <= 0 || *d.RefreshRate > 1e6 {
			return errors.New("refresh_rate must be a number of token requests a second above 0, such as 10 or 0.5, or be left out")
		}
		c.RefreshRate = *d.RefreshRate
	}
	if d.RefreshConcurrency != nil {
		if *d.RefreshConcurrency < 1 {
			return errors.New("refresh_concurrency must be a whole number of token requests, at least 1, or be left out")
		}
		c.RefreshConcurrency = *d.RefreshConcurrency
	}
	return nil
}

// CheckScopes returns an error that names the first of scopes that p does not
// have or refuses.
func CheckScopes(p providers.Provider, scopes []string) error {
	for _, s := range scopes {
		if why, ok := p.RefusedScopes[s]; ok {
			return fmt.Errorf("scope %q cannot be asked for: %s; remove it", s, why)
		}
		if len(p.KnownScopes) > 0 && !slices.Contains(p.KnownScopes, s) {
			return fmt.Errorf("scope %q is not one of %s: it has %s", s, p.Name, strings.Join(p.KnownScopes, ", "))
		}
		if s == "" || strings.ContainsFunc(s, noScope) {
			return fmt.Errorf("scope %q is not one scope: write each as its own string", s)
		}
	}
	return nil
}

// noScope reports whether r is no part of a scope: RFC 6749 section 3.3, and the
// comma, which separates scopes for some.
func noScope(r rune) bool {
	return r <= ' ' || r > '~' || r == '"' || r == '\\' || r == ','
}

// Narrow returns the scopes to ask for where the caller asked for wanted, all
// of the client's where it asked for none. Asking for more than the client has
// is an error.
func (c Client) Narrow(wanted []string) ([]string, error) {
	if len(wanted) == 0 {
		return c.Scopes, nil
	}
	for _, s := range wanted {
		if !slices.Contains(c.Scopes, s) && !slices.Contains(c.Provider.AddedScopes, s) {
			has := cmp.Or(strings.Join(c.Scopes, ", "), "none")
			return nil, fmt.Errorf("scope %q is wider than what the client may ask for: it has %s; scopes in its secret can add it", s, has)
		}
	}
	return wanted, nil
}

func environmentNames(p providers.Provider) string {
	names := make([]string, len(p.Environments))
	for i, e := range p.Environments {
		names[i] = e.Name
	}
	return strings.Join(names, " and ")
}

func override(base, with providers.Endpoints) providers.Endpoints {
	for _, f := range []struct {
		to   *string
		from string
	}{
		{&base.AuthorizationURL, with.AuthorizationURL},
		{&base.TokenURL, with.TokenURL},
		{&base.RevocationURL, with.RevocationURL},
		{&base.UserInfoURL, with.UserInfoURL},
		{&base.PrepareURL, with.PrepareURL},
	} {
		if f.from != "" {
			*f.to = f.from
		}
	}
	return base
}

func checkEndpoints(e providers.Endpoints, allowPrivate bool) error {
	for _, f := range []struct{ name, url string }{
		{"authorization_url", e.AuthorizationURL},
		{"token_url", e.TokenURL},
		{"revocation_url", e.RevocationURL},
		{"userinfo_url", e.UserInfoURL},
		{"prepare_url", e.PrepareURL},
	} {
		if f.url == "" {
			continue
		}
		if err := checkURL(f.url, allowPrivate); err != nil {
			return fmt.Errorf("endpoints.%s %w", f.name, err)
		}
	}
	return nil
}

// checkURL accepts https URLs without user info and fragment, whose host is a
// name. With allowPrivate the host may be an address, and http do for loopback.
func checkURL(raw string, allowPrivate bool) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" || strings.ContainsFunc(u.Host, noHost):
		return errors.New("is not a URL with a host and without user name and fragment")
	case u.Scheme == "http" && allowPrivate && isLoopback(u.Hostname()):
		return nil
	case u.Scheme != "https":
		return errors.New("must begin with https:// (http is for loopback hosts where ALLOW_PRIVATE_PROVIDERS=true)")
	case !allowPrivate && isAddress(u.Hostname()):
		return errors.New("must name its host, not an address (which is for ALLOW_PRIVATE_PROVIDERS=true)")
	}
	return nil
}

// noHost reports whether r is no part of a host with a port. Other letters are
// written in ASCII there (RFC 5890 section 2.3.2.1): browsers take some of them,
// such as other full stops, for letters that Go does not.
func noHost(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune(`"#%/<>?@\^`+"`{|}", r)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// isAddress reports whether host is an IP address, or one to somebody: to
// browsers a host whose last part is a number is (URL Standard, 3.5).
func isAddress(host string) bool {
	host = strings.TrimSuffix(host, ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	_, err := strconv.ParseUint(last, 0, 64)
	return strings.Contains(host, ":") || err == nil || strings.Trim(last, "0123456789") == ""
}

// jsonProblem says what is wrong with a document without repeating any of it.
func jsonProblem(err error) error {
	var typ *json.UnmarshalTypeError
	if !errors.As(err, &typ) || typ.Field == "" {
		return errors.New(`not a JSON object: write {"client_id": "…", "client_secret": "…"}`)
	}
	want := "an object"
	switch typ.Type.Kind() {
	case reflect.String:
		want = "a string"
	case reflect.Slice:
		want = "a list of strings"
		if typ.Type.Elem().Kind() == reflect.Struct {
			want = "a list of objects"
		}
	case reflect.Float64:
		want = "a number"
	case reflect.Int:
		want = "a whole number"
	default:
	}
	return fmt.Errorf("member %q has the wrong type: make it %s", typ.Field, want)
}
