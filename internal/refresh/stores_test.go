package refresh

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/bolt"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/dynamo"
	"github.com/evergrant/evergrant/internal/dynamotest"
	"github.com/evergrant/evergrant/internal/oauth"
)

// A whole store, as a refresh and its test use it.
type wholeStore interface {
	Leases
	Connect(ctx context.Context, c connection.Connection) (connection.Connection, error)
}

// Ten workers who refresh one connection make one token request, whatever the
// store.
func TestTenWorkersMakeOneTokenRequestOnEveryStore(t *testing.T) {
	stores := []struct {
		name string
		open func(t *testing.T) wholeStore
	}{
		{"memory", func(*testing.T) wholeStore { return new(connectiontest.Memory) }},
		{"bolt", func(t *testing.T) wholeStore {
			s, err := bolt.Open(filepath.Join(t.TempDir(), "evergrant.db"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		}},
		{"dynamodb", func(t *testing.T) wholeStore {
			db := dynamotest.Open(t)
			return &dynamo.Store{API: db.Client, ConnectionsTable: db.ConnectionsTable, StateTable: db.StateTable}
		}},
	}
	for _, tt := range stores {
		t.Run(tt.name, func(t *testing.T) {
			store := tt.open(t)
			f := newFixture(t)
			f.Leases = store
			c, err := connection.New(f.key, f.secrets.client, rotated(0), f.secrets.keys, f.Shards)
			if err != nil {
				t.Fatal(err)
			}
			c.Due.At = time.Now()
			if _, err := store.Connect(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			var arrived, workers sync.WaitGroup // arrived: has sent, or has lost
			arrived.Add(10)
			f.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
				arrived.Done()
				arrived.Wait() // the answer comes when everybody has tried
				return rotated(1), nil
			}
			for range 10 {
				workers.Go(func() {
					got, err := f.Renew(t.Context(), f.key, 0)
					if err != nil {
						t.Errorf("Renew: %v", err)
					}
					if got.Result == Skipped {
						arrived.Done()
					}
				})
			}
			workers.Wait()
			if got := len(f.endpoint.sent); got != 1 {
				t.Errorf("%d token requests, want 1", got)
			}
			if c, err := store.Get(t.Context(), f.key); err != nil || c.AccessToken != "c4nary-access-1" || c.Lease.ID != "" {
				t.Errorf("stored %+v, %v", c, err)
			}
		})
	}
}
