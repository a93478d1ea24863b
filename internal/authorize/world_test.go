package authorize

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/golang-jwt/jwt/v5"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/eventtest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/simulator"
	"github.com/evergrant/evergrant/internal/web"
	"github.com/evergrant/evergrant/pkg/providers"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// The keys of the tests; k1 is current in each ring.
const (
	connectKey = "c4nary-connect-key-0123456789abcdef"
	olderKey   = "c4nary-older-connect-key-0123456789"
	sealKey    = "c4nary-seal-key-0123456789abcdefgh"
)

// A vault is the secret store.
type vault struct {
	clients                        map[string]oauth.Client
	others                         []oauth.Client
	connect, seal                  seal.Keys
	clientErr, connectErr, sealErr error
	hangs                          bool // does not tell the connect keys before its time is up
}

func (v *vault) Client(_ context.Context, provider string) (oauth.Client, error) {
	return v.clients[provider], v.clientErr
}

func (v *vault) Others(context.Context, oauth.Client) ([]oauth.Client, error) { return v.others, nil }

func (v *vault) ConnectKeys(ctx context.Context) (seal.Keys, error) {
	if v.hangs {
		<-ctx.Done()
		return seal.Keys{}, ctx.Err()
	}
	return v.connect, v.connectErr
}

func (v *vault) SealKeys(context.Context) (seal.Keys, error) { return v.seal, v.sealErr }

