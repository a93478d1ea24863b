package connect

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var (
	noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	key  = Key{ID: "k1", Secret: "0123456789abcdef0123456789abcdef"}
)

// claims checks the signature of a ticket and returns what it says.
func claims(t *testing.T, ticket string) (header map[string]any, claims jwt.MapClaims) {
	t.Helper()
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithTimeFunc(func() time.Time { return noon }), jwt.WithJSONNumber())
	token, err := parser.Parse(ticket, func(*jwt.Token) (any, error) { return []byte(key.Secret), nil })
	if err != nil {
		t.Fatal(err)
	}
	return token.Header, token.Claims.(jwt.MapClaims)
}

func TestSignWritesTheClaimsOfTheContract(t *testing.T) {
	whole := Ticket{
		ConnectionID: "acct_42", Provider: "whisk", ReturnTo: "https://app.example.com/done", Scopes: []string{"a", "b"},
		Params: map[string]string{"identity_provider": "google"}, Life: 15 * time.Minute,
	}
	tests := []struct {
		name   string
		ticket Ticket
		want   map[string]any
	}{
		{"everything", whole, map[string]any{
			"aud": "evergrant", "sub": "acct_42", "provider": "whisk", "iat": json.Number("1795435200"), "exp": json.Number("1795436100"),
			"return_to": "https://app.example.com/done", "scope": "a b", "params": map[string]any{"identity_provider": "google"},
		}},
		{"the least, for five minutes", Ticket{ConnectionID: "a", Provider: "whcc"}, map[string]any{
			"aud": "evergrant", "sub": "a", "provider": "whcc", "iat": json.Number("1795435200"), "exp": json.Number("1795435500"),
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ticket, err := tt.ticket.Sign(key, noon.Add(999*time.Millisecond))
			if err != nil {
				t.Fatal(err)
			}
			header, got := claims(t, ticket)
			if header["alg"] != "HS256" || header["kid"] != "k1" {
				t.Errorf("header = %v", header)
			}
			id, _ := got["jti"].(string)
			if len(id) < 16 {
				t.Errorf("jti = %q", id)
			}
			delete(got, "jti")
			if !reflect.DeepEqual(map[string]any(got), tt.want) {
				t.Errorf("got  %v\nwant %v", got, tt.want)
			}
		})
	}
}

func TestSignLeavesAnUnnamedKeyOut(t *testing.T) {
	ticket, err := Ticket{ConnectionID: "a", Provider: "whcc"}.Sign(Key{Secret: key.Secret}, noon)
	if err != nil {
		t.Fatal(err)
	}
	if header, _ := claims(t, ticket); header["kid"] != nil {
		t.Errorf("header = %v", header)
	}
}

// A ticket completes once, so two for the same connection are two.
func TestEveryTicketHasAnIDOfItsOwn(t *testing.T) {
	seen := map[any]bool{}
	for range 1000 {
		ticket, err := Ticket{ConnectionID: "a", Provider: "whcc"}.Sign(key, noon)
		if err != nil {
			t.Fatal(err)
		}
		_, got := claims(t, ticket)
		seen[got["jti"]] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d IDs for 1000 tickets", len(seen))
	}
}

// What authorize would refuse is an error here, where a developer sees it.
func TestSignRefusesWhatAuthorizeWould(t *testing.T) {
	good := Ticket{ConnectionID: "acct_42", Provider: "whisk"}
	tests := []struct {
		name   string
		change func(*Ticket, *Key)
		want   string // part of the error; "": none
	}{
		{"as it is", func(*Ticket, *Key) {}, ""},
		{"every character", func(tk *Ticket, _ *Key) { tk.ConnectionID = "Az09._:@/-" }, ""},
		{"256 characters", func(tk *Ticket, _ *Key) { tk.ConnectionID = strings.Repeat("x", 256) }, ""},
		{"257 characters", func(tk *Ticket, _ *Key) { tk.ConnectionID = strings.Repeat("x", 257) }, "connection ID"},
		{"no connection ID", func(tk *Ticket, _ *Key) { tk.ConnectionID = "" }, "connection ID"},
		{"a space", func(tk *Ticket, _ *Key) { tk.ConnectionID = "a b" }, "connection ID"},
		{"a line break at the end", func(tk *Ticket, _ *Key) { tk.ConnectionID = "a\n" }, "connection ID"},
		{"no provider", func(tk *Ticket, _ *Key) { tk.Provider = "" }, "provider"},
		{"15 minutes", func(tk *Ticket, _ *Key) { tk.Life = 15 * time.Minute }, ""},
		{"longer", func(tk *Ticket, _ *Key) { tk.Life = 15*time.Minute + time.Nanosecond }, "15 minutes"},
		{"negative", func(tk *Ticket, _ *Key) { tk.Life = -time.Second }, "15 minutes"},
		{"a key of 31 characters", func(_ *Ticket, k *Key) { k.Secret = k.Secret[:31] }, "32 characters"},
		{"no key", func(_ *Ticket, k *Key) { k.Secret = "" }, "32 characters"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ticket, k := good, key
			tt.change(&ticket, &k)
			signed, err := ticket.Sign(k, noon)
			link, linkErr := ticket.Link("https://connect.example.com", k, noon)
			if (err == nil) != (tt.want == "") || (linkErr == nil) != (err == nil) || (signed == "") != (err != nil) || (link == "") != (err != nil) {
				t.Fatalf("Sign: %v, Link: %v", err, linkErr)
			}
			if err != nil && (!strings.Contains(err.Error(), tt.want) || k.Secret != "" && strings.Contains(err.Error(), k.Secret)) {
				t.Errorf("error = %v, want one about %s", err, tt.want)
			}
		})
	}
}

