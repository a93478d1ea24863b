package oauth

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/pkg/providers"
)

func TestParseClient(t *testing.T) {
	const credentials = `"client_id":"id","client_secret":"` + clientSecret + `"`
	t.Run("the two that are required", func(t *testing.T) {
		c, err := ParseClient(definition(t, "whiplash"), []byte(`{`+credentials+`}`), false)
		if err != nil {
			t.Fatal(err)
		}
		if c.ID != "id" || c.Secret != clientSecret || c.Environment.Name != "production" || c.ResponseType != "code" || c.Lazy || c.Extra != nil {
			t.Errorf("client = %+v", c)
		}
		if want := definition(t, "whiplash").In(c.Environment); c.Endpoints != want {
			t.Errorf("endpoints = %+v, want %+v", c.Endpoints, want)
		}
		if !slices.Equal(c.Scopes, []string{"user_read", "user_manage"}) {
			t.Errorf("scopes = %q, want all known ones", c.Scopes)
		}
	})
	t.Run("everything", func(t *testing.T) {
		c, err := ParseClient(definition(t, "whisk"), []byte(`{`+credentials+`,"environment":"production","scopes":["cookbook:write"],
			"endpoints":{"authorization_url":"https://a.example/a","token_url":"https://a.example/t?x=1","revocation_url":"https://a.example/r","userinfo_url":"https://a.example/u","prepare_url":"https://a.example/p"},
			"response_type":"token","refresh":"lazy","extra":{"k":"v","n":{"l":["w",1,true,null]}},"unknown":{"client_secret":1}}`), false)
		if err != nil {
			t.Fatal(err)
		}
		want := providers.Endpoints{AuthorizationURL: "https://a.example/a", TokenURL: "https://a.example/t?x=1", RevocationURL: "https://a.example/r", UserInfoURL: "https://a.example/u", PrepareURL: "https://a.example/p"}
		if c.Endpoints != want || c.ResponseType != "token" || !c.Lazy || !slices.Equal(c.Scopes, []string{"cookbook:write"}) {
			t.Errorf("client = %+v", c)
		}
	})
	t.Run("one endpoint replaced", func(t *testing.T) {
		c, err := ParseClient(definition(t, "whcc"), []byte(`{`+credentials+`,"environment":"sandbox","endpoints":{"token_url":"https://a.example/t"}}`), false)
		want := providers.Endpoints{TokenURL: "https://a.example/t", PrepareURL: "https://sandbox.login.whcc.com/oauth"}
		if err != nil || c.Endpoints != want {
			t.Errorf("endpoints = %+v, %v, want %+v", c.Endpoints, err, want)
		}
	})
	t.Run("lazy by definition, eager by the client", func(t *testing.T) {
		p := plain
		p.Lazy = true
		endpoints := `,"endpoints":{"token_url":"https://a.example/t"}`
		lazy, err1 := ParseClient(p, []byte(`{`+credentials+endpoints+`}`), false)
		eager, err2 := ParseClient(p, []byte(`{`+credentials+endpoints+`,"refresh":"eager"}`), false)
		if !lazy.Lazy || eager.Lazy || err1 != nil || err2 != nil {
			t.Errorf("lazy = %v, %v; %v, %v", lazy.Lazy, eager.Lazy, err1, err2)
		}
	})
	t.Run("limits of the definition, then of the client", func(t *testing.T) {
		p := plain
		p.RefreshRate, p.RefreshConcurrency = 10, 4
		endpoints := `,"endpoints":{"token_url":"https://a.example/t"}`
		declared, err1 := ParseClient(p, []byte(`{`+credentials+endpoints+`}`), false)
		agreed, err2 := ParseClient(p, []byte(`{`+credentials+endpoints+`,"refresh_rate":0.5,"refresh_concurrency":1}`), false)
		if declared.RefreshRate != 10 || declared.RefreshConcurrency != 4 || agreed.RefreshRate != 0.5 || agreed.RefreshConcurrency != 1 || err1 != nil || err2 != nil {
			t.Errorf("limits = %v a second, %d at once; %v, %d; %v, %v",
				declared.RefreshRate, declared.RefreshConcurrency, agreed.RefreshRate, agreed.RefreshConcurrency, err1, err2)
		}
	})
	t.Run("default scopes before known ones", func(t *testing.T) {
		p := definition(t, "whatnot")
		p.Scopes = []string{"read:orders"}
		c, err := ParseClient(p, []byte(`{`+credentials+`}`), false)
		if err != nil || !slices.Equal(c.Scopes, p.Scopes) {
			t.Errorf("scopes = %q, %v", c.Scopes, err)
		}
	})
	t.Run("a byte order mark", func(t *testing.T) {
		if _, err := ParseClient(definition(t, "whiplash"), []byte("\ufeff{"+credentials+"}"), false); err != nil {
			t.Error(err)
		}
	})
}

