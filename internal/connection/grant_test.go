package connection

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/pkg/providers"
)

var (
	issuedAt = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	shop     = Key{ConnectionID: "acct_42", Provider: "whatnot"}
	client   = oauth.Client{ID: "client-1", Environment: providers.Environment{Name: "sandbox"}}
)

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

// granted is an answer with everything in it.
func granted() oauth.TokenSet {
	return oauth.TokenSet{
		AccessToken: "access-1", TokenType: "Bearer", RefreshToken: "refresh-1",
		IssuedAt: issuedAt, ExpiresAt: issuedAt.Add(2 * time.Hour), RefreshExpiresAt: issuedAt.Add(100 * time.Hour),
		Scopes: []string{"read", "write"}, Account: oauth.Account{ID: "7", Label: "Shop"}, Metadata: map[string]string{"realmId": "9"},
	}
}

// opens checks what the sealed refresh token of c is.
func opens(t *testing.T, c Connection, want oauth.Secret) {
	t.Helper()
	if got, err := c.RefreshToken(sealKeys(t)); err != nil || got != want {
		t.Errorf("refresh token is %q, %v, want %q", got.Reveal(), err, want.Reveal())
	}
}

func TestNewIsWhatWasGranted(t *testing.T) {
	got, err := New(shop, client, granted(), sealKeys(t), 4)
	if err != nil {
		t.Fatal(err)
	}
	opens(t, got, "refresh-1")
	if bytes.Contains(got.SealedRefreshToken, []byte("refresh-1")) {
		t.Error("the refresh token is not sealed")
	}
	want := Connection{
		Key: shop, Status: Active,
		AccessToken: "access-1", TokenType: "Bearer", ExpiresAt: issuedAt.Add(2 * time.Hour), Scopes: []string{"read", "write"},
		SealedRefreshToken: got.SealedRefreshToken, RefreshExpiresAt: issuedAt.Add(100 * time.Hour),
		Account: oauth.Account{ID: "7", Label: "Shop"}, Metadata: map[string]string{"realmId": "9"}, Environment: "sandbox", ClientID: "client-1",
		ConnectedAt: issuedAt, RefreshedAt: issuedAt, UpdatedAt: issuedAt,
		Due: Due{Shard: Shard(shop, 4), At: DueAt(shop, Life{IssuedAt: issuedAt, ExpiresAt: issuedAt.Add(2 * time.Hour), RefreshExpiresAt: issuedAt.Add(100 * time.Hour)})},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if !got.Due.At.After(issuedAt) || !got.Due.At.Before(got.ExpiresAt) {
		t.Errorf("due at %v, out of the token's life", got.Due.At)
	}
}

// What a refresh does not bring stays: RFC 6749 sections 5.1 and 6.
func TestAcceptKeepsWhatTheAnswerDoesNotBring(t *testing.T) {
	c, err := New(shop, client, granted(), sealKeys(t), 4)
	if err != nil {
		t.Fatal(err)
	}
	old := c
	c.Failure = Failure{Code: "timeout", Count: 3}
	at := issuedAt.Add(time.Hour)
	if err := c.Accept(client, oauth.TokenSet{AccessToken: "access-2", TokenType: "Bearer", IssuedAt: at, ExpiresAt: at.Add(2 * time.Hour)}, sealKeys(t), 4); err != nil {
		t.Fatal(err)
	}
	opens(t, c, "refresh-1")
	if !c.RefreshExpiresAt.Equal(old.RefreshExpiresAt) || !reflect.DeepEqual(c.Scopes, old.Scopes) || c.Account != old.Account || !c.ConnectedAt.Equal(issuedAt) {
		t.Errorf("something is lost: %+v", c)
	}
	if c.AccessToken != "access-2" || !c.RefreshedAt.Equal(at) || !c.UpdatedAt.Equal(at) || !c.Due.At.After(old.Due.At) || c.Failure != (Failure{}) {
		t.Errorf("something is not taken: %+v", c)
	}
}

func TestAcceptTakesWhatTheAnswerBrings(t *testing.T) {
	c, err := New(shop, client, granted(), sealKeys(t), 4)
	if err != nil {
		t.Fatal(err)
	}
	next := oauth.TokenSet{AccessToken: "access-2", RefreshToken: "refresh-2", IssuedAt: issuedAt, Scopes: []string{"read"}}
	if err := c.Accept(client, next, sealKeys(t), 4); err != nil {
		t.Fatal(err)
	}
	opens(t, c, "refresh-2")
	if !c.RefreshExpiresAt.IsZero() || !c.ExpiresAt.IsZero() || len(c.Scopes) != 1 {
		t.Errorf("something of the old grant is left: %+v", c)
	}
	if c.Due.At.IsZero() {
		t.Error("a grant that can be refreshed is never due, since its token names no expiry")
	}
}

// A provider that counts the seconds which are left says the same end a little
// earlier or later each time.
func TestAnEndThatIsSaidAgainStaysAsItWas(t *testing.T) {
	first := granted()
	end := first.RefreshExpiresAt
	for moved, want := range map[time.Duration]time.Time{
		time.Minute: end, -time.Minute: end, 0: end,
		61 * time.Second: end.Add(61 * time.Second), -61 * time.Second: end.Add(-61 * time.Second),
	} {
		c, err := New(shop, client, first, sealKeys(t), 4)
		if err != nil {
			t.Fatal(err)
		}
		again := first
		again.RefreshExpiresAt = end.Add(moved)
		if err := c.Accept(client, again, sealKeys(t), 4); err != nil || !c.RefreshExpiresAt.Equal(want) {
			t.Errorf("an end that is said %v later became %v later: %v", moved, c.RefreshExpiresAt.Sub(end), err)
		}
	}
}

func TestOnlyWhatCanBeRenewedIsDue(t *testing.T) {
	lazy := client
	lazy.Lazy = true
	tests := []struct {
		name   string
		client oauth.Client
		change func(*oauth.TokenSet)
		due    bool
	}{
		{"a refresh token", client, func(*oauth.TokenSet) {}, true},
		{"no refresh token", client, func(s *oauth.TokenSet) { s.RefreshToken = "" }, false},
		{"issued to the client itself", client, func(s *oauth.TokenSet) { s.RefreshToken, s.Issued = "", true }, true},
		{"lazy, with a refresh token that ends", lazy, func(*oauth.TokenSet) {}, true},
		{"lazy, with a refresh token that never ends", lazy, func(s *oauth.TokenSet) { s.RefreshExpiresAt = time.Time{} }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tokens := granted()
			tt.change(&tokens)
			c, err := New(shop, tt.client, tokens, sealKeys(t), 4)
			if err != nil || c.Due.At.IsZero() == tt.due || (c.Due.Shard == "") == tt.due {
				t.Errorf("due = %+v, %v", c.Due, err)
			}
		})
	}
}

