package bolt

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/evergrant/evergrant/internal/connection"
)

// sweepRow is the ID of the row that holds the sweep lease.
const sweepRow = "sweep"

// A stateRow is a row of the state bucket: an authorization request, a sweep
// lease, or how a provider fares. Without a State nobody has claimed the request.
type stateRow struct {
	State        string   `json:"request_state,omitempty"`
	ConnectionID string   `json:"connection_id,omitempty"`
	Provider     string   `json:"provider,omitempty"`
	Outcome      string   `json:"outcome,omitempty"`
	Code         string   `json:"code,omitempty"`
	ExpiresAt    seconds  `json:"expires_at,omitempty"`
	Denied       []string `json:"denied,omitempty"` // states that the provider ended without an answer
	Failed       []string `json:"failed,omitempty"` // those of them that ended as Failed
	Answer       []byte   `json:"answer,omitempty"` // sealed
	HeldUntil    seconds  `json:"held_until,omitempty"`

	LeaseID    string  `json:"lease_id,omitempty"`
	LeaseUntil seconds `json:"lease_until,omitempty"`

	Generations []int  `json:"generations,omitempty"` // every number of shards that was swept
	Table       string `json:"table,omitempty"`       // the ID of the table that was swept

	Breaker breaker `json:"breaker,omitzero"`
	FreeAt  int64   `json:"free_at,omitempty"` // Unix milliseconds
}

// open enters what stands in a row from its beginning.
func (row *stateRow) open(r connection.Request) {
	row.ConnectionID, row.Provider = r.Key.ConnectionID, r.Key.Provider
	row.ExpiresAt = secondsOf(r.ExpiresAt)
}

// loadState reads the row of an ID. A row that is not there is the zero row.
func loadState(tx *bbolt.Tx, id string) (row stateRow, err error) {
	if text := tx.Bucket(state).Get([]byte(id)); text != nil {
		err = json.Unmarshal(text, &row)
	}
	return row, err
}

// changeState runs one write of a row of the state bucket.
func (s *Store) changeState(ctx context.Context, doing, id string, change func(*stateRow) error) error {
	err := s.update(ctx, func(tx *bbolt.Tx) error {
		row, err := loadState(tx, id)
		if err != nil {
			return err
		}
		if err := change(&row); err != nil {
			return err
		}
		text, err := json.Marshal(row)
		if err != nil {
			return err
		}
		return tx.Bucket(state).Put([]byte(id), text)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// ClaimRequest claims r.ID for r.State, once for all time. It is
// connection.ErrConflict where r.ID is claimed or r.State was denied.
func (s *Store) ClaimRequest(ctx context.Context, r connection.Request) error {
	return s.changeState(ctx, "claim authorization request", r.ID, func(row *stateRow) error {
		if row.State != "" || slices.Contains(row.Denied, r.State) {
			return connection.ErrConflict
		}
		row.open(r)
		row.State, row.Answer, row.HeldUntil = r.State, r.Answer, secondsOf(r.HeldUntil)
		return nil
	})
}

// TakeAnswer takes the answer out of the claimed request and returns the request
// with it. It is connection.ErrConflict where none is held at now.
func (s *Store) TakeAnswer(ctx context.Context, id string, now time.Time) (r connection.Request, err error) {
	err = s.changeState(ctx, "take the answer of authorization request", id, func(row *stateRow) error {
		if row.Answer == nil || row.HeldUntil <= secondsOf(now) {
			return connection.ErrConflict
		}
		r = row.request(id)
		row.Answer = nil
		return nil
	})
	return r, err
}

// request returns the claim in the row of an ID.
func (row *stateRow) request(id string) connection.Request {
	return connection.Request{
		ID:        id,
		State:     row.State,
		Key:       connection.Key{ConnectionID: row.ConnectionID, Provider: row.Provider},
		Outcome:   connection.Outcome(row.Outcome),
		Code:      row.Code,
		ExpiresAt: row.ExpiresAt.time(),
		Answer:    row.Answer,
		HeldUntil: row.HeldUntil.time(),
	}
}

// DenyRequest remembers that the provider ended r.State without an answer: as
// Failed, where r.Outcome is that, else as Denied. It is connection.ErrConflict
// where r.State has claimed r.ID or ended before.
func (s *Store) DenyRequest(ctx context.Context, r connection.Request) error {
	return s.changeState(ctx, "deny authorization request", r.ID, func(row *stateRow) error {
		if row.State == r.State || slices.Contains(row.Denied, r.State) {
			return connection.ErrConflict
		}
		if row.State == "" && row.Denied == nil {
			row.open(r)
		}
		row.Denied = append(row.Denied, r.State)
		if r.Outcome == connection.Failed {
			row.Failed = append(row.Failed, r.State)
		}
		return nil
	})
}

// FinishRequest adds r.Outcome and r.Code to the claim of r.State. It is
// connection.ErrConflict where r.State does not hold one.
func (s *Store) FinishRequest(ctx context.Context, r connection.Request) error {
	return s.changeState(ctx, "finish authorization request", r.ID, func(row *stateRow) error {
		if row.State != r.State {
			return connection.ErrConflict
		}
		row.Outcome, row.Code = string(r.Outcome), r.Code
		return nil
	})
}

// GetRequest returns the authorization request as a state sees it: its denial,
// else the claim, else connection.ErrNotFound.
func (s *Store) GetRequest(ctx context.Context, id, stateID string) (r connection.Request, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		row, err := loadState(tx, id)
		if err != nil {
			return err
		}
		r = row.request(id)
		if slices.Contains(row.Denied, stateID) {
			r = connection.Request{ID: id, State: stateID, Key: r.Key, Outcome: connection.Denied, ExpiresAt: r.ExpiresAt}
			if slices.Contains(row.Failed, stateID) {
				r.Outcome = connection.Failed
			}
		}
		if r.State == "" {
			return connection.ErrNotFound
		}
		return nil
	})
	if err != nil {
		return connection.Request{}, fmt.Errorf("get authorization request: %w", err)
	}
	return r, nil
}

// TakeSweep takes the sweep lease of s.Name and returns what sweeps remember. It
// is connection.ErrConflict while another holds it.
func (s *Store) TakeSweep(ctx context.Context, sweep connection.Sweep) (swept connection.Swept, err error) {
	err = s.changeState(ctx, "take the sweep lease", sweepID(sweep.Name), func(row *stateRow) error {
		if row.LeaseID != sweep.ID && row.LeaseUntil > secondsOf(sweep.Now) {
			return connection.ErrConflict
		}
		row.LeaseID, row.LeaseUntil = sweep.ID, secondsOf(sweep.Until)
		if sweep.Name != "" {
			return nil
		}
		if !slices.Contains(row.Generations, sweep.Shards) {
			row.Generations = slices.Sorted(slices.Values(append(row.Generations, sweep.Shards)))
		}
		row.Table = cmp.Or(sweep.Table, row.Table)
		swept = connection.Swept{Generations: row.Generations, Table: row.Table}
		return nil
	})
	return swept, err
}

// EndSweep gives the sweep lease of a name back, if id still holds it.
func (s *Store) EndSweep(ctx context.Context, name, id string) error {
	return s.changeState(ctx, "end the sweep", sweepID(name), func(row *stateRow) error {
		if row.LeaseID == id {
			row.LeaseID, row.LeaseUntil = "", 0
		}
		return nil
	})
}

// sweepID returns the ID of the row that holds the sweep lease of a name.
func sweepID(name string) string {
	if name == "" {
		return sweepRow
	}
	return sweepRow + "#" + name
}
