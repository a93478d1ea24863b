package authrequest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/pkg/providers"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func ring(t *testing.T, document string) seal.Keys {
	t.Helper()
	keys, err := seal.ParseKeys([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func sealKeys(t *testing.T) seal.Keys {
	t.Helper()
	return ring(t, `{"current":"k1","k1":"0123456789abcdef0123456789abcdef"}`)
}

// whole is a request with everything in it.
func whole() Request {
	return Request{
		Key: connection.Key{ConnectionID: "acct_42", Provider: "whisk"}, State: oauth.NewState(), Verifier: oauth.Secret(oauth.NewState()),
		RedirectURI: "https://connect.example.com/callback/whisk", Scopes: []string{"a", "b"}, Params: map[string]string{"identity_provider": "google"},
		ReturnTo: "https://app.example.com/done", TicketID: "0123456789abcdef", ClientID: "client-1", Environment: "production", Digest: "0123456789abcdefghijkl",
		ExpiresAt: noon.Add(Life),
	}
}

// set returns the cookie that gives r to a browser.
func set(t *testing.T, r Request, https bool) *http.Cookie {
	t.Helper()
	line, err := SetCookie(sealKeys(t), r, https)
	if err != nil {
		t.Fatal(err)
	}
	c, err := http.ParseSetCookie(line)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return c
}

func TestARequestComesBackWhole(t *testing.T) {
	for _, r := range []Request{whole(), {State: "s", ExpiresAt: noon}} {
		got, err := Open(sealKeys(t), set(t, r, true).Value)
		got.ExpiresAt = got.ExpiresAt.UTC()
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, r)
		}
	}
}

// RFC 6265bis section 4.1.3.2: a browser takes a __Host- cookie only with
// Secure, with the path / and without a domain.
func TestCookieAttributes(t *testing.T) {
	r := whole()
	tests := []struct {
		https  bool
		prefix string
	}{{true, "__Host-evergrant-"}, {false, "evergrant-"}}
	for _, tt := range tests {
		c := set(t, r, tt.https)
		if c.Name != CookieName(r.State, tt.https) || !regexp.MustCompile(`^`+tt.prefix+`[0-9a-f]{16}$`).MatchString(c.Name) {
			t.Errorf("https %v: name %s", tt.https, c.Name)
		}
		if c.Secure != tt.https || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 600 || len(c.Unparsed) > 0 {
			t.Errorf("https %v: %s", tt.https, c.Raw)
		}
	}
	if CookieName(r.State, true) == CookieName(oauth.NewState(), true) {
		t.Error("two requests share a cookie")
	}
}

func TestCookieShowsNothing(t *testing.T) {
	r := whole()
	c := set(t, r, true)
	opened, _ := base64.RawURLEncoding.DecodeString(c.Value)
	for _, s := range []string{r.State, r.State[:16], r.Verifier.Reveal(), r.TicketID, r.Key.ConnectionID, r.ReturnTo} {
		if strings.Contains(c.Raw, s) || strings.Contains(string(opened), s) {
			t.Errorf("the cookie shows %s", s)
		}
	}
}

// Browsers keep a cookie of at most 4096 bytes, attributes and all.
func TestTooLongACookieIsAnError(t *testing.T) {
	r := whole()
	longest := 0
	for n := range 3000 {
		r.ReturnTo = "https://app.example.com/" + strings.Repeat("x", n)
		line, err := SetCookie(sealKeys(t), r, true)
		if err != nil {
			if !errors.Is(err, ErrTooLong) || n < 1024 {
				t.Errorf("with %d characters: %v", n, err)
			}
			break
		}
		longest = max(longest, len(line))
	}
	if longest < 3800 || longest > 4096 {
		t.Errorf("the longest cookie is %d bytes", longest)
	}
}

