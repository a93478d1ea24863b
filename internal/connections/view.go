package connections

import (
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/pkg/providers"
)

// A View is a connection as callers see it: the attributes of the table under
// their names there, without any token. Times are Unix seconds; absent ones
// are not known or not set.
type View struct {
	ConnectionID     string            `json:"connection_id"`
	Provider         string            `json:"provider"`
	Status           connection.Status `json:"connection_status"`
	ExpiresAt        int64             `json:"expires_at,omitzero"`
	Scopes           []string          `json:"scopes,omitempty"`
	ScopesMissing    []string          `json:"scopes_missing,omitempty"` // asked for and not granted, or no longer
	RefreshExpiresAt int64             `json:"refresh_expires_at,omitzero"`
	AccountID        string            `json:"account_id,omitempty"`
	AccountLabel     string            `json:"account_label,omitempty"`
	Metadata         map[string]string `json:"metadata,omitempty"`
	PKCE             *bool             `json:"pkce,omitempty"`                  // the code was bound to its request (RFC 7636); absent: there was none
	FrontChannel     bool              `json:"token_in_front_channel,omitzero"` // the access token came through the browser
	Environment      string            `json:"environment,omitempty"`
	ClientID         string            `json:"client_id,omitempty"`
	ConnectedAt      int64             `json:"connected_at,omitzero"`
	RefreshedAt      int64             `json:"refreshed_at,omitzero"`
	UpdatedAt        int64             `json:"updated_at,omitzero"`
	DueAt            int64             `json:"due_at,omitzero"`
	LeaseUntil       int64             `json:"lease_until,omitzero"` // a refresh is under way, or was cut off
	Failure          *FailureView      `json:"failure,omitempty"`
}

// A FailureView is the run of failed refreshes that a connection is in.
type FailureView struct {
	Code   string `json:"code"`
	Detail string `json:"detail,omitempty"`
	Count  int    `json:"count"`
	Since  int64  `json:"since,omitzero"`
	Reason string `json:"reason,omitempty"`
}

func view(c connection.Connection) View {
	v := View{
		ConnectionID: c.ConnectionID, Provider: c.Provider, Status: c.Status,
		ExpiresAt: unix(c.ExpiresAt), Scopes: c.Scopes, ScopesMissing: c.ScopesMissing, RefreshExpiresAt: unix(c.RefreshExpiresAt),
		AccountID: c.Account.ID, AccountLabel: c.Account.Label, Metadata: c.Metadata,
		PKCE: pkce(c), FrontChannel: frontChannel(c), Environment: c.Environment, ClientID: c.ClientID,
		ConnectedAt: unix(c.ConnectedAt), RefreshedAt: unix(c.RefreshedAt), UpdatedAt: unix(c.UpdatedAt), DueAt: unix(c.Due.At), LeaseUntil: unix(c.Lease.Until),
	}
	if f := c.Failure; f.Count > 0 {
		v.Failure = &FailureView{Code: f.Code, Detail: f.Detail, Count: f.Count, Since: unix(f.Since), Reason: f.Reason}
	}
	return v
}

// pkce reports whether the code that made c was worth nothing without the
// verifier of its request. Else a code that was stolen from another user can be
// put into a request of the thief's own (RFC 9700 section 4.5), and the account
// alone shows whose it is. It is nil where there was no code of ours.
func pkce(c connection.Connection) *bool {
	p, ok := providers.Find(c.Provider)
	if !ok || c.RequestID == "" || frontChannel(c) {
		return nil
	}
	sent := p.PKCE == providers.PKCES256
	return &sent
}

// frontChannel reports whether the token of c came with the browser, where
// another could be put in its place (RFC 9700 section 4.6): so it is with WHCC's
// login, and with an implicit grant, which is one without a refresh token.
// What was issued or imported has no authorization request.
func frontChannel(c connection.Connection) bool {
	p, _ := providers.Find(c.Provider)
	return c.RequestID != "" && c.AccessToken != "" && (p.Blob != nil || p.Implicit && len(c.SealedRefreshToken) == 0)
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
