package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/pkg/providers"
)

// challenge is S256 of the verifier, written out (RFC 7636 section 4.2).
func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(base64.StdEncoding.EncodeToString(sum[:]))
}

// The parameters of each provider, all of them.
func TestAuthorizationURL(t *testing.T) {
	ours := map[string]string{"response_type": "code", "client_id": clientID, "redirect_uri": redirectURI, "state": "st4te"}
	plus := func(more map[string]string) map[string]string {
		out := maps.Clone(ours)
		maps.Copy(out, more)
		return out
	}
	pkce := map[string]string{"code_challenge": challenge(), "code_challenge_method": "S256"}
	with := func(scope string) map[string]string {
		out := maps.Clone(pkce)
		out["scope"] = scope
		return out
	}
	tests := []struct {
		name, provider string
		document       string
		scopes         []string
		params         map[string]string
		endpoint       string
		want           map[string]string
	}{
		{"Whiplash", "whiplash", `{}`, []string{"user_read", "user_manage"}, nil, "https://www.getwhiplash.com/oauth/authorize", plus(with("user_read user_manage"))},
		{"Whiplash sandbox", "whiplash", `{"environment":"sandbox"}`, []string{"user_read"}, nil, "https://sandbox.whiplash.app/oauth/authorize", plus(with("user_read"))},
		{"Whisk", "whisk", `{}`, nil, nil, "https://login.whisk.com/oauth/v2/authorize", plus(map[string]string{"scope": "offline_access"})},
		{"Whisk with a scope", "whisk", `{}`, []string{"cookbook:write"}, nil, "https://login.whisk.com/oauth/v2/authorize", plus(map[string]string{"scope": "cookbook:write offline_access"})},
		{"Whisk with what is added", "whisk", `{}`, []string{"offline_access", "cookbook:write"}, nil, "https://login.whisk.com/oauth/v2/authorize", plus(map[string]string{"scope": "offline_access cookbook:write"})},
		{"Whisk by way of Google", "whisk", `{}`, nil, map[string]string{"identity_provider": "google"}, "https://login.whisk.com/oauth/v2/authorize", plus(map[string]string{"scope": "offline_access", "identity_provider": "google"})},
		{"Whisk implicit", "whisk", `{"response_type":"token"}`, nil, nil, "https://login.whisk.com/oauth/v2/authorize", plus(map[string]string{"response_type": "token"})},
		{"Whatnot", "whatnot", `{}`, []string{"read:orders", "write:orders"}, nil, "https://api.whatnot.com/seller-api/rest/oauth/authorize", plus(map[string]string{"scope": "read:orders write:orders"})},
		{"Whatnot staging", "whatnot", `{"environment":"staging"}`, []string{"read:orders"}, nil, "https://api.stage.whatnot.com/seller-api/rest/oauth/authorize", plus(map[string]string{"scope": "read:orders"})},
		{"an endpoint with a query keeps it", "whatnot", `{"endpoints":{"authorization_url":"https://in.house/a?tenant=7&x=a%20b"}}`, nil, nil, "https://in.house/a", plus(map[string]string{"tenant": "7", "x": "a b"})},
		{"an endpoint's query cannot replace ours", "whiplash", `{"endpoints":{"authorization_url":"https://in.house/a?state=x&state=y&client_id=x&redirect_uri=https://evil.example&response_type=token&scope=all&code_challenge=x&code_challenge_method=plain"}}`,
			[]string{"user_read"}, nil, "https://in.house/a", plus(with("user_read"))},
		{"params that the provider does not have stay out", "whiplash", `{}`, nil, map[string]string{"state": "x", "identity_provider": "google"}, "https://www.getwhiplash.com/oauth/authorize", plus(pkce)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			document := `{"client_id":"` + clientID + `","client_secret":"` + clientSecret + `",` + strings.TrimPrefix(tt.document, "{")
			c, err := ParseClient(definition(t, tt.provider), []byte(strings.Replace(document, ",}", "}", 1)), false)
			if err != nil {
				t.Fatal(err)
			}
			got, err := AuthorizationURL(c, AuthorizationRequest{State: "st4te", Verifier: verifier, RedirectURI: redirectURI, Scopes: tt.scopes, Params: tt.params})
			if err != nil {
				t.Fatal(err)
			}
			checkURLParams(t, got, tt.endpoint, tt.want)
			mustNotShow(t, "the URL", got, clientSecret, verifier)
		})
	}
}

