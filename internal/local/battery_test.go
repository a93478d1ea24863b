//go:build proof

package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/battery"
	"github.com/evergrant/evergrant/internal/bolt"
	"github.com/evergrant/evergrant/internal/local"
)

// A deployment is a local mode with the battery's providers in place of real ones.
type deployment struct {
	*bolt.Store
	running
}

// The bad inputs and faults that local mode meets, over its own port: without a
// host that completes connections, and with one.
func TestBatteryOnLocalMode(t *testing.T) {
	provider := battery.NewProvider(t)
	target, hosted := localTarget(t, provider, false), localTarget(t, provider, true)
	target.Hosted = &hosted
	battery.Run(t, target)
}

// localTarget starts a local mode for the battery.
func localTarget(t *testing.T, provider *battery.Provider, completion bool) battery.Target {
	t.Helper()
	file, dir := filepath.Join(t.TempDir(), "secrets.json"), t.TempDir()
	documents := map[string]json.RawMessage{}
	write := func(id, document string) {
		documents[id] = json.RawMessage(document)
		if document == "" {
			delete(documents, id)
		}
		text, err := json.Marshal(documents)
		if err != nil { // a secret that is no JSON makes the whole file none
			text = []byte(document)
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"whiplash", "whisk", "whatnot", "whcc"} {
		write(id, provider.Document(id))
	}
	var offset atomic.Int64 // of a clock that goes on by itself: routes have a deadline
	now := func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
	d := deployment{running: start(t, func(c *local.Config) {
		c.Now, c.Completion = now, completion
		c.Dir, c.SecretsFile, c.AllowPrivate, c.TokenLifetime = dir, file, true, 0
	}, everyLevel)}
	d.Store = d.running.Store()
	d.out.await(t, "Ctrl-C") // from here on, what is printed is an answer's
	key, err := local.ConnectKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, ring, err := local.Rings(dir)
	if err != nil {
		t.Fatal(err)
	}
	var seal struct{ Keys map[string]string }
	if err := json.Unmarshal(ring, &seal); err != nil {
		t.Fatal(err)
	}
	target := battery.Target{
		Name: "local mode", Deployment: d, PublicURL: d.URL, ReturnTo: d.URL + "/done", ConnectKey: key.Secret, Secrets: []string{seal.Keys["k1"]},
		Provider: provider, Now: now, Advance: func(d time.Duration) { offset.Add(int64(d)) }, Configure: write, Brief: true,
	}
	if completion {
		target.CompletionURL = d.URL + "/complete"
	}
	return target
}

// everyLevel lets local mode print all that it has to say, as a function does.
func everyLevel(c *local.Config) {
	c.Log = slog.New(slog.NewMultiHandler(c.Log.Handler(), slog.NewJSONHandler(c.Out, &slog.HandlerOptions{Level: slog.LevelDebug})))
}

// Log implements battery.Deployment.
func (d deployment) Log() string { return d.out.String() }

// Invoke implements battery.Deployment, as the command does it.
func (d deployment) Invoke(ctx context.Context, input []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL+"/control", bytes.NewReader(input))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return io.ReadAll(resp.Body)
}

// Do implements battery.Deployment.
func (d deployment) Do(ctx context.Context, r battery.Request) (battery.Answer, error) {
	u, err := url.Parse(d.URL)
	if err != nil {
		return battery.Answer{}, err
	}
	u.Path, u.RawQuery = r.Path, r.Query
	req, err := http.NewRequestWithContext(ctx, r.Method, u.String(), strings.NewReader(r.Body))
	if err != nil {
		return battery.Answer{}, err
	}
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	if len(r.Cookies) > 0 {
		req.Header.Set("Cookie", strings.Join(r.Cookies, "; "))
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return battery.Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	a := battery.Answer{Status: resp.StatusCode, Header: map[string]string{}, Cookies: resp.Header.Values("Set-Cookie"), Body: string(body)}
	for name := range resp.Header {
		if name != "Set-Cookie" {
			a.Header[name] = strings.Join(resp.Header.Values(name), "\n")
		}
	}
	return a, err
}
