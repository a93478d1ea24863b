package events

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
)

// A host is what somebody knows of a connection who has only the events.
type host struct {
	status   connection.Status // "": nothing yet
	degraded bool
	expiring bool // this grant
	grants   int
}

// hear takes one event. It fails the test for one that tells what is known. Only
// that a grant ends may come again, under the ID that it had.
func (w *world) hear(e Event) {
	t, h := w.t, &w.host
	t.Helper()
	if w.heard[e.ID] {
		if e.Kind != Expiring {
			t.Fatalf("%s has the ID of another event", e.Kind)
		}
		return
	}
	w.heard[e.ID] = true
	before := *h
	switch e.Kind {
	case Connected, Reconnected:
		*h = host{status: connection.Active, grants: h.grants + 1}
		if (e.Kind == Connected) != (before.grants == 0) {
			t.Fatalf("%s after %+v", e.Kind, before)
		}
	case Degraded:
		h.degraded = true
	case Recovered:
		h.status, h.degraded = connection.Active, false
	case ReauthorizationRequired:
		*h = host{status: connection.ReauthorizationRequired, expiring: h.expiring, grants: h.grants}
	case Expiring:
		h.expiring = true
	case Disconnected:
		*h = host{status: connection.Disconnected, grants: h.grants}
	}
	if *h == before {
		t.Fatalf("%s tells nothing new: %+v", e.Kind, before)
	}
}

// A world is one connection in the store in memory, with what writes it.
type world struct {
	t     *testing.T
	store connectiontest.Memory
	now   time.Time
	held  connection.Connection // what the holder of the last claim works on
	last  connection.Connection // the last grant that was connected
	host  host
	heard map[string]bool // IDs of events
	given int             // grants that there were
}

// key is that of the one connection.
var key = connected().Key

func (w *world) row() connection.Connection {
	c, _ := w.store.Get(w.t.Context(), key) // the zero Connection where there is none
	return c
}

// grant returns a new grant. Its refresh token lives for a week and some hours.
func (w *world) grant() connection.Connection {
	c := connected()
	w.given++
	c.AccessToken, c.RequestID = "access", "ticket#"+strings.Repeat("x", w.given)
	c.ConnectedAt, c.RefreshedAt, c.UpdatedAt = w.now, w.now, w.now
	c.Due.At, c.RefreshExpiresAt = w.now.Add(3*time.Hour), w.now.Add(7*day+8*time.Hour)
	return c
}

// The writes. Each may be refused, which changes nothing.
var writes = map[string]func(*world){
	"connect": func(w *world) { w.last = w.grant(); _, _ = w.store.Connect(w.t.Context(), w.last) },
	"connect again, since the answer was lost": func(w *world) {
		if w.last.Status != "" && w.now.Sub(w.last.ConnectedAt) < 4*time.Hour { // nobody goes on for longer
			_, _ = w.store.Connect(w.t.Context(), w.last)
		}
	},
	"claim": func(w *world) {
		c, err := w.store.Claim(w.t.Context(), connection.Claim{
			Key: key, LeaseID: "l" + w.now.String(), Now: w.now, Until: w.now.Add(time.Minute), StoredFence: w.row().StoredFence, // a reader's demand
		})
		if err == nil {
			w.held = c
			w.held.Fence++
			w.held.Lease.ID = "l" + w.now.String()
		}
	},
	"commit":                func(w *world) { _ = w.store.Commit(w.t.Context(), w.refreshed(w.held)) },
	"fail":                  func(w *world) { _ = w.store.Commit(w.t.Context(), w.failed()) },
	"fail, outcome unknown": func(w *world) { _ = w.store.Defer(w.t.Context(), w.failed()) },
	"mark": func(w *world) {
		c := w.failed()
		c.Status, c.Due, c.Failure.Reason = connection.ReauthorizationRequired, connection.Due{}, "invalid_grant"
		_ = w.store.Commit(w.t.Context(), c)
	},
	"restore refreshed tokens": func(w *world) {
		if c := w.row(); c.Status == connection.Active || c.Status == connection.ReauthorizationRequired {
			_ = w.store.Restore(w.t.Context(), w.refreshed(c), c.Fence)
		}
	},
	"restore a new grant": func(w *world) { w.last = w.grant(); _ = w.store.Restore(w.t.Context(), w.last, w.row().Fence) },
	"restore a first grant that waited for days": func(w *world) {
		if w.row().Status == "" {
			w.now = w.now.Add(-5 * day)
			w.last = w.grant()
			w.now = w.now.Add(5 * day)
			_ = w.store.Restore(w.t.Context(), w.last, 0)
		}
	},
	"disconnect": func(w *world) { _, _ = w.store.Disconnect(w.t.Context(), key, w.now) },
}

