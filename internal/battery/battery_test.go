package battery

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// Each number that is ours has a case, or names the tests that play it and says
// why no case can, and not both; each case has a number on the list, and a name
// of its own.
func TestEveryNumberIsPlayedOrNamesItsTests(t *testing.T) {
	played, names := map[int]bool{}, map[string]bool{}
	for _, c := range cases() {
		if len(c.numbers) == 0 || names[c.name] || len(c.steps) == 0 {
			t.Errorf("%q has no number, no step, or another one has its name", c.name)
		}
		names[c.name] = true
		for _, n := range c.numbers {
			played[n] = true
			if inputs[n] == "" {
				t.Errorf("%q has the number %d, which is not on the list", c.name, n)
			}
		}
	}
	tests := testsOfTheRepository(t)
	for n := 1; n <= lastOfOurs; n++ {
		other, named := elsewhere[n]
		if inputs[n] == "" || played[n] == named {
			t.Errorf("%d %s: played is %v, and the reason is %q", n, inputs[n], played[n], other.why)
		}
		if named && (len(other.tests) == 0 || other.why == "") {
			t.Errorf("%d %s: which test plays it, and why does no case?", n, inputs[n])
		}
		for _, name := range other.tests {
			if !tests[name] {
				t.Errorf("%d %s: there is no %s", n, inputs[n], name)
			}
		}
	}
}

