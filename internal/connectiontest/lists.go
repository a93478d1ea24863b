package connectiontest

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// lists holds the promises about finding records.
var lists = []promise{
	{"a connection ID's connections are ordered by provider", testList},
	{"a list by status has the pages of all connections", testListAll},
	{"a list by status leaves out the others", testListByStatus},
	{"a malformed cursor is ErrBadCursor", testBadCursor},
	{"due is oldest first", testDueOrder},
	{"due is paged", testDuePages},
	{"due keeps shards apart", testDueShards},
	{"what waits for nothing is in no shard", testDueIsSparse},
}

func testList(t *testing.T, s Store) {
	for _, k := range []connection.Key{
		{ConnectionID: "acct_42", Provider: "whisk"}, {ConnectionID: "acct_42", Provider: "whcc"},
		{ConnectionID: "acct_4", Provider: "whatnot"}, {ConnectionID: "acct_421", Provider: "whatnot"},
		{ConnectionID: "acct_42", Provider: "whiplash"}, {ConnectionID: "acct_42/", Provider: "a"},
	} {
		connect(t, s, full(k))
	}
	list, err := s.List(t.Context(), "acct_42")
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	var got []string
	for _, c := range list {
		got = append(got, c.ConnectionID+" "+c.Provider)
		same(t, "List", c, get(t, s, c.Key))
	}
	if want := []string{"acct_42 whcc", "acct_42 whiplash", "acct_42 whisk"}; !slices.Equal(got, want) {
		t.Errorf("List = %q, want %q", got, want)
	}
	if list, err := s.List(t.Context(), "acct_999"); err != nil || len(list) != 0 {
		t.Errorf("List of nothing = %v, %v", list, err)
	}
}

// all follows ListByStatus to its end.
func all(t *testing.T, s Store, status connection.Status, limit int) (found []connection.Connection) {
	t.Helper()
	cursor := ""
	for range 1000 {
		page, next, err := s.ListByStatus(t.Context(), status, cursor, limit)
		if err != nil {
			t.Fatalf("ListByStatus: %v", err)
		}
		if len(page) > limit {
			t.Errorf("ListByStatus returned %d, want at most %d", len(page), limit)
		}
		found = append(found, page...)
		if next == "" {
			return found
		}
		cursor = next
	}
	t.Fatal("ListByStatus has no end")
	return nil
}

// count counts connections by key.
func count(found []connection.Connection) map[connection.Key]int {
	n := map[connection.Key]int{}
	for _, c := range found {
		n[c.Key]++
	}
	return n
}

func testListAll(t *testing.T, s Store) {
	if found := all(t, s, "", 10); len(found) != 0 {
		t.Errorf("an empty store lists %d", len(found))
	}
	for i := range 25 {
		connect(t, s, full(numbered(i)))
	}
	for _, limit := range []int{1, 5, 7, 25, 100} {
		found := all(t, s, "", limit)
		if n := count(found); len(n) != 25 || len(found) != 25 {
			t.Errorf("with pages of %d: %d connections, %d of them different, want 25", limit, len(found), len(n))
		}
		for _, c := range found[:1] {
			same(t, "ListByStatus", c, get(t, s, c.Key))
		}
	}
}

func testListByStatus(t *testing.T, s Store) {
	want := map[connection.Key]int{}
	for i := range 20 {
		k := numbered(i)
		connect(t, s, full(k))
		if i%5 != 0 {
			continue
		}
		want[k] = 1
		if _, err := s.Disconnect(t.Context(), k, noon); err != nil {
			t.Fatalf("Disconnect: %v", err)
		}
	}
	for _, limit := range []int{1, 3, 4, 100} {
		found := all(t, s, connection.Disconnected, limit)
		if n := count(found); !maps.Equal(n, want) {
			t.Errorf("with pages of %d: disconnected = %v, want %v", limit, n, want)
		}
	}
	if n := len(all(t, s, connection.Active, 7)); n != 16 {
		t.Errorf("%d active connections, want 16", n)
	}
	if n := len(all(t, s, connection.ReauthorizationRequired, 7)); n != 0 {
		t.Errorf("%d connections need a person, want none", n)
	}
}

func testBadCursor(t *testing.T, s Store) {
	connect(t, s, full(whole))
	for _, cursor := range []string{"x", "!", "bm8"} {
		_, _, err := s.ListByStatus(t.Context(), "", cursor, 10)
		refused(t, "ListByStatus", err, connection.ErrBadCursor)
		_, _, err = s.Due(t.Context(), "2", noon, cursor)
		refused(t, "Due", err, connection.ErrBadCursor)
	}
	_, _, err := s.Due(t.Context(), "2", noon, connection.Cursor{Key: whole}.String())
	refused(t, "Due with the cursor of ListByStatus", err, connection.ErrBadCursor)
}

