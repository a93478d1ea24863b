package lambdatest

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxPayload is the most that an invocation takes and answers, in bytes
// (Lambda quotas: 6 MB each, for synchronous invocations).
const maxPayload = 6 << 20

// A FunctionError is the answer of a function whose handler returned an error
// or panicked.
type FunctionError struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

// Error returns type and message.
func (e *FunctionError) Error() string { return "function error " + e.Type + ": " + e.Message }

// An invocation is one event on its way through a function.
type invocation struct {
	id       string
	payload  []byte
	deadline time.Time
	done     chan outcome // buffered: it is answered once
}

// An outcome is how an invocation ended.
type outcome struct {
	response []byte
	err      error
}

// newInvocation returns an invocation with a request ID as Lambda makes them.
func newInvocation(payload []byte, deadline time.Time) *invocation {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails: package crypto/rand ends the program instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return &invocation{
		id:      fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]),
		payload: payload, deadline: deadline, done: make(chan outcome, 1),
	}
}

// A runtimeAPI is the Runtime API, version 2018-06-01, of one process, as
// aws-lambda-go 1.55.1 uses it (its lambda/runtime_api_client.go).
type runtimeAPI struct {
	*httptest.Server
	arn   string
	queue chan *invocation // unbuffered: a process gets an event when it asks for one
	ready chan struct{}    // closed when the process first asks: INIT is over

	mu      sync.Mutex
	asked   bool
	open    map[string]*invocation // handed over, not answered yet
	initErr []byte
}

func newRuntimeAPI(function string) *runtimeAPI {
	a := &runtimeAPI{
		arn:   "arn:aws:lambda:" + region + ":123456789012:function:" + function,
		queue: make(chan *invocation), ready: make(chan struct{}), open: map[string]*invocation{},
	}
	mux := http.NewServeMux()
	const root = "/2018-06-01/runtime/"
	mux.HandleFunc("GET "+root+"invocation/next", a.next)
	mux.HandleFunc("POST "+root+"invocation/{id}/response", a.answer(func(body []byte) outcome { return outcome{response: body} }))
	mux.HandleFunc("POST "+root+"invocation/{id}/error", a.answer(func(body []byte) outcome { return outcome{err: functionError(body)} }))
	mux.HandleFunc("POST "+root+"init/error", a.initError)
	a.Server = httptest.NewServer(mux)
	return a
}

// address returns host and port, as AWS_LAMBDA_RUNTIME_API holds them.
func (a *runtimeAPI) address() string { return strings.TrimPrefix(a.URL, "http://") }

// next gives the process its next event, and waits until there is one.
func (a *runtimeAPI) next(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	if !a.asked {
		a.asked = true
		close(a.ready)
	}
	a.mu.Unlock()
	var inv *invocation
	select {
	case inv = <-a.queue:
	case <-r.Context().Done():
		return
	}
	a.mu.Lock()
	a.open[inv.id] = inv
	a.mu.Unlock()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", a.arn)
	h.Set("Lambda-Runtime-Trace-Id", "Root=1-6a0b1c2d-3e4f5a6b7c8d9e0f1a2b3c4d;Parent=53995c3f42cd8ad8;Sampled=0")
	_, _ = w.Write(inv.payload) // a process that is gone is noticed by its end
}

// answer takes the outcome of an invocation, once.
func (a *runtimeAPI) answer(read func(body []byte) outcome) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		inv := a.open[r.PathValue("id")]
		delete(a.open, r.PathValue("id"))
		a.mu.Unlock()
		if inv == nil {
			http.Error(w, `{"errorType":"InvalidRequestID","errorMessage":"no such invocation, or it is answered"}`, http.StatusBadRequest)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
		if err != nil {
			inv.done <- outcome{err: fmt.Errorf("read the answer, of at most %d bytes: %w", maxPayload, err)}
			http.Error(w, `{"errorType":"RequestEntityTooLarge"}`, http.StatusRequestEntityTooLarge)
			return
		}
		inv.done <- read(body)
		w.WriteHeader(http.StatusAccepted)
	}
}

// initError takes the error of a process that cannot start.
func (a *runtimeAPI) initError(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	a.mu.Lock()
	a.initErr = body
	a.mu.Unlock()
	if err != nil {
		http.Error(w, "the error cannot be read", http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// startError returns what the process posted to init/error, or nil.
func (a *runtimeAPI) startError() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.initErr == nil {
		return nil
	}
	return functionError(a.initErr)
}

// functionError reads an error document of the Runtime API.
func functionError(body []byte) error {
	e := new(FunctionError)
	if err := json.Unmarshal(body, e); err != nil {
		return errors.New("function error, not in the form of the Runtime API: " + string(body))
	}
	return e
}
