package bolt

import (
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// A change is told as the rows are, before and after it, and what was refused is
// no change.
func TestEachWriteThatTookEffectIsTold(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"))
	s.db.NoSync = true
	var last, rows []connection.Connection
	s.Changed = func(old, now connection.Connection) { last, rows = append(last, old), append(rows, now) }
	ctx, noon := t.Context(), time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	made := connection.Connection{Key: key, AccessToken: "access-1", ConnectedAt: noon.Add(time.Millisecond), UpdatedAt: noon, Due: connection.Due{Shard: "4.1", At: noon}}
	if _, err := s.Connect(ctx, made); err != nil {
		t.Fatal(err)
	}
	claim := connection.Claim{Key: key, LeaseID: "l", Now: noon, Until: noon.Add(time.Minute)}
	c, err := s.Claim(ctx, claim)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Claim(ctx, claim); err == nil {
		t.Fatal("claimed twice")
	}
	c.Fence, c.Lease.ID = c.Fence+1, "l"
	if err := s.Commit(ctx, c); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Disconnect(ctx, key, noon); err != nil {
		t.Fatal(err)
	}
	stored, err := s.Get(ctx, key)
	if err != nil || len(rows) != 4 || !reflect.DeepEqual(rows[3], stored) || !rows[0].ConnectedAt.Equal(noon) {
		t.Fatalf("%v, %d changes, the last to %+v", err, len(rows), rows)
	}
	for i := range rows {
		if before := append([]connection.Connection{{}}, rows...)[i]; !reflect.DeepEqual(last[i], before) {
			t.Errorf("change %d was from %+v, want %+v", i, last[i], before)
		}
	}
}

func TestChangesAreToldInTheirOrder(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"))
	s.db.NoSync = true
	var fences []int64
	s.Changed = func(_, now connection.Connection) { fences = append(fences, now.Fence) }
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { _, _ = s.Connect(t.Context(), connection.Connection{Key: key}) })
	}
	wg.Wait()
	for i, fence := range fences {
		if fence != int64(i)+1 {
			t.Fatalf("fences %v", fences)
		}
	}
	if len(fences) != 50 {
		t.Errorf("%d changes", len(fences))
	}
}
