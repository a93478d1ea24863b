package oauth

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/pkg/providers"
)

func basic(t *testing.T) providers.Provider {
	t.Helper()
	p := plain
	p.ClientAuth = providers.ClientSecretBasic
	return p
}

// A request that carries more than it must is as wrong as one that lacks
// something: each is compared whole, with all its headers.
func TestRequests(t *testing.T) {
	const (
		exchangeForm = "client_id=client-1&client_secret=cl13nt%2Bsecret%3D&code=c0d3%2Bcanary%3D%3D&grant_type=authorization_code&redirect_uri=https%3A%2F%2Fconnect.example%2Fcallback%2Fp"
		pkceForm     = "client_id=client-1&client_secret=cl13nt%2Bsecret%3D&code=c0d3%2Bcanary%3D%3D&code_verifier=" + verifier + "&grant_type=authorization_code&redirect_uri=https%3A%2F%2Fconnect.example%2Fcallback%2Fp"
		refreshForm  = "client_id=client-1&client_secret=cl13nt%2Bsecret%3D&grant_type=refresh_token&refresh_token=r3fresh%2Bcanary%3D"
		revokeForm   = "client_id=client-1&client_secret=cl13nt%2Bsecret%3D&token=r3fresh%2Bcanary%3D&token_type_hint=refresh_token"
		asClient     = "Bearer " + clientSecret
		asUser       = "Bearer " + accessToken
	)
	basicPair := "Basic " + base64.StdEncoding.EncodeToString([]byte("client-1:cl13nt%2Bsecret%3D"))
	whcc := "consumer_key=client-1&consumer_secret=cl13nt%2Bsecret%3D"
	tests := []struct {
		provider, operation  string
		method, path, query  string
		body, authentication string
	}{
		{"plain", "exchange", "POST", "/token", "keep=1", pkceForm, ""},
		{"plain", "refresh", "POST", "/token", "keep=1", refreshForm, ""},
		{"plain", "revoke", "POST", "/revoke", "", revokeForm, ""},
		{"plain", "account", "GET", "/me", "", "", asUser},
		{"basic", "exchange", "POST", "/token", "keep=1", strings.TrimPrefix(pkceForm, "client_id=client-1&client_secret=cl13nt%2Bsecret%3D&"), basicPair},
		{"basic", "refresh", "POST", "/token", "keep=1", strings.TrimPrefix(refreshForm, "client_id=client-1&client_secret=cl13nt%2Bsecret%3D&"), basicPair},
		{"basic", "revoke", "POST", "/revoke", "", strings.TrimPrefix(revokeForm, "client_id=client-1&client_secret=cl13nt%2Bsecret%3D&"), basicPair},
		{"whiplash", "exchange", "POST", "/token", "keep=1", pkceForm, ""},
		{"whiplash", "refresh", "POST", "/token", "keep=1", refreshForm, ""},
		{"whiplash", "revoke", "POST", "/revoke", "", revokeForm, ""},
		{"whiplash", "account", "GET", "/me", "", "", asUser},
		{"whisk", "exchange", "POST", "/token", "keep=1", exchangeForm, ""},
		{"whisk", "refresh", "POST", "/token", "keep=1", refreshForm, ""},
		{"whisk", "account", "GET", "/me", "", "", asUser},
		{"whatnot", "exchange", "POST", "/token", "keep=1", exchangeForm, asClient},
		{"whatnot", "refresh", "POST", "/token", "keep=1", refreshForm, asClient},
		{"whatnot", "revoke", "POST", "/revoke", "", "", asUser},
		{"whatnot", "account", "GET", "/me", "", "", asUser},
		{"whcc", "issue", "GET", "/token", whcc + "&grant_type=consumer_credentials&keep=1", "", ""},
		{"whcc", "prepare", "GET", "/prepare", "callback_url=https%3A%2F%2Fconnect.example%2Fcallback%2Fp%3Fstate%3Ds&" + whcc + "&keep=1&response_type=request_url", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.provider+" "+tt.operation, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(with(""))) })
			p := basic(t)
			if tt.provider != "basic" {
				p = definition(t, tt.provider)
			}
			_, _ = find(t, tt.operation).call(t.Context(), newTokenClient(), newClient(t, p, s.URL, nil))

			header := http.Header{"Accept": {"application/json"}, "User-Agent": {"evergrant"}, "Connection": {"close"}}
			if tt.body != "" {
				header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			if tt.method == "POST" {
				header.Set("Content-Length", strconv.Itoa(len(tt.body)))
			}
			if tt.authentication != "" {
				header.Set("Authorization", tt.authentication)
			}
			want := request{tt.method, tt.path, tt.query, tt.body, header}
			if got := s.wantOne(t); !reflect.DeepEqual(got, want) {
				t.Errorf("request =\n%+v, want\n%+v", got, want)
			}
		})
	}
}

