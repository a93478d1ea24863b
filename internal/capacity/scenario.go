package capacity

import (
	"errors"
	"fmt"
	"time"
)

// A Scenario is what one run plays.
type Scenario struct {
	Name      string
	Length    time.Duration // of virtual time
	Seed      uint64
	Providers []Provider

	// Import is how long it took to connect all connections, just before the
	// start; 0: they were connected at any time and have been refreshed since.
	Import time.Duration

	// Shards is the number of shards of the due index. Simulated is how many of
	// them are played, 0 meaning all: the connections, the rates of the
	// providers and the sweep's concurrency are then divided likewise, and
	// what is counted is multiplied again.
	Shards, Simulated int
	FanOut            bool // SQS and workers of their own for the shards that hold more than a page

	Worker Worker
}

// A Worker is the refresh function as it is deployed, and what its work takes.
type Worker struct {
	Timeout     time.Duration // RefreshFunction's Timeout in template.yaml
	Memory      float64       // MB: MemorySize in template.yaml
	Concurrency int           // RefreshConcurrency in template.yaml
	Workers     int           // FanOutWorkers in template.yaml

	// CPU is the time that one refresh keeps the function's share of a CPU busy.
	CPU time.Duration
	// Store is how long one call to DynamoDB takes.
	Store time.Duration
	// Hint is how long a shard hint takes to its worker.
	Hint time.Duration
}

// DefaultWorker is the function as template.yaml deploys it; a test compares.
//
// CPU: 1024 MB are 0.58 of a CPU, and one refresh takes 1.56 ms of a core of
// x86-64: 0.86 ms by BenchmarkRefreshCPU, and 0.7 ms for the TLS handshake that it
// leaves out, since oauth.NewHTTPClient makes a new connection for each token
// request. Store: single-digit milliseconds is what AWS says of DynamoDB.
func DefaultWorker() Worker {
	return Worker{
		Timeout: 90 * time.Second, Memory: 1024, Concurrency: 128, Workers: 10,
		CPU: 2700 * time.Microsecond, Store: 5 * time.Millisecond, Hint: 50 * time.Millisecond,
	}
}

// part returns which part of the deployment is played.
func (s *Scenario) part() float64 {
	if s.Simulated == 0 {
		return 1
	}
	return float64(s.Simulated) / float64(s.Shards)
}

// shards returns how many shards are played.
func (s *Scenario) shards() int {
	if s.Simulated == 0 {
		return s.Shards
	}
	return s.Simulated
}

// connections returns how many connections the deployment has.
func (s *Scenario) connections() int {
	n := 0
	for _, p := range s.Providers {
		n += p.Connections
	}
	return n
}

// check says what makes s impossible to play.
func (s *Scenario) check() error {
	switch w := s.Worker; {
	case s.Shards < 1 || s.Simulated < 0 || s.Simulated > s.Shards:
		return fmt.Errorf("%d of %d shards cannot be played", s.Simulated, s.Shards)
	case w.Timeout <= attempt:
		return fmt.Errorf("in %v no refresh can be finished: give the function more than %v", w.Timeout, attempt)
	case w.Concurrency < 1 || w.Workers < 1:
		return errors.New("a sweep needs a concurrency of at least 1, and so many workers")
	case len(s.Providers) == 0 || s.Length < time.Minute:
		return errors.New("there must be a provider and at least a minute to play")
	}
	for _, p := range s.Providers {
		if p.Connections < 1 || p.Life < time.Minute || p.Latency < 0 || p.Rate < 0 {
			return fmt.Errorf("provider %s: connections from 1, a life from a minute, latency and rate from 0", p.ID)
		}
	}
	return nil
}

// LimitedRate is the limit, in token requests a second, of the provider that
// names one in Scenarios.
const LimitedRate = 400

// Scenarios are the runs of `make simulate`.
func Scenarios() []Scenario {
	const day = 24 * time.Hour
	outage := func(k Kind, length time.Duration) []Outage { return []Outage{{time.Hour, time.Hour + length, k}} }
	million := acme(1_000_000, 2*time.Hour)
	limited := million
	limited.Rate, limited.Outages = LimitedRate, outage(Hanging, time.Hour)
	smaller := inline("half a million, function of 60 s and 512 MB", 6*time.Hour, acme(500_000, 2*time.Hour))
	smaller.Worker.Timeout, smaller.Worker.Memory, smaller.Worker.CPU = time.Minute, 512, 5400*time.Microsecond
	faulty := million
	faulty.Faults = Faults{Unavailable: 0.01, Silent: 0.001, TooMany: 0.00001, RetryAfter: 30 * time.Second}
	denied := million
	denied.Outages = outage(Denying, 30*time.Minute)
	half, hanging := acme(500_000, 2*time.Hour), acme(500_000, 2*time.Hour)
	hanging.ID, hanging.Outages = "hanging", outage(Hanging, time.Hour)
	imported := inline("100 thousand, connected within ten minutes", 6*time.Hour, acme(100_000, 2*time.Hour))
	imported.Import = 10 * time.Minute
	return []Scenario{
		inline("10", 12*time.Hour, acme(10, 2*time.Hour)),
		inline("10 thousand", 12*time.Hour, acme(10_000, 2*time.Hour)),
		imported,
		inline("1 million", 6*time.Hour, million),
		inline("1 million, 30 days", 2*day, acme(1_000_000, 30*day)),
		inline("1 million, outage of an hour", 6*time.Hour, limited),
		smaller,
		inline("1 million, 1 % of errors", 6*time.Hour, faulty),
		inline("1 million, every grant refused for half an hour", 5*time.Hour, denied),
		inline("1 million, one of two hangs for an hour", 6*time.Hour, half, hanging),
		fanned("100 million", 4*time.Hour, acme(100_000_000, 2*time.Hour)),
		fanned("100 million, 30 days", 2*day, acme(100_000_000, 30*day)),
	}
}

// acme is a provider without faults.
func acme(connections int, life time.Duration) Provider {
	return Provider{ID: "acme", Connections: connections, Life: life, Latency: 300 * time.Millisecond}
}

// inline is a deployment as template.yaml has it.
func inline(name string, length time.Duration, p ...Provider) Scenario {
	return Scenario{Name: name, Length: length, Seed: 1, Shards: 4, Providers: p, Worker: DefaultWorker()}
}

// fanned is one with many shards and a queue, of which a part is played.
func fanned(name string, length time.Duration, p ...Provider) Scenario {
	s := inline(name, length, p...)
	s.Shards, s.Simulated, s.FanOut, s.Worker.Workers = 1024, 16, true, 128
	return s
}
