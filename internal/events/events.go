// Package events tells the host what becomes of its connections: connected,
// reconnected, degraded, recovered, in need of a person, soon to expire,
// disconnected.
//
// It reads the stream of the connections table. Each record holds a row before
// and after one write; Changes compares the two, and that is the whole decision.
// So an event follows the write that it tells of, nothing that writes has to
// think of events, and what is not written is not told. Tokens are not read.
// docs/events.md says what the host gets, events/schemas has its form: what was
// released of that never changes, internal/corpus holds it.
//
// It neither writes a table nor knows EventBridge: a Bus takes what it publishes
// (internal/bus; in local mode the log). To add an event, add its Kind, the rule
// in kinds, a row to the table of TestChanges, its schema in the next set, and its
// part in the pattern of template.yaml, which spares invocations; a test holds
// them together.
package events

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

// A Kind is the detail-type of an event.
type Kind string

// The kinds. docs/events.md says what each means to the host.
const (
	Connected               Kind = "Connection Connected"     // the first grant
	Reconnected             Kind = "Connection Reconnected"   // a new grant of a connection that was there
	Degraded                Kind = "Connection Degraded"      // some refreshes in a row have failed
	Recovered               Kind = "Connection Recovered"     // what was told of as failing works again, with the same grant
	ReauthorizationRequired Kind = "Reauthorization Required" // the provider has ended the grant: a person must connect again
	Expiring                Kind = "Connection Expiring"      // the refresh token ends within days
	Disconnected            Kind = "Connection Disconnected"  // the tokens are gone
)

// degradedAfter is how many failures in a row the host is told of. One or two are
// everyday life, and the token that readers have still works.
const degradedAfter = 3

// version is that of the form of all details. Fields may be added within it.
const version = 1

// An Event is one change of one connection, in the form of its detail. Times
// are whole seconds, in RFC 3339. Formatted, logged or marshalled as it is, it
// shows no link: see Detail.
type Event struct {
	Kind Kind `json:"-"`

	// ID is the same however often the change is told of, and no other's.
	ID      string `json:"id"`
	Version int    `json:"version"`

	ConnectionID string            `json:"connection_id"`
	Provider     string            `json:"provider"`
	Environment  string            `json:"environment,omitempty"`
	Status       connection.Status `json:"connection_status"`

	// Fence goes up with each change of the connection: of two events the one
	// with the higher fence is the later one.
	Fence int64     `json:"fence"`
	At    time.Time `json:"at"`

	AccountID        string    `json:"account_id,omitempty"`
	AccountLabel     string    `json:"account_label,omitempty"`
	Scopes           []string  `json:"scopes,omitempty"`
	ScopesMissing    []string  `json:"scopes_missing,omitempty"`
	ExpiresAt        time.Time `json:"expires_at,omitzero"`
	RefreshExpiresAt time.Time `json:"refresh_expires_at,omitzero"`
	Failure          *Failure  `json:"failure,omitempty"`

	// ReconnectURL is a signed connect link, and good until ReconnectExpiresAt.
	ReconnectURL       oauth.Secret `json:"reconnect_url,omitempty"`
	ReconnectExpiresAt time.Time    `json:"reconnect_expires_at,omitzero"`
}

// A Failure is the run of failed refreshes that a connection is in.
type Failure struct {
	Code   string    `json:"code"`
	Count  int       `json:"count"`
	Since  time.Time `json:"since"`
	Reason string    `json:"reason,omitempty"` // why it needs a person: invalid_grant or rotation_lost
}

// Changes returns what to tell the host of one write, in order: old is the
// connection before it, zero if there was none, now is the one after it, zero if
// it was removed. Of both only what ReadImage of internal/dynamo reads is looked
// at. Claims, refreshes that succeed and failures that pass are nothing to tell.
func Changes(old, now connection.Connection) []Event {
	var list []Event
	for _, k := range kinds(old, now) {
		list = append(list, newEvent(k, now))
	}
	return list
}

