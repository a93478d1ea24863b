package corpus

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/dynamo"
	"github.com/evergrant/evergrant/internal/dynamotest"
)

// A format is a file of testdata: what one release writes, and what is read in
// that.
type format struct {
	Connections map[string]item   `json:"connections"` // by connection ID
	State       map[string]item   `json:"state"`       // by what it is
	Sealed      map[string]string `json:"sealed"`      // outside of the tables
	Reads       map[string]any    `json:"reads"`
}

// formats returns the numbers of all formats, in order.
func formats(t *testing.T) (numbers []int) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(file), ".json"))
		if err != nil {
			t.Fatalf("%s is no number", file)
		}
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers
}

func load(t *testing.T, n int) (f format) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", strconv.Itoa(n)+".json"))
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// open returns a store on fresh tables.
func open(t *testing.T) (*dynamo.Store, dynamotest.Database) {
	t.Helper()
	db := dynamotest.Open(t)
	return &dynamo.Store{API: db.Client, ConnectionsTable: db.ConnectionsTable, StateTable: db.StateTable}, db
}

// scan returns all items of a table by the value of their key.
func scan(t *testing.T, db dynamotest.Database, table, key string) map[string]item {
	t.Helper()
	out, err := db.Client.Scan(t.Context(), &dynamodb.ScanInput{TableName: &table})
	if err != nil {
		t.Fatal(err)
	}
	items := map[string]item{}
	for _, i := range out.Items {
		items[i[key].(*types.AttributeValueMemberS).Value] = i
	}
	return items
}

// put writes items as they are.
func put(t *testing.T, db dynamotest.Database, table string, items map[string]item) {
	t.Helper()
	for name, i := range items {
		if _, err := db.Client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: i}); err != nil {
			t.Fatalf("put %s: %v", name, err)
		}
	}
}