// testsOfTheRepository are the names of all tests.
func testsOfTheRepository(t *testing.T) map[string]bool {
	t.Helper()
	declared, names := regexp.MustCompile(`(?m)^func (Test\w+)\(`), map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(source, -1) {
			names[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// The count says which numbers were played, on which target.
func TestTheReportNamesTheNumbers(t *testing.T) {
	got := report("here", 9, 12, map[int]bool{1: true, 2: true, 3: true, 5: true, 102: true}, map[int]string{3: "no", 4: "it has no clock"})
	for _, want := range []string{"here: 12 plays of 9 cases; 4 of the numbers 1 to 85: 1-3, 5; and 102", "\n    4 " + inputs[4] + ": not here, it has no clock", "\n   21 " + inputs[21] + ": TestWithoutRandomnessNothingIsStarted, since"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %s", want, got)
		}
	}
}

// A sabotaged deployment is one with something wrong in it.
type sabotaged struct {
	Deployment
	answer  func(Request, *Answer) // what becomes of an answer
	printed func() string          // what is printed besides
	row     func(*connection.Connection)
	claim   func(*connection.Request)
	told    func([]byte) []byte // what becomes of what the host is told
}

func (s sabotaged) Invoke(ctx context.Context, input []byte) ([]byte, error) {
	out, err := s.Deployment.Invoke(ctx, input)
	if s.told != nil {
		out = s.told(out)
	}
	return out, err
}

func (s sabotaged) GetRequest(ctx context.Context, id, state string) (connection.Request, error) {
	r, err := s.Deployment.GetRequest(ctx, id, state)
	if s.claim != nil {
		s.claim(&r)
	}
	return r, err
}

func (s sabotaged) Do(ctx context.Context, r Request) (Answer, error) {
	a, err := s.Deployment.Do(ctx, r)
	if s.answer != nil {
		s.answer(r, &a)
	}
	return a, err
}

func (s sabotaged) Log() string {
	if s.printed != nil {
		return s.Deployment.Log() + s.printed()
	}
	return s.Deployment.Log()
}

func (s sabotaged) Get(ctx context.Context, k connection.Key) (connection.Connection, error) {
	c, err := s.Deployment.Get(ctx, k)
	if s.row != nil && err == nil {
		s.row(&c)
	}
	return c, err
}

// Whatever is wrong with an answer, with the log or with a table is seen: the
// battery is no test of itself.
func TestWhatIsWrongIsSeen(t *testing.T) {
	forged := Case{numbers: []int{2}, name: "a forged ticket", steps: each(invalid, opens(ticketed(func(t *ticket) { t.key = "another" })))}
	whole := Case{numbers: []int{55}, name: "a good answer", requests: 1, leaves: connected, steps: []step{then(leads(started), opens()), then(ends("connected"), returns())}}
	set := func(name, value string) func(Request, *Answer) {
		return func(_ Request, a *Answer) { a.Header[name] = value }
	}
	echo := func(write func(string) string) func(Request, *Answer) { // of the query, which holds the ticket or the code
		return func(r Request, a *Answer) {
			q, _ := url.ParseQuery(r.Query)
			a.Body = strings.Replace(a.Body, "</main>", write(q.Get("ticket")+q.Get("code"))+"</main>", 1)
		}
	}
	count := 0
	tests := []struct {
		name string
		c    Case
		with sabotaged
	}{
		{"no-store is missing", forged, sabotaged{answer: set("Cache-Control", "private")}},
		{"the referrer is sent", forged, sabotaged{answer: set("Referrer-Policy", "")}},
		{"CORS", forged, sabotaged{answer: set("Access-Control-Allow-Origin", "*")}},
		{"a policy that lets others frame", forged, sabotaged{answer: set("Content-Security-Policy", "default-src 'none'; base-uri 'none'")}},
		{"a page that loads something", forged, sabotaged{answer: echo(func(string) string { return `<img src="https://evil.example/">` })}},
		{"a header with a line break", forged, sabotaged{answer: set("Vary", "a\r\nb: c")}},
		{"another status", forged, sabotaged{answer: func(_ Request, a *Answer) { a.Status = 400 }}},
		{"a redirect that keeps the method", whole, sabotaged{answer: func(_ Request, a *Answer) { a.Status += 5 }}},
		{"a refusal that sets a cookie", forged, sabotaged{answer: func(_ Request, a *Answer) { a.Cookies = []string{"a=b"} }}},
		{"a cookie without Lax", whole, sabotaged{answer: func(_ Request, a *Answer) {
			for i := range a.Cookies {
				a.Cookies[i] = strings.Replace(a.Cookies[i], "; SameSite=Lax", "", 1)
			}
		}}},
		{"a redirect URI of another host", whole, sabotaged{answer: func(_ Request, a *Answer) {
			a.Header["Location"] = strings.Replace(a.Header["Location"], "connect.example.com", "evil.example", 1)
		}}},
		{"a parameter of ours twice", whole, sabotaged{answer: func(_ Request, a *Answer) { a.Header["Location"] += "&client_id=x" }}},
		{"the ticket on the page", forged, sabotaged{answer: echo(func(s string) string { return s })}},
		{"the ticket on the page, in base64", forged, sabotaged{answer: echo(func(s string) string { return base64.StdEncoding.EncodeToString([]byte("xy" + s)) })}},
		{"the ticket on the page, in hex", forged, sabotaged{answer: echo(func(s string) string { return hex.EncodeToString([]byte(s)) })}},
		{"the code in a header", whole, sabotaged{answer: func(r Request, a *Answer) {
			q, _ := url.ParseQuery(r.Query)
			a.Header["X-Debug"] = q.Get("code")
		}}},
		{"the state in return_to", whole, sabotaged{answer: func(r Request, a *Answer) {
			if a.Status == http.StatusSeeOther {
				q, _ := url.ParseQuery(r.Query)
				a.Header["Location"] += "#" + q.Get("state")
			}
		}}},
		{"another line in the log", forged, sabotaged{printed: func() string { count++; return strings.Repeat("{}\n", count) }}},
		{"a stored token that is another", whole, sabotaged{row: func(c *connection.Connection) { c.AccessToken = "another" }}},
		{"a row that shows a key", whole, sabotaged{row: func(c *connection.Connection) { c.Account.Label = sealKey }}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := inProcess(t)
			for _, problem := range play(t.Context(), target, tt.c, ways[0]) {
				t.Fatalf("without it: %s", problem)
			}
			tt.with.Deployment = target.Deployment
			target.Deployment = tt.with
			if len(play(t.Context(), target, tt.c, ways[0])) == 0 {
				t.Error("it is not seen")
			}
		})
	}
}

// Nothing of a host that completes is taken for granted either, nor that an
// outcome is told of once, nor that a refusal costs nothing.
func TestWhatIsWrongWithAHostOrAReloadIsSeen(t *testing.T) {
	forged := Case{numbers: []int{2}, name: "a forged ticket", steps: each(invalid, opens(ticketed(func(t *ticket) { t.key = "another" })))}
	failing := Case{numbers: []int{71}, name: "a failure", requests: 1, leaves: failed, code: "invalid_grant", script: replies(refusal(400, "invalid_grant")), steps: []step{then(ends("failed"), returns()), then(recalls("failed"), returns())}}
	completed := Case{numbers: []int{44}, name: "a completion", hosted: true, requests: 1, leaves: connected, steps: []step{then(handed, returns()), then(handedAgain, returns()), told(completes(""), completes("handle_used"))}}
	waiting := Case{numbers: []int{46}, name: "a host that does not come", hosted: true, leaves: held, steps: []step{then(handed, returns())}}
	credential := Case{numbers: []int{53}, name: "whData", provider: "whcc", leaves: connected, steps: []step{then(ends("connected"), returns())}}
	answered := func(from, to string) sabotaged {
		count := 0
		return sabotaged{answer: func(_ Request, a *Answer) {
			count++
			a.Body, a.Header["Location"] = strings.ReplaceAll(a.Body, from, to), strings.ReplaceAll(a.Header["Location"], from, strings.Repeat(to, count))
		}}
	}
	count := 0
	tests := []struct {
		name   string
		c      Case
		with   sabotaged
		writes func() int
	}{
		{"a refusal that costs a write", forged, sabotaged{}, func() int { count++; return count }},
		{"a page of another look", failing, answered("502", "503"), nil},
		{"a reference that finds nothing", failing, answered(`"reference":"`, `"reference":"x`), nil},
		{"another handle each time", completed, answered("handle=", "handle=A"), nil},
		{"another completion URL", completed, answered("app.example.com/complete", "evil.example/complete"), nil},
		{"an answer that tells of another error", completed, sabotaged{told: func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("handle_used"), []byte("mismatch")) }}, nil},
		{"an answer with a secret", completed, sabotaged{told: func(b []byte) []byte {
			return bytes.Replace(b, []byte(`{"connection":{`), []byte(`{"connection":{"key":"`+sealKey+`",`), 1)
		}}, nil},
		{"more than the state in the URL of a page", credential, answered("state=", "a=b&state="), nil},
		{"a held answer that is not sealed", waiting, sabotaged{claim: func(r *connection.Request) { r.Answer = []byte(sealKey) }}, nil},
		{"a held answer that stays", waiting, sabotaged{claim: func(r *connection.Request) { r.HeldUntil = r.HeldUntil.Add(time.Hour) }}, nil},
		{"no held answer", waiting, sabotaged{claim: func(r *connection.Request) { r.Answer = nil }}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := inProcess(t)
			if tt.c.hosted {
				target = *target.Hosted
			}
			for _, problem := range play(t.Context(), target, tt.c, ways[1]) {
				t.Fatalf("without it: %s", problem)
			}
			tt.with.Deployment = target.Deployment
			target.Deployment = tt.with
			if tt.writes != nil {
				target.Writes = tt.writes
			}
			if len(play(t.Context(), target, tt.c, ways[1])) == 0 {
				t.Error("it is not seen")
			}
		})
	}
}

