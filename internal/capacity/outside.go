package capacity

import (
	"github.com/evergrant/evergrant/internal/oauth"
)

// What one request to a public function takes. An answer is a page of 3 KB with its
// headers, TLS and all; handling is the CPU of a check of a ticket or cookie.
const (
	accessLine  = 450e-9  // GB: of the API's access log
	answerBytes = 4 << 10 // sent to the browser
	handling    = 0.005   // seconds
	// A form post without our cookie is answered by a page that posts it again, so
	// that its fields are sent back, escaped: five bytes for one, of 6 KB.
	echoBytes = 5 * 6 << 10
	// A callback that is loaded again: a conditional write, refused, and a read of
	// the record, in which an authorization code has 4 KB at most.
	heldWrites = 6
	heldReads  = 2
)

// An attack is what one who floods both routes for a month makes of their requests.
type attack struct {
	name                string
	authorize, callback Usage // a request
	claims              bool  // callbacks are no more than there were authorizations
}

// attacks returns the worst of each kind.
func (c *costs) attacks() []attack {
	refused := c.refused()
	echoed := c.refused()
	echoed[Transfer] = echoBytes / 1e9
	reloaded := c.refused()
	reloaded[StateWrites], reloaded[Reads] = heldWrites, heldReads
	hanging := c.refused()
	hanging[StateWrites] = 2
	hanging[Compute] = oauth.ExchangeTimeout.Seconds() * c.templates.memory / 1024
	return []attack{
		{name: "a stranger, who is refused", authorize: refused, callback: refused},
		{name: "a stranger who posts the longest forms to `/callback`", authorize: refused, callback: echoed},
		{name: "somebody to whom the host gives tickets, and who loads one callback again and again", authorize: refused, callback: reloaded},
		{name: "anybody, with `AllowUnsignedConnect` and a provider that hangs for the " + span(oauth.ExchangeTimeout) + " of an exchange", authorize: refused, callback: hanging, claims: true},
	}
}

// refused is a request that a function refuses.
func (c *costs) refused() Usage {
	u := Usage{APIRequests: 1, Invocations: 1, Compute: handling * c.templates.memory / 1024, Log: accessLine + platformLines + logLine, Transfer: answerBytes / 1e9}
	u[LogStorage] = u[Log]
	return u
}

// monthly returns what a flows at the rates, in requests a second, uses in a month.
func (a attack) monthly(authorize, callback float64) Usage {
	if a.claims {
		callback = min(authorize, callback)
	}
	u := Usage{}
	u.add(a.authorize, authorize*month*3600)
	u.add(a.callback, callback*month*3600)
	return u
}
