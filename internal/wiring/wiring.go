// Package wiring makes the parts that several functions are built of from
// their settings: the secret store, the table store, the token client and what
// refreshes. Each main.go takes those it needs and makes its own handler.
//
// It decides nothing: clock and environment are handed in.
package wiring

import (
	"context"
	crand "crypto/rand"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/evergrant/evergrant/internal/awsenv"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/dynamo"
	"github.com/evergrant/evergrant/internal/metrics"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/queue"
	"github.com/evergrant/evergrant/internal/refresh"
	"github.com/evergrant/evergrant/internal/secrets"
	"github.com/evergrant/evergrant/internal/settings"
	"github.com/evergrant/evergrant/pkg/providers"
)

// A Machine is what a function runs on, and what it was told. Every field is
// required.
type Machine struct {
	Settings settings.Settings
	Getenv   func(string) string
	AWS      *http.Client // made by awsenv.HTTPClient
	Now      func() time.Time
	Random   func() float64 // in [0, 1)
	Log      *slog.Logger
}

// New returns the machine of the function f, with the settings that getenv has.
func New(f settings.Function, getenv func(string) string, now func() time.Time, log *slog.Logger) (Machine, error) {
	s, err := settings.Load(f, getenv)
	if err != nil {
		return Machine{}, err
	}
	return Machine{Settings: s, Getenv: getenv, AWS: awsenv.HTTPClient(), Now: now, Random: rand.Float64, Log: log}, nil
}

// Secrets returns the store of client credentials and keys.
func (m Machine) Secrets() (*secrets.Store, error) {
	client, err := m.manager()
	if err != nil {
		return nil, err
	}
	return &secrets.Store{
		API: client, Prefix: m.Settings.ProviderSecrets, Seal: m.Settings.SealSecret, Connect: m.Settings.ConnectSecret,
		AllowPrivate: m.Settings.AllowPrivateProviders, Now: m.Now, Jitter: m.Random,
	}, nil
}

func (m Machine) manager() (*secretsmanager.Client, error) {
	c, err := awsenv.Config(m.Getenv, "SECRETS_MANAGER", m.AWS)
	if err != nil {
		return nil, err
	}
	return secretsmanager.NewFromConfig(c), nil
}

// Store returns the store of connections and authorization requests.
func (m Machine) Store() (*dynamo.Store, error) {
	c, err := awsenv.Config(m.Getenv, "DYNAMODB", m.AWS)
	if err != nil {
		return nil, err
	}
	return &dynamo.Store{API: dynamodb.NewFromConfig(c), ConnectionsTable: m.Settings.ConnectionsTable, StateTable: m.Settings.StateTable}, nil
}

// Table returns what notices that the connections table was exchanged.
func (m Machine) Table(store *dynamo.Store) (*refresh.Table, error) {
	c, err := awsenv.Config(m.Getenv, "DYNAMODB", m.AWS)
	if err != nil {
		return nil, err
	}
	client := dynamodb.NewFromConfig(c)
	t := &refresh.Table{
		ID: func(ctx context.Context) (string, error) {
			return dynamo.TableID(ctx, client, m.Settings.ConnectionsTable)
		},
		Hold: store.Hold,
	}
	for _, p := range providers.All() {
		t.Providers = append(t.Providers, p.ID)
	}
	return t, nil
}

// Queue returns the queue of shard hints, nil where there is none.
func (m Machine) Queue() (refresh.Queue, error) {
	if m.Settings.ShardQueueURL == "" {
		return nil, nil
	}
	c, err := awsenv.Config(m.Getenv, "SQS", m.AWS)
	if err != nil {
		return nil, err
	}
	return &queue.Queue{API: sqs.NewFromConfig(c), URL: m.Settings.ShardQueueURL}, nil
}

// Tokens returns the client of the providers.
func (m Machine) Tokens() *oauth.TokenClient {
	return &oauth.TokenClient{HTTP: oauth.NewHTTPClient(m.Settings.AllowPrivateProviders), Now: m.Now}
}

// Spill returns the store of what the store of connections does not take.
func (m Machine) Spill() (*secrets.Spill, error) {
	client, err := m.manager()
	if err != nil {
		return nil, err
	}
	return &secrets.Spill{API: client, Prefix: m.Settings.RescueSecrets}, nil
}

// Renewer returns what refreshes single connections.
func (m Machine) Renewer(store *dynamo.Store, s *secrets.Store, tokens *oauth.TokenClient, spill *secrets.Spill) *refresh.Renewer {
	return &refresh.Renewer{
		Leases: store, Breakers: store, Secrets: s, Tokens: tokens, Spill: spill,
		Shards: m.Settings.DueShards, NewID: crand.Text, Random: m.Random, Now: m.Now, Log: m.Log,
	}
}

// RenewOne returns r.Renew for callers who refresh one connection at a time, and
// prints its metrics each time: a sweep prints those of all its refreshes once.
func (m Machine) RenewOne(r *refresh.Renewer) func(ctx context.Context, k connection.Key, storedFence int64) error {
	return func(ctx context.Context, k connection.Key, storedFence int64) error {
		report, err := r.Renew(ctx, k, storedFence)
		attempt := report.Attempt
		attempt.Expires = time.Time{} // it was asked for, whenever the token ends
		var b metrics.Batch
		b.Refresh(k.Provider, attempt)
		b.Log(ctx, m.Log, m.FunctionName(), m.Now())
		return err
	}
}

// FunctionName returns the name under which Lambda runs the function, "" where it
// does not: then there are no metrics.
func (m Machine) FunctionName() string { return m.Getenv("AWS_LAMBDA_FUNCTION_NAME") }

// Rescuer returns what brings spilled tokens back that no refresh would find.
func (m Machine) Rescuer(store *dynamo.Store, s *secrets.Store, tokens *oauth.TokenClient, spill *secrets.Spill) *refresh.Rescuer {
	return &refresh.Rescuer{
		Spills: spill, Connections: store, Secrets: s, Tokens: tokens, Shards: m.Settings.DueShards, Now: m.Now, Log: m.Log,
	}
}