func kinds(old, now connection.Connection) []Kind {
	switch now.Status {
	case connection.Active:
		return active(old, now)
	case connection.ReauthorizationRequired:
		if old.Status != now.Status {
			return []Kind{ReauthorizationRequired}
		}
	case connection.Disconnected:
		if old.Status != now.Status {
			return []Kind{Disconnected}
		}
	}
	return nil // or removed: no operation of ours does that
}

// active returns the kinds of a write that left the connection active. A grant
// that is stored twice, since the answer to the first write was lost, is the same
// grant.
func active(old, now connection.Connection) (told []Kind) {
	switch {
	case old.Status == "":
		return []Kind{Connected}
	case old.Status == connection.Disconnected, !now.IsOf(old.ConnectedAt, old.RequestID):
		return []Kind{Reconnected}
	case failing(old) && !failing(now):
		told = append(told, Recovered)
	case failing(now) && !failing(old):
		told = append(told, Degraded)
	}
	if now.StartsExpiring(old) {
		told = append(told, Expiring)
	}
	return told
}

// failing reports whether the host was told that c does not work as it should.
func failing(c connection.Connection) bool {
	return c.Status == connection.ReauthorizationRequired || c.Failure.Count >= degradedAfter
}

// newEvent returns the event that c has become what k says.
func newEvent(k Kind, c connection.Connection) Event {
	e := Event{
		Kind: k, ID: identify(k, c), Version: version,
		ConnectionID: c.ConnectionID, Provider: c.Provider, Environment: c.Environment, Status: c.Status,
		Fence: c.Fence, At: second(c.UpdatedAt),
		AccountID: c.Account.ID, AccountLabel: c.Account.Label, Scopes: c.Scopes, ScopesMissing: c.ScopesMissing,
		ExpiresAt: second(c.ExpiresAt), RefreshExpiresAt: second(c.RefreshExpiresAt),
	}
	if f := c.Failure; f.Count > 0 {
		e.Failure = &Failure{Code: f.Code, Count: f.Count, Since: second(f.Since), Reason: f.Reason}
	}
	return e
}

// identify returns the ID of an event: of connection, kind and fence, which a
// redelivery has too; and of the time, since a table that was restored from a
// backup counts its fences again. That a refresh token ends is said once of each
// end and grant, however often the next refresh is put off and brought forward.
func identify(k Kind, c connection.Connection) string {
	number, at := c.Fence, c.UpdatedAt
	if k == Expiring {
		number, at = c.ConnectedAt.Unix(), c.RefreshExpiresAt
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{
		c.ConnectionID, c.Provider, string(k), strconv.FormatInt(number, 10), strconv.FormatInt(at.Unix(), 10),
	}, "\x00")))
	return hex.EncodeToString(sum[:])[:32]
}

// second cuts t to whole seconds of UTC; a zero time stays one.
func second(t time.Time) time.Time { return t.Truncate(time.Second).UTC() }

// Detail returns the detail of e as JSON, with the link.
func (e Event) Detail() ([]byte, error) {
	type detail Event
	whole := struct {
		detail
		ReconnectURL string `json:"reconnect_url,omitempty"`
	}{detail(e), e.ReconnectURL.Reveal()}
	b, err := json.Marshal(whole)
	if err != nil {
		return nil, fmt.Errorf("write event %s: %w", e.ID, err)
	}
	return b, nil
}

// LogValue returns the members of e's detail, without the link.
func (e Event) LogValue() slog.Value {
	var members map[string]any
	b, err := json.Marshal(e)
	if err == nil {
		err = json.Unmarshal(b, &members)
	}
	if err != nil { // no detail lacks its form
		return slog.StringValue(e.ID)
	}
	var attrs []slog.Attr
	for _, name := range slices.Sorted(maps.Keys(members)) {
		attrs = append(attrs, slog.Any(name, members[name]))
	}
	return slog.GroupValue(attrs...)
}
