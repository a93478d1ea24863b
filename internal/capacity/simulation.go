package capacity

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// start is when virtual time begins.
var start = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// A simulation is a scenario that is being played.
type simulation struct {
	*Scenario
	random  *rand.Rand
	now     time.Duration
	agenda  agenda
	tenants []*tenant
	shard   map[string]int // by the key that connection.Shard returns

	sweeping bool   // a sweep of all shards is under way
	working  []bool // a worker is, by shard
	waiting  []int  // shards whose hints wait for a worker
	workers  int    // under way

	usage   Usage // of what there is once, such as the sweep lease
	sharded Usage // of the shards that are played
	backlog int   // due when a sweep began, at the worst moment
}

// A tenant is a provider with the connections to it.
type tenant struct {
	Provider
	Counts
	conns   []conn
	queues  []queue            // by shard
	breaker connection.Breaker // as the state table has it
	free    time.Duration      // the provider's time is reserved until then
	sent    []int32            // token requests by second
}

// Counts are what happened to the connections of a provider.
type Counts struct {
	Requests  int // token requests
	Claims    int // won
	Refreshed int
	Failed    int // attempts that brought no tokens
	Commits   int // writes that ended a lease, with tokens or without
	Deferred  int // writes of an unknown outcome, which leave the lease to run out
	Strikes   int // first ones of invalid_grant
	Mass      int // of invalid_grant, not believed since there were too many
	Marked    int // reauthorization_required
	Openings  int // of the breaker, for longer than a run waits
	Late      int // refreshed after the access token had expired

	Waited     float64       // seconds from due to refreshed, of all together
	Wait       time.Duration // the longest from due to refreshed
	Overdue    time.Duration // the longest from expired to refreshed
	LastBehind time.Duration // when the last one was refreshed that had been due for longer than patience
}

// patience is how long a connection waits at most where nothing is wrong.
const patience = 5 * time.Minute

// Simulate plays s to the end. It fails where s makes no sense.
func Simulate(s Scenario) (Result, error) {
	sim, err := prepare(s)
	if err != nil {
		return Result{}, err
	}
	sim.play()
	return sim.result()
}

// prepare returns the world as it is at the start.
func prepare(scenario Scenario) (*simulation, error) {
	if err := scenario.check(); err != nil {
		return nil, err
	}
	s := &simulation{
		Scenario: &scenario, shard: map[string]int{}, working: make([]bool, scenario.shards()), usage: Usage{}, sharded: Usage{},
		random: rand.New(rand.NewPCG(scenario.Seed, 0)), //nolint:gosec // The same seed must give the same run.
	}
	for i := range s.shards() {
		s.shard[connection.ShardKey(s.shards(), i)] = i
	}
	for _, p := range s.Providers {
		s.tenants = append(s.tenants, s.connect(p))
	}
	return s, nil
}

// play lets the time pass.
func (s *simulation) play() {
	s.at(0, s.tick)
	for len(s.agenda.events) > 0 {
		e := s.agenda.pop()
		s.now = e.at
		if e.lane != nil {
			s.settle(e)
		} else {
			e.do()
		}
	}
}

// at has do called at a time.
func (s *simulation) at(t time.Duration, do func()) { s.agenda.push(event{at: t, do: do}) }

// connect makes the connections to p.
func (s *simulation) connect(p Provider) *tenant {
	end := int(seconds(s.Length)) + 1
	t := &tenant{
		Provider: p, conns: make([]conn, max(1, int(float64(p.Connections)*s.part()))),
		queues: make([]queue, s.shards()),
	}
	for i := range t.queues {
		t.queues[i].first = make([]int32, end)
	}
	for i := range t.conns {
		c := &t.conns[i]
		t.renew(int32(i), -time.Duration(s.random.Float64()*float64(s.Import)))
		if s.Import == 0 { // Refreshed at any time since it was due last.
			back := int32(s.random.Float64() * float64(c.due))
			c.due, c.wanted, c.expires = c.due-back, c.wanted-back, c.expires-back
		}
		s.enqueue(t, int32(i))
	}
	return t
}

// renew gives connection i tokens that were issued at a time.
func (t *tenant) renew(i int32, issued time.Duration) {
	from := start.Add(issued).Truncate(time.Second)
	life := connection.Life{IssuedAt: from, ExpiresAt: from.Add(t.Life)}
	due := seconds(connection.DueAt(t.key(i), life).Sub(start))
	t.conns[i] = conn{due: due, wanted: due, expires: seconds(life.ExpiresAt.Sub(start))}
}

// key is that of connection i.
func (t *tenant) key(i int32) connection.Key {
	return connection.Key{ConnectionID: "acct_" + strconv.Itoa(int(i)), Provider: t.ID}
}

// enqueue puts connection i of t into its shard of the due index.
func (s *simulation) enqueue(t *tenant, i int32) {
	t.queues[s.shard[connection.Shard(t.key(i), s.shards())]].add(t.conns, i)
}
