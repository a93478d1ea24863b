package connectiontest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// Memory is a store in memory. Its zero value is ready for use.
type Memory struct {
	// OnWrite, if set, runs before each write with the name of the method and
	// its argument: a connection.Connection, Claim, Key, Request or Sweep, the
	// ID of a sweep, or a provider. It decides whether the write takes effect
	// and which error the caller sees, so that a test can play a lost write
	// (false, err) and a lost answer (true, err). It may call the store itself.
	OnWrite func(op string, arg any) (apply bool, err error)

	mu          sync.Mutex
	connections map[connection.Key]connection.Connection
	due         map[string][]dueEntry       // by shard, sorted
	requests    map[string]requestRow       // by ID
	sweeps      map[string]connection.Lease // by name
	swept       connection.Swept
	breakers    map[string]connection.Breaker // by provider
	free        map[string]time.Time          // by provider
	calls       map[string]int
}

// duePage is how many keys one call of Due returns.
const duePage = 500

// A dueEntry is a row of the due index.
type dueEntry struct {
	at  int64
	key connection.Key
}

func (e dueEntry) compare(f dueEntry) int {
	return cmp.Or(cmp.Compare(e.at, f.at), compareKeys(e.key, f.key))
}

func compareKeys(a, b connection.Key) int {
	return cmp.Or(strings.Compare(a.ConnectionID, b.ConnectionID), strings.Compare(a.Provider, b.Provider))
}

// Calls returns how often each method was called, by its name.
func (m *Memory) Calls() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.calls)
}

// Get implements Connections.
func (m *Memory) Get(ctx context.Context, k connection.Key) (connection.Connection, error) {
	return read(ctx, m, "Get", func() (connection.Connection, error) {
		c, ok := m.connections[k]
		if !ok {
			return c, connection.ErrNotFound
		}
		return clone(c), nil
	})
}

// List implements Connections.
func (m *Memory) List(ctx context.Context, connectionID string) ([]connection.Connection, error) {
	return read(ctx, m, "List", func() (list []connection.Connection, err error) {
		for _, k := range m.keys() {
			if k.ConnectionID == connectionID {
				list = append(list, clone(m.connections[k]))
			}
		}
		return list, nil
	})
}

// ListByStatus implements Connections.
func (m *Memory) ListByStatus(ctx context.Context, s connection.Status, cursor string, limit int) ([]connection.Connection, string, error) {
	var next string
	page, err := read(ctx, m, "ListByStatus", func() (page []connection.Connection, err error) {
		after, err := parse(cursor)
		if err != nil {
			return nil, err
		}
		for _, k := range m.keys() {
			if compareKeys(k, after.Key) <= 0 || s != "" && m.connections[k].Status != s {
				continue
			}
			if len(page) == max(limit, 1) {
				next = connection.Cursor{Key: page[len(page)-1].Key}.String()
				break
			}
			page = append(page, clone(m.connections[k]))
		}
		return page, nil
	})
	return page, next, err
}

// Due implements Connections.
func (m *Memory) Due(ctx context.Context, shard string, now time.Time, cursor string) ([]connection.DueKey, string, error) {
	var next string
	keys, err := read(ctx, m, "Due", func() (keys []connection.DueKey, err error) {
		after, err := parse(cursor)
		if err != nil {
			return nil, err
		}
		entries := m.due[shard]
		if cursor != "" {
			if after.DueAt.IsZero() {
				return nil, fmt.Errorf("%w: it is not of the due index", connection.ErrBadCursor)
			}
			last := dueEntry{after.DueAt.Unix(), after.Key}
			i, found := slices.BinarySearchFunc(entries, last, dueEntry.compare)
			if found {
				i++
			}
			entries = entries[i:]
		}
		for i, e := range entries {
			if e.at > now.Unix() {
				break
			}
			if len(keys) == duePage {
				last := entries[i-1]
				next = connection.Cursor{Key: last.key, DueAt: time.Unix(last.at, 0)}.String()
				break
			}
			keys = append(keys, connection.DueKey{Key: e.key, At: time.Unix(e.at, 0).UTC()})
		}
		return keys, nil
	})
	return keys, next, err
}