// What a case wants is held against what is there, and not only what must be
// true of all.
func TestWhatACaseWantsIsCompared(t *testing.T) {
	whole := Case{numbers: []int{55}, name: "a good answer", requests: 1, leaves: connected, steps: []step{then(ends("connected"), returns())}}
	for name, change := range map[string]func(*Case){
		"token requests":     func(c *Case) { c.requests = 0 },
		"what is left":       func(c *Case) { c.leaves = failed },
		"that nothing is":    func(c *Case) { c.leaves = nothing },
		"the outcome":        func(c *Case) { c.steps = []step{then(ends("denied"), returns())} },
		"the lines":          func(c *Case) { c.steps = []step{then(recalls("connected"), returns())} },
		"the new connection": func(c *Case) { c.stored = renewable(false) },
	} {
		t.Run(name, func(t *testing.T) {
			c := whole
			change(&c)
			for _, w := range ways {
				if len(play(t.Context(), inProcess(t), c, w)) == 0 {
					t.Errorf("%s: it is not seen", w.name)
				}
			}
		})
	}
}

// A failure to read a table is no empty table.
type unread struct{ Deployment }

func (unread) Get(context.Context, connection.Key) (connection.Connection, error) {
	return connection.Connection{}, errors.New("no answer")
}

func TestATableThatCannotBeReadIsSeen(t *testing.T) {
	target := inProcess(t)
	target.Deployment = unread{target.Deployment}
	if problems := play(t.Context(), target, tickets[0], ways[0]); len(problems) != 1 {
		t.Errorf("problems = %q", problems)
	}
}
