package simulator

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// A request is an API request with its parameters: of the query for a GET, of
// the body for a POST.
type request struct {
	*http.Request
	params    url.Values
	problem   string // why the parameters cannot be taken as they are
	multipart bool
}

// An endpoint answers one API request. It is called under s.mu.
type endpoint func(request) reply

// handle mounts an API endpoint: its requests are counted, and answered as the
// script says.
func (s *Simulator) handle(method string, p *provider, key string, h endpoint) {
	s.mux.HandleFunc(method+" "+p.paths[key], func(w http.ResponseWriter, r *http.Request) {
		a, rep := s.run(p, key, readRequest(r), h)
		a.send(w, r, rep)
	})
}

// run lets h act on rq and returns its reply, with the answer that is scripted
// for it. It writes the ledger.
func (s *Simulator) run(p *provider, key string, rq request, h endpoint) (Answer, reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.ledgers[p.id]
	l.Requests[key]++
	if key == tokenURL {
		l.TokenRequests[rq.params.Get("grant_type")]++
	}
	a := s.next(p.id, key)
	if !a.takesEffect() {
		return a, reply{}
	}
	rep := h(rq)
	if rep.refusal != (Refusal{}) {
		rep.refusal.Endpoint = key
		s.refused(p, rep.refusal)
	}
	return a, rep
}

// readRequest reads the whole of r, since a server notices only then that the
// client goes away.
func readRequest(r *http.Request) request {
	rq := request{Request: r}
	defer func() { _, _ = io.Copy(io.Discard, r.Body) }() // what is no form is not read yet
	if r.Method != http.MethodPost {
		rq.params, rq.problem = parseQuery(r.URL.RawQuery)
		return rq
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	rq.multipart = media == "multipart/form-data"
	err := r.ParseForm()
	if rq.multipart {
		err = errors.Join(err, r.ParseMultipartForm(maxBody)) //nolint:gosec // ServeHTTP limits the body
	}
	rq.params = r.PostForm
	switch {
	case media != "application/x-www-form-urlencoded" && !rq.multipart:
		rq.problem = "the body must be a form"
	case err != nil:
		rq.problem = "the form cannot be read"
	case r.URL.RawQuery != "":
		rq.problem = "the parameters belong into the body, not into the query"
	default:
		rq.problem = repeated(rq.params)
	}
	return rq
}

// parseQuery returns the parameters in raw and what is wrong with them.
func parseQuery(raw string) (url.Values, string) {
	v, err := url.ParseQuery(raw)
	if err != nil {
		return v, "the query cannot be read"
	}
	return v, repeated(v)
}

// repeated says so if a parameter occurs twice (RFC 6749 section 3.1 and 3.2).
func repeated(v url.Values) string {
	for _, values := range v {
		if len(values) > 1 {
			return "a parameter is repeated"
		}
	}
	return ""
}

// bearer returns the token of rq's Authorization header (RFC 6750 section 2.1).
func (rq request) bearer() string {
	scheme, token, _ := strings.Cut(rq.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// missing names the first of names that rq has no value for.
func (rq request) missing(names ...string) string {
	for _, name := range names {
		if rq.params.Get(name) == "" {
			return name
		}
	}
	return ""
}
