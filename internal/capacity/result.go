package capacity

import "time"

// What is billed by size. A log line of ours has 400 bytes, what Lambda writes
// of an invocation 600. An item has 1 KB, and DynamoDB adds 100 bytes to each
// item and index row.
const (
	logLine       = 400e-9 // GB
	platformLines = 600e-9 // GB
	rowBytes      = 110
	itemBytes     = 1024 + 100
	storedBytes   = itemBytes + rowBytes + 100
)

// What is there whether or not anything is refreshed.
const (
	ownSecrets  = 2       // besides one for each provider: for sealing, and for tickets
	secretReads = 12      // of each, an hour
	rescues     = 6       // an hour: the sweep lists what was spilled
	idlePolls   = 5 * 180 // an hour, with a queue: five pollers that wait twenty seconds each
	month       = 720     // hours
)

// A Result is what became of a scenario. Amounts are those of the deployment,
// also where a part of it was played.
type Result struct {
	Scenario Scenario
	Fares    []Fare  // of the providers
	Backlog  float64 // connections that were due when a sweep began, at most
	Usage    Usage   // in Scenario.Length
	Bill     []Line  // of a month
	part     float64
}

// A Fare is how the connections of one provider fared. Its Counts are of the
// part that was played.
type Fare struct {
	Provider Provider
	Counts
	Expired  int           // connections whose access token has expired at the end
	Waiting  int           // connections that are in the index, or due after the end
	CatchUp  time.Duration // from the end of the last outage until nobody waited for it any more
	Mean     float64       // token requests a minute
	Peak     float64       // in the busiest minute
	PeakRate float64       // in the busiest second
}

// OnTime returns the share of refreshes that came before the access token had
// expired. One that has not come although it should have counts as late.
func (f Fare) OnTime() float64 {
	all := f.Refreshed + f.Expired
	if all == 0 {
		return 1
	}
	return 1 - float64(f.Late+f.Expired)/float64(all)
}

// Refreshes returns how many refreshes a month has.
func (r Result) Refreshes() float64 {
	n := 0
	for _, f := range r.Fares {
		n += f.Refreshed
	}
	return float64(n) / r.part * month / r.Scenario.Length.Hours()
}

// result returns what became of s.
func (s *simulation) result() (Result, error) {
	r := Result{Scenario: *s.Scenario, Backlog: float64(s.backlog) / s.part(), Usage: Usage{}, part: s.part()}
	for _, t := range s.tenants {
		r.Fares = append(r.Fares, s.fare(t))
	}
	for item, n := range s.sharded {
		r.Usage[item] += n / s.part()
	}
	for item, n := range s.usage {
		r.Usage[item] += n
	}
	hours := s.Length.Hours()
	r.Usage.keep(s.connections(), len(s.Providers), hours)
	r.Usage[SecretReads] += float64(ownSecrets+len(s.Providers)) * secretReads * hours
	if s.FanOut {
		r.Usage[Queue] += idlePolls * hours
	}
	prices, err := ReadPrices()
	if err != nil {
		return Result{}, err
	}
	r.Bill, err = prices.Bill(r.Usage, hours)
	return r, err
}

// keep adds what is there for so many connections and providers, whether or not
// anything is refreshed in the hours.
func (u Usage) keep(connections, providers int, hours float64) {
	u[Storage] += float64(connections) * storedBytes / 1e9
	u[Backup] += float64(connections) * itemBytes / 1e9
	u[SecretCount] += float64(ownSecrets + providers)
	u[SecretReads] += rescues * hours
}

// fare returns how t fared.
func (s *simulation) fare(t *tenant) Fare {
	f := Fare{Provider: t.Provider, Counts: t.Counts}
	minutes := make([]float64, len(t.sent)/60+1)
	for second, n := range t.sent {
		minutes[second/60] += float64(n) / s.part()
		f.PeakRate = max(f.PeakRate, float64(n)/s.part())
	}
	for _, n := range minutes {
		f.Mean += n / s.Length.Minutes()
		f.Peak = max(f.Peak, n)
	}
	for _, c := range t.conns {
		switch {
		case c.marked:
			continue
		case c.expires < seconds(s.Length):
			f.Expired++
		}
		if c.due > seconds(s.Length) {
			f.Waiting++
		}
	}
	for _, q := range t.queues {
		f.Waiting += q.size(t.conns)
	}
	for _, o := range t.Outages {
		f.CatchUp = max(f.CatchUp, t.LastBehind-o.To)
	}
	return f
}
