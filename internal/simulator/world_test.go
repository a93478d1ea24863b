package simulator

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// redirectURI is where the clients of these tests want the answer. Nothing
// listens there.
const redirectURI = "http://localhost:8788/callback"

// A world is a simulator behind a web server, a browser in front of it, and a
// clock.
type world struct {
	*Simulator
	t       *testing.T
	base    string
	browser *http.Client

	mu  sync.Mutex
	now time.Time
}

func newWorld(t *testing.T, c Config) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}
	c.Now = w.clock
	w.Simulator = New(c)
	server := httptest.NewServer(w.Simulator)
	t.Cleanup(server.Close)
	w.base = server.URL
	w.freshBrowser()
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// freshBrowser forgets all logins. The browser follows redirects until one
// leaves the simulator.
func (w *world) freshBrowser() {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.browser = &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), w.base) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

// A seen is what a browser or client got.
type seen struct {
	status   int
	header   http.Header
	body     string
	json     map[string]any
	url      string   // of the page, after redirects
	location *url.URL // where a redirect left the simulator to, or nil
}

func (w *world) do(c *http.Client, r *http.Request) seen {
	w.t.Helper()
	resp, err := c.Do(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("read answer of %s: %v", r.URL, err)
	}
	got := seen{status: resp.StatusCode, header: resp.Header, body: string(body), url: resp.Request.URL.String()}
	_ = json.Unmarshal(body, &got.json) // pages are not JSON
	if resp.StatusCode == http.StatusFound {
		if got.location, err = resp.Location(); err != nil {
			w.t.Fatalf("redirect of %s: %v", r.URL, err)
		}
	}
	return got
}

func (w *world) request(method, target string, body io.Reader) *http.Request {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, target, body)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// visit opens target in the browser.
func (w *world) visit(target string) seen {
	w.t.Helper()
	return w.do(w.browser, w.request(http.MethodGet, target, nil))
}

