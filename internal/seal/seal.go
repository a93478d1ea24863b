// Package seal encrypts what must not be read where it is kept: refresh tokens
// in the table, authorization requests in cookies. It also authenticates what
// may be read and must not be made up.
//
// A sealed value is AES-256-GCM under a key derived (HKDF-SHA256, RFC 5869)
// from one entry of a key ring. It names its entry, so a new current key takes
// over as values are written and old ones stay readable. A name is not the key: in
// the ring of a stack that was deployed anew, k1 is another one, and the old k1 may
// stand there under any ID. The name and the purpose are authenticated with the
// value: one that was altered, or moved to another row, field or cookie, does not
// open.
//
// The key ring comes from Secrets Manager; this package reads nothing.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// MinKeyLength is the least that a key may have, in characters.
const MinKeyLength = 32

// ErrNotOpened is the answer to a value that was altered, moved, or sealed
// under a key that the ring does not have.
var ErrNotOpened = errors.New("sealed value cannot be opened: it was altered or moved, or its key is gone from the key ring")

// Keys is a key ring. Its zero value opens and seals nothing.
type Keys struct {
	Current string            // ID of the key that seals
	keys    map[string]string // by ID
}

// String names the current key, without any key itself.
func (k Keys) String() string { return "key ring with current key " + k.Current }

// GoString returns the same as String.
func (k Keys) GoString() string { return k.String() }

// ParseKeys reads a key ring: {"current":"k1","keys":{"k1":"…"}}, or the flat
// {"current":"k1","k1":"…"} that CloudFormation's GenerateSecretString writes.
func ParseKeys(document []byte) (Keys, error) {
	var d map[string]json.RawMessage
	if err := json.Unmarshal(document, &d); err != nil {
		return Keys{}, errors.New(`not a JSON object: write {"current":"k1","keys":{"k1":"<at least 32 characters>"}}`)
	}
	k := Keys{keys: map[string]string{}}
	if err := json.Unmarshal(d["current"], &k.Current); err != nil || k.Current == "" {
		return Keys{}, errors.New(`"current" is missing: it names the key to use`)
	}
	if nested, ok := d["keys"]; ok {
		if err := json.Unmarshal(nested, &k.keys); err != nil {
			return Keys{}, errors.New(`"keys" must be an object of strings`)
		}
	} else {
		delete(d, "current")
		for id, raw := range d {
			var key string
			if json.Unmarshal(raw, &key) == nil {
				k.keys[id] = key
			}
		}
	}
	for id, key := range k.keys {
		if len(key) < MinKeyLength || len(id) == 0 || len(id) > 255 {
			return Keys{}, fmt.Errorf("key %q is shorter than %d characters", id, MinKeyLength)
		}
	}
	if _, ok := k.keys[k.Current]; !ok {
		return Keys{}, fmt.Errorf("current key %q is not among the keys", k.Current)
	}
	return k, nil
}

// Key returns the key with the given ID, and whether the ring has it.
func (k Keys) Key(id string) (string, bool) {
	key, ok := k.keys[id]
	return key, ok
}

// All returns every key, the current one first.
func (k Keys) All() []string {
	all := []string{k.keys[k.Current]}
	for id, key := range k.keys {
		if id != k.Current {
			all = append(all, key)
		}
	}
	return all
}

// version is the first byte of every sealed value.
const version = 1

// Seal encrypts plain for purpose under the current key.
func (k Keys) Seal(purpose string, plain []byte) ([]byte, error) {
	aead, err := k.aead(k.Current)
	if err != nil {
		return nil, err
	}
	out := append([]byte{version, byte(len(k.Current))}, k.Current...) //nolint:gosec // ParseKeys takes IDs of at most 255 characters
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // it never fails: package crypto/rand ends the program instead
	return aead.Seal(slices.Concat(out, nonce), nonce, plain, slices.Concat(out, []byte(purpose))), nil
}

// Names returns the ID of the key that sealed names, "" for what Seal did not
// make. It opens nothing: the ID may be that of no key of any ring.
func Names(sealed []byte) string {
	if len(sealed) < 2 || sealed[0] != version || len(sealed) < 2+int(sealed[1]) {
		return ""
	}
	return string(sealed[2 : 2+int(sealed[1])])
}

// Open decrypts what Seal made for the same purpose, under whichever key of the
// ring it was, the one that it names first.
func (k Keys) Open(purpose string, sealed []byte) ([]byte, error) {
	named := Names(sealed)
	plain, err := k.open(named, purpose, sealed)
	for id := range k.keys {
		if err == nil {
			break
		}
		plain, err = k.open(id, purpose, sealed)
	}
	return plain, err
}

// OpensCurrent reports whether the current key opens sealed, for which the others
// may go.
func (k Keys) OpensCurrent(purpose string, sealed []byte) bool {
	_, err := k.open(k.Current, purpose, sealed)
	return err == nil
}

// open decrypts sealed under the key with the given ID, whichever it names.
func (k Keys) open(id, purpose string, sealed []byte) ([]byte, error) {
	if len(sealed) < 2 || sealed[0] != version || len(sealed) < 2+int(sealed[1]) {
		return nil, ErrNotOpened
	}
	head, rest := sealed[:2+int(sealed[1])], sealed[2+int(sealed[1]):]
	aead, err := k.aead(id)
	if err != nil || len(rest) < aead.NonceSize() {
		return nil, ErrNotOpened
	}
	plain, err := aead.Open(nil, rest[:aead.NonceSize()], rest[aead.NonceSize():], slices.Concat(head, []byte(purpose)))
	if err != nil {
		return nil, ErrNotOpened
	}
	return plain, nil
}

// aead returns the cipher of the key with the given ID.
func (k Keys) aead(id string) (cipher.AEAD, error) {
	key, ok := k.keys[id]
	if !ok {
		return nil, fmt.Errorf("key %q is not in the key ring", id)
	}
	derived, err := hkdf.Key(sha256.New, []byte(key), nil, "evergrant seal v1", 32)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, fmt.Errorf("make cipher: %w", err)
	}
	return cipher.NewGCM(block)
}

// MAC authenticates message for purpose under the current key (HMAC-SHA256, RFC
// 2104): 32 bytes, always the same for one key.
func (k Keys) MAC(purpose string, message []byte) ([]byte, error) {
	return k.mac(k.Current, purpose, message)
}

// Verify reports whether MAC made mac, under any key of the ring.
func (k Keys) Verify(purpose string, message, mac []byte) bool {
	for id := range k.keys {
		if want, err := k.mac(id, purpose, message); err == nil && hmac.Equal(mac, want) {
			return true
		}
	}
	return false
}

func (k Keys) mac(id, purpose string, message []byte) ([]byte, error) {
	key, ok := k.keys[id]
	if !ok {
		return nil, fmt.Errorf("key %q is not in the key ring", id)
	}
	derived, err := hkdf.Key(sha256.New, []byte(key), nil, "evergrant mac v1 "+purpose, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	h := hmac.New(sha256.New, derived)
	_, _ = h.Write(message) // it never fails
	return h.Sum(nil), nil
}