func find(t *testing.T, name string) operation {
	t.Helper()
	for _, op := range operations {
		if op.name == name {
			return op
		}
	}
	t.Fatalf("no operation %q", name)
	return operation{}
}

// RFC 6749 section 2.3.1: the client's ID and secret are form-encoded before
// they become user name and password.
func TestBasicAuthenticationEncodesItsParts(t *testing.T) {
	tests := []struct{ id, secret, pair string }{
		{"id", "secret", "id:secret"},
		{"a:b", "c:d", "a%3Ab:c%3Ad"},
		{"a%b", "100%", "a%25b:100%25"},
		{"a+b", "c+d", "a%2Bb:c%2Bd"},
		{"a b", " c ", "a+b:+c+"},
		{"é", "ключ", "%C3%A9:%D0%BA%D0%BB%D1%8E%D1%87"},
		{"a/b=c&d", "-._~", "a%2Fb%3Dc%26d:-._~"},
	}
	for _, tt := range tests {
		t.Run(tt.pair, func(t *testing.T) {
			var id, secret string
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				id, secret, _ = r.BasicAuth()
				_, _ = w.Write([]byte(with("")))
			})
			c := newClient(t, basic(t), s.URL, map[string]any{"client_id": tt.id, "client_secret": tt.secret})
			if _, err := refresh(t.Context(), newTokenClient(), c); err != nil {
				t.Fatal(err)
			}
			if got := id + ":" + secret; got != tt.pair {
				t.Errorf("pair = %s, want %s", got, tt.pair)
			}
			form, err := url.ParseQuery(s.wantOne(t).Body)
			if err != nil || form.Has("client_id") || form.Has("client_secret") {
				t.Errorf("the body authenticates too: %v, %v", form, err)
			}
		})
	}
}

