package flowtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/refresh"
	"github.com/evergrant/evergrant/internal/simulator"
)

// twoClients is a provider with two clients: each is a simulated provider of its
// own, so what was given to one is unknown to the other.
type twoClients struct{ before, after *simulator.Simulator }

// The two registrations.
var (
	oldApp = simulator.Client{ID: "old-app", Secret: "c4nary-old-secret"}
	newApp = simulator.Client{ID: "new-app", Secret: "c4nary-new-secret"}
)

// ServeHTTP goes by the client ID of a request. What names none has an access
// token: who does not know it refuses it.
func (p *twoClients) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // one that breaks off is refused as what it is
	form, _ := url.ParseQuery(string(body))
	id := form.Get("client_id") + r.URL.Query().Get("client_id")
	r.Body = io.NopCloser(bytes.NewReader(body))
	if id == oldApp.ID {
		p.before.ServeHTTP(w, r)
		return
	}
	answer := httptest.NewRecorder()
	p.after.ServeHTTP(answer, r)
	if id == "" && answer.Code == http.StatusUnauthorized {
		p.before.ServeHTTP(w, r)
		return
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// A provider is moved to a new client: who is connected by the old one notices
// nothing, a reconnect moves them, and then the old client can go. No request
// mixes the two.
func TestAProviderIsMovedToANewClient(t *testing.T) {
	d := deploy(t)
	client := func(c simulator.Client) *simulator.Simulator {
		return simulator.New(simulator.Config{Now: d.clock, Clients: map[string]simulator.Client{"whiplash": c}, RedirectURIs: []string{"https://connect.example.com/callback/whiplash"}})
	}
	provider := &twoClients{client(oldApp), client(newApp)}
	server := httptest.NewServer(provider)
	t.Cleanup(server.Close)
	secret := func(c simulator.Client, former ...simulator.Client) {
		document := map[string]any{"client_id": c.ID, "client_secret": c.Secret, "endpoints": provider.before.Endpoints(server.URL, "whiplash")}
		for _, f := range former {
			document["former"] = []any{map[string]any{"client_id": f.ID, "client_secret": f.Secret}}
		}
		b, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		d.manager.documents["p/whiplash"] = string(b)
		d.pass(10 * time.Minute) // nobody serves the one before
	}
	refreshed := func(by simulator.Client) {
		t.Helper()
		d.pass(d.read("whiplash").Due.At.Sub(d.clock()) + time.Second)
		if s := d.sweep(); s != (refresh.Summary{Due: 1, Refreshed: 1}) {
			t.Fatalf("sweep = %+v", s)
		}
		if c := d.read("whiplash"); c.ClientID != by.ID || c.Status != connection.Active {
			t.Errorf("%s, of client %s, want %s", c.Status, c.ClientID, by.ID)
		}
	}
	secret(oldApp)
	d.connect("whiplash", "login", "approve")
	refreshed(oldApp)
	secret(newApp, oldApp)
	refreshed(oldApp)
	refreshed(oldApp)
	d.connect("whiplash", "login", "approve")
	refreshed(newApp)
	secret(newApp)
	refreshed(newApp)
	d.invoke("disconnect", "whiplash")
	for name, l := range map[string]simulator.Ledger{"old": provider.before.Ledger("whiplash"), "new": provider.after.Ledger("whiplash")} {
		want := map[string]int{"old": 3, "new": 2}[name]
		if l.TokenRequests["authorization_code"] != 1 || l.TokenRequests["refresh_token"] != want || l.RefreshTokensReused != 0 {
			t.Errorf("the %s client made %v token requests, and used %d refresh tokens twice", name, l.TokenRequests, l.RefreshTokensReused)
		}
	}
	if live := provider.after.Ledger("whiplash").LiveRefreshTokens; len(live) != 0 {
		t.Errorf("%d refresh tokens live on after the disconnect", len(live))
	}
}
