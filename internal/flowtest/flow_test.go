package flowtest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/evergrant/evergrant/internal/authorize"
	"github.com/evergrant/evergrant/internal/callback"
	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connections"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/refresh"
	"github.com/evergrant/evergrant/internal/secrets"
	"github.com/evergrant/evergrant/internal/simulator"
	"github.com/evergrant/evergrant/internal/web"
	"github.com/evergrant/evergrant/pkg/connect"
	"github.com/evergrant/evergrant/pkg/providers"
)

const signingKey = "c4nary-seal-key-0123456789abcdef"

// A deployment is the four functions on a store in memory, in front of the
// simulated providers.
type deployment struct {
	t           testing.TB
	store       *connectiontest.Memory
	manager     *manager
	simulator   *simulator.Simulator
	authorize   *authorize.Handler
	callback    *callback.Handler
	refresh     *refresh.Handler
	connections *connections.Handler

	mu  sync.Mutex
	now time.Time
}

func (d *deployment) clock() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func (d *deployment) pass(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(by)
}

// manager is a Secrets Manager with the documents of a deployment. Nothing reads
// them ahead here, so it has no batches.
type manager struct {
	secrets.API
	documents map[string]string
	reads     int
}

func (m *manager) GetSecretValue(_ context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	m.reads++
	v, ok := m.documents[*in.SecretId]
	if !ok || *in.VersionStage != "AWSCURRENT" {
		return nil, &types.ResourceNotFoundException{}
	}
	return &secretsmanager.GetSecretValueOutput{SecretString: &v}, nil
}

func deploy(t testing.TB) *deployment {
	t.Helper()
	d := &deployment{t: t, store: new(connectiontest.Memory), now: time.Now()}
	d.simulator = simulator.New(simulator.Config{Now: d.clock, RedirectURIs: []string{
		"https://connect.example.com/callback/whiplash", "https://connect.example.com/callback/whisk",
		"https://connect.example.com/callback/whatnot", "https://connect.example.com/callback/whcc",
	}})
	server := httptest.NewServer(d.simulator)
	t.Cleanup(server.Close)
	ring := `{"current":"k1","k1":"` + signingKey + `"}`
	d.manager = &manager{documents: map[string]string{"seal": ring, "connect": ring}}
	for _, p := range providers.All() {
		document, err := json.Marshal(d.simulator.Secret(server.URL, p.ID))
		if err != nil {
			t.Fatal(err)
		}
		d.manager.documents["p/"+p.ID] = string(document)
	}
	half := func() float64 { return 0.5 }
	log := canary.Log(t)
	s := &secrets.Store{API: d.manager, Prefix: "p/", Seal: "seal", Connect: "connect", AllowPrivate: true, Now: d.clock, Jitter: half}
	tokens := &oauth.TokenClient{HTTP: oauth.NewHTTPClient(true), Now: d.clock}
	renewer := &refresh.Renewer{Leases: d.store, Breakers: d.store, Secrets: s, Tokens: tokens, Shards: 4, NewID: rand.Text, Random: half, Now: d.clock, Log: log}
	d.authorize = &authorize.Handler{Secrets: s, Provider: tokens, ReturnOrigins: []string{"https://app.example.com"}, Now: d.clock, Log: log}
	d.callback = &callback.Handler{Secrets: s, Tokens: tokens, Requests: d.store, History: d.store, Connections: d.store, Shards: 4, Random: half, Now: d.clock, Log: log}
	d.refresh = &refresh.Handler{Index: d.store, Sweeps: d.store, Providers: d.store, Clients: s, Renew: renewer.Renew,
		Shards: 4, Concurrency: 4, NewID: rand.Text, Random: half, Now: d.clock, Log: log}
	d.connections = &connections.Handler{Reader: d.store, Writer: d.store, Requests: d.store, Breakers: d.store, Secrets: s, Tokens: tokens, Shards: 4, Random: half, Now: d.clock, Log: log,
		Renew: func(ctx context.Context, k connection.Key, fence int64) error {
			_, err := renewer.Renew(ctx, k, fence)
			return err
		}}
	return d
}

// get sends a browser's GET to one of our functions, as API Gateway does.
func (d *deployment) get(handle func(context.Context, events.APIGatewayV2HTTPRequest) (web.Response, error), target *url.URL, cookies []string) web.Response {
	d.t.Helper()
	ev := events.APIGatewayV2HTTPRequest{Version: "2.0", RawPath: target.Path, RawQueryString: target.RawQuery, Cookies: cookies}
	ev.RequestContext.HTTP.Method, ev.RequestContext.DomainName = http.MethodGet, "connect.example.com"
	resp, err := handle(d.t.Context(), ev)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp
}

// decide clicks its way through the provider's pages, until the browser is
// sent back.
func (d *deployment) decide(page string, clicks ...string) *url.URL {
	d.t.Helper()
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, action := range clicks {
		req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, page, strings.NewReader(url.Values{"action": {action}, "username": {"shop"}, "password": {"x"}}.Encode()))
		if err != nil {
			d.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := browser.Do(req)
		if err != nil {
			d.t.Fatal(err)
		}
		_ = resp.Body.Close()
		if to, err := resp.Location(); err == nil && to.Host == "connect.example.com" {
			return to
		}
	}
	d.t.Fatalf("the provider did not send the browser back from %s", page)
	return nil
}

