package oauth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

// moved is the document of a client with former ones.
func moved(former string) []byte {
	return []byte(`{"client_id":"new","client_secret":"` + clientSecret + `","environment":"sandbox","endpoints":{"token_url":"https://a.example/t"},
		"scopes":["user_read"],"refresh":"lazy","former":` + former + `}`)
}

// A grant is of one client in one environment, and whoever asks for it gets that
// client's credentials or none.
func TestTheClientOfAGrant(t *testing.T) {
	p := definition(t, "whiplash")
	c, err := ParseClient(p, moved(`[{"client_id":"old","client_secret":"old-secret"},{"client_id":"new","client_secret":"live","environment":"production"},
		{"client_id":"older","client_secret":"older-secret","environment":"sandbox"}]`), false)
	if err != nil {
		t.Fatal(err)
	}
	production, _ := p.Environment("production")
	tests := []struct {
		id, environment string
		secret          Secret // "": there is none
		tokenURL        string
	}{
		{"new", "sandbox", clientSecret, "https://a.example/t"},
		{"old", "sandbox", "old-secret", "https://a.example/t"},
		{"older", "sandbox", "older-secret", "https://a.example/t"},
		{"new", "production", "live", p.In(production).TokenURL},
		{"old", "production", "", ""},
		{"another", "sandbox", "", ""},
		{"", "sandbox", "", ""},
		{"new", "", "", ""},
		{"", "", "", ""},
	}
	for _, tt := range tests {
		got, err := c.For(tt.id, tt.environment)
		if tt.secret == "" {
			if !errors.Is(err, ErrNotConfigured) || got.Secret != "" || !strings.Contains(err.Error(), `client ID "`+tt.id+`"`) {
				t.Errorf("%s in %s: %v", tt.id, tt.environment, err)
			}
			continue
		}
		if err != nil || !got.Is(tt.id, tt.environment) || got.Secret != tt.secret || got.Endpoints.TokenURL != tt.tokenURL {
			t.Errorf("%s in %s: another client, of %s; %v", tt.id, tt.environment, got.Endpoints.TokenURL, err)
		}
		if got.Provider.ID != p.ID || !got.Lazy || !slices.Equal(got.Scopes, []string{"user_read"}) {
			t.Errorf("%s in %s: what is not of one client is not the same: %+v", tt.id, tt.environment, got)
		}
		if again, err := got.For(tt.id, tt.environment); err != nil || again.Secret != tt.secret {
			t.Errorf("%s in %s does not know itself: %v", tt.id, tt.environment, err)
		}
	}
	if old, _ := c.For("old", "sandbox"); len(old.Former) != 0 {
		t.Error("a former client has former clients")
	}
	for how, text := range prints(t, c) {
		mustNotShow(t, how, text, "old-secret", "older-secret")
	}
}

// What is wrong with a former client is named, and no value of it.
func TestFormerClientsAreHeldToTheirForm(t *testing.T) {
	const former = `{"client_id":"old","client_secret":"` + canary + `"}`
	tests := []struct {
		name, former string
		names        []string // none: it is fine
	}{
		{"one", `[` + former + `]`, nil},
		{"none", `[]`, nil},
		{"null", `null`, nil},
		{"five", `[` + former + `,{"client_id":"b","client_secret":"s"},{"client_id":"c","client_secret":"s"},{"client_id":"d","client_secret":"s"},{"client_id":"e","client_secret":"s"}]`, nil},
		{"six", `[` + strings.Repeat(former+",", 5) + former + `]`, []string{"former", "6 clients", "at most 5", "remove"}},
		{"an object", former, []string{`"former"`, "a list of objects"}},
		{"a list of strings", `["` + canary + `"]`, []string{`"former"`, "an object"}},
		{"no client ID", `[{"client_secret":"` + canary + `"}]`, []string{"former[0]: client_id is missing", "Whiplash"}},
		{"no client secret", `[` + former + `,{"client_id":"older"}]`, []string{"former[1]: client_secret is missing"}},
		{"a secret with a line break", `[{"client_id":"old","client_secret":"` + canary + `\n"}]`, []string{"former[0]: client_secret", "line break"}},
		{"a secret that is a number", `[{"client_id":"old","client_secret":1}]`, []string{"former", "client_secret", "a string"}},
		{"nothing", `[null]`, []string{"former[0]: client_id is missing"}},
		{"an unknown environment", `[{"client_id":"old","client_secret":"` + canary + `","environment":"live"}]`, []string{`former[0]: environment "live"`, "production and sandbox"}},
		{"a member that would not be read", `[{"client_id":"old","client_secret":"` + canary + `","token_url":"https://a.example/"}]`, []string{"former[0].token_url is not known", "client_id, client_secret, environment"}},
		{"a misspelt environment", `[{"client_id":"old","client_secret":"` + canary + `","enviroment":"production"}]`, []string{"former[0].enviroment is not known"}},
		{"the client itself", `[{"client_id":"new","client_secret":"` + canary + `"}]`, []string{"former[0]", "the client itself"}},
		{"twice", `[` + former + `,{"client_id":"old","client_secret":"s","environment":"sandbox"}]`, []string{"former[1]", "twice", "remove it"}},
		{"twice, in two environments", `[` + former + `,{"client_id":"old","client_secret":"s","environment":"production"}]`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := ParseClient(definition(t, "whiplash"), moved(tt.former), false)
			mustName(t, err, tt.names)
			if err != nil && (c.Secret != "" || strings.Contains(err.Error(), canary)) {
				t.Errorf("a client, or a secret, came with the error %v", err)
			}
		})
	}
}

// Whatever is found to try after a refusal, a grant is sent with the credentials
// of its own client alone.
func TestAGrantIsSentWithNoOtherClient(t *testing.T) {
	c, err := ParseClient(definition(t, "whiplash"), moved(`[{"client_id":"old","client_secret":"old-secret"}]`), false)
	if err != nil {
		t.Fatal(err)
	}
	production, _ := c.Provider.Environment("production")
	old, _ := c.For("old", "sandbox")
	elsewhere, rotated := old, old
	elsewhere.Environment, elsewhere.Secret = production, "live"
	rotated.Secret = "rotated"
	var sent []Secret
	_, err = WithCredentials(t.Context(), others{c, elsewhere, rotated}, old, func(c Client) (TokenSet, error) {
		sent = append(sent, c.Secret)
		return TokenSet{}, &Error{Status: 401, Code: "invalid_client"}
	})
	if err == nil || !slices.Equal(sent, []Secret{"old-secret", "rotated"}) {
		t.Errorf("%d requests, %v", len(sent), err)
	}
}

// others are the credentials that are found after a refusal.
type others []Client

func (o others) Others(context.Context, Client) ([]Client, error) { return o, nil }