// Claim implements Connections.
func (m *Memory) Claim(ctx context.Context, cl connection.Claim) (connection.Connection, error) {
	return write(ctx, m, "Claim", cl, func() (connection.Connection, error) {
		c := m.connections[cl.Key]
		now := second(cl.Now)
		wanted := !c.Due.At.IsZero() && !c.Due.At.After(now)
		if cl.StoredFence != 0 {
			wanted = c.StoredFence == cl.StoredFence
		}
		if c.Status != connection.Active || !wanted || c.Lease.Held(now) {
			return connection.Connection{}, connection.ErrConflict
		}
		old := clone(c)
		c.Fence++
		c.Lease = connection.Lease{ID: cl.LeaseID, Until: second(cl.Until), SentAt: now}
		m.put(c)
		return old, nil
	})
}

// Commit implements Connections.
func (m *Memory) Commit(ctx context.Context, c connection.Connection) error {
	_, err := write(ctx, m, "Commit", c, func() (none struct{}, err error) {
		old, lease := m.connections[c.Key], c.Lease.ID
		c := normal(c)
		c.Lease = connection.Lease{}
		switch {
		case old.Fence != c.Fence:
			return none, connection.ErrConflict
		case old.Lease.ID == lease && lease != "":
			m.put(c)
			return none, nil
		case old.Lease.ID == "" && old.UpdatedAt.Equal(c.UpdatedAt) && old.StoredFence == c.StoredFence && old.AccessToken == c.AccessToken:
			return none, nil
		}
		return none, connection.ErrConflict
	})
	return err
}

// Defer implements Connections.
func (m *Memory) Defer(ctx context.Context, c connection.Connection) error {
	_, err := write(ctx, m, "Defer", c, func() (none struct{}, err error) {
		old, c := m.connections[c.Key], normal(c)
		if old.Fence != c.Fence || old.Lease.ID != c.Lease.ID || c.Lease.ID == "" {
			return none, connection.ErrConflict
		}
		old.Failure, old.Due, old.UpdatedAt = c.Failure, c.Due, c.UpdatedAt
		m.put(old)
		return none, nil
	})
	return err
}

// Connect implements Connections.
func (m *Memory) Connect(ctx context.Context, c connection.Connection) (connection.Connection, error) {
	return write(ctx, m, "Connect", c, func() (connection.Connection, error) {
		if !m.connections[c.Key].TakesAccount(c.Account.ID, c.AnyAccount) {
			return connection.Connection{}, connection.ErrConflict
		}
		return m.connect(c), nil
	})
}

// Restore implements Connections.
func (m *Memory) Restore(ctx context.Context, c connection.Connection, fence int64) error {
	_, err := write(ctx, m, "Restore", c, func() (none struct{}, err error) {
		old := m.connections[c.Key]
		switch {
		case old.Fence == fence:
			m.connect(c)
			return none, nil
		case old.StoredFence == fence+1 && old.UpdatedAt.Equal(second(c.UpdatedAt)) && old.AccessToken == c.AccessToken:
			return none, nil
		}
		return none, connection.ErrConflict
	})
	return err
}

// connect stores a new grant and returns what was there. m.mu is held.
func (m *Memory) connect(c connection.Connection) (old connection.Connection) {
	old, c = m.connections[c.Key], normal(c)
	c.Status = connection.Active
	c.Fence, c.StoredFence = old.Fence+1, old.Fence+1
	c.Lease, c.Failure = connection.Lease{}, connection.Failure{}
	m.put(c)
	return old // nobody else has it any more
}

// Disconnect implements Connections.
func (m *Memory) Disconnect(ctx context.Context, k connection.Key, now time.Time) (connection.Connection, error) {
	return write(ctx, m, "Disconnect", k, func() (connection.Connection, error) {
		c, ok := m.connections[k]
		if !ok {
			return c, connection.ErrNotFound
		}
		old := clone(c)
		c.Fence++
		c.Status, c.UpdatedAt = connection.Disconnected, second(now)
		c.AccessToken, c.TokenType, c.ExpiresAt = "", "", time.Time{}
		c.SealedRefreshToken, c.RefreshExpiresAt = nil, time.Time{}
		c.Lease, c.Due, c.Failure = connection.Lease{}, connection.Due{}, connection.Failure{}
		m.put(c)
		return old, nil
	})
}

// Reseal implements Connections.
func (m *Memory) Reseal(ctx context.Context, k connection.Key, old, sealed []byte) error {
	_, err := write(ctx, m, "Reseal", k, func() (none struct{}, err error) {
		c := m.connections[k]
		if len(old) == 0 || !bytes.Equal(c.SealedRefreshToken, old) {
			return none, connection.ErrConflict
		}
		c.SealedRefreshToken = slices.Clone(sealed)
		m.put(c)
		return none, nil
	})
	return err
}

