package oauth

import (
	"errors"
	"fmt"
)

// maxFormer is how many former clients a secret may name.
const maxFormer = 5

// formerDocument is the JSON form of a former client.
type formerDocument struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	Environment  string `json:"environment"` // "": the client's
}

// Is reports whether c is the client of an ID and the name of an environment.
func (c Client) Is(id, environment string) bool {
	return c.ID == id && c.Environment.Name == environment
}

// For returns the client that a grant was given to, by the client ID and the
// environment that its connection names: c, or one of its former clients. Grants
// are bound to their client (RFC 6749 section 6), so where the error is
// ErrNotConfigured, nothing of the grant may be sent with other credentials.
func (c Client) For(id, environment string) (Client, error) {
	if c.Is(id, environment) {
		return c, nil
	}
	for _, f := range c.Former {
		if f.Is(id, environment) {
			return f, nil
		}
	}
	return Client{}, fmt.Errorf("%w: the grant is of client ID %q, environment %q, which the secret of %s does not name: add it to former, or have the person connect again",
		ErrNotConfigured, id, environment, c.Provider.Name)
}

// setFormer takes the former clients from d. All but the credentials and the
// environment is c's; endpoints that the secret overrides are of c's environment
// alone.
func (c *Client) setFormer(d clientDocument) error {
	if len(d.Former) > maxFormer {
		return fmt.Errorf("former names %d clients, at most %d are taken: remove those that no connection is of", len(d.Former), maxFormer)
	}
	for i, f := range d.Former {
		former, err := c.former(f)
		if err != nil {
			return fmt.Errorf("former[%d]: %w", i, err)
		}
		if _, err := c.For(former.ID, former.Environment.Name); err == nil {
			return fmt.Errorf("former[%d] is the client itself, or is there twice: remove it", i)
		}
		c.Former = append(c.Former, former)
	}
	return nil
}

func (c *Client) former(d formerDocument) (Client, error) {
	p := c.Provider
	if err := errors.Join(checkCredential(p, "client_id", d.ClientID), checkCredential(p, "client_secret", d.ClientSecret)); err != nil {
		return Client{}, err
	}
	former := *c
	former.ID, former.Secret, former.Former = d.ClientID, Secret(d.ClientSecret), nil
	if d.Environment == "" || d.Environment == c.Environment.Name {
		return former, nil
	}
	env, ok := p.Environment(d.Environment)
	if !ok {
		return Client{}, fmt.Errorf("environment %q is unknown: %s has %s", d.Environment, p.Name, environmentNames(p))
	}
	former.Environment, former.Endpoints = env, p.In(env)
	return former, nil
}
