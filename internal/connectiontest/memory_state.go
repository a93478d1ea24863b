package connectiontest

import (
	"context"
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// A requestRow is a row of the state table. A row without claim.State is not
// claimed: it only remembers denials.
type requestRow struct {
	claim  connection.Request
	denied []string // states
}

// ClaimRequest implements State.
func (m *Memory) ClaimRequest(ctx context.Context, r connection.Request) error {
	return m.request(ctx, "ClaimRequest", r, func(row *requestRow) error {
		if row.claim.State != "" || slices.Contains(row.denied, r.State) {
			return connection.ErrConflict
		}
		row.claim = connection.Request{ID: r.ID, State: r.State, Key: r.Key, ExpiresAt: second(r.ExpiresAt)}
		return nil
	})
}

// DenyRequest implements State.
func (m *Memory) DenyRequest(ctx context.Context, r connection.Request) error {
	return m.request(ctx, "DenyRequest", r, func(row *requestRow) error {
		if row.claim.State == r.State {
			return connection.ErrConflict
		}
		if row.claim.ID == "" {
			row.claim = connection.Request{ID: r.ID, Key: r.Key, ExpiresAt: second(r.ExpiresAt)}
		}
		row.denied = append(row.denied, r.State)
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
		if slices.Contains(row.denied, state) {
			r := row.claim
			r.State, r.Outcome, r.Code = state, connection.Denied, ""
			return r, nil
		}
		if row.claim.State == "" {
			return connection.Request{}, connection.ErrNotFound
		}
		return row.claim, nil
	})
}

// TakeSweep implements State.
func (m *Memory) TakeSweep(ctx context.Context, id string, now, until time.Time) error {
	_, err := write(ctx, m, "TakeSweep", id, func() (none struct{}, err error) {
		if m.sweep.Held(second(now)) && m.sweep.ID != id {
			return none, connection.ErrConflict
		}
		m.sweep = connection.Lease{ID: id, Until: second(until)}
		return none, nil
	})
	return err
}

// EndSweep implements State.
func (m *Memory) EndSweep(ctx context.Context, id string) error {
	_, err := write(ctx, m, "EndSweep", id, func() (none struct{}, err error) {
		if m.sweep.ID == id {
			m.sweep = connection.Lease{}
		}
		return none, nil
	})
	return err
}

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
