package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/seal"
)

const signingSecret = "0123456789abcdef0123456789abcdef"

// keys are Keys: a ring, or an error.
type keys struct{ err error }

func (k keys) ConnectKeys(context.Context) (seal.Keys, error) {
	if k.err != nil {
		return seal.Keys{}, k.err
	}
	return seal.ParseKeys([]byte(`{"current":"k2","k1":"` + strings.Repeat("x", 32) + `","k2":"` + signingSecret + `"}`))
}

// A recordingBus takes what refuse lets it.
type recordingBus struct {
	refuse func(call, i int, n connection.Notice) bool // call counts from 1
	calls  [][]connection.Notice
	taken  []connection.Notice
}

func (b *recordingBus) Publish(_ context.Context, notices []connection.Notice) (lost []int, err error) {
	b.calls = append(b.calls, notices)
	for i, n := range notices {
		if b.refuse != nil && b.refuse(len(b.calls), i, n) {
			lost, err = append(lost, i), errors.New("ThrottlingException")
			continue
		}
		b.taken = append(b.taken, n)
	}
	return lost, err
}

// A fixture is a Handler whose images are the JSON of a row by its number.
type fixture struct {
	*Handler
	bus *recordingBus
	log *bytes.Buffer
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{bus: &recordingBus{}, log: &bytes.Buffer{}}
	f.Handler = &Handler{
		Maker: Maker{Keys: keys{}, PublicURL: "https://connect.example.com", Now: func() time.Time { return noon }, Log: canary.Log(t, slog.NewJSONHandler(f.log, nil))},
		Bus:   f.bus,
		Read: func(image []byte) (c connection.Connection, err error) {
			if len(image) == 0 {
				return c, nil
			}
			return c, json.Unmarshal(image, &c)
		},
	}
	return f
}

// record returns the record of a write.
func record(t *testing.T, sequence int, old, now connection.Connection) Record {
	t.Helper()
	var r Record
	r.Change.SequenceNumber = strconv.Itoa(sequence)
	for image, c := range map[*json.RawMessage]connection.Connection{&r.Change.OldImage: old, &r.Change.NewImage: now} {
		if c.Status == "" {
			continue
		}
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		*image = b
	}
	return r
}

// of returns c as another connection.
func of(c connection.Connection, id string) connection.Connection {
	c.ConnectionID = id
	return c
}

// handle invokes f and returns the record that is to be handed over again, "" for
// none.
func (f *fixture) handle(t *testing.T, records ...Record) (again string, err error) {
	t.Helper()
	resp, err := f.Handle(t.Context(), Batch{records})
	for _, failure := range resp.BatchItemFailures {
		again += failure.ItemIdentifier
	}
	return again, err
}

// told returns who was told what, in order.
func told(notices []connection.Notice) (list []string) {
	for _, n := range notices {
		var detail struct {
			ConnectionID string `json:"connection_id"`
		}
		_ = json.Unmarshal(n.Detail, &detail)
		list = append(list, detail.ConnectionID+" "+n.Type)
	}
	return list
}

func TestAReconnectLinkIsFresh(t *testing.T) {
	f := newFixture(t)
	old := claimed(connected())
	if again, err := f.handle(t, record(t, 1, old, marked(old))); again != "" || err != nil {
		t.Fatal(again, err)
	}
	var got Event
	if err := json.Unmarshal(f.bus.taken[0].Detail, &got); err != nil {
		t.Fatal(err)
	}
	url, ticket, _ := strings.Cut(got.ReconnectURL.Reveal(), "=")
	if url != "https://connect.example.com/authorize/whatnot?ticket" || !got.ReconnectExpiresAt.Equal(noon.Add(15*time.Minute)) {
		t.Errorf("link %s until %s", url, got.ReconnectExpiresAt)
	}
	claims := jwt.MapClaims{}
	token, err := jwt.NewParser(jwt.WithTimeFunc(func() time.Time { return noon })).ParseWithClaims(ticket, claims, func(*jwt.Token) (any, error) { return []byte(signingSecret), nil })
	if err != nil || token.Header["kid"] != "k2" || claims["sub"] != "acct_42" || claims["exp"] != float64(noon.Unix()+15*60) {
		t.Errorf("ticket %v %v: %v", token.Header, claims, err)
	}
	got.Kind = ReauthorizationRequired
	validate(t, got)
	if strings.Contains(f.log.String(), "ticket") || strings.Contains(fmt.Sprintf("%v %+v %#v", got, got, &got), "ticket=") {
		t.Error("the link is printed")
	}
	if logged := fmt.Sprint(got.LogValue()); !strings.Contains(logged, "[redacted]") || !strings.Contains(logged, "rotation_lost") || strings.Contains(logged, "ticket=") {
		t.Errorf("logged as %s", logged)
	}
}

