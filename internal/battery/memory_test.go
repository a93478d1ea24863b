package battery

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/evergrant/evergrant/internal/authorize"
	"github.com/evergrant/evergrant/internal/callback"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connections"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/refresh"
	"github.com/evergrant/evergrant/internal/secrets"
)

func TestBatteryInProcess(t *testing.T) { Run(t, inProcess(t)) }

const sealKey = "c4nary-seal-key-0123456789abcdefgh"

// A process is the handlers as functions have them, on a store in memory.
type process struct {
	*connectiontest.Memory // read past the faults
	manager                *manager
	now                    func() time.Time
	completionURL          string

	mu          sync.Mutex
	printed     bytes.Buffer
	offset      time.Duration
	broken      map[string]Fault
	authorize   *authorize.Handler
	callback    *callback.Handler
	connections *connections.Handler
}

// inProcess returns the handlers as a target, with and without a host that
// completes connections.
func inProcess(t *testing.T) Target {
	t.Helper()
	provider := NewProvider(t)
	target, hosted := newProcess(provider, ""), newProcess(provider, "https://app.example.com/complete")
	target.Hosted = &hosted
	return target
}

// newProcess returns the handlers as a target.
func newProcess(provider *Provider, completionURL string) Target {
	p := &process{Memory: new(connectiontest.Memory), broken: map[string]Fault{}, completionURL: completionURL}
	connectKey := "c4nary-connect-key-0123456789abcdef"
	p.manager = &manager{values: map[string][]string{
		"seal": {`{"current":"k1","k1":"` + sealKey + `"}`}, "connect": {`{"current":"k1","k1":"` + connectKey + `"}`},
	}}
	for _, id := range []string{"whiplash", "whisk", "whatnot", "whcc"} {
		p.manager.put("providers/"+id, provider.Document(id))
	}
	p.now = func() time.Time {
		p.mu.Lock()
		defer p.mu.Unlock()
		return time.Now().Add(p.offset)
	}
	p.OnWrite = func(op string, _ any) (bool, error) { return p.meet(op) }
	p.wire()
	return Target{
		Name: "in-process", Deployment: p, PublicURL: "https://connect.example.com", ReturnTo: "https://app.example.com/done",
		ConnectKey: connectKey, Secrets: []string{sealKey}, Provider: provider, Now: p.now, Brief: brief,
		CompletionURL: completionURL, Writes: p.writes,
		Advance: func(d time.Duration) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.offset += d
		},
		Configure: func(provider, document string) { p.manager.put("providers/"+provider, document) },
		Forget:    p.wire,
		Break: func(op string, how Fault) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.broken[op] = how
		},
		Mend: func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			clear(p.broken)
		},
		Limits: true, Hosts: true,
	}
}

// wire makes the handlers anew, as a function does that starts. They have no
// PublicURL, so that it is API Gateway's own.
func (p *process) wire() {
	store := &secrets.Store{API: p.manager, Prefix: "providers/", Seal: "seal", Connect: "connect", AllowPrivate: true, Now: p.now, Jitter: half}
	tokens := &oauth.TokenClient{HTTP: oauth.NewHTTPClient(true), Now: p.now}
	log := slog.New(slog.NewJSONHandler(p, &slog.HandlerOptions{Level: slog.LevelDebug}))
	tables := spoilt{p.Memory, p}
	p.authorize = &authorize.Handler{
		Secrets: store, Provider: tokens, ReturnOrigins: []string{"https://app.example.com"}, Now: p.now, Log: log,
	}
	p.callback = &callback.Handler{
		Secrets: store, Tokens: tokens, Requests: tables, History: tables, Connections: tables, Spill: nowhere{},
		CompletionURL: p.completionURL, Shards: 4, Random: half, Now: p.now, Log: log,
	}
	renewer := &refresh.Renewer{
		Leases: p.Memory, Breakers: p.Memory, Secrets: store, Tokens: tokens, Shards: 4, NewID: rand.Text, Random: half, Now: p.now, Log: log,
	}
	p.connections = &connections.Handler{
		Reader: tables, Writer: tables, Requests: tables, Breakers: p.Memory, Secrets: store, Tokens: tokens, Spill: nowhere{},
		Renew: func(ctx context.Context, k connection.Key, storedFence int64) error {
			_, err := renewer.Renew(ctx, k, storedFence)
			return err
		},
		Shards: 4, Random: half, Now: p.now, Log: log,
	}
}

