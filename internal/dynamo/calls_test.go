package dynamo_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/dynamo"
	"github.com/evergrant/evergrant/internal/oauth"
)

// recorder lists the calls of an API, and lets the answer to one be lost.
type recorder struct {
	dynamo.API
	calls []string
	weak  []string         // reads of a table that may miss the last write
	fault map[string]error // instead of the answer, by call
}

func (r *recorder) GetItem(ctx context.Context, in *dynamodb.GetItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	r.calls = append(r.calls, "GetItem")
	if !aws.ToBool(in.ConsistentRead) {
		r.weak = append(r.weak, "GetItem")
	}
	out, err := r.API.GetItem(ctx, in, opts...)
	return out, errors.Join(err, r.fault["GetItem"])
}

func (r *recorder) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	r.calls = append(r.calls, "UpdateItem")
	out, err := r.API.UpdateItem(ctx, in, opts...)
	return out, errors.Join(err, r.fault["UpdateItem"])
}

func (r *recorder) Query(ctx context.Context, in *dynamodb.QueryInput, opts ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	r.calls = append(r.calls, "Query")
	if !aws.ToBool(in.ConsistentRead) && in.IndexName == nil {
		r.weak = append(r.weak, "Query")
	}
	out, err := r.API.Query(ctx, in, opts...)
	return out, errors.Join(err, r.fault["Query"])
}

func (r *recorder) Scan(ctx context.Context, in *dynamodb.ScanInput, opts ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	r.calls = append(r.calls, "Scan")
	out, err := r.API.Scan(ctx, in, opts...)
	return out, errors.Join(err, r.fault["Scan"])
}

// recorded returns a store and the record of its calls.
func recorded(t *testing.T) (*dynamo.Store, *recorder) {
	t.Helper()
	st := open(t)
	r := &recorder{API: st.API}
	st.API = r
	return st, r
}

func TestEachOperationIsOneCall(t *testing.T) {
	st, r := recorded(t)
	var c connection.Connection
	ticket := connection.Request{ID: "ticket#1", State: "a", Key: key, ExpiresAt: epoch, Answer: []byte("sealed"), HeldUntil: epoch.Add(time.Minute)}
	tests := []struct {
		name string
		call string
		do   func() error
	}{
		{"Connect", "UpdateItem", func() error { _, err := st.Connect(t.Context(), grant); return err }},
		{"Claim", "UpdateItem", func() error { c = claim(t, st); return nil }},
		{"Defer", "UpdateItem", func() error { return st.Defer(t.Context(), c) }},
		{"Commit", "UpdateItem", func() error { return st.Commit(t.Context(), c) }},
		{"Restore", "UpdateItem", func() error { return st.Restore(t.Context(), grant, c.Fence) }},
		{"Get", "GetItem", func() error { _, err := st.Get(t.Context(), key); return err }},
		{"List", "Query", func() error { _, err := st.List(t.Context(), key.ConnectionID); return err }},
		{"ListByStatus", "Scan", func() error { _, _, err := st.ListByStatus(t.Context(), connection.Active, "", 10); return err }},
		{"Due", "Query", func() error { _, _, err := st.Due(t.Context(), "3", epoch, ""); return err }},
		{"Disconnect", "UpdateItem", func() error { _, err := st.Disconnect(t.Context(), key, epoch); return err }},
		{"ClaimRequest", "UpdateItem", func() error { return st.ClaimRequest(t.Context(), ticket) }},
		{"TakeAnswer", "UpdateItem", func() error { _, err := st.TakeAnswer(t.Context(), ticket.ID, epoch); return err }},
		{"FinishRequest", "UpdateItem", func() error { return st.FinishRequest(t.Context(), ticket) }},
		{"GetRequest", "GetItem", func() error { _, err := st.GetRequest(t.Context(), ticket.ID, "b"); return err }},
		{"TakeSweep", "UpdateItem", func() error { return takeSweep(t, st) }},
		{"EndSweep", "UpdateItem", func() error { return st.EndSweep(t.Context(), "", "a") }},
		{"SetBreaker", "UpdateItem", func() error { return st.SetBreaker(t.Context(), "whatnot", connection.Breaker{}) }},
		{"GetBreaker", "GetItem", func() error { _, err := st.GetBreaker(t.Context(), "whatnot"); return err }},
	}
	for _, tt := range tests {
		r.calls = nil
		if err := tt.do(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if !slices.Equal(r.calls, []string{tt.call}) {
			t.Errorf("%s makes the calls %q, want one %s", tt.name, r.calls, tt.call)
		}
	}
	if len(r.weak) > 0 { // no emulator lags, but DynamoDB does
		t.Errorf("the reads %q are not strongly consistent", r.weak)
	}
	r.calls = nil
	if _, err := st.Claim(t.Context(), connection.Claim{Key: key, LeaseID: "lease-2", Now: epoch}); !errors.Is(err, connection.ErrConflict) {
		t.Errorf("Claim: %v", err)
	}
	if !slices.Equal(r.calls, []string{"UpdateItem"}) {
		t.Errorf("a refused Claim makes the calls %q, want one UpdateItem", r.calls)
	}
}

// The counts and the reserved time of a provider are written often, by all who
// refresh, and a condition that is not met is paid for too.
func TestHowManyCallsProvidersCost(t *testing.T) {
	st, r := recorded(t)
	hour := func(n int) func() error {
		return func() error {
			_, err := st.CountRefreshes(t.Context(), "whatnot", connection.Outcomes{Refreshes: 1}, epoch.Add(time.Duration(n)*time.Hour))
			return err
		}
	}
	reserve := func() error {
		_, err := st.ReserveTime(t.Context(), "whatnot", time.Second, epoch, epoch.Add(2*time.Second))
		return err
	}
	for _, tt := range []struct {
		name  string
		calls int
		do    func() error
		err   error
	}{
		{"the first count", 3, hour(0), nil},
		{"another count in the span", 1, hour(0), nil},
		{"the first count of the next span", 3, hour(1), nil},
		{"another count in that span", 1, hour(1), nil},
		{"a count by a clock that is behind", 1, hour(0), nil},
		{"the first count after an idle hour", 3, hour(3), nil},
		{"reserving what is free", 1, reserve, nil},
		{"reserving behind others", 2, reserve, nil},
		{"reserving what is not there", 2, reserve, connection.ErrConflict},
	} {
		r.calls = nil
		if err := tt.do(); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
		if len(r.calls) != tt.calls {
			t.Errorf("%s makes %d calls, want %d", tt.name, len(r.calls), tt.calls)
		}
	}
}

// overtaken lets somebody else act before its n-th write.
type overtaken struct {
	dynamo.API
	n   int
	act func()
}

func (o *overtaken) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	if o.n--; o.n == 0 {
		o.act()
	}
	return o.API.UpdateItem(ctx, in, opts...)
}

