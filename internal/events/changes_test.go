package events

import (
	"slices"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

var noon = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// connected returns a connection as its first grant has left it.
func connected() connection.Connection {
	return connection.Connection{
		Key: connection.Key{ConnectionID: "acct_42", Provider: "whatnot"}, Status: connection.Active,
		ExpiresAt: noon.Add(2 * time.Hour), Scopes: []string{"orders:read", "user_manage"}, ScopesMissing: []string{"orders:write"},
		Account: oauth.Account{ID: "7", Label: "Ann's <Shop>"}, Environment: "sandbox", ClientID: "client-1",
		Fence: 1, StoredFence: 1, ConnectedAt: noon, RefreshedAt: noon, UpdatedAt: noon, RequestID: "ticket#1",
		Due: connection.Due{Shard: "4.2", At: noon.Add(time.Hour)},
	}
}

// But returns c after a change, minutes later.
func but(c connection.Connection, change func(*connection.Connection)) connection.Connection {
	c.UpdatedAt = c.UpdatedAt.Add(time.Minute)
	change(&c)
	return c
}

// The writes of the stores, as far as an image shows them.

func claimed(c connection.Connection) connection.Connection {
	c.Fence++ // and nothing else: a claim leaves updated_at alone
	c.Lease = connection.Lease{ID: "l", Until: c.UpdatedAt.Add(2 * time.Minute), SentAt: c.UpdatedAt}
	return c
}

func refreshed(c connection.Connection) connection.Connection {
	return but(c, func(c *connection.Connection) {
		c.StoredFence, c.Lease, c.Failure = c.Fence, connection.Lease{}, connection.Failure{}
		c.RefreshedAt, c.ExpiresAt, c.Due.At = c.UpdatedAt, c.UpdatedAt.Add(2*time.Hour), c.UpdatedAt.Add(time.Hour)
	})
}

func failed(c connection.Connection, count int) connection.Connection {
	return but(c, func(c *connection.Connection) {
		c.Lease, c.Due.At = connection.Lease{}, c.UpdatedAt.Add(time.Hour)
		c.Failure = connection.Failure{Code: "http_503", Detail: "see the log", Count: count, Since: noon, At: c.UpdatedAt}
	})
}

func deferred(c connection.Connection, count int) connection.Connection {
	lease := c.Lease
	c = failed(c, count)
	c.Lease = lease
	return c
}

func struck(c connection.Connection, count int) connection.Connection {
	c = failed(c, count)
	c.Failure.Code, c.Failure.Reason = "invalid_grant", "rotation_lost"
	return c
}

func marked(c connection.Connection) connection.Connection {
	c = struck(c, c.Failure.Count+1)
	c.Status, c.Due = connection.ReauthorizationRequired, connection.Due{}
	return c
}

func disconnected(c connection.Connection) connection.Connection {
	return but(c, func(c *connection.Connection) {
		c.Fence++
		c.Status, c.Lease, c.Due, c.Failure = connection.Disconnected, connection.Lease{}, connection.Due{}, connection.Failure{}
		c.ExpiresAt, c.RefreshExpiresAt = time.Time{}, time.Time{}
	})
}

// granted is what Connect and Restore do with a new grant.
func granted(c connection.Connection, requestID string) connection.Connection {
	return but(c, func(c *connection.Connection) {
		c.Fence++
		c.Status, c.StoredFence, c.Lease, c.Failure = connection.Active, c.Fence, connection.Lease{}, connection.Failure{}
		c.ConnectedAt, c.RefreshedAt, c.RequestID = c.UpdatedAt, c.UpdatedAt, requestID
		c.Due = connection.Due{Shard: "4.2", At: c.UpdatedAt.Add(time.Hour)}
	})
}

// restored is what Restore does with a refreshed pair from the spill.
func restored(c connection.Connection) connection.Connection {
	c = refreshed(c)
	c.Fence++
	c.Status, c.StoredFence = connection.Active, c.Fence
	return c
}

// ending gives the refresh token an end.
func ending(c connection.Connection, at time.Time) connection.Connection {
	c.RefreshExpiresAt = at
	return c
}

func TestChanges(t *testing.T) {
	var none connection.Connection
	first := connected()
	active := refreshed(claimed(first))
	lease := claimed(active)
	degraded := failed(lease, 3)
	gone := disconnected(active)
	needy := marked(claimed(struck(lease, 1)))
	nearly := ending(active, active.Due.At.Add(7*day))
	near := ending(active, active.Due.At.Add(6*day))
	again := first
	again.Fence, again.StoredFence = 2, 2
	issued := connected()
	issued.Issued, issued.RequestID = true, ""

	tests := []struct {
		name     string
		old, now connection.Connection
		want     []Kind
	}{
		{"the first grant", none, first, []Kind{Connected}},
		{"the first grant, issued to the client", none, issued, []Kind{Connected}},
		{"the first grant, whose refresh token lives for days", none, ending(first, noon.Add(day)), []Kind{Connected}},
		{"the same grant stored again", first, again, nil},
		{"the same grant stored again over its first claim", claimed(first), func() connection.Connection { c := again; c.Fence, c.StoredFence = 3, 3; return c }(), nil},

		{"a claim", active, lease, nil},
		{"a claim after failures", degraded, claimed(degraded), nil},
		{"a claim after a lease that ran out", lease, claimed(lease), nil},
		{"a refresh", lease, refreshed(lease), nil},
		{"a write that changes nothing", active, active, nil},
		{"the first failure", lease, failed(lease, 1), nil},
		{"the second failure", claimed(failed(lease, 1)), failed(claimed(failed(lease, 1)), 2), nil},
		{"the third failure", claimed(failed(lease, 2)), failed(claimed(failed(lease, 2)), 3), []Kind{Degraded}},
		{"the third failure, of unknown outcome", claimed(failed(lease, 2)), deferred(claimed(failed(lease, 2)), 3), []Kind{Degraded}},
		{"a third failure that is a strike", claimed(failed(lease, 2)), struck(claimed(failed(lease, 2)), 3), []Kind{Degraded}},
		{"the fourth failure", claimed(degraded), failed(claimed(degraded), 4), nil},
		{"the fourth failure, of unknown outcome", claimed(degraded), deferred(claimed(degraded), 4), nil},
		{"a lease given back without charge", claimed(failed(lease, 1)), but(claimed(failed(lease, 1)), func(c *connection.Connection) { c.Lease = connection.Lease{} }), nil},
		{"a lease given back without charge, degraded", claimed(degraded), but(claimed(degraded), func(c *connection.Connection) { c.Lease = connection.Lease{} }), nil},
		{"a refresh after two failures", claimed(failed(lease, 2)), refreshed(claimed(failed(lease, 2))), nil},
		{"a refresh after three failures", claimed(degraded), refreshed(claimed(degraded)), []Kind{Recovered}},
		{"a refreshed pair out of the spill", lease, restored(lease), nil},
		{"a refreshed pair out of the spill, degraded", degraded, restored(degraded), []Kind{Recovered}},

		{"the first strike", lease, struck(lease, 1), nil},
		{"the second strike", claimed(struck(lease, 1)), needy, []Kind{ReauthorizationRequired}},
		{"the second strike, degraded", claimed(degraded), marked(claimed(degraded)), []Kind{ReauthorizationRequired}},
		{"a refreshed pair out of the spill, marked", needy, restored(needy), []Kind{Recovered}},
		{"a new grant, marked", needy, granted(needy, "ticket#2"), []Kind{Reconnected}},
		{"a new grant, degraded", degraded, granted(degraded, "ticket#2"), []Kind{Reconnected}},
		{"a new grant, active", active, granted(active, "ticket#2"), []Kind{Reconnected}},
		{"a new grant over a refresh under way", lease, granted(lease, "ticket#2"), []Kind{Reconnected}},
		{"a new grant in the second of the first one", first, but(first, func(c *connection.Connection) { c.Fence, c.StoredFence, c.RequestID = 2, 2, "ticket#2" }), []Kind{Reconnected}},
		{"a grant issued again", issued, granted(issued, ""), []Kind{Reconnected}},
		{"a new grant, disconnected", gone, granted(gone, "ticket#2"), []Kind{Reconnected}},
		{"the same grant, disconnected meanwhile", disconnected(first), again, []Kind{Reconnected}},
		{"a new grant whose refresh token lives for days", near, ending(granted(near, "ticket#2"), noon.Add(day)), []Kind{Reconnected}},

		{"disconnected", active, gone, []Kind{Disconnected}},
		{"disconnected, under a refresh", lease, disconnected(lease), []Kind{Disconnected}},
		{"disconnected, degraded", degraded, disconnected(degraded), []Kind{Disconnected}},
		{"disconnected, marked", needy, disconnected(needy), []Kind{Disconnected}},
		{"disconnected, near its end", near, disconnected(near), []Kind{Disconnected}},
		{"disconnected again", gone, disconnected(gone), nil},

		{"a refresh that brings the end near", claimed(nearly), ending(refreshed(claimed(nearly)), nearly.RefreshExpiresAt), []Kind{Expiring}},
		{"a refresh that was near before", claimed(near), ending(refreshed(claimed(near)), near.RefreshExpiresAt), nil},
		{"a refresh that brings a later end", claimed(near), ending(refreshed(claimed(near)), noon.Add(300*day)), nil},
		{"the first refresh of a grant of days", claimed(ending(first, noon.Add(3*day))), ending(refreshed(claimed(first)), noon.Add(3*day)), []Kind{Expiring}},
		{"a failure that brings the end near", claimed(nearly), failed(claimed(nearly), 1), []Kind{Expiring}},
		{"one of unknown outcome", claimed(nearly), deferred(claimed(nearly), 1), []Kind{Expiring}},
		{"a third failure that brings the end near", claimed(ending(failed(lease, 2), failed(lease, 2).Due.At.Add(7*day))),
			ending(failed(claimed(failed(lease, 2)), 3), failed(lease, 2).Due.At.Add(7*day)), []Kind{Degraded, Expiring}},
		{"a recovery that brings the end near", ending(claimed(degraded), degraded.Due.At.Add(7*day)),
			ending(but(refreshed(claimed(degraded)), func(c *connection.Connection) { c.Due.At = degraded.Due.At.Add(time.Hour) }), degraded.Due.At.Add(7*day)), []Kind{Recovered, Expiring}},
		{"a claim of one that is near", near, claimed(near), nil},

		{"a row that is removed", active, none, nil},
		{"a status of a later version", active, but(active, func(c *connection.Connection) { c.Status = "paused" }), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list := Changes(tt.old, tt.now)
			var got []Kind
			for _, e := range list {
				got = append(got, e.Kind)
				validate(t, e)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("told %q, want %q", got, tt.want)
			}
		})
	}
	for _, k := range allKinds {
		if !slices.ContainsFunc(tests, func(tt struct {
			name     string
			old, now connection.Connection
			want     []Kind
		}) bool {
			return slices.Contains(tt.want, k)
		}) {
			t.Errorf("no case tells %s", k)
		}
	}
}