// A world is a handler, the simulated providers and all that was printed.
type world struct {
	*Handler
	t       *testing.T
	vault   *vault
	sim     *simulator.Simulator
	base    string // of the simulator
	now     time.Time
	printed bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: noon}
	clock := func() time.Time { return w.now }
	config := simulator.Config{Now: clock}
	for _, p := range providers.All() {
		config.RedirectURIs = append(config.RedirectURIs, "https://connect.example.com/callback/"+p.ID)
	}
	w.sim = simulator.New(config)
	server := httptest.NewServer(w.sim)
	t.Cleanup(server.Close)
	w.base = server.URL
	w.vault = &vault{
		clients: map[string]oauth.Client{},
		connect: ring(t, `{"current":"k1","keys":{"k1":"`+connectKey+`","k0":"`+olderKey+`"}}`),
		seal:    ring(t, `{"current":"k1","k1":"`+sealKey+`"}`),
	}
	for _, p := range providers.All() {
		w.vault.clients[p.ID] = w.client(p.ID, nil)
	}
	w.Handler = &Handler{
		Secrets: w.vault, Provider: &oauth.TokenClient{HTTP: oauth.NewHTTPClient(true), Now: clock},
		PublicURL: "https://connect.example.com", ReturnOrigins: []string{"https://app.example.com", "https://admin.example.com:8443"},
		Now: clock, Log: canary.Log(t, slog.NewJSONHandler(&w.printed, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	return w
}

func ring(t *testing.T, document string) seal.Keys {
	t.Helper()
	keys, err := seal.ParseKeys([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

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

// claims returns those of a good ticket.
func (w *world) claims(provider string) jwt.MapClaims {
	return jwt.MapClaims{
		"aud": "evergrant", "sub": "acct_42", "provider": provider, "jti": "c4nary-ticket-0123456789",
		"iat": w.now.Unix(), "exp": w.now.Add(5 * time.Minute).Unix(), "return_to": "https://app.example.com/done",
	}
}

// ticket returns a good ticket with change made to its claims.
func (w *world) ticket(provider string, change func(jwt.MapClaims)) string {
	w.t.Helper()
	claims := w.claims(provider)
	if change != nil {
		change(claims)
	}
	return w.sign(claims, jwt.SigningMethodHS256, map[string]any{"kid": "k1"}, []byte(connectKey))
}

func (w *world) sign(claims jwt.MapClaims, method jwt.SigningMethod, header map[string]any, key any) string {
	w.t.Helper()
	token := jwt.NewWithClaims(method, claims)
	maps.Copy(token.Header, header)
	signed, err := token.SignedString(key)
	if err != nil {
		w.t.Fatal(err)
	}
	return signed
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

// request returns the event of a link with a ticket.
func (w *world) request(provider, ticket string) events.APIGatewayV2HTTPRequest {
	w.t.Helper()
	ev := w.event("authorize.json", map[string]string{"ticket": ticket})
	ev.RawPath = "/authorize/" + provider
	ev.PathParameters["provider"] = provider
	return ev
}

// unsigned returns the event of a request without a ticket.
func (w *world) unsigned(query url.Values) events.APIGatewayV2HTTPRequest {
	w.t.Helper()
	ev := w.event("authorize-unsigned.json", nil)
	if query != nil {
		ev.RawQueryString = query.Encode()
	}
	return ev
}

// handle serves ev and checks what is true of every answer.
func (w *world) handle(ev events.APIGatewayV2HTTPRequest) web.Response {
	w.t.Helper()
	resp, err := w.Handle(w.t.Context(), ev)
	if err != nil {
		w.t.Fatalf("Handle: %v", err)
	}
	eventtest.CheckHeaders(w.t, resp.StatusCode, resp.Headers)
	if resp.StatusCode != http.StatusFound && (len(resp.Cookies) > 0 || resp.Headers["Location"] != "") {
		w.t.Errorf("status %d starts something: %v", resp.StatusCode, resp.Headers)
	}
	w.keeps(ev, resp)
	return resp
}

// keeps checks that nothing secret was printed, and none of it shown.
func (w *world) keeps(ev events.APIGatewayV2HTTPRequest, resp web.Response) {
	w.t.Helper()
	secrets := map[string]string{"connect key": connectKey, "older key": olderKey, "seal key": sealKey, "ticket": ev.QueryStringParameters["ticket"]}
	for id, c := range w.vault.clients {
		secrets["client secret of "+id] = c.Secret.Reveal()
	}
	for _, line := range resp.Cookies {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			w.t.Fatalf("%s: %v", line, err)
		}
		secrets["cookie"] = c.Value
		if ar, err := authrequest.Open(w.vault.seal, c.Value); err == nil {
			secrets["state"], secrets["verifier"], secrets["ticket ID"] = ar.State, ar.Verifier.Reveal(), ar.TicketID
		}
	}
	var known canary.Watch
	for what, secret := range secrets {
		known.Guard(what, secret)
	}
	for _, f := range known.FindInLog(w.printed.String()) {
		w.t.Errorf("the log shows the %s", f)
	}
	for _, f := range known.FindInAnswer(canary.Answer{Status: resp.StatusCode, Header: resp.Headers, Cookies: resp.Cookies, Body: resp.Body}) {
		w.t.Errorf("the answer shows the %s", f)
	}
}

// started returns the URL that resp sends the browser to, and the authorization
// request in its cookie.
func (w *world) started(resp web.Response) (*url.URL, authrequest.Request) {
	w.t.Helper()
	if resp.StatusCode != http.StatusFound {
		w.t.Fatalf("status = %d: %s\n%s", resp.StatusCode, resp.Body, w.printed.String())
	}
	u, err := url.Parse(resp.Headers["Location"])
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := http.ParseSetCookie(resp.Cookies[len(resp.Cookies)-1])
	if err != nil {
		w.t.Fatal(err)
	}
	ar, err := authrequest.Open(w.vault.seal, c.Value)
	if err != nil {
		w.t.Fatal(err)
	}
	return u, ar
}

// problem checks the status of resp and the type of its problem document.
func (w *world) problem(ev events.APIGatewayV2HTTPRequest, status int, typ string) web.Response {
	w.t.Helper()
	page := w.handle(ev)
	ev.Headers["accept"] = "application/json"
	document := w.handle(ev)
	var doc struct{ Type, Reference string }
	if err := json.Unmarshal([]byte(document.Body), &doc); err != nil || document.Headers["Content-Type"] != "application/problem+json" {
		w.t.Fatalf("%d %s: %v", document.StatusCode, document.Headers["Content-Type"], err)
	}
	if page.StatusCode != status || document.StatusCode != status || doc.Type != "urn:evergrant:problem:"+typ {
		w.t.Errorf("status = %d, %d, type %s, want %d, %s\n%s", page.StatusCode, document.StatusCode, doc.Type, status, typ, w.printed.String())
	}
	if doc.Reference != ev.RequestContext.RequestID || !strings.Contains(page.Body, doc.Reference) || !strings.Contains(w.printed.String(), `"reference":"`+doc.Reference+`"`) {
		w.t.Errorf("reference %s does not find a log line: %s", doc.Reference, w.printed.String())
	}
	return page
}
