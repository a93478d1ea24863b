package callback

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/eventtest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/simulator"
	"github.com/evergrant/evergrant/internal/web"
	"github.com/evergrant/evergrant/pkg/providers"
)

const (
	publicURL = "https://connect.example.com"
	sealKey   = "c4nary-seal-key-0123456789abcdefgh"
	returnTo  = "https://app.example.com/done?tab=1"
)

var (
	noon    = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	errDown = errors.New("connection refused")
)

// A vault is the secret store.
type vault struct {
	clients            map[string]oauth.Client
	others             []oauth.Client
	seal               seal.Keys
	clientErr, sealErr error
}

func (v *vault) Client(_ context.Context, provider string) (oauth.Client, error) {
	return v.clients[provider], v.clientErr
}

func (v *vault) Others(context.Context, oauth.Client) ([]oauth.Client, error) { return v.others, nil }

func (v *vault) SealKeys(context.Context) (seal.Keys, error) { return v.seal, v.sealErr }

// ConnectKeys is authorize's, for the whole way.
func (v *vault) ConnectKeys(context.Context) (seal.Keys, error) { return v.seal, nil }

// A world is a handler, the simulated providers, a store and all that was
// printed.
type world struct {
	*Handler
	t       *testing.T
	vault   *vault
	sim     *simulator.Simulator
	store   *connectiontest.Memory
	base    string // of the simulator
	now     time.Time
	user    string // at the provider; "": ada
	printed bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: noon, store: new(connectiontest.Memory)}
	config := simulator.Config{Now: w.clock}
	for _, p := range providers.All() {
		config.RedirectURIs = append(config.RedirectURIs, publicURL+"/callback/"+p.ID)
	}
	w.sim = simulator.New(config)
	server := httptest.NewServer(w.sim)
	t.Cleanup(server.Close)
	w.base = server.URL
	keys, err := seal.ParseKeys([]byte(`{"current":"k1","k1":"` + sealKey + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	w.vault = &vault{clients: map[string]oauth.Client{}, seal: keys}
	for _, p := range providers.All() {
		w.vault.clients[p.ID] = w.client(p.ID, nil)
	}
	w.Handler = &Handler{
		Secrets: w.vault, Tokens: &oauth.TokenClient{HTTP: oauth.NewHTTPClient(true), Now: w.clock},
		Requests: w.store, History: w.store, Connections: w.store, PublicURL: publicURL, Shards: 4,
		Random: func() float64 { return 0.5 }, Now: w.clock,
		Log: logTo(t, &w.printed),
	}
	return w
}

func logTo(t testing.TB, w io.Writer) *slog.Logger {
	t.Helper()
	return canary.Log(t, slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (w *world) clock() time.Time { return w.now }

// client returns the simulated provider's client, with members added to its
// document.
func (w *world) client(provider string, members map[string]any) oauth.Client {
	w.t.Helper()
	document := w.sim.Secret(w.base, provider)
	maps.Copy(document, members)
	text, err := json.Marshal(document)
	if err != nil {
		w.t.Fatal(err)
	}
	p, _ := providers.Find(provider)
	client, err := oauth.ParseClient(p, text, true)
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

// A flow is an authorization request under way.
type flow struct {
	authrequest.Request
	cookie string // "name=value"
}

// start starts an authorization request as authorize does, with change made
// to it.
func (w *world) start(provider string, change func(*authrequest.Request)) flow {
	w.t.Helper()
	client := w.vault.clients[provider]
	ar := authrequest.Request{
		Key: connection.Key{ConnectionID: "acct_42", Provider: provider}, State: oauth.NewState(), Verifier: oauth.Secret(oauth.NewState()),
		RedirectURI: publicURL + "/callback/" + provider, Scopes: client.Scopes, ReturnTo: returnTo, TicketID: oauth.NewState(),
		ClientID: client.ID, Environment: client.Environment.Name, Digest: client.Digest(), ExpiresAt: w.now.Add(authrequest.Life),
	}
	if change != nil {
		change(&ar)
	}
	line, err := authrequest.SetCookie(w.vault.seal, ar, true)
	if err != nil {
		w.t.Fatal(err)
	}
	pair, _, _ := strings.Cut(line, ";")
	return flow{ar, pair}
}

func noReturn(ar *authrequest.Request) { ar.ReturnTo = "" }

// location is where authorize sends the browser for f.
func (w *world) location(f flow) string {
	w.t.Helper()
	client := w.vault.clients[f.Key.Provider]
	to, err := oauth.AuthorizationURL(client, f.OAuth())
	if client.Provider.Prepare != nil {
		tokens := &oauth.TokenClient{HTTP: oauth.NewHTTPClient(true), Now: w.clock}
		to, err = tokens.Prepare(w.t.Context(), client, f.RedirectURI+"?state="+f.State)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return to
}

// decide logs in at the provider and clicks on approve or deny. It returns the
// URL that the browser is sent back to.
func (w *world) decide(location, action string) *url.URL {
	w.t.Helper()
	form := url.Values{"action": {"login"}, "username": {cmp.Or(w.user, "ada")}, "password": {"any"}}
	if strings.Contains(location, "Login.aspx") { // WHCC: the login is the approval
		if action == "deny" {
			form = url.Values{"action": {"deny"}}
		}
		return w.click(location, "", form)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, location, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := oauth.NewHTTPClient(true).Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = resp.Body.Close()
	if len(resp.Cookies()) == 0 {
		w.t.Fatalf("login at %s: %d", location, resp.StatusCode)
	}
	return w.click(location, resp.Cookies()[0].String(), url.Values{"action": {action}})
}

// click posts a form at the provider and returns where that leads.
func (w *world) click(location, cookie string, form url.Values) *url.URL {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, location, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Cookie", cookie)
	resp, err := oauth.NewHTTPClient(true).Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	back, err := resp.Location()
	if err != nil {
		w.t.Fatalf("%s answers %d: %s", location, resp.StatusCode, body)
	}
	return back
}

// approve approves f and returns what the provider answers with.
func (w *world) approve(f flow) url.Values {
	w.t.Helper()
	return w.decide(w.location(f), "approve").Query()
}

// event reads an event of the folder events/.
func (w *world) event(name string, replace map[string]string) events.APIGatewayV2HTTPRequest {
	w.t.Helper()
	var ev events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(eventtest.Read(w.t, name, replace), &ev); err != nil {
		w.t.Fatal(err)
	}
	return ev
}

// callback returns the event of f's browser coming back with params.
func (w *world) callback(f flow, params url.Values) events.APIGatewayV2HTTPRequest {
	w.t.Helper()
	ev := w.event("callback.json", map[string]string{"code": params.Get("code"), "state": f.State, "cookie": f.cookie})
	ev.RawPath = "/callback/" + f.Key.Provider
	ev.PathParameters["provider"] = f.Key.Provider
	ev.RawQueryString = params.Encode()
	return ev
}

// connect connects f whole.
func (w *world) connect(f flow) web.Response {
	w.t.Helper()
	return w.handle(w.callback(f, w.approve(f)))
}

// handle serves ev and checks what is true of every answer.
func (w *world) handle(ev events.APIGatewayV2HTTPRequest) web.Response {
	w.t.Helper()
	resp, err := w.Handle(w.t.Context(), ev)
	if err != nil {
		w.t.Fatalf("Handle: %v", err)
	}
	w.check(ev, resp)
	return resp
}

func (w *world) check(ev events.APIGatewayV2HTTPRequest, resp web.Response) {
	w.t.Helper()
	eventtest.CheckHeaders(w.t, resp.StatusCode, resp.Headers)
	known := w.known(ev)
	for _, f := range known.FindInLog(w.printed.String()) {
		w.t.Errorf("the log shows the %s", f)
	}
	for _, f := range known.FindInAnswer(canary.Answer{Status: resp.StatusCode, Header: resp.Headers, Cookies: resp.Cookies, Body: resp.Body}) {
		w.t.Errorf("the answer shows the %s", f)
	}
}

// known knows what ev's browser, the provider and we keep from others.
func (w *world) known(ev events.APIGatewayV2HTTPRequest) *canary.Watch {
	known := new(canary.Watch)
	for what, secret := range w.secrets(ev) {
		known.Guard(what, secret)
	}
	return known
}

// secrets are what ev's browser, the provider and we keep from others.
func (w *world) secrets(ev events.APIGatewayV2HTTPRequest) map[string]string {
	secrets := map[string]string{"seal key": sealKey}
	for id, c := range w.vault.clients {
		secrets["client secret of "+id] = c.Secret.Reveal()
		for _, t := range append(w.sim.Ledger(id).LiveAccessTokens, w.sim.Ledger(id).LiveRefreshTokens...) {
			secrets["token "+t] = t
		}
	}
	query, _ := url.ParseQuery(ev.RawQueryString)
	if body, err := base64.StdEncoding.DecodeString(ev.Body); err == nil && ev.IsBase64Encoded {
		query, _ = url.ParseQuery(string(body))
	}
	for _, name := range []string{"code", "state", "access_token", "whData"} {
		if v := query.Get(name); len(v) > 4 {
			secrets[name] = v
		}
	}
	for _, c := range ev.Cookies {
		_, value, _ := strings.Cut(c, "=")
		secrets["cookie"] = value
		if ar, err := authrequest.Open(w.vault.seal, value); err == nil {
			secrets["own state"], secrets["verifier"], secrets["ticket ID"] = ar.State, ar.Verifier.Reveal(), ar.TicketID
		}
	}
	return secrets
}

// returns checks that resp sends the browser back to the host with result, and
// with nothing else but what return_to had.
func (w *world) returns(resp web.Response, f flow, result string) {
	w.t.Helper()
	want := "https://app.example.com/done?tab=1&connection_id=acct_42&provider=" + f.Key.Provider + "&result=" + result
	if resp.StatusCode != http.StatusSeeOther || resp.Headers["Location"] != want || resp.Body != "" || len(resp.Cookies) > 0 {
		w.t.Errorf("answer = %d %s, want 303 %s\n%s%s", resp.StatusCode, resp.Headers["Location"], want, resp.Body, w.printed.String())
	}
}

// leadsOn checks that resp sends the browser on to its callback without the
// provider's answer, and returns the event of that.
func (w *world) leadsOn(resp web.Response, f flow) events.APIGatewayV2HTTPRequest {
	w.t.Helper()
	if want := f.RedirectURI + "?state=" + f.State; resp.StatusCode != http.StatusSeeOther || resp.Headers["Location"] != want || resp.Body != "" || len(resp.Cookies) > 0 {
		w.t.Errorf("answer = %d %s, want 303 %s\n%s%s", resp.StatusCode, resp.Headers["Location"], want, resp.Body, w.printed.String())
	}
	return w.callback(f, url.Values{"state": {f.State}})
}

// shows checks that resp is exactly one of our own pages, so that nothing of
// the provider stands in it.
func (w *world) shows(resp, want web.Response) {
	w.t.Helper()
	if resp.StatusCode != want.StatusCode || resp.Body != want.Body {
		w.t.Errorf("answer = %d %s\nwant     %d %s\n%s", resp.StatusCode, resp.Body, want.StatusCode, want.Body, w.printed.String())
	}
}

// problem serves ev and checks status, type and reference of the answer, which
// names nothing but ev itself, or what the cookie of ev says that it is about.
func (w *world) problem(ev events.APIGatewayV2HTTPRequest, t web.Text) web.Response {
	w.t.Helper()
	page := w.handle(ev)
	request := web.Request{Reference: ev.RequestContext.RequestID, About: web.About{Home: web.Home(w.CompletionURL)}}
	if p, ok := providers.Find(ev.PathParameters["provider"]); ok {
		request.About.Provider = p.Name
	}
	for _, c := range ev.Cookies {
		_, value, _ := strings.Cut(c, "=")
		ar, err := authrequest.Open(w.vault.seal, value)
		about := request
		about.About, about.Reference = aboutOf(ar.Key, cmp.Or(ar.ReturnTo, w.CompletionURL)), ar.Reference()
		if err == nil && page.Body == web.Problem(about, t).Body {
			request = about
		}
	}
	w.shows(page, web.Problem(request, t))
	if !strings.Contains(w.printed.String(), `"reference":"`+request.Reference+`"`) {
		w.t.Errorf("the reference finds no log line: %s", w.printed.String())
	}
	return page
}

// aboutOf is what a page says that it is about, for the browser that has the
// cookie.
func aboutOf(k connection.Key, returnTo string) web.About {
	p, _ := providers.Find(k.Provider)
	return web.About{Provider: p.Name, ConnectionID: k.ConnectionID, Home: web.Home(returnTo)}
}

// asked is the request of f's browser that a page of ours answers.
func asked(f flow, reference string) web.Request {
	return web.Request{Reference: reference, About: aboutOf(f.Key, f.ReturnTo)}
}

// exchanges returns how many token requests a provider has seen.
func (w *world) exchanges(provider string) int {
	return w.sim.Ledger(provider).TokenRequests["authorization_code"]
}

// wrote checks which calls of the store there were.
func (w *world) wrote(want map[string]int) {
	w.t.Helper()
	if got := w.store.Calls(); !maps.Equal(got, want) {
		w.t.Errorf("store calls = %v, want %v", got, want)
	}
}

// stored returns the connection of f.
func (w *world) stored(f flow) connection.Connection {
	w.t.Helper()
	c, err := w.store.Get(w.t.Context(), f.Key)
	if err != nil {
		w.t.Fatalf("connection of %s: %v\n%s", f.Key.Provider, err, w.printed.String())
	}
	return c
}

// nothingStored checks that there is no connection of f.
func (w *world) nothingStored(f flow) {
	w.t.Helper()
	if _, err := w.store.Get(w.t.Context(), f.Key); !errors.Is(err, connection.ErrNotFound) {
		w.t.Errorf("something was stored: %v", err)
	}
}