func TestCurrentKeyReadsBothForms(t *testing.T) {
	const k1, k2 = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	tests := []struct {
		name, secret string
		want         Key // the zero Key: an error
	}{
		{"as the stack makes it", `{"current":"k1","k1":"` + k1 + `"}`, Key{"k1", k1}},
		{"nested", `{"current":"k1","keys":{"k1":"` + k1 + `"}}`, Key{"k1", k1}},
		{"the second of two", `{"current":"k2","k1":"` + k1 + `","k2":"` + k2 + `"}`, Key{"k2", k2}},
		{"the second of two, nested", `{"current":"k2","keys":{"k1":"` + k1 + `","k2":"` + k2 + `"}}`, Key{"k2", k2}},
		{"more beside", `{"current":"k1","k1":"` + k1 + `","note":{"by":1}}`, Key{"k1", k1}},
		{"nested, and another beside", `{"current":"k2","k2":"` + k2 + `","keys":{"k1":"` + k1 + `"}}`, Key{}},
		{"keys no object", `{"current":"k1","k1":"` + k1 + `","keys":1}`, Key{}},
		{"no current", `{"k1":"` + k1 + `"}`, Key{}},
		{"current not there", `{"current":"k3","k1":"` + k1 + `"}`, Key{}},
		{"current no text", `{"current":1,"1":"` + k1 + `"}`, Key{}},
		{"current itself", `{"current":"current"}`, Key{}},
		{"a key of 31 characters", `{"current":"k1","k1":"` + k1[1:] + `"}`, Key{}},
		{"a key that is no text", `{"current":"k1","k1":["` + k1 + `"]}`, Key{}},
		{"a list", `["k1","` + k1 + `"]`, Key{}},
		{"the key alone", k1, Key{}},
		{"null", "null", Key{}},
		{"nothing", "", Key{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := CurrentKey([]byte(tt.secret))
			if got != tt.want || (err == nil) != (tt.want != Key{}) {
				t.Errorf("got %q, %v", got.ID, err)
			}
			if err != nil && strings.Contains(err.Error(), k1[1:]) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

func TestAKeyIsNotPrinted(t *testing.T) {
	if text, err := json.Marshal(key); err != nil || string(text) != `{"ID":"k1"}` {
		t.Errorf("%s, %v", text, err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, v := range []any{key, &key, []Key{key}, struct{ K Key }{key}} {
			text := fmt.Sprintf(format, v)
			if strings.Contains(text, key.Secret) || strings.Contains(text, hex.EncodeToString([]byte(key.Secret))) {
				t.Errorf("%s of a %T shows the key: %s", format, v, text)
			}
		}
	}
}

func TestLinkIsTheAuthorizeRoute(t *testing.T) {
	for base, want := range map[string]string{
		"https://connect.example.com":   "https://connect.example.com/authorize/whisk",
		"https://connect.example.com/":  "https://connect.example.com/authorize/whisk",
		"https://example.com/evergrant": "https://example.com/evergrant/authorize/whisk",
		"http://localhost:8788":         "http://localhost:8788/authorize/whisk",
	} {
		link, err := Ticket{ConnectionID: "acct_42", Provider: "whisk"}.Link(base, key, noon)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if _, got := claims(t, q.Get("ticket")); got["sub"] != "acct_42" {
			t.Errorf("%s: ticket of %v", base, got["sub"])
		}
		if len(q) != 1 || u.Scheme+"://"+u.Host+u.Path != want {
			t.Errorf("%s: link %s", base, link)
		}
	}
}