// A client that has become lazy leaves nothing behind in the due index.
func TestAcceptEndsWhatWasDue(t *testing.T) {
	c, err := New(shop, client, granted(), sealKeys(t), 4)
	if err != nil {
		t.Fatal(err)
	}
	lazy := client
	lazy.Lazy = true
	tokens := granted()
	tokens.RefreshExpiresAt = time.Time{}
	if err := c.Accept(lazy, tokens, sealKeys(t), 4); err != nil || c.Due != (Due{}) {
		t.Errorf("due = %+v, %v", c.Due, err)
	}
}

func TestAcceptWithoutAKeyChangesNothing(t *testing.T) {
	c, err := New(shop, client, granted(), sealKeys(t), 4)
	if err != nil {
		t.Fatal(err)
	}
	before := c
	if err := c.Accept(client, oauth.TokenSet{AccessToken: "access-2", RefreshToken: "refresh-2"}, seal.Keys{}, 4); err == nil {
		t.Error("sealed without a key")
	}
	if !reflect.DeepEqual(c, before) {
		t.Errorf("half a grant was taken: %+v", c)
	}
}

// A refresh token opens in its own row, under a ring that has its key.
func TestRefreshTokenIsBoundToItsRow(t *testing.T) {
	c, err := New(shop, client, granted(), sealKeys(t), 4)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		row  Key
		keys seal.Keys
	}{
		{"another connection", Key{"acct_43", "whatnot"}, sealKeys(t)},
		{"another provider", Key{"acct_42", "whisk"}, sealKeys(t)},
		{"the same characters, cut elsewhere", Key{"acct_4", "2whatnot"}, sealKeys(t)},
		{"another key", shop, ring(t, `{"current":"k2","k2":"fedcba9876543210fedcba9876543210"}`)},
		{"the same name for another key", shop, ring(t, `{"current":"k1","k1":"fedcba9876543210fedcba9876543210"}`)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			moved := c
			moved.Key = tt.row
			got, err := moved.RefreshToken(tt.keys)
			if !errors.Is(err, seal.ErrNotOpened) || got != "" {
				t.Errorf("opened: %v", err)
			}
		})
	}
	rotated := ring(t, `{"current":"k2","keys":{"k1":"0123456789abcdef0123456789abcdef","k2":"fedcba9876543210fedcba9876543210"}}`)
	if got, err := c.RefreshToken(rotated); err != nil || got != "refresh-1" {
		t.Errorf("not opened by a ring with a new current key: %v", err)
	}
}

