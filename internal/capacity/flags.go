package capacity

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Parse returns the scenarios that the command's arguments ask for: Scenarios
// without any, else one that the flags describe. It writes its help to w.
func Parse(args []string, w io.Writer) ([]Scenario, error) {
	if len(args) == 0 {
		return Scenarios(), nil
	}
	p := Provider{ID: "acme"}
	s := Scenario{Name: "own", Worker: DefaultWorker()}
	flags := flag.NewFlagSet("simulate", flag.ContinueOnError)
	flags.SetOutput(w)
	flags.IntVar(&p.Connections, "connections", 1_000_000, "number of connections")
	flags.DurationVar(&p.Life, "life", 2*time.Hour, "life of an access token")
	flags.DurationVar(&p.Latency, "latency", 300*time.Millisecond, "mean time until the provider answers")
	flags.Float64Var(&p.Rate, "rate", 0, "token requests a second that the provider takes, 0: no limit")
	errs := flags.String("errors", "", "shares of token requests, as in 503=0.01,silent=0.001,429=0.0001,refused=0.0001")
	flags.DurationVar(&p.Faults.RetryAfter, "retry-after", 30*time.Second, "what a 429 asks for")
	outage := flags.String("outage", "", "from-to:kind, as in 3h-4h:hanging; kinds: hanging, refusing, unavailable, denying")
	flags.IntVar(&s.Shards, "shards", 4, "shards of the due index")
	flags.IntVar(&s.Simulated, "simulated", 0, "how many of the shards are played, 0: all")
	flags.BoolVar(&s.FanOut, "fan-out", false, "leave full shards to workers")
	flags.IntVar(&s.Worker.Workers, "workers", s.Worker.Workers, "workers at the same time")
	flags.DurationVar(&s.Worker.Timeout, "timeout", s.Worker.Timeout, "time-out of the function")
	flags.Float64Var(&s.Worker.Memory, "memory", s.Worker.Memory, "memory of the function in MB")
	flags.DurationVar(&s.Worker.CPU, "cpu", s.Worker.CPU, "what one refresh takes of the function's CPU")
	flags.IntVar(&s.Worker.Concurrency, "concurrency", s.Worker.Concurrency, "refreshes at the same time")
	hours := flags.Float64("hours", 8, "virtual time")
	flags.DurationVar(&s.Import, "import", 0, "everything was connected in so long a time before the start")
	flags.Uint64Var(&s.Seed, "seed", 1, "of everything random")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	s.Length = time.Duration(*hours * float64(time.Hour))
	err := errors.Join(p.Faults.parse(*errs), p.parseOutage(*outage))
	s.Providers = []Provider{p}
	return []Scenario{s}, err
}

// parse reads the shares of failures.
func (f *Faults) parse(text string) error {
	shares := map[string]*float64{"503": &f.Unavailable, "silent": &f.Silent, "429": &f.TooMany, "refused": &f.Refused}
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		share, err := strconv.ParseFloat(value, 64)
		if shares[name] == nil || err != nil || share < 0 || share > 1 {
			return fmt.Errorf("--errors: %q is no share: want for instance 503=0.01,silent=0.001", part)
		}
		*shares[name] = share
	}
	return nil
}

// parseOutage reads an outage, "" being none.
func (p *Provider) parseOutage(text string) error {
	if text == "" {
		return nil
	}
	span, kind, _ := strings.Cut(text, ":")
	from, to, _ := strings.Cut(span, "-")
	begins, errFrom := time.ParseDuration(from)
	ends, errTo := time.ParseDuration(to)
	switch Kind(kind) {
	case Hanging, Refusing, Unavailable, Denying:
	default:
		errTo = errors.New("unknown kind")
	}
	if errFrom != nil || errTo != nil {
		return fmt.Errorf("--outage: %q is none: want for instance 3h-4h:hanging", text)
	}
	p.Outages = []Outage{{From: begins, To: ends, Kind: Kind(kind)}}
	return nil
}
