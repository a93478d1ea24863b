package simulator

import (
	"maps"
	"slices"
)

// A Ledger is what happened at one provider since the simulator was made.
type Ledger struct {
	Requests      map[string]int // by endpoint, as in Endpoints; refused and scripted ones too
	TokenRequests map[string]int // requests to the token endpoint by the grant_type they name
	Refused       map[Refusal]int
	Scripted      int // requests that met a scripted Answer

	Approved int // authorizations that users approved
	Denied   int

	RefreshTokensIssued int
	RefreshTokensSpent  int // used with success, so that another took their place
	RefreshTokensReused int // spent ones that were sent again: always the client's mistake or a lost answer
	GrantsEnded         int // by revocation, reuse or the user

	LiveRefreshTokens []string // sorted; with those of Config.State
	LiveAccessTokens  []string // sorted
}

// A Refusal is why a provider refused a request.
type Refusal struct {
	Endpoint string // as in Endpoints
	Code     string // of RFC 6749 or RFC 6750, also where the provider spells it in another way; WHCC: its ErrorNumber
	Reason   string // a sentence, the same one each time
}

func newLedger() *Ledger {
	return &Ledger{Requests: map[string]int{}, TokenRequests: map[string]int{}, Refused: map[Refusal]int{}}
}

// Ledger returns a copy of provider's ledger. It panics for an unknown
// provider.
func (s *Simulator) Ledger(provider string) Ledger {
	p := s.must(provider)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := *s.ledgers[p.id]
	l.Requests, l.TokenRequests, l.Refused = maps.Clone(l.Requests), maps.Clone(l.TokenRequests), maps.Clone(l.Refused)
	now := s.config.Now()
	for _, g := range s.grants {
		if g.Provider != p.id {
			continue
		}
		if g.Refresh.live(now) {
			l.LiveRefreshTokens = append(l.LiveRefreshTokens, g.Refresh.Value)
		}
		for _, t := range g.Access {
			if t.live(now) {
				l.LiveAccessTokens = append(l.LiveAccessTokens, t.Value)
			}
		}
	}
	slices.Sort(l.LiveRefreshTokens)
	slices.Sort(l.LiveAccessTokens)
	return l
}

// refused counts one refusal. It needs s.mu.
func (s *Simulator) refused(p *provider, f Refusal) {
	s.ledgers[p.id].Refused[f]++
}