// Every bad input names the thing and the fix, and no value that is secret.
func TestParseClientRefuses(t *testing.T) {
	const credentials = `"client_id":"id","client_secret":"` + canary + `"`
	endpoint := func(name, url string) string {
		return `{` + credentials + `,"endpoints":{"` + name + `":"` + url + `"}}`
	}
	tests := []struct {
		name, provider, document string
		allowPrivate             bool
		names                    []string // none: it is fine
	}{
		{"nothing", "whiplash", ``, false, []string{"JSON object", "client_id"}},
		{"not JSON", "whiplash", canary, false, []string{"JSON object", "client_id"}},
		{"torn", "whiplash", `{"client_id":"id","client_secret":"` + canary, false, []string{"JSON object"}},
		{"two objects", "whiplash", `{` + credentials + `}{}`, false, []string{"JSON object"}},
		{"a list", "whiplash", `["` + canary + `"]`, false, []string{"JSON object", "client_id"}},
		{"a string", "whiplash", `"` + canary + `"`, false, []string{"JSON object", "client_id"}},
		{"JSON within a string", "whiplash", `"{\"client_id\":\"` + canary + `\"}"`, false, []string{"JSON object"}},
		{"null", "whiplash", `null`, false, []string{"client_id", "Whiplash"}},
		{"empty", "whiplash", `{}`, false, []string{"client_id", "Whiplash"}},
		{"no client_id", "whiplash", `{"client_secret":"` + canary + `"}`, false, []string{"client_id", "Whiplash", "add"}},
		{"client_id empty", "whiplash", `{"client_id":"","client_secret":"` + canary + `"}`, false, []string{"client_id"}},
		{"no client_secret", "whiplash", `{"client_id":"id"}`, false, []string{"client_secret", "Whiplash", "add"}},
		{"client_secret null", "whiplash", `{"client_id":"id","client_secret":null}`, false, []string{"client_secret"}},
		{"client_secret a number", "whiplash", `{"client_id":"id","client_secret":4711}`, false, []string{"client_secret", "a string"}},
		{"client_secret with a line break", "whiplash", `{"client_id":"id","client_secret":"` + canary + `\n"}`, false, []string{"client_secret", "line break"}},
		{"client_id with a control character", "whiplash", `{"client_id":"i\u0007d","client_secret":"` + canary + `"}`, false, []string{"client_id", "control character"}},
		{"scopes a string", "whiplash", `{` + credentials + `,"scopes":"user_read user_manage"}`, false, []string{"scopes", "a list of strings"}},
		{"a scope that is a number", "whiplash", `{` + credentials + `,"scopes":[1]}`, false, []string{"scopes", "a string"}},
		{"endpoints a string", "whiplash", `{` + credentials + `,"endpoints":"` + canary + `"}`, false, []string{"endpoints", "an object"}},
		{"an endpoint that is a number", "whiplash", `{` + credentials + `,"endpoints":{"token_url":1}}`, false, []string{"endpoints.token_url", "a string"}},
		{"extra a list", "whiplash", `{` + credentials + `,"extra":["` + canary + `"]}`, false, []string{"extra", "an object"}},
		{"unknown members", "whiplash", `{` + credentials + `,"note":"x","owner":1}`, false, nil},
		{"unknown environment", "whiplash", `{` + credentials + `,"environment":"staging"}`, false, []string{`environment "staging"`, "Whiplash", "production and sandbox"}},
		{"environment in another case", "whisk", `{` + credentials + `,"environment":"Production"}`, false, []string{`environment "Production"`, "Whisk has production"}},
		{"unknown scope", "whiplash", `{` + credentials + `,"scopes":["user_read","user_all"]}`, false, []string{`scope "user_all"`, "Whiplash", "user_read, user_manage"}},
		{"full_access", "whatnot", `{` + credentials + `,"scopes":["full_access"]}`, false, []string{`scope "full_access"`, "own account", "remove"}},
		{"two scopes in one", "whisk", `{` + credentials + `,"scopes":["a b"]}`, false, []string{`scope "a b"`, "its own string"}},
		{"scopes with a comma", "whisk", `{` + credentials + `,"scopes":["a,b"]}`, false, []string{`scope "a,b"`, "its own string"}},
		{"an empty scope", "whisk", `{` + credentials + `,"scopes":[""]}`, false, []string{`scope ""`}},
		{"a scope with a line break", "whisk", `{` + credentials + `,"scopes":["a\nb"]}`, false, []string{`scope "a\nb"`}},
		{"a scope outside ASCII", "whisk", `{` + credentials + `,"scopes":["ä"]}`, false, []string{`scope "ä"`}},
		{"a scope in quotes", "whisk", `{` + credentials + `,"scopes":["\"a\""]}`, false, []string{"scope"}},
		{"response_type token where it is not offered", "whatnot", `{` + credentials + `,"response_type":"token"}`, false, []string{`response_type "token"`, "Whatnot", "leave it out"}},
		{"response_type code", "whatnot", `{` + credentials + `,"response_type":"code"}`, false, nil},
		{"response_type odd", "whisk", `{` + credentials + `,"response_type":"code token"}`, false, []string{"response_type", `"code" or "token"`}},
		{"account_change odd", "whisk", `{` + credentials + `,"account_change":"allow"}`, false, []string{"account_change", `"accept"`}},
		{"account_change misspelt", "whisk", `{` + credentials + `,"account_changes":"accept"}`, false, []string{`write "account_change"`}},
		{"refresh odd", "whisk", `{` + credentials + `,"refresh":"never"}`, false, []string{"refresh", `"lazy"`}},
		{"no rate at all", "whisk", `{` + credentials + `,"refresh_rate":0}`, false, []string{"refresh_rate", "above 0"}},
		{"a rate as text", "whisk", `{` + credentials + `,"refresh_rate":"10"}`, false, []string{"refresh_rate", "a number"}},
		{"an absurd rate", "whisk", `{` + credentials + `,"refresh_rate":1e9}`, false, []string{"refresh_rate"}},
		{"no request at once", "whisk", `{` + credentials + `,"refresh_concurrency":0}`, false, []string{"refresh_concurrency", "at least 1"}},
		{"half a request at once", "whisk", `{` + credentials + `,"refresh_concurrency":0.5}`, false, []string{"refresh_concurrency", "a whole number"}},
		{"a misspelt rate", "whisk", `{` + credentials + `,"refreshRate":1}`, false, []string{"refreshRate", "refresh_rate"}},
		{"http", "whiplash", endpoint("token_url", "http://a.example/t?secret="+canary), false, []string{"endpoints.token_url", "https://"}},
		{"http to loopback", "whiplash", endpoint("userinfo_url", "http://localhost:1/"), false, []string{"endpoints.userinfo_url", "https://", "ALLOW_PRIVATE_PROVIDERS"}},
		{"http to loopback where that is allowed", "whiplash", endpoint("userinfo_url", "http://localhost:1/"), true, nil},
		{"http to 127.8.8.8 where that is allowed", "whiplash", endpoint("token_url", "http://127.8.8.8/"), true, nil},
		{"http to ::1 where that is allowed", "whiplash", endpoint("token_url", "http://[::1]:1/"), true, nil},
		{"http to elsewhere where loopback is allowed", "whiplash", endpoint("revocation_url", "http://a.example/"), true, []string{"endpoints.revocation_url", "loopback"}},
		{"http to a private address where loopback is allowed", "whiplash", endpoint("token_url", "http://10.0.0.1/"), true, []string{"endpoints.token_url"}},
		{"http to a name that begins like loopback", "whiplash", endpoint("token_url", "http://localhost.evil.example/"), true, []string{"endpoints.token_url"}},
		{"http to a name that looks like loopback", "whiplash", endpoint("token_url", "http://127.0.0.1.evil.example/"), true, []string{"endpoints.token_url"}},
		{"user info", "whiplash", endpoint("authorization_url", "https://u:"+canary+"@a.example/"), false, []string{"endpoints.authorization_url", "user name"}},
		{"fragment", "whiplash", endpoint("authorization_url", "https://a.example/#"+canary), false, []string{"endpoints.authorization_url", "fragment"}},
		{"no host", "whiplash", endpoint("token_url", "https:///token"), false, []string{"endpoints.token_url", "host"}},
		{"a port without a host", "whiplash", endpoint("token_url", "https://:443/token"), false, []string{"endpoints.token_url", "host"}},
		{"a path", "whcc", endpoint("prepare_url", "/oauth"), false, []string{"endpoints.prepare_url", "host"}},
		{"no URL", "whiplash", endpoint("token_url", "https://%zz/"+canary), false, []string{"endpoints.token_url"}},
		{"another scheme", "whiplash", endpoint("token_url", "ftp://localhost/"), true, []string{"endpoints.token_url", "https://"}},
		{"a file", "whiplash", endpoint("token_url", "file:///etc/passwd"), true, []string{"endpoints.token_url"}},
		{"an address", "whiplash", endpoint("token_url", "https://8.8.8.8/token"), false, []string{"endpoints.token_url", "name its host", "ALLOW_PRIVATE_PROVIDERS"}},
		{"a private address", "whcc", endpoint("prepare_url", "https://10.0.0.1/oauth"), false, []string{"endpoints.prepare_url", "name its host"}},
		{"the address of metadata", "whiplash", endpoint("userinfo_url", "https://169.254.169.254/latest"), false, []string{"endpoints.userinfo_url"}},
		{"an IPv6 address", "whiplash", endpoint("revocation_url", "https://[fd00:ec2::254]/"), false, []string{"endpoints.revocation_url"}},
		{"an IPv6 address with a zone", "whiplash", endpoint("token_url", "https://[fe80::1%25eth0]/"), true, []string{"endpoints.token_url"}},
		{"an address in the browser's eyes, short", "whiplash", endpoint("authorization_url", "https://127.1/"), false, []string{"endpoints.authorization_url"}},
		{"an address in the browser's eyes, one number", "whiplash", endpoint("authorization_url", "https://2130706433/"), false, []string{"endpoints.authorization_url"}},
		{"an address in the browser's eyes, in hex", "whiplash", endpoint("authorization_url", "https://0x7f.0.0.0x1/"), false, []string{"endpoints.authorization_url"}},
		{"an address in the browser's eyes, in octal", "whiplash", endpoint("authorization_url", "https://0177.0.0.01./"), false, []string{"endpoints.authorization_url"}},
		{"a number too large", "whiplash", endpoint("token_url", "https://a.99999999999999999999/"), false, []string{"endpoints.token_url"}},
		{"a private address where that is allowed", "whiplash", endpoint("token_url", "https://10.0.0.1/token"), true, nil},
		{"a name with digits", "whiplash", endpoint("token_url", "https://login1.4u.example:8443/token"), false, nil},
		{"a name with a full stop at its end", "whiplash", endpoint("token_url", "https://a.example./token"), false, nil},
		{"full stops of other scripts", "whiplash", endpoint("token_url", "https://127\u30020\uff0e0\uff611/"), false, []string{"endpoints.token_url", "host"}},
		{"letters of other scripts", "whiplash", endpoint("token_url", "https://ex\u0430mple.com/"), false, []string{"endpoints.token_url", "host"}},
		{"an escaped host", "whiplash", endpoint("token_url", "https://a%2eexample/"), false, []string{"endpoints.token_url", "host"}},
		{"a placeholder in the host", "whiplash", endpoint("token_url", "https://{shop}.a.example/"), false, []string{"endpoints.token_url", "host"}},
		{"a backslash in the host", "whiplash", endpoint("token_url", "https://a.example\\\\@evil.example/"), false, []string{"endpoints.token_url"}},
		{"a line break in the host", "whiplash", endpoint("token_url", "https://a.example\\n/"), false, []string{"endpoints.token_url"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := ParseClient(definition(t, tt.provider), []byte(tt.document), tt.allowPrivate)
			mustName(t, err, tt.names)
			if err != nil && c.Secret != "" {
				t.Error("an error came with a client")
			}
		})
	}
}