func TestOpenTakesNothingElse(t *testing.T) {
	value := set(t, whole(), true).Value
	token, err := sealKeys(t).Seal(connection.RefreshTokenPurpose(connection.Key{}), []byte(`{"s":"state"}`))
	if err != nil {
		t.Fatal(err)
	}
	noObject, err := sealKeys(t).Seal(purpose, []byte(`"state"`))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"empty": "", "no base64": "%", "short": value[:10], "cut off": value[:len(value)-4], "longer": value + "AAAA", "padded": value + "=",
		"a line break": value[:8] + "\n" + value[8:], "a line break at its end": value + "\r\n",
		"another purpose": encoding.EncodeToString(token), "no object": encoding.EncodeToString(noObject),
	}
	for i := range value {
		for _, other := range []byte{'A', 'z', '-'} {
			if value[i] != other {
				tests[fmt.Sprintf("character %d is %c", i, other)] = value[:i] + string(other) + value[i+1:]
			}
		}
	}
	for n := range 3 { // the last character of one in three holds bits that mean nothing
		r := whole()
		r.ReturnTo = strings.Repeat("x", n)
		v := set(t, r, true).Value
		for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
			if last := len(v) - 1; v[last] != byte(c) {
				tests[fmt.Sprintf("%d more, last character is %c", n, c)] = v[:last] + string(c)
			}
		}
	}
	for name, v := range tests {
		if r, err := Open(sealKeys(t), v); err == nil || !reflect.DeepEqual(r, Request{}) {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := Open(ring(t, `{"current":"k1","k1":"fedcba9876543210fedcba9876543210"}`), value); !errors.Is(err, seal.ErrNotOpened) {
		t.Errorf("opened under another key: %v", err)
	}
	rotated := ring(t, `{"current":"k2","keys":{"k1":"0123456789abcdef0123456789abcdef","k2":"fedcba9876543210fedcba9876543210"}}`)
	if _, err := Open(rotated, value); err != nil {
		t.Errorf("not opened while its key is in the ring: %v", err)
	}
	if _, err := SetCookie(seal.Keys{}, whole(), true); err == nil {
		t.Error("sealed without a key")
	}
}

// The record is found by ticket, so that a ticket completes once, and holds
// hashes alone.
func TestRecord(t *testing.T) {
	r := whole()
	got := r.Record(noon)
	if got.Key != r.Key || !got.ExpiresAt.Equal(noon.Add(24*time.Hour)) || got.State != connection.StateID(r.State) || got.ID != connection.RequestID(r.TicketID, "another state") {
		t.Errorf("record = %+v", got)
	}
	r.TicketID = ""
	if unsigned := r.Record(noon); unsigned.ID != connection.RequestID("", r.State) || unsigned.ID == got.ID {
		t.Errorf("record without a ticket = %+v", unsigned)
	}
	text, _ := json.Marshal(got)
	for _, s := range []string{r.State, "0123456789abcdef", r.Verifier.Reveal()} {
		if strings.Contains(string(text), s) {
			t.Errorf("the record shows %s", s)
		}
	}
}

func TestOAuthHoldsWhatTheProviderSees(t *testing.T) {
	r := whole()
	want := oauth.AuthorizationRequest{State: r.State, Verifier: r.Verifier, RedirectURI: r.RedirectURI, Scopes: r.Scopes, Params: r.Params}
	if got := r.OAuth(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A jar is a browser's cookies.
type jar map[string]string

func (j jar) take(t *testing.T, line string) {
	t.Helper()
	c, err := http.ParseSetCookie(line)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if c.MaxAge < 0 {
		if c.Path != "/" || c.Secure != strings.HasPrefix(c.Name, "__Host-") || !c.HttpOnly {
			t.Errorf("a browser does not drop a cookie for %s", line)
		}
		delete(j, c.Name)
		return
	}
	j[c.Name] = c.Value
}

// start gives a request that expires at a time to the browser, and returns the
// name of its cookie.
func (j jar) start(t *testing.T, at time.Time, returnTo string) string {
	t.Helper()
	r := whole()
	r.ExpiresAt, r.ReturnTo = at, returnTo
	line, err := SetCookie(sealKeys(t), r, true)
	if err != nil {
		t.Fatal(err)
	}
	j.take(t, line)
	return CookieName(r.State, true)
}

func (j jar) evict(t *testing.T, https bool, now time.Time) {
	t.Helper()
	for _, line := range Evict(sealKeys(t), j, https, now) {
		j.take(t, line)
	}
}

func TestABrowserHasAtMostFiveRequests(t *testing.T) {
	j := jar{"session": "of the host"}
	var names []string
	for i := range 50 {
		at := noon.Add(time.Duration(i) * time.Second)
		j.evict(t, true, at)
		names = append(names, j.start(t, at.Add(Life), ""))
		if len(j) > MaxCookies+1 {
			t.Fatalf("%d cookies after %d requests", len(j)-1, i+1)
		}
	}
	want := append(names[45:], "session")
	if got := slices.Sorted(maps.Keys(j)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("left are %v, want the last five %v", got, want)
	}
}

// An HTTP API refuses headers above 10 kB: long cookies may not pile up.
func TestLongCookiesMakeRoomToo(t *testing.T) {
	j := jar{}
	for i := range 5 {
		at := noon.Add(time.Duration(i) * time.Second)
		j.evict(t, true, at)
		last := j.start(t, at.Add(Life), "https://app.example.com/"+strings.Repeat("x", 2000))
		length := 0
		for name, value := range j {
			length += len(name) + len(value)
		}
		if _, ok := j[last]; !ok || length > 8<<10 {
			t.Errorf("%d bytes of cookies, the last one is there: %v", length, ok)
		}
	}
	if len(j) != 2 {
		t.Errorf("%d cookies are left, want 2", len(j))
	}
}

func TestEvictDropsWhatIsOfNoUse(t *testing.T) {
	j := jar{"__Host-evergrant-0000000000000000": "no request", "__Host-other": "x", "evergrant-0000000000000000": "of plain http", "session": "x"}
	ended := j.start(t, noon, "")
	good := j.start(t, noon.Add(time.Second), "")
	j.evict(t, true, noon)
	want := []string{good, "__Host-other", "evergrant-0000000000000000", "session"}
	if got := slices.Sorted(maps.Keys(j)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("left are %v, want %v (%s has ended)", got, want, ended)
	}
	j.evict(t, false, noon)
	if _, ok := j["evergrant-0000000000000000"]; ok {
		t.Error("an unreadable cookie stays over plain http")
	}
}

// What a browser sends comes back in no header but as a name of ours, to the
// letter: with any other, it would write a part of the line.
func TestEvictNamesNoCookieButOurs(t *testing.T) {
	for _, name := range []string{
		"__Host-evergrant-", "__Host-evergrant-000000000000000", "__Host-evergrant-00000000000000000", "__Host-evergrant-000000000000000A",
		"__Host-evergrant-000000000000000 ", "__Host-evergrant-0000000000000000\n", "__Host-evergrant-\r\nSet-Cookie: a", "__Host-evergrant-0; Domain=example.com",
		"evergrant-0000000000000000",
	} {
		if lines := Evict(sealKeys(t), map[string]string{name: "x"}, true, noon); len(lines) != 0 {
			t.Errorf("%q: %q", name, lines)
		}
	}
}

// The same cookies are always evicted in the same way.
func TestEvictIsSteady(t *testing.T) {
	j := jar{}
	for range 8 {
		j.start(t, noon.Add(Life), "")
	}
	first := Evict(sealKeys(t), j, true, noon)
	for range 20 {
		if again := Evict(sealKeys(t), j, true, noon); !slices.Equal(first, again) || len(again) != 4 {
			t.Fatalf("evicted %v, then %v", first, again)
		}
	}
}

// What a code was asked of is what it may go to: of today's client, and of one
// that was replaced meanwhile.
func TestARequestIsOfOneClient(t *testing.T) {
	p := providers.Provider{Environments: []providers.Environment{{Name: "production"}, {Name: "sandbox"}}}
	client := func(id, environment, tokenURL string) oauth.Client {
		return oauth.Client{Provider: p, ID: id, Environment: providers.Environment{Name: environment}, Endpoints: providers.Endpoints{TokenURL: tokenURL}}
	}
	const here, there = "https://p.example/token", "https://q.example/token"
	begun := client("a", "production", here)
	r := Request{ClientID: begun.ID, Environment: begun.Environment.Name, Digest: begun.Digest()}
	later := func(c oauth.Client, former ...oauth.Client) oauth.Client {
		c.Former = former
		return c
	}
	rotated := begun
	rotated.Secret, rotated.Scopes = "rotated", []string{"x"}
	tests := map[string]struct {
		now  oauth.Client
		good bool
	}{
		"the same":                        {begun, true},
		"a rotated secret":                {rotated, true},
		"another client":                  {client("b", "production", here), false},
		"another environment":             {client("a", "sandbox", here), false},
		"another endpoint":                {client("a", "production", there), false},
		"a former client":                 {later(client("b", "production", here), begun), true},
		"a former client, moved":          {later(client("b", "production", there), client("a", "production", there)), false},
		"a former client of another name": {later(client("b", "production", here), client("a", "sandbox", here)), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := r.Client(tt.now)
			if tt.good && (err != nil || got.Digest() != r.Digest) || !tt.good && !errors.Is(err, ErrClientChanged) {
				t.Errorf("client = %v, %v", got, err)
			}
			if _, err := (Request{ClientID: "a", Environment: "production"}).Client(tt.now); !errors.Is(err, ErrClientChanged) {
				t.Errorf("without a digest: %v", err)
			}
		})
	}
}