func TestThisReleaseWritesTheLatestFormat(t *testing.T) {
	store, db := open(t)
	got := format{Sealed: seals(t)}
	write(t, store)
	got.Connections, got.State = scan(t, db, db.ConnectionsTable, "connection_id"), scan(t, db, db.StateTable, "id")
	got.Reads = reads(t, store, got)
	all := formats(t)
	if os.Getenv("CORPUS") == "write" {
		latest := 1
		if len(all) > 0 {
			latest = all[len(all)-1] + 1
		}
		b, err := json.MarshalIndent(got, "", " ")
		if err == nil {
			err = os.WriteFile(filepath.Join("testdata", strconv.Itoa(latest)+".json"), append(b, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	want := load(t, all[len(all)-1])
	for _, table := range []struct{ got, want map[string]item }{{got.Connections, want.Connections}, {got.State, want.State}} {
		for name, i := range table.want {
			if a, b := plain(table.got[name]), plain(i); !reflect.DeepEqual(a, b) {
				t.Errorf("%s is written as\n%v\nand in the latest format as\n%v", name, a, b)
			}
		}
		if len(table.got) != len(table.want) {
			t.Errorf("%d items are written, the latest format has %d", len(table.got), len(table.want))
		}
	}
	if !reflect.DeepEqual(generic(t, got.Reads), want.Reads) {
		t.Errorf("reads\n%v\nand in the latest format\n%v", generic(t, got.Reads), want.Reads)
	}
}

func TestEveryFormatIsRead(t *testing.T) {
	for _, n := range formats(t) {
		f := load(t, n)
		store, db := open(t)
		put(t, db, db.ConnectionsTable, f.Connections)
		put(t, db, db.StateTable, f.State)
		got := generic(t, reads(t, store, f))
		for name, want := range f.Reads {
			if !reflect.DeepEqual(got[name], want) {
				t.Errorf("format %d, %s is read as\n%v\nand was written as\n%v", n, name, got[name], want)
			}
		}
		opens(t, n, f.Sealed)
	}
}

// A refresh by this release leaves everything of an older one's item that it
// does not mean to change, also what it does not know.
func TestARefreshKeepsWhatAnotherReleaseHasWritten(t *testing.T) {
	for _, n := range formats(t) {
		f := load(t, n)
		store, db := open(t)
		for _, i := range f.Connections {
			i["of_another_release"] = &types.AttributeValueMemberSS{Value: []string{"x"}}
		}
		put(t, db, db.ConnectionsTable, f.Connections)
		refreshed := 0
		for id, i := range f.Connections {
			if refresh(t, store, connection.Key{ConnectionID: id, Provider: providerName}) {
				refreshed++
			}
			after := scan(t, db, db.ConnectionsTable, "connection_id")[id]
			for _, changed := range []string{"fence", "stored_fence", "lease_id", "lease_until", "lease_sent_at"} {
				delete(after, changed)
				delete(i, changed)
			}
			if !reflect.DeepEqual(generic(t, after), generic(t, i)) {
				t.Errorf("format %d: a refresh makes of %s\n%v\nout of\n%v", n, id, generic(t, after), generic(t, i))
			}
		}
		if refreshed < 5 {
			t.Errorf("format %d: %d connections were refreshed", n, refreshed)
		}
	}
}

// refresh claims the connection k and commits the tokens that it has.
func refresh(t *testing.T, store *dynamo.Store, k connection.Key) bool {
	t.Helper()
	c, err := store.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	if c.Status != connection.Active {
		return false
	}
	if _, err := store.Claim(t.Context(), connection.Claim{Key: k, LeaseID: "later", Now: noon.Add(time.Hour), Until: noon.Add(2 * time.Hour), StoredFence: c.StoredFence}); err != nil {
		t.Fatalf("claim %v: %v", k, err)
	}
	c.Fence++
	c.StoredFence, c.Lease = c.Fence, connection.Lease{ID: "later"}
	if err := store.Commit(context.WithoutCancel(t.Context()), c); err != nil {
		t.Fatalf("commit %v: %v", k, err)
	}
	return true
}

// An older release reads what a newer one writes.
func TestAFormatOnlyAddsToTheOneBefore(t *testing.T) {
	all := formats(t)
	for i, n := range all[1:] {
		older, newer := load(t, all[i]), load(t, n)
		for _, problem := range slices.Concat(losses(older.Connections, newer.Connections), losses(older.State, newer.State)) {
			t.Errorf("format %d: %s", n, problem)
		}
	}
}

func TestLossesAreFound(t *testing.T) {
	s, n := types.AttributeValue(&types.AttributeValueMemberS{Value: "x"}), types.AttributeValue(&types.AttributeValueMemberN{Value: "1"})
	older := map[string]item{"row": {"a": s, "b": n}}
	for name, tt := range map[string]struct {
		newer map[string]item
		want  []string
	}{
		"the same":         {map[string]item{"row": {"a": s, "b": n}}, nil},
		"one more":         {map[string]item{"row": {"a": s, "b": n, "c": s}, "other": {}}, nil},
		"one less":         {map[string]item{"row": {"a": s}}, []string{"row lacks b"}},
		"another type":     {map[string]item{"row": {"a": n, "b": n}}, []string{"row has a of another type"}},
		"the item is gone": {map[string]item{}, []string{"row is not written any more"}},
		"a map instead":    {map[string]item{"row": {"a": s, "b": &types.AttributeValueMemberM{}}}, []string{"row has b of another type"}},
	} {
		if got := losses(older, tt.newer); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	m := func(i item) map[string]item {
		return map[string]item{"row": {"m": &types.AttributeValueMemberM{Value: i}}}
	}
	if got := losses(m(item{"a": s}), m(item{"b": s})); !slices.Equal(got, []string{"row.m lacks a"}) {
		t.Errorf("a member of a map that is lost: %q", got)
	}
}

// losses says what the items of older have and those of newer have not.
func losses(older, newer map[string]item) (problems []string) {
	for name, old := range older {
		young, ok := newer[name]
		if !ok {
			problems = append(problems, name+" is not written any more")
		}
		for attribute, value := range old {
			now, ok := young[attribute]
			inner, isMap := value.(*types.AttributeValueMemberM)
			switch {
			case young == nil:
			case !ok:
				problems = append(problems, name+" lacks "+attribute)
			case reflect.TypeOf(now) != reflect.TypeOf(value):
				problems = append(problems, name+" has "+attribute+" of another type")
			case isMap:
				at := name + "." + attribute
				problems = append(problems, losses(map[string]item{at: inner.Value}, map[string]item{at: now.(*types.AttributeValueMemberM).Value})...)
			}
		}
	}
	slices.Sort(problems)
	return problems
}
