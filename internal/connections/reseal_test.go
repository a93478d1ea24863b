package connections

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/seal"
)

// ring returns a key ring of those of its keys that are named, the first of
// which is current.
func ring(t *testing.T, names ...string) seal.Keys {
	t.Helper()
	doc := fmt.Sprintf(`{"current":%q`, names[0])
	for _, name := range names {
		doc += fmt.Sprintf(`,%q:"c4nary-seal-key-%s-456789abcdef"`, name, name)
	}
	keys, err := seal.ParseKeys([]byte(doc + "}"))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestRefreshTokensAreSealedUnderTheCurrentKey(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.secrets.keys = ring(t, "lost-k0")
		lost := f.connect(t, "lost", "whisk")
		f.secrets.keys = ring(t, "older-k1")
		for i := range 3 {
			f.connect(t, fmt.Sprint("older-", i), "whisk")
		}
		f.connect(t, "static", "whisk", func(c *connection.Connection) { c.SealedRefreshToken = nil })
		f.secrets.keys = ring(t, "newer-k2", "older-k1")
		f.connect(t, "newer", "whisk")

		var all Reseal
		input, pages := `{"action":"reseal","limit":2,"cursor":""}`, 0
		for pages = 1; ; pages++ {
			resp, _ := f.do(t, "%s", input)
			if resp.Reseal == nil {
				t.Fatalf("reseal: %+v", resp)
			}
			all.Current += resp.Reseal.Current
			all.Resealed += resp.Reseal.Resealed
			all.Unreadable += resp.Reseal.Unreadable
			if resp.Cursor == "" {
				break
			}
			input = fmt.Sprintf(`{"action":"reseal","limit":2,"cursor":%q}`, resp.Cursor)
		}
		if (all != Reseal{Current: 1, Resealed: 3, Unreadable: 1}) || pages < 3 {
			t.Errorf("%+v in %d pages", all, pages)
		}
		if !strings.Contains(f.log.String(), "connection_id=lost key=lost-k0") {
			t.Errorf("the log does not name what cannot be opened: %s", f.log)
		}

		f.secrets.keys = ring(t, "newer-k2") // the older key is gone
		resp, _ := f.do(t, `{"action":"reseal"}`)
		if got := *resp.Reseal; got != (Reseal{Key: "newer-k2", Current: 4, Unreadable: 1}) {
			t.Errorf("a second pass: %+v", got)
		}
		for _, id := range []string{"older-0", "newer"} {
			c, err := f.store.Get(t.Context(), connection.Key{ConnectionID: id, Provider: "whisk"})
			if err != nil {
				t.Fatal(err)
			}
			if token, err := c.RefreshToken(f.secrets.keys); err != nil || token.Reveal() != "c4nary-refresh-0" {
				t.Errorf("%s: refresh token %v", id, err)
			}
		}
		if c, err := f.store.Get(t.Context(), lost); err != nil || seal.Names(c.SealedRefreshToken) != "lost-k0" {
			t.Errorf("what cannot be opened was changed: %v", err)
		}
	})
}

// After a restore into a stack that was deployed anew, the old key stands in a ring
// whose current key has its ID.
func TestAKeyOfTheSameIDIsNotTakenForTheCurrentOne(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.secrets.keys = ring(t, "older-k1")
		key := f.connect(t, "old", "whisk")
		old, _ := f.secrets.keys.Key("older-k1")
		parse := func(document string) (keys seal.Keys) {
			keys, err := seal.ParseKeys([]byte(document))
			if err != nil {
				t.Fatal(err)
			}
			return keys
		}
		anew := strings.Repeat("n", seal.MinKeyLength)
		f.secrets.keys = parse(fmt.Sprintf(`{"current":"older-k1","older-k1":%q,"k0":%q}`, anew, old))
		resp, _ := f.do(t, `{"action":"reseal"}`)
		if resp.Reseal == nil || *resp.Reseal != (Reseal{Key: "older-k1", Resealed: 1}) {
			t.Fatalf("%+v", resp)
		}
		c, err := f.store.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.RefreshToken(parse(fmt.Sprintf(`{"current":"older-k1","older-k1":%q}`, anew))); err != nil {
			t.Errorf("the older key is needed still: %v", err)
		}
	})
}

// A refresh that commits between the read and the write wins.
func TestSealingAnewDoesNotUndoARefresh(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.secrets.keys = ring(t, "older-k1")
		k := f.connect(t, "shop", "whisk")
		f.secrets.keys = ring(t, "newer-k2", "older-k1")
		f.store.OnWrite = func(op string, _ any) (bool, error) {
			if op == "Reseal" {
				f.store.OnWrite = nil
				f.do(t, `{"action":"refresh","connection_id":"shop","provider":"whisk","min_ttl":9999}`)
			}
			return true, nil
		}
		resp, _ := f.do(t, `{"action":"reseal"}`)
		if got := *resp.Reseal; got != (Reseal{Key: "newer-k2", Changed: 1}) {
			t.Errorf("%+v", got)
		}
		c, err := f.store.Get(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		if token, err := c.RefreshToken(f.secrets.keys); err != nil || token.Reveal() == "c4nary-refresh-0" {
			t.Errorf("the refresh was undone: %v", err)
		}
	})
}

// A refresh that read the old seal writes it back when it fails: whoever is told
// that all is sealed anew must be told of it.
func TestARefreshUnderWayIsTold(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.secrets.keys = ring(t, "older-k1")
		k := f.connect(t, "shop", "whisk")
		f.connect(t, "static", "whisk", func(c *connection.Connection) { c.SealedRefreshToken = nil })
		c, err := f.store.Claim(t.Context(), connection.Claim{Key: k, LeaseID: "l", Now: time.Now(), Until: time.Now().Add(2 * time.Minute), StoredFence: 1})
		if err != nil {
			t.Fatal(err)
		}
		f.secrets.keys = ring(t, "newer-k2", "older-k1")
		for _, want := range []Reseal{{Resealed: 1, UnderWay: 1}, {Current: 1, UnderWay: 1}} {
			want.Key = "newer-k2"
			if resp, _ := f.do(t, `{"action":"reseal"}`); *resp.Reseal != want {
				t.Errorf("%+v, want %+v", *resp.Reseal, want)
			}
		}
		c.Fence++
		c.Lease.ID = "l"
		if err := f.store.Commit(t.Context(), c); err != nil { // with the seal that it has read
			t.Fatal(err)
		}
		for _, want := range []Reseal{{Resealed: 1}, {Current: 1}} {
			want.Key = "newer-k2"
			if resp, _ := f.do(t, `{"action":"reseal"}`); *resp.Reseal != want {
				t.Errorf("afterwards: %+v, want %+v", *resp.Reseal, want)
			}
		}
	})
}

func TestAStoreThatFailsEndsAPassOfReseal(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.secrets.keys = ring(t, "older-k1")
		f.connect(t, "shop", "whisk")
		f.secrets.keys = ring(t, "newer-k2", "older-k1")
		f.store.OnWrite = func(string, any) (bool, error) { return false, errors.New("down") }
		if resp, _ := f.do(t, `{"action":"reseal"}`); resp.Reseal != nil || resp.Error == nil || resp.Error.Type != "unavailable" {
			t.Errorf("%+v", resp)
		}
	})
}
