package oauth

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/evergrant/evergrant/pkg/providers"
)

// ourWords is all that an error may consist of, whatever an answer holds.
var ourWords = regexp.MustCompile(`^[A-Za-z0-9_.,'():" -]{1,120}$`)

// Whatever a token endpoint answers, it is tokens that can be used or an error
// that costs nobody a connection by mistake. Tokens are those that the answer
// names, in every place where it names them, and stand beside no error. What is
// there of an answer that broke off is the same tokens or none.
func FuzzDecodeTokens(f *testing.F) {
	for _, tt := range answerCases {
		if len(tt.body) < 1<<10 {
			f.Add(max(tt.status, 200), []byte(tt.body), uint(len(tt.body)))
		}
	}
	f.Add(200, []byte(with(`,"error":"","error":null`)), uint(1))
	f.Add(200, []byte(`{"access_token":"at","\u0061ccess_token":"other"}`), uint(21))
	f.Add(200, []byte(`{"access_token":"at","x":{"access_token":"other","error":"e"}} `), uint(61))
	f.Add(200, []byte("access_token=at&error=&access%5ftoken=at&error=0"), uint(16))
	f.Add(200, []byte(with(`,"expires_in":0x10`)), uint(0))
	f.Add(200, []byte(with(`,"expires_in":-0,"refresh_expires_in":1E+2,"created_at":1e-9`)), uint(3))
	all := append(providers.All(), plain)
	f.Fuzz(func(t *testing.T, status int, body []byte, cut uint) {
		says := memberValues(body)
		for _, p := range all {
			c := Client{Provider: p}
			got, err := decodeTokens(c, answer{status: status, body: body}, noon)
			if err != nil {
				checkFuzzedError(t, status, err)
				continue
			}
			if status < 200 || status > 299 {
				t.Errorf("%s: tokens of status %d", p.ID, status)
			}
			checkFuzzedTokens(t, p, got, says)
			part := answer{status: status, body: body[:cut%uint(len(body)+1)]}
			if again, err := decodeTokens(c, part, noon); whole(part) && err == nil && !reflect.DeepEqual(again, got) {
				t.Errorf("%s: the first %d bytes say %+v, all of them %+v", p.ID, len(part.body), again, got)
			}
		}
	})
}