// connect walks a browser from a connect link to the end and returns where it
// ends.
func (d *deployment) connect(provider string, clicks ...string) *url.URL {
	d.t.Helper()
	link, err := connect.Ticket{ConnectionID: "acct_42", Provider: provider, ReturnTo: "https://app.example.com/done"}.
		Link("https://connect.example.com", connect.Key{ID: "k1", Secret: signingKey}, d.clock())
	if err != nil {
		d.t.Fatal(err)
	}
	start, _ := url.Parse(link)
	away := d.get(d.authorize.Handle, start, nil)
	if away.StatusCode != http.StatusFound {
		d.t.Fatalf("authorize: %d %s", away.StatusCode, away.Body)
	}
	cookie, _, _ := strings.Cut(away.Cookies[0], ";")
	back := d.decide(away.Headers["Location"], clicks...)
	done := d.get(d.callback.Handle, back, []string{cookie})
	end, err := url.Parse(done.Headers["Location"])
	if err != nil || done.StatusCode != http.StatusSeeOther {
		d.t.Fatalf("callback: %d %s", done.StatusCode, done.Body)
	}
	return end
}

func (d *deployment) read(provider string) connection.Connection {
	d.t.Helper()
	c, err := d.store.Get(d.t.Context(), connection.Key{ConnectionID: "acct_42", Provider: provider})
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

func (d *deployment) sweep() refresh.Summary {
	d.t.Helper()
	got, err := d.refresh.Handle(d.t.Context(), json.RawMessage(`{"action":"sweep"}`))
	if err != nil {
		d.t.Fatal(err)
	}
	return got.(refresh.Summary)
}

func (d *deployment) invoke(action, provider string) connections.Response {
	d.t.Helper()
	resp, err := d.connections.Handle(d.t.Context(), json.RawMessage(`{"action":"`+action+`","connection_id":"acct_42","provider":"`+provider+`"}`))
	if err != nil || resp.Error != nil {
		d.t.Fatalf("%s: %v, %v", action, resp.Error, err)
	}
	return resp
}

// A person connects, the token stays fresh through three of its lives, and in
// the end nothing is left here or at the provider.
func TestTheWholeWay(t *testing.T) {
	for _, id := range []string{"whiplash", "whisk", "whatnot"} {
		t.Run(id, func(t *testing.T) {
			d := deploy(t)
			end := d.connect(id, "login", "approve")
			if want := "https://app.example.com/done?connection_id=acct_42&provider=" + id + "&result=connected"; end.String() != want {
				t.Fatalf("the browser ends at %s, want %s", end, want)
			}
			seen := map[oauth.Secret]bool{d.read(id).AccessToken: true}
			for range 3 {
				c := d.read(id)
				if s := d.sweep(); s != (refresh.Summary{}) {
					t.Errorf("a sweep before the token is due: %+v", s)
				}
				d.pass(c.Due.At.Sub(d.clock()) + time.Second)
				if s := d.sweep(); s != (refresh.Summary{Due: 1, Refreshed: 1}) {
					t.Fatalf("sweep = %+v", s)
				}
				c = d.read(id)
				if seen[c.AccessToken] || !c.ExpiresAt.After(d.clock()) || c.Account.ID == "" {
					t.Errorf("after a refresh: expires at %v, account %q, token new: %v", c.ExpiresAt, c.Account.ID, !seen[c.AccessToken])
				}
				seen[c.AccessToken] = true
			}
			if got := d.invoke("disconnect", id); got.Connection.Status != connection.Disconnected || d.read(id).AccessToken != "" {
				t.Errorf("after the disconnect: %+v", got.Connection)
			}
			ledger := d.simulator.Ledger(id)
			if ledger.RefreshTokensReused != 0 || ledger.TokenRequests["refresh_token"] != 3 || ledger.TokenRequests["authorization_code"] != 1 {
				t.Errorf("the provider counted %v token requests, %d reuses", ledger.TokenRequests, ledger.RefreshTokensReused)
			}
			if len(ledger.LiveRefreshTokens) != 0 && id != "whisk" { // Whisk offers no revocation
				t.Errorf("%d refresh tokens live on at the provider", len(ledger.LiveRefreshTokens))
			}
		})
	}
}

// WHCC answers with the credential itself, and issues tokens to its clients.
func TestTheWholeWayAtWHCC(t *testing.T) {
	d := deploy(t)
	if end := d.connect("whcc", "login"); end.Query().Get("result") != "connected" {
		t.Fatalf("the browser ends at %s", end)
	}
	if c := d.read("whcc"); len(c.AccessToken) != 32 || !c.ExpiresAt.IsZero() || !c.Due.At.IsZero() || c.Metadata["state"] != "MN" || c.Account.ID == "" {
		t.Errorf("stored %+v", c)
	}
	d.invoke("issue", "whcc")
	first := d.read("whcc")
	d.pass(first.Due.At.Sub(d.clock()) + time.Second)
	if s := d.sweep(); s != (refresh.Summary{Due: 1, Refreshed: 1}) || d.read("whcc").AccessToken == first.AccessToken {
		t.Errorf("sweep = %+v", s)
	}
}

// Who says no ends at the host with that word, and nothing is stored.
func TestNo(t *testing.T) {
	for _, p := range providers.All() {
		d := deploy(t)
		clicks := []string{"login", "deny"}
		if p.Prepare != nil {
			clicks = clicks[1:] // WHCC has one page
		}
		if end := d.connect(p.ID, clicks...); end.Query().Get("result") != "denied" {
			t.Errorf("%s: the browser ends at %s", p.ID, end)
		}
		if calls := d.store.Calls(); calls["Connect"] != 0 {
			t.Errorf("%s: %v", p.ID, calls)
		}
	}
}
