package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/pkg/providers"
)

// credentials is the secret store of local mode: client credentials from a
// file or those of the simulated providers, and the key rings. It caches
// nothing, so that a change of the file counts at once.
type credentials struct {
	source       string // for messages: the file's name
	read         func() ([]byte, error)
	allowPrivate bool
	connect      seal.Keys
	seal         seal.Keys
}

// fromFile returns the reader of a secrets file.
func fromFile(path string) func() ([]byte, error) {
	return func() ([]byte, error) {
		document, err := os.ReadFile(path) //nolint:gosec // the person at the terminal names the file
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errors.New(`it is not there: write {"whiplash": {"client_id": "…", "client_secret": "…"}} into it`)
		}
		return document, err
	}
}

// documents returns the client documents by provider ID. Its error names no
// value: values are secrets.
func (c *credentials) documents() (map[string]json.RawMessage, error) {
	document, err := c.read()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.source, err)
	}
	var byProvider map[string]json.RawMessage
	if err := json.Unmarshal(document, &byProvider); err != nil {
		return nil, fmt.Errorf(`%s: it is not a JSON object of objects: write {"whiplash": {"client_id": "…", "client_secret": "…"}}`, c.source)
	}
	return byProvider, nil
}

// check returns what is wrong with the documents: everything, one line each.
func (c *credentials) check() error {
	byProvider, err := c.documents()
	if err != nil {
		return err
	}
	if len(byProvider) == 0 {
		return fmt.Errorf("%s: it names no provider: add at least one of %s", c.source, providerIDs())
	}
	var problems []error
	for _, id := range slices.Sorted(maps.Keys(byProvider)) {
		p, ok := providers.Find(id)
		if !ok {
			problems = append(problems, fmt.Errorf("%s: there is no provider %q: use %s", c.source, id, providerIDs()))
			continue
		}
		client, err := oauth.ParseClient(p, byProvider[id], c.allowPrivate)
		if err == nil {
			err = filledIn(client)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %s: %w", c.source, id, err))
		}
	}
	return errors.Join(problems...)
}

// filledIn returns an error where a credential is still the "…" that stands
// for it in messages and documentation.
func filledIn(client oauth.Client) error {
	switch {
	case strings.Contains(client.ID, "…"):
		return errors.New(`client_id has a "…" in it: put the provider's value in its place`)
	case strings.Contains(client.Secret.Reveal(), "…"):
		return errors.New(`client_secret has a "…" in it: put the provider's value in its place`)
	}
	return nil
}

// Client returns the client credentials for a provider.
func (c *credentials) Client(_ context.Context, provider string) (oauth.Client, error) {
	byProvider, err := c.documents()
	if err != nil {
		return oauth.Client{}, fmt.Errorf("%w: %w", oauth.ErrNotConfigured, err)
	}
	p, known := providers.Find(provider)
	document, ok := byProvider[provider]
	if !known || !ok {
		return oauth.Client{}, fmt.Errorf("%w: add %q to %s", oauth.ErrNotConfigured, provider, c.source)
	}
	client, err := oauth.ParseClient(p, document, c.allowPrivate)
	if err != nil {
		return oauth.Client{}, fmt.Errorf("%w: %s: %s: %w", oauth.ErrNotConfigured, c.source, provider, err)
	}
	return client, nil
}

// Others returns the credentials that stand in the file by now for the client
// ID and environment that the provider has refused, if they are others.
func (c *credentials) Others(ctx context.Context, refused oauth.Client) ([]oauth.Client, error) {
	now, err := c.Client(ctx, refused.Provider.ID)
	if err != nil {
		return nil, err
	}
	its, err := now.For(refused.ID, refused.Environment.Name)
	if err != nil || its.Secret == refused.Secret {
		return nil, nil //nolint:nilerr // what the file does not name, it has no other credentials of
	}
	return []oauth.Client{its}, nil
}

// ConnectKeys returns the keys that sign connect tickets.
func (c *credentials) ConnectKeys(context.Context) (seal.Keys, error) { return c.connect, nil }

// SealKeys returns the keys that seal refresh tokens and cookies.
func (c *credentials) SealKeys(context.Context) (seal.Keys, error) { return c.seal, nil }

// providerIDs lists the providers for a message.
func providerIDs() string {
	var ids []string
	for _, p := range providers.All() {
		ids = append(ids, p.ID)
	}
	return strings.Join(ids, ", ")
}
