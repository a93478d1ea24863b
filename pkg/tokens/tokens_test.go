package tokens

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A row is a connection whose token lives for left after the test began; 0: it
// names no expiry. Without a token it is disconnected, without a status it has
// nothing but the token.
type row struct {
	token, status string
	left          time.Duration
}

// table answers with one row a call, the last one for ever.
type table struct {
	rows   []row
	faults map[int]func(context.Context) error // by call, from 0
	lags   bool                                // instead: consistent reads have the last row, others the first

	mu    sync.Mutex
	began time.Time
	calls int
}

func (d *table) GetItem(ctx context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	d.mu.Lock()
	n := d.calls
	d.calls++
	if n == 0 && d.began.IsZero() {
		d.began = time.Now()
	}
	d.mu.Unlock()
	if strings.Contains(*in.ProjectionExpression, "refresh") {
		return nil, errors.New("a reader may not read that")
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if fault := d.faults[n]; fault != nil {
		if err := fault(ctx); err != nil {
			return nil, err
		}
	}
	if d.lags {
		n = 0
		if *in.ConsistentRead {
			n = len(d.rows)
		}
	}
	r := d.rows[min(n, len(d.rows)-1)]
	item := map[string]types.AttributeValue{}
	if r.token != "" {
		item["access_token"] = &types.AttributeValueMemberS{Value: r.token}
	}
	if r.status != "" {
		item["connection_status"] = &types.AttributeValueMemberS{Value: r.status}
		item["token_type"] = &types.AttributeValueMemberS{Value: "Bearer"}
		item["scopes"] = &types.AttributeValueMemberSS{Value: []string{"read:orders"}}
	}
	if r.left != 0 {
		item["expires_at"] = &types.AttributeValueMemberN{Value: fmt.Sprint(d.began.Add(r.left).Unix())}
	}
	return &dynamodb.GetItemOutput{Item: item}, nil
}

// control is the control plane of a test.
type control struct {
	do func(context.Context) ([]byte, error)

	mu    sync.Mutex
	asked []string
}

func (c *control) invoke(ctx context.Context, payload []byte) ([]byte, error) {
	c.mu.Lock()
	c.asked = append(c.asked, string(payload))
	c.mu.Unlock()
	return c.do(ctx)
}

func (c *control) calls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.asked)
}

// bubble runs test in virtual time, until all that it has begun has ended.
func bubble(t *testing.T, test func(*testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(t)
		<-time.After(2 * time.Hour)
	})
}

var errDown = errors.New("out of reach")

func fails(context.Context) error { return errDown }

