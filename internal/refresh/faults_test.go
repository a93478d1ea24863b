package refresh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/spill"
	"github.com/evergrant/evergrant/pkg/providers"
)

// This file plays the refresh through every schedule of faults: each call that
// a worker makes may fail before its effect, lose its answer after it, hang to
// the deadline either way, or be where the process dies. The provider keeps a
// ledger of its own and judges.

// A fault is what happens to one call.
type fault int

const (
	fine      fault = iota
	failed          // no effect, an error
	unheard         // the effect, but an error
	hung            // no effect, no answer until the deadline
	hungAfter       // the effect, no answer until the deadline
	died            // no effect, and the worker makes no further call
	diedAfter       // the effect, and the worker makes no further call
	outage          // no effect, and none of any call of the same store for two minutes
	late            // as outage, but the effect comes minutes after
	faults          // how many there are
)

var errFault = errors.New("fault")

// A schedule says which calls fail, by their number in the run.
type schedule map[int]fault

func (s schedule) String() string {
	names := []string{"fine", "failed", "unheard", "hung", "hung after", "died", "died after", "and its store away", "comes late, and its store away"}
	var b strings.Builder
	for i := range 100 {
		if f, ok := s[i]; ok {
			fmt.Fprintf(&b, "call %d %s; ", i, names[f])
		}
	}
	return b.String()
}

// A grant is one family of refresh tokens at the provider.
type grant struct {
	live  int               // generation of the live refresh token
	spent map[int]time.Time // when each older one was first used
	tried bool              // a spent one was used while the live one was to be had
	ended bool              // the family is revoked
}

// A ledger is a provider that rotates, of one of the rotation classes.
type ledger struct {
	rotation providers.Rotation
	lenient  bool // it refuses a spent refresh token, and its grant lives on
	mu       sync.Mutex
	grants   []*grant
}

// graceTime is how long a spent refresh token works at a provider with grace.
const graceTime = 30 * time.Second

func tokenOf(g, generation int) oauth.Secret {
	return oauth.Secret(fmt.Sprintf("c4nary-r-%d-%d", g, generation))
}

// answer is the token set of a grant's generation.
func answer(g, generation int) oauth.TokenSet {
	return oauth.TokenSet{AccessToken: oauth.Secret(fmt.Sprintf("c4nary-a-%d-%d", g, generation)), TokenType: "Bearer",
		RefreshToken: tokenOf(g, generation), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(2 * time.Hour)}
}

// connect makes a new grant and returns its first tokens.
func (l *ledger) connect() oauth.TokenSet {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.grants = append(l.grants, &grant{spent: map[int]time.Time{}})
	return answer(len(l.grants)-1, 0)
}

// refresh is the effect of a token request.
func (l *ledger) refresh(token oauth.Secret, held func(g, generation int) bool) (oauth.TokenSet, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var g, generation int
	if _, err := fmt.Sscanf(token.Reveal(), "c4nary-r-%d-%d", &g, &generation); err != nil {
		return oauth.TokenSet{}, &oauth.Error{Status: 400, Code: "invalid_request"}
	}
	it := l.grants[g]
	switch {
	case it.ended:
		return oauth.TokenSet{}, &oauth.Error{Status: 400, Code: "invalid_grant"}
	case l.rotation == providers.Reusable:
		return answer(g, 0), nil
	case generation == it.live:
		it.spent[generation] = time.Now()
		fallthrough
	case l.rotation == providers.UntilFirstUse, // nobody uses an access token here
		l.rotation == providers.Grace && time.Since(it.spent[generation]) <= graceTime:
		it.live++
		return answer(g, it.live), nil
	}
	it.tried = it.tried || held(g, it.live)
	it.ended = it.ended || !l.lenient // reuse ends the family
	return oauth.TokenSet{}, &oauth.Error{Status: 400, Code: "invalid_grant"}
}

