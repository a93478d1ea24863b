package bolt

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/evergrant/evergrant/internal/connection"
)

// duePage is how many keys one call of Due returns.
const duePage = 500

// Get returns the connection k, or connection.ErrNotFound.
func (s *Store) Get(ctx context.Context, k connection.Key) (c connection.Connection, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		if c, err = load(tx, k); err == nil && c.Key != k {
			err = connection.ErrNotFound
		}
		return err
	})
	if err != nil {
		return connection.Connection{}, fmt.Errorf("get connection %s at %s: %w", k.ConnectionID, k.Provider, err)
	}
	return c, nil
}

// List returns all connections of a connection ID, ordered by provider.
func (s *Store) List(ctx context.Context, connectionID string) (list []connection.Connection, err error) {
	first := rowKey(connection.Key{ConnectionID: connectionID})
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		rows := tx.Bucket(connections).Cursor()
		for k, row := rows.Seek(first); bytes.HasPrefix(k, first); k, row = rows.Next() {
			c, err := decode(k, row)
			if err != nil {
				return err
			}
			list = append(list, c)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list connections of %s: %w", connectionID, err)
	}
	return list, nil
}

// ListByStatus returns a page of the connections in a status, "" for all,
// ordered by key. Cursors are "" at the start and at the end.
func (s *Store) ListByStatus(ctx context.Context, status connection.Status, cursor string, limit int) (page []connection.Connection, next string, err error) {
	var after connection.Cursor
	if cursor != "" {
		if after, err = connection.ParseCursor(cursor); err != nil {
			return nil, "", fmt.Errorf("list connections: %w", err)
		}
	}
	start := rowKey(after.Key)
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		rows := tx.Bucket(connections).Cursor()
		for k, row := rows.Seek(start); k != nil; k, row = rows.Next() {
			c, err := decode(k, row)
			if err != nil {
				return err
			}
			if bytes.Equal(k, start) || status != "" && c.Status != status {
				continue
			}
			if len(page) == max(limit, 1) {
				next = connection.Cursor{Key: page[len(page)-1].Key}.String()
				break
			}
			page = append(page, c)
		}
		return nil
	})
	if err != nil {
		return nil, "", fmt.Errorf("list connections: %w", err)
	}
	return page, next, nil
}

// Due returns a page of what is due in a shard at now, and since when, oldest
// first. Cursors are "" at the start and at the end.
func (s *Store) Due(ctx context.Context, shard string, now time.Time, cursor string) (keys []connection.DueKey, next string, err error) {
	var after connection.Cursor
	if cursor != "" {
		after, err = connection.ParseCursor(cursor)
		if err == nil && after.DueAt.IsZero() {
			err = fmt.Errorf("%w: it is not of the due index", connection.ErrBadCursor)
		}
		if err != nil {
			return nil, "", fmt.Errorf("find what is due: %w", err)
		}
	}
	var due []connection.Cursor
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		return tx.Bucket(connections).ForEach(func(k, row []byte) error {
			c, err := decode(k, row)
			if err != nil {
				return err
			}
			d := connection.Cursor{Key: c.Key, DueAt: c.Due.At}
			if c.Due.Shard == shard && !c.Due.At.IsZero() && !c.Due.At.After(now) && compare(d, after) > 0 {
				due = append(due, d)
			}
			return nil
		})
	})
	if err != nil {
		return nil, "", fmt.Errorf("find what is due: %w", err)
	}
	slices.SortFunc(due, compare)
	if len(due) > duePage {
		due = due[:duePage]
		next = due[duePage-1].String()
	}
	for _, d := range due {
		keys = append(keys, connection.DueKey{Key: d.Key, At: d.DueAt})
	}
	return keys, next, nil
}

// compare orders the due index: by time, then by key.
func compare(a, b connection.Cursor) int {
	return cmp.Or(a.DueAt.Compare(b.DueAt), bytes.Compare(rowKey(a.Key), rowKey(b.Key)))
}
