// Package battery plays bad inputs and faults against a deployment: what
// strangers send to authorize and callback, and what providers answer to a code.
//
// It is a table of cases (the files cases_*.go). Each bears its numbers in the
// list of numbers.go and says what is asked over HTTP, to the byte, what the
// provider answers, and what must be true afterwards. Some things must be true
// of every answer, and are checked there without a word in the table: safety
// headers, one line in the log or none, cookies, and no secret anywhere, in
// whatever form it is written (check.go, leaks.go).
//
// It knows the routes, the control plane, the two tables and the log of a
// Target, and nothing of how they come about, so that one table is played in
// three places: the handlers in this process, local mode, and the built
// functions. The provider is its own (provider.go): a stranger to the product,
// which answers whatever a case says.
//
// It is no test of the refresh, nor of the stores. To add a case, add it to the
// table that its number belongs to. A number that nobody plays names, in
// numbers.go, the tests that do, and says why it is not played here.
package battery

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// A Request is an HTTP request of a browser, or of something that is none.
type Request struct {
	Method  string
	Path    string            // such as /callback/whiplash
	Query   string            // as it is on the wire, without the question mark
	Header  map[string]string // by name in lower case; without cookies
	Cookies []string          // each as name=value
	Body    string

	by *flow // whose browser it is; nil: that of the case

	// Time is when the invocation ends that serves the request; 0: as the
	// target has it.
	Time time.Duration
}

// An Answer is the answer to a Request.
type Answer struct {
	Status  int
	Header  map[string]string // by canonical name; without cookies
	Cookies []string          // Set-Cookie lines
	Body    string

	by *Answer // the one that led to it from the callback to the callback; nil: none
}

// A Deployment is what the battery sees of a place where it is played. What it
// reads of the tables is read past the product's own requests.
type Deployment interface {
	// Do sends one request, follows no redirect and keeps no cookie.
	Do(ctx context.Context, r Request) (Answer, error)

	// Get and GetRequest read a row of the connections and of the state table,
	// as the stores do.
	Get(ctx context.Context, k connection.Key) (connection.Connection, error)
	GetRequest(ctx context.Context, id, state string) (connection.Request, error)

	// Invoke asks the control plane, as the host's backend does.
	Invoke(ctx context.Context, input []byte) ([]byte, error)

	// Log returns all that was printed so far, JSON lines, of every level.
	Log() string
}

// A Target is a deployment that serves the battery's Provider, and what can be
// done with it. Only its abilities may be nil: cannot says why they are.
type Target struct {
	Name string // in-process, local mode or built functions
	Deployment

	PublicURL  string   // what redirect URIs begin with; http: cookies have no __Host- prefix
	ReturnTo   string   // a URL on an allowed origin, without a query
	ConnectKey string   // the key k1, which signs connect tickets
	Secrets    []string // keys and other secrets that nobody may print
	Provider   *Provider
	Now        func() time.Time

	// Hosted is the same place with a host that completes connections at its
	// CompletionURL.
	Hosted        *Target
	CompletionURL string

	Advance   func(d time.Duration)                           // moves the clock of the deployment
	Configure func(provider, document string)                 // stores the client secret of a provider; "" removes it
	Forget    func()                                          // lets the deployment read its secrets anew; nil: it always does
	Break     func(op string, how Fault)                      // spoils each next call of a store's method of that name
	Mend      func()                                          // ends all that Break has set
	Overdue   func(ctx context.Context, id string) error      // ends the time of the answer that a row of the state table holds; nil: Advance does
	Garble    func(k connection.Key) (mend func(), err error) // gives an attribute of a connection another type
	Writes    func() int                                      // how many writes the tables were asked for so far; nil: nobody counts
	Limits    bool                                            // Request.Time counts
	Hosts     bool                                            // it may be asked under any name
	Brief     bool                                            // play each case in one way, in turn, not in both
}

// A Fault is what becomes of a call of a store.
type Fault int

// The faults.
const (
	Lost          Fault = iota // it has no effect, and fails
	Unanswered                 // it has its effect, and fails
	Crashed                    // it has its effect, and the handler panics
	CrashedBefore              // it has no effect, and the handler panics
)

// An ability is what only some targets can do. A case names those that it needs.
type ability int

const (
	needClock ability = iota
	needSecrets
	needCache
	needFaults
	needLimits
	needHosts
	needRows
)