func testDueOrder(t *testing.T, s Store) {
	for i, minutes := range []int{-3, 0, -200, 1, -1, -40} {
		c := full(numbered(i))
		c.Due.At = noon.Add(time.Duration(minutes) * time.Minute)
		connect(t, s, c)
	}
	keys, next, err := s.Due(t.Context(), "2", noon, "")
	var want []connection.DueKey
	for _, due := range []struct{ i, minutes int }{{2, -200}, {5, -40}, {0, -3}, {4, -1}, {1, 0}} {
		want = append(want, connection.DueKey{Key: numbered(due.i), At: noon.Add(time.Duration(due.minutes) * time.Minute)})
	}
	if err != nil || !slices.Equal(keys, want) || next != "" {
		t.Errorf("Due = %v, %q, %v, want %v", keys, next, err, want)
	}
}

// The sweep commits the connections of one page before it asks for the next.
func testDuePages(t *testing.T, s Store) {
	const n = 1100
	var wg sync.WaitGroup
	for worker := range 10 {
		wg.Go(func() {
			for i := worker; i < n; i += 10 {
				c := full(numbered(i))
				c.Due.At = noon.Add(time.Duration(i/3-n) * time.Second) // three fall due together
				if _, err := s.Connect(t.Context(), c); err != nil {
					t.Errorf("Connect: %v", err)
				}
			}
		})
	}
	wg.Wait()
	cursor, pages := "", 0
	var found []connection.Key
	for {
		keys, next, err := s.Due(t.Context(), "2", noon, cursor)
		if err != nil {
			t.Fatalf("Due: %v", err)
		}
		for _, k := range keys {
			found = append(found, k.Key)
		}
		pages++
		if next == "" || pages > n {
			break
		}
		for _, k := range []connection.Key{keys[0].Key, keys[len(keys)-1].Key} {
			if err := s.Commit(t.Context(), refreshed(claim(t, s, k, "lease-1"))); err != nil {
				t.Fatalf("Commit: %v", err)
			}
		}
		cursor = next
	}
	if len(found) != n || pages < 2 || pages > 10 {
		t.Errorf("%d due on %d pages, want %d on 2 to 10", len(found), pages, n)
	}
	last := -1
	for _, k := range found {
		var i int
		if _, err := fmt.Sscanf(k.ConnectionID, "acct_%d", &i); err != nil || i/3 < last {
			t.Fatalf("%s follows what is due later", k.ConnectionID)
		}
		last = i / 3
	}
	slices.SortFunc(found, compareKeys)
	if unique := len(slices.Compact(found)); unique != n {
		t.Errorf("%d different ones are due, want %d", unique, n)
	}
}

func testDueShards(t *testing.T, s Store) {
	for i := range 9 {
		c := full(numbered(i))
		c.Due.Shard = fmt.Sprint(i % 3)
		connect(t, s, c)
	}
	for shard := range 4 {
		keys, _, err := s.Due(t.Context(), fmt.Sprint(shard), noon, "")
		if err != nil {
			t.Fatalf("Due: %v", err)
		}
		if want := 3; shard < 3 && len(keys) != want || shard == 3 && len(keys) != 0 {
			t.Errorf("shard %d has %d", shard, len(keys))
		}
		for _, k := range keys {
			if got := get(t, s, k.Key).Due.Shard; got != fmt.Sprint(shard) {
				t.Errorf("shard %d has a connection of shard %s", shard, got)
			}
		}
	}
	c := full(numbered(0))
	c.Due.Shard = "1"
	connect(t, s, c)
	if keys, _, _ := s.Due(t.Context(), "0", noon, ""); slices.ContainsFunc(keys, func(k connection.DueKey) bool { return k.Key == c.Key }) || len(keys) != 2 {
		t.Errorf("shard 0 still has what moved away: %v", keys)
	}
}

func testDueIsSparse(t *testing.T, s Store) {
	due := func(want ...connection.Key) {
		t.Helper()
		found, _, err := s.Due(t.Context(), "2", noon.Add(365*24*time.Hour), "")
		var keys []connection.Key
		for _, k := range found {
			keys = append(keys, k.Key)
		}
		slices.SortFunc(keys, compareKeys)
		if err != nil || !slices.Equal(keys, want) {
			t.Errorf("Due = %v, %v, want %v", keys, err, want)
		}
	}
	static := full(numbered(0))
	static.Due = connection.Due{}
	connect(t, s, static)
	connect(t, s, full(numbered(1)))
	connect(t, s, full(numbered(2)))
	due(numbered(1), numbered(2))

	c := claim(t, s, numbered(1), "lease-1")
	c.Due = connection.Due{}
	if err := s.Commit(t.Context(), c); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	due(numbered(2))
	if _, err := s.Disconnect(t.Context(), numbered(2), noon); err != nil {
		t.Fatalf("Disconnect: %v", err)
	}
	due()
	connect(t, s, full(numbered(2)))
	due(numbered(2))
}

// numbered returns the i-th key of a test.
func numbered(i int) connection.Key {
	return connection.Key{ConnectionID: fmt.Sprintf("acct_%d", i), Provider: "whatnot"}
}
