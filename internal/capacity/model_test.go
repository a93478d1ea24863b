//go:build !race

// Nothing here runs at once, and the race detector takes many times as long: make
// million plays this.

package capacity

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/refresh"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/pkg/providers"
)

// The code and the model, side by side: refresh.Handler and refresh.Renewer
// over the store in memory, and Simulate, begin with the same connections and
// meet providers that answer alike.
func TestTheModelDoesWhatTheCodeDoes(t *testing.T) {
	p := Provider{ID: "acme", Connections: 1500, Life: 2 * time.Hour, Latency: 300 * time.Millisecond}
	tests := []struct {
		name   string
		length time.Duration
		set    func(*Provider)
	}{
		{"nothing wrong", 6 * time.Hour, func(*Provider) {}},
		{"a hanging hour", 6 * time.Hour, func(p *Provider) {
			p.Connections = 6000
			p.Outages = []Outage{{2 * time.Hour, 3 * time.Hour, Hanging}}
		}},
		{"an hour out of reach", 6 * time.Hour, func(p *Provider) { p.Outages = []Outage{{2 * time.Hour, 3 * time.Hour, Refusing}} }},
		{"an hour of 503, token by token again", 6 * time.Hour, func(p *Provider) {
			p.Rotation = providers.Reusable
			p.Outages = []Outage{{2 * time.Hour, 3 * time.Hour, Unavailable}}
		}},
		{"errors of all kinds", 6 * time.Hour, func(p *Provider) {
			p.Faults = Faults{Unavailable: 0.03, Silent: 0.03, TooMany: 0.003, Refused: 0.01, RetryAfter: 20 * time.Second}
		}},
		{"half an hour of refusals", 4 * time.Hour, func(p *Provider) { p.Outages = []Outage{{2 * time.Hour, 150 * time.Minute, Denying}} }},
		{"a limited rate", 6 * time.Hour, func(p *Provider) {
			p.Rate = 2
			p.Outages = []Outage{{time.Hour, 2 * time.Hour, Hanging}}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := p
			tt.set(&p)
			s := inline(tt.name, tt.length, p)
			s.Worker.Store, s.Worker.CPU = 0, 0 // the store in memory takes no time
			sim, err := prepare(s)
			if err != nil {
				t.Fatal(err)
			}
			var code Counts
			synctest.Test(t, func(t *testing.T) { code = playCode(t, &s, sim.tenants[0]) })
			sim.play()
			agree(t, sim.tenants[0].Counts, code)
		})
	}
}

// agree compares counts: those of all connections to within two in a hundred, those
// of what chance meets to within a quarter, or what is common among so few.
func agree(t *testing.T, model, code Counts) {
	t.Helper()
	mean := func(c Counts) int { return int(c.Waited / float64(c.Refreshed) * 1000) }
	few := func(a, b int) float64 { return max(float64(max(a, b))/4, 3*math.Sqrt(float64(max(a, b)))) }
	for _, c := range []struct {
		what        string
		model, code int
		may         float64
	}{
		{"token requests", model.Requests, code.Requests, 0.02 * float64(code.Requests)},
		{"claims", model.Claims, code.Claims, 0.02 * float64(code.Claims)},
		{"refreshes", model.Refreshed, code.Refreshed, 0.02 * float64(code.Refreshed)},
		{"commits", model.Commits, code.Commits, 0.02 * float64(code.Commits)},
		{"late refreshes", model.Late, code.Late, few(model.Late, code.Late)},
		{"deferrals", model.Deferred, code.Deferred, few(model.Deferred, code.Deferred)},
		{"openings of the breaker", model.Openings, code.Openings, few(model.Openings, code.Openings)},
		{"marked connections", model.Marked, code.Marked, few(model.Marked, code.Marked)},
		{"milliseconds of the mean wait", mean(model), mean(code), max(2000, float64(mean(code))/6)},
	} {
		t.Logf("%s: %d in the model, %d in the code", c.what, c.model, c.code)
		if math.Abs(float64(c.model-c.code)) > c.may {
			t.Errorf("%s: more than %.0f apart", c.what, c.may)
		}
	}
}

// A world is the code with everything around it, and counts what happens.
type world struct {
	*connectiontest.Memory
	provider Provider
	began    time.Time
	client   oauth.Client
	keys     seal.Keys

	mu     sync.Mutex
	random *rand.Rand
	Counts
	wanted  map[connection.Key]time.Time
	expires map[connection.Key]time.Time
	ids     int
}

