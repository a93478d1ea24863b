package events

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/pkg/connect"
)

// Keys is what signs reconnect links.
type Keys interface {
	// ConnectKeys returns the keys that sign connect tickets.
	ConnectKeys(ctx context.Context) (seal.Keys, error)
}

// A Maker makes the events of changes.
type Maker struct {
	Keys      Keys
	PublicURL string // "": not known here, so no event has a link
	Now       func() time.Time
	Log       *slog.Logger
}

// Make returns what to tell the host of one write, as Changes has it. What asks
// for a person brings a link that reconnects. Where none can be made, the event
// goes without it: the host can make one itself, and must be told.
func (m *Maker) Make(ctx context.Context, old, now connection.Connection) []Event {
	list := Changes(old, now)
	for i, e := range list {
		if e.Kind != ReauthorizationRequired {
			continue
		}
		if err := m.link(ctx, &list[i]); err != nil {
			m.Log.WarnContext(ctx, "reconnect link left out", "provider", e.Provider, "connection_id", e.ConnectionID, "event", e.ID, "err", err)
		}
	}
	return list
}

// link gives e a connect link that lives as long as a ticket may. It names no
// scopes: those that the provider had granted may bear names that the client
// does not ask for, and a ticket that does is refused.
func (m *Maker) link(ctx context.Context, e *Event) error {
	if m.PublicURL == "" {
		return errors.New("setting PUBLIC_URL is empty")
	}
	keys, err := m.Keys.ConnectKeys(ctx)
	if err != nil {
		return fmt.Errorf("ticket keys: %w", err)
	}
	key, _ := keys.Key(keys.Current) // a ring always has its current key
	now := m.Now()
	link, err := connect.Ticket{ConnectionID: e.ConnectionID, Provider: e.Provider, Life: connect.MaxLife}.
		Link(m.PublicURL, connect.Key{ID: keys.Current, Secret: key}, now)
	if err != nil {
		return err
	}
	e.ReconnectURL, e.ReconnectExpiresAt = oauth.Secret(link), second(now).Add(connect.MaxLife)
	return nil
}
