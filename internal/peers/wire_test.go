package peers

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A wire is the network between the client and a server. It carries requests
// and answers as they are, and does to chosen ones what networks do.
type wire struct {
	*httptest.Server
	to string // the URL of the server

	mu     sync.Mutex
	faults []fault             // for the next refreshes, in order
	sent   []string            // the refresh tokens of all refreshes, in order
	all    []seen              // all requests, in order
	edit   func(answer) answer // of the token endpoint; nil: as they are
}

// A seen request is one that has passed.
type seen struct {
	path          string
	authorization string
	form          url.Values
}

// edits sets what becomes of the answers of the token endpoint from now on.
func (w *wire) edits(edit func(answer) answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.edit = edit
}

// requests returns the requests to a path that have passed.
func (w *wire) requests(path string) []seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.all), func(s seen) bool { return s.path != path })
}

// note keeps a request, and returns what becomes of its answer.
func (w *wire) note(r *http.Request, form url.Values) func(answer) answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, seen{r.URL.Path, r.Header.Get("Authorization"), form})
	if w.edit == nil || form.Get("grant_type") == "" {
		return func(a answer) answer { return a }
	}
	return w.edit
}

// A fault is what happens to one refresh. It may let the request through, and
// must answer it or abort.
type fault func(w http.ResponseWriter, r *http.Request, through func() answer)

// An answer is what a server has answered.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func newWire(t testing.TB, to string) *wire {
	w := &wire{to: to}
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	return w
}

// lose sets what happens to the next refreshes, in order; nil: nothing.
func (w *wire) lose(faults ...fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = faults
}

// refreshes returns the refresh tokens that have been sent, in order.
func (w *wire) refreshes() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.sent...)
}

// next notes a refresh and returns what is to happen to it.
func (w *wire) next(refreshToken string) fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, refreshToken)
	if len(w.faults) == 0 {
		return nil
	}
	f := w.faults[0]
	w.faults = w.faults[1:]
	return f
}

// ServeHTTP carries one request.
func (w *wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	form, _ := url.ParseQuery(string(body))
	edit := w.note(r, form)
	through := func() answer { return edit(w.forward(r, string(body))) }
	if form.Get("grant_type") == "refresh_token" {
		if f := w.next(form.Get("refresh_token")); f != nil {
			f(rw, r, through)
			return
		}
	}
	through().write(rw)
}

// forward sends a request to the server, once.
func (w *wire) forward(r *http.Request, body string) answer {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, w.to+r.URL.RequestURI(), strings.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Header = r.Header.Clone()
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = resp.Body.Close() }()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return answer{resp.StatusCode, resp.Header, read}
}

func (a answer) write(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// lostOnTheWay never reaches the server.
func lostOnTheWay(http.ResponseWriter, *http.Request, func() answer) { panic(http.ErrAbortHandler) }

// answersLost are the ways in which an answer gets lost after the server has
// done its work.
var answersLost = map[string]fault{
	"no answer": func(_ http.ResponseWriter, _ *http.Request, through func() answer) {
		through()
		panic(http.ErrAbortHandler)
	},
	"half an answer": func(w http.ResponseWriter, _ *http.Request, through func() answer) {
		a := through()
		a.header.Del("Transfer-Encoding")
		a.header.Set("Content-Length", "9999")
		a.body = a.body[:len(a.body)/2]
		a.write(w)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	},
	"a gateway's page": func(w http.ResponseWriter, _ *http.Request, through func() answer) {
		through()
		answer{http.StatusBadGateway, http.Header{"Content-Type": {"text/html"}}, []byte("<html>502 Bad Gateway</html>")}.write(w)
	},
	"a gateway's page that says 200": func(w http.ResponseWriter, _ *http.Request, through func() answer) {
		through()
		answer{http.StatusOK, http.Header{"Content-Type": {"text/html"}}, []byte("<html>Back soon</html>")}.write(w)
	},
}

// held calls answered when it has the server's answer, and keeps that back until
// release is closed or the client has gone.
func held(answered func(), release <-chan struct{}) fault {
	return func(w http.ResponseWriter, r *http.Request, through func() answer) {
		a := through()
		answered()
		select {
		case <-release:
			a.write(w)
		case <-r.Context().Done():
		}
	}
}
