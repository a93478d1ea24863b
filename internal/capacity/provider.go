package capacity

import (
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/pkg/providers"
)

// A Provider is what one provider is taken to be, and the connections to it.
type Provider struct {
	ID          string
	Connections int
	Life        time.Duration // of an access token
	Rotation    providers.Rotation

	// Rate is how many token requests a second it takes, as its definition
	// says; 0: it names no limit.
	Rate float64
	// Latency is the mean time until it answers. Half of that is certain, the
	// rest is exponentially distributed: one answer in a hundred takes 2.8 times
	// as long as the mean.
	Latency time.Duration

	Faults  Faults
	Outages []Outage
}

// Faults are the shares of token requests that fail while there is no outage.
type Faults struct {
	Unavailable float64 // answered with 503
	Silent      float64 // not answered at all, and not carried out
	TooMany     float64 // answered with 429
	Refused     float64 // answered with invalid_grant
	// RetryAfter is what a 429 asks for.
	RetryAfter time.Duration
}

// An Outage is a time in which no token request succeeds.
type Outage struct {
	From, To time.Duration
	Kind     Kind
}

// A Kind of outage.
type Kind string

// What a provider does in an outage.
const (
	Refusing    Kind = "refusing"    // no connection can be made
	Hanging     Kind = "hanging"     // no answer before the time-out
	Unavailable Kind = "unavailable" // 503
	Denying     Kind = "denying"     // invalid_grant for every grant
)

// Answer returns what becomes of a token request that is sent at the given
// time: how long it takes until that is known, and the error that
// oauth.TokenClient would return.
func (p *Provider) Answer(at time.Duration, random *rand.Rand) (took time.Duration, err error) {
	took = time.Duration(float64(p.Latency) * (1 + random.ExpFloat64()) / 2)
	took = min(took, oauth.RefreshTimeout)
	kind := p.fault(random.Float64())
	for _, o := range p.Outages {
		if o.From <= at && at < o.To {
			kind = o.Kind
		}
	}
	switch kind {
	case Refusing:
		return p.Latency / 10, &oauth.Error{NotSent: true, Reason: "no answer"}
	case Hanging:
		return oauth.RefreshTimeout, &oauth.Error{Reason: "no answer"}
	case Unavailable:
		return took, &oauth.Error{Status: http.StatusServiceUnavailable}
	case Denying:
		return took, &oauth.Error{Status: http.StatusBadRequest, Code: "invalid_grant"}
	case tooMany:
		return took, &oauth.Error{Status: http.StatusTooManyRequests, RetryAfter: p.Faults.RetryAfter}
	}
	return took, nil
}

// tooMany is a 429, which is no outage.
const tooMany Kind = "too many"

// fault returns the fault that meets a token request, "" for none; random is
// in [0, 1).
func (p *Provider) fault(random float64) Kind {
	for _, f := range []struct {
		share float64
		kind  Kind
	}{
		{p.Faults.Unavailable, Unavailable}, {p.Faults.Silent, Hanging},
		{p.Faults.TooMany, tooMany}, {p.Faults.Refused, Denying},
	} {
		if random < f.share {
			return f.kind
		}
		random -= f.share
	}
	return ""
}