// A scene is one connection, two stores, one provider, and a schedule.
type scene struct {
	t      *testing.T
	plan   schedule
	ledger *ledger
	store  *connectiontest.Memory
	spill  *connectiontest.Spill
	keys   seal.Keys
	client oauth.Client
	key    connection.Key

	mu      sync.Mutex
	calls   int
	history []string
	memory  map[oauth.Secret]bool   // refresh tokens in the memory of a live worker
	log     []connection.SpillEntry // tokens that the log holds, sealed
	reached int                     // the newest grant that is in a store or the log
	ended   bool                    // the connection was disconnected
	lost    bool                    // a live refresh token was in no store when the last who had it died, or reached nobody
	away    map[string]time.Time    // until when each store is away
	ids     int
}

// storeOf returns the store that a call goes to, "" for any other.
func storeOf(name string) string {
	switch name {
	case "Claim", "Commit", "Defer", "Get", "Connect", "Disconnect", "Restore":
		return "connections"
	case "CountRefreshes":
		return "state"
	case "Put", "Find", "Delete", "List":
		return "spill"
	}
	return ""
}

// differs reports whether a fault makes a run of its own at a call: a read has
// no effect, what has no store has none that is away, and only what a spill is
// told may come late.
func differs(f fault, name string) bool {
	switch f {
	case unheard, hungAfter, diedAfter:
		return !slices.Contains([]string{"Client", "SealKeys", "Get", "Find", "List"}, name)
	case outage:
		return storeOf(name) != ""
	case late:
		return name == "Put"
	default:
		return true
	}
}

// A worker is one process: what it calls goes through the schedule.
type worker struct {
	*scene
	dead     bool
	attempts int            // claims that it has won
	lines    int            // of the log, about attempts
	hands    []oauth.Secret // refresh tokens that it has received
}

// lateTime is how late an effect may come: between two strikes.
const lateTime = 5 * time.Minute

// call makes one call of a worker, as the schedule has it.
func (w *worker) call(ctx context.Context, name string, effect func() error) error {
	w.mu.Lock()
	f := w.plan[w.calls]
	if w.dead {
		f = failed
	} else {
		w.history = append(w.history, fmt.Sprintf("%d %s", w.calls, name))
		w.calls++
	}
	if f == late {
		time.AfterFunc(lateTime, func() { _ = effect() })
		f = outage
	}
	if f == outage {
		w.away[storeOf(name)] = time.Now().Add(2 * time.Minute)
	}
	if store := storeOf(name); store != "" && time.Now().Before(w.away[store]) {
		f = failed
	}
	w.mu.Unlock()
	var err error
	if f != failed && f != hung && f != died && f != outage {
		err = effect()
	}
	switch f {
	case failed, unheard, outage:
		return errFault
	case hung, hungAfter:
		<-ctx.Done()
		return ctx.Err()
	case died, diedAfter:
		w.die()
		return errFault
	case fine, late, faults:
	}
	return err
}

// die ends the worker. What it alone had is lost.
func (w *worker) die() {
	w.mu.Lock()
	w.dead = true
	for _, token := range w.hands {
		delete(w.memory, token)
	}
	w.mu.Unlock()
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	for i, g := range w.ledger.grants {
		if slices.Contains(w.hands, tokenOf(i, g.live)) && !w.held(i, g.live) {
			w.lose()
		}
	}
}

func (r *scene) lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = true
}

func (w *worker) Client(ctx context.Context, _ string) (oauth.Client, error) {
	return w.client, w.call(ctx, "Client", func() error { return nil })
}

func (w *worker) Others(context.Context, oauth.Client) ([]oauth.Client, error) { return nil, nil }

func (w *worker) SealKeys(ctx context.Context) (seal.Keys, error) {
	return w.keys, w.call(ctx, "SealKeys", func() error { return nil })
}

func (w *worker) Claim(ctx context.Context, c connection.Claim) (old connection.Connection, err error) {
	var inner error
	err = w.call(ctx, "Claim", func() error { old, inner = w.store.Claim(context.Background(), c); return inner })
	if err != nil {
		return connection.Connection{}, err
	}
	w.attempts++
	return old, nil
}

func (w *worker) Commit(ctx context.Context, c connection.Connection) error {
	return w.call(ctx, "Commit", func() error { return w.store.Commit(context.Background(), c) })
}

func (w *worker) Get(ctx context.Context, k connection.Key) (c connection.Connection, err error) {
	err = w.call(ctx, "Get", func() (inner error) { c, inner = w.store.Get(context.Background(), k); return inner })
	return c, err
}

