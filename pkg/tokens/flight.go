package tokens

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// How long things may take.
const (
	// patience is how long a caller whose token still works waits for a better
	// one; also what the second read may take.
	patience = 5 * time.Second

	// invokeTime is the time-out of the connections function.
	invokeTime = time.Minute

	// flightTime is what a flight may take. One that has taken longer, because
	// Invoke ignores its context or the process was frozen, is given up.
	flightTime = invokeTime + patience
)

// errSlow is the cause of a warning where the refresh still goes on.
var errSlow = errors.New("the refresh takes long, and goes on")

// A flightKey names a token that is to be replaced.
type flightKey struct {
	key
	sum [sha256.Size]byte
}

// A flight is one refresh, and the read after it, that all callers with the
// same token share. It belongs to none of them: who leaves ends nothing.
//
// golang.org/x/sync/singleflight does less: it ends the process where the call
// panics, and has callers wait for a call that will not end.
type flight struct {
	began time.Time
	done  chan struct{} // closed once token and err are set
	token Token         // what is in the table now, or, with err, as far as is known
	err   error         // why token may be no better than the one before
}

// renew waits for the flight that replaces old: until it has ended, for wait
// since it began, or until ctx ends. The token is the one in the table then; it
// is old where that cannot be known. The error is ErrNotConnected, with no
// token, or says why the token may be no better.
func (r *Reader) renew(ctx context.Context, k key, old Token, wait time.Duration) (Token, error) {
	f := r.join(ctx, flightKey{k, sha256.Sum256([]byte(old.AccessToken))}, old)
	ctx, cancel := context.WithTimeoutCause(ctx, wait-r.now().Sub(f.began), errSlow)
	defer cancel()
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return old, fmt.Errorf("tokens: wait for the refresh: %w", context.Cause(ctx))
	}
}

// join returns the flight for k, which it starts if there is none.
func (r *Reader) join(ctx context.Context, k flightKey, old Token) *flight {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, ok := r.flights[k]; ok && now.Sub(f.began) < flightTime {
		return f
	}
	f := &flight{began: now, done: make(chan struct{}), token: old, err: errors.New("tokens: the refresh was broken off")}
	if r.flights == nil {
		r.flights = map[flightKey]*flight{}
	}
	r.flights[k] = f
	go r.fly(context.WithoutCancel(ctx), k, f)
	return f
}

// fly is the flight. However it ends, with a panic or runtime.Goexit of what it
// calls too, those who wait are told.
func (r *Reader) fly(ctx context.Context, k flightKey, f *flight) {
	defer func() {
		if p := recover(); p != nil {
			f.err = fmt.Errorf("tokens: the refresh panicked: %v", p)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.flights[k] == f {
			delete(r.flights, k)
		}
		close(f.done)
	}()
	old := f.token
	refreshErr := r.refresh(ctx, k)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t, err := r.get(ctx, k.key, consistently)
	switch {
	case errors.Is(err, ErrNotConnected):
		f.token, f.err = Token{}, err
	case err != nil:
		f.token, f.err = old, errors.Join(refreshErr, err)
	default:
		f.token, f.err = t, refreshErr
	}
}

// refresh asks the control plane for another token than that of k. The
// condition is the token, not its life: it holds whatever the clocks say, and
// all who ask about one token have the same one.
func (r *Reader) refresh(ctx context.Context, k flightKey) error {
	if r.Invoke == nil {
		return errors.New("tokens: no refresh on read: Invoke is not set")
	}
	payload, err := json.Marshal(map[string]string{
		"action": "refresh", "connection_id": k.connectionID, "provider": k.provider, "token_sha256": hex.EncodeToString(k.sum[:]),
	})
	if err != nil {
		return fmt.Errorf("tokens: marshal request: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, invokeTime)
	defer cancel()
	answer, err := r.Invoke(ctx, payload)
	if err != nil {
		return fmt.Errorf("tokens: invoke connections function: %w", err)
	}
	var out struct {
		Connection   json.RawMessage                `json:"connection"`
		Error        *struct{ Type, Detail string } `json:"error"`
		ErrorMessage string                         `json:"errorMessage"` // Lambda's own, where the function has failed
	}
	switch err := json.Unmarshal(answer, &out); {
	case err != nil:
		return fmt.Errorf("tokens: answer of the connections function: %w", err)
	case out.Error != nil:
		return fmt.Errorf("tokens: refresh: %s: %s", out.Error.Type, out.Error.Detail)
	case len(out.Connection) == 0:
		return fmt.Errorf("tokens: the connections function failed: %s", out.ErrorMessage)
	}
	return nil
}
