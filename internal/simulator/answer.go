package simulator

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"strconv"
	"time"
)

// An Answer says how one request to a provider's API goes wrong. The zero
// Answer is the real one.
//
// A request whose answer is replaced (Status) or dropped (Drop) has no effect
// at the provider, unless Process is set. Any other request takes effect as
// always, whatever becomes of its answer.
type Answer struct {
	Endpoint string // key of Endpoints; empty: token_url

	Process bool // the request takes effect, though its answer is lost

	Status int                  // not zero: answer this status and Body in place of the real answer
	Header http.Header          // set on the answer, over the real ones
	Body   string               // sent as it is, used with Status
	Edit   func(map[string]any) // changes the JSON object of the real answer

	Delay time.Duration   // the answer waits that long
	Hold  <-chan struct{} // the answer waits until this is closed; a channel that nobody closes hangs the request until its client gives up

	Drop       bool // the connection is cut, nothing is answered
	CloseAfter int  // not zero: the connection is cut after that many bytes of body
}

// Answer sets how the next requests of provider's API are answered: each of
// answers is used once, in their order, by the next request to its endpoint.
// After them the provider behaves again. It panics for an unknown provider, and
// for an endpoint that is for browsers or that the provider does not have.
func (s *Simulator) Answer(provider string, answers ...Answer) {
	p := s.must(provider)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range answers {
		if a.Endpoint == "" {
			a.Endpoint = tokenURL
		}
		if _, ok := p.paths[a.Endpoint]; !ok || a.Endpoint == authorizationURL {
			panic("simulator: " + p.id + " has no API endpoint " + a.Endpoint)
		}
		key := p.id + " " + a.Endpoint
		s.scripts[key] = append(s.scripts[key], a)
	}
}

// next takes the next scripted answer off the list. It needs s.mu.
func (s *Simulator) next(provider, endpoint string) Answer {
	key := provider + " " + endpoint
	if len(s.scripts[key]) == 0 {
		return Answer{}
	}
	a := s.scripts[key][0]
	s.scripts[key] = s.scripts[key][1:]
	s.ledgers[provider].Scripted++
	return a
}

// takesEffect reports whether the provider is to act on the request.
func (a Answer) takesEffect() bool {
	return a.Process || (a.Status == 0 && !a.Drop)
}

// A reply is what an API endpoint answers: a JSON object, or nothing.
type reply struct {
	status  int
	header  http.Header
	body    map[string]any
	refusal Refusal // set when the request was refused
}

// send answers with rep, spoiled as a says. Where it cuts the connection it
// panics with [http.ErrAbortHandler], which is how a handler does that.
func (a Answer) send(w http.ResponseWriter, r *http.Request, rep reply) {
	if !a.wait(r.Context()) || a.Drop {
		panic(http.ErrAbortHandler)
	}
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	body := []byte(a.Body)
	if a.Status != 0 {
		rep = reply{status: a.Status}
	}
	if rep.body != nil {
		if a.Edit != nil {
			a.Edit(rep.body)
		}
		body, _ = json.Marshal(rep.body) // of strings and numbers: never fails
		header.Set("Content-Type", "application/json; charset=utf-8")
	}
	maps.Copy(header, rep.header)
	maps.Copy(header, a.Header)
	if a.CloseAfter == 0 {
		w.WriteHeader(rep.status)
		_, _ = w.Write(body) // the client is gone: nobody to tell
		return
	}
	sent := min(a.CloseAfter, len(body))
	header.Set("Content-Length", strconv.Itoa(max(len(body), sent+1)))
	w.WriteHeader(rep.status)
	_, _ = w.Write(body[:sent])
	_ = http.NewResponseController(w).Flush() // without it the bytes would be lost with the connection
	panic(http.ErrAbortHandler)
}

// wait waits as long as a says. It reports false if ctx ended first.
func (a Answer) wait(ctx context.Context) bool {
	if a.Delay > 0 {
		timer := time.NewTimer(a.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
	}
	if a.Hold != nil {
		select {
		case <-a.Hold:
		case <-ctx.Done():
			return false
		}
	}
	return true
}
