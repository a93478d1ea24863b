package simulator

import (
	"slices"
	"time"
)

// State is what a restart of the simulator must not lose: the grants. It is
// marshalled as JSON. Codes and logins in progress are not in it. Tests may
// also write one to start with grants that nobody clicked through.
type State struct {
	Grants []Grant `json:"grants"`
}

// A Grant is what one user, in one authorization, gave the client at one
// provider.
type Grant struct {
	Provider string   `json:"provider"`
	Username string   `json:"username"` // empty: the client's own account
	Scopes   []string `json:"scopes,omitempty"`
	Access   []Token  `json:"access,omitempty"`
	Refresh  Token    `json:"refresh,omitzero"` // zero: none
	Spent    []string `json:"spent,omitempty"`  // used refresh tokens, the latest 50
}

// A Token is an access token or refresh token that works until ExpiresAt; the
// zero time is for ever.
type Token struct {
	Value     string    `json:"value"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// rememberedSpent is how many spent refresh tokens a grant recognizes as its
// own. Older ones are refused as unknown ones are.
const rememberedSpent = 50

func (t Token) live(now time.Time) bool {
	return t.Value != "" && (t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt))
}

// newToken returns a token that lives for life, or for ever if life is zero.
func (s *Simulator) newToken(value string, life time.Duration) Token {
	t := Token{Value: value}
	if life > 0 {
		t.ExpiresAt = s.config.Now().Add(life)
	}
	return t
}

// The methods below need s.mu.

// restore takes over the grants of state at the simulated providers.
func (s *Simulator) restore(state State) {
	for _, g := range state.Grants {
		if s.providers[g.Provider] != nil {
			s.add(g.clone())
		}
	}
}

// add makes g a grant of the simulator.
func (s *Simulator) add(g *Grant) {
	s.grants = append(s.grants, g)
	for _, t := range g.Access {
		s.index[t.Value] = g
	}
	if g.Refresh.Value != "" {
		s.index[g.Refresh.Value] = g
	}
	for _, spent := range g.Spent {
		s.index[spent] = g
	}
}

// grantAccess gives g the access token t and ends the older ones that keep does
// not want.
func (s *Simulator) grantAccess(g *Grant, t Token, keep func(Token) bool) {
	g.Access = slices.DeleteFunc(g.Access, func(old Token) bool {
		if keep(old) {
			return false
		}
		delete(s.index, old.Value)
		return true
	})
	g.Access = append(g.Access, t)
	s.index[t.Value] = g
}

// rotate gives g a new refresh token; the one it had is spent.
func (s *Simulator) rotate(g *Grant, t Token) {
	l := s.ledgers[g.Provider]
	if g.Refresh.Value != "" {
		g.Spent = append(g.Spent, g.Refresh.Value)
		l.RefreshTokensSpent++
	}
	if extra := len(g.Spent) - rememberedSpent; extra > 0 {
		for _, old := range g.Spent[:extra] {
			delete(s.index, old)
		}
		g.Spent = slices.Delete(g.Spent, 0, extra)
	}
	g.Refresh = t
	s.index[t.Value] = g
	l.RefreshTokensIssued++
}

// end withdraws g, if it is still there: none of its tokens is known any more.
func (s *Simulator) end(g *Grant) {
	i := slices.Index(s.grants, g)
	if i < 0 {
		return
	}
	s.grants = slices.Delete(s.grants, i, i+1)
	for _, t := range g.Access {
		delete(s.index, t.Value)
	}
	for _, value := range append(g.Spent, g.Refresh.Value) {
		delete(s.index, value)
	}
	s.ledgers[g.Provider].GrantsEnded++
	s.save()
}

// endAccount ends every grant of one account.
func (s *Simulator) endAccount(provider, accountID string) {
	for _, g := range slices.Clone(s.grants) {
		if g.Provider == provider && AccountID(provider, g.Username) == accountID {
			s.end(g)
		}
	}
}

// byAccess returns the grant of p that has the access token value, and that
// token, which may have expired.
func (s *Simulator) byAccess(p *provider, value string) (*Grant, Token) {
	g := s.index[value]
	if g == nil || g.Provider != p.id {
		return nil, Token{}
	}
	i := slices.IndexFunc(g.Access, func(t Token) bool { return t.Value == value })
	if i < 0 {
		return nil, Token{}
	}
	return g, g.Access[i]
}

// byRefresh returns the grant of p whose live refresh token is value, or why
// there is none.
func (s *Simulator) byRefresh(p *provider, value string) (*Grant, *Refusal) {
	g := s.index[value]
	switch {
	case g == nil || g.Provider != p.id:
	case g.Refresh.Value == value && g.Refresh.live(s.config.Now()):
		return g, nil
	case g.Refresh.Value == value:
		return nil, &Refusal{Code: "invalid_grant", Reason: "the refresh token has expired"}
	case slices.Contains(g.Spent, value):
		s.ledgers[p.id].RefreshTokensReused++
		if p.reuseEndsGrant {
			s.end(g)
		}
		return nil, &Refusal{Code: "invalid_grant", Reason: "the refresh token has been used before"}
	}
	return nil, &Refusal{Code: "invalid_grant", Reason: "the refresh token is unknown or revoked"}
}

// save hands the grants to Config.Save.
func (s *Simulator) save() {
	if s.config.Save == nil {
		return
	}
	var state State
	for _, g := range s.grants {
		state.Grants = append(state.Grants, *g.clone())
	}
	s.config.Save(state)
}

// clone returns a copy that shares nothing with g.
func (g *Grant) clone() *Grant {
	c := *g
	c.Scopes, c.Access, c.Spent = slices.Clone(g.Scopes), slices.Clone(g.Access), slices.Clone(g.Spent)
	return &c
}