// memberValues returns all values of each member at the top of an answer, as
// package encoding/json or net/url reads them.
func memberValues(body []byte) map[string][]any {
	all := map[string][]any{}
	body = bytes.TrimSpace(bytes.TrimPrefix(body, byteOrderMark))
	if len(body) > 0 && body[0] != '{' {
		form, _ := url.ParseQuery(string(body))
		for name, values := range form {
			for _, v := range values {
				all[name] = append(all[name], v)
			}
		}
		return all
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	_, _ = dec.Token() // the brace
	for dec.More() {
		var v any
		name, err := dec.Token()
		if err != nil || dec.Decode(&v) != nil {
			break
		}
		all[name.(string)] = append(all[name.(string)], v)
	}
	return all
}

func checkFuzzedTokens(t *testing.T, p providers.Provider, got TokenSet, says map[string][]any) {
	t.Helper()
	access := says[cmp.Or(p.Answer.AccessToken, "access_token")]
	if got.AccessToken == "" || len(access) == 0 {
		t.Errorf("%s: an access token that nobody named: %q", p.ID, got.AccessToken.Reveal())
	}
	for _, v := range access {
		if v != got.AccessToken.Reveal() {
			t.Errorf("%s: the access token is %q and %v", p.ID, got.AccessToken.Reveal(), v)
		}
	}
	for _, v := range says["refresh_token"] {
		text, _ := v.(string)
		if n, ok := v.(json.Number); ok {
			text = n.String()
		}
		if text != got.RefreshToken.Reveal() {
			t.Errorf("%s: the refresh token is %q and %v", p.ID, got.RefreshToken.Reveal(), v)
		}
	}
	for _, v := range says["error"] {
		if b, err := json.Marshal(v); err != nil || !slices.Contains([]string{"null", `""`, `"0"`, "0", "false", "{}", "[]"}, string(b)) {
			t.Errorf("%s: tokens beside the error %s", p.ID, b)
		}
	}
	if got.TokenType == "" || !got.IssuedAt.Equal(noon) {
		t.Errorf("%s: type %q, issued %v", p.ID, got.TokenType, got.IssuedAt)
	}
	for what, end := range map[string]time.Time{"access": got.ExpiresAt, "refresh": got.RefreshExpiresAt} {
		if !end.IsZero() && (!end.After(noon) || end.After(noon.AddDate(101, 0, 0)) && !strings.Contains(got.AccessToken.Reveal(), ".")) {
			t.Errorf("%s: the end of the %s token is %v", p.ID, what, end)
		}
	}
	if got.RefreshToken == "" && (!got.RefreshExpiresAt.IsZero() || len(says["refresh_token"]) > 0 && says["refresh_token"][0] == "rt") {
		t.Errorf("%s: no refresh token, but its end, %v, or itself: %v", p.ID, got.RefreshExpiresAt, says["refresh_token"])
	}
	seen := map[string]bool{}
	for _, s := range got.Scopes {
		if s == "" || seen[s] {
			t.Errorf("%s: scopes = %q", p.ID, got.Scopes)
		}
		seen[s] = true
	}
}

// Good tokens are never thrown away because of what stands beside them, before
// or behind, once or twice, in JSON or in a form.
func FuzzOddMembers(f *testing.F) {
	for _, name := range []string{"expires_in", "scope", "token_type", "created_at", "refresh_token_expires_in", "id_token", "code", "EffectiveDate", "", "error_description", "Access_Token"} {
		for _, v := range []string{`""`, "null", "-1", "1e999", "0.1e-5", "[[]]", `{"":{}}`, "soon", "true", `"\ud800"`, "12345678901234567890123", strings.Repeat("[", 14) + strings.Repeat("]", 14), "\xff"} {
			f.Add(name, []byte(v), []byte("1"))
		}
	}
	all := append(providers.All(), plain)
	f.Fuzz(func(t *testing.T, name string, first, second []byte) {
		if slices.Contains([]string{"access_token", "Token", "refresh_token", "error", "ErrorNumber"}, name) {
			return // these count
		}
		member := func(v []byte) string {
			n, _ := json.Marshal(name)
			if !json.Valid(v) || depth(v) >= maxDepth {
				v, _ = json.Marshal(string(v))
			}
			return string(n) + ":" + string(v)
		}
		pair := url.QueryEscape(name) + "="
		for _, body := range []string{
			`{"access_token":"at","Token":"at","refresh_token":"rt",` + member(first) + "," + member(second) + "}",
			`{` + member(first) + `,"access_token":"at","Token":"at",` + member(second) + `,"refresh_token":"rt"}`,
			"access_token=at&Token=at&" + pair + url.QueryEscape(string(first)) + "&refresh_token=rt&" + pair + url.QueryEscape(string(second)),
		} {
			for _, p := range all {
				got, err := decodeTokens(Client{Provider: p}, answer{status: 200, body: []byte(body)}, noon)
				if err != nil || got.AccessToken != "at" || got.RefreshToken != "rt" {
					t.Fatalf("%s: %s\nis %q and %q, %v", p.ID, body, got.AccessToken.Reveal(), got.RefreshToken.Reveal(), err)
				}
				checkFuzzedTokens(t, p, got, memberValues([]byte(body)))
			}
		}
	})
}

// depth returns how deep the JSON value v nests.
func depth(v []byte) (deepest int) {
	dec := json.NewDecoder(bytes.NewReader(v))
	for now := 0; ; {
		token, err := dec.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('['), json.Delim('{'):
			now++
			deepest = max(deepest, now)
		case json.Delim(']'), json.Delim('}'):
			now--
		}
	}
}

func checkFuzzedError(t *testing.T, status int, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.NotSent || e.Status != status {
		t.Fatalf("error = %#v", err)
	}
	if e.Code != "" && e.Code != unrecognized && KnownCode(e.Code) == "" {
		t.Errorf("code = %q", e.Code)
	}
	if !ourWords.MatchString(err.Error()) {
		t.Errorf("text = %q", err.Error())
	}
	if status >= 500 && (RemedyFor(err) != Retry || !Unknown(err)) {
		t.Errorf("%d: remedy = %d, unknown = %v", status, RemedyFor(err), Unknown(err))
	}
	if status >= 300 && status < 400 && RemedyFor(err) != Reconfigure {
		t.Errorf("%d: remedy = %d", status, RemedyFor(err))
	}
}