// A code and a strict refresh token are good for one request: whatever
// happens, nothing may send a second one.
func TestOneRequestWhateverHappens(t *testing.T) {
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", r.URL.String())
			w.Header().Set("Retry-After", "0")
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	behaviours := map[string]http.HandlerFunc{
		"tokens":                 answer(200, with("")),
		"not a token":            answer(200, "<html>"),
		"redirect to itself":     answer(307, ""),
		"permanent redirect":     answer(308, ""),
		"see other":              answer(303, ""),
		"invalid client":         answer(401, `{"error":"invalid_client"}`),
		"request timeout":        answer(408, ""),
		"misdirected":            answer(421, ""),
		"too early":              answer(425, ""),
		"too many":               answer(429, ""),
		"unavailable":            answer(503, ""),
		"closed unanswered":      cut(""),
		"closed in the headers":  cut("HTTP/1.1 200 OK\r\nContent-Le"),
		"closed in the body":     cut("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"access"),
		"no HTTP":                cut("220 mail.example ESMTP\r\n"),
		"continue, then closed":  cut("HTTP/1.1 100 Continue\r\n\r\n"),
		"408 before the request": cut("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"),
	}
	for _, op := range operations {
		for name, behaviour := range behaviours {
			t.Run(op.name+"/"+name, func(t *testing.T) {
				s := serve(t, behaviour)
				_, err := op.call(t.Context(), newTokenClient(), newClient(t, everything, s.URL, nil))
				s.wantOne(t)
				if err != nil {
					mustBeDiscreet(t, err)
				}
			})
		}
	}
}

// Giving up on a provider that is about to answer loses a refresh token.
func TestHowLongAProviderMayTake(t *testing.T) {
	want := map[string]time.Duration{
		"exchange": 10 * time.Second, "refresh": 30 * time.Second, "issue": 10 * time.Second,
		"revoke": 10 * time.Second, "prepare": 10 * time.Second, "account": 5 * time.Second,
	}
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, everything, "http://localhost", nil)
				began := time.Now()
				_, err := op.call(t.Context(), &TokenClient{HTTP: &http.Client{Transport: deaf{}}, Now: time.Now}, c)
				if took := time.Since(began); took != want[op.name] {
					t.Errorf("gave up after %v, want %v", took, want[op.name])
				}
				if mustBeDiscreet(t, err); !Unknown(err) {
					t.Errorf("nobody knows whether the provider acted, but: %v", err)
				}
			})
		})
	}
}

// deaf is a transport that never answers.
type deaf struct{}

func (deaf) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestAccount(t *testing.T) {
	tests := []struct {
		name, provider string
		status         int
		body           string
		want           Account
		fails          bool
	}{
		{"Whiplash names a number and a mail address", "whiplash", 200, `{"id":4711,"email":"ops@shop.example","role":"admin"}`, Account{ID: "4711", Label: "ops@shop.example"}, false},
		{"Whisk nests the user", "whisk", 200, `{"user":{"id":"u-1","email":"cook@kitchen.example","phone":""}}`, Account{ID: "u-1", Label: "cook@kitchen.example"}, false},
		{"Whatnot names a user", "whatnot", 200, `{"id":"VXNlcjox","username":"seller"}`, Account{ID: "VXNlcjox", Label: "seller"}, false},
		{"a byte order mark", "whatnot", 200, "\ufeff" + `{"id":"1"}`, Account{ID: "1"}, false},
		{"members are missing", "whisk", 200, `{"user":null}`, Account{}, false},
		{"members are of odd types", "whatnot", 200, `{"id":{"x":1},"username":["a"]}`, Account{}, false},
		{"a number keeps all its digits", "whatnot", 200, `{"id":12345678901234567890}`, Account{ID: "12345678901234567890"}, false},
		{"an error with 200", "whatnot", 200, `{"error":"invalid_token"}`, Account{}, true},
		{"Whatnot's problem", "whatnot", 401, `{"type":"unauthorized","title":"Unauthorized"}`, Account{}, true},
		{"HTML", "whiplash", 200, `<html>`, Account{}, true},
		{"a list", "whiplash", 200, `[{"id":1}]`, Account{}, true},
		{"empty", "whiplash", 204, ``, Account{}, true},
		{"unavailable", "whiplash", 503, `{"id":1}`, Account{}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			})
			got, err := newTokenClient().Account(t.Context(), newClient(t, definition(t, tt.provider), s.URL, nil), accessToken)
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("Account = %+v, %v", got, err)
			}
			if err != nil {
				mustBeDiscreet(t, err)
			}
		})
	}
}

// WHCC has no page that tells; asking must cost no call.
func TestAccountIsNotAskedForWhereNobodyTells(t *testing.T) {
	c := Client{Provider: definition(t, "whcc")}
	if got, err := (&TokenClient{HTTP: &http.Client{Transport: deaf{}}}).Account(t.Context(), c, accessToken); got != (Account{}) || err != nil {
		t.Errorf("Account = %+v, %v", got, err)
	}
}

