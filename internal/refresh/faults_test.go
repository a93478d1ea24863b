package refresh

import (
	"context"
	"encoding/base64"
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
	faults          // how many there are
)

var errFault = errors.New("fault")

// A schedule says which calls fail, by their number in the run.
type schedule map[int]fault

func (s schedule) String() string {
	names := []string{"fine", "failed", "unheard", "hung", "hung after", "died", "died after", "and its store away"}
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
	mu       sync.Mutex
	grants   []*grant
}

// graceTime is how long a spent refresh token works at a provider with grace.
const graceTime = 30 * time.Second

func tokenOf(g, generation int) oauth.Secret {
	return oauth.Secret(fmt.Sprintf("r-%d-%d", g, generation))
}

// answer is the token set of a grant's generation.
func answer(g, generation int) oauth.TokenSet {
	return oauth.TokenSet{AccessToken: oauth.Secret(fmt.Sprintf("a-%d-%d", g, generation)), TokenType: "Bearer",
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
	if _, err := fmt.Sscanf(token.Reveal(), "r-%d-%d", &g, &generation); err != nil {
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
	it.ended = true // reuse ends the family
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
	memory  map[oauth.Secret]bool // refresh tokens in the memory of a live worker
	log     []oauth.Secret        // refresh tokens that the log holds, sealed
	lost    bool                  // a live refresh token was in no store when the last who had it died, or reached nobody
	away    map[string]time.Time  // until when each store is away
	ids     int
}

// storeOf returns the store that a call goes to, "" for any other.
func storeOf(name string) string {
	switch name {
	case "Claim", "Commit", "Defer", "Get":
		return "connections"
	case "CountRefreshes":
		return "state"
	case "Put", "Find", "Delete":
		return "spill"
	}
	return ""
}

// A worker is one process: what it calls goes through the schedule.
type worker struct {
	*scene
	dead  bool
	hands []oauth.Secret // refresh tokens that it has received
}

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
	case fine, faults:
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
		old = connection.Connection{}
	}
	return old, err
}

func (w *worker) Commit(ctx context.Context, c connection.Connection) error {
	return w.call(ctx, "Commit", func() error { return w.store.Commit(context.Background(), c) })
}

func (w *worker) Get(ctx context.Context, k connection.Key) (c connection.Connection, err error) {
	err = w.call(ctx, "Get", func() (inner error) { c, inner = w.store.Get(context.Background(), k); return inner })
	return c, err
}

func (w *worker) Put(ctx context.Context, at connection.SpillKey, sealed []byte) error {
	return w.call(ctx, "Put", func() error { return w.spill.Put(context.Background(), at, sealed) })
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
		if _, err := fmt.Sscanf(refreshToken.Reveal(), "r-%d-%d", &g, &generation); err == nil {
			w.ledger.grants[g].ended = true
		}
		return nil
	})
}

// Write takes the log: a dead worker writes none.
func (w *worker) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, rest, found := strings.Cut(string(line), "rescue=")
	if !found || w.dead {
		return len(line), nil
	}
	value, _, _ := strings.Cut(rest, " ")
	sealed, err := base64.StdEncoding.DecodeString(strings.Trim(value, `"`))
	var fence int64
	_, fenceText, _ := strings.Cut(string(line), "fence=")
	if _, scanErr := fmt.Sscanf(fenceText, "%d", &fence); err != nil || scanErr != nil {
		w.t.Errorf("rescue line cannot be read: %s", line)
		return len(line), nil
	}
	if g, err := spill.Open(w.keys, connection.SpillKey{Key: w.key, Fence: fence}, sealed); err == nil {
		w.log = append(w.log, g.Tokens.RefreshToken)
	}
	return len(line), nil
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

// renew runs one worker to its end, with the deadline that Lambda gives it.
func (r *scene) renew() {
	w := &worker{scene: r}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	renewer := &Renewer{
		Leases: w, Breakers: w, Secrets: w, Tokens: w, Spill: w, Shards: 4,
		NewID: func() string {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.ids++
			return fmt.Sprint("lease-", r.ids)
		},
		Random: func() float64 { return 0.5 }, Now: time.Now, Log: slog.New(slog.NewTextHandler(w, nil)),
	}
	_, _ = renewer.Renew(ctx, r.key, 0)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, token := range w.hands {
		delete(r.memory, token)
	}
}

// put stores the first tokens of a new grant, as the callback does.
func (r *scene) put() {
	tokens := r.ledger.connect()
	c, err := connection.New(r.key, r.client, tokens, r.keys, 4)
	if err != nil {
		r.t.Error(err)
	}
	c.Due.At = time.Now()
	if _, err := r.store.Connect(context.Background(), c); err != nil {
		r.t.Error(err)
	}
}

// A person is what somebody does while the first refresh is under way.
type person int

const (
	nobody person = iota
	reconnects
	disconnects
)