// What stands in extra comes from the secret too.
func TestExtraIsSecret(t *testing.T) {
	c, err := ParseClient(definition(t, "whiplash"), []byte(`{"client_id":"id","client_secret":"s","extra":{"key":"`+canary+`","deep":[{"key":"`+canary+`"},1,true,null]}}`), false)
	if err != nil {
		t.Fatal(err)
	}
	for how, text := range prints(t, c) {
		mustNotShow(t, how, text, canary)
	}
	want := map[string]any{"key": Secret(canary), "deep": []any{map[string]any{"key": Secret(canary)}, 1.0, true, nil}}
	if !reflect.DeepEqual(c.Extra, want) {
		t.Error("extra does not hold what the document says")
	}
}

func TestNarrow(t *testing.T) {
	tests := []struct {
		name, provider string
		scopes, wanted []string
		want           []string
		names          []string
	}{
		{"nothing wanted", "whiplash", nil, nil, []string{"user_read", "user_manage"}, nil},
		{"less", "whiplash", nil, []string{"user_read"}, []string{"user_read"}, nil},
		{"all, in another order", "whiplash", nil, []string{"user_manage", "user_read"}, []string{"user_manage", "user_read"}, nil},
		{"what is added anyway", "whisk", []string{"cookbook:write"}, []string{"offline_access"}, []string{"offline_access"}, nil},
		{"more than the client has", "whatnot", []string{"read:orders"}, []string{"read:orders", "write:orders"}, nil, []string{`scope "write:orders"`, "has read:orders"}},
		{"more than a client has that names none", "whisk", nil, []string{"cookbook:write"}, nil, []string{`scope "cookbook:write"`, "scopes"}},
		{"what is refused", "whatnot", nil, []string{"full_access"}, nil, []string{`scope "full_access"`}},
		{"two in one", "whiplash", nil, []string{"user_read user_manage"}, nil, []string{"scope"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			members := map[string]any{}
			if tt.scopes != nil {
				members["scopes"] = tt.scopes
			}
			got, err := newClient(t, definition(t, tt.provider), "http://localhost", members).Narrow(tt.wanted)
			if mustName(t, err, tt.names); !slices.Equal(got, tt.want) {
				t.Errorf("scopes = %q, want %q", got, tt.want)
			}
		})
	}
}

// Environments of a definition are all reachable, over https.
func TestParseClientOfEveryEnvironment(t *testing.T) {
	for _, p := range providers.All() {
		for _, e := range p.Environments {
			c, err := ParseClient(p, []byte(`{"client_id":"id","client_secret":"s","environment":"`+e.Name+`"}`), false)
			if err != nil || c.Environment.Name != e.Name || !strings.HasPrefix(c.Endpoints.TokenURL, "https://") {
				t.Errorf("%s %s: %v", p.ID, e.Name, err)
			}
		}
	}
}

// A connection stays with its account, unless the secret says otherwise.
func TestAccountChange(t *testing.T) {
	p, _ := providers.Find("whisk")
	for member, want := range map[string]bool{``: false, `,"account_change":""`: false, `,"account_change":"refuse"`: false, `,"account_change":"accept"`: true} {
		c, err := ParseClient(p, []byte(`{"client_id":"c","client_secret":"s"`+member+`}`), false)
		if err != nil || c.AnyAccount != want {
			t.Errorf("%s: %t, %v, want %t", member, c.AnyAccount, err, want)
		}
	}
}