func hangs(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// answers returns a control plane that answers with s after delay.
func answers(s string, delay time.Duration) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		select {
		case <-time.After(delay):
			return []byte(s), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

var refreshed = answers(`{"connection":{}}`, 0)

// Ways in which a control plane misbehaves.
var (
	unreachable = func(context.Context) ([]byte, error) { return nil, errDown }
	endless     = func(ctx context.Context) ([]byte, error) { return nil, hangs(ctx) }
	deaf        = func(context.Context) ([]byte, error) { <-time.After(70 * time.Second); return nil, errDown } // to its context
	panics      = func(context.Context) ([]byte, error) { panic("out of order") }
	vanishes    = func(context.Context) ([]byte, error) { runtime.Goexit(); return nil, nil }
)

// A read never fails while a valid token exists, whatever fails in which order,
// and takes five seconds at most where it has one.
func TestReadReturnsWhatStillWorks(t *testing.T) {
	type faults = map[int]func(context.Context) error
	old, fresh := row{"a", "active", time.Minute}, row{"b", "active", time.Hour}
	person, expired, gone := row{"a", "reauthorization_required", time.Minute}, row{"a", "active", -time.Minute}, row{"", "disconnected", 0}
	const busy = `{"error":{"type":"busy","detail":"later"}}`
	tests := []struct {
		name   string
		rows   []row
		faults faults
		do     func(context.Context) ([]byte, error)
		leaves time.Duration // when the caller's context ends; 0: never
		want   string
		err    error
		warned bool
		after  time.Duration
	}{
		{name: "fresh", rows: []row{fresh}, want: "b"},
		{name: "without an expiry", rows: []row{{"a", "active", 0}}, want: "a"},
		{name: "refreshed on read", rows: []row{old, fresh}, do: refreshed, want: "b"},
		{name: "refreshed slowly", rows: []row{old, fresh}, do: answers(`{"connection":{}}`, 4*time.Second), want: "b", after: 4 * time.Second},
		{name: "refreshed to no longer a life", rows: []row{old, {"b", "active", 2 * time.Minute}}, do: refreshed, want: "b", warned: true},
		{name: "refresh fails", rows: []row{old}, do: answers(busy, 0), want: "a", warned: true},
		{name: "refresh fails, somebody else's does not", rows: []row{old, fresh}, do: answers(busy, 0), want: "b"},
		{name: "control plane out of reach", rows: []row{old}, do: unreachable, want: "a", warned: true},
		{name: "control plane out of reach, the schedule is not", rows: []row{old, fresh}, do: unreachable, want: "b"},
		{name: "control plane answers nonsense", rows: []row{old}, do: answers("<html>", 0), want: "a", warned: true},
		{name: "control plane crashes", rows: []row{old}, do: answers(`{"errorMessage":"Task timed out after 60.00 seconds"}`, 0), want: "a", warned: true},
		{name: "control plane hangs", rows: []row{old}, do: endless, want: "a", warned: true, after: 5 * time.Second},
		{name: "control plane hangs past its context", rows: []row{old}, do: deaf, want: "a", warned: true, after: 5 * time.Second},
		{name: "control plane hangs as the token ends", rows: []row{{"a", "active", 4 * time.Second}}, do: endless, want: "a", warned: true, after: 2 * time.Second},
		{name: "invoke panics", rows: []row{old}, do: panics, want: "a", warned: true},
		{name: "invoke ends its goroutine", rows: []row{old}, do: vanishes, want: "a", warned: true},
		{name: "no control plane", rows: []row{old}, want: "a", warned: true},
		{name: "no control plane, the schedule was faster", rows: []row{old, fresh}, want: "b"},
		{name: "a person is needed", rows: []row{person}, do: answers(`{"error":{"type":"reauthorization_required"}}`, 0), want: "a", warned: true},
		{name: "the caller leaves", rows: []row{old}, do: endless, leaves: time.Second, want: "a", warned: true, after: time.Second},
		{name: "the second read fails", rows: []row{old}, faults: faults{1: fails}, do: refreshed, want: "a", warned: true},
		{name: "the second read hangs", rows: []row{old}, faults: faults{1: hangs}, do: refreshed, want: "a", warned: true, after: 5 * time.Second},
		{name: "the second read panics", rows: []row{old}, faults: faults{1: func(context.Context) error { panic("out of order") }}, do: refreshed, want: "a", warned: true},
		{name: "the caller leaves during the second read", rows: []row{old}, faults: faults{1: hangs}, do: refreshed, leaves: time.Second, want: "a", warned: true, after: time.Second},
		{name: "refresh and second read fail", rows: []row{old}, faults: faults{1: fails}, do: unreachable, want: "a", warned: true},
		{name: "the new token is born dead", rows: []row{old, {"b", "active", -time.Second}}, do: refreshed, want: "a", warned: true},

		{name: "expired, and refreshed", rows: []row{expired, fresh}, do: refreshed, want: "b"},
		{name: "expired, and refreshed slowly", rows: []row{expired, fresh}, do: answers(`{"connection":{}}`, 40*time.Second), want: "b", after: 40 * time.Second},
		{name: "expired, and not refreshed", rows: []row{expired}, do: answers(busy, 0), err: ErrExpired},
		{name: "expired, and the second read fails", rows: []row{expired}, faults: faults{1: fails}, do: refreshed, err: ErrExpired},
		{name: "expired, and the control plane hangs", rows: []row{expired}, do: endless, err: ErrExpired, after: time.Minute},
		{name: "expired, and it hangs past its context", rows: []row{expired}, do: deaf, err: ErrExpired, after: 65 * time.Second},
		{name: "expired, and the caller leaves", rows: []row{expired}, do: endless, leaves: 10 * time.Second, err: context.DeadlineExceeded, after: 10 * time.Second},
		{name: "expired, and invoke panics", rows: []row{expired}, do: panics, err: ErrExpired},
		{name: "expired, and a person is needed", rows: []row{{"a", "reauthorization_required", -time.Minute}}, do: answers(`{"error":{}}`, 0), err: ErrReauthorizationRequired},
		{name: "expired, and a person turns out to be needed", rows: []row{expired, {"a", "reauthorization_required", -time.Minute}}, do: answers(`{"error":{}}`, 0), err: ErrReauthorizationRequired},

		{name: "disconnected", rows: []row{gone}, err: ErrNotConnected},
		{name: "disconnected meanwhile", rows: []row{old, gone}, do: refreshed, err: ErrNotConnected},
		{name: "unknown", rows: []row{{}}, err: ErrNotConnected},
		{name: "new, and not yet everywhere", rows: []row{{}, fresh}, want: "b"},
		{name: "table out of reach", rows: []row{fresh}, faults: faults{0: fails}, err: errDown},
		{name: "table hangs, and the caller leaves", rows: []row{fresh}, faults: faults{0: hangs}, leaves: time.Second, err: context.DeadlineExceeded, after: time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := &Reader{DynamoDB: &table{rows: tt.rows, faults: tt.faults}, Table: "c"}
				if tt.do != nil {
					r.Invoke = (&control{do: tt.do}).invoke
				}
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if tt.leaves != 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.leaves)
				}
				defer cancel()
				start := time.Now()
				got, err := r.Read(ctx, "acct_42", "whatnot", 5*time.Minute)
				if got.AccessToken != tt.want || !errors.Is(err, tt.err) || (tt.err == nil) != (err == nil) {
					t.Errorf("Read = %q, %v; want %q, %v", got.AccessToken, err, tt.want, tt.err)
				}
				var stale *StaleError
				if (got.Warning != nil) != tt.warned || errors.As(got.Warning, &stale) != tt.warned {
					t.Errorf("warning = %v", got.Warning)
				}
				if stale != nil && (stale.Cause == nil) != (got.AccessToken == "b") {
					t.Errorf("cause of the warning = %v", stale.Cause)
				}
				if took := time.Since(start); took != tt.after {
					t.Errorf("it took %v, want %v", took, tt.after)
				}
			})
		})
	}
}

