// Package bolt keeps connections in one file on this machine, for local mode.
//
// It promises what package connectiontest demands of every store. It is made
// for the few connections of one person: what is due is found by looking at
// all of them. Access tokens stand in the file as they are, which is why only
// its owner may read it; refresh tokens come sealed from the caller.
//
// To add a field, add it to connection.Connection and to the record here; the
// suite's round trip fails until both are there. A record is JSON, so older
// files stay readable while a new field may be absent.
package bolt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/evergrant/evergrant/internal/connection"
)

// The buckets of the file. The state bucket also holds the sweep lease.
var (
	connections = []byte("connections")
	state       = []byte("state")
)

// lockWait is how long Open waits for a file that another process has open.
const lockWait = time.Second

// Store is a store in one file. Make it with Open.
type Store struct {
	// Changed, if set, is called after each write of a connection that took
	// effect, in their order, with the connection before and after it, as a
	// record of DynamoDB's stream has the two. It must not use the store.
	Changed func(old, now connection.Connection)

	db    *bbolt.DB
	order sync.Mutex // over a write and its Changed
}

// Open opens the store at path and makes it if it is not there. One process
// can have it open; a second one gets an error after a second.
func Open(path string) (*Store, error) {
	err := checkWhole(path)
	var db *bbolt.DB
	if err == nil {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait})
	}
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("open %s: another process uses it: stop that one, or use another folder", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w: if it is damaged, restore it or move it away", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{connections, state} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = os.Chmod(path, 0o600) // a copy may have come with other rights
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare %s: %w", path, err), db.Close())
	}
	return &Store{db: db}, nil
}

// checkWhole returns an error for a file that ends before its last page, as a
// copy that broke off does. bbolt maps the file into memory and goes by what
// its first pages say, so that the process would end where a missing one is
// read. Opened for reading alone, bbolt reads no other page.
func checkWhole(path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil // it is made
	}
	if err != nil {
		return err
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockWait})
	if err != nil {
		return err
	}
	err = db.View(func(tx *bbolt.Tx) error {
		if info, err = os.Stat(path); err != nil || info.Size() >= tx.Size() {
			return err
		}
		return fmt.Errorf("it is cut off: %d of %d bytes are there", info.Size(), tx.Size())
	})
	return errors.Join(err, db.Close())
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// view runs a read.
func (s *Store) view(ctx context.Context, do func(*bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.db.View(do)
}

// update runs a write: all of it is in the file when it returns nil, else
// nothing is.
func (s *Store) update(ctx context.Context, do func(*bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.db.Update(do)
}

// rowKey returns the key of k's row. Rows sort by connection ID, then provider.
func rowKey(k connection.Key) []byte { return []byte(k.ConnectionID + "\x00" + k.Provider) }

// load reads the row of k. A row that is not there is the zero Connection.
func load(tx *bbolt.Tx, k connection.Key) (connection.Connection, error) {
	row := tx.Bucket(connections).Get(rowKey(k))
	if row == nil {
		return connection.Connection{}, nil
	}
	return decode(rowKey(k), row)
}

// decode reads a row of the connections bucket.
func decode(key, row []byte) (connection.Connection, error) {
	var r record
	if err := json.Unmarshal(row, &r); err != nil {
		return connection.Connection{}, fmt.Errorf("row %q: %w", key, err)
	}
	return r.connection(), nil
}

// save writes the row of c.
func save(tx *bbolt.Tx, c connection.Connection) error {
	row, err := json.Marshal(recordOf(c)) //nolint:gosec // The store is where tokens go.
	if err != nil {
		return fmt.Errorf("row %q: %w", rowKey(c.Key), err)
	}
	return tx.Bucket(connections).Put(rowKey(c.Key), row)
}