// refreshed returns c with new tokens; the refresh token ends when it did.
func (w *world) refreshed(c connection.Connection) connection.Connection {
	c.StoredFence, c.Failure = c.Fence, connection.Failure{}
	c.RefreshedAt, c.UpdatedAt, c.Due = w.now, w.now, connection.Due{Shard: "4.2", At: w.now.Add(3 * time.Hour)}
	return c
}

// failed returns what was claimed after a failure, which brings the next refresh
// forward: it may cross the week before the end, go back and cross it again.
func (w *world) failed() connection.Connection {
	c := w.held
	c.Failure = connection.Failure{Code: "http_503", Count: c.Failure.Count + 1, Since: w.now, At: w.now}
	c.UpdatedAt, c.Due.At = w.now, w.now.Add(10*time.Minute)
	return c
}

// write does one write, an hour and more after the one before it, and tells the
// host.
func (w *world) write(name string) {
	w.t.Helper()
	w.now = w.now.Add(61 * time.Minute)
	old := w.row()
	writes[name](w)
	now := w.row()
	told := Changes(old, now)
	for _, e := range told {
		w.hear(e)
	}
	w.putBack(old, now)
	want := host{
		status: now.Status, grants: w.host.grants,
		degraded: now.Status == connection.Active && now.Failure.Count >= 3,
		expiring: w.host.expiring || now.Status == connection.Active && now.Expiring(),
	}
	if w.host != want {
		w.t.Fatalf("the host knows %+v, the row is %+v", w.host, want)
	}
	grants := slices.ContainsFunc(told, func(e Event) bool { return e.Kind == Connected || e.Kind == Reconnected })
	if newGrant := now.Status == connection.Active && (now.RequestID != old.RequestID || old.Status == connection.Disconnected); grants != newGrant {
		w.t.Fatalf("a new grant: %v, told: %v", newGrant, grants)
	}
}

// putBack checks that a write is taken for no copy, and that a copy of the row,
// as a restore from a backup puts it back, tells nothing: after a week whatever
// it is, and before that nothing whose ID the host does not know.
func (w *world) putBack(old, now connection.Connection) {
	t, none := w.t, connection.Connection{}
	t.Helper()
	if putBack(old, now, float64(w.now.Unix())) {
		t.Fatalf("a write is taken for a copy: %+v", now)
	}
	if now.Status == "" {
		return
	}
	if !putBack(none, now, float64(now.UpdatedAt.Add(8*day).Unix())) {
		t.Fatalf("a copy of last week is taken for a write: %+v", now)
	}
	if putBack(none, now, float64(w.now.Unix())) {
		return
	}
	for _, e := range Changes(none, now) {
		if !w.heard[e.ID] {
			t.Fatalf("a copy tells %s anew: %+v", e.Kind, now)
		}
	}
}

// play plays a schedule of writes from nothing.
func play(t *testing.T, schedule []string) {
	t.Helper()
	w := &world{t: t, now: noon, heard: map[string]bool{}}
	defer func() {
		if t.Failed() {
			t.Log(strings.Join(schedule, "; "))
		}
	}()
	for _, name := range schedule {
		w.write(name)
	}
}

// Whoever only hears the events knows at each moment what the row says, and hears
// nothing twice: every schedule of four writes, and long ones.
func TestTheHostKnowsWhatTheStoreHolds(t *testing.T) {
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range writes {
			if !yield(name) {
				return
			}
		}
	})
	var every func(schedule []string, left int)
	every = func(schedule []string, left int) {
		if left == 0 {
			play(t, schedule)
			return
		}
		for _, name := range names {
			every(append(schedule[:len(schedule):len(schedule)], name), left-1)
		}
	}
	every(nil, 4)
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		schedule := []string{"connect"}
		for range 40 {
			name := names[random.IntN(len(names))]
			if strings.HasPrefix(name, "fail") || name == "commit" || name == "mark" && random.IntN(4) == 0 {
				schedule = append(schedule, "claim")
			} else if name != "claim" && random.IntN(3) > 0 {
				continue // most of life is refreshes
			}
			schedule = append(schedule, name)
		}
		play(t, schedule)
	}
}