// A refresh that hangs costs its first callers seconds, and the later ones
// nothing, until it is given up and another one begins.
func TestAHangingRefreshHoldsNobodyUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &control{do: deaf}
		r := &Reader{DynamoDB: &table{rows: []row{{"a", "active", time.Hour}}}, Table: "c", Invoke: c.invoke}
		start := time.Now()
		for _, tt := range []struct{ at, took time.Duration }{{0, 5 * time.Second}, {6 * time.Second, 0}, {64 * time.Second, 0}, {65 * time.Second, 5 * time.Second}, {71 * time.Second, 0}} {
			<-time.After(tt.at - time.Since(start))
			before := time.Now()
			got, err := r.Read(t.Context(), "acct_42", "whatnot", 2*time.Hour)
			if took := time.Since(before); err != nil || got.AccessToken != "a" || !errors.Is(got.Warning, errSlow) || took != tt.took {
				t.Errorf("after %v: %v, warning %v, took %v, want %v", tt.at, err, got.Warning, took, tt.took)
			}
		}
		if got := c.calls(); got != 2 {
			t.Errorf("%d calls, want 2", got)
		}
	})
}

// Whoever needs another token than the one there is, and for whatever reason,
// waits for one call.
func TestOneTokenIsAskedAboutOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &control{do: answers(`{"connection":{}}`, time.Second)}
		d := &table{rows: []row{{"a", "active", 4 * time.Minute}}}
		r := &Reader{DynamoDB: d, Table: "c", Invoke: c.invoke}
		first, err := r.Read(t.Context(), "acct_42", "whatnot", time.Minute)
		if err != nil || c.calls() != 0 {
			t.Fatalf("Read = %v, %d calls", err, c.calls())
		}
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				got, err := r.Read(t.Context(), "acct_42", "whatnot", time.Duration(5+i)*time.Minute)
				if err != nil || got.AccessToken != "b" {
					t.Errorf("Read = %v, %v", got, err)
				}
			})
			wg.Go(func() {
				got, err := r.Replace(t.Context(), "acct_42", "whatnot", first)
				if err != nil || got.AccessToken != "b" {
					t.Errorf("Replace = %v, %v", got, err)
				}
			})
		}
		synctest.Wait()
		d.mu.Lock()
		d.rows = []row{{"b", "active", 2 * time.Hour}}
		d.mu.Unlock()
		wg.Wait()
		if want := `{"action":"refresh","connection_id":"acct_42","provider":"whatnot","token_sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"}`; c.calls() != 1 || c.asked[0] != want {
			t.Errorf("asked %q, want one time %s", c.asked, want)
		}
		if got, err := r.Replace(t.Context(), "acct_42", "whatnot", first); err != nil || got.AccessToken != "b" || c.calls() != 1 {
			t.Errorf("a late Replace = %v, %v, %d calls", got, err, c.calls())
		}
		if len(r.flights) != 0 {
			t.Errorf("%d flights are kept", len(r.flights))
		}
	})
}