func (w *worker) Put(ctx context.Context, at connection.SpillKey, sealed []byte) error {
	return w.call(ctx, "Put", func() error {
		w.reach(at, sealed)
		return w.spill.Put(context.Background(), at, sealed)
	})
}

// reach notes that a new grant is in a store or in the log.
func (r *scene) reach(at connection.SpillKey, sealed []byte) {
	if g, err := spill.Open(r.keys, at, sealed); err == nil && at.Grant != 0 {
		r.reachTo(g.Tokens.RefreshToken)
	}
}

func (r *scene) reachTo(token oauth.Secret) {
	var g, generation int
	if _, err := fmt.Sscanf(token.Reveal(), "c4nary-r-%d-%d", &g, &generation); err != nil {
		r.t.Errorf("refresh token %q", token.Reveal())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reached = max(r.reached, g)
}

func (w *worker) Connect(ctx context.Context, c connection.Connection) (old connection.Connection, err error) {
	err = w.call(ctx, "Connect", func() (inner error) {
		if token, err := c.RefreshToken(w.keys); err == nil {
			w.reachTo(token)
		}
		old, inner = w.store.Connect(context.Background(), c)
		return inner
	})
	return old, err
}

func (w *worker) Disconnect(ctx context.Context) error {
	return w.call(ctx, "Disconnect", func() error {
		_, err := w.store.Disconnect(context.Background(), w.key, time.Now())
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ended = w.ended || err == nil
		return err
	})
}

func (w *worker) Restore(ctx context.Context, c connection.Connection, fence int64) error {
	return w.call(ctx, "Restore", func() error {
		err := w.store.Restore(context.Background(), c, fence)
		if token, openErr := c.RefreshToken(w.keys); err == nil && openErr == nil {
			w.reachTo(token)
		}
		return err
	})
}

func (w *worker) List(ctx context.Context, cursor string) (page []connection.SpillEntry, next string, err error) {
	err = w.call(ctx, "List", func() (inner error) { page, next, inner = w.spill.List(context.Background(), cursor); return inner })
	return page, next, err
}

func (w *worker) Defer(ctx context.Context, c connection.Connection) error {
	return w.call(ctx, "Defer", func() error { return w.store.Defer(context.Background(), c) })
}

func (w *worker) CountRefreshes(ctx context.Context, provider string, o connection.Outcomes, now time.Time) (b connection.Breaker, err error) {
	err = w.call(ctx, "CountRefreshes", func() (inner error) {
		b, inner = w.store.CountRefreshes(context.Background(), provider, o, now)
		return inner
	})
	return b, err
}

func (w *worker) Find(ctx context.Context, k connection.Key, after, before int64) (sealed []byte, f int64, err error) {
	err = w.call(ctx, "Find", func() (inner error) {
		sealed, f, inner = w.spill.Find(context.Background(), k, after, before)
		return inner
	})
	return sealed, f, err
}

func (w *worker) Delete(ctx context.Context, at connection.SpillKey) error {
	return w.call(ctx, "Delete", func() error { return w.spill.Delete(context.Background(), at) })
}

// Refresh sends a token request: the provider takes a second. An answer that
// the worker does not hear is an unknown outcome, as package oauth reports it.
func (w *worker) Refresh(ctx context.Context, _ oauth.Client, token oauth.Secret) (tokens oauth.TokenSet, err error) {
	var refusal error
	err = w.call(ctx, "Refresh", func() error {
		<-time.After(time.Second)
		tokens, refusal = w.ledger.refresh(token, w.held)
		return nil
	})
	if err != nil {
		if tokens.RefreshToken != "" {
			w.lose()
		}
		return oauth.TokenSet{}, &oauth.Error{Reason: "no answer", Err: err}
	}
	if refusal == nil {
		w.mu.Lock()
		w.hands = append(w.hands, tokens.RefreshToken)
		w.memory[tokens.RefreshToken] = true
		w.mu.Unlock()
	}
	return tokens, refusal
}

func (w *worker) Issue(context.Context, oauth.Client) (oauth.TokenSet, error) {
	return oauth.TokenSet{}, errFault
}

func (w *worker) Revoke(ctx context.Context, _ oauth.Client, _, refreshToken oauth.Secret) error {
	return w.call(ctx, "Revoke", func() error {
		w.ledger.mu.Lock()
		defer w.ledger.mu.Unlock()
		var g, generation int
		if _, err := fmt.Sscanf(refreshToken.Reveal(), "c4nary-r-%d-%d", &g, &generation); err == nil {
			w.ledger.grants[g].ended = true
		}
		return nil
	})
}

// Write takes the log: a dead worker writes none. It counts the lines of
// attempts and keeps the tokens that are nowhere else.
func (w *worker) Write(text []byte) (int, error) {
	w.mu.Lock()
	dead := w.dead
	w.mu.Unlock()
	var l struct {
		line
		Grant  int64
		Rescue []byte
	}
	if err := json.Unmarshal(text, &l); err != nil {
		w.t.Errorf("a line of the log cannot be read: %s", text)
	}
	for _, f := range new(canary.Watch).FindInLog(string(text)) {
		w.t.Errorf("the log shows %s", f)
	}
	if dead {
		return len(text), nil
	}
	if l.Msg == "refresh" {
		w.lines++
	}
	if l.Rescue != nil {
		at := connection.SpillKey{Key: w.key, Fence: l.Fence, Grant: l.Grant}
		w.reach(at, l.Rescue)
		w.mu.Lock()
		w.log = append(w.log, connection.SpillEntry{SpillKey: at, Sealed: l.Rescue})
		w.mu.Unlock()
	}
	return len(text), nil
}

var _ io.Writer = (*worker)(nil)

// held reports whether somebody who could bring it back has the given refresh
// token: the row, a spill that recovery would find, or a live worker. The
// ledger's lock is held, so it must not be taken.
func (r *scene) held(g, generation int) bool {
	token := tokenOf(g, generation)
	r.mu.Lock()
	inMemory := r.memory[token]
	r.mu.Unlock()
	if inMemory {
		return true
	}
	c, err := r.store.Get(context.Background(), r.key)
	if err != nil {
		return false
	}
	if stored, err := c.RefreshToken(r.keys); err == nil && stored == token {
		return true
	}
	for before := c.Fence + 1; ; {
		sealed, f, err := r.spill.Find(context.Background(), r.key, c.StoredFence, before)
		if err != nil || sealed == nil {
			return false
		}
		if g, err := spill.Open(r.keys, connection.SpillKey{Key: r.key, Fence: f}, sealed); err == nil && g.Tokens.RefreshToken == token {
			return true
		}
		before = f
	}
}

// work runs one worker to its end, with the deadline that Lambda gives it.
func (r *scene) work(do func(context.Context, *worker, *slog.Logger)) *worker {
	w := &worker{scene: r}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	do(ctx, w, slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})))
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, token := range w.hands {
		delete(r.memory, token)
	}
	return w
}