// put stores c and keeps the due index in step. m.mu is held.
func (m *Memory) put(c connection.Connection) {
	if old := m.connections[c.Key].Due; old != c.Due {
		if !old.At.IsZero() {
			i, _ := slices.BinarySearchFunc(m.due[old.Shard], dueEntry{old.At.Unix(), c.Key}, dueEntry.compare)
			m.due[old.Shard] = slices.Delete(m.due[old.Shard], i, i+1)
		}
		if !c.Due.At.IsZero() {
			e := dueEntry{c.Due.At.Unix(), c.Key}
			i, _ := slices.BinarySearchFunc(m.due[c.Due.Shard], e, dueEntry.compare)
			m.due[c.Due.Shard] = slices.Insert(m.due[c.Due.Shard], i, e)
		}
	}
	m.connections[c.Key] = c
}

// keys returns the keys of all connections, sorted. m.mu is held.
func (m *Memory) keys() []connection.Key {
	return slices.SortedFunc(maps.Keys(m.connections), compareKeys)
}

// write runs a write under the lock, as OnWrite has it.
func write[T any](ctx context.Context, m *Memory, op string, arg any, do func() (T, error)) (T, error) {
	if m.OnWrite == nil {
		return read(ctx, m, op, do)
	}
	var none T
	apply, fault := m.OnWrite(op, arg)
	v, err := read(ctx, m, op, func() (T, error) {
		if !apply {
			return none, nil
		}
		return do()
	})
	if fault != nil {
		return none, fault
	}
	return v, err
}

// read runs do under the lock and counts it.
func read[T any](ctx context.Context, m *Memory, op string, do func() (T, error)) (T, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calls == nil {
		m.connections = map[connection.Key]connection.Connection{}
		m.due = map[string][]dueEntry{}
		m.requests = map[string]requestRow{}
		m.sweeps = map[string]connection.Lease{}
		m.breakers = map[string]connection.Breaker{}
		m.free = map[string]time.Time{}
		m.calls = map[string]int{}
	}
	m.calls[op]++
	var none T
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("%s in memory: %w", op, err)
	}
	v, err := do()
	if err != nil {
		return none, fmt.Errorf("%s in memory: %w", op, err)
	}
	return v, nil
}

// parse reads a cursor, "" being before everything.
func parse(cursor string) (connection.Cursor, error) {
	if cursor == "" {
		return connection.Cursor{}, nil
	}
	return connection.ParseCursor(cursor)
}

// normal returns c as stores keep it, sharing nothing with c.
func normal(c connection.Connection) connection.Connection {
	c = clone(c)
	c.AnyAccount = false
	c.Scopes = slices.Compact(slices.Sorted(slices.Values(c.Scopes)))
	if len(c.Scopes) > 0 && c.Scopes[0] == "" {
		c.Scopes = c.Scopes[1:]
	}
	if len(c.Scopes) == 0 {
		c.Scopes = nil
	}
	c.ScopesMissing = slices.Compact(slices.Sorted(slices.Values(c.ScopesMissing)))
	if len(c.SealedRefreshToken) == 0 {
		c.SealedRefreshToken = nil
	}
	if len(c.Metadata) == 0 {
		c.Metadata = nil
	}
	for _, t := range []*time.Time{
		&c.ExpiresAt, &c.RefreshExpiresAt, &c.ConnectedAt, &c.RefreshedAt, &c.UpdatedAt,
		&c.Due.At, &c.Failure.Since, &c.Failure.At,
	} {
		*t = second(*t)
	}
	if c.Due.Shard == "" || c.Due.At.IsZero() {
		c.Due = connection.Due{}
	}
	return c
}

// clone returns a copy of c that shares nothing with it.
func clone(c connection.Connection) connection.Connection {
	c.Scopes = slices.Clone(c.Scopes)
	c.ScopesMissing = slices.Clone(c.ScopesMissing)
	c.SealedRefreshToken = slices.Clone(c.SealedRefreshToken)
	c.Metadata = maps.Clone(c.Metadata)
	return c
}

// second cuts t to whole seconds of UTC; a zero time stays one.
func second(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return time.Unix(t.Unix(), 0).UTC()
}