func checkURLParams(t *testing.T, got, endpoint string, want map[string]string) {
	t.Helper()
	before, query, _ := strings.Cut(got, "?")
	q, err := url.ParseQuery(query)
	if err != nil || before != endpoint {
		t.Errorf("endpoint = %s, want %s (%v)", before, endpoint, err)
	}
	for name, values := range q {
		if len(values) != 1 || values[0] != want[name] {
			t.Errorf("%s = %q, want %q once", name, values, want[name])
		}
	}
	for name := range want {
		if !q.Has(name) {
			t.Errorf("%s is missing", name)
		}
	}
}

// A definition's field can become a parameter of the provider, never one of
// the protocol.
func TestFieldsCannotReplaceTheProtocol(t *testing.T) {
	p := plain
	params := map[string]string{}
	for _, name := range []string{"state", "redirect_uri", "client_id", "response_type", "scope", "code_challenge", "code_challenge_method"} {
		p.Fields = append(p.Fields, providers.Field{Name: name, Pattern: ".*", Param: name})
		params[name] = "theirs"
	}
	p.Fields = append(p.Fields, providers.Field{Name: "host", Pattern: ".*"})
	params["host"] = "theirs" // it is part of the URL, not a parameter
	c := newClient(t, p, "http://localhost", map[string]any{"scopes": []string{"a"}})
	got, err := AuthorizationURL(c, AuthorizationRequest{State: "st4te", Verifier: verifier, RedirectURI: redirectURI, Scopes: []string{"a"}, Params: params})
	if err != nil {
		t.Fatal(err)
	}
	checkURLParams(t, got, "http://localhost/authorize", map[string]string{
		"response_type": "code", "client_id": clientID, "redirect_uri": redirectURI, "state": "st4te",
		"scope": "a", "code_challenge": challenge(), "code_challenge_method": "S256",
	})
}

func TestScopesAreJoinedAsTheProviderWants(t *testing.T) {
	p := plain
	p.ScopeSeparator = ","
	got, err := AuthorizationURL(newClient(t, p, "http://localhost", nil), AuthorizationRequest{Scopes: []string{"a", "b"}})
	if err != nil || !strings.Contains(got, "scope=a%2Cb") {
		t.Errorf("AuthorizationURL = %s, %v", got, err)
	}
}

// The example of RFC 7636, appendix B.
func TestChallengeOfTheRFC(t *testing.T) {
	r := AuthorizationRequest{Verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}
	got, err := AuthorizationURL(newClient(t, plain, "http://localhost", nil), r)
	if err != nil || !strings.Contains(got, "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256") {
		t.Errorf("AuthorizationURL = %s, %v", got, err)
	}
}

// The implicit grant has no token request that could carry a verifier.
func TestImplicitGrantHasNoChallenge(t *testing.T) {
	p := plain
	p.Implicit = true
	c := newClient(t, p, "http://localhost", map[string]any{"response_type": "token"})
	got, err := AuthorizationURL(c, AuthorizationRequest{State: "st4te", Verifier: verifier, RedirectURI: redirectURI})
	if err != nil {
		t.Fatal(err)
	}
	checkURLParams(t, got, "http://localhost/authorize", map[string]string{"response_type": "token", "client_id": clientID, "redirect_uri": redirectURI, "state": "st4te"})
}

// Added scopes belong to the request and leave those of the caller as they are.
func TestAskedLeavesItsArgumentAlone(t *testing.T) {
	c := Client{Provider: definition(t, "whisk"), ResponseType: "code"}
	scopes := append(make([]string, 0, 8), "cookbook:write")
	c.Asked(scopes)
	if !slices.Equal(scopes[:2], []string{"cookbook:write", ""}) {
		t.Errorf("scopes = %q", scopes[:2])
	}
}

// WHCC has no authorization endpoint: what stands there must not become a
// redirect to our own pages.
func TestAuthorizationURLWithoutAnEndpoint(t *testing.T) {
	for _, endpoint := range []string{"", "/oauth/authorize", "https://%zz", "https:authorize"} {
		c := Client{Provider: plain, ResponseType: "code"}
		c.Endpoints.AuthorizationURL = endpoint
		if got, err := AuthorizationURL(c, AuthorizationRequest{}); err == nil || got != "" || !strings.Contains(err.Error(), "authorization_url") {
			t.Errorf("%q: %q, %v; want an error that names authorization_url", endpoint, got, err)
		}
	}
}

