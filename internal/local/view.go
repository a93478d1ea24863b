package local

import (
	"context"
	"html/template"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/pkg/providers"
)

// pageView is what page.html shows.
type pageView struct {
	Style     template.CSS
	Script    template.JS
	Simulated bool
	Source    string // where client credentials come from
	Notice    notice
	SignedIn  string // the connection IDs whose owner is signed in
	Rows      []row
	Next      int // seconds until the page should look again
	Cards     []card
}

// A row is one connection.
type row struct {
	ID           string // of its element
	ConnectionID string
	Provider     string
	Name         string // of the provider
	Hue          int
	Account      string
	Status       string // its code
	StatusText   string
	Failure      string // in plain words
	Missing      string // scopes that were asked for and not granted

	HasToken    bool
	Expires     bool
	Left        int // seconds of the access token
	LeftText    string
	ExpiresAt   string // RFC 3339
	Life        int    // seconds from its issue to its end
	RefreshedAt int64  // Unix seconds
	Ago         int    // seconds since the last refresh, or since it was connected
	AgoText     string
	Refreshed   bool
	Refreshes   int // since local mode was started
	DueIn       int // seconds until the next refresh
	DueText     string
	Due         bool // there is a next refresh
	Leased      bool // a refresh is under way, or its outcome is not known yet
	CanRefresh  bool
	Connected   bool // there is something to disconnect
	Issued      bool
}

// A card offers to connect a provider.
type card struct {
	ID, Name, Docs string
	Hue            int
	Environment    string
	Scopes         []string
	RedirectURI    string
	Fields         []providers.Field
	Issues         bool   // tokens without a user
	Problem        string // why it cannot be used
}

// tokenView is what token.html shows.
type tokenView struct {
	row
	Style  template.CSS
	Script template.JS
	Token  string
	Type   string
}

// hues is how many colours style.css has for providers.
const hues = 6

// view gathers what the page shows.
func (p *page) view(ctx context.Context, query url.Values) (pageView, error) {
	all, err := p.all(ctx)
	if err != nil {
		return pageView{}, err
	}
	v := pageView{
		Style: template.CSS(style), Script: template.JS(script), //nolint:gosec // both are our own files
		Simulated: p.simulated, Source: p.source, Next: 15,
	}
	if id := query.Get("connection_id"); id == "" || connection.ValidID(id) {
		provider, _ := providers.Find(query.Get("provider"))
		v.Notice = noticeFor(query.Get("result"), provider.Name, id)
	}
	for _, c := range all {
		r := p.row(c)
		if r.Due {
			v.Next = min(v.Next, max(r.DueIn+1, 2))
		}
		v.Rows = append(v.Rows, r)
	}
	for i, provider := range providers.All() {
		v.Cards = append(v.Cards, p.card(ctx, i, provider))
	}
	return v, nil
}

// all returns every connection, those that work first.
func (p *page) all(ctx context.Context) ([]connection.Connection, error) {
	var all []connection.Connection
	for cursor := ""; ; {
		page, next, err := p.store.ListByStatus(ctx, "", cursor, 1000)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == "" {
			break
		}
		cursor = next
	}
	slices.SortStableFunc(all, func(a, b connection.Connection) int { return rank(a) - rank(b) })
	return all, nil
}

// rank puts connections that are gone last.
func rank(c connection.Connection) int {
	if c.Status == connection.Disconnected {
		return 1
	}
	return 0
}

// row returns c as the page shows it.
func (p *page) row(c connection.Connection) row {
	now := p.now()
	provider, _ := providers.Find(c.Provider)
	r := row{
		ID: c.Provider + "-" + c.ConnectionID, ConnectionID: c.ConnectionID, Provider: c.Provider, Name: provider.Name, Hue: hueOf(c.Provider),
		Account: account(c), Status: string(c.Status), StatusText: statusText(c), Failure: failureText(c, provider.Name),
		Missing:  strings.Join(c.ScopesMissing, ", "),
		HasToken: c.AccessToken != "", Expires: !c.ExpiresAt.IsZero(),
		Refreshes:   p.refreshes.Of(c.Key),
		RefreshedAt: c.RefreshedAt.Unix(),
		Refreshed:   c.RefreshedAt.After(c.ConnectedAt) || p.refreshes.Of(c.Key) > 0,
		Leased:      c.Status == connection.Active && c.Lease.Held(now),
		Due:         c.Status == connection.Active && !c.Due.At.IsZero(),
		CanRefresh:  c.Status == connection.Active && (len(c.SealedRefreshToken) > 0 || c.Issued),
		Connected:   c.Status != connection.Disconnected, Issued: c.Issued,
	}
	if r.Expires {
		left := c.ExpiresAt.Sub(now)
		r.Left, r.LeftText, r.ExpiresAt = seconds(left), Left(left), c.ExpiresAt.UTC().Format(time.RFC3339)
		r.Life = seconds(c.ExpiresAt.Sub(c.RefreshedAt))
	}
	r.Ago, r.AgoText = seconds(now.Sub(c.RefreshedAt)), ago(now.Sub(c.RefreshedAt))
	if r.Due {
		r.DueIn, r.DueText = seconds(c.Due.At.Sub(now)), Left(c.Due.At.Sub(now))
	}
	return r
}

// account says who a connection is at the provider.
func account(c connection.Connection) string {
	switch {
	case c.Account.Label != "":
		return c.Account.Label
	case c.Account.ID != "":
		return c.Account.ID
	case c.Issued:
		return "the client itself"
	}
	return "not told"
}

// card returns the i-th provider as the page offers it.
func (p *page) card(ctx context.Context, i int, provider providers.Provider) card {
	c := card{
		ID: provider.ID, Name: provider.Name, Docs: provider.Docs, Hue: i % hues, Fields: provider.Fields, Issues: provider.Issue != nil,
		RedirectURI: p.url + "/callback/" + provider.ID,
	}
	client, err := p.clients.Client(ctx, provider.ID)
	if err != nil {
		c.Problem = strings.TrimPrefix(err.Error(), oauth.ErrNotConfigured.Error()+": ")
		return c
	}
	c.Environment, c.Scopes = client.Environment.Name, client.Asked(client.Scopes)
	return c
}

// hueOf returns the colour of a provider.
func hueOf(provider string) int {
	return max(slices.IndexFunc(providers.All(), func(p providers.Provider) bool { return p.ID == provider }), 0) % hues
}

func seconds(d time.Duration) int { return int(max(d, 0) / time.Second) }