// Both take several writes, so somebody else may come between any two.
func TestWhoIsOvertakenLosesNoCountAndNoTime(t *testing.T) {
	for _, before := range []int{0, 1, 9} { // hours ago, 0 for never
		for n := range 4 {
			st := open(t)
			count := func(st *dynamo.Store, hours int) connection.Breaker {
				now := epoch.Add(time.Duration(hours) * time.Hour)
				b, err := st.CountRefreshes(t.Context(), "whatnot", connection.Outcomes{Refreshes: 1}, now)
				if err != nil {
					t.Fatalf("CountRefreshes: %v", err)
				}
				return b
			}
			if before > 0 {
				count(st, -before)
			}
			second := *st
			o := &overtaken{API: st.API, n: n, act: func() { count(st, 0) }}
			second.API = o
			b, others := count(&second, 0), 0
			if o.n <= 0 && n > 0 {
				others = 1
			}
			if b.Hour.This.Refreshes != 1+others || (b.Hour.Last.Refreshes == 1) != (before == 1) {
				t.Errorf("overtaken before write %d, counted %d hours ago: %+v", n, before, b)
			}
		}
	}
	for n := 1; n <= 2; n++ {
		st := open(t)
		second := *st
		reserve := func(st *dynamo.Store) time.Time {
			start, err := st.ReserveTime(t.Context(), "whatnot", time.Second, epoch, epoch.Add(time.Minute))
			if err != nil {
				t.Fatalf("ReserveTime: %v", err)
			}
			return start
		}
		starts := []time.Time{reserve(st)}
		second.API = &overtaken{API: st.API, n: n, act: func() { starts = append(starts, reserve(st)) }}
		starts = append(starts, reserve(&second))
		for i, start := range starts {
			if want := epoch.Add(time.Duration(i) * time.Second); !start.Equal(want) {
				t.Errorf("overtaken before write %d: reservation %d starts at %v, want %v", n, i, start, want)
			}
		}
	}
}

// twice sends each write twice, as the client does when the first answer is
// lost.
type twice struct{ dynamo.API }

func (d twice) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	if _, err := d.API.UpdateItem(ctx, in, opts...); err != nil {
		return nil, err
	}
	return d.API.UpdateItem(ctx, in, opts...)
}