// click submits the form of a page by the button with the given id. The page
// must have that button, and a field for each of fields.
func (w *world) click(on seen, button string, fields url.Values) seen {
	w.t.Helper()
	m := regexp.MustCompile(`<button id="` + button + `"[^>]*name="([a-z]+)" value="([a-z]+)"`).FindStringSubmatch(on.body)
	if m == nil {
		w.t.Fatalf("no button #%s on %s (status %d):\n%s", button, on.url, on.status, on.body)
	}
	form := url.Values{m[1]: {m[2]}}
	for name := range fields {
		if !strings.Contains(on.body, `<input id="`+name+`" name="`+name+`"`) {
			w.t.Fatalf("no field #%s on %s", name, on.url)
		}
	}
	maps.Copy(form, fields)
	r := w.request(http.MethodPost, on.url, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.do(w.browser, r)
}

// logIn fills in the login page.
func (w *world) logIn(on seen, username string) seen {
	w.t.Helper()
	return w.click(on, "login", url.Values{"username": {username}, "password": {"any"}})
}

// scopesOf are the scopes that these tests ask provider for.
var scopesOf = map[string]string{
	"whiplash": "user_read user_manage",
	"whisk":    "offline_access,cookbook:write",
	"whatnot":  "read:orders write:orders",
}

// authorizationURL returns a good authorization request, with change made to it.
func (w *world) authorizationURL(provider string, change url.Values) string {
	q := url.Values{
		"client_id": {DefaultClient(provider).ID}, "redirect_uri": {redirectURI + "/" + provider},
		"response_type": {"code"}, "scope": {scopesOf[provider]}, "state": {"a state"},
	}
	maps.Copy(q, change)
	return w.Endpoints(w.base, provider)[authorizationURL] + "?" + q.Encode()
}

// approve clicks through an authorization as ada and returns the code.
func (w *world) approve(provider string, change url.Values) string {
	w.t.Helper()
	w.freshBrowser()
	back := w.click(w.logIn(w.visit(w.authorizationURL(provider, change)), "ada"), "approve", nil)
	if back.location == nil || back.location.Query().Get("code") == "" {
		w.t.Fatalf("approval was not sent back with a code: %d %v", back.status, back.location)
	}
	return back.location.Query().Get("code")
}

// post sends form as a well-behaved client of provider, with change made to it;
// a change to no value removes the parameter.
func (w *world) post(provider, endpoint string, form, change url.Values) seen {
	w.t.Helper()
	c := DefaultClient(provider)
	body := url.Values{"client_id": {c.ID}, "client_secret": {c.Secret}}
	maps.Copy(body, form)
	maps.Copy(body, change)
	r := w.request(http.MethodPost, w.Endpoints(w.base, provider)[endpoint], strings.NewReader(body.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if provider == "whatnot" {
		r.Header.Set("Authorization", "Bearer "+c.Secret)
	}
	return w.do(http.DefaultClient, r)
}

func (w *world) exchange(provider, code string, change url.Values) seen {
	w.t.Helper()
	return w.post(provider, tokenURL, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI + "/" + provider},
	}, change)
}

func (w *world) refresh(provider, token string, change url.Values) seen {
	w.t.Helper()
	return w.post(provider, tokenURL, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, change)
}

// connect returns the tokens of a new grant.
func (w *world) connect(provider string) (access, refresh string) {
	w.t.Helper()
	return w.tokens(w.exchange(provider, w.approve(provider, nil), nil))
}

func (w *world) tokens(got seen) (access, refresh string) {
	w.t.Helper()
	access, _ = got.json["access_token"].(string)
	refresh, _ = got.json["refresh_token"].(string)
	if got.status != http.StatusOK || access == "" || refresh == "" {
		w.t.Fatalf("no tokens: %d %s", got.status, got.body)
	}
	return access, refresh
}

// refreshed returns the tokens that a refresh brings.
func (w *world) refreshed(provider, token string) (access, refresh string) {
	w.t.Helper()
	return w.tokens(w.refresh(provider, token, nil))
}

// whoami asks the account endpoint.
func (w *world) whoami(provider, access string) seen {
	w.t.Helper()
	r := w.request(http.MethodGet, w.Endpoints(w.base, provider)[userinfoURL], nil)
	r.Header.Set("Authorization", "Bearer "+access)
	return w.do(http.DefaultClient, r)
}

// oauthProviders are the providers of the authorization code flow.
var oauthProviders = []string{"whiplash", "whisk", "whatnot"}

// formRequest is a form-encoded POST.
func (w *world) formRequest(target string, form url.Values) *http.Request {
	w.t.Helper()
	r := w.request(http.MethodPost, target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// multipartRefresh is a refresh in the form that curl's -F sends.
func (w *world) multipartRefresh(provider, refresh string) *http.Request {
	w.t.Helper()
	c := DefaultClient(provider)
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range map[string]string{"grant_type": "refresh_token", "refresh_token": refresh, "client_id": c.ID, "client_secret": c.Secret} {
		if err := form.WriteField(name, value); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		w.t.Fatal(err)
	}
	r := w.request(http.MethodPost, w.Endpoints(w.base, provider)[tokenURL], &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	return r
}

// refusedAs reports whether got is provider's error answer for the RFC 6749
// code want.
func refusedAs(provider string, got seen, want string) bool {
	status := http.StatusBadRequest
	if want == "invalid_client" {
		status = http.StatusUnauthorized
	}
	if provider != "whisk" {
		return got.status == status && got.json["error"] == want && got.json["error_description"] != "" &&
			(want == "invalid_client") == (got.header.Get("WWW-Authenticate") != "")
	}
	code := map[string]string{"invalid_client": "oauth.unauthorized", "invalid_grant": "general.notFound"}[want]
	if code == "" {
		code = "general.badRequest"
	}
	return got.status == status && got.json["code"] == code && got.json["message"] != ""
}