func TestConnectionsDoNotShareARefresh(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := &control{do: answers(`{"connection":{}}`, time.Second)}
		r := &Reader{DynamoDB: &table{rows: []row{{"a", "active", time.Minute}}}, Table: "c", Invoke: c.invoke}
		var wg sync.WaitGroup
		for _, k := range []key{{"acct_42", "whatnot"}, {"acct_42", "whisk"}, {"acct_43", "whatnot"}} {
			wg.Go(func() { _, _ = r.Read(t.Context(), k.connectionID, k.provider, time.Hour) })
		}
		wg.Wait()
		if got := c.calls(); got != 3 {
			t.Errorf("%d calls, want 3", got)
		}
	})
}

// The caller who began a refresh may leave: the others get what it brings.
func TestACallerWhoLeavesEndsNothingForTheOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		type trace struct{}
		c := &control{}
		c.do = func(ctx context.Context) ([]byte, error) {
			if ctx.Value(trace{}) != "first" {
				t.Error("the call lost its context's values")
			}
			return answers(`{"connection":{}}`, 3*time.Second)(ctx)
		}
		r := &Reader{DynamoDB: &table{rows: []row{{"a", "active", time.Minute}, {"a", "active", time.Minute}, {"b", "active", time.Hour}}}, Table: "c", Invoke: c.invoke}
		ctx, leave := context.WithCancel(context.WithValue(t.Context(), trace{}, "first"))
		var wg sync.WaitGroup
		wg.Go(func() {
			if got, err := r.Read(ctx, "acct_42", "whatnot", 5*time.Minute); err != nil || got.AccessToken != "a" || !errors.Is(got.Warning, context.Canceled) {
				t.Errorf("who leaves: %v, %v", got, err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if got, err := r.Read(t.Context(), "acct_42", "whatnot", 5*time.Minute); err != nil || got.AccessToken != "b" || got.Warning != nil {
				t.Errorf("who stays: %v, %v", got, err)
			}
		})
		synctest.Wait()
		leave()
		wg.Wait()
		if got := c.calls(); got != 1 {
			t.Errorf("%d calls, want 1", got)
		}
	})
}

