package lambdatest_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// A browser is a person's. It keeps our cookies as browsers do, and follows the
// provider's pages strictly: a page must be whole, a button must be there.
type browser struct {
	t       *testing.T
	away    *http.Client      // at the provider, with cookies of its own
	cookies map[string]string // at our origin, by name
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{
		t: t, cookies: map[string]string{},
		away: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// keep takes the Set-Cookie lines of an answer, which must be those of a cookie
// that no other site can set, read or send.
func (b *browser) keep(lines []string) {
	b.t.Helper()
	for _, line := range lines {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			b.t.Fatalf("Set-Cookie %q: %v", line, err)
		}
		if !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || c.Path != "/" || c.Domain != "" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
			b.t.Errorf("Set-Cookie %q is not a __Host- cookie, HttpOnly and Lax", line)
		}
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
			continue
		}
		b.cookies[c.Name] = c.Value
	}
}

// sent are the cookies that go along with a request to our origin, as payload
// 2.0 lists them.
func (b *browser) sent() []string {
	var list []string
	for name, value := range b.cookies {
		list = append(list, name+"="+value)
	}
	return list
}

// A page is what the browser shows.
type page struct {
	url  *url.URL
	body string
}

// load sends a request and follows redirects within the provider. Where one
// leads elsewhere, it is the one returned, and the page is empty.
func (b *browser) load(method string, target *url.URL, form url.Values) (page, *url.URL) {
	b.t.Helper()
	for range 5 {
		req, err := http.NewRequestWithContext(b.t.Context(), method, target.String(), strings.NewReader(form.Encode()))
		if err != nil {
			b.t.Fatal(err)
		}
		if method == http.MethodPost {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		resp, err := b.away.Do(req)
		if err != nil {
			b.t.Fatalf("the provider does not answer: %v", err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			b.t.Fatalf("the page breaks off: %v", err)
		}
		switch resp.StatusCode {
		case http.StatusOK:
			return page{target, string(body)}, nil
		case http.StatusFound, http.StatusSeeOther:
		default:
			b.t.Fatalf("the provider answers %s %s with %s:\n%s", method, target, resp.Status, body)
		}
		to, err := resp.Location()
		if err != nil {
			b.t.Fatalf("the redirect has no place: %v", err)
		}
		if to.Host != target.Host {
			return page{}, to
		}
		method, target, form = http.MethodGet, to, nil
	}
	b.t.Fatal("the provider redirects in circles")
	return page{}, nil
}

var buttons = regexp.MustCompile(`<button id="([a-z]+)"[^>]*name="([a-z]+)" value="([a-z]+)"`)

// decide opens the provider's page at location, logs in as username and clicks
// the button approve or deny. It returns where the browser is sent then. WHCC
// asks nothing after the login.
func (b *browser) decide(location, username, button string) *url.URL {
	b.t.Helper()
	target, err := url.Parse(location)
	if err != nil {
		b.t.Fatalf("location: %v", err)
	}
	p, back := b.load(http.MethodGet, target, nil)
	for range 3 {
		if back != nil {
			return back
		}
		form := url.Values{}
		for _, m := range buttons.FindAllStringSubmatch(p.body, -1) {
			if m[1] == button || m[1] == "login" && !form.Has(m[2]) {
				form.Set(m[2], m[3])
			}
		}
		if len(form) == 0 {
			b.t.Fatalf("the page has no button %s:\n%s", button, p.body)
		}
		if strings.Contains(p.body, `name="password"`) {
			form.Set("username", username)
			form.Set("password", "any")
		}
		p, back = b.load(http.MethodPost, p.url, form)
	}
	b.t.Fatalf("the provider does not send the browser back from %s", location)
	return nil
}