// whData is one token and what the definition names beside it, or nothing: not
// where it is large or deep, nor where it says a thing twice.
func FuzzParseBlob(f *testing.F) {
	deep := strings.Repeat("[", 15) + strings.Repeat("]", 15)
	for _, seed := range []string{
		`{"client_id":10072,"token":"f5961220db4950744f69331954efb553","studio":"CH Studio","state":"MN"}`, `{"token":"t","token":"u"}`, `{"token":"t","\u0074oken":"u"}`,
		`{"token":{"token":"t"}}`, `{"token":"t","studio":["a"]}`, `{"token":"t","state":"MN","state":"WI"}`, `{"token":"t","state":{"state":"MN"}}`, `{"token":"t","client_id":1e400}`,
		`{"token":"t","x":` + deep + `}`, `{"token":"t","x":[` + deep + `]}`, `{"token":"t","access_token":"a","refresh_token":"r","error":"e"}`,
		"\ufeff{\"token\":\"\\u0000\"}", `{"token":"t"} x`, `[]`, ``, `null`, `{"token":"t","x":"` + strings.Repeat("x", maxBlob-19) + `"}`, `{"token":"t","x":"` + strings.Repeat("x", maxBlob-18) + `"}`,
	} {
		f.Add(seed)
	}
	p, _ := providers.Find("whcc")
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := ParseBlob(*p.Blob, Secret(raw), noon)
		if err != nil {
			if !ourWords.MatchString(err.Error()) || !reflect.DeepEqual(got, TokenSet{}) {
				t.Errorf("error = %q, and %+v", err, got)
			}
			return
		}
		says := memberValues([]byte(raw))
		if len(raw) > maxBlob || depth([]byte(strings.TrimPrefix(raw, "\ufeff"))) > 16 || len(says["token"]) == 0 {
			t.Errorf("%d bytes, %d deep, %d tokens", len(raw), depth([]byte(raw)), len(says["token"]))
		}
		named := map[string]string{p.Blob.AccountID: got.Account.ID, p.Blob.AccountLabel: got.Account.Label}
		for name, v := range got.Metadata {
			if !slices.Contains(p.Blob.Metadata, name) || v == "" || named[name] != "" && named[name] != v {
				t.Errorf("%s = %q", name, v)
			}
			named[name] = v
		}
		named["token"] = got.AccessToken.Reveal()
		for name, text := range named {
			for _, v := range says[name] {
				if text != "" && text != fmt.Sprint(v) {
					t.Errorf("%s is %q and %v", name, text, v)
				}
			}
		}
		rest := TokenSet{AccessToken: got.AccessToken, TokenType: "Bearer", IssuedAt: noon, Account: got.Account, Metadata: got.Metadata}
		if got.AccessToken == "" || !reflect.DeepEqual(got, rest) {
			t.Errorf("tokens = %+v", got)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "120", "-1", "99999999999999999999", "Mon, 23 Nov 2026 12:00:30 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "soon"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if got := retryAfter(header, noon); got < 0 || got > 24*time.Hour {
			t.Errorf("retryAfter(%q) = %v", header, got)
		}
		if got, _ := reset(header, noon); got < 0 || got > 24*time.Hour {
			t.Errorf("reset(%q) = %v", header, got)
		}
	})
}

func FuzzParseClient(f *testing.F) {
	f.Add(`{"client_id":"id","client_secret":"`+canary+`"}`, false)
	f.Add(`{"client_id":"id","client_secret":"`+canary+`","environment":"sandbox","scopes":["user_read"]}`, false)
	f.Add(`{"client_id":"id","client_secret":"`+canary+`","endpoints":{"token_url":"http://127.0.0.1/"},"extra":{"a":["b"]}}`, true)
	f.Add(`{"client_id":"id","client_secret":"`+canary+`","endpoints":{"token_url":"https://u:p@h/#f"}}`, true)
	f.Add(`{"client_id":"id","client_secret":"s","former":[{"client_id":"old","client_secret":"`+canary+`","environment":"sandbox"}]}`, false)
	f.Add(`{"client_id":1}`, true)
	f.Add(`[]`, true)
	all := append(providers.All(), plain)
	f.Fuzz(func(t *testing.T, document string, allowPrivate bool) {
		// A secret that stands elsewhere as well, say as the environment, is shown.
		inPlace := strings.Count(document, canary) == 1 && strings.Contains(document, `"client_secret":"`+canary+`"`)
		for _, p := range all {
			c, err := ParseClient(p, []byte(document), allowPrivate)
			if err != nil {
				if (inPlace && strings.Contains(err.Error(), canary)) || c.Secret != "" {
					t.Errorf("error = %v, with a secret", err)
				}
				continue
			}
			if c.ID == "" || c.Secret == "" || (c.ResponseType != "code" && c.ResponseType != "token") {
				t.Errorf("client = %+v", c)
			}
			for _, u := range []string{c.Endpoints.AuthorizationURL, c.Endpoints.TokenURL, c.Endpoints.RevocationURL, c.Endpoints.UserInfoURL, c.Endpoints.PrepareURL} {
				if u != "" && checkURL(u, allowPrivate) != nil {
					t.Errorf("endpoint %q", u)
				}
			}
		}
	})
}

