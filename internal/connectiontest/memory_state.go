package connectiontest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// A requestRow is a row of the state table. A row without claim.State is not
// claimed: it only remembers denials.
type requestRow struct {
	claim  connection.Request
	denied map[string]connection.Outcome // by state
}

// ClaimRequest implements State.
func (m *Memory) ClaimRequest(ctx context.Context, r connection.Request) error {
	return m.request(ctx, "ClaimRequest", r, func(row *requestRow) error {
		if row.claim.State != "" || row.denied[r.State] != "" {
			return connection.ErrConflict
		}
		row.claim = connection.Request{
			ID: r.ID, State: r.State, Key: r.Key, ExpiresAt: second(r.ExpiresAt),
			Answer: slices.Clone(r.Answer), HeldUntil: second(r.HeldUntil),
		}
		return nil
	})
}

// TakeAnswer implements State.
func (m *Memory) TakeAnswer(ctx context.Context, id string, now time.Time) (connection.Request, error) {
	return write(ctx, m, "TakeAnswer", id, func() (connection.Request, error) {
		row := m.requests[id]
		if row.claim.Answer == nil || !row.claim.HeldUntil.After(second(now)) {
			return connection.Request{}, connection.ErrConflict
		}
		r := row.claim
		row.claim.Answer = nil
		m.requests[id] = row
		return r, nil
	})
}

// DenyRequest implements State.
func (m *Memory) DenyRequest(ctx context.Context, r connection.Request) error {
	return m.request(ctx, "DenyRequest", r, func(row *requestRow) error {
		if row.claim.State == r.State || row.denied[r.State] != "" {
			return connection.ErrConflict
		}
		if row.claim.ID == "" {
			row.claim = connection.Request{ID: r.ID, Key: r.Key, ExpiresAt: second(r.ExpiresAt)}
		}
		if row.denied == nil {
			row.denied = map[string]connection.Outcome{}
		}
		row.denied[r.State] = connection.Denied
		if r.Outcome == connection.Failed {
			row.denied[r.State] = connection.Failed
		}
		return nil
	})
}

// FinishRequest implements State.
func (m *Memory) FinishRequest(ctx context.Context, r connection.Request) error {
	return m.request(ctx, "FinishRequest", r, func(row *requestRow) error {
		if row.claim.State != r.State {
			return connection.ErrConflict
		}
		row.claim.Outcome, row.claim.Code = r.Outcome, r.Code
		return nil
	})
}

// GetRequest implements State.
func (m *Memory) GetRequest(ctx context.Context, id, state string) (connection.Request, error) {
	return read(ctx, m, "GetRequest", func() (connection.Request, error) {
		row := m.requests[id]
		if outcome := row.denied[state]; outcome != "" {
			r := row.claim
			return connection.Request{ID: id, State: state, Key: r.Key, Outcome: outcome, ExpiresAt: r.ExpiresAt}, nil
		}
		if row.claim.State == "" {
			return connection.Request{}, connection.ErrNotFound
		}
		r := row.claim
		r.Answer = slices.Clone(r.Answer)
		return r, nil
	})
}

// TakeSweep implements State.
func (m *Memory) TakeSweep(ctx context.Context, s connection.Sweep) (connection.Swept, error) {
	return write(ctx, m, "TakeSweep", s, func() (connection.Swept, error) {
		if held := m.sweeps[s.Name]; held.Held(second(s.Now)) && held.ID != s.ID {
			return connection.Swept{}, connection.ErrConflict
		}
		m.sweeps[s.Name] = connection.Lease{ID: s.ID, Until: second(s.Until)}
		if s.Name != "" {
			return connection.Swept{}, nil
		}
		if !slices.Contains(m.swept.Generations, s.Shards) {
			m.swept.Generations = slices.Sorted(slices.Values(append(m.swept.Generations, s.Shards)))
		}
		m.swept.Table = cmp.Or(s.Table, m.swept.Table)
		return connection.Swept{Generations: slices.Clone(m.swept.Generations), Table: m.swept.Table}, nil
	})
}

// EndSweep implements State.
func (m *Memory) EndSweep(ctx context.Context, name, id string) error {
	_, err := write(ctx, m, "EndSweep", id, func() (none struct{}, err error) {
		if m.sweeps[name].ID == id {
			delete(m.sweeps, name)
		}
		return none, nil
	})
	return err
}

// GetBreaker implements Providers.
func (m *Memory) GetBreaker(ctx context.Context, provider string) (connection.Breaker, error) {
	return read(ctx, m, "GetBreaker", func() (connection.Breaker, error) { return m.breakers[provider], nil })
}

// SetBreaker implements Providers.
func (m *Memory) SetBreaker(ctx context.Context, provider string, b connection.Breaker) error {
	_, err := write(ctx, m, "SetBreaker", provider, func() (none struct{}, err error) {
		kept := m.breakers[provider]
		kept.OpenUntil, kept.Opened, kept.Reason = second(b.OpenUntil), b.Opened, b.Reason
		m.breakers[provider] = kept
		return none, nil
	})
	return err
}

// Hold implements Providers.
func (m *Memory) Hold(ctx context.Context, provider string, since time.Time) error {
	_, err := write(ctx, m, "Hold", provider, func() (none struct{}, err error) {
		b := m.breakers[provider]
		b.HeldSince = second(since)
		m.breakers[provider] = b
		return none, nil
	})
	return err
}

// CountRefreshes implements Providers.
func (m *Memory) CountRefreshes(ctx context.Context, provider string, o connection.Outcomes, now time.Time) (connection.Breaker, error) {
	return write(ctx, m, "CountRefreshes", provider, func() (connection.Breaker, error) {
		m.breakers[provider] = m.breakers[provider].Count(o, now)
		return m.breakers[provider], nil
	})
}

// ReserveTime implements Providers.
func (m *Memory) ReserveTime(ctx context.Context, provider string, d time.Duration, now, latest time.Time) (time.Time, error) {
	return write(ctx, m, "ReserveTime", provider, func() (time.Time, error) {
		start := millisecond(now)
		if m.free[provider].After(start) {
			start = m.free[provider]
		}
		if !start.Before(millisecond(latest)) {
			return time.Time{}, connection.ErrConflict
		}
		m.free[provider] = start.Add(d.Truncate(time.Millisecond))
		return start, nil
	})
}

func millisecond(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }

// request changes the row of r, unless change returns an error.
func (m *Memory) request(ctx context.Context, op string, r connection.Request, change func(*requestRow) error) error {
	_, err := write(ctx, m, op, r, func() (none struct{}, err error) {
		row := m.requests[r.ID]
		if err := change(&row); err != nil {
			return none, err
		}
		m.requests[r.ID] = row
		return none, nil
	})
	return err
}
