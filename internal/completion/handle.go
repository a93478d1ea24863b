package completion

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/evergrant/evergrant/internal/seal"
)

// handlePurpose is what the MAC of a handle is for.
const handlePurpose = "handle"

// kinds are the beginnings of the IDs that connection.RequestID makes; a handle
// has the index of its own.
var kinds = []string{"ticket#", "request#"}

// digestSize is the length of the rest of such an ID, in bytes.
const digestSize = 32

// encoding is strict, so that no two texts are one handle.
var encoding = base64.RawURLEncoding.Strict()

// Handle returns the handle of the authorization request with an ID: the ID, and
// a MAC, so that nobody makes one up. It is derived and stored nowhere: a callback
// that is loaded again gives the same once more. An ID is claimed by one state for
// all time, so that a handle is of one answer.
func Handle(keys seal.Keys, id string) (string, error) {
	for i, kind := range kinds {
		digest, ok := strings.CutPrefix(id, kind)
		if !ok {
			continue
		}
		sum, err := hex.DecodeString(digest)
		if err != nil || len(sum) != digestSize {
			break
		}
		named := append([]byte{byte(i)}, sum...)
		mac, err := keys.MAC(handlePurpose, named)
		if err != nil {
			return "", fmt.Errorf("make handle: %w", err)
		}
		return encoding.EncodeToString(append(named, mac...)), nil
	}
	return "", fmt.Errorf("make handle: %q is the ID of no authorization request", id)
}

// ParseHandle returns the ID of the authorization request that a handle is of,
// and whether it is one that Handle made under a key of the ring.
func ParseHandle(keys seal.Keys, handle string) (id string, ok bool) {
	b, err := encoding.DecodeString(handle)
	const named = 1 + digestSize
	if err != nil || len(b) < named || strings.ContainsAny(handle, "\r\n") || !keys.Verify(handlePurpose, b[:named], b[named:]) {
		return "", false
	}
	return kinds[b[0]] + hex.EncodeToString(b[1:named]), true
}