func TestReplaceReturnsAnotherToken(t *testing.T) {
	a, b := row{"a", "active", time.Hour}, row{"b", "active", time.Hour}
	tests := []struct {
		name   string
		rows   []row
		lags   bool
		faults map[int]func(context.Context) error
		do     func(context.Context) ([]byte, error)
		leaves time.Duration
		want   string
		err    error
		calls  int
		after  time.Duration
	}{
		{name: "refreshed", rows: []row{a, b}, do: refreshed, want: "b", calls: 1},
		{name: "refreshed before it was reported", rows: []row{b}, do: refreshed, want: "b"},
		{name: "refreshed before, and not everywhere yet", rows: []row{a, b}, lags: true, do: refreshed, want: "b"},
		{name: "refreshed slowly", rows: []row{a, b}, do: answers(`{"connection":{}}`, 40*time.Second), want: "b", calls: 1, after: 40 * time.Second},
		{name: "control plane out of reach, somebody else's is not", rows: []row{a, b}, do: unreachable, want: "b", calls: 1},
		{name: "another one, which has expired, is refreshed", rows: []row{{"0", "active", -time.Hour}, b}, do: refreshed, want: "b", calls: 1},
		{name: "another one has expired", rows: []row{{"0", "active", -time.Hour}}, do: unreachable, err: ErrExpired, calls: 1},
		{name: "the only one", rows: []row{a}, do: refreshed, err: ErrExpired, calls: 1},
		{name: "control plane out of reach", rows: []row{a}, do: unreachable, err: errDown, calls: 1},
		{name: "control plane hangs", rows: []row{a}, do: endless, err: ErrExpired, calls: 1, after: time.Minute},
		{name: "invoke panics", rows: []row{a}, do: panics, err: ErrExpired, calls: 1},
		{name: "the caller leaves", rows: []row{a}, do: endless, leaves: 7 * time.Second, err: context.DeadlineExceeded, calls: 1, after: 7 * time.Second},
		{name: "a person is needed", rows: []row{{"a", "reauthorization_required", time.Hour}}, do: unreachable, err: ErrReauthorizationRequired, calls: 1},
		{name: "disconnected", rows: []row{{}}, do: refreshed, err: ErrNotConnected},
		{name: "disconnected meanwhile", rows: []row{a, {}}, do: refreshed, err: ErrNotConnected, calls: 1},
		{name: "table out of reach", rows: []row{a}, faults: map[int]func(context.Context) error{0: fails}, do: refreshed, err: errDown},
		{name: "table out of reach afterwards", rows: []row{a, b}, faults: map[int]func(context.Context) error{1: fails}, do: refreshed, err: errDown, calls: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := &control{do: tt.do}
				r := &Reader{DynamoDB: &table{rows: tt.rows, lags: tt.lags, faults: tt.faults}, Table: "c", Invoke: c.invoke}
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if tt.leaves != 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.leaves)
				}
				defer cancel()
				start := time.Now()
				got, err := r.Replace(ctx, "acct_42", "whatnot", Token{AccessToken: "a"})
				if got.AccessToken != tt.want || !errors.Is(err, tt.err) || (tt.err == nil) != (err == nil) {
					t.Errorf("Replace = %q, %v; want %q, %v", got.AccessToken, err, tt.want, tt.err)
				}
				if took := time.Since(start); c.calls() != tt.calls || took != tt.after {
					t.Errorf("%d calls, took %v; want %d, %v", c.calls(), took, tt.calls, tt.after)
				}
			})
		})
	}
}

// What was written a moment ago is seen, though reads are mostly eventually
// consistent.
func TestTheReadAfterARefreshIsConsistent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := &table{rows: []row{{"a", "active", time.Minute}, {"b", "active", time.Hour}}, lags: true}
		r := &Reader{DynamoDB: d, Table: "c", Invoke: (&control{do: refreshed}).invoke}
		if got, err := r.Read(t.Context(), "acct_42", "whatnot", 5*time.Minute); err != nil || got.AccessToken != "b" || d.calls != 2 {
			t.Errorf("Read = %v, %v, %d reads", got, err, d.calls)
		}
	})
}

