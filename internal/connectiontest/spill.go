package connectiontest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/evergrant/evergrant/internal/connection"
)

// Spill is a spill in memory. Its zero value is ready for use.
type Spill struct {
	// OnCall, if set, runs before each call with the name of the method. It
	// decides whether a write takes effect and which error the caller sees.
	OnCall func(op string) (apply bool, err error)

	mu   sync.Mutex
	kept map[connection.SpillKey][]byte
}

// Len returns how many spills are kept.
func (s *Spill) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept)
}

// Corrupt flips a bit of every spill that is kept.
func (s *Spill) Corrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sealed := range s.kept {
		sealed[len(sealed)-1] ^= 1
	}
}

// Put keeps sealed at a key.
func (s *Spill) Put(ctx context.Context, at connection.SpillKey, sealed []byte) error {
	return s.do(ctx, "Put", func() {
		if s.kept == nil {
			s.kept = map[connection.SpillKey][]byte{}
		}
		s.kept[at] = slices.Clone(sealed)
	})
}

// Find returns what refreshes of k have put under the highest fence f with
// after < f < before, and f; nil where there is nothing.
func (s *Spill) Find(ctx context.Context, k connection.Key, after, before int64) (sealed []byte, fence int64, err error) {
	err = s.do(ctx, "Find", func() {
		for at := range maps.Keys(s.kept) {
			if at.Key == k && at.Grant == 0 && at.Fence > max(after, fence) && at.Fence < before {
				sealed, fence = slices.Clone(s.kept[at]), at.Fence
			}
		}
	})
	return sealed, fence, err
}

// spillPage is how many spills one call of List returns.
const spillPage = 2

// List returns a page of all that is kept, and the cursor of the next, "" at the
// end.
func (s *Spill) List(ctx context.Context, cursor string) (page []connection.SpillEntry, next string, err error) {
	err = s.do(ctx, "List", func() {
		all := slices.SortedFunc(maps.Keys(s.kept), func(a, b connection.SpillKey) int { return strings.Compare(spillCursor(a), spillCursor(b)) })
		for _, at := range all {
			if spillCursor(at) <= cursor {
				continue
			}
			if len(page) == spillPage {
				next = spillCursor(page[len(page)-1].SpillKey)
				return
			}
			page = append(page, connection.SpillEntry{SpillKey: at, Sealed: slices.Clone(s.kept[at])})
		}
	})
	return page, next, err
}

func spillCursor(at connection.SpillKey) string {
	return fmt.Sprintf("%s %s %020d %020d", at.ConnectionID, at.Provider, at.Fence, at.Grant)
}

// Delete removes what is kept at a key, if anything is.
func (s *Spill) Delete(ctx context.Context, at connection.SpillKey) error {
	return s.do(ctx, "Delete", func() { delete(s.kept, at) })
}

func (s *Spill) do(ctx context.Context, op string, effect func()) error {
	apply, fault := true, error(nil)
	if s.OnCall != nil {
		apply, fault = s.OnCall(op)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s in memory: %w", op, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if apply {
		effect()
	}
	return fault
}
