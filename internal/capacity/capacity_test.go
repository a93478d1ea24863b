//go:build !race

// Nothing here runs at once, and the race detector takes many times as long: make
// million plays this.

package capacity

import (
	"bytes"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// simulate plays s, in which every connection must still be somewhere.
func simulate(t testing.TB, s Scenario) Result {
	t.Helper()
	r, err := Simulate(s)
	if err != nil {
		t.Fatalf("Simulate: %v", err)
	}
	for _, f := range r.Fares {
		if got, want := f.Waiting+f.Marked, int(float64(f.Provider.Connections)*s.part()); got != want {
			t.Errorf("%s: %d connections are left of %d", f.Provider.ID, got, want)
		}
		if f.Claims != f.Refreshed+f.Failed || f.Claims != f.Commits+f.Deferred {
			t.Errorf("%s: claims do not add up: %+v", f.Provider.ID, f.Counts)
		}
		if want := 2 * float64(f.Claims) / s.part(); len(r.Fares) == 1 && r.Usage[TableWrites] != want {
			t.Errorf("%v writes of the table, want two for each claim: %v", r.Usage[TableWrites], want)
		}
	}
	return r
}

// million returns a scenario of a million connections, or what is played of it.
func million(t testing.TB, name string) Scenario {
	s := named(t, name)
	s.Shards = 16
	s.Simulated = 16
	return s
}

// named returns a scenario of `make simulate`.
func named(t testing.TB, name string) Scenario {
	t.Helper()
	for _, s := range Scenarios() {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("there is no scenario %q", name)
	return Scenario{}
}

// One function without fan-out, as template.yaml deploys it, is enough for a
// million connections whose tokens live two hours, at a provider that answers
// in 300 ms.
func TestAMillionConnectionsAreRefreshedBeforeTheyExpire(t *testing.T) {
	s := million(t, "1 million")
	s.Length = 3 * time.Hour
	r := simulate(t, s)
	f := r.Fares[0]
	if f.OnTime() != 1 || f.Late != 0 || f.Expired != 0 || float64(f.Refreshed) < 1_500_000 {
		t.Errorf("%v on time, %d late, %d expired of %d", f.OnTime(), f.Late, f.Expired, f.Refreshed)
	}
	if f.Wait > 2*time.Minute {
		t.Errorf("one waited for %v: the function does not keep up", f.Wait)
	}
	if r.Usage[Invocations] != 3*60 || r.Usage[Queue] != 0 {
		t.Errorf("%v invocations and %v requests of the queue, want one sweep a minute", r.Usage[Invocations], r.Usage[Queue])
	}
}

// After an hour without an answer nobody has to connect again, hardly anybody
// was charged, and all are caught up with at the provider's own rate.
func TestAMillionConnectionsOutliveAnOutageOfAnHour(t *testing.T) {
	r := simulate(t, million(t, "1 million, outage of an hour"))
	f := r.Fares[0]
	if f.Marked != 0 || f.Expired != 0 {
		t.Errorf("%d connections marked dead, %d without a valid token at the end", f.Marked, f.Expired)
	}
	if f.CatchUp <= 0 || f.CatchUp > 3*time.Hour {
		t.Errorf("caught up after %v", f.CatchUp)
	}
	if f.Failed > 100 || f.Openings == 0 {
		t.Errorf("%d refreshes were spent on the outage, the breaker opened %d times", f.Failed, f.Openings)
	}
	if f.PeakRate > LimitedRate || f.Peak > 60*LimitedRate {
		t.Errorf("%v requests in a second and %v in a minute, of %d a second", f.PeakRate, f.Peak, LimitedRate)
	}
}

// A provider that hangs makes no other one late.
func TestAProviderThatHangsStarvesNoOther(t *testing.T) {
	s := named(t, "1 million, one of two hangs for an hour")
	for i := range s.Providers {
		s.Providers[i].Connections /= 10
	}
	r := simulate(t, s)
	if f := r.Fares[0]; f.OnTime() != 1 || f.Wait > 2*time.Minute {
		t.Errorf("the other one: %v on time, longest wait %v", f.OnTime(), f.Wait)
	}
	if f := r.Fares[1]; f.Marked != 0 || f.Expired != 0 || f.Openings == 0 {
		t.Errorf("the one that hung: %d marked, %d expired, %d openings", f.Marked, f.Expired, f.Openings)
	}
}

// A provider that refuses every grant for half an hour, as after a mistake of
// its own, asks nobody to connect again: the two strikes are not believed.
func TestAProviderThatRefusesEverybodyIsNotBelieved(t *testing.T) {
	s := named(t, "1 million, every grant refused for half an hour")
	for _, n := range []int{2_000, 100_000} {
		s.Providers[0].Connections = n
		f := simulate(t, s).Fares[0]
		if f.Marked != 0 || f.Mass == 0 || f.Expired != 0 {
			t.Errorf("%d connections: %d marked, %d refusals not believed, %d expired at the end", n, f.Marked, f.Mass, f.Expired)
		}
	}
}

// What was connected all at once is not due all at once.
func TestAnImportIsSpread(t *testing.T) {
	s := named(t, "100 thousand, connected within ten minutes")
	s.Import = time.Second
	r := simulate(t, s)
	if f := r.Fares[0]; f.OnTime() != 1 || f.Late != 0 {
		t.Errorf("%v on time, %d late", f.OnTime(), f.Late)
	}
	if r.Backlog > 60_000 {
		t.Errorf("%v of %v are due at once", r.Backlog, s.connections())
	}
}

// With fan-out no worker is asked for while there is little to do, and the rate
// of a provider holds for all workers together.
func TestFanOut(t *testing.T) {
	s := named(t, "100 million")
	s.Length, s.Simulated, s.Providers[0].Rate, s.Worker.Workers = 90*time.Minute, 8, 20_000, 256
	r := simulate(t, s)
	f := r.Fares[0]
	if f.OnTime() != 1 || float64(f.Refreshed) < 500_000 {
		t.Errorf("%v on time of %d", f.OnTime(), f.Refreshed)
	}
	if most := s.Providers[0].Rate + 1/s.part(); f.PeakRate > most { // a worker sends one a time
		t.Errorf("%v requests in a second, of %v", f.PeakRate, s.Providers[0].Rate)
	}
	if workers := r.Usage[Invocations] - 90; workers < 45*1024 || workers > 90*1024 {
		t.Errorf("%v workers in 90 minutes, of one a shard and minute", workers)
	}
	s.Providers[0].Life = 30 * 24 * time.Hour
	if r := simulate(t, s); r.Usage[Invocations] != 90 {
		t.Errorf("%v invocations where a sweep is enough", r.Usage[Invocations])
	}
}

// The same seed gives the same run, another one another.
func TestARunCanBeRepeated(t *testing.T) {
	s := named(t, "10 thousand")
	s.Length = 3 * time.Hour
	s.Providers[0].Faults = Faults{Unavailable: 0.05}
	first, again := simulate(t, s), simulate(t, s)
	if !reflect.DeepEqual(first, again) {
		t.Errorf("the same seed gave\n%+v\n%+v", first.Fares, again.Fares)
	}
	s.Seed++
	if other := simulate(t, s); reflect.DeepEqual(first.Fares, other.Fares) {
		t.Error("another seed gave the same")
	}
}

// Every scenario of `make simulate` makes sense; the small ones are played.
func TestScenarios(t *testing.T) {
	var table Table
	for _, s := range Scenarios() {
		if err := s.check(); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		if s.connections() <= 10_000 {
			table = append(table, simulate(t, s))
		}
	}
	for _, r := range table {
		if f := r.Fares[0]; f.OnTime() != 1 || f.Marked != 0 {
			t.Errorf("%s: %v on time, %d marked", r.Scenario.Name, f.OnTime(), f.Marked)
		}
	}
	var b bytes.Buffer
	if n, err := table.WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo = %d, %v", n, err)
	}
	for line := range strings.SplitSeq(strings.TrimSpace(b.String()), "\n") {
		if n := strings.Count(line, "|"); n != 0 && n != 13 && n != 16 {
			t.Errorf("%d columns: %s", n-1, line)
		}
	}
}

func TestWhatCannotBePlayedIsRefused(t *testing.T) {
	for name, args := range map[string]string{
		"no connections":       "--connections 0",
		"too short a time-out": "--timeout 35s",
		"more than all shards": "--shards 4 --simulated 5",
		"no time":              "--hours 0",
		"no such fault":        "--errors 500=0.1",
		"no share":             "--errors 503=2",
		"no such outage":       "--outage 1h-2h:boring",
		"no span":              "--outage 1h:hanging",
		"no such flag":         "--dry-run",
	} {
		t.Run(name, func(t *testing.T) {
			scenarios, err := Parse(strings.Fields(args), io.Discard)
			if err == nil {
				_, err = Simulate(scenarios[0])
			}
			if err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestFlags(t *testing.T) {
	got, err := Parse(strings.Fields("--connections 7 --life 1h --latency 1s --errors 503=0.1,silent=0.2,429=0.3,refused=0.4 --retry-after 9s "+
		"--outage 1h-90m:denying --rate 5 --shards 8 --simulated 2 --fan-out --hours 1.5 --seed 3 --timeout 2m --memory 1024 --cpu 1ms --concurrency 9 --workers 6 --import 1m"), io.Discard)
	want := Scenario{
		Name: "own", Length: 90 * time.Minute, Seed: 3, Import: time.Minute, Shards: 8, Simulated: 2, FanOut: true,
		Providers: []Provider{{
			ID: "acme", Connections: 7, Life: time.Hour, Rate: 5, Latency: time.Second,
			Faults:  Faults{Unavailable: 0.1, Silent: 0.2, TooMany: 0.3, Refused: 0.4, RetryAfter: 9 * time.Second},
			Outages: []Outage{{time.Hour, 90 * time.Minute, Denying}},
		}},
		Worker: DefaultWorker(),
	}
	want.Worker.Timeout, want.Worker.Memory, want.Worker.CPU, want.Worker.Concurrency, want.Worker.Workers = 2*time.Minute, 1024, time.Millisecond, 9, 6
	if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("Parse = %+v, %v; want %+v", got, err, want)
	}
	if all, err := Parse(nil, io.Discard); err != nil || len(all) != len(Scenarios()) {
		t.Errorf("without flags: %d scenarios, %v", len(all), err)
	}
}

// Whatever the model uses has a price.
func TestTheModelUsesWhatHasAPrice(t *testing.T) {
	s := named(t, "100 million")
	s.Length, s.Simulated = time.Hour, 2
	if r := simulate(t, s); len(r.Usage) < 10 || Total(r.Bill) == 0 {
		t.Errorf("usage %v, bill %v", r.Usage, r.Bill)
	}
}

// docs/capacity.md has what `make simulate` prints, as far as that takes a second.
func TestTheTablesOfThePageAreThoseOfTheModel(t *testing.T) {
	page, err := os.ReadFile("../../docs/capacity.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, name := range []string{"10", "10 thousand"} {
		var b strings.Builder
		if _, err := (Table{simulate(t, named(t, name))}).WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if !strings.HasPrefix(line, "| "+name+" |") {
				continue
			}
			if rows++; !strings.Contains(string(page), line) {
				t.Errorf("docs/capacity.md does not have what make simulate prints:\n%s", line)
			}
		}
	}
	if rows != 4 {
		t.Errorf("%d rows", rows)
	}
}

// A refresh costs two base writes and two of the index, $2.50 a million, and
// all else together hardly anything.
func TestAMillionRefreshesCostTwoAndAHalfDollars(t *testing.T) {
	s := named(t, "10 thousand")
	s.Providers[0].Connections, s.Length = 200_000, time.Hour
	r := simulate(t, s)
	writes := r.Usage[TableWrites] + r.Usage[IndexWrites]
	if refreshed := float64(r.Fares[0].Refreshed); writes != 4*refreshed {
		t.Errorf("%v writes for %v refreshes", writes, refreshed)
	}
	if usd := Total(r.Bill) / r.Refreshes() * 1e6; usd < 2.50 || usd > 2.60 {
		t.Errorf("$%v a million refreshes", usd)
	}
}
