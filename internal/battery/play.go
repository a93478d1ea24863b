package battery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// A player plays one case in one way.
type player struct {
	Target
	ctx     context.Context
	c       Case
	way     way
	shortly time.Duration

	began    int    // where the log of the case begins
	mendRow  func() // undoes what Garble did
	advanced time.Duration
	endings  []func() // run when all is asked
	private  []secret
	problems []string
}

// stopped ends a case that cannot go on; the reason is among its problems.
type stopped struct{}

// stop ends the case.
func (p *player) stop(format string, args ...any) {
	p.problem(format, args...)
	panic(stopped{})
}

// problem notes what is not as it must be.
func (p *player) problem(format string, args ...any) {
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

// guard adds a text that nobody may print.
func (p *player) guard(what, value string) { p.private = append(p.private, secret{what, value}) }

// guardTicket guards a ticket, whole and by its claims and signature.
func (p *player) guardTicket(signed string) {
	p.guard("ticket", signed)
	if parts := strings.Split(signed, "."); len(parts) == 3 {
		p.guard("claims of the ticket", parts[1])
		p.guard("signature of the ticket", parts[2])
	}
}

// stranger stands in every text that a stranger sends and that is to be shown
// and logged nowhere.
const stranger = "c4nary-stranger"

// play plays c in one way, and returns what was not as it must be.
func play(ctx context.Context, t Target, c Case, w way) (problems []string) {
	p := &player{Target: t, ctx: ctx, c: c, way: w, shortly: 1600 * time.Millisecond}
	p.guard("stranger's text", stranger)
	p.guard("connect key", t.ConnectKey)
	for _, s := range t.Secrets {
		p.guard("key", s)
	}
	defer func() {
		for _, f := range p.endings {
			f()
		}
		p.restore()
		problems = p.problems
		if r := recover(); r != nil && r != (stopped{}) {
			panic(r)
		}
	}()
	if c.provider == "" {
		p.c.provider = "whiplash"
	}
	f := p.newFlow(newKey(p.c.provider))
	p.Provider.begin(nil)
	if (w.connected || c.existing) && !c.new {
		earlier := p.newFlow(f.key)
		earlier.connect()
	}
	p.run(f)
	return p.problems
}

// restore undoes what a case did to the deployment.
func (p *player) restore() {
	if p.advanced != 0 {
		p.Advance(-p.advanced)
	}
	if slices.Contains(p.c.needs, needFaults) {
		p.Mend()
	}
	if slices.Contains(p.c.needs, needSecrets) {
		p.configure(p.Provider.Document(p.c.provider))
	}
}

// after lets f run when all is asked.
func (p *player) after(f func()) { p.endings = append(p.endings, f) }

// wait lets time pass.
func (p *player) wait(d time.Duration) {
	p.Advance(d)
	p.advanced += d
}

// configure gives a provider another client secret, which is read at once.
func (p *player) configure(document string) {
	p.Configure(p.c.provider, document)
	if p.Forget != nil {
		p.Forget()
	}
}

// run plays the steps, and looks at what is left.
func (p *player) run(f *flow) {
	before, err := p.row(f)
	if err != nil {
		p.stop("read the connection: %v", err)
	}
	var script []Reply
	if p.c.script != nil {
		script = p.c.script(p.Provider)
	}
	p.began = len(p.Log())
	earlier := p.Provider.private()
	p.Provider.begin(script)
	p.private = append(p.private, earlier...)
	if p.c.before != nil {
		p.c.before(f)
	}
	for i, s := range p.c.steps {
		if s.do != nil {
			s.do(f)
		}
		p.ask(f, i, s)
	}
	p.left(f, before)
}

// printed is the log of the case.
func (p *player) printed() string { return p.Log()[p.began:] }

// row returns the connection of f, and whether there is one.
func (p *player) row(f *flow) (connection.Connection, error) {
	c, err := p.Get(p.ctx, f.key)
	if errors.Is(err, connection.ErrNotFound) {
		return connection.Connection{}, nil
	}
	return c, err
}

// ask sends the requests of a step, at once, and checks each answer.
func (p *player) ask(f *flow, number int, s step) {
	var requests []Request
	for range max(s.times, 1) {
		for _, a := range s.asks {
			requests = append(requests, a(f))
		}
	}
	printed, written := len(p.Log()), p.writes()
	answers, errs := make([]Answer, len(requests)), make([]error, len(requests))
	var all sync.WaitGroup
	for i, r := range requests {
		all.Go(func() { answers[i], errs[i] = p.visit(r) })
	}
	all.Wait()
	lines := p.Log()[printed:]
	written = p.writes() - written
	met := make([]int, len(s.want))
	for i, r := range requests {
		what := fmt.Sprintf("step %d, %s %s", number+1, r.Method, r.Path)
		if errs[i] != nil {
			p.problem("%s: %v", what, errs[i])
			continue
		}
		var reasons []string
		for j, w := range s.want {
			reason := p.check(cmp.Or(r.by, f), r, answers[i], w, lines, len(requests) == 1)
			if w.free && written > 0 && len(s.want) == 1 {
				reason = append(reason, fmt.Sprintf("it costs %d writes", written))
			}
			if len(reason) == 0 {
				reasons = nil
				met[j]++
				break
			}
			reasons = append(reasons, reason...)
		}
		for _, reason := range reasons {
			p.problem("%s: %s", what, reason)
		}
		if len(reasons) > 0 {
			p.problem("%s: it answers %s; printed: %s", what, shown(answers[i]), lines)
		}
	}
	if s.each != nil && !slices.Equal(met, s.each) {
		p.problem("step %d: %d answers were as wanted, want %d", number+1, met, s.each)
	}
	for _, c := range s.calls {
		p.call(f, number, c)
	}
}

// visit sends a request as a browser does that follows a redirect from the
// callback to the callback.
func (p *player) visit(r Request) (Answer, error) {
	a, err := p.Do(p.ctx, r)
	to, query, _ := strings.Cut(a.Header["Location"], "?")
	if err != nil || a.Status != http.StatusSeeOther || r.Path != "/callback/"+p.c.provider || to != p.PublicURL+r.Path {
		return a, err
	}
	r.Query = query
	last, err := p.Do(p.ctx, r)
	last.by = &a
	return last, err
}

// writes returns how many writes the tables were asked for so far, as far as
// anybody counts.
func (p *player) writes() int {
	if p.Writes == nil {
		return 0
	}
	return p.Writes()
}

// shown is an answer as a failed test shows it.
func shown(a Answer) string {
	body := a.Body
	if i := strings.Index(body, "<h1>"); i >= 0 {
		body = body[i:]
	}
	return fmt.Sprintf("%d %s %.300s", a.Status, a.Header["Location"], body)
}

// left looks at the tables and at what the provider was asked.
func (p *player) left(f *flow, before connection.Connection) {
	asked, last := p.Provider.requests()
	if len(asked) != p.c.requests {
		p.problem("%d token requests were made, want %d", len(asked), p.c.requests)
	}
	after, err := p.row(f)
	if err != nil {
		p.stop("read the connection: %v", err)
	}
	claim, err := f.claim(p.ctx)
	if errors.Is(err, connection.ErrNotFound) {
		claim, err = connection.Request{}, nil
	}
	if err != nil {
		p.stop("read the claim: %v", err)
	}
	p.leaksNothing("tables", fmt.Sprintf("%+v %x %+v", after, after.SealedRefreshToken, claim))
	if p.c.leaves == connected {
		p.holds(claim)
		p.hasNew(f, before, after, claim, last)
		return
	}
	if !reflect.DeepEqual(before, after) {
		p.problem("the connection was %+v and is %+v", before, after)
	}
	ended := map[ending]connection.Outcome{denied: connection.Denied, failed: connection.Failed, pending: connection.Pending, held: connection.Pending}
	switch want, ok := ended[p.c.leaves]; {
	case !ok && claim.State != "":
		p.problem("the authorization request was used up: %q", claim.Outcome)
	case ok && (claim.State != digest(f.state) || claim.Outcome != want || claim.Code != p.c.code && p.c.code != ""):
		p.problem("the claim is %q, %s, by the right state: %v, want %q, %s", claim.Outcome, claim.Code, claim.State == digest(f.state), want, p.c.code)
	}
	if p.c.code != "" && !strings.Contains(p.printed(), `"code":"`+p.c.code+`"`) {
		p.problem("the log does not say %s", p.c.code)
	}
	p.holds(claim)
}

// holds looks at the answer that a claim holds for the host: there is one where
// the host is waited for, and nowhere else.
func (p *player) holds(claim connection.Request) {
	if p.c.leaves != held {
		if len(claim.Answer) > 0 {
			p.problem("the answer is still held")
		}
		return
	}
	p.leaksNothing("rows", string(claim.Answer))
	if left := claim.HeldUntil.Sub(p.Now()); len(claim.Answer) == 0 || left > 10*time.Minute || claim.ExpiresAt.Sub(p.Now()) > time.Hour {
		p.problem("an answer of %d bytes is held for %s, and kept until %s", len(claim.Answer), left, claim.ExpiresAt)
	}
}

// hasNew checks the connection that a case has made.
func (p *player) hasNew(f *flow, before, after connection.Connection, claim connection.Request, last map[string]any) {
	token, _ := last["access_token"].(string)
	switch {
	case after.Status != connection.Active || after.Fence <= before.Fence || after.RequestID == before.RequestID:
		p.problem("no new connection is there: %+v", after)
	case after.AccessToken.Reveal() != token || token == "":
		p.problem("the stored token is not the provider's")
	case claim.State == "" || after.RequestID != claim.State:
		p.problem("the claim is not that of the new connection")
	case !after.ExpiresAt.IsZero() && !after.ExpiresAt.After(p.Now()):
		p.problem("the connection expires at %s, which is past", after.ExpiresAt)
	}
	if p.c.stored != nil {
		if err := p.c.stored(f, after); err != nil {
			p.problem("stored: %v", err)
		}
	}
}