func TestAClaimedRequestThatIsRepeatedByTheClientIsSuccess(t *testing.T) {
	st := open(t)
	repeating := *st
	repeating.API = twice{st.API}
	r := connection.Request{ID: "ticket#1", State: "a", Key: key, ExpiresAt: epoch}
	if err := repeating.ClaimRequest(t.Context(), r); err != nil {
		t.Errorf("ClaimRequest sent twice: %v", err)
	}
	if err := st.ClaimRequest(t.Context(), r); !errors.Is(err, connection.ErrConflict) {
		t.Errorf("a second ClaimRequest: %v, want ErrConflict", err)
	}
}

func TestADenialThatIsRepeatedByTheClientIsSuccess(t *testing.T) {
	st := open(t)
	repeating := *st
	repeating.API = twice{st.API}
	for _, state := range []string{"a", "b"} {
		r := connection.Request{ID: "ticket#1", State: state, Key: key, ExpiresAt: epoch}
		if err := repeating.DenyRequest(t.Context(), r); err != nil {
			t.Errorf("DenyRequest sent twice: %v", err)
		}
		if err := st.DenyRequest(t.Context(), r); !errors.Is(err, connection.ErrConflict) {
			t.Errorf("a second DenyRequest: %v, want ErrConflict", err)
		}
	}
}

// Nobody may have an answer twice, so a repetition finds none, and the person
// starts again.
func TestAnAnswerThatIsTakenTwiceByTheClientIsGone(t *testing.T) {
	st := open(t)
	r := connection.Request{ID: "ticket#1", State: "a", Key: key, ExpiresAt: epoch, Answer: []byte("sealed"), HeldUntil: epoch.Add(time.Minute)}
	if err := st.ClaimRequest(t.Context(), r); err != nil {
		t.Fatalf("ClaimRequest: %v", err)
	}
	repeating := *st
	repeating.API = twice{st.API}
	if _, err := repeating.TakeAnswer(t.Context(), r.ID, epoch); !errors.Is(err, connection.ErrConflict) {
		t.Errorf("TakeAnswer sent twice: %v, want ErrConflict", err)
	}
}

func TestARestoreThatIsRepeatedByTheClientIsSuccess(t *testing.T) {
	st := open(t)
	repeating := *st
	repeating.API = twice{st.API}
	for fence := range int64(2) {
		c := grant
		c.AccessToken = oauth.Secret(fmt.Sprintf("access-%d", fence))
		if err := repeating.Restore(t.Context(), c, fence); err != nil {
			t.Errorf("Restore at fence %d sent twice: %v", fence, err)
		}
	}
	connect(t, st)
	claim := connection.Claim{Key: key, LeaseID: "lease-1", Now: epoch, Until: epoch.Add(time.Minute), StoredFence: 3}
	c, err := st.Claim(t.Context(), claim)
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	c.Fence, c.Lease.ID = 4, "lease-1"
	if err := repeating.Defer(t.Context(), c); err != nil {
		t.Errorf("Defer sent twice: %v", err)
	}
}

// A repeated reservation leaves a gap, and a repeated count counts twice. Either
// is harmless; an error, or time that two have, would not be.
func TestWhatIsCountedAndReservedMayBeRepeatedByTheClient(t *testing.T) {
	st := open(t)
	repeating := *st
	repeating.API = twice{st.API}
	end := epoch
	for range 3 {
		start, err := repeating.ReserveTime(t.Context(), "whatnot", time.Second, epoch, epoch.Add(time.Minute))
		if err != nil || start.Before(end) {
			t.Errorf("ReserveTime = %v, %v, want it not before %v", start, err, end)
		}
		end = start.Add(time.Second)
	}
	for i, least := range []int{1, 2, 1} { // the third is in the next hour
		b, err := repeating.CountRefreshes(t.Context(), "whatnot", connection.Outcomes{Refreshes: 1}, epoch.Add(time.Duration(i/2)*time.Hour))
		if err != nil || b.Hour.This.Refreshes < least {
			t.Errorf("CountRefreshes = %+v, %v, want at least %d", b, err, least)
		}
	}
}

// The client sends again when an answer is lost; the repetition then meets its
// own write.
func TestACommitThatIsRepeatedByTheClientIsSuccess(t *testing.T) {
	st, r := recorded(t)
	connect(t, st)
	c := claim(t, st)
	c.AccessToken, c.StoredFence, c.UpdatedAt = "access-2", c.Fence, epoch.Add(time.Second)
	r.fault = map[string]error{"UpdateItem": &types.ConditionalCheckFailedException{}}
	if err := st.Commit(t.Context(), c); err != nil {
		t.Errorf("Commit: %v", err)
	}
	if got, err := st.Get(t.Context(), key); err != nil || got.AccessToken != "access-2" {
		t.Errorf("Get = %v, %v", got, err)
	}
}