// RFC 7009 section 2: the refresh token first, since servers then end the
// access tokens of the grant too.
func TestRevoke(t *testing.T) {
	const authentication = "client_id=client-1&client_secret=cl13nt%2Bsecret%3D&"
	tests := []struct {
		name, provider  string
		access, refresh Secret
		status          int
		body            string
		form            string
		authorization   string
		code            string
		fails           bool
	}{
		{"both tokens", "plain", "a", "r", 200, "", authentication + "token=r&token_type_hint=refresh_token", "", "", false},
		{"access token alone", "plain", "a", "", 200, "{}", authentication + "token=a&token_type_hint=access_token", "", "", false},
		{"a token that the provider does not know", "whiplash", "a", "r", 200, "{}", authentication + "token=r&token_type_hint=refresh_token", "", "", false},
		{"wrong client", "whiplash", "a", "r", 403, `{"error":"unauthorized_client"}`, authentication + "token=r&token_type_hint=refresh_token", "", "unauthorized_client", true},
		{"unsupported token type", "plain", "a", "r", 400, `{"error":"unsupported_token_type"}`, authentication + "token=r&token_type_hint=refresh_token", "", "unsupported_token_type", true},
		{"unavailable", "plain", "a", "r", 503, `{"error":"invalid_client"}`, authentication + "token=r&token_type_hint=refresh_token", "", "", true},
		{"Whatnot disconnects as the user", "whatnot", "a", "r", 204, "", "", "Bearer a", "", false},
		{"Whatnot with a token that is over", "whatnot", "a", "r", 401, `{"type":"unauthorized"}`, "", "Bearer a", unrecognized, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			})
			err := newTokenClient().Revoke(t.Context(), newClient(t, definition(t, tt.provider), s.URL, nil), tt.access, tt.refresh)
			got := s.wantOne(t)
			if got.Method != "POST" || got.Body != tt.form || got.Header.Get("Authorization") != tt.authorization {
				t.Errorf("request = %+v", got)
			}
			if !tt.fails {
				if err != nil {
					t.Errorf("Revoke: %v", err)
				}
				return
			}
			if e := wire(t, err); e.Code != tt.code || e.Status != tt.status || e.RetryAfter != 7*time.Second {
				t.Errorf("error = %+v", e)
			}
		})
	}
}

