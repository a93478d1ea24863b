package connectiontest

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

func TestMemoryKeepsEveryPromise(t *testing.T) {
	Run(t, func(*testing.T) Store { return new(Memory) })
}

var errOutage = errors.New("connection reset by peer")

// writes is one successful call of each write, on a store that prepare made.
var writes = []struct {
	op   string
	call func(t *testing.T, m *Memory) error
}{
	{"Connect", func(t *testing.T, m *Memory) error { _, err := m.Connect(t.Context(), full(numbered(9))); return err }},
	{"Claim", func(t *testing.T, m *Memory) error {
		_, err := m.Claim(t.Context(), lease(numbered(0), "lease-1", noon))
		return err
	}},
	{"Commit", func(t *testing.T, m *Memory) error {
		c := get(t, m, numbered(1))
		return m.Commit(t.Context(), refreshed(c))
	}},
	{"Restore", func(t *testing.T, m *Memory) error { return m.Restore(t.Context(), full(numbered(8)), 0) }},
	{"Defer", func(t *testing.T, m *Memory) error {
		c := full(numbered(2))
		c.Fence, c.Lease.ID, c.Failure = 2, "lease-0", failing
		return m.Defer(t.Context(), c)
	}},
	{"Disconnect", func(t *testing.T, m *Memory) error {
		_, err := m.Disconnect(t.Context(), numbered(0), noon)
		return err
	}},
	{"ClaimRequest", func(t *testing.T, m *Memory) error { return m.ClaimRequest(t.Context(), ticket("b")) }},
	{"DenyRequest", func(t *testing.T, m *Memory) error { return m.DenyRequest(t.Context(), ticket("c")) }},
	{"FinishRequest", func(t *testing.T, m *Memory) error {
		r := connection.Request{ID: "ticket#2", State: "z", Outcome: connection.Failed}
		return m.FinishRequest(t.Context(), r)
	}},
	{"TakeAnswer", func(t *testing.T, m *Memory) error {
		_, err := m.TakeAnswer(t.Context(), "ticket#2", noon)
		return err
	}},
	{"TakeSweep", func(t *testing.T, m *Memory) error { return take(t, m, "a", noon) }},
	{"EndSweep", func(t *testing.T, m *Memory) error { return m.EndSweep(t.Context(), "", "old") }},
	{"SetBreaker", func(t *testing.T, m *Memory) error {
		return m.SetBreaker(t.Context(), "whatnot", connection.Breaker{OpenUntil: later, Opened: 1})
	}},
	{"CountRefreshes", func(t *testing.T, m *Memory) error {
		_, err := m.CountRefreshes(t.Context(), "whatnot", connection.Outcomes{Refreshes: 1}, noon)
		return err
	}},
	{"ReserveTime", func(t *testing.T, m *Memory) error {
		_, err := m.ReserveTime(t.Context(), "whatnot", time.Second, noon, later)
		return err
	}},
}

// prepare makes a store on which each of writes succeeds.
func prepare(t *testing.T) *Memory {
	m := new(Memory)
	for i := range 3 {
		connect(t, m, full(numbered(i)))
	}
	claim(t, m, numbered(1), "lease-0")
	claim(t, m, numbered(2), "lease-0")
	ok(t, "ClaimRequest", m.ClaimRequest(t.Context(), connection.Request{ID: "ticket#2", State: "z", Answer: []byte("a"), HeldUntil: later}))
	ok(t, "TakeSweep", take(t, m, "old", noon.Add(-leaseTime)))
	return m
}

// dump shows all that m holds, but for secrets.
func dump(m *Memory) string {
	return fmt.Sprintf("%v %v %v %v %v %v", m.connections, m.due, m.requests, m.sweeps, m.breakers, m.free)
}

func TestAWriteCanBeLost(t *testing.T) {
	for _, w := range writes {
		t.Run(w.op, func(t *testing.T) {
			m := prepare(t)
			before := dump(m)
			m.OnWrite = func(op string, _ any) (bool, error) {
				if op != w.op {
					t.Errorf("OnWrite of %s", op)
				}
				return false, errOutage
			}
			if err := w.call(t, m); !errors.Is(err, errOutage) {
				t.Errorf("err = %v, want the fault", err)
			}
			if dump(m) != before {
				t.Error("the lost write took effect")
			}
		})
	}
}

func TestAnAnswerCanBeLost(t *testing.T) {
	for _, w := range writes {
		t.Run(w.op, func(t *testing.T) {
			m, undisturbed := prepare(t), prepare(t)
			m.OnWrite = func(string, any) (bool, error) { return true, errOutage }
			if err := w.call(t, m); !errors.Is(err, errOutage) {
				t.Errorf("err = %v, want the fault", err)
			}
			ok(t, w.op, w.call(t, undisturbed))
			if after := dump(m); after != dump(undisturbed) || after == dump(prepare(t)) {
				t.Error("the write took no effect, or another one")
			}
		})
	}
}

// This is how a test plays that somebody reconnects while a refresh is under way.
func TestOnWriteMayCallTheStore(t *testing.T) {
	m := new(Memory)
	connect(t, m, full(whole))
	c := refreshed(claim(t, m, whole, "lease-1"))
	m.OnWrite = func(op string, arg any) (bool, error) {
		if op == "Commit" && arg.(connection.Connection).AccessToken == c.AccessToken {
			connect(t, m, full(whole))
		}
		return true, nil
	}
	refused(t, "Commit", m.Commit(t.Context(), c), connection.ErrConflict)
}

func TestEveryCallIsCounted(t *testing.T) {
	m := prepare(t)
	for _, w := range writes {
		ok(t, w.op, w.call(t, m))
	}
	all(t, m, "", 10)
	if _, err := m.List(t.Context(), "acct_0"); err != nil {
		t.Fatalf("List: %v", err)
	}
	if _, _, err := m.Due(t.Context(), "2", noon, ""); err != nil {
		t.Fatalf("Due: %v", err)
	}
	sees(t, m, "b", ticket("b"))
	if _, err := m.GetBreaker(t.Context(), "whatnot"); err != nil {
		t.Fatalf("GetBreaker: %v", err)
	}
	want := map[string]int{
		"Get": 1, "List": 1, "ListByStatus": 1, "Due": 1, "Connect": 4, "Claim": 3, "Commit": 1, "Defer": 1, "Restore": 1, "Disconnect": 1,
		"ClaimRequest": 2, "DenyRequest": 1, "FinishRequest": 1, "GetRequest": 1, "TakeAnswer": 1, "TakeSweep": 2, "EndSweep": 1,
		"GetBreaker": 1, "SetBreaker": 1, "CountRefreshes": 1, "ReserveTime": 1,
	}
	if got := m.Calls(); !maps.Equal(got, want) {
		t.Errorf("Calls = %v, want %v", got, want)
	}
}

// What the store alone costs a sweep of ten thousand connections.
func BenchmarkSweepOfMemory(b *testing.B) {
	m := new(Memory)
	for i := range 10_000 {
		if _, err := m.Connect(b.Context(), full(numbered(i))); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		cursor := ""
		for {
			keys, next, err := m.Due(b.Context(), "2", noon, cursor)
			if err != nil {
				b.Fatal(err)
			}
			for _, k := range keys {
				c, err := m.Claim(b.Context(), lease(k.Key, "lease-1", noon))
				if err != nil {
					b.Fatal(err)
				}
				c.Fence++
				c.Lease.ID = "lease-1"
				if err := m.Commit(b.Context(), c); err != nil { // due again, for the next round
					b.Fatal(err)
				}
			}
			if cursor = next; next == "" {
				break
			}
		}
	}
}
