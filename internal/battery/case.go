package battery

import (
	"net/http"

	"github.com/evergrant/evergrant/internal/connection"
)

// A Case is one line of the battery.
type Case struct {
	numbers []int
	name    string
	note    string // where the contract (docs/design.md) wants another thing than the list's usual advice

	hosted   bool // played where the host completes connections
	needs    []ability
	provider string         // "": whiplash, which has PKCE; whisk has none
	claims   map[string]any // added to every ticket
	new      bool           // there never is a connection before
	existing bool           // there always is one
	script   func(*Provider) []Reply
	before   func(*flow) // done before anything is asked
	steps    []step
	requests int // to the token endpoint, all in all
	leaves   ending
	code     string                                   // under which a failure is recorded and logged
	stored   func(*flow, connection.Connection) error // what must be true of the new connection
}

// An ending is what a case leaves in the tables for its authorization request.
type ending int

const (
	nothing   ending = iota // both tables are as they were
	connected               // a new grant, and its claim
	denied                  // a denial; connections are as they were
	failed                  // a claim that failed; connections are as they were
	pending                 // a claim without an outcome; connections are as they were
	held                    // a claim with an answer that waits for the host; connections are as they were
)

// A step is one request, or several at once, and its answer.
type step struct {
	do    func(*flow) // before it
	asks  []ask       // several: at once
	times int         // 0: once
	want  []want      // any of them
	each  []int       // how many answers each of want is met by; nil: any number
	calls []call      // of the host's backend, one after the other, behind the requests
}

// An ask makes a request of a flow.
type ask func(*flow) Request

// A want is what an answer must be.
type want struct {
	status int
	typ    string // of the problem, for a refusal; for an outcome, where that is shown as one
	result string // for an outcome
	also   string // what the host is told besides, at the end of the query
	away   bool   // to the provider
	handle bool   // to the host, which completes the connection
	bounce bool   // our own page that posts again
	free   bool   // it costs no write to a table
	lines  int    // in the log; -1: it does not matter
	check  func(*flow, Answer) error
}

// refused wants a refusal, which is one line in the log. What is refused for
// what it is costs no write.
func refused(status int, typ string) want {
	return want{status: status, typ: typ, lines: 1, free: status < http.StatusInternalServerError}
}

// paid wants the same, which may cost a write.
func paid(w want) want {
	w.free = false
	return w
}

// ends wants an outcome that has just come about: one line in the log.
func ends(result string) want {
	w := recalls(result)
	w.lines = 1
	return w
}

// conflicts wants a failure that has a page of its own: the connection is of
// another account.
func conflicts(typ string) want {
	return want{status: http.StatusConflict, typ: typ, result: "failed", lines: 1}
}

// recalled wants the same of an outcome that came about before: no line tells of
// it again.
func recalled(w want) want {
	w.lines = 0
	return w
}

// recalls wants an outcome that came about before.
func recalls(result string) want {
	if result == "failed" {
		return want{status: http.StatusBadGateway, typ: "provider-failed", result: result}
	}
	return want{status: http.StatusOK, result: result}
}

// leads wants the browser to be sent to the provider.
func leads(check func(*flow, Answer) error) want {
	return want{away: true, check: check, free: true}
}

// then is one step.
func then(w want, a ask) step { return step{asks: []ask{a}, want: []want{w}} }

// each is one step for each request, with the same answer wanted.
func each(w want, asks ...ask) []step {
	var all []step
	for _, a := range asks {
		all = append(all, then(w, a))
	}
	return all
}

// replies is a script of answers that need no tokens.
func replies(all ...Reply) func(*Provider) []Reply { return func(*Provider) []Reply { return all } }

// uncounted wants the same, however many lines are printed.
func uncounted(w want) want {
	w.lines = -1
	return w
}

// seen wants the same, and what check looks at.
func seen(w want, check func(*flow, Answer) error) want {
	w.check = check
	return w
}
