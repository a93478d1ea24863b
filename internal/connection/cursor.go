package connection

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrBadCursor is a store's answer to a cursor that no list of its kind returned.
var ErrBadCursor = errors.New("malformed cursor: pass what the last page returned, or nothing to start over")

// A Cursor is the record after which the next page of a list begins. That
// record need not exist any more.
type Cursor struct {
	Key   Key
	DueAt time.Time // in the due index only
}

// wireCursor is what a cursor's text holds.
type wireCursor struct {
	ConnectionID string `json:"connection_id"`
	Provider     string `json:"provider"`
	DueAt        int64  `json:"due_at,omitempty"`
}

// String returns the text of c for callers, base64url JSON. It is opaque: only
// ParseCursor reads it.
func (c Cursor) String() string {
	w := wireCursor{ConnectionID: c.Key.ConnectionID, Provider: c.Key.Provider}
	if !c.DueAt.IsZero() {
		w.DueAt = c.DueAt.Unix()
	}
	text, _ := json.Marshal(w) // two strings and a number always marshal
	return base64.RawURLEncoding.EncodeToString(text)
}

// ParseCursor reads what String returned. Any other text is ErrBadCursor.
func ParseCursor(s string) (Cursor, error) {
	text, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return Cursor{}, fmt.Errorf("%w: it is not base64url", ErrBadCursor)
	}
	var w wireCursor
	if err := json.Unmarshal(text, &w); err != nil {
		return Cursor{}, fmt.Errorf("%w: it holds no JSON object", ErrBadCursor)
	}
	if !ValidID(w.ConnectionID) || !ValidID(w.Provider) {
		return Cursor{}, fmt.Errorf("%w: it names no connection", ErrBadCursor)
	}
	c := Cursor{Key: Key{ConnectionID: w.ConnectionID, Provider: w.Provider}}
	if w.DueAt != 0 {
		c.DueAt = time.Unix(w.DueAt, 0).UTC()
	}
	return c, nil
}
