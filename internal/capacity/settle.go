package capacity

import (
	"errors"
	"net/http"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/pkg/providers"
)

// refresh claims connection i and sends its token request; how that ends is on
// the agenda.
func (s *simulation) refresh(l *lane, i int32) {
	c := &l.conns[i]
	l.flying++
	begins := max(l.busy, s.now)
	l.busy = begins + l.cpu
	sent := begins + s.Worker.CPU + s.Worker.Store
	s.sharded[TableWrites]++
	l.Claims++
	if c.lease != 0 { // an earlier outcome is unknown: the spill is looked for
		s.sharded[SecretReads]++
	}
	c.lease = 0
	took, err := s.send(l, sent)
	if err != nil && oauth.Unknown(err) && !spends(l.Rotation) && l.deadline-sent-took >= attempt {
		again, secondErr := s.send(l, sent+took)
		took, err = took+again, secondErr
	}
	s.agenda.push(event{at: sent + took + s.Worker.Store, began: s.now, lane: l, conn: i, err: err})
}

// send counts a token request and returns its outcome.
func (s *simulation) send(l *lane, at time.Duration) (time.Duration, error) {
	took, err := l.Answer(at, s.random)
	if _, notSent := wire(err); !notSent {
		l.Requests++
		second := int(seconds(at))
		for len(l.sent) <= second {
			l.sent = append(l.sent, 0)
		}
		l.sent[second]++
	}
	return took, err
}

// wire returns the failure of a token request, the zero Error for none, and
// whether it was not sent.
func wire(err error) (oauth.Error, bool) {
	var e *oauth.Error
	if !errors.As(err, &e) {
		return oauth.Error{}, false
	}
	return *e, e.NotSent
}

// spends reports whether a refresh token that was used may be dead, whether or
// not anybody heard the answer.
func spends(r providers.Rotation) bool { return r == providers.Strict || r == providers.Grace }

// settle is the end of a refresh: what it writes, and what the lane learns.
func (s *simulation) settle(e event) {
	l, c := e.lane, &e.lane.conns[e.conn]
	l.flying--
	failure, _ := wire(e.err)
	switch {
	case e.err == nil:
		s.succeed(l, e.conn)
	case oauth.Unknown(e.err) && spends(l.Rotation):
		l.Deferred++
		c.lease = seconds(l.deadline + settleTime)
		c.due = max(c.lease, seconds(s.now+s.backoff(c, failure)))
	case oauth.RemedyFor(e.err) == oauth.Reauthorize:
		l.Commits++
		s.refuse(l, c)
	default:
		l.Commits++
		s.put(c, s.backoff(c, failure))
	}
	s.sharded[TableWrites]++
	s.sharded[IndexWrites] += 2 // out of its old place in the index, into the new one
	if e.err != nil {
		l.Failed++
		s.sharded[Log] += logLine
	}
	if !c.marked {
		s.enqueue(l.tenant, e.conn)
	}
	s.learn(l, e.began, e.err)
	s.pump(l)
}

// learn tells the lane what the outcome of a refresh that began at a time says
// of the provider. One that hung tells nothing where a later one was answered.
func (s *simulation) learn(l *lane, began time.Duration, err error) {
	failure, notSent := wire(err)
	signal := connection.Answered
	switch {
	case err == nil:
		l.answers++
	case failure.Status == http.StatusTooManyRequests:
		signal = connection.RateLimited
		l.answers++
	case notSent || oauth.Unknown(err):
		signal = connection.NoAnswer
	case oauth.RemedyFor(err) != oauth.Reauthorize: // that is counted already
		l.answers++
	}
	if signal != connection.NoAnswer {
		l.heard = max(l.heard, began)
	}
	if signal != connection.NoAnswer || began >= l.heard {
		s.conclude(l, signal, failure.RetryAfter)
	}
	if l.answers >= countEvery {
		s.count(l)
	}
}

// succeed gives connection i its new tokens.
func (s *simulation) succeed(l *lane, i int32) {
	c := l.conns[i]
	l.Refreshed++
	l.Commits++
	wait, overdue := s.now-time.Duration(c.wanted)*time.Second, s.now-time.Duration(c.expires)*time.Second
	l.Waited += wait.Seconds()
	l.Wait, l.Overdue = max(l.Wait, wait), max(l.Overdue, overdue)
	if overdue > 0 {
		l.Late++
	}
	if wait > patience {
		l.LastBehind = s.now
	}
	l.renew(i, s.now-s.Worker.Store)
}

// refuse is an invalid_grant: a strike, and with the second one the end, unless
// the provider refuses too many.
func (s *simulation) refuse(l *lane, c *conn) {
	s.sharded[Reads]++       // the connection, consistently
	s.sharded[StateWrites]++ // the refusal is counted
	l.tenant.breaker = l.tenant.breaker.Count(connection.Outcomes{Refreshes: 1, InvalidGrants: 1}, s.clock())
	struck, since := c.strikes > 0, s.now-time.Duration(c.failed)*time.Second
	switch {
	case l.tenant.breaker.MassRefusal(s.clock()):
		l.Mass++
		s.put(c, s.backoff(c, oauth.Error{}))
	case struck && since < strikeAfter:
		s.put(c, strikeAfter)
	case struck:
		c.marked = true
		l.Marked++
	default:
		l.Strikes++
		c.strikes++
		c.failed = seconds(s.now)
		s.put(c, strikeAfter)
	}
}

// backoff charges c a failure and returns how long it waits.
func (s *simulation) backoff(c *conn, failure oauth.Error) time.Duration {
	c.count, c.failed = min(c.count+1, 100), seconds(s.now)
	return max(connection.Backoff(int(c.count), s.random.Float64()), min(failure.RetryAfter, time.Hour))
}

// put has c due again after wait, and a random part more.
func (s *simulation) put(c *conn, wait time.Duration) {
	c.due = seconds(s.now + wait + time.Duration(s.random.Float64()*float64(wait/2)))
}