// The host must be told, link or not.
func TestAnEventGoesWithoutALinkWhereNoneCanBeMade(t *testing.T) {
	tests := map[string]func(*fixture){
		"PUBLIC_URL": func(f *fixture) { f.Maker.PublicURL = "" },
		"ticket keys: Secrets Manager is out of reach": func(f *fixture) { f.Maker.Keys = keys{errors.New("Secrets Manager is out of reach")} },
	}
	for why, spoil := range tests {
		f := newFixture(t)
		spoil(f)
		old := claimed(connected())
		if again, err := f.handle(t, record(t, 1, old, marked(old))); again != "" || err != nil || len(f.bus.taken) != 1 {
			t.Fatal(again, err)
		}
		var got Event
		_ = json.Unmarshal(f.bus.taken[0].Detail, &got)
		got.Kind = ReauthorizationRequired
		if validate(t, got); got.ReconnectURL != "" || !strings.Contains(f.log.String(), why) {
			t.Errorf("%s: link %v, log %s", why, got.ReconnectURL != "", f.log)
		}
	}
}

// A batch of many connections goes by tens, and of one connection one at a time.
func TestOneCallHasOneEventOfAConnection(t *testing.T) {
	f := newFixture(t)
	var records []Record
	for i := range 25 {
		c := of(connected(), fmt.Sprintf("acct_%d", i))
		records = append(records, record(t, i, connection.Connection{}, c))
	}
	records = append(records, record(t, 25, of(connected(), "acct_24"), of(disconnected(connected()), "acct_24")))
	if again, err := f.handle(t, records...); again != "" || err != nil {
		t.Fatal(again, err)
	}
	var sizes []int
	for _, call := range f.bus.calls {
		sizes = append(sizes, len(call))
	}
	if !slices.Equal(sizes, []int{10, 10, 5, 1}) {
		t.Errorf("calls of %v events", sizes)
	}
	if n := strings.Count(f.log.String(), `"msg":"told"`); n != 26 {
		t.Errorf("%d events are in the log", n)
	}
}

func TestACallHasWhatEventBridgeTakes(t *testing.T) {
	f := newFixture(t)
	var records []Record
	for i, label := range []int{200_000, 40_000, 20_000, 240_000, 260_000} {
		c := of(connected(), fmt.Sprintf("acct_%d", i))
		c.Account.Label = strings.Repeat("é", label/2)
		r := record(t, i, connection.Connection{}, c)
		r.Stream = tableARN + strings.Repeat("x", 255) // what the name of a table may have
		records = append(records, r)
	}
	if again, err := f.handle(t, records...); again != "" || err != nil {
		t.Fatal(again, err)
	}
	got := told(f.bus.taken)
	if want := []string{"acct_0", "acct_1", "acct_2", "acct_3"}; len(got) != 4 || len(f.bus.calls) != 3 || !strings.HasPrefix(got[3], want[3]) {
		t.Errorf("%d calls, told %v", len(f.bus.calls), got)
	}
	for _, call := range f.bus.calls {
		size := 0
		for _, n := range call {
			size += 14 + len(connection.NoticeSource) + len(n.Type) + len(n.Table) + len(n.Detail)
		}
		if size > 256_000 {
			t.Errorf("a call has %d bytes", size)
		}
	}
	if !strings.Contains(f.log.String(), "event left out") || !strings.Contains(f.log.String(), "acct_4") {
		t.Error("nothing says that an event was left out")
	}
}