// templated is a provider whose fields stand in for the worst that a definition
// could say: alternatives without brackets, and parameters of the protocol.
var templated = providers.Provider{
	ID: "templated", Name: "Templated", Environments: []providers.Environment{{Name: "production", BaseURL: "https://login.acme.example"}},
	Endpoints: providers.Endpoints{AuthorizationURL: "/oauth/authorize?keep=1&redirect_uri=https%3A%2F%2Fevil.example", TokenURL: "/oauth/token"},
	Fields: []providers.Field{
		{Name: "shop", Pattern: `[a-z]{1,20}|x-[a-z]{1,20}`, Param: "redirect_uri"}, {Name: "state", Pattern: `(?m)^[a-z]+$`, Param: "state"},
		{Name: "subdomain", Pattern: `[a-z0-9.-]{0,30}`, Param: "shop"}, {Name: "unused", Pattern: `.*`},
	},
}

// Whatever a ticket's params hold, the browser is sent to the endpoint of the
// definition, with each parameter of the protocol once and as it is ours. What
// is not the whole of a pattern is refused.
func FuzzAuthorizationURL(f *testing.F) {
	for _, v := range []string{
		"google", "a", "", "evil.example/#", "evil.example#", "a@evil.example", "a.evil.example?", "..%2f", "a\n", "\na", "a\r\nLocation: x", "a&redirect_uri=https://evil.example", "{client_id}",
		"x-a|b", "x-", "a x-b", "\u3002", "ｅvil", strings.Repeat("a", 300), "\x00", "a;b", "%0d%0a", "//evil.example", `\\evil.example`,
	} {
		f.Add(v, "st4te", redirectURI, "a b")
		f.Add("google", v, v, v)
	}
	all := append(providers.All(), templated)
	f.Fuzz(func(t *testing.T, value, state, redirectURI, scope string) {
		for _, p := range all {
			endpoints := p.In(p.Environments[0])
			if endpoints.AuthorizationURL == "" {
				continue
			}
			c := Client{Provider: p, ID: clientID, Secret: clientSecret, Endpoints: endpoints, ResponseType: "code"}
			params := map[string]string{}
			for _, field := range p.Fields {
				params[field.Name] = value
				err := c.CheckParams(map[string]string{field.Name: value})
				if want := longest(field.Pattern, value); (err == nil) != want {
					t.Errorf("%s: %s = %q is the whole of %s: %v, but %v", p.ID, field.Name, value, field.Pattern, want, err)
				}
			}
			got, err := AuthorizationURL(c, AuthorizationRequest{State: state, Verifier: verifier, RedirectURI: redirectURI, Scopes: []string{scope}, Params: params})
			if err != nil {
				t.Fatal(err)
			}
			ours := map[string]string{"response_type": "code", "client_id": clientID, "redirect_uri": redirectURI, "state": state, "scope": strings.Join(c.Asked([]string{scope}), " ")}
			if p.PKCE == providers.PKCES256 {
				ours["code_challenge"], ours["code_challenge_method"] = challenge(), "S256"
			}
			checkDestination(t, p, got, endpoints.AuthorizationURL, ours, params)
		}
	})
}

// longest reports whether pattern matches the whole of s, by another way than
// the one that CheckParams takes.
func longest(pattern, s string) bool {
	re := regexp.MustCompile(pattern)
	re.Longest()
	at := re.FindStringIndex(s)
	return at != nil && at[0] == 0 && at[1] == len(s)
}