// playCode lets the real sweeps refresh the connections of a tenant.
func playCode(t *testing.T, s *Scenario, from *tenant) Counts {
	w := newWorld(t, s, from)
	random := func() float64 { w.mu.Lock(); defer w.mu.Unlock(); return w.random.Float64() }
	log := slog.New(slog.DiscardHandler)
	r := &refresh.Renewer{
		Leases: w, Breakers: w, Secrets: w, Tokens: w, Shards: s.Shards, NewID: w.newID, Random: random, Now: time.Now, Log: log,
	}
	h := &refresh.Handler{
		Index: w, Sweeps: w, Providers: w, Clients: w, Renew: r.Renew, Shards: s.Shards, Concurrency: s.Worker.Concurrency,
		NewID: w.newID, Random: random, Now: time.Now, Log: log,
	}
	var sweeps sync.WaitGroup
	for range int(s.Length / time.Minute) {
		sweeps.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), s.Worker.Timeout)
			defer cancel()
			if _, err := h.Handle(ctx, json.RawMessage(`{"action":"sweep"}`)); err != nil {
				t.Errorf("sweep: %v", err)
			}
		})
		<-time.After(time.Minute)
	}
	sweeps.Wait()
	calls := w.Calls()
	w.Deferred = calls["Defer"]
	for i := range from.conns {
		c, err := w.Get(t.Context(), from.key(int32(i)))
		if err != nil {
			t.Fatalf("Get: %v", err)
		}
		if c.Status == connection.ReauthorizationRequired {
			w.Marked++
		}
	}
	return w.Counts
}

// newWorld returns the code's world with the connections of a tenant.
func newWorld(t *testing.T, s *Scenario, from *tenant) *world {
	keys, err := seal.ParseKeys([]byte(`{"current":"k1","k1":"0123456789abcdef0123456789abcdef"}`))
	if err != nil {
		t.Fatalf("ParseKeys: %v", err)
	}
	w := &world{
		Memory: new(connectiontest.Memory), provider: from.Provider, began: time.Now(), keys: keys,
		client: oauth.Client{Provider: providers.Provider{ID: from.ID, Rotation: from.Rotation}, ID: "client", RefreshRate: from.Rate},
		random: rand.New(rand.NewPCG(s.Seed, 1)), wanted: map[connection.Key]time.Time{}, expires: map[connection.Key]time.Time{},
	}
	for i, known := range from.conns {
		k := from.key(int32(i))
		due, expires := w.began.Add(time.Duration(known.due)*time.Second), w.began.Add(time.Duration(known.expires)*time.Second)
		tokens := oauth.TokenSet{AccessToken: "access", TokenType: "Bearer", RefreshToken: "refresh", IssuedAt: expires.Add(-from.Life), ExpiresAt: expires}
		c, err := connection.New(k, w.client, tokens, keys, s.Shards)
		if err != nil {
			t.Fatalf("New: %v", err)
		}
		if d := c.Due.At.Sub(due).Abs(); d > time.Second {
			t.Fatalf("connection %d is due at %v in the code and at %v in the model", i, c.Due.At, due)
		}
		if _, err := w.Connect(t.Context(), c); err != nil {
			t.Fatalf("Connect: %v", err)
		}
		w.wanted[k], w.expires[k] = c.Due.At, expires
	}
	return w
}

// Claim counts a claim that is won.
func (w *world) Claim(ctx context.Context, cl connection.Claim) (connection.Connection, error) {
	old, err := w.Memory.Claim(ctx, cl)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.Claims++
	}
	return old, err
}

// Commit counts what is written, and how late.
func (w *world) Commit(ctx context.Context, c connection.Connection) error {
	err := w.Memory.Commit(ctx, c)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Commits++
	if c.StoredFence == c.Fence { // new tokens
		now := time.Now()
		w.Refreshed++
		w.Waited += now.Sub(w.wanted[c.Key]).Seconds()
		if now.After(w.expires[c.Key]) {
			w.Late++
		}
		w.wanted[c.Key], w.expires[c.Key] = c.Due.At, c.ExpiresAt
	}
	return err
}

// SetBreaker counts openings that other runs learn of.
func (w *world) SetBreaker(ctx context.Context, provider string, b connection.Breaker) error {
	w.mu.Lock()
	if !b.OpenUntil.IsZero() {
		w.Openings++
	}
	w.mu.Unlock()
	return w.Memory.SetBreaker(ctx, provider, b)
}

func (w *world) newID() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids++
	return fmt.Sprintf("id-%d", w.ids)
}

// Client, Others and SealKeys are the secrets.
func (w *world) Client(context.Context, string) (oauth.Client, error) { return w.client, nil }

func (w *world) Others(context.Context, oauth.Client) ([]oauth.Client, error) { return nil, nil }

func (w *world) SealKeys(context.Context) (seal.Keys, error) { return w.keys, nil }

// Refresh answers as the modelled provider does, in the same time.
func (w *world) Refresh(context.Context, oauth.Client, oauth.Secret) (oauth.TokenSet, error) {
	w.mu.Lock()
	took, err := w.provider.Answer(time.Since(w.began), w.random)
	if _, notSent := wire(err); !notSent {
		w.Requests++
	}
	w.mu.Unlock()
	<-time.After(took)
	if err != nil {
		return oauth.TokenSet{}, err
	}
	now := time.Now()
	return oauth.TokenSet{AccessToken: "access", TokenType: "Bearer", RefreshToken: "refresh", IssuedAt: now, ExpiresAt: now.Add(w.provider.Life)}, nil
}

// Issue and Revoke are never called here.
func (w *world) Issue(context.Context, oauth.Client) (oauth.TokenSet, error) {
	return oauth.TokenSet{}, oauth.ErrNotConfigured
}

func (w *world) Revoke(context.Context, oauth.Client, oauth.Secret, oauth.Secret) error { return nil }
