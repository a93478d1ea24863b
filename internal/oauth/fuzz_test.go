package oauth

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/pkg/providers"
)

// ourWords is all that an error may consist of, whatever an answer holds.
var ourWords = regexp.MustCompile(`^[A-Za-z0-9_.,'():" -]{1,120}$`)

// Whatever a token endpoint answers, it is tokens that can be used or an error
// that costs nobody a connection by mistake.
func FuzzDecodeTokens(f *testing.F) {
	for _, tt := range answerCases {
		if len(tt.body) < 1<<10 {
			f.Add(max(tt.status, 200), []byte(tt.body))
		}
	}
	all := append(providers.All(), plain)
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		for _, p := range all {
			got, err := decodeTokens(Client{Provider: p}, answer{status: status, body: body}, noon)
			if err != nil {
				checkFuzzedError(t, status, err)
				continue
			}
			if status < 200 || status > 299 || got.AccessToken == "" || got.TokenType == "" || !got.IssuedAt.Equal(noon) {
				t.Errorf("%s: tokens of status %d: %q, type %q", p.ID, status, got.AccessToken.Reveal(), got.TokenType)
			}
			if !got.ExpiresAt.IsZero() && !got.ExpiresAt.After(noon) {
				t.Errorf("%s: expired on arrival: %v", p.ID, got.ExpiresAt)
			}
			if got.RefreshToken == "" && !got.RefreshExpiresAt.IsZero() {
				t.Errorf("%s: no refresh token, but its end", p.ID)
			}
			seen := map[string]bool{}
			for _, s := range got.Scopes {
				if s == "" || seen[s] {
					t.Errorf("%s: scopes = %q", p.ID, got.Scopes)
				}
				seen[s] = true
			}
		}
	})
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

func FuzzParseBlob(f *testing.F) {
	f.Add(`{"client_id":10072,"token":"f5961220db4950744f69331954efb553","studio":"CH Studio","state":"MN"}`)
	f.Add(`{"token":"t","token":"u"}`)
	f.Add(`{"token":{"token":"t"}}`)
	f.Add(`{"token":"t","studio":["a"]}`)
	f.Add("\ufeff{\"token\":\"\\u0000\"}")
	f.Add(`[]`)
	f.Add(``)
	p, _ := providers.Find("whcc")
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := ParseBlob(*p.Blob, Secret(raw), noon)
		if err != nil {
			if !ourWords.MatchString(err.Error()) || got.AccessToken != "" {
				t.Errorf("error = %q, token = %q", err, got.AccessToken.Reveal())
			}
			return
		}
		if got.AccessToken == "" || len(raw) > maxBlob || got.RefreshToken != "" || got.Metadata["token"] != "" {
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
