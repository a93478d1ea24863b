package authorize

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergrant/evergrant/pkg/connect"
)

// The ticket to the letter: the contract's table of claims.
func TestTicketClaims(t *testing.T) {
	at := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	set := func(name string, v any) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c[name] = v } }
	drop := func(name string) func(jwt.MapClaims) { return func(c jwt.MapClaims) { delete(c, name) } }
	times := func(iat, exp time.Duration) func(jwt.MapClaims) {
		return func(c jwt.MapClaims) { c["iat"], c["exp"] = at(iat), at(exp) }
	}
	tests := []struct {
		name   string
		change func(jwt.MapClaims)
		want   int
	}{
		{"good", nil, 302},
		{"the required claims alone", drop("return_to"), 302},
		{"claims that nobody knows", set("name", "x"), 302},
		{"aud missing", drop("aud"), 403},
		{"aud of another", set("aud", "evergreen"), 403},
		{"aud empty", set("aud", ""), 403},
		{"aud a list with ours", set("aud", []string{"other", "evergrant"}), 302},
		{"aud a list without ours", set("aud", []string{"other"}), 403},
		{"aud an empty list", set("aud", []string{}), 403},
		{"aud a number", set("aud", 1), 403},
		{"sub missing", drop("sub"), 403},
		{"sub empty", set("sub", ""), 403},
		{"sub null", set("sub", nil), 403},
		{"sub a number", set("sub", 42), 403},
		{"sub of every character", set("sub", "AZaz09._:@/-"), 302},
		{"sub of 256 characters", set("sub", strings.Repeat("x", 256)), 302},
		{"sub of 257 characters", set("sub", strings.Repeat("x", 257)), 403},
		{"sub of 10 kB", set("sub", strings.Repeat("x", 5000)), 403},
		{"sub with a space", set("sub", "a b"), 403},
		{"sub with NUL", set("sub", "a\x00b"), 403},
		{"sub with #", set("sub", "a#b"), 403},
		{"sub not ASCII", set("sub", "ä"), 403},
		{"provider missing", drop("provider"), 403},
		{"provider empty", set("provider", ""), 403},
		{"provider another", set("provider", "whisk"), 403},
		{"provider in other letters", set("provider", "Whiplash"), 403},
		{"exp missing", drop("exp"), 403},
		{"exp null", set("exp", nil), 403},
		{"exp no number", set("exp", "tomorrow"), 403},
		{"iat missing", drop("iat"), 403},
		{"iat null", set("iat", nil), 403},
		{"15 minutes apart", times(0, 15*time.Minute), 302},
		{"15 minutes and a second apart", times(0, 15*time.Minute+time.Second), 403},
		{"an hour apart, about to end", times(-59*time.Minute, time.Minute), 403},
		{"without end", set("exp", 1e300), 403},
		{"issued before time began", set("iat", -1e300), 403},
		{"expired within the skew", times(-5*time.Minute, -59*time.Second), 302},
		{"expired beyond the skew", times(-5*time.Minute, -time.Minute), 403},
		{"expired by hours", times(-5*time.Hour, -5*time.Hour+time.Minute), 403},
		{"issued in the future within the skew", times(time.Minute, 5*time.Minute), 302},
		{"issued in the future beyond the skew", times(time.Minute+time.Second, 5*time.Minute), 403},
		{"not before some future", set("nbf", at(2*time.Minute)), 403},
		{"jti missing", drop("jti"), 403},
		{"jti empty", set("jti", ""), 403},
		{"jti of 15 characters", set("jti", "012345678901234"), 403},
		{"jti of 15 long characters", set("jti", strings.Repeat("é", 15)), 403},
		{"jti of 16 characters", set("jti", "0123456789012345"), 302},
		{"jti a number", set("jti", 1234567890123456), 403},
		{"return_to no string", set("return_to", 1), 403},
		{"scope no string", set("scope", []string{"user_read"}), 403},
		{"params no object", set("params", "x"), 403},
		{"params not of strings", set("params", map[string]any{"identity_provider": 1}), 403},
		{"params nested", set("params", map[string]any{"identity_provider": map[string]string{"a": "b"}}), 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			ev := w.request("whiplash", w.ticket("whiplash", tt.change))
			if tt.want == 403 {
				w.problem(ev, 403, "ticket-invalid")
				return
			}
			w.started(w.handle(ev))
		})
	}
}

