package completion

import (
	"context"
	"errors"
	"testing"

	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/pkg/providers"
)

// told is a provider that says whose a token is.
type told struct {
	Tokens
	account oauth.Account
	err     error
}

func (t told) Account(context.Context, oauth.Client, oauth.Secret) (oauth.Account, error) {
	return t.account, t.err
}

// What the provider says of a token counts, and not what the browser says.
func TestTheProviderSaysWhoseATokenOfTheBrowserIs(t *testing.T) {
	ada, bob := oauth.Account{ID: "1", Label: "ada"}, oauth.Account{ID: "2", Label: "bob"}
	tests := []struct {
		name    string
		said    oauth.Account
		told    told
		account oauth.Account
		fails   bool
	}{
		{"the same account", ada, told{account: ada}, ada, false},
		{"another account", ada, told{account: bob}, ada, true},
		{"another label of the account", ada, told{account: oauth.Account{ID: "1", Label: "Ada"}}, oauth.Account{ID: "1", Label: "Ada"}, false},
		{"an account that the browser does not say", oauth.Account{}, told{account: bob}, bob, false},
		{"nobody to ask", ada, told{}, ada, false},
		{"no account, but a label", ada, told{account: oauth.Account{Label: "ada"}}, ada, true},
		{"no answer", ada, told{err: &oauth.Error{Reason: "no answer"}}, ada, true},
		{"a refusal", ada, told{err: &oauth.Error{Status: 401, Code: "invalid_client"}}, ada, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &Completer{Tokens: tt.told}
			got, err := c.prove(t.Context(), Grant{}, oauth.TokenSet{Account: tt.said})
			failure := new(Failure)
			if got != tt.account || (err != nil) != tt.fails || errors.As(err, &failure) != tt.fails || oauth.RemedyFor(err) != oauth.Retry {
				t.Errorf("account = %v, %v", got, err)
			}
		})
	}
}

// Only what came through the browser has to be proved.
func TestWhichTokensComeThroughTheBrowser(t *testing.T) {
	for id, want := range map[string]bool{"whiplash": false, "whisk": false, "whatnot": false, "whcc": true} {
		p, _ := providers.Find(id)
		client := oauth.Client{Provider: p, ResponseType: "code"}
		implicit := oauth.Client{Provider: p, ResponseType: "token"}
		if got := (Grant{Client: client}).frontChannel(); got != want {
			t.Errorf("%s: %v", id, got)
		}
		if !(Grant{Client: implicit}).frontChannel() || (Grant{Client: implicit, Imported: true}).frontChannel() {
			t.Errorf("%s: an implicit grant, or an imported one", id)
		}
	}
}