func half() float64 { return 0.5 }

// renew refreshes the connection, in a worker of its own.
func (r *scene) renew() {
	w := r.work(func(ctx context.Context, w *worker, log *slog.Logger) {
		renewer := &Renewer{
			Leases: w, Breakers: w, Secrets: w, Tokens: w, Spill: w, Shards: 4,
			NewID: func() string {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.ids++
				return fmt.Sprint("lease-", r.ids)
			},
			Random: half, Now: time.Now, Log: log,
		}
		_, _ = renewer.Renew(ctx, r.key, 0)
	})
	if w.lines > w.attempts || !w.dead && w.lines != w.attempts {
		r.t.Errorf("%d lines in the log for %d attempts, killed: %v\n  schedule: %v\n  calls: %v", w.lines, w.attempts, w.dead, r.plan, r.history)
	}
}

// rescue looks for spills, as the sweep does.
func (r *scene) rescue() {
	r.work(func(ctx context.Context, w *worker, log *slog.Logger) {
		rescuer := &Rescuer{Spills: w, Connections: w, Secrets: w, Tokens: w, Shards: 4, Now: time.Now, Log: log}
		_ = rescuer.Rescue(ctx)
	})
}

// reconnect stores the first tokens of a new grant, as the callback does.
func (r *scene) reconnect() {
	r.work(func(ctx context.Context, w *worker, log *slog.Logger) {
		tokens := r.ledger.connect()
		c, err := connection.New(r.key, r.client, tokens, r.keys, 4)
		if err != nil {
			r.t.Error(err)
		}
		c.Due.At = time.Now()
		c.RequestID = tokens.RefreshToken.Reveal()
		keeper := spill.Keeper{Store: w, Random: half, Log: log}
		_, _ = keeper.KeepGrant(ctx, time.Now().Add(30*time.Second), r.keys, c, tokens, w)
	})
}

