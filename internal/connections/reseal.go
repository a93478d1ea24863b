package connections

import (
	"context"
	"errors"
	"fmt"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/seal"
)

// A Reseal says what became of the refresh tokens of a page of connections.
type Reseal struct {
	Key        string `json:"key"`        // the current sealing key
	Current    int    `json:"current"`    // were under it already
	Resealed   int    `json:"resealed"`   // are now
	Changed    int    `json:"changed"`    // were changed by somebody else meanwhile: another pass tells
	UnderWay   int    `json:"under_way"`  // are those of a refresh under way, which may put back what it has read
	Unreadable int    `json:"unreadable"` // cannot be opened with any key of the ring: the log names them
}

// reseal seals the refresh tokens of a page of connections under the current
// key, those of one status or all, so that older keys can go. It works beside
// refreshes, and may be called again for any page.
func (h *Handler) reseal(ctx context.Context, req Request) (Response, error) {
	limit, err := pageOf(req)
	if err != nil {
		return Response{}, err
	}
	keys, err := h.Secrets.SealKeys(ctx)
	if err != nil {
		return Response{}, fmt.Errorf("sealing keys: %w", err)
	}
	page, next, err := h.Reader.ListByStatus(ctx, "", req.Cursor, limit)
	if err != nil {
		return Response{}, err
	}
	done := Reseal{Key: keys.Current}
	for _, c := range page {
		if err := h.resealOne(ctx, keys, c, &done); err != nil {
			return Response{}, err
		}
	}
	return Response{Reseal: &done, Cursor: next}, nil
}

// resealOne seals the refresh token of c anew, if it is not under the current
// key, and counts what became of it.
func (h *Handler) resealOne(ctx context.Context, keys seal.Keys, c connection.Connection, done *Reseal) error {
	if len(c.SealedRefreshToken) > 0 && c.Lease.Held(h.Now()) {
		done.UnderWay++
	}
	switch {
	case len(c.SealedRefreshToken) == 0:
		return nil
	case keys.OpensCurrent(connection.RefreshTokenPurpose(c.Key), c.SealedRefreshToken):
		done.Current++
		return nil
	}
	token, err := c.RefreshToken(keys)
	if err != nil {
		done.Unreadable++
		h.Log.ErrorContext(ctx, "refresh token cannot be opened", "provider", c.Provider, "connection_id", c.ConnectionID,
			"key", seal.Names(c.SealedRefreshToken), "err", err)
		return nil
	}
	sealed, err := keys.Seal(connection.RefreshTokenPurpose(c.Key), []byte(token.Reveal()))
	if err != nil {
		return fmt.Errorf("seal refresh token: %w", err)
	}
	err = h.Writer.Reseal(ctx, c.Key, c.SealedRefreshToken, sealed)
	switch {
	case errors.Is(err, connection.ErrConflict):
		done.Changed++
	case err != nil:
		return err
	default:
		done.Resealed++
	}
	return nil
}