func TestConnectionsDoNotPrintTokens(t *testing.T) {
	c, err := New(shop, client, granted(), sealKeys(t), 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, c); strings.Contains(text, "access-1") || strings.Contains(text, "refresh-1") {
			t.Errorf("%s prints a token: %s", verb, text)
		}
	}
}

// A new grant says what of the asked is missing; a refresh, what is no longer
// there, until a new grant has it again.
func TestScopesThatAreMissing(t *testing.T) {
	added := client
	added.Provider.AddedScopes = []string{"offline_access"}
	tests := []struct {
		name           string
		asked, granted []string
		refreshed      []string // nil: the answer names none
		want, then     []string
	}{
		{"all", []string{"a", "b"}, []string{"b", "a"}, nil, nil, nil},
		{"one", []string{"c", "a", "b"}, []string{"a"}, nil, []string{"b", "c"}, []string{"b", "c"}},
		{"more than asked", []string{"a"}, []string{"a", "b"}, []string{"a", "b"}, nil, nil},
		{"narrowed by a refresh", []string{"a", "b"}, []string{"a", "b"}, []string{"a"}, nil, []string{"b"}},
		{"narrowed twice", []string{"a", "b", "c"}, []string{"a", "b"}, []string{"a"}, []string{"c"}, []string{"b", "c"}},
		{"whole again", []string{"a", "b"}, []string{"a"}, []string{"a", "b"}, []string{"b"}, nil},
		{"one that every request carries", []string{"a", "offline_access"}, []string{"a"}, nil, nil, nil},
		{"none asked", nil, []string{"a"}, nil, nil, nil},
	}
	for _, tt := range tests {
		tokens := granted()
		tokens.Asked, tokens.Scopes = tt.asked, tt.granted
		c, err := New(shop, added, tokens, sealKeys(t), 4)
		if err != nil || !reflect.DeepEqual(c.ScopesMissing, tt.want) {
			t.Errorf("%s: missing %v, %v, want %v", tt.name, c.ScopesMissing, err, tt.want)
		}
		tokens.Asked, tokens.Scopes = nil, tt.refreshed
		if err := c.Accept(added, tokens, sealKeys(t), 4); err != nil || !reflect.DeepEqual(c.ScopesMissing, tt.then) {
			t.Errorf("%s: after a refresh %v, %v, want %v", tt.name, c.ScopesMissing, err, tt.then)
		}
	}
}

func TestTakesAccount(t *testing.T) {
	of := func(account string, s Status) Connection {
		return Connection{Key: shop, Status: s, Account: oauth.Account{ID: account, Label: "Shop"}}
	}
	tests := []struct {
		name    string
		c       Connection
		account string
		any     bool
		want    bool
	}{
		{"no connection", Connection{}, "7", false, true},
		{"a connection whose account is not known", of("", Active), "7", false, true},
		{"neither known", of("", Active), "", false, true},
		{"the same", of("7", Active), "7", false, true},
		{"another", of("7", Active), "8", false, false},
		{"one that is not known", of("7", Active), "", false, false},
		{"another, where a person is needed", of("7", ReauthorizationRequired), "8", false, false},
		{"another, where that is meant", of("7", Active), "8", true, true},
		{"one that is not known, where that is meant", of("7", Active), "", true, true},
		{"another, after a disconnect", of("7", Disconnected), "8", false, true},
	}
	for _, tt := range tests {
		if got := tt.c.TakesAccount(tt.account, tt.any); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}