// A person is what somebody does while the first refresh is under way.
type person int

const (
	nobody person = iota
	reconnects
	disconnects
)

// A scenario is what every schedule is played in.
type scenario struct {
	rotation providers.Rotation
	lenient  bool
	person   person
	at       time.Duration // of what the person does
}

// play plays a schedule and judges it. It returns the names of the calls that
// were made while faults could happen.
func play(t *testing.T, in scenario, plan schedule) (calls []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.secrets.client.Provider.Rotation = in.rotation
		r := &scene{
			t: t, ledger: &ledger{rotation: in.rotation, lenient: in.lenient}, store: f.store, spill: new(connectiontest.Spill),
			keys: f.secrets.keys, client: f.secrets.client, key: f.key, memory: map[oauth.Secret]bool{}, away: map[string]time.Time{},
		}
		r.reconnect()
		r.calls, r.history, r.plan = 0, nil, plan
		var all sync.WaitGroup
		all.Go(r.renew)
		for _, later := range []time.Duration{500 * time.Millisecond, 3 * time.Second} {
			all.Go(func() { <-time.After(later); r.renew() })
		}
		if in.person != nobody {
			all.Go(func() {
				<-time.After(in.at)
				if in.person == reconnects {
					r.reconnect()
				} else {
					r.work(func(ctx context.Context, w *worker, _ *slog.Logger) { _ = w.Disconnect(ctx) })
				}
			})
		}
		all.Wait()
		<-time.After(3 * time.Minute)
		r.renew() // recovers, and may be hit as well
		<-time.After(7 * time.Minute)
		r.rescue()
		r.renew()                 // the second strike
		r.plan = nil              // the faults end
		calls = r.history         // of the schedule
		for _, e := range r.log { // a person gives the lines to evergrant rescue
			if err := r.spill.Put(t.Context(), e.SpillKey, e.Sealed); err != nil {
				t.Error(err)
			}
		}
		for range 8 {
			<-time.After(10 * time.Minute)
			r.rescue()
			r.renew()
		}
		r.judge(in, plan, calls)
	})
	return calls
}

// judge holds the end of a run against the properties.
func (r *scene) judge(in scenario, plan schedule, calls []string) {
	r.t.Helper()
	fail := func(format string, args ...any) {
		r.t.Errorf("%s\n  schedule: %v\n  calls: %v", fmt.Sprintf(format, args...), plan, calls)
	}
	c, err := r.store.Get(context.Background(), r.key)
	if err != nil {
		fail("Get: %v", err)
		return
	}
	for i, g := range r.ledger.grants {
		if g.tried {
			fail("P1: a spent refresh token of grant %d was sent while its successor was to be had", i)
		}
	}
	if len(r.log) > 0 && !r.faulty("Put", plan, calls) {
		fail("P3: the pair is only in the log, though the spill could be reached")
	}
	if c.Lease.ID != "" {
		fail("P4: a lease is left behind: %+v", c.Lease)
	}
	if r.ended {
		if c.Status != connection.Disconnected || c.AccessToken != "" || len(c.SealedRefreshToken) != 0 {
			fail("P5: a refresh has brought a disconnected connection back: %s", c.Status)
		}
		return
	}
	r.judgeTokens(in, c, fail)
}

