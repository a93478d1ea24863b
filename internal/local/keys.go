package local

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/pkg/connect"
)

// keysFile holds the key rings of local mode, in the data folder.
const keysFile = "keys.json"

// rings are the two key rings, each in the form of the secret that a
// deployment has for it.
type rings struct {
	Connect json.RawMessage `json:"connect"`
	Seal    json.RawMessage `json:"seal"`
}

// ConnectKey returns the key that signs connect tickets for the local mode
// whose data folder is dir.
func ConnectKey(dir string) (connect.Key, error) {
	path := filepath.Join(dir, keysFile)
	document, err := os.ReadFile(path) //nolint:gosec // the person at the terminal names the folder
	if errors.Is(err, fs.ErrNotExist) {
		return connect.Key{}, fmt.Errorf("there is no %s: start local mode once with `make run`, or name its data folder with --dir", path)
	}
	if err != nil {
		return connect.Key{}, fmt.Errorf("read key: %w", err)
	}
	keys, _, err := parseRings(document)
	if err != nil {
		return connect.Key{}, fmt.Errorf("%s: %w", path, err)
	}
	return signingKey(keys), nil
}

// signingKey returns the current key of a ring of connect keys.
func signingKey(keys seal.Keys) connect.Key {
	secret, _ := keys.Key(keys.Current) // a ring always has its current key
	return connect.Key{ID: keys.Current, Secret: secret}
}

// loadRings returns the key rings of the data folder dir; it makes them the
// first time.
func loadRings(dir string) (connectKeys, sealKeys seal.Keys, err error) {
	path := filepath.Join(dir, keysFile)
	document, err := os.ReadFile(path) //nolint:gosec // the person at the terminal names the folder
	if errors.Is(err, fs.ErrNotExist) {
		if stores, _ := filepath.Glob(filepath.Join(dir, "*.db")); len(stores) > 0 {
			return seal.Keys{}, seal.Keys{}, fmt.Errorf("keys: %s is gone, and %s was sealed with it: put it back, or remove both to begin anew", path, stores[0])
		}
		document, err = makeRings(path)
	}
	if err != nil {
		return seal.Keys{}, seal.Keys{}, fmt.Errorf("keys: %w", err)
	}
	connectKeys, sealKeys, err = parseRings(document)
	if err != nil {
		return seal.Keys{}, seal.Keys{}, fmt.Errorf("%s: %w", path, err)
	}
	return connectKeys, sealKeys, nil
}

// makeRings writes two new key rings to path. Connections that were sealed
// under others cannot be refreshed any more, so it never replaces any.
func makeRings(path string) ([]byte, error) {
	ring := func() json.RawMessage {
		return json.RawMessage(`{"current":"k1","keys":{"k1":"` + rand.Text() + rand.Text() + `"}}`)
	}
	document, err := json.MarshalIndent(rings{Connect: ring(), Seal: ring()}, "", "  ")
	if err != nil {
		return nil, err
	}
	return document, replaceFile(path, document)
}

func parseRings(document []byte) (connectKeys, sealKeys seal.Keys, err error) {
	var r rings
	if err := json.Unmarshal(document, &r); err != nil {
		return seal.Keys{}, seal.Keys{}, errors.New("it is not a JSON object: without it stored refresh tokens cannot be opened, so restore it, or remove the whole folder")
	}
	if connectKeys, err = seal.ParseKeys(r.Connect); err != nil {
		return seal.Keys{}, seal.Keys{}, fmt.Errorf("connect: %w", err)
	}
	if sealKeys, err = seal.ParseKeys(r.Seal); err != nil {
		return seal.Keys{}, seal.Keys{}, fmt.Errorf("seal: %w", err)
	}
	return connectKeys, sealKeys, nil
}

// makeDir makes the data folder, for its owner alone and out of sight of git.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make data folder: %w", err)
	}
	ignore := filepath.Join(dir, ".gitignore")
	if _, err := os.Stat(ignore); err == nil {
		return nil
	}
	if err := os.WriteFile(ignore, []byte("*\n"), 0o600); err != nil {
		return fmt.Errorf("write to data folder: %w", err)
	}
	return nil
}

// replaceFile writes a file that only its owner can read: whole, or not at
// all.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // the first error says what went wrong
	}
	return err
}
