package providers

import (
	"net/url"
	"regexp"
	"slices"
	"testing"
	"time"
)

// Every provider obeys the same rules, so that a new one is one file.
func TestDefinitions(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range All() {
		t.Run(p.ID, func(t *testing.T) {
			if !regexp.MustCompile(`^[a-z][a-z0-9-]*$`).MatchString(p.ID) || seen[p.ID] {
				t.Errorf("ID %q is not a new lower-case word", p.ID)
			}
			seen[p.ID] = true
			if found, ok := Find(p.ID); !ok || found.Name != p.Name {
				t.Errorf("Find(%q) does not return the definition", p.ID)
			}
			if p.Name == "" {
				t.Error("Name is empty")
			}
			checkSource(t, p)
			checkScopes(t, p)
			checkShape(t, p)
			for _, e := range p.Environments {
				checkEndpoints(t, e.Name, p.In(e))
			}
		})
	}
}

func checkSource(t *testing.T, p Provider) {
	t.Helper()
	if u, err := url.Parse(p.Docs); err != nil || u.Scheme != "https" {
		t.Errorf("Docs %q is not an https link", p.Docs)
	}
	if _, err := time.Parse("2006-01-02", p.Read); err != nil {
		t.Errorf("Read %q is not a date", p.Read)
	}
}

func checkScopes(t *testing.T, p Provider) {
	t.Helper()
	for _, s := range p.Scopes {
		if len(p.KnownScopes) > 0 && !slices.Contains(p.KnownScopes, s) {
			t.Errorf("default scope %q is not a known one", s)
		}
	}
	for s, why := range p.RefusedScopes {
		if why == "" || slices.Contains(p.KnownScopes, s) {
			t.Errorf("refused scope %q needs a reason and must not be a known one", s)
		}
	}
}

func checkShape(t *testing.T, p Provider) {
	t.Helper()
	if (p.Prepare == nil) != (p.In(p.Environments[0]).PrepareURL == "") {
		t.Error("Prepare and PrepareURL go together")
	}
	if (p.Rotation == Grace) != (p.GraceTime > 0) {
		t.Error("Grace and GraceTime go together")
	}
	if (p.Answer.Effective == "") != (p.Answer.Expires == "") || (p.Answer.Expires == "") != (p.Answer.DateLayout == "") {
		t.Error("Effective, Expires and DateLayout go together")
	}
	if p.RefreshRate < 0 || p.RefreshConcurrency < 0 {
		t.Error("RefreshRate and RefreshConcurrency are limits, or zero")
	}
	for _, f := range p.Fields {
		if _, err := regexp.Compile(f.Pattern); err != nil || f.Pattern == "" || f.Name == "" {
			t.Errorf("field %q: pattern %q: %v", f.Name, f.Pattern, err)
		}
		for _, r := range "\x00\n\r\t #%&/:;?@\\\u017f\u0430\u2028\u212a\u3002\uff0e" { // two are letters to (?i)
			if regexp.MustCompile(`\A(?:` + f.Pattern + `)\z`).MatchString("a" + string(r)) {
				t.Errorf("field %q: pattern %q takes %q", f.Name, f.Pattern, r)
			}
		}
	}
	for code, means := range p.ErrorCodes {
		if !slices.Contains([]string{"invalid_grant", "invalid_client", "invalid_request", "invalid_scope", "unauthorized_client", "unsupported_grant_type"}, means) {
			t.Errorf("error code %q means %q, which RFC 6749 section 5.2 does not know", code, means)
		}
	}
}

func checkEndpoints(t *testing.T, environment string, e Endpoints) {
	t.Helper()
	if e.TokenURL == "" || (e.AuthorizationURL == "") == (e.PrepareURL == "") {
		t.Errorf("%s: a token URL and either an authorization or a prepare URL are needed: %+v", environment, e)
	}
	for _, raw := range []string{e.AuthorizationURL, e.TokenURL, e.RevocationURL, e.UserInfoURL, e.PrepareURL} {
		u, err := url.Parse(raw)
		if raw == "" {
			continue
		}
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" || regexp.MustCompile(`[^:]//`).MatchString(raw) {
			t.Errorf("%s: %q is not a clean https URL", environment, raw)
		}
		// What a ticket says becomes a parameter and never a part of a host, so
		// that there is no pattern to escape from.
		if !regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}$`).MatchString(u.Host) {
			t.Errorf("%s: the host of %q is not the name of one", environment, raw)
		}
	}
}

func TestFindUnknown(t *testing.T) {
	if _, ok := Find("nobody"); ok {
		t.Error("Find knows a provider that is not listed")
	}
}

func TestEnvironment(t *testing.T) {
	tests := []struct {
		provider, name string
		token          string
	}{
		{"whiplash", "", "https://www.getwhiplash.com/oauth/token"},
		{"whiplash", "sandbox", "https://sandbox.whiplash.app/oauth/token"},
		{"whisk", "production", "https://login.whisk.com/oauth/v2/token"},
		{"whatnot", "", "https://api.whatnot.com/seller-api/rest/oauth/token"},
		{"whatnot", "staging", "https://api.stage.whatnot.com/seller-api/rest/oauth/token"},
		{"whcc", "", "https://apps.whcc.com/api/AccessToken"},
		{"whcc", "sandbox", "https://sandbox.apps.whcc.com/api/AccessToken"},
		{"whcc", "staging", ""},
	}
	for _, tt := range tests {
		t.Run(tt.provider+" "+tt.name, func(t *testing.T) {
			p, _ := Find(tt.provider)
			e, ok := p.Environment(tt.name)
			if ok != (tt.token != "") {
				t.Fatalf("found = %v", ok)
			}
			if got := p.In(e).TokenURL; ok && got != tt.token {
				t.Errorf("token URL = %s, want %s", got, tt.token)
			}
		})
	}
}

// A placeholder is a whole value: what stands inside other text is left alone,
// so that no value can be put into a place that nobody meant.
func TestExpand(t *testing.T) {
	got := Expand(map[string]string{"k": "{client_id}", "s": "{client_secret}", "cb": "{callback_url}", "fixed": "x", "part": "a{client_id}"},
		"id", "secret", "https://example.com/cb")
	want := map[string]string{"k": "id", "s": "secret", "cb": "https://example.com/cb", "fixed": "x", "part": "a{client_id}"}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s = %q, want %q", name, got[name], want[name])
		}
	}
}