// judgeTokens holds the tokens of c against what the provider knows.
func (r *scene) judgeTokens(in scenario, c connection.Connection, fail func(string, ...any)) {
	newest := r.reached
	g := r.ledger.grants[newest]
	stored, err := c.RefreshToken(r.keys)
	if err != nil {
		fail("refresh token: %v", err)
		return
	}
	var of, generation int
	if _, err := fmt.Sscanf(stored.Reveal(), "c4nary-r-%d-%d", &of, &generation); err != nil || of != newest {
		fail("P2, P5: the row holds a token of grant %d, the newest is %d", of, newest)
	}
	excused := r.excused()
	switch {
	case c.Status == connection.Active && !g.ended:
	case excused && (in.person != reconnects || newest == 0 || g.ended || r.ledger.lenient):
	default:
		fail("a self-inflicted death: status %s, ended at the provider: %v", c.Status, g.ended)
	}
	if c.Status == connection.ReauthorizationRequired && c.Failure.Reason != "rotation_lost" && len(r.log) == 0 {
		fail("the death is counted as %q, and the user did nothing", c.Failure.Reason)
	}
	if r.ledger.rotation == providers.Strict && !g.ended && generation != g.live && !excused {
		fail("P4: the row holds generation %d, the provider's live one is %d", generation, g.live)
	}
	if n := r.spill.Len(); n > 0 {
		fail("%d spills are left that nobody needs", n)
	}
}

// faulty reports whether a call of the given name was to fail, or its store was
// away.
func (r *scene) faulty(name string, plan schedule, calls []string) bool {
	_, away := r.away[storeOf(name)]
	for i := range plan {
		away = away || i < len(calls) && strings.HasSuffix(calls[i], " "+name)
	}
	return away
}

// excused reports whether the live refresh token was truly lost, at a provider
// that takes no spent one by then: its answer reached nobody, or the last who
// had it died. No client can save that. A pair that was in the log alone comes
// back too late where somebody else's try has ended the grant.
func (r *scene) excused() bool {
	switch r.ledger.rotation {
	case providers.UntilFirstUse, providers.Reusable:
		return false
	default:
		return r.lost || len(r.log) > 0 && !r.ledger.lenient
	}
}

// explore plays every schedule of up to depth faults that begins with plan,
// and returns how many there were.
func explore(t *testing.T, in scenario, plan schedule, from, depth int) int {
	t.Helper()
	calls := play(t, in, plan)
	runs := 1
	if depth == 0 || t.Failed() {
		return runs
	}
	for i := from; i < len(calls); i++ {
		_, name, _ := strings.Cut(calls[i], " ")
		for f := failed; f < faults; f++ {
			if !differs(f, name) {
				continue
			}
			next := schedule{i: f}
			for k, v := range plan {
				next[k] = v
			}
			runs += explore(t, in, next, i+1, depth-1)
		}
	}
	return runs
}

// depth returns how many faults a schedule has at most: usually n, but FAULTS
// where that is set (make faults).
func depth(t *testing.T, usually int) int {
	t.Helper()
	s := os.Getenv("FAULTS")
	if s == "" {
		return usually
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("FAULTS is %q: write a number", s)
	}
	return n
}

func TestEveryScheduleOfFaults(t *testing.T) {
	const before, during, after = 0, 700 * time.Millisecond, 5 * time.Second // the request
	tests := []struct {
		name  string
		in    scenario
		depth int
	}{
		{"strict", scenario{rotation: providers.Strict}, 1},
		{"strict, and a grant outlives a spent refresh token", scenario{rotation: providers.Strict, lenient: true}, 1},
		{"until first use", scenario{rotation: providers.UntilFirstUse}, 1},
		{"grace", scenario{rotation: providers.Grace}, 1},
		{"reusable", scenario{rotation: providers.Reusable}, 1},
		{"strict, reconnected at the start", scenario{rotation: providers.Strict, person: reconnects, at: before}, 1},
		{"strict, reconnected while sending", scenario{rotation: providers.Strict, person: reconnects, at: during}, 1},
		{"strict, reconnected after", scenario{rotation: providers.Strict, person: reconnects, at: after}, 1},
		{"strict, disconnected while sending", scenario{rotation: providers.Strict, person: disconnects, at: during}, 1},
		{"strict, disconnected after", scenario{rotation: providers.Strict, person: disconnects, at: after}, 1},
		{"until first use, reconnected while sending", scenario{rotation: providers.UntilFirstUse, person: reconnects, at: during}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			runs := explore(t, tt.in, nil, 0, depth(t, tt.depth))
			t.Logf("%d schedules", runs)
			if runs < 20 {
				t.Errorf("only %d schedules", runs)
			}
		})
	}
}
