package bolt

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/oauth"
)

// open opens the store at path until the test ends.
func open(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestBoltKeepsEveryPromise(t *testing.T) {
	connectiontest.Run(t, func(t *testing.T) connectiontest.Store {
		s := open(t, filepath.Join(t.TempDir(), "store.db"))
		s.db.NoSync = true // a crash of the machine is no part of the suite
		return s
	})
}

var key = connection.Key{ConnectionID: "acct_42", Provider: "whatnot"}

func TestTheStoreIsThereAfterItWasClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path)
	if _, err := s.Connect(t.Context(), connection.Connection{Key: key, AccessToken: "access-1"}); err != nil {
		t.Fatalf("Connect: %v", err)
	}
	if err := s.ClaimRequest(t.Context(), connection.Request{ID: "ticket#1", State: "a"}); err != nil {
		t.Fatalf("ClaimRequest: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	s = open(t, path)
	if c, err := s.Get(t.Context(), key); err != nil || c.AccessToken != "access-1" {
		t.Errorf("Get = %v, %v", c, err)
	}
	if r, err := s.GetRequest(t.Context(), "ticket#1", "b"); err != nil || r.State != "a" {
		t.Errorf("GetRequest = %v, %v", r, err)
	}
}

func TestOnlyTheOwnerCanReadTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	check := func() {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode = %v, %v, want 0600", info.Mode(), err)
		}
	}
	if err := open(t, path).Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	check()
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, path)
	check()
}

func TestASecondProcessIsToldWhatToDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	open(t, path)
	start := time.Now()
	_, err := Open(path) // the lock is one of the open file, so this process is as good as another
	if err == nil || !strings.Contains(err.Error(), "another process uses it") || !strings.Contains(err.Error(), path) {
		t.Errorf("err = %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v to say so", took)
	}
}

func TestAFileThatIsNoStoreIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a store ", 2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("err = %v, want one that names the file", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "missing", "store.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v, want that the folder is missing", err)
	}
}

// Without the check the process ends with a memory fault where a page is read
// that is not there.
func TestAFileThatIsCutOffIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		c := connection.Connection{Key: connection.Key{ConnectionID: strconv.Itoa(i), Provider: "whatnot"}, AccessToken: oauth.Secret(strings.Repeat("t", 500))}
		if _, err := s.Connect(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	size := s.db.View(func(tx *bbolt.Tx) error { return os.Truncate(path, tx.Size()) }) // bbolt makes the file longer than it needs
	if err := errors.Join(size, s.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for kept := len(whole) - 1; kept > 0; kept -= 1000 {
		if err := os.WriteFile(path, whole[:kept], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) || !strings.HasSuffix(err.Error(), "restore it or move it away") {
			t.Fatalf("%d of %d bytes: err = %v", kept, len(whole), err)
		}
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if page, _, err := open(t, path).ListByStatus(t.Context(), "", "", 1000); err != nil || len(page) != 200 {
		t.Errorf("whole, it has %d connections, %v", len(page), err)
	}
}

func TestARowThatIsNotJSONIsAnErrorAndStays(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"))
	err := s.db.Update(func(tx *bbolt.Tx) error {
		return errors.Join(
			tx.Bucket(connections).Put(rowKey(key), []byte(`{"fence":"two"}`)),
			tx.Bucket(state).Put([]byte("ticket#1"), []byte(`[]`)),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	request := connection.Request{ID: "ticket#1", State: "a"}
	_, getErr := s.Get(ctx, key)
	_, listErr := s.List(ctx, key.ConnectionID)
	_, _, pageErr := s.ListByStatus(ctx, "", "", 10)
	_, _, dueErr := s.Due(ctx, "0", time.Now(), "")
	_, claimErr := s.Claim(ctx, connection.Claim{Key: key})
	_, connectErr := s.Connect(ctx, connection.Connection{Key: key})
	_, requestErr := s.GetRequest(ctx, request.ID, request.State)
	for op, err := range map[string]error{
		"Get": getErr, "List": listErr, "ListByStatus": pageErr, "Due": dueErr, "Claim": claimErr,
		"Connect": connectErr, "GetRequest": requestErr, "ClaimRequest": s.ClaimRequest(ctx, request),
	} {
		if err == nil || errors.Is(err, connection.ErrNotFound) || errors.Is(err, connection.ErrConflict) {
			t.Errorf("%s: err = %v, want that the row cannot be read", op, err)
		}
	}
}
