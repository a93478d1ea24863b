package lambdatest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/evergrant/evergrant/internal/authorize"
	"github.com/evergrant/evergrant/internal/awsenv"
	"github.com/evergrant/evergrant/internal/bus"
	"github.com/evergrant/evergrant/internal/callback"
	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/connections"
	"github.com/evergrant/evergrant/internal/dynamo"
	host "github.com/evergrant/evergrant/internal/events"
	"github.com/evergrant/evergrant/internal/refresh"
	"github.com/evergrant/evergrant/internal/secrets"
	"github.com/evergrant/evergrant/internal/template"
	"github.com/evergrant/evergrant/internal/wiring"
)

// forever is longer than any time-out.
const forever = time.Hour

// A wire is the way of handlers in a bubble of package synctest to the services of a
// world, which are outside of it: there what takes no time by the clock of the bubble
// is done. Here each call takes as long as delay says, by that clock.
type wire struct {
	delay func(call string) time.Duration // by the call's target, URL and body

	mu   sync.Mutex
	work chan func() // made outside of the bubble, and done there
	done chan bool
}

func newWire(t *testing.T) *wire {
	w := &wire{work: make(chan func()), done: make(chan bool), delay: hanging("nothing that any call is about")}
	go func() {
		for f := range w.work {
			f()
			w.done <- true
		}
	}()
	t.Cleanup(func() { close(w.work) })
	return w
}

// outside lets f be done outside of the bubble.
func (w *wire) outside(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.work <- f
	<-w.done
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	var body []byte
	if r.Body != nil {
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	select {
	case <-time.After(w.delay(strings.Join([]string{r.Header.Get("X-Amz-Target"), r.URL.String(), string(body)}, " "))):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	w.outside(func() { resp, err = pass(r, body) }) //nolint:bodyclose // It is in memory, and the caller closes it.
	return resp, err
}

// pass sends a request on, and returns the answer whole.
func pass(r *http.Request, body []byte) (*http.Response, error) {
	out, err := http.NewRequestWithContext(context.Background(), r.Method, r.URL.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out.Header = r.Header
	resp, err := http.DefaultTransport.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	return &http.Response{Status: resp.Status, StatusCode: resp.StatusCode, Header: resp.Header, Body: io.NopCloser(bytes.NewReader(answer)), ContentLength: int64(len(answer)), Request: r}, err
}

// wired makes a function as its main.go does, on a wire and with package time as its
// clock.
func (d *deployment) wired(function string, w *wire) lambda.Handler {
	d.t.Helper()
	env := d.Environment(d.t, function)
	maps.Copy(env, d.change[function])
	env["AWS_REGION"], env["AWS_SECRET_ACCESS_KEY"] = "eu-central-1", "none"
	m, err := wiring.New(word(function), func(name string) string { return env[name] }, time.Now, canary.Log(d.t))
	if err != nil {
		d.t.Fatal(err)
	}
	m.AWS.Transport = w
	if function == "EventsFunction" {
		return d.wiredEvents(m)
	}
	tokens := m.Tokens()
	tokens.HTTP.Transport = w
	store, err1 := m.Store()
	keys, err2 := m.Secrets()
	spill, err3 := m.Spill()
	table, err4 := m.Table(store)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		d.t.Fatal(err)
	}
	renewer, rescuer := m.Renewer(store, keys, tokens, spill), m.Rescuer(store, keys, tokens, spill)
	s := m.Settings
	handle := map[string]any{
		"AuthorizeFunction": (&authorize.Handler{Secrets: keys, Provider: tokens, ReturnOrigins: s.ReturnOrigins, Now: m.Now, Log: m.Log}).Handle,
		"CallbackFunction": (&callback.Handler{
			Secrets: keys, Tokens: tokens, Requests: store, History: store, Connections: store, Spill: spill,
			Shards: s.DueShards, Random: m.Random, Now: m.Now, Log: m.Log,
		}).Handle,
		"RefreshFunction": (&refresh.Handler{
			Index: store, Sweeps: store, Providers: store, Table: table, Clients: keys, Renew: renewer.Renew, Rescue: rescuer.Rescue,
			Shards: s.DueShards, Concurrency: s.RefreshConcurrency, NewID: rand.Text, Random: m.Random, Now: m.Now, Log: m.Log,
		}).Handle,
		"ConnectionsFunction": (&connections.Handler{
			Reader: store, Writer: store, Requests: store, Breakers: store, Secrets: keys, Tokens: tokens, Spill: spill,
			Renew: m.RenewOne(renewer), Shards: s.DueShards, Random: m.Random, Now: m.Now, Log: m.Log,
		}).Handle,
	}
	return lambda.NewHandler(handle[function])
}

// wiredEvents does what wired does, for the function that shares no part.
func (d *deployment) wiredEvents(m wiring.Machine) lambda.Handler {
	manager, err1 := awsenv.Config(m.Getenv, "SECRETS_MANAGER", m.AWS)
	bridge, err2 := awsenv.Config(m.Getenv, "EVENTBRIDGE", m.AWS)
	if err := errors.Join(err1, err2); err != nil {
		d.t.Fatal(err)
	}
	keys := &secrets.Store{API: secretsmanager.NewFromConfig(manager), Connect: m.Settings.ConnectSecret, Now: m.Now, Jitter: m.Random}
	h := &host.Handler{
		Maker: host.Maker{Keys: keys, PublicURL: m.Settings.PublicURL, Now: m.Now, Log: m.Log},
		Bus:   &bus.Bus{API: eventbridge.NewFromConfig(bridge), Name: m.Settings.EventBus}, Read: dynamo.ReadImage,
	}
	return lambda.NewHandler(h.Handle)
}

// slowly lets f play by a clock that runs as far as the calls take: the functions are
// handlers in this process, on a wire. A handler that is not done by its function's
// time-out is killed then, which is an error.
func (s *scene) slowly(f func(w *wire)) {
	t := s.deployment.t
	doc, err := template.Document("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w, handlers := newWire(t), map[string]lambda.Handler{}
	s.outside = w.outside
	s.account.invoke = func(function string, event []byte) (answer []byte, took time.Duration, err error) {
		begin, timeout := time.Now(), at(s.stack.Resources[function], "Properties", "Timeout")
		if timeout == nil {
			timeout = at(doc, "Globals", "Function", "Timeout")
		}
		ctx, cancel := context.WithDeadline(context.Background(), begin.Add(time.Duration(s.number(timeout))*time.Second))
		defer cancel()
		answer, err = handlers[function].Invoke(ctx, event)
		if took = time.Since(begin); ctx.Err() != nil {
			err = fmt.Errorf("the task timed out: %w", ctx.Err())
		}
		return answer, took, err
	}
	synctest.Test(t, func(*testing.T) {
		<-time.After(time.Until(s.clock)) // what was made before is of today
		for _, function := range []string{"AuthorizeFunction", "CallbackFunction", "RefreshFunction", "ConnectionsFunction", "EventsFunction"} {
			handlers[function] = s.wired(function, w)
		}
		s.now, s.pass = time.Now, func(d time.Duration) { <-time.After(d) }
		f(w)
		s.clock = time.Now()
	})
	s.now = func() time.Time { return s.clock }
}

// hanging returns the delay of calls that are about all of words: for ever.
func hanging(words ...string) func(string) time.Duration {
	return func(call string) time.Duration {
		for _, word := range words {
			if !strings.Contains(call, word) {
				return 0
			}
		}
		return forever
	}
}

// notStored is the delay of calls that store new tokens in the table.
var notStored = hanging("UpdateItem", "refresh_token_sealed")