// checkDestination holds got, a URL that a browser is sent to, against the
// endpoint, our own parameters and those of the fields.
func checkDestination(t *testing.T, p providers.Provider, got, endpoint string, ours, params map[string]string) {
	t.Helper()
	to, err1 := url.Parse(got)
	from, err2 := url.Parse(endpoint)
	if err1 != nil || err2 != nil || to.Scheme != from.Scheme || to.Host != from.Host || to.EscapedPath() != from.EscapedPath() || to.Fragment != "" || to.User != nil {
		t.Fatalf("%s: %q is not at %s", p.ID, got, endpoint)
	}
	if i := strings.IndexFunc(got, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }); i >= 0 {
		t.Errorf("%s: %q is not fit for a header", p.ID, got)
	}
	q, err := url.ParseQuery(to.RawQuery)
	if err != nil {
		t.Errorf("%s: %q: %v", p.ID, got, err)
	}
	known := maps.Clone(ours)
	for _, field := range p.Fields {
		if _, reserved := ours[field.Param]; field.Param != "" && !reserved {
			known[field.Param] = params[field.Name]
		}
	}
	for name, values := range from.Query() {
		if _, reserved := known[name]; !reserved {
			known[name] = values[0]
		}
	}
	for name, v := range known {
		if !slices.Equal(q[name], []string{v}) {
			t.Errorf("%s: %s = %q, want %q", p.ID, name, q[name], v)
		}
	}
	if len(q) != len(known) {
		t.Errorf("%s: parameters %v, want those of %v", p.ID, q, known)
	}
}

// An answering is a network that answers every request with one body, and keeps
// the last request.
type answering struct {
	body []byte
	last *http.Request
}

func (a *answering) RoundTrip(r *http.Request) (*http.Response, error) {
	a.last = r
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(a.body)), Request: r}, nil
}

// The call before the redirect goes to the definition's endpoint, whatever our
// credentials and the callback URL hold, and the browser to its host or nowhere.
func FuzzPrepare(f *testing.F) {
	const host = "https://login.whcc.com"
	for _, to := range []string{
		host + "/Login.aspx?a=b", host, host + ":443/", host + ".evil.example/", host + "@evil.example/", host + `\@evil.example/`, host + `\.evil.example`, "//login.whcc.com/", "http://login.whcc.com/",
		host + "/\r\nSet-Cookie: a=b", host + "/\t", "\t" + host, "https:login.whcc.com", "https:///login.whcc.com", "javascript:alert(1)//login.whcc.com", host + "%2f@evil.example", host + "/é", "HTTPS://LOGIN.WHCC.COM/",
	} {
		answer, err := json.Marshal(map[string]string{"RedirectURI": to})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(clientID, clientSecret, redirectURI, answer)
	}
	f.Add("{client_secret}", "{callback_url}", "{client_id}", []byte(`{"RedirectURI":"https://login.whcc.com/","RedirectURI":"https://evil.example/"}`))
	f.Add("a&b=#", "\r\n", "https://evil.example/?x=1&consumer_secret=y", []byte(`{"RedirectURI":1,"error":"x"}`))
	p, _ := providers.Find("whcc")
	f.Fuzz(func(t *testing.T, id, secret, callbackURL string, body []byte) {
		network := &answering{body: body}
		client := &TokenClient{HTTP: &http.Client{Transport: network}, Now: func() time.Time { return noon }}
		c := Client{Provider: p, ID: id, Secret: Secret(secret), Endpoints: p.In(p.Environments[0])}
		got, err := client.Prepare(t.Context(), c, callbackURL)
		checkDestination(t, providers.Provider{ID: p.ID}, network.last.URL.String(), c.Endpoints.PrepareURL, map[string]string{
			"consumer_key": id, "consumer_secret": secret, "response_type": "request_url", "callback_url": callbackURL,
		}, nil)
		if err != nil {
			if got != "" || !ourWords.MatchString(err.Error()) {
				t.Errorf("%q, %v", got, err)
			}
			return
		}
		if to, err := url.Parse(got); err != nil || to.Scheme != "https" || to.Host != "login.whcc.com" || to.User != nil || strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("the browser is sent to %q", got)
		}
	})
}