// Nothing that can be read waits for what cannot, and nobody tries that for a day.
func TestARecordThatCannotBeReadIsLeftOut(t *testing.T) {
	f := newFixture(t)
	bad := record(t, 2, connected(), disconnected(connected()))
	bad.Change.OldImage = json.RawMessage(`{"Status":{}}`)
	undated := connected()
	undated.UpdatedAt = time.Time{}
	again, err := f.handle(t, record(t, 1, connection.Connection{}, connected()), bad, record(t, 3, connection.Connection{}, undated),
		record(t, 4, connected(), disconnected(connected())), record(t, 5, disconnected(connected()), connection.Connection{}))
	if want := []string{"acct_42 Connection Connected", "acct_42 Connection Disconnected"}; again != "" || err != nil || !slices.Equal(told(f.bus.taken), want) {
		t.Errorf("told %v, %q, %v", told(f.bus.taken), again, err)
	}
	if n := strings.Count(f.log.String(), `"level":"ERROR","msg":"record left out"`); n != 2 {
		t.Errorf("%d error lines: %s", n, f.log)
	}
}

// A restore puts rows back by the thousand. None is a change, and what asks for a
// person would mail each of them.
func TestWhatARestorePutsBackIsNotTold(t *testing.T) {
	first, lease := connected(), claimed(connected())
	week := 7 * day
	tests := []struct {
		name string
		row  connection.Connection
		age  time.Duration // of the row where it is written; below 0: not known
		told bool
	}{
		{"a first grant", first, time.Second, true},
		{"a first grant that the spill kept over a weekend", first, 4 * day, true},
		{"a first grant, with a clock that is behind", first, -1 * time.Minute, true},
		{"a first grant of a week ago", first, week, true},
		{"a copy of one that was never refreshed", first, week + time.Second, false},
		{"a copy of one that was refreshed", refreshed(lease), 0, false},
		{"a copy of one under a refresh", lease, 0, false},
		{"a copy of one that fails", failed(lease, 3), 0, false},
		{"a copy of one that was connected again", granted(first, "ticket#2"), 0, false},
		{"a copy of one that asks for a person", marked(lease), time.Minute, false},
		{"a copy of one that was disconnected", disconnected(first), time.Minute, false},
	}
	for _, tt := range tests {
		f := newFixture(t)
		r := record(t, 1, connection.Connection{}, tt.row)
		r.Change.Written = float64(tt.row.UpdatedAt.Add(tt.age).Unix())
		if again, err := f.handle(t, r); again != "" || err != nil || len(f.bus.taken) > 1 || (len(f.bus.taken) == 1) != tt.told {
			t.Errorf("%s: told %v, %q, %v", tt.name, told(f.bus.taken), again, err)
		}
		if said := strings.Contains(f.log.String(), `"msg":"rows put back passed over","rows":1`); said == tt.told {
			t.Errorf("%s: the log says %s", tt.name, f.log)
		}
	}
	f := newFixture(t)
	lost := record(t, 1, first, connection.Connection{})
	lost.Change.Written = float64(noon.Add(30 * day).Unix())
	if _, err := f.handle(t, lost); err != nil || len(f.bus.taken) != 0 || strings.Contains(f.log.String(), "put back") {
		t.Errorf("a row that is removed: told %v, %s, %v", told(f.bus.taken), f.log, err)
	}
}

// Rules for one of several stacks on a bus go by the table.
func TestAnEventNamesTheTableOfItsStream(t *testing.T) {
	tests := map[string]string{tableARN + "/stream/2026-01-15T10:00:00.000": tableARN, "": ""}
	for stream, want := range tests {
		f := newFixture(t)
		r := record(t, 1, connection.Connection{}, connected())
		r.Stream = stream
		if _, err := f.handle(t, r); err != nil || len(f.bus.taken) != 1 || f.bus.taken[0].Table != want {
			t.Errorf("a stream %q: %+v, %v", stream, f.bus.taken, err)
		}
	}
}

