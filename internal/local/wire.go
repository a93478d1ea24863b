package local

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"os"

	"github.com/evergrant/evergrant/internal/authorize"
	"github.com/evergrant/evergrant/internal/callback"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connections"
	"github.com/evergrant/evergrant/internal/events"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/refresh"
)

// What a deployment is told by its settings.
const (
	shards      = 4
	concurrency = 8
)

// routes wires the handlers as the functions' main.go files do, and returns
// all that the page's port serves.
func (s *Server) routes(creds *credentials) http.Handler {
	c := s.config
	s.store.Changed = tell(&events.Maker{Keys: creds, PublicURL: s.URL, Now: c.Now, Log: c.Log})
	tokens := &oauth.TokenClient{HTTP: oauth.NewHTTPClient(creds.allowPrivate), Now: c.Now}
	renewer := &refresh.Renewer{
		Leases: s.store, Breakers: s.store, Secrets: creds, Tokens: tokens, Shards: shards, NewID: rand.Text, Random: c.Random, Now: c.Now, Log: c.Log,
	}
	counted := &counter{renew: renewer.Renew}
	s.sweeper = &refresh.Handler{
		Index: s.store, Sweeps: s.store, Providers: s.store, Clients: creds, Renew: counted.Renew,
		Shards: shards, Concurrency: concurrency, NewID: rand.Text, Random: c.Random, Now: c.Now, Log: c.Log,
	}
	control := &connections.Handler{
		Reader: s.store, Writer: s.store, Requests: s.store, Breakers: s.store, Secrets: creds, Tokens: tokens, Shards: shards, Random: c.Random, Now: c.Now, Log: c.Log,
		Renew: func(ctx context.Context, k connection.Key, storedFence int64) error {
			_, err := counted.Renew(ctx, k, storedFence)
			return err
		},
	}
	p := &page{
		url: s.URL, simulated: s.Simulator != nil, hosts: c.Completion, source: creds.source,
		store: s.store, clients: creds, control: control.Handle, refreshes: counted, key: signingKey(creds.connect), now: c.Now, log: c.Log,
	}
	completionURL := ""
	if c.Completion {
		completionURL = s.URL + "/complete"
	}
	mux := http.NewServeMux()
	mux.Handle("/", ownOrigin(p.routes()))
	mux.Handle("/authorize/{provider}", gateway{now: c.Now, log: c.Log, handle: (&authorize.Handler{
		Secrets: creds, Provider: tokens, PublicURL: s.URL, ReturnOrigins: []string{s.URL}, Now: c.Now, Log: c.Log,
	}).Handle})
	mux.Handle("/callback/{provider}", gateway{now: c.Now, log: c.Log, handle: (&callback.Handler{
		Secrets: creds, Tokens: tokens, Requests: s.store, History: s.store, Connections: s.store,
		PublicURL: s.URL, CompletionURL: completionURL, Shards: shards, Random: c.Random, Now: c.Now, Log: c.Log,
	}).Handle})
	return mux
}

// tell returns what prints the events of a write, which a deployment publishes for
// the host. A link to reconnect is not printed: the page has one.
func tell(m *events.Maker) func(old, now connection.Connection) {
	return func(old, now connection.Connection) {
		ctx := context.Background() // the write is done, whoever asked for it
		for _, e := range m.Make(ctx, old, now) {
			m.Log.InfoContext(ctx, "event", "type", e.Kind, "detail", e)
		}
	}
}

// warnIfShared warns about a file with secrets that others can read.
func warnIfShared(file string, log *slog.Logger) {
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("the secrets file can be read by others: chmod 600 it", "file", file, "mode", info.Mode().Perm().String())
	}
}