// 256 bits in base64url fit both a state and a code verifier (RFC 7636
// section 4.1: 43 to 128 unreserved characters).
func TestNewState(t *testing.T) {
	shape := regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	seen := map[string]bool{}
	for range 1000 {
		s := NewState()
		if !shape.MatchString(s) {
			t.Fatalf("state %q", s)
		}
		seen[s] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d states of 1000 differ", len(seen))
	}
}

func TestCheckParams(t *testing.T) {
	tests := []struct {
		name, provider string
		params         map[string]string
		names          []string // what the error must name; none: no error
	}{
		{"none", "whiplash", nil, nil},
		{"Whisk's field", "whisk", map[string]string{"identity_provider": "google"}, nil},
		{"64 characters", "whisk", map[string]string{"identity_provider": strings.Repeat("g", 64)}, nil},
		{"65 characters", "whisk", map[string]string{"identity_provider": strings.Repeat("g", 65)}, []string{"params.identity_provider", `[A-Za-z0-9_.-]{1,64}`}},
		{"empty", "whisk", map[string]string{"identity_provider": ""}, []string{"params.identity_provider"}},
		{"a line more", "whisk", map[string]string{"identity_provider": "google\n"}, []string{"params.identity_provider"}},
		{"a part that matches", "whisk", map[string]string{"identity_provider": "c4n4ry google"}, []string{"params.identity_provider"}},
		{"a stranger", "whisk", map[string]string{"subdomain": "c4n4ry"}, []string{"params.subdomain", "Whisk", "identity_provider"}},
		{"where there are no fields", "whiplash", map[string]string{"subdomain": "c4n4ry"}, []string{"params.subdomain", "Whiplash", "leave"}},
		{"the first of several", "whiplash", map[string]string{"c": "", "a": "", "b": ""}, []string{"params.a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Client{Provider: definition(t, tt.provider)}
			for range 5 { // the same, in whatever order the map comes
				mustName(t, c.CheckParams(tt.params), tt.names)
			}
		})
	}
}

// A pattern holds for the whole of a value, to the letter: nothing that a host
// or a query could be escaped by is a part of it, in whatever spelling.
func TestNoValueEscapesItsPattern(t *testing.T) {
	for name, pattern := range map[string]string{
		"a word": `[a-z0-9-]{1,63}`, "a word in anchors": `^[a-z0-9-]{1,63}$`, "words, line by line": `(?m)^[a-z0-9-]{1,63}$`,
		"alternatives": `[a-z0-9-]{1,63}|eu|us`, "whatever the case": `(?i)[A-Z0-9-]{1,63}`,
	} {
		t.Run(name, func(t *testing.T) {
			c := Client{Provider: providers.Provider{Name: "Acme", Fields: []providers.Field{{Name: "shop", Pattern: pattern, Param: "shop"}}}}
			if err := c.CheckParams(map[string]string{"shop": "acme-7"}); err != nil {
				t.Errorf("acme-7: %v", err)
			}
			for _, v := range []string{
				"evil.example#", "evil.example/", "evil.example?", "a@evil.example", "a:b@evil.example", `evil.example\`, "a%2fb", "a%2eb", "a%00", "a%0d%0aX: y", "a:443", "a.", ".a", "a..b",
				"acme\n", "\nacme", "acme\nevil", "acme\r\nX: y", "acme\x00", "acme\u2028", "acme\u0085", "acme ", "\tacme", "", "{client_secret}",
				"acme\u3002example", "acme\uff0eexample", "acme\uff61example", "\uff41cme", "\u0430cme", "acm\u0435", "acme\u200b", "acme\u202e", "\xff", "acme&redirect_uri=x", strings.Repeat("a", 300),
			} {
				if err := c.CheckParams(map[string]string{"shop": v}); err == nil {
					t.Errorf("%q is taken", v)
				}
			}
		})
	}
}

// mustName fails unless err names all of names and nothing of a value; without
// names it must be nil.
func mustName(t *testing.T, err error, names []string) {
	t.Helper()
	if (err == nil) != (len(names) == 0) {
		t.Fatalf("error = %v, want it to name %q", err, names)
	}
	if err == nil {
		return
	}
	for _, name := range names {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("error = %v, want it to name %s", err, name)
		}
	}
	for how, text := range prints(t, err) {
		mustNotShow(t, how, text, clientSecret, canary)
		if strings.Contains(text, "c4n4ry") {
			t.Fatalf("%s shows a value: %s", how, text)
		}
	}
}
