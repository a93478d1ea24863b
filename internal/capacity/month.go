package capacity

import (
	"math"
	"strconv"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// What the code does at each step. TestARefreshMakesTwoWritesAndNoReadBesidesTheSweep
// counts the calls of the built function, BenchmarkSweep those of a long sweep,
// TestTheMetricsOfAMonthAreThoseOfTheCode the metrics.
const (
	sweepWrites    = 2 // of the sweep lease: taken, given back
	sweepShards    = 4 // DueShards: a query each
	emptyQuery     = 0.5
	tableLooks     = 1                                      // which table it is: DescribeTable, which is free
	sweepCalls     = sweepWrites + tableLooks + sweepShards // to DynamoDB, one after the other
	refreshWrites  = 2                                      // claim, commit
	refreshIndex   = 2                                      // out of its old place, into the new one
	providerReads  = 1                                      // of a breaker, where something is due
	providerWrites = 1                                      // the count of answers, at the end of a run at the latest

	idleMetrics   = 1  // OldestDueSeconds
	usedMetrics   = 2  // SecondsToExpiry, and Refreshes of one provider and outcome
	sharedMetrics = 1  // FailedPercent, where a run has so many refreshes:
	shareOf       = 10 // of a provider
)

// A Month is what a deployment does in one where nothing goes wrong, by
// arithmetic: docs/cost.md has one for each size. It agrees with Simulate
// (TestTheArithmeticAgreesWithTheSimulation), which takes minutes for that.
// The zero Month is an idle one.
type Month struct {
	Connections int
	Life        time.Duration // of an access token
}

// sweeps is how many runs a month has: one each minute.
const sweeps = month * 60

// lookedAt is of how many connections the mean interval is taken, since the
// spread comes from the connection.
const lookedAt = 200

// Refreshes returns how many there are.
func (m Month) Refreshes() float64 {
	if m.Connections == 0 {
		return 0
	}
	var sum time.Duration
	for i := range lookedAt {
		k := connection.Key{ConnectionID: "acct_" + strconv.Itoa(i), Provider: "acme"}
		sum += connection.DueAt(k, connection.Life{IssuedAt: start, ExpiresAt: start.Add(m.Life)}).Sub(start)
	}
	wait := time.Minute/2 + latency // for the next sweep, and for the provider
	return float64(m.Connections) * month / (sum/lookedAt + wait).Hours()
}

// latency is that of the provider of Scenarios.
const latency = 300 * time.Millisecond

// runs returns in how many sweeps something is due, and how much in each.
func (m Month) runs() (busy, due float64) {
	mean := m.Refreshes() / sweeps
	if mean == 0 {
		return 0, 0
	}
	share := 1 - math.Exp(-mean) // they fall due one by one
	return sweeps * share, mean / share
}

// sweepSeconds returns how long a sweep takes in which so much is due. It begins with a
// few refreshes at a time, and each answer lets one more begin, so that they
// double with each round of answers.
func sweepSeconds(w Worker, due float64) float64 {
	s := sweepCalls * w.Store.Seconds()
	if due == 0 {
		return s
	}
	rounds := 1 + math.Log2(1+min(due, float64(w.Concurrency))/slowStart)
	return s + due*w.CPU.Seconds() + rounds*latency.Seconds()
}

// Usage returns what is used where every switch is off.
func (m Month) Usage() Usage {
	w, u := DefaultWorker(), Usage{}
	n := m.Refreshes()
	busy, due := m.runs()
	u.keep(m.Connections, 1, month)
	if n > 0 {
		u[SecretReads] += (ownSecrets + 1) * secretReads * month
		u[CustomMetrics] = usedMetrics * (1 - math.Exp(-n/month)) // billed by the hour, where there was one
	}
	if due >= shareOf {
		u[CustomMetrics] += sharedMetrics
	}
	u[CustomMetrics] += idleMetrics
	u[TableWrites] = refreshWrites * n
	u[IndexWrites] = refreshIndex * n
	u[StateWrites] = sweepWrites*sweeps + max(providerWrites, due/countEvery)*busy
	rows := due + max(due-laneBuffer, 0) // what the buffer does not hold is read twice
	u[Reads] = sweepShards*emptyQuery*sweeps + (providerReads+rows*rowBytes/4096/2)*busy
	u[Schedule], u[Invocations] = sweeps, sweeps
	u[Compute] = (sweepSeconds(w, 0)*(sweeps-busy) + sweepSeconds(w, due)*busy) * w.Memory / 1024
	u[Log] = (platformLines+logLine)*sweeps + logLine*busy
	u[LogStorage] = u[Log] // of a month, where LogRetentionDays is 30
	return u
}

// add adds what v uses, times f.
func (u Usage) add(v Usage, f float64) {
	for item, n := range v {
		u[item] += f * n
	}
}
