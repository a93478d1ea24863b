package flowtest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connections"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/eventtest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/refresh"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/web"
	"github.com/evergrant/evergrant/pkg/connect"
	"github.com/evergrant/evergrant/pkg/providers"
)

// noon is the time at which all events of this file happen: seeds keep.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const (
	publicURL = "https://connect.example.com"
	returnTo  = "https://app.example.com/done"

	// What is stored, and may stand in no answer.
	storedAccess  = "c4nary-stored-access"
	storedRefresh = "c4nary-stored-refresh"
)

// A player plays every provider, in memory: it grants whatever it is asked for.
type player struct{ codes, calls []string }

func (p *player) grant(call string) oauth.TokenSet {
	p.calls = append(p.calls, call)
	return oauth.TokenSet{AccessToken: "c4nary-access", TokenType: "Bearer", RefreshToken: "c4nary-refresh", IssuedAt: noon, ExpiresAt: noon.Add(time.Hour)}
}

func (p *player) Exchange(_ context.Context, _ oauth.Client, _ oauth.AuthorizationRequest, code oauth.Secret) (oauth.TokenSet, error) {
	p.codes = append(p.codes, code.Reveal())
	return p.grant("Exchange"), nil
}

func (p *player) Account(_ context.Context, c oauth.Client, _ oauth.Secret) (oauth.Account, error) {
	if c.Provider.AccountID == "" {
		return oauth.Account{}, nil // WHCC has nobody to ask
	}
	return oauth.Account{ID: "7"}, nil
}

func (p *player) Prepare(context.Context, oauth.Client, string) (string, error) {
	p.calls = append(p.calls, "Prepare")
	return "https://login.whcc.com/Login.aspx", nil
}

func (p *player) Refresh(context.Context, oauth.Client, oauth.Secret) (oauth.TokenSet, error) {
	return p.grant("Refresh"), nil
}

func (p *player) Issue(context.Context, oauth.Client) (oauth.TokenSet, error) {
	return p.grant("Issue"), nil
}

func (p *player) Revoke(context.Context, oauth.Client, oauth.Secret, oauth.Secret) error {
	p.calls = append(p.calls, "Revoke")
	return nil
}

// A stage is a deployment that is set up anew for each event, with providers
// that are played.
type stage struct {
	*deployment
	player  *player
	keys    seal.Keys
	renewed []connection.Key // guarded by mu: a sweep has a lane for each provider
	printed bytes.Buffer
}

func (s *stage) renew(k connection.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewed = append(s.renewed, k)
}

