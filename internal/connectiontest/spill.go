package connectiontest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/evergrant/evergrant/internal/connection"
)

// Spill is a spill in memory. Its zero value is ready for use.
type Spill struct {
	// OnCall, if set, runs before each call with the name of the method. It
	// decides whether a write takes effect and which error the caller sees.
	OnCall func(op string) (apply bool, err error)

	mu   sync.Mutex
	kept map[spillKey][]byte
}

type spillKey struct {
	connection.Key
	fence int64
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

// Put implements refresh.Spill.
func (s *Spill) Put(ctx context.Context, k connection.Key, fence int64, sealed []byte) error {
	return s.do(ctx, "Put", func() {
		if s.kept == nil {
			s.kept = map[spillKey][]byte{}
		}
		s.kept[spillKey{k, fence}] = slices.Clone(sealed)
	})
}

// Find implements refresh.Spill.
func (s *Spill) Find(ctx context.Context, k connection.Key, after, before int64) (sealed []byte, fence int64, err error) {
	err = s.do(ctx, "Find", func() {
		for key := range maps.Keys(s.kept) {
			if key.Key == k && key.fence > max(after, fence) && key.fence < before {
				sealed, fence = slices.Clone(s.kept[key]), key.fence
			}
		}
	})
	return sealed, fence, err
}

// Delete implements refresh.Spill.
func (s *Spill) Delete(ctx context.Context, k connection.Key, fence int64) error {
	return s.do(ctx, "Delete", func() { delete(s.kept, spillKey{k, fence}) })
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