// play plays a schedule and judges it. It returns how many calls were made
// while faults could happen.
func play(t *testing.T, rotation providers.Rotation, plan schedule, p person, at time.Duration) (calls int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.secrets.client.Provider.Rotation = rotation
		r := &scene{
			t: t, plan: plan, ledger: &ledger{rotation: rotation}, store: f.store, spill: new(connectiontest.Spill),
			keys: f.secrets.keys, client: f.secrets.client, key: f.key, memory: map[oauth.Secret]bool{}, away: map[string]time.Time{},
		}
		r.put()
		var all sync.WaitGroup
		all.Go(r.renew)
		for _, later := range []time.Duration{500 * time.Millisecond, 3 * time.Second} {
			all.Go(func() { <-time.After(later); r.renew() })
		}
		if p != nobody {
			all.Go(func() {
				<-time.After(at)
				if p == reconnects {
					r.put()
				} else if _, err := r.store.Disconnect(context.Background(), r.key, time.Now()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		<-time.After(3 * time.Minute)
		r.renew() // recovers, and may be hit as well
		calls = r.calls
		r.plan = nil // the faults end
		for range 8 {
			<-time.After(10 * time.Minute)
			r.renew()
		}
		r.judge(p, plan)
	})
	return calls
}

// judge holds the end of a run against the properties.
func (r *scene) judge(p person, plan schedule) {
	r.t.Helper()
	fail := func(format string, args ...any) {
		r.t.Errorf("%s\n  schedule: %v\n  calls: %v", fmt.Sprintf(format, args...), plan, r.history)
	}
	c, err := r.store.Get(context.Background(), r.key)
	if err != nil {
		fail("Get: %v", err)
		return
	}
	newest := len(r.ledger.grants) - 1
	g := r.ledger.grants[newest]
	for i, g := range r.ledger.grants {
		if g.tried {
			fail("P1: a spent refresh token of grant %d was sent while its successor was to be had", i)
		}
	}
	if len(r.log) > 0 && !r.faulty("Put", plan) {
		fail("P3: the pair is only in the log, though the spill could be reached")
	}
	if c.Lease.ID != "" {
		fail("P4: a lease is left behind: %+v", c.Lease)
	}
	if p == disconnects {
		if c.Status != connection.Disconnected || c.AccessToken != "" || len(c.SealedRefreshToken) != 0 {
			fail("P5: a refresh has brought a disconnected connection back: %s", c.Status)
		}
		return
	}
	stored, err := c.RefreshToken(r.keys)
	if err != nil {
		fail("refresh token: %v", err)
		return
	}
	var of, generation int
	if _, err := fmt.Sscanf(stored.Reveal(), "r-%d-%d", &of, &generation); err != nil || of != newest {
		fail("P2, P5: the row holds a token of grant %d, the newest is %d", of, newest)
	}
	excused := r.excused()
	switch {
	case c.Status == connection.Active && !g.ended:
	case excused && (p != reconnects || g.ended):
	default:
		fail("a self-inflicted death: status %s, ended at the provider: %v", c.Status, g.ended)
	}
	if c.Status == connection.ReauthorizationRequired && c.Failure.Reason != "rotation_lost" {
		fail("the death is counted as %q, and the user did nothing", c.Failure.Reason)
	}
	if r.ledger.rotation == providers.Strict && !g.ended && generation != g.live && !excused {
		fail("P4: the row holds generation %d, the provider's live one is %d", generation, g.live)
	}
}

// faulty reports whether a call of the given name was to fail, or its store was
// away.
func (r *scene) faulty(name string, plan schedule) bool {
	_, away := r.away[storeOf(name)]
	for i := range plan {
		away = away || i < len(r.history) && strings.HasSuffix(r.history[i], " "+name)
	}
	return away
}

// excused reports whether the live refresh token was truly lost, at a provider
// that takes no spent one by then: its answer reached nobody, or the last who
// had it died. No client can save that. A pair that is in the log waits for a
// person.
func (r *scene) excused() bool {
	forgiving := r.ledger.rotation == providers.UntilFirstUse || r.ledger.rotation == providers.Reusable
	return (r.lost || len(r.log) > 0) && !forgiving
}

// explore plays every schedule of up to depth faults that begins with plan,
// and returns how many there were.
func explore(t *testing.T, rotation providers.Rotation, p person, at time.Duration, plan schedule, from, depth int) int {
	t.Helper()
	calls := play(t, rotation, plan, p, at)
	runs := 1
	if depth == 0 || t.Failed() {
		return runs
	}
	for i := from; i < calls; i++ {
		for f := failed; f < faults; f++ {
			next := schedule{i: f}
			for k, v := range plan {
				next[k] = v
			}
			runs += explore(t, rotation, p, at, next, i+1, depth-1)
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
	tests := []struct {
		name     string
		rotation providers.Rotation
		person   person
		at       time.Duration // of what the person does: before, during or after the request
		depth    int
	}{
		{"strict", providers.Strict, nobody, 0, 2},
		{"until first use", providers.UntilFirstUse, nobody, 0, 1},
		{"grace", providers.Grace, nobody, 0, 1},
		{"reusable", providers.Reusable, nobody, 0, 1},
		{"strict, reconnected at the start", providers.Strict, reconnects, 0, 1},
		{"strict, reconnected while sending", providers.Strict, reconnects, 700 * time.Millisecond, 1},
		{"strict, reconnected after", providers.Strict, reconnects, 5 * time.Second, 1},
		{"strict, disconnected while sending", providers.Strict, disconnects, 700 * time.Millisecond, 1},
		{"strict, disconnected after", providers.Strict, disconnects, 5 * time.Second, 1},
		{"until first use, reconnected while sending", providers.UntilFirstUse, reconnects, 700 * time.Millisecond, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			runs := explore(t, tt.rotation, tt.person, tt.at, nil, 0, depth(t, tt.depth))
			t.Logf("%d schedules", runs)
			if runs < 20 {
				t.Errorf("only %d schedules", runs)
			}
		})
	}
}