func newStage(t testing.TB) *stage {
	t.Helper()
	s := &stage{deployment: deploy(t), player: new(player)}
	s.now = noon
	for _, p := range providers.All() {
		s.manager.documents["p/"+p.ID] = `{"client_id":"client","client_secret":"c4nary-client-secret"}`
	}
	s.manager.documents["p/whisk"] = `{"client_id":"client","client_secret":"c4nary-client-secret","response_type":"token"}`
	for _, p := range providers.All() { // now, since lanes read at once and the manager counts
		if _, err := s.callback.Secrets.Client(t.Context(), p.ID); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if s.keys, err = seal.ParseKeys([]byte(s.manager.documents["seal"])); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(&s.printed, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.authorize.Provider, s.authorize.Log, s.authorize.PublicURL = s.player, log, publicURL
	s.callback.Tokens, s.callback.Log, s.callback.PublicURL = s.player, log, publicURL
	s.connections.Tokens, s.connections.Log = s.player, log
	s.connections.Renew = func(_ context.Context, k connection.Key, _ int64) error {
		s.renew(k)
		return nil
	}
	s.refresh.Log, s.refresh.Concurrency = log, 1
	s.refresh.Renew = func(_ context.Context, k connection.Key, _ int64) (refresh.Report, error) {
		s.renew(k)
		return refresh.Report{Result: refresh.Refreshed}, nil
	}
	return s
}

// set sets the stage: nothing has happened, and two connections are due.
func (s *stage) set(t *testing.T) {
	t.Helper()
	*s.store = connectiontest.Memory{}
	*s.player, s.renewed = player{}, nil
	s.printed.Reset()
	for _, id := range []string{"whatnot", "whiplash"} {
		p, _ := providers.Find(id)
		c, err := connection.New(connection.Key{ConnectionID: "acct_42", Provider: id}, oauth.Client{Provider: p, ID: "client", Environment: p.Environments[0]},
			oauth.TokenSet{AccessToken: storedAccess, TokenType: "Bearer", RefreshToken: storedRefresh, IssuedAt: noon.Add(-time.Hour), ExpiresAt: noon.Add(time.Minute)}, s.keys, 4)
		if err != nil {
			t.Fatal(err)
		}
		c.Due.At = noon.Add(-time.Minute)
		if _, err := s.store.Connect(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
}

// invoke hands an event to a handler as the runtime does, and returns the
// answer. An event that is not of the handler's type is an error there, before
// any code of ours.
func (s *stage) invoke(t *testing.T, handle any, event []byte) (answer []byte, err error) {
	t.Helper()
	s.set(t)
	answer, err = lambda.NewHandler(handle).Invoke(t.Context(), event)
	if log := s.printed.String(); strings.Contains(log, `"msg":"panic"`) {
		t.Errorf("a panic: %s", log)
	}
	for _, secret := range []string{storedAccess, storedRefresh, "c4nary-client-secret", signingKey} {
		if bytes.Contains(event, []byte(secret[:12])) {
			continue // it came with the event
		}
		if strings.Contains(s.printed.String(), secret) || bytes.Contains(answer, []byte(secret)) {
			t.Errorf("answer or log shows %s: %s %s", secret, answer, s.printed.String())
		}
	}
	return answer, err
}

// request hands an event to one of the browser's handlers and checks what is
// true of every answer. There is none for what is no event.
func (s *stage) request(t *testing.T, handle func(context.Context, events.APIGatewayV2HTTPRequest) (web.Response, error), raw []byte) (ev events.APIGatewayV2HTTPRequest, resp web.Response, ok bool) {
	t.Helper()
	answer, err := s.invoke(t, handle, raw)
	if (err == nil) != (json.NewDecoder(bytes.NewReader(raw)).Decode(&ev) == nil) {
		t.Fatalf("the event is answered by the error %v", err)
	}
	if err != nil {
		return ev, resp, false
	}
	if err := json.Unmarshal(answer, &resp); err != nil {
		t.Fatal(err)
	}
	eventtest.CheckHeaders(t, resp.StatusCode, resp.Headers)
	for _, line := range append(slices.Collect(maps.Values(resp.Headers)), resp.Cookies...) {
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("status %d: a header with %q", resp.StatusCode, line)
		}
	}
	moves := resp.StatusCode == http.StatusFound || resp.StatusCode == http.StatusSeeOther
	if moves != (resp.Headers["Location"] != "") || moves != (resp.Body == "") || moves == (resp.Headers["Content-Type"] != "") {
		t.Errorf("status %d: %+v", resp.StatusCode, resp)
	}
	return ev, resp, true
}

// ticket returns a good connect ticket.
func ticket(t testing.TB, provider string) string {
	t.Helper()
	signed, err := connect.Ticket{ConnectionID: "acct_42", Provider: provider, ReturnTo: returnTo}.Sign(connect.Key{ID: "k1", Secret: signingKey}, noon)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// flow returns state and cookie of an authorization request under way.
func (s *stage) flow(t testing.TB, provider, returnTo string) (state, cookie string) {
	t.Helper()
	client, err := s.callback.Secrets.Client(t.Context(), provider)
	if err != nil {
		t.Fatal(err)
	}
	ar := authrequest.Request{
		Key: connection.Key{ConnectionID: "acct_42", Provider: provider}, State: oauth.NewState(), Verifier: oauth.Secret(oauth.NewState()),
		RedirectURI: publicURL + "/callback/" + provider, ReturnTo: returnTo, TicketID: oauth.NewState(), ClientID: client.ID, Environment: client.Environment.Name, Digest: client.Digest(), ExpiresAt: noon.Add(authrequest.Life),
	}
	line, err := authrequest.SetCookie(s.keys, ar, true)
	if err != nil {
		t.Fatal(err)
	}
	cookie, _, _ = strings.Cut(line, ";")
	return ar.State, cookie
}

// change returns an event with members set, at paths with dots between them.
func change(t testing.TB, event []byte, members map[string]any) []byte {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(event, &all); err != nil {
		t.Fatal(err)
	}
	for path, v := range members {
		in := all
		names := strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			in = in[name].(map[string]any)
		}
		in[names[len(names)-1]] = v
	}
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// version1 returns a request of whiplash as a REST API or payload 1.0 has it.
func version1(t testing.TB, path string, query map[string]string) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{
		"version": "1.0", "resource": "/" + strings.Split(path, "/")[1] + "/{provider}", "path": path, "httpMethod": "GET",
		"headers": map[string]string{"Accept": "text/html", "Cookie": "a=b"}, "multiValueHeaders": map[string][]string{"Accept": {"text/html"}},
		"queryStringParameters": query, "multiValueQueryStringParameters": map[string][]string{}, "pathParameters": map[string]string{"provider": "whiplash"}, "stageVariables": nil,
		"requestContext": map[string]any{"accountId": "123456789012", "httpMethod": "GET", "stage": "dev", "requestId": "r1", "identity": map[string]any{"sourceIp": "203.0.113.10"}, "authorizer": nil, "requestTimeEpoch": 1795435200000},
		"body":           nil, "isBase64Encoded": false,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// add adds an event as a seed, and what a handler looks at of it: changes to
// the rest of a long event change nothing.
func add(f *testing.F, event []byte) {
	f.Helper()
	f.Add(event)
	var ev struct {
		Path       string            `json:"rawPath"`
		Query      string            `json:"rawQueryString"`
		Cookies    []string          `json:"cookies,omitempty"`
		Parameters map[string]string `json:"pathParameters,omitempty"`
		Headers    map[string]string `json:"headers,omitempty"`
		Context    struct {
			HTTP struct {
				Method string `json:"method"`
			} `json:"http"`
			ID string `json:"requestId,omitempty"`
		} `json:"requestContext"`
		Body   string `json:"body,omitempty"`
		Base64 bool   `json:"isBase64Encoded,omitempty"`
	}
	if json.Unmarshal(event, &ev) != nil {
		return
	}
	maps.DeleteFunc(ev.Headers, func(name, _ string) bool { return name != "accept" && name != "content-type" })
	least, err := json.Marshal(ev)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(least)
}

// shapes are the shapes of an event of whiplash that Lambda or somebody with the right to
// invoke may send, made of one that is good: how each is answered, 0 where no
// handler gets it.
func shapes(t testing.TB, good []byte, status int, secret string) map[string]struct {
	event  []byte
	status int
} {
	t.Helper()
	type shape = struct {
		event  []byte
		status int
	}
	var ev events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(good, &ev); err != nil {
		t.Fatal(err)
	}
	route := strings.Split(ev.RawPath, "/")[1]
	return map[string]shape{
		"as it is":                              {good, status},
		"unknown members":                       {change(t, good, map[string]any{"new": map[string]any{"a": []any{1, nil}}, "requestContext.new": "x", "requestContext.http.new": 1}), status},
		"multi-value headers":                   {change(t, good, map[string]any{"multiValueHeaders": map[string]any{"accept": []string{"a", "b"}}, "headers.accept": "text/html,application/json"}), status},
		"no path parameters":                    {change(t, good, map[string]any{"pathParameters": nil}), status},
		"a stage in the path":                   {change(t, good, map[string]any{"rawPath": "/dev" + ev.RawPath, "requestContext.stage": "dev"}), status},
		"a stage in the path and no parameters": {change(t, good, map[string]any{"rawPath": "/dev" + ev.RawPath, "pathParameters": nil}), status},
		"a slash at the end":                    {change(t, good, map[string]any{"rawPath": ev.RawPath + "/", "pathParameters": nil}), 404},
		"no path at all":                        {change(t, good, map[string]any{"rawPath": "", "pathParameters": nil}), 404},
		"another provider":                      {change(t, good, map[string]any{"pathParameters.provider": "nobody"}), 404},
		"no request context":                    {change(t, good, map[string]any{"requestContext": nil}), 405},
		"nulls":                                 {change(t, good, map[string]any{"headers": nil, "body": nil, "stageVariables": nil, "queryStringParameters": nil}), status},
		"payload 1.0":                           {version1(t, "/"+route+"/whiplash", map[string]string{"ticket": secret}), 405},
		"payload 1.0 with a stage":              {version1(t, "/dev/"+route+"/whiplash", map[string]string{"ticket": secret}), 405},
		"invoked directly":                      {[]byte(`{"ticket":"` + secret + `","provider":"whiplash","connection_id":"acct_42"}`), 404},
		"warmed up":                             {[]byte(`{"source":"serverless-plugin-warmup"}`), 404},
		"the schedule":                          {eventtest.Read(t, "refresh.json", nil), 404},
		"shard hints":                           {eventtest.Read(t, "refresh-hints.json", nil), 404},
		"an empty object":                       {[]byte(`{}`), 404},
		"null":                                  {[]byte(`null`), 404},
		"a list":                                {[]byte(`[]`), 0},
		"a string":                              {[]byte(`"` + secret + `"`), 0},
		"a member of another type":              {change(t, good, map[string]any{"rawPath": 1}), 0},
		"torn":                                  {good[:len(good)/2], 0},
		"nothing":                               {nil, 0},
	}
}

// Whatever an event looks like, it is read or refused, by name: never a panic,
// and no way around the ticket or the cookie.
func TestEveryShapeOfAnEventIsAnswered(t *testing.T) {
	s := newStage(t)
	signed := ticket(t, "whiplash")
	for name, tt := range shapes(t, eventtest.Read(t, "authorize.json", map[string]string{"ticket": signed}), 302, signed) {
		if _, resp, _ := s.request(t, s.authorize.Handle, tt.event); resp.StatusCode != tt.status {
			t.Errorf("authorize, %s: %d, want %d", name, resp.StatusCode, tt.status)
		}
	}
	state, cookie := s.flow(t, "whiplash", returnTo)
	good := eventtest.Read(t, "callback.json", map[string]string{"code": "c0de", "state": state, "cookie": cookie})
	for name, tt := range shapes(t, good, 303, state) {
		if _, resp, _ := s.request(t, s.callback.Handle, tt.event); resp.StatusCode != tt.status {
			t.Errorf("callback, %s: %d, want %d", name, resp.StatusCode, tt.status)
		}
	}
	form := base64.StdEncoding.EncodeToString([]byte("code=c0de&state=" + state))
	posted := change(t, good, map[string]any{"requestContext.http.method": "POST", "rawQueryString": "", "headers.content-type": "application/x-www-form-urlencoded", "body": form, "isBase64Encoded": true})
	for name, tt := range map[string]struct {
		members map[string]any
		status  int
	}{
		"a form in base64":                 {nil, 303},
		"a form as it is":                  {map[string]any{"body": "code=c0de&state=" + state, "isBase64Encoded": false}, 303},
		"a form in base64, not said to be": {map[string]any{"isBase64Encoded": false}, 400},
		"a form that is not base64":        {map[string]any{"body": "code=c0de"}, 400},
		"a form in base64url":              {map[string]any{"body": base64.RawURLEncoding.EncodeToString([]byte("code=c0de&state=" + state + "&x=\xfb\xff"))}, 400},
		"no body":                          {map[string]any{"body": nil}, 400},
		"no cookies: the bounce":           {map[string]any{"cookies": nil}, 200},
		"cookies in the header alone":      {map[string]any{"cookies": nil, "headers.cookie": cookie}, 200},
	} {
		if _, resp, _ := s.request(t, s.callback.Handle, change(t, posted, tt.members)); resp.StatusCode != tt.status {
			t.Errorf("callback, %s: %d, want %d", name, resp.StatusCode, tt.status)
		}
	}
	if _, resp, _ := s.request(t, s.callback.Handle, change(t, good, map[string]any{"cookies": nil})); resp.StatusCode != 403 || len(s.player.calls) > 0 {
		t.Errorf("callback, no cookies: %d, %v", resp.StatusCode, s.player.calls)
	}
}

// Whatever the event, authorize sends a browser to the provider with our own
// parameters, for a ticket that we can read, or says why not.
func FuzzAuthorizeEvent(f *testing.F) {
	s := newStage(f)
	for _, p := range providers.All() {
		signed := ticket(f, p.ID)
		good := eventtest.Read(f, "authorize.json", map[string]string{"ticket": signed})
		add(f, change(f, good, map[string]any{"rawPath": "/authorize/" + p.ID, "pathParameters.provider": p.ID}))
	}
	_, cookie := s.flow(f, "whisk", returnTo)
	good := eventtest.Read(f, "authorize.json", map[string]string{"ticket": ticket(f, "whiplash")})
	add(f, change(f, good, map[string]any{"cookies": []string{cookie, "__Host-evergrant-\r\nLocation: x=1", "__Host-evergrant-0000000000000000=x"}}))
	add(f, change(f, good, map[string]any{"requestContext.requestId": "\r\n<script>", "headers.accept": "application/json", "rawQueryString": "ticket=a&ticket=b"}))
	add(f, change(f, good, map[string]any{"headers.host": "evil.example", "requestContext.domainName": "evil.example\r\nx: y"}))
	for _, shape := range shapes(f, good, 302, "x") {
		add(f, shape.event)
	}
	for _, name := range []string{"authorize-head.json", "authorize-no-ticket.json", "authorize-json.json", "authorize-unsigned.json"} {
		replace := map[string]string{}
		if name == "authorize-head.json" {
			replace["ticket"] = ticket(f, "whiplash")
		}
		add(f, eventtest.Read(f, name, replace))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, unsigned := range []bool{false, true} {
			s.authorize.AllowUnsigned = unsigned
			ev, resp, ok := s.request(t, s.authorize.Handle, raw)
			if !ok {
				return
			}
			if len(s.store.Calls()) > 1 { // set has connected
				t.Errorf("a store was touched: %v", s.store.Calls())
			}
			if !slices.Contains([]int{302, 400, 403, 404, 405}, resp.StatusCode) {
				t.Fatalf("status %d: %s", resp.StatusCode, s.printed.String())
			}
			if resp.StatusCode != 302 {
				if len(resp.Cookies) > 0 || len(s.player.calls) > 0 {
					t.Errorf("status %d starts something: %v, %v", resp.StatusCode, resp.Cookies, s.player.calls)
				}
				continue
			}
			s.checkStart(t, ev, resp, unsigned)
		}
	})
}

// checkStart holds a redirect to a provider against the event it answers.
func (s *stage) checkStart(t *testing.T, ev events.APIGatewayV2HTTPRequest, resp web.Response, unsigned bool) {
	t.Helper()
	query, _ := url.ParseQuery(ev.RawQueryString)
	if len(query["ticket"]) != 1 && !unsigned || ev.RequestContext.HTTP.Method != http.MethodGet {
		t.Errorf("%s started without a ticket", ev.RequestContext.HTTP.Method)
	}
	c, err := http.ParseSetCookie(resp.Cookies[len(resp.Cookies)-1])
	if err != nil {
		t.Fatal(err)
	}
	ar, err := authrequest.Open(s.keys, c.Value)
	if err != nil || c.Name != authrequest.CookieName(ar.State, true) {
		t.Fatalf("cookie %s: %v", c.Name, err)
	}
	if !strings.HasSuffix(ev.RawPath, ar.Key.Provider) && ev.PathParameters["provider"] != ar.Key.Provider {
		t.Errorf("the path is %s, the provider %s", ev.RawPath, ar.Key.Provider)
	}
	back, err := url.Parse(ar.ReturnTo)
	if err != nil || ar.ReturnTo != "" && (back.Scheme != "https" || !strings.EqualFold(strings.TrimSuffix(back.Host, ":443"), "app.example.com")) {
		t.Errorf("return_to = %s", ar.ReturnTo)
	}
	if ar.RedirectURI != publicURL+"/callback/"+ar.Key.Provider || !connection.ValidID(ar.Key.ConnectionID) {
		t.Errorf("authorization request: %+v", ar)
	}
	p, _ := providers.Find(ar.Key.Provider)
	endpoints := p.In(p.Environments[0])
	want, _ := url.Parse(endpoints.AuthorizationURL + endpoints.PrepareURL) // one of them is there
	to, err := url.Parse(resp.Headers["Location"])
	if err != nil || to.Scheme != "https" || to.Host != want.Host {
		t.Fatalf("the browser is sent to %s", resp.Headers["Location"])
	}
	if q := to.Query(); p.Prepare == nil && (!slices.Equal(q["redirect_uri"], []string{ar.RedirectURI}) || !slices.Equal(q["state"], []string{ar.State}) || !slices.Equal(q["client_id"], []string{"client"})) {
		t.Errorf("parameters %v", q)
	}
}

// Whatever the event, callback ends an authorization request for the browser
// that has its cookie, under the one state that it brings, or touches nothing.
func FuzzCallbackEvent(f *testing.F) {
	s := newStage(f)
	for _, p := range providers.All() {
		for _, to := range []string{returnTo, ""} {
			state, cookie := s.flow(f, p.ID, to)
			good := eventtest.Read(f, "callback.json", map[string]string{"code": "c0de", "state": state, "cookie": cookie})
			add(f, change(f, good, map[string]any{"rawPath": "/callback/" + p.ID, "pathParameters.provider": p.ID}))
			add(f, change(f, good, map[string]any{"pathParameters.provider": p.ID, "rawQueryString": "error=access_denied&state=" + state, "headers.accept": "application/json"}))
			add(f, change(f, good, map[string]any{"pathParameters.provider": p.ID, "rawQueryString": "error=%0d%0a<script>&code=&state=" + state}))
		}
	}
	state, cookie := s.flow(f, "whiplash", returnTo)
	other, _ := s.flow(f, "whiplash", returnTo)
	good := eventtest.Read(f, "callback.json", map[string]string{"code": "c0de", "state": state, "cookie": cookie})
	for _, shape := range shapes(f, good, 303, state) {
		add(f, shape.event)
	}
	for _, query := range []string{"code=a&code=b&state=" + state, "code=a&state=" + state + "&%73tate=" + other, "code=a,b&state=" + state, "code=%252B&state=" + state, "code=a;state=" + other + "&state=" + state, "code=a&state=" + other, "code=a&state=" + state + "&iss=x", "code=a&access_token=b&state=" + state} {
		add(f, change(f, good, map[string]any{"rawQueryString": query}))
	}
	_, value, _ := strings.Cut(cookie, "=")
	add(f, change(f, good, map[string]any{"rawQueryString": "code=a&state=" + other, "cookies": []string{authrequest.CookieName(other, true) + "=" + value}}))
	add(f, change(f, good, map[string]any{"rawPath": "/callback/whatnot", "pathParameters.provider": "whatnot"}))
	whcc, whccCookie := s.flow(f, "whcc", returnTo)
	add(f, eventtest.Read(f, "callback-whcc.json", map[string]string{"state": whcc, "cookie": whccCookie}))
	whisk, whiskCookie := s.flow(f, "whisk", returnTo)
	form := base64.StdEncoding.EncodeToString([]byte("access_token=t&token_type=bearer&expires_in=1&state=" + whisk))
	add(f, eventtest.Read(f, "callback-fragment-post.json", map[string]string{"body": form, "cookie": whiskCookie}))
	add(f, eventtest.Read(f, "callback-form-post.json", map[string]string{"body": form}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		ev, resp, ok := s.request(t, s.callback.Handle, raw)
		if !ok {
			return
		}
		if !slices.Contains([]int{200, 303, 400, 403, 404, 405, 502}, resp.StatusCode) || len(resp.Cookies) > 0 {
			t.Fatalf("status %d, cookies %v: %s", resp.StatusCode, resp.Cookies, s.printed.String())
		}
		s.checkEnd(t, ev, resp)
	})
}

// checkEnd holds what a callback did against the event it answers.
func (s *stage) checkEnd(t *testing.T, ev events.APIGatewayV2HTTPRequest, resp web.Response) {
	t.Helper()
	calls := s.store.Calls()
	touched := calls["ClaimRequest"] + calls["DenyRequest"] + calls["FinishRequest"] + len(s.player.calls)
	if calls["Connect"] > 2 { // set has connected two
		touched++
	}
	params, err := url.ParseQuery(ev.RawQueryString)
	if ev.RequestContext.HTTP.Method == http.MethodPost {
		body := []byte(ev.Body)
		if ev.IsBase64Encoded {
			body, _ = base64.StdEncoding.DecodeString(ev.Body)
		}
		params, err = url.ParseQuery(string(body))
	}
	if touched == 0 {
		if resp.StatusCode == http.StatusSeeOther || resp.StatusCode == http.StatusBadGateway {
			t.Errorf("status %d, and nothing was done", resp.StatusCode)
		}
		return
	}
	ar, ours := s.opens(ev.Cookies, params.Get("state"))
	if !ours || len(params["state"]) != 1 || err != nil && !strings.Contains(ev.RawQueryString+ev.Body, ";") && !ev.IsBase64Encoded {
		t.Fatalf("something was done for a browser without the cookie of its state: %v, %v, %v", params, calls, err)
	}
	if !strings.HasSuffix(ev.RawPath, ar.Key.Provider) && ev.PathParameters["provider"] != ar.Key.Provider {
		t.Errorf("the path is %s, the provider %s", ev.RawPath, ar.Key.Provider)
	}
	if len(s.player.codes) > 1 || len(s.player.codes) == 1 && !slices.Equal(params["code"], s.player.codes) && err == nil {
		t.Errorf("codes %q were redeemed of %q", s.player.codes, params["code"])
	}
	if resp.StatusCode != http.StatusSeeOther {
		return
	}
	to, err := url.Parse(resp.Headers["Location"])
	if err != nil || ar.ReturnTo == "" || !strings.HasPrefix(resp.Headers["Location"], ar.ReturnTo+"?") {
		t.Fatalf("the browser is sent to %s", resp.Headers["Location"])
	}
	q := to.Query()
	if result := q.Get("result"); len(q) != 3 || !slices.Contains([]string{"connected", "denied", "failed"}, result) || q.Get("provider") != ar.Key.Provider || q.Get("connection_id") != ar.Key.ConnectionID ||
		(result == "connected") != (calls["Connect"] == 3) {
		t.Errorf("the host hears %v, calls %v", q, calls)
	}
}

// opens returns the authorization request with the given state that a browser
// has a cookie of.
func (s *stage) opens(cookies []string, state string) (authrequest.Request, bool) {
	for _, c := range cookies {
		for pair := range strings.SplitSeq(c, ";") {
			_, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if ar, err := authrequest.Open(s.keys, value); err == nil && ar.State == state {
				return ar, true
			}
		}
	}
	return authrequest.Request{}, false
}

// Whatever whData holds, the request that ends is the one that the browser's
// own state names; a state in whData is where somebody lives.
func FuzzWhData(f *testing.F) {
	s := newStage(f)
	state, cookie := s.flow(f, "whcc", returnTo)
	other, _ := s.flow(f, "whcc", returnTo)
	for _, seed := range []string{
		`{"client_id":10072,"token":"t","studio":"S","state":"MN"}`, `{"token":"t","state":"` + other + `"}`, `{"token":"t","state":["` + other + `"]}`, `{"token":"t","state":"MN","state":"WI"}`,
		`{"token":"t","callback_url":"https://evil.example/"}`, `{"token":"t","error":"access_denied"}`, `{"token":"` + strings.Repeat("x", 7000) + `"}`, `{"token":""}`, `{"state":"MN"}`, `[]`, ``, "{\"token\":\"\\u0000\"}", `&state=` + other,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, blob string) {
		good := eventtest.Read(t, "callback-whcc.json", map[string]string{"state": state, "cookie": cookie})
		event := change(t, good, map[string]any{"rawQueryString": "state=" + state + "&whData=" + url.QueryEscape(blob)})
		_, resp, _ := s.request(t, s.callback.Handle, event)
		key := connection.Key{ConnectionID: "acct_42", Provider: "whcc"}
		c, err := s.store.Get(t.Context(), key)
		calls := s.store.Calls()
		if resp.StatusCode == http.StatusBadRequest {
			if err == nil || calls["ClaimRequest"] > 0 {
				t.Errorf("refused, and %+v is stored, calls %v", c, calls)
			}
			return
		}
		if want := returnTo + "?connection_id=acct_42&provider=whcc&result=connected"; err != nil || resp.Headers["Location"] != want || c.RequestID != connection.StateID(state) {
			t.Fatalf("status %d to %s, stored %+v, %v", resp.StatusCode, resp.Headers["Location"], c, err)
		}
		first, err := s.store.GetRequest(t.Context(), connection.RequestID("", state), connection.StateID(state))
		if err == nil && first.Key != key {
			t.Errorf("claimed %+v", first)
		}
		var says struct {
			Token string
			State any
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(blob, "\ufeff")), &says); err != nil || c.AccessToken == "" {
			t.Errorf("%q: %v", blob, err)
		}
		if text := c.Metadata["state"]; text == state {
			t.Error("the request's state is stored as where somebody lives")
		}
	})
}

// Whatever is asked of the control plane, it answers with connections or with
// an error that says what to do, and calls no provider for a question.
func FuzzConnectionsEvent(f *testing.F) {
	s := newStage(f)
	for _, name := range []string{
		"connections-disconnect.json", "connections-get.json", "connections-import-static.json", "connections-import.json", "connections-issue.json",
		"connections-list-status.json", "connections-list.json", "connections-refresh.json",
	} {
		f.Add(eventtest.Read(f, name, nil))
	}
	f.Add(eventtest.Read(f, "connections-list-page.json", map[string]string{"cursor": "x"}))
	f.Add(eventtest.Read(f, "connections-refresh-token.json", map[string]string{"token_hash": strings.Repeat("0", 64)}))
	for _, seed := range []string{
		`{}`, `null`, `[]`, `"list"`, `{"action":"list","limit":1}`, `{"action":"list","limit":-1,"cursor":"e30"}`, `{"action":"refresh","connection_id":"acct_42","provider":"whatnot","min_ttl":9999999999}`,
		`{"action":"refresh","connection_id":"acct_42","provider":"whiplash","min_ttl":1e3}`, `{"action":"import","connection_id":"a","provider":"whisk","access_token":"a b"}`, `{"ACTION":"get","action":"list"}`,
		`{"action":"complete","handle":"x","provider":"whisk","connection_id":"acct_42"}`, `{"action":"complete","handle":["x"],"provider":"whisk","connection_id":"acct_42"}`,
		`{"action":"issue","connection_id":"a b","provider":"whcc"}`, `{"action":"get","connection_id":"acct_42\n","provider":"whatnot"}`, `{"version":"2.0","rawPath":"/callback/whisk","action":"get"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		answer, err := s.invoke(t, s.connections.Handle, raw)
		if err != nil {
			if json.Valid(raw) {
				t.Errorf("an error for %s: %v", raw, err)
			}
			return
		}
		var resp struct {
			Connection  *connections.View
			Connections *[]connections.View
			Error       *connections.Error
		}
		if err := json.Unmarshal(answer, &resp); err != nil {
			t.Fatal(err)
		}
		told := 0
		for _, there := range []bool{resp.Connection != nil, resp.Connections != nil, resp.Error != nil} {
			if there {
				told++
			}
		}
		if told != 1 || resp.Error != nil && (resp.Error.Type == "" || resp.Error.Detail == "") {
			t.Errorf("answer: %s", answer)
		}
		var req connections.Request
		_ = json.NewDecoder(bytes.NewReader(raw)).Decode(&req) // what cannot be read does nothing
		asks := slices.Contains([]string{"refresh", "disconnect", "issue", "import", "complete"}, req.Action) && connection.ValidID(req.ConnectionID)
		if !asks && (len(s.player.calls)+len(s.renewed) > 0 || s.store.Calls()["Connect"] != 2 || s.store.Calls()["Disconnect"] > 0) {
			t.Errorf("%s called %v, renewed %v, wrote %v", raw, s.player.calls, s.renewed, s.store.Calls())
		}
	})
}

// Whatever the schedule or the queue sends, each connection is refreshed once
// at most, and only messages that came go back.
func FuzzRefreshEvent(f *testing.F) {
	s := newStage(f)
	for _, name := range []string{"refresh.json", "refresh-rule.json", "refresh-sweep.json", "refresh-hints.json"} {
		f.Add(eventtest.Read(f, name, nil))
	}
	for _, seed := range []string{
		`{}`, `null`, `[]`, `"sweep"`, `{"action":"drop"}`, `{"Records":[]}`, `{"Records":[{}]}`, `{"Records":[null]}`, `{"Records":{}}`, `{"records":[{"body":"{\"shard\":\"0\"}"}]}`,
		`{"Records":[{"messageId":"a","body":"{\"shard\":\"0\"}"},{"messageId":"b","body":"{\"shard\":\"4.0\"}"},{"messageId":"c","body":"{\"shard\":\"0\"}"}]}`,
		`{"Records":[{"messageId":"a","body":"{\"shard\":\"-1\"}"},{"messageId":"b","body":"{\"shard\":\"99999999999999999999\"}"},{"messageId":"c","body":"{\"shard\":\"3.2.1\"}"},{"messageId":"d","body":"{\"shard\":3}"},{"messageId":"e","body":"x"}]}`,
		`{"Records":[{"messageId":"a","body":"{\"shard\":\"\"}"},{"eventSource":"aws:s3"}],"action":"sweep"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		answer, err := s.invoke(t, s.refresh.Handle, raw)
		var ev struct {
			Records []events.SQSMessage
			Action  string
		}
		if err != nil {
			if decoded := json.Unmarshal(raw, &ev); decoded == nil && (ev.Action == "" || ev.Action == "sweep") || len(s.renewed) > 0 {
				t.Errorf("%s: %v, renewed %v", raw, err, s.renewed)
			}
			return
		}
		slices.SortFunc(s.renewed, func(a, b connection.Key) int { return strings.Compare(a.Provider, b.Provider) })
		if unique := slices.Compact(slices.Clone(s.renewed)); len(unique) != len(s.renewed) {
			t.Errorf("refreshed twice: %v", s.renewed)
		}
		var resp struct {
			Due, Refreshed    *int
			BatchItemFailures []events.SQSBatchItemFailure
		}
		if err := json.Unmarshal(answer, &resp); err != nil {
			t.Fatal(err)
		}
		if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&ev); err != nil {
			t.Fatalf("answered, and no event: %v", err)
		}
		if len(ev.Records) == 0 {
			if resp.Due == nil || *resp.Due != 2 || *resp.Refreshed != 2 || len(s.renewed) != 2 {
				t.Errorf("a sweep: %s, renewed %v", answer, s.renewed)
			}
			return
		}
		for _, failed := range resp.BatchItemFailures {
			if !slices.ContainsFunc(ev.Records, func(m events.SQSMessage) bool { return m.MessageId == failed.ItemIdentifier }) {
				t.Errorf("a message goes back that did not come: %s", answer)
			}
		}
	})
}