// Nobody may take an outage for a lost race: that would give a grant up.
func TestAnOutageIsNoConflict(t *testing.T) {
	outage := &types.ProvisionedThroughputExceededException{}
	st, r := recorded(t)
	connect(t, st)
	c := claim(t, st)
	check := func(op string, err error) {
		t.Helper()
		var got *types.ProvisionedThroughputExceededException
		if !errors.As(err, &got) || errors.Is(err, connection.ErrConflict) || errors.Is(err, connection.ErrNotFound) {
			t.Errorf("%s: err = %v, want the outage", op, err)
		}
	}
	r.fault = map[string]error{"UpdateItem": outage}
	check("Defer", st.Defer(t.Context(), c))
	check("Restore", st.Restore(t.Context(), grant, 2))

	r.fault = map[string]error{"GetItem": outage} // the restore took place, so both have to look
	check("Commit that cannot look", st.Commit(t.Context(), c))
	check("Restore that cannot look", st.Restore(t.Context(), grant, 1))
	_, err := st.GetBreaker(t.Context(), "whatnot")
	check("GetBreaker", err)

	r.fault = map[string]error{"GetItem": outage, "UpdateItem": outage, "Query": outage, "Scan": outage}
	ticket := connection.Request{ID: "ticket#1", State: "a", Key: key, ExpiresAt: epoch, Answer: []byte("sealed"), HeldUntil: epoch.Add(time.Minute)}
	_, err = st.Get(t.Context(), key)
	check("Get", err)
	_, err = st.List(t.Context(), key.ConnectionID)
	check("List", err)
	_, _, err = st.ListByStatus(t.Context(), "", "", 10)
	check("ListByStatus", err)
	_, _, err = st.Due(t.Context(), "3", epoch, "")
	check("Due", err)
	_, err = st.Connect(t.Context(), grant)
	check("Connect", err)
	_, err = st.Claim(t.Context(), connection.Claim{Key: key, LeaseID: "lease-2", Now: epoch.Add(24 * time.Hour)})
	check("Claim", err)
	_, err = st.Disconnect(t.Context(), key, epoch)
	check("Disconnect", err)
	check("ClaimRequest", st.ClaimRequest(t.Context(), ticket))
	_, err = st.TakeAnswer(t.Context(), ticket.ID, epoch)
	check("TakeAnswer", err)
	_, err = st.GetRequest(t.Context(), ticket.ID, "a")
	check("GetRequest", err)
	check("FinishRequest", st.FinishRequest(t.Context(), ticket))
	check("TakeSweep", takeSweep(t, st))
	check("EndSweep", st.EndSweep(t.Context(), "", "a"))
	check("SetBreaker", st.SetBreaker(t.Context(), "whatnot", connection.Breaker{}))
	_, err = st.CountRefreshes(t.Context(), "whatnot", connection.Outcomes{Refreshes: 1}, epoch)
	check("CountRefreshes", err)
	_, err = st.ReserveTime(t.Context(), "whatnot", time.Second, epoch, epoch.Add(time.Minute))
	check("ReserveTime", err)
	ticket.State = "b"
	check("DenyRequest", st.DenyRequest(t.Context(), ticket))
}

// One answer of DynamoDB is at most 1 MB.
func TestAListIsLongerThanOneAnswer(t *testing.T) {
	st, r := recorded(t)
	const many = 80
	for i := range many {
		c := grant
		c.Provider = fmt.Sprintf("provider-%02d", i)
		c.AccessToken = oauth.Secret(strings.Repeat("x", 16<<10))
		if _, err := st.Connect(t.Context(), c); err != nil {
			t.Fatalf("Connect: %v", err)
		}
	}
	r.calls = nil
	list, err := st.List(t.Context(), key.ConnectionID)
	if err != nil || len(list) != many || list[0].Provider != "provider-00" || list[many-1].Provider != "provider-79" {
		t.Errorf("List = %d connections, %v, want %d in order", len(list), err, many)
	}
	if len(r.calls) < 2 {
		t.Errorf("List made the calls %q: the test's list is too short", r.calls)
	}
	found, cursor := 0, ""
	for pages := 0; pages == 0 || cursor != "" && pages < many; pages++ {
		page, next, err := st.ListByStatus(t.Context(), connection.Active, cursor, many)
		if err != nil {
			t.Fatalf("ListByStatus: %v", err)
		}
		found, cursor = found+len(page), next
	}
	if found != many {
		t.Errorf("ListByStatus found %d, want %d", found, many)
	}
}

func takeSweep(t *testing.T, st *dynamo.Store) error {
	t.Helper()
	_, err := st.TakeSweep(t.Context(), connection.Sweep{ID: "a", Now: epoch, Until: epoch.Add(time.Minute), Shards: 4})
	return err
}