// cannot says why a target lacks an ability.
var cannot = map[string]map[ability]string{
	"in-process": {
		needRows: "what is in memory has its type; internal/dynamo reads rows of other types",
	},
	"local mode": {
		needRows:   "the file is open in local mode alone; internal/dynamo reads rows of other types",
		needCache:  "it keeps no secret, so none is ever out of date",
		needFaults: "the embedded store has no outages to play",
		needLimits: "a route has 30 seconds there, as at API Gateway, and an exchange its ten",
		needHosts:  "whoever names another host is answered 421 before any handler",
	},
	"built functions": {
		needClock:  "their clock is the machine's",
		needFaults: "crash_test.go of internal/lambdatest kills them at every call they make",
	},
}

// abilities returns what t can do.
func (t Target) abilities() map[ability]bool {
	return map[ability]bool{
		needClock: t.Advance != nil, needSecrets: t.Configure != nil, needCache: t.Forget != nil, needFaults: t.Break != nil && t.Mend != nil,
		needLimits: t.Limits, needHosts: t.Hosts, needRows: t.Garble != nil,
	}
}

// missing returns why t cannot play c, "" if it can.
func (t Target) missing(c Case) string {
	can := t.abilities()
	for _, a := range c.needs {
		if !can[a] {
			return cannot[t.Name][a]
		}
	}
	return ""
}

// A way is how a case is played. Each is played in every way, so that all that
// can come of it is seen as a page and as a document, with a place to go back to
// and without, and with a connection that must outlive it and without one.
type way struct {
	name      string
	document  bool // Accept asks for JSON
	stays     bool // there is no return_to
	connected bool // the connection is there already
}

var ways = []way{
	{name: "page"},
	{name: "document", document: true, stays: true, connected: true},
	{name: "page that stays", stays: true},
}

// Run plays every case that target can play, each as a subtest, and logs which
// numbers were covered, which were not, and why.
func Run(t *testing.T, target Target) {
	all := cases()
	played, skipped := map[int]bool{}, map[int]string{}
	count := 0
	for a, can := range target.abilities() {
		if why := cannot[target.Name][a]; can != (why == "") {
			t.Errorf("%s: ability %d is %v, and the table says %q", target.Name, a, can, why)
		}
	}
	for i, c := range all {
		if why := target.missing(c); why != "" {
			for _, n := range c.numbers {
				skipped[n] = why
			}
			continue
		}
		for j, w := range ways {
			if target.Brief && j != i%len(ways) {
				continue
			}
			count++
			on := target
			if c.hosted {
				on = *target.Hosted
			}
			t.Run(fmt.Sprintf("%03d %s/%s", c.numbers[0], c.name, w.name), func(t *testing.T) {
				for _, problem := range play(t.Context(), on, c, w) {
					t.Error(problem)
				}
			})
		}
		for _, n := range c.numbers {
			played[n] = true
		}
	}
	t.Log(report(target.Name, len(all), count, played, skipped))
}

// report says which of the numbers that are ours were played.
func report(name string, all, count int, played map[int]bool, skipped map[int]string) string {
	var covered, more []int
	others := ""
	for _, n := range slices.Sorted(maps.Keys(inputs)) {
		other, named := elsewhere[n]
		switch {
		case played[n] && n > lastOfOurs:
			more = append(more, n)
		case played[n]:
			covered = append(covered, n)
		case skipped[n] != "":
			others += fmt.Sprintf("\n  %3d %s: not here, %s", n, inputs[n], skipped[n])
		case named:
			others += fmt.Sprintf("\n  %3d %s: %s, %s", n, inputs[n], strings.Join(other.tests, " and "), other.why)
		}
	}
	return fmt.Sprintf("%s: %d plays of %d cases; %d of the numbers 1 to %d: %s; and %s", name, count, all, len(covered), lastOfOurs, spans(covered), spans(more)) + others
}

// spans writes numbers as in "1-17, 20".
func spans(numbers []int) string {
	var parts []string
	for i := 0; i < len(numbers); {
		last := i
		for last+1 < len(numbers) && numbers[last+1] == numbers[last]+1 {
			last++
		}
		part := strconv.Itoa(numbers[i])
		if last > i {
			part += "-" + strconv.Itoa(numbers[last])
		}
		parts, i = append(parts, part), last+1
	}
	return strings.Join(parts, ", ")
}