// Failures move the next refresh over the week before the end and back.
func TestThatAGrantEndsHasOneID(t *testing.T) {
	end := noon.Add(8 * day)
	near := ending(refreshed(claimed(connected())), end)
	near.Due.At = end.Add(-6 * day)
	id := newEvent(Expiring, near).ID
	if id != "9a2208fb6c38061096a22b00ada17edc" { // pinned: a host may have stored it before an upgrade
		t.Errorf("ID = %s", id)
	}
	away := failed(claimed(near), 1)
	again := failed(claimed(away), 2)
	again.Due.At = near.Due.At
	told := Changes(away, again)
	if len(Changes(near, away)) != 0 || len(told) != 1 || told[0].ID != id {
		t.Errorf("told again: %+v, want the ID %s", told, id)
	}
	if got := newEvent(Expiring, ending(near, end.Add(time.Hour))).ID; got == id {
		t.Error("a later end has the same ID")
	}
	if got := newEvent(Expiring, ending(granted(near, "ticket#2"), end)).ID; got == id {
		t.Error("a new grant has the same ID")
	}
}

// An event keeps its ID when its record is delivered again, and no other has it.
func TestTheIDIsThatOfTheChange(t *testing.T) {
	lease := claimed(connected())
	id := func(k Kind, change func(*connection.Connection)) string {
		c := failed(lease, 3)
		change(&c)
		return newEvent(k, c).ID
	}
	nothing := func(*connection.Connection) {}
	want := id(Degraded, nothing)
	if got := id(Degraded, func(c *connection.Connection) { c.Lease, c.Account, c.Failure.Count = lease.Lease, oauth.Account{}, 9 }); got != want {
		t.Errorf("%s became %s", want, got)
	}
	if want != "ecc586209ab82e8455209f3a32af4db2" { // pinned: a host may have stored it before an upgrade
		t.Errorf("ID = %s", want)
	}
	others := map[string]string{
		"kind":       id(Recovered, nothing),
		"connection": id(Degraded, func(c *connection.Connection) { c.ConnectionID = "acct_43" }),
		"provider":   id(Degraded, func(c *connection.Connection) { c.Provider = "whisk" }),
		"fence":      id(Degraded, func(c *connection.Connection) { c.Fence++ }),
		"time, with the fence of before a restore": id(Degraded, func(c *connection.Connection) { c.UpdatedAt = c.UpdatedAt.Add(time.Second) }),
	}
	for what, got := range others {
		if got == want {
			t.Errorf("another %s has the same ID", what)
		}
	}
}
