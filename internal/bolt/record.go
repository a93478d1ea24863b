package bolt

import (
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

// A seconds is a time in Unix seconds; 0 is the zero time.
type seconds int64

func secondsOf(t time.Time) seconds {
	if t.IsZero() {
		return 0
	}
	return seconds(t.Unix())
}

func (s seconds) time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}

// A record is a connection as it stands in the file, under the attribute names
// of the DynamoDB table. Unlike connection.Connection it shows its secrets when
// it is marshaled.
type record struct {
	ConnectionID string `json:"connection_id"`
	Provider     string `json:"provider"`
	Status       string `json:"connection_status"`

	AccessToken        string   `json:"access_token,omitempty"`
	TokenType          string   `json:"token_type,omitempty"`
	ExpiresAt          seconds  `json:"expires_at,omitempty"`
	Scopes             []string `json:"scopes,omitempty"`
	ScopesMissing      []string `json:"scopes_missing,omitempty"`
	SealedRefreshToken []byte   `json:"refresh_token_sealed,omitempty"`
	RefreshExpiresAt   seconds  `json:"refresh_expires_at,omitempty"`

	AccountID    string            `json:"account_id,omitempty"`
	AccountLabel string            `json:"account_label,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"`
	Environment  string            `json:"environment,omitempty"`
	ClientID     string            `json:"client_id,omitempty"`
	Issued       bool              `json:"issued,omitempty"`
	RequestID    string            `json:"request_id,omitempty"`

	Fence       int64   `json:"fence"`
	StoredFence int64   `json:"stored_fence"`
	LeaseID     string  `json:"lease_id,omitempty"`
	LeaseUntil  seconds `json:"lease_until,omitempty"`
	LeaseSentAt seconds `json:"lease_sent_at,omitempty"`

	ConnectedAt seconds `json:"connected_at,omitempty"`
	RefreshedAt seconds `json:"refreshed_at,omitempty"`
	UpdatedAt   seconds `json:"updated_at,omitempty"`
	DueShard    string  `json:"due_shard,omitempty"`
	DueAt       seconds `json:"due_at,omitempty"`

	Failure failure `json:"failure,omitzero"`
}

type failure struct {
	Code   string  `json:"code,omitempty"`
	Detail string  `json:"detail,omitempty"`
	Count  int     `json:"count,omitempty"`
	Since  seconds `json:"since,omitempty"`
	At     seconds `json:"at,omitempty"`
	Reason string  `json:"reason,omitempty"`
}

// recordOf returns c as it is stored.
func recordOf(c connection.Connection) record {
	r := record{
		ConnectionID:       c.ConnectionID,
		Provider:           c.Provider,
		Status:             string(c.Status),
		AccessToken:        c.AccessToken.Reveal(),
		TokenType:          c.TokenType,
		ExpiresAt:          secondsOf(c.ExpiresAt),
		Scopes:             slices.Compact(slices.Sorted(slices.Values(c.Scopes))),
		ScopesMissing:      slices.Compact(slices.Sorted(slices.Values(c.ScopesMissing))),
		SealedRefreshToken: c.SealedRefreshToken,
		RefreshExpiresAt:   secondsOf(c.RefreshExpiresAt),
		AccountID:          c.Account.ID,
		AccountLabel:       c.Account.Label,
		Metadata:           c.Metadata,
		Environment:        c.Environment,
		ClientID:           c.ClientID,
		Issued:             c.Issued,
		RequestID:          c.RequestID,
		Fence:              c.Fence,
		StoredFence:        c.StoredFence,
		LeaseID:            c.Lease.ID,
		LeaseUntil:         secondsOf(c.Lease.Until),
		LeaseSentAt:        secondsOf(c.Lease.SentAt),
		ConnectedAt:        secondsOf(c.ConnectedAt),
		RefreshedAt:        secondsOf(c.RefreshedAt),
		UpdatedAt:          secondsOf(c.UpdatedAt),
		Failure: failure{
			Code: c.Failure.Code, Detail: c.Failure.Detail, Count: c.Failure.Count,
			Since: secondsOf(c.Failure.Since), At: secondsOf(c.Failure.At), Reason: c.Failure.Reason,
		},
	}
	if len(r.Scopes) > 0 && r.Scopes[0] == "" {
		r.Scopes = r.Scopes[1:]
	}
	if c.Due.Shard != "" && !c.Due.At.IsZero() {
		r.DueShard, r.DueAt = c.Due.Shard, secondsOf(c.Due.At)
	}
	return r
}

// connection returns what r holds.
func (r record) connection() connection.Connection {
	return connection.Connection{
		Key:                connection.Key{ConnectionID: r.ConnectionID, Provider: r.Provider},
		Status:             connection.Status(r.Status),
		AccessToken:        oauth.Secret(r.AccessToken),
		TokenType:          r.TokenType,
		ExpiresAt:          r.ExpiresAt.time(),
		Scopes:             r.Scopes,
		ScopesMissing:      r.ScopesMissing,
		SealedRefreshToken: r.SealedRefreshToken,
		RefreshExpiresAt:   r.RefreshExpiresAt.time(),
		Account:            oauth.Account{ID: r.AccountID, Label: r.AccountLabel},
		Metadata:           r.Metadata,
		Environment:        r.Environment,
		ClientID:           r.ClientID,
		Issued:             r.Issued,
		RequestID:          r.RequestID,
		Fence:              r.Fence,
		StoredFence:        r.StoredFence,
		Lease: connection.Lease{
			ID: r.LeaseID, Until: r.LeaseUntil.time(), SentAt: r.LeaseSentAt.time(),
		},
		ConnectedAt: r.ConnectedAt.time(),
		RefreshedAt: r.RefreshedAt.time(),
		UpdatedAt:   r.UpdatedAt.time(),
		Due:         connection.Due{Shard: r.DueShard, At: r.DueAt.time()},
		Failure: connection.Failure{
			Code: r.Failure.Code, Detail: r.Failure.Detail, Count: r.Failure.Count,
			Since: r.Failure.Since.time(), At: r.Failure.At.time(), Reason: r.Failure.Reason,
		},
	}
}