// Who may sign a ticket, and how.
func TestTicketSignature(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key := func(s string) []byte { return []byte(s) }
	type header = map[string]any
	tests := []struct {
		name   string
		method jwt.SigningMethod
		header header
		key    any
		want   int
	}{
		{"current key", jwt.SigningMethodHS256, header{"kid": "k1"}, key(connectKey), 302},
		{"older key", jwt.SigningMethodHS256, header{"kid": "k0"}, key(olderKey), 302},
		{"current key without kid", jwt.SigningMethodHS256, nil, key(connectKey), 302},
		{"older key without kid", jwt.SigningMethodHS256, nil, key(olderKey), 302},
		{"an unknown key without kid", jwt.SigningMethodHS256, nil, key(strings.ToUpper(connectKey)), 403},
		{"the kid of another key", jwt.SigningMethodHS256, header{"kid": "k0"}, key(connectKey), 403},
		{"an unknown kid", jwt.SigningMethodHS256, header{"kid": "k2"}, key(connectKey), 403},
		{"an empty kid", jwt.SigningMethodHS256, header{"kid": ""}, key(connectKey), 403},
		{"a kid that is a number", jwt.SigningMethodHS256, header{"kid": 1}, key(connectKey), 403},
		{"the empty key", jwt.SigningMethodHS256, nil, key(""), 403},
		{"HS384", jwt.SigningMethodHS384, nil, key(connectKey), 403},
		{"HS512", jwt.SigningMethodHS512, nil, key(connectKey), 403},
		{"RS256", jwt.SigningMethodRS256, nil, private, 403},
		{"none", jwt.SigningMethodNone, nil, jwt.UnsafeAllowNoneSignatureType, 403},
		{"none, said to be HS256", jwt.SigningMethodNone, header{"alg": "HS256"}, jwt.UnsafeAllowNoneSignatureType, 403},
		{"alg in other letters", jwt.SigningMethodHS256, header{"alg": "hs256"}, key(connectKey), 403},
		{"alg missing", jwt.SigningMethodHS256, header{"alg": nil}, key(connectKey), 403},
		{"an extension that must be understood", jwt.SigningMethodHS256, header{"crit": []string{"b64"}, "b64": false}, key(connectKey), 403},
		{"another typ", jwt.SigningMethodHS256, header{"typ": "at+jwt"}, key(connectKey), 302},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			ev := w.request("whiplash", w.sign(w.claims("whiplash"), tt.method, tt.header, tt.key))
			if tt.want == 403 {
				w.problem(ev, 403, "ticket-invalid")
				return
			}
			w.started(w.handle(ev))
		})
	}
}

func TestWhatIsNoTicket(t *testing.T) {
	w := newWorld(t)
	good := w.ticket("whiplash", nil)
	parts := strings.Split(good, ".")
	for name, ticket := range map[string]string{
		"one word": "ticket", "two parts": parts[0] + "." + parts[1], "four parts": good + ".x", "an empty signature": parts[0] + "." + parts[1] + ".",
		"empty parts": "..", "parts in another order": parts[1] + "." + parts[0] + "." + parts[2], "padded": good + "=", "a space in front": " " + good,
		"a line break in the signature": good[:len(good)-4] + "\n" + good[len(good)-4:], "not base64": parts[0] + ".%." + parts[2], "long": strings.Repeat("a", 7000),
	} {
		t.Run(name, func(t *testing.T) {
			ev := w.request("whiplash", "")
			ev.RawQueryString = "ticket=" + strings.NewReplacer("=", "%3D", " ", "%20", "\n", "%0A", "%", "%25").Replace(ticket)
			w.problem(ev, 403, "ticket-invalid")
		})
	}
}

// No bit of a ticket can be flipped, in any of its three parts, not even one
// that means nothing to a lax decoder.
func TestNoBitOfATicketCanBeFlipped(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for n := range 3 { // the last character of a part holds 6, 4 or 2 bits
		w := newWorld(t)
		good := w.ticket("whiplash", func(c jwt.MapClaims) { c["x"] = strings.Repeat("x", n) })
		if _, err := verifyTicket(w.vault.connect, "whiplash", good, noon); err != nil {
			t.Fatal(err)
		}
		for i, c := range good {
			value := strings.IndexRune(alphabet, c)
			if value < 0 {
				continue // a dot
			}
			for bit := range 6 {
				bad := good[:i] + string(alphabet[value^1<<bit]) + good[i+1:]
				if _, err := verifyTicket(w.vault.connect, "whiplash", bad, noon); err == nil {
					t.Errorf("bit %d of character %d can be flipped: %s", bit, i, bad)
				}
			}
		}
	}
}

// Tickets of package connect are what authorize takes.
func TestTicketsOfPackageConnect(t *testing.T) {
	w := newWorld(t)
	ticket := connect.Ticket{
		ConnectionID: "shop:7/eu@west", Provider: "whisk", ReturnTo: "https://app.example.com/shops?id=7",
		Scopes: []string{"user.profile:read"}, Params: map[string]string{"identity_provider": "google"}, Life: connect.MaxLife,
	}
	w.vault.clients["whisk"] = w.client("whisk", map[string]any{"scopes": []string{"user.profile:read", "cookbook:write"}})
	link, err := ticket.Link("https://connect.example.com", connect.Key{ID: "k0", Secret: olderKey}, noon)
	if err != nil {
		t.Fatal(err)
	}
	signed := strings.TrimPrefix(link, "https://connect.example.com/authorize/whisk?ticket=")
	to, ar := w.started(w.handle(w.request("whisk", signed)))
	if ar.Key.ConnectionID != ticket.ConnectionID || ar.ReturnTo != ticket.ReturnTo || fmt.Sprint(ar.Scopes) != "[user.profile:read]" || len(ar.TicketID) < 16 {
		t.Errorf("authorization request = %+v", ar)
	}
	if q := to.Query(); q.Get("identity_provider") != "google" || q.Get("scope") != "user.profile:read offline_access" {
		t.Errorf("location = %s", to)
	}
}