func TestRevokeWhereNothingIsOffered(t *testing.T) {
	for _, id := range []string{"whisk", "whcc"} {
		c := Client{Provider: definition(t, id)}
		if err := (&TokenClient{HTTP: &http.Client{Transport: deaf{}}}).Revoke(t.Context(), c, accessToken, refreshToken); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// What a person has disconnected before holds no token any more.
func TestRevokeWithoutTheTokenThatItTakes(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	for id, refresh := range map[string]Secret{"plain": "", "whatnot": refreshToken} {
		if err := newTokenClient().Revoke(t.Context(), newClient(t, definition(t, id), s.URL, nil), "", refresh); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if n := len(s.seen()); n != 0 {
		t.Errorf("%d requests that say nothing", n)
	}
}

// A call that a provider does not have is the caller's mistake.
func TestCallsThatAProviderDoesNotHave(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	for _, name := range []string{"issue", "prepare"} {
		_, err := find(t, name).call(t.Context(), newTokenClient(), newClient(t, plain, s.URL, nil))
		if e := wire(t, err); !e.NotSent || RemedyFor(err) != Reconfigure {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if n := len(s.seen()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// The client credentials grant of RFC 6749 section 4.4 is the zero Issue.
func TestIssueByTheStandard(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"access_token":"at","token_type":"bearer","expires_in":60}`))
	})
	p := plain
	p.Issue = new(providers.Issue)
	tokens, err := newTokenClient().Issue(t.Context(), newClient(t, p, s.URL, map[string]any{"scopes": []string{"a", "b"}}))
	checkTokens(t, tokens, err, outcome{access: "at", life: time.Minute})
	if got, want := s.wantOne(t).Body, "client_id=client-1&client_secret=cl13nt%2Bsecret%3D&grant_type=client_credentials&scope=a+b"; got != want {
		t.Errorf("body = %s, want %s", got, want)
	}
}

// WHCC's dates wear the label CST in summer too: their difference counts,
// whatever zones this machine knows, and never for more than the page says.
func TestIssueAtWHCC(t *testing.T) {
	tests := []struct {
		name, effective, expires string
		life                     time.Duration
	}{
		{"winter", "1/9/2026 3:10:26 PM CST", "1/9/2026 4:10:26 PM CST", hour},
		{"summer under winter's label", "8/19/2018 3:10:26 PM CST", "8/19/2018 4:10:26 PM CST", hour},
		{"summer under its own label", "8/19/2018 3:10:26 PM CDT", "8/19/2018 4:10:26 PM CDT", hour},
		{"over midnight and the year", "12/31/2026 11:30:00 PM CST", "1/1/2027 12:30:00 AM CST", hour},
		{"shorter than the page says", "1/9/2026 3:00:00 PM CST", "1/9/2026 3:20:00 PM CST", 20 * time.Minute},
		{"the clock jumps ahead", "3/8/2026 1:30:00 AM CST", "3/8/2026 3:30:00 AM CDT", hour},
		{"the clock jumps ahead under winter's label", "3/8/2026 1:30:00 AM CST", "3/8/2026 3:30:00 AM CST", hour},
		{"longer than the page says", "1/9/2026 3:00:00 PM CST", "1/10/2026 3:00:00 PM CST", hour},
		{"the clock falls back", "11/1/2026 1:30:00 AM CDT", "11/1/2026 1:30:00 AM CST", hour},
		{"dates missing", "", "", hour},
		{"one date missing", "1/9/2026 3:00:00 PM CST", "", hour},
		{"another format", "2026-01-09T15:00:00Z", "2026-01-09T16:00:00Z", hour},
		{"ends before it begins", "1/9/2026 3:00:00 PM CST", "1/9/2026 2:00:00 PM CST", hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(`{"ClientId":"10072","ConsumerKey":"k","EffectiveDate":"` + tt.effective + `","ExpirationDate":"` + tt.expires + `","Token":"123456789012"}`))
			})
			tokens, err := newTokenClient().Issue(t.Context(), newClient(t, definition(t, "whcc"), s.URL, nil))
			checkTokens(t, tokens, err, outcome{access: "123456789012", life: tt.life})
		})
	}
}

func TestIssueIsRefusedWith200(t *testing.T) {
	tests := map[string]Remedy{
		`{"ErrorNumber":"403.02","Message":"Incorrect consumer key or secret"}`:      Reconfigure,
		`{"ErrorNumber":"403.03","Message":"m"}`:                                     Reconfigure,
		`{"ErrorNumber":"403.04","Message":"m"}`:                                     Reconfigure,
		`{"ErrorNumber":"403.05","Message":"m"}`:                                     Reconfigure,
		`{"ErrorNumber":"403.01","Message":"m"}`:                                     Reauthorize,
		`{"ErrorNumber":"500.01","Message":"m"}`:                                     Retry,
		`{"ErrorNumber":"403.02","Message":"` + clientSecret + `","Token":"123456"}`: Reconfigure,
		`{"Message":"An error has occurred."}`:                                       Retry,
		`<html>`:                                                                     Retry,
	}
	for body, remedy := range tests {
		t.Run(body, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
			_, err := newTokenClient().Issue(t.Context(), newClient(t, definition(t, "whcc"), s.URL, nil))
			if mustBeDiscreet(t, err); RemedyFor(err) != remedy {
				t.Errorf("remedy = %d, want %d: %v", RemedyFor(err), remedy, err)
			}
		})
	}
}

// The answer decides where our browser goes: nowhere but to the provider.
func TestPrepare(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string // HOST stands for the server's
		ok     bool
	}{
		{"the documented answer", 200, `{"LoginURL":"http://HOST/Login.aspx","SessionID":"4153bade","RedirectURI":"http://HOST/Login.aspx?4153bade"}`, true},
		{"a byte order mark", 200, "\ufeff" + `{"RedirectURI":"http://HOST/Login.aspx?4153bade"}`, true},
		{"another host", 200, `{"RedirectURI":"http://evil.example/Login.aspx?4153bade"}`, false},
		{"another host that begins alike", 200, `{"RedirectURI":"http://HOST.evil.example/"}`, false},
		{"another port", 200, `{"RedirectURI":"http://127.0.0.1:1/"}`, false},
		{"a subdomain", 200, `{"RedirectURI":"http://a.HOST/"}`, false},
		{"another scheme", 200, `{"RedirectURI":"https://HOST/"}`, false},
		{"a script", 200, `{"RedirectURI":"javascript:alert(1)"}`, false},
		{"user info", 200, `{"RedirectURI":"http://user:pass@HOST/"}`, false},
		{"user info that hides a host", 200, `{"RedirectURI":"http://HOST@evil.example/"}`, false},
		{"a backslash that hides a host", 200, `{"RedirectURI":"http://HOST\\@evil.example/"}`, false},
		{"no scheme", 200, `{"RedirectURI":"//HOST/Login.aspx"}`, false},
		{"a path", 200, `{"RedirectURI":"/Login.aspx"}`, false},
		{"a header in the path", 200, `{"RedirectURI":"http://HOST/\r\nSet-Cookie: a=b"}`, false},
		{"empty", 200, `{"RedirectURI":""}`, false},
		{"missing", 200, `{"LoginURL":"http://HOST/Login.aspx"}`, false},
		{"a list", 200, `{"RedirectURI":["http://HOST/"]}`, false},
		{"twice", 200, `{"RedirectURI":"http://HOST/","RedirectURI":"http://HOST/other"}`, false},
		{"an error with 200", 200, `{"ErrorNumber":"403.02","Message":"m","RedirectURI":"http://HOST/"}`, false},
		{"HTML", 200, `<html><a href="http://HOST/">`, false},
		{"nothing", 200, ``, false},
		{"unavailable", 503, `{"RedirectURI":"http://HOST/"}`, false},
		{"a redirect", 302, ``, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(strings.ReplaceAll(tt.body, "HOST", r.Host)))
			})
			to, err := newTokenClient().Prepare(t.Context(), newClient(t, definition(t, "whcc"), s.URL, nil), redirectURI+"?state=s")
			s.wantOne(t)
			if tt.ok {
				if want := s.URL + "/Login.aspx?4153bade"; to != want || err != nil {
					t.Errorf("Prepare = %q, %v, want %q", to, err, want)
				}
				return
			}
			if mustBeDiscreet(t, err); to != "" {
				t.Errorf("Prepare = %q, want an error", to)
			}
		})
	}
}

// With the real definition the browser is sent nowhere but to https.
func TestPrepareWantsHTTPSWhereTheProviderHasIt(t *testing.T) {
	for body, ok := range map[string]bool{
		`{"RedirectURI":"https://login.whcc.com/Login.aspx?4153bade"}`: true,
		`{"RedirectURI":"http://login.whcc.com/Login.aspx?4153bade"}`:  false,
		`{"RedirectURI":"https://apps.whcc.com/Login.aspx?4153bade"}`:  false,
	} {
		p := definition(t, "whcc")
		c, err := ParseClient(p, []byte(`{"client_id":"id","client_secret":"secret"}`), false)
		if err != nil {
			t.Fatal(err)
		}
		tc := &TokenClient{HTTP: &http.Client{Transport: says(body)}, Now: time.Now}
		to, err := tc.Prepare(context.Background(), c, redirectURI)
		if (err == nil) != ok || (to != "") != ok {
			t.Errorf("%s: Prepare = %q, %v", body, to, err)
		}
	}
}