// writes returns how many writes the store was asked for.
func (p *process) writes() int {
	sum := 0
	for op, n := range p.Calls() {
		if !strings.HasPrefix(op, "Get") && !strings.HasPrefix(op, "List") {
			sum += n
		}
	}
	return sum
}

func half() float64 { return 0.5 }

// nowhere is a spill that takes everything.
type nowhere struct{}

func (nowhere) Put(context.Context, connection.SpillKey, []byte) error { return nil }
func (nowhere) Delete(context.Context, connection.SpillKey) error      { return nil }

// Write takes what is printed.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.printed.Write(b)
}

// Log implements Deployment.
func (p *process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.printed.String()
}

// errDown is the error of a broken store. Its text may be printed.
var errDown = errors.New("connection refused")

// errCrash is what a crash panics with.
var errCrash = errors.New(stranger)

// meet decides what becomes of a call of the store.
func (p *process) meet(op string) (apply bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	how, ok := p.broken[op]
	switch {
	case !ok:
		return true, nil
	case how == Unanswered:
		return true, errDown
	case how == CrashedBefore:
		panic(errCrash)
	}
	return how == Crashed, errDown
}

// spoilt is the store with faults in what OnWrite does not see: reads, and the
// panic behind a write.
type spoilt struct {
	*connectiontest.Memory
	p *process
}

func (s spoilt) ClaimRequest(ctx context.Context, r connection.Request) error {
	err := s.Memory.ClaimRequest(ctx, r)
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if how, ok := s.p.broken["ClaimRequest"]; ok && how == Crashed {
		panic(errCrash)
	}
	return err
}

func (s spoilt) GetRequest(ctx context.Context, id, state string) (connection.Request, error) {
	if _, err := s.p.meet("GetRequest"); err != nil {
		return connection.Request{}, err
	}
	return s.Memory.GetRequest(ctx, id, state)
}

func (s spoilt) Get(ctx context.Context, k connection.Key) (connection.Connection, error) {
	if _, err := s.p.meet("Get"); err != nil {
		return connection.Connection{}, err
	}
	return s.Memory.Get(ctx, k)
}

// Do implements Deployment, as API Gateway does for an HTTP API.
func (p *process) Do(ctx context.Context, r Request) (Answer, error) {
	ev := Event(r)
	limit := 29 * time.Second
	if r.Time != 0 {
		limit = r.Time
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	handle := p.authorize.Handle
	if strings.HasPrefix(r.Path, "/callback/") {
		handle = p.callback.Handle
	}
	resp, err := handle(ctx, ev)
	if err != nil {
		return Answer{}, fmt.Errorf("the invocation fails: %w", err)
	}
	return Answered(resp), nil
}

// Invoke implements Deployment, as Lambda does for the control plane.
func (p *process) Invoke(ctx context.Context, input []byte) ([]byte, error) {
	ctx, cancel := context.WithDeadline(ctx, p.now().Add(time.Minute)) // by the clock that the handler looks at
	defer cancel()
	resp, err := p.connections.Handle(ctx, input)
	if err != nil {
		return nil, fmt.Errorf("the invocation fails: %w", err)
	}
	return json.Marshal(resp)
}

// A manager is Secrets Manager in memory: the versions of each secret, the
// current one last.
type manager struct {
	mu     sync.Mutex
	values map[string][]string
}

// put makes value the current version; "" removes the secret.
func (m *manager) put(name, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[name] = append(m.values[name], value)
	if value == "" {
		delete(m.values, name)
	}
}

// GetSecretValue implements secrets.API.
func (m *manager) GetSecretValue(_ context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	versions := m.values[*in.SecretId]
	if *in.VersionStage == "AWSPREVIOUS" && len(versions) > 0 {
		versions = versions[:len(versions)-1]
	}
	if len(versions) == 0 {
		return nil, &types.ResourceNotFoundException{Message: aws.String("Secrets Manager can't find the specified secret.")}
	}
	return &secretsmanager.GetSecretValueOutput{SecretString: &versions[len(versions)-1]}, nil
}

// BatchGetSecretValue implements secrets.API. Nothing here warms a cache.
func (m *manager) BatchGetSecretValue(context.Context, *secretsmanager.BatchGetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.BatchGetSecretValueOutput, error) {
	return nil, errDown
}