func TestARowThatHasNothingButAToken(t *testing.T) {
	r := &Reader{DynamoDB: &table{rows: []row{{"a", "", 0}}}, Table: "c"}
	if got, err := r.Read(t.Context(), "acct_42", "whatnot", time.Minute); err != nil || got.AccessToken != "a" || got.Type != "Bearer" || !got.ExpiresAt.IsZero() {
		t.Errorf("Read = %v, %v", got, err)
	}
}

func TestAFreshTokenIsOneRead(t *testing.T) {
	d := &table{rows: []row{{"a", "active", time.Hour}}}
	c := &control{do: refreshed}
	r := &Reader{DynamoDB: d, Table: "c", Invoke: c.invoke, Now: time.Now}
	if _, err := r.Read(t.Context(), "acct_42", "whatnot", time.Minute); err != nil || d.calls != 1 || c.calls() != 0 {
		t.Errorf("%v, %d reads, %d calls", err, d.calls, c.calls())
	}
}

func TestAWarningSaysWhatIsLeftAndWhy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := &Reader{DynamoDB: &table{rows: []row{{"a", "active", 90 * time.Second}}}, Table: "c", Invoke: (&control{do: unreachable}).invoke}
		got, err := r.Read(t.Context(), "acct_42", "whatnot", 5*time.Minute)
		var stale *StaleError
		if err != nil || !errors.As(got.Warning, &stale) {
			t.Fatalf("Read = %v, %v", got, err)
		}
		if stale.Wanted != 5*time.Minute || stale.Left != 90*time.Second || !errors.Is(got.Warning, errDown) {
			t.Errorf("warning = %+v", stale)
		}
		if want := "tokens: 1m30s left of the 5m0s asked for: tokens: invoke connections function: out of reach"; stale.Error() != want {
			t.Errorf("warning = %s, want %s", stale, want)
		}
	})
}

// Who asks for nothing above zero gets no token that has just expired, and
// nobody's refresh is without a condition.
func TestReadWithoutAMinimum(t *testing.T) {
	for _, minTTL := range []time.Duration{0, -time.Minute} {
		bubble(t, func(t *testing.T) {
			d := &table{rows: []row{{"a", "active", time.Second}, {"a", "active", time.Second}, {"b", "active", time.Hour}}}
			c := &control{do: refreshed}
			r := &Reader{DynamoDB: d, Table: "c", Invoke: c.invoke}
			if got, err := r.Read(t.Context(), "acct_42", "whatnot", minTTL); err != nil || got.AccessToken != "a" || got.Warning != nil || c.calls() != 0 {
				t.Errorf("Read = %v, %v, %d calls", got, err, c.calls())
			}
			<-time.After(time.Second)
			if got, err := r.Read(t.Context(), "acct_42", "whatnot", minTTL); err != nil || got.AccessToken != "b" || c.calls() != 1 || !strings.Contains(c.asked[0], "token_sha256") {
				t.Errorf("Read = %v, %v, asked %q", got, err, c.asked)
			}
		})
	}
}

func TestATokenIsNotPrinted(t *testing.T) {
	token := Token{AccessToken: "hush-hush", Type: "Bearer", Warning: &StaleError{}}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		_, _ = fmt.Fprintf(&out, verb+verb+verb, token, &token, []Token{token})
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("read", "token", token, "pointer", &token)
	}
	_, _ = fmt.Fprint(&out, errors.Join(token.Warning))
	for _, secret := range []string{"hush", "aHVza", "68757368"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("printed: %s", out.String())
		}
	}
	if b, err := json.Marshal(token); err != nil || !strings.Contains(string(b), "hush-hush") {
		t.Errorf("json.Marshal = %s, %v, want it in full, as documented", b, err)
	}
}