// What happens to three connections in eight writes.
func story(t *testing.T) []Record {
	a, b, c := of(connected(), "a"), of(connected(), "b"), of(connected(), "c")
	la := claimed(a)
	return []Record{
		record(t, 1, connection.Connection{}, a),
		record(t, 2, connection.Connection{}, b),
		record(t, 3, a, la),
		record(t, 4, claimed(b), marked(claimed(b))),
		record(t, 5, connection.Connection{}, c),
		record(t, 6, la, disconnected(la)),
		record(t, 7, marked(claimed(b)), granted(marked(claimed(b)), "ticket#2")),
		record(t, 8, c, disconnected(c)),
	}
}

// Whatever EventBridge refuses, and whenever, in the end each event was taken, and
// the first delivery of each is in the order of its connection's writes.
func TestEachEventIsToldAtLeastOnceAndInOrder(t *testing.T) {
	want := newFixture(t)
	if again, err := want.handle(t, story(t)...); again != "" || err != nil {
		t.Fatal(again, err)
	}
	if len(want.bus.taken) != 7 {
		t.Fatalf("told %v", told(want.bus.taken))
	}
	whole := story(t)
	for mask := range 1 << 7 { // bit n: the n-th entry that is offered is refused
		f, offered := newFixture(t), 0
		f.bus.refuse = func(int, int, connection.Notice) bool {
			offered++
			return mask>>(offered-1)&1 == 1
		}
		left := whole
		for tries := 0; len(left) > 0; tries++ { // as Lambda does
			before := len(f.bus.taken)
			again, err := f.handle(t, left...)
			switch {
			case tries > 12:
				t.Fatalf("mask %b: no end", mask)
			case err != nil:
				if !errors.Is(err, ErrNothingPublished) || again != "" {
					t.Fatal(again, err)
				}
				continue
			case again == "":
				left = nil
			default:
				if len(f.bus.taken) == before {
					t.Fatalf("mask %b: a failure that Lambda does not count", mask)
				}
				n, _ := strconv.Atoi(again)
				left = left[slices.IndexFunc(left, func(r Record) bool { return r.Change.SequenceNumber == strconv.Itoa(n) }):]
			}
		}
		inOrder(t, mask, f.bus.taken, want.bus.taken)
	}
}

// inOrder checks got, of which some may be there twice.
func inOrder(t *testing.T, mask int, got, want []connection.Notice) {
	t.Helper()
	for _, id := range []string{"a", "b", "c"} {
		mine := func(list []connection.Notice) (of []string) {
			for _, line := range told(list) {
				if strings.HasPrefix(line, id+" ") && !slices.Contains(of, line) {
					of = append(of, line)
				}
			}
			return of
		}
		if g, w := mine(got), mine(want); !slices.Equal(g, w) {
			t.Fatalf("mask %b: %v, want %v", mask, g, w)
		}
	}
}

// An invocation keeps time to say what it did not do.
func TestABusThatHangsIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.Bus = hangingBus{}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err := f.Handle(ctx, Batch{story(t)})
		if !errors.Is(err, ErrNothingPublished) || ctx.Err() != nil {
			t.Errorf("%v, %v", err, ctx.Err())
		}
	})
}

type hangingBus struct{}

func (hangingBus) Publish(ctx context.Context, notices []connection.Notice) (lost []int, err error) {
	<-ctx.Done()
	for i := range notices {
		lost = append(lost, i)
	}
	return lost, ctx.Err()
}

// Read decodes no token; none is told where there is one even so.
func TestNoTokenIsTold(t *testing.T) {
	c := connected()
	c.AccessToken, c.SealedRefreshToken, c.Metadata = "canary-access", []byte("canary-refresh"), map[string]string{"canary": "canary"}
	c.Lease.ID, c.ClientID = "canary-lease", "canary-client"
	c.RequestID = "canary-request"
	for _, now := range []connection.Connection{c, marked(c), disconnected(c), failed(c, 3)} {
		now.Failure.Detail = "canary-detail"
		for _, e := range append(Changes(connection.Connection{}, now), Changes(connected(), now)...) {
			detail, err := e.Detail()
			if err != nil || bytes.Contains(detail, []byte("canary")) {
				t.Errorf("%v: %s", err, detail)
			}
		}
	}
}
