package authorize

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/evergrant/evergrant/internal/secrets"
	"github.com/evergrant/evergrant/internal/simulator"
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
		{"aud a list with more than text", set("aud", []any{"evergrant", 1}), 403},
		{"aud a list in a list", set("aud", [][]string{{"evergrant"}}), 403},
		{"aud in other letters", set("aud", "Evergrant"), 403},
		{"aud with a space", set("aud", "evergrant "), 403},
		{"aud a number", set("aud", 1), 403},
		{"aud null", set("aud", nil), 403},
		{"sub missing", drop("sub"), 403},
		{"sub empty", set("sub", ""), 403},
		{"sub null", set("sub", nil), 403},
		{"sub a number", set("sub", 42), 403},
		{"sub a list", set("sub", []string{"acct_42"}), 403},
		{"sub with a line break at its end", set("sub", "acct_42\n"), 403},
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
		{"exp a number in quotes", set("exp", fmt.Sprint(at(5*time.Minute))), 403},
		{"exp a list", set("exp", []int64{at(5 * time.Minute)}), 403},
		{"exp true", set("exp", true), 403},
		{"exp in milliseconds", set("exp", at(5*time.Minute)*1000), 403},
		{"exp with a fraction", set("exp", float64(at(5*time.Minute))+0.25), 302},
		{"iat with a fraction", set("iat", float64(at(0))+0.999), 302},
		{"iat a number in quotes", set("iat", fmt.Sprint(at(0))), 403},
		{"iat missing", drop("iat"), 403},
		{"iat null", set("iat", nil), 403},
		{"15 minutes apart", times(0, 15*time.Minute), 302},
		{"15 minutes and a second apart", times(0, 15*time.Minute+time.Second), 403},
		{"an hour apart, about to end", times(-59*time.Minute, time.Minute), 403},
		{"without end", set("exp", 1e300), 403},
		{"issued before time began", set("iat", -1e300), 403},
		{"issued at once and ending in the next age", func(c jwt.MapClaims) { c["iat"], c["exp"] = 1e19, 1e19+1 }, 403},
		{"times before 1970", times(-60*365*24*time.Hour, -60*365*24*time.Hour), expired},
		{"zero times", func(c jwt.MapClaims) { c["iat"], c["exp"] = 0, 0 }, expired},
		{"expired within the skew", times(-5*time.Minute, -59*time.Second), 302},
		{"expired beyond the skew", times(-5*time.Minute, -time.Minute), expired},
		{"expired by hours", times(-5*time.Hour, -5*time.Hour+time.Minute), expired},
		{"issued in the future within the skew", times(time.Minute, 5*time.Minute), 302},
		{"issued in the future beyond the skew", times(time.Minute+time.Second, 5*time.Minute), 403},
		{"not before some future", set("nbf", at(2*time.Minute)), 403},
		{"not before the past", set("nbf", at(-2*time.Minute)), 302},
		{"not before a time that overflows", set("nbf", 1e300), 403},
		{"not before a time that nearly overflows", set("nbf", 9.2e18), 403},
		{"nbf no time", set("nbf", "noon"), 403},
		{"jti missing", drop("jti"), 403},
		{"jti empty", set("jti", ""), 403},
		{"jti of 15 characters", set("jti", "012345678901234"), 403},
		{"jti of 15 long characters", set("jti", strings.Repeat("é", 15)), 403},
		{"jti of 16 characters", set("jti", "0123456789012345"), 302},
		{"jti a number", set("jti", 1234567890123456), 403},
		{"return_to no string", set("return_to", 1), 403},
		{"scope no string", set("scope", []string{"user_read"}), 403},
		{"return_to null", set("return_to", nil), 302},
		{"scope null", set("scope", nil), 302},
		{"params null", set("params", nil), 302},
		{"params empty", set("params", map[string]string{}), 302},
		{"params no object", set("params", "x"), 403},
		{"params a list", set("params", []string{"identity_provider"}), 403},
		{"params with null", set("params", map[string]any{"identity_provider": nil}), 403},
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
			if tt.want == expired {
				w.problem(ev, 403, "ticket-expired")
				return
			}
			w.started(w.handle(ev))
		})
	}
}

// Who holds a ticket that was good learns that it has expired, and which host to
// ask for another. Whoever made one up learns neither.
func TestAnExpiredTicketLeadsBackToItsHost(t *testing.T) {
	past := func(also func(jwt.MapClaims)) func(jwt.MapClaims) {
		return func(c jwt.MapClaims) {
			c["return_to"], c["iat"], c["exp"] = "https://admin.example.com:8443/shops?tab=1", noon.Add(-10*time.Minute).Unix(), noon.Add(-5*time.Minute).Unix()
			if also != nil {
				also(c)
			}
		}
	}
	set := func(name string, value any) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c[name] = value } }
	w := newWorld(t)
	w.ReturnOrigins = []string{"https://app.example.com", "https://admin.example.com:8443"}
	tests := []struct {
		name, ticket, typ string
		home              bool
	}{
		{"expired", w.ticket("whiplash", past(nil)), "ticket-expired", true},
		{"without return_to", w.ticket("whiplash", past(func(c jwt.MapClaims) { delete(c, "return_to") })), "ticket-expired", false},
		{"back to a stranger", w.ticket("whiplash", past(set("return_to", "https://evil.example/"))), "ticket-expired", false},
		{"back to a script", w.ticket("whiplash", past(set("return_to", "javascript:alert(1)"))), "ticket-expired", false},
		{"forged", w.sign(w.claims("whiplash"), jwt.SigningMethodHS256, nil, []byte(strings.ToUpper(connectKey))), "ticket-invalid", false},
		{"for another provider", w.ticket("whisk", past(nil)), "ticket-invalid", false},
		{"for another service", w.ticket("whiplash", past(set("aud", "another"))), "ticket-invalid", false},
		{"a bad sub", w.ticket("whiplash", past(set("sub", "a b"))), "ticket-invalid", false},
		{"a short jti", w.ticket("whiplash", past(set("jti", "x"))), "ticket-invalid", false},
		{"too long a life", w.ticket("whiplash", past(set("iat", noon.Add(-time.Hour).Unix()))), "ticket-invalid", false},
		{"issued after it ends", w.ticket("whiplash", past(set("iat", noon.Unix()))), "ticket-invalid", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			w.problem(w.request("whiplash", tt.ticket), 403, tt.typ)
			page := w.handle(w.request("whiplash", tt.ticket)).Body
			if got := strings.Contains(page, `<a href="https://admin.example.com:8443/">Go back to admin.example.com:8443</a>`); got != tt.home || strings.Contains(page, "evil.example") || strings.Contains(page, "javascript") || strings.Contains(page, "acct_42") {
				t.Errorf("it leads home: %t, want %t: %s", got, tt.home, page)
			}
		})
	}
}

// With a single host, pages name it even where a link says nothing.
func TestPagesNameTheOnlyHost(t *testing.T) {
	w := newWorld(t)
	for _, origins := range [][]string{{"https://app.example.com"}, {"https://app.example.com", "https://b.example.com"}, nil} {
		w.ReturnOrigins = origins
		page := w.handle(w.request("whiplash", "")).Body
		if got := strings.Contains(page, `<a href="https://app.example.com/">`); got != (len(origins) == 1) {
			t.Errorf("with %v: %s", origins, page)
		}
	}
}

// expired stands for 403 with a page of its own.
const expired = -403

// Who may sign a ticket, and how.
func TestTicketSignature(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&private.PublicKey)})
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
		{"a kid of the host's own", jwt.SigningMethodHS256, header{"kid": "k2"}, key(connectKey), 302},
		{"a kid of the host's own, older key", jwt.SigningMethodHS256, header{"kid": "k2"}, key(olderKey), 302},
		{"a kid of the host's own, an unknown key", jwt.SigningMethodHS256, header{"kid": "k2"}, key(strings.ToUpper(connectKey)), 403},
		{"an empty kid", jwt.SigningMethodHS256, header{"kid": ""}, key(connectKey), 302},
		{"the kid in other letters", jwt.SigningMethodHS256, header{"kid": "K1"}, key(connectKey), 302},
		{"a kid with an unknown key", jwt.SigningMethodHS256, header{"kid": "k1"}, key(strings.ToUpper(connectKey)), 403},
		{"a kid that is a key", jwt.SigningMethodHS256, header{"kid": connectKey}, key("k1"), 403},
		{"a kid that is a path", jwt.SigningMethodHS256, header{"kid": "/dev/null"}, key(""), 403},
		{"a kid that is a number", jwt.SigningMethodHS256, header{"kid": 1}, key(connectKey), 403},
		{"a kid that is a list", jwt.SigningMethodHS256, header{"kid": []string{"k1"}}, key(connectKey), 403},
		{"a kid that is null", jwt.SigningMethodHS256, header{"kid": nil}, key(connectKey), 403},
		{"a key of its own in the header", jwt.SigningMethodHS256, header{"jwk": map[string]string{"kty": "oct", "k": "YXR0YWNrZXI"}}, key("attacker"), 403},
		{"the ring as a key", jwt.SigningMethodHS256, nil, key(`{"current":"k1","k1":"` + connectKey + `"}`), 403},
		{"a key with a line break at its end", jwt.SigningMethodHS256, nil, key(connectKey + "\n"), 403},
		{"the empty key", jwt.SigningMethodHS256, nil, key(""), 403},
		{"HS384", jwt.SigningMethodHS384, nil, key(connectKey), 403},
		{"HS512", jwt.SigningMethodHS512, nil, key(connectKey), 403},
		{"HS384, said to be HS256", jwt.SigningMethodHS384, header{"alg": "HS256"}, key(connectKey), 403},
		{"HS256, said to be HS384", jwt.SigningMethodHS256, header{"alg": "HS384"}, key(connectKey), 403},
		{"HS256, said to be RS256", jwt.SigningMethodHS256, header{"alg": "RS256"}, key(connectKey), 403},
		{"HS256, said to be none", jwt.SigningMethodHS256, header{"alg": "none"}, key(connectKey), 403},
		{"HS256 under a public key", jwt.SigningMethodHS256, nil, public, 403},
		{"RS256", jwt.SigningMethodRS256, nil, private, 403},
		{"PS256", jwt.SigningMethodPS256, nil, private, 403},
		{"RS256, said to be HS256", jwt.SigningMethodRS256, header{"alg": "HS256"}, private, 403},
		{"none", jwt.SigningMethodNone, nil, jwt.UnsafeAllowNoneSignatureType, 403},
		{"none, said to be HS256", jwt.SigningMethodNone, header{"alg": "HS256"}, jwt.UnsafeAllowNoneSignatureType, 403},
		{"alg in other letters", jwt.SigningMethodHS256, header{"alg": "hs256"}, key(connectKey), 403},
		{"alg missing", jwt.SigningMethodHS256, header{"alg": nil}, key(connectKey), 403},
		{"alg a list", jwt.SigningMethodHS256, header{"alg": []string{"HS256"}}, key(connectKey), 403},
		{"alg with a space", jwt.SigningMethodHS256, header{"alg": "HS256 "}, key(connectKey), 403},
		{"an extension that must be understood", jwt.SigningMethodHS256, header{"crit": []string{"b64"}, "b64": false}, key(connectKey), 403},
		{"an extension that nobody must understand", jwt.SigningMethodHS256, header{"crit": []string{}}, key(connectKey), 403},
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

// signText returns header and payload, whatever they are, under key as a JWT
// has them: what a signer makes that does not care for JSON.
func signText(header, payload, key string) string {
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(header)) + "." + encode([]byte(payload))
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}

// The JSON of a ticket that is well signed means one thing or nothing.
func TestTicketJSON(t *testing.T) {
	w := newWorld(t)
	const header = `{"alg":"HS256","kid":"k1"}`
	text, err := json.Marshal(w.claims("whiplash"))
	if err != nil {
		t.Fatal(err)
	}
	payload := string(text)
	with := func(members string) string { return payload[:len(payload)-1] + "," + members + "}" }
	good := signText(header, payload, connectKey)
	tests := []struct {
		name, header, payload string
		want                  bool
	}{
		{"as it is", header, payload, true},
		{"spaced", " {\n\t\"kid\" : \"k1\", \"alg\": \"HS256\" } ", "\n" + strings.ReplaceAll(payload, ",", " ,\r\n") + "\t", true},
		{"escaped", `{"\u0061lg":"HS\u003256"}`, strings.Replace(payload, `"sub"`, `"\u0073ub"`, 1), true},
		{"a claim nested deep", header, with(`"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000)), true},
		{"aud twice", header, with(`"aud":"evergrant"`), false},
		{"sub twice", header, with(`"sub":"acct_43"`), false},
		{"sub twice, once escaped", header, with(`"\u0073ub":"acct_43"`), false},
		{"provider twice", header, with(`"provider":"whiplash"`), false},
		{"a claim that nobody knows twice", header, with(`"x":1,"x":1`), false},
		{"a field twice", header, with(`"params":{"a":"1","a":"1"}`), false},
		{"a second sub in other letters", header, with(`"SUB":"acct_43"`), true},
		{"claims in other letters", header, strings.Replace(payload, `"sub"`, `"Sub"`, 1), false},
		{"provider in other letters", header, strings.Replace(payload, `"provider"`, `"PROVIDER"`, 1), false},
		{"alg twice", `{"alg":"none","alg":"HS256"}`, payload, false},
		{"kid twice", `{"alg":"HS256","kid":"k0","kid":"k1"}`, payload, false},
		{"alg in other letters", `{"ALG":"HS256"}`, payload, false},
		{"header with something behind it", header + "{}", payload, false},
		{"header a list", `["alg","HS256"]`, payload, false},
		{"header null", "null", payload, false},
		{"header empty", "", payload, false},
		{"header not UTF-8", "{\"alg\":\"HS256\",\"x\":\"\xff\"}", payload, false},
		{"something behind it", header, payload + "x", false},
		{"a second object behind it", header, payload + payload, false},
		{"torn", header, payload[:len(payload)-1], false},
		{"a comma too many", header, payload[:len(payload)-1] + ",}", false},
		{"a comment", header, payload + "//", false},
		{"a byte order mark", header, "\ufeff" + payload, false},
		{"not UTF-8", header, with("\"x\":\"\xff\""), false},
		{"UTF-16", header, "\xfe\xff\x00{\x00}", false},
		{"a list of claims", header, "[" + payload + "]", false},
		{"claims in a string", header, strconv.Quote(payload), false},
		{"null", header, "null", false},
		{"a number", header, "1", false},
		{"nothing", header, "", false},
		{"no claims", header, "{}", false},
		{"a ticket in a ticket", `{"alg":"HS256","cty":"JWT"}`, good, false},
		{"a ticket in quotes in a ticket", `{"alg":"HS256","cty":"JWT"}`, strconv.Quote(good), false},
		{"not a number", header, with(`"nbf":NaN`), false},
		{"a number beyond floats", header, with(`"nbf":1e400`), false},
		{"a number of many digits", header, with(`"nbf":` + strings.Repeat("9", 2000)), false},
		{"a number with a zero in front", header, with(`"nbf":01`), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, err := verifyTicket(w.vault.connect, "whiplash", signText(tt.header, tt.payload, connectKey), noon)
			if (err == nil) != tt.want || tt.want && o.key.ConnectionID != "acct_42" {
				t.Errorf("%+v, %v", o, err)
			}
		})
	}
}

// The form of a ticket: three parts of base64url without padding (RFC 7515
// section 7.1), as they were made and nothing else.
func TestWhatIsNoTicket(t *testing.T) {
	w := newWorld(t)
	good := w.ticket("whiplash", nil)
	parts := strings.Split(good, ".")
	standard := func(s string) string { // the same bytes as that which a host encoded in another way
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(b)
	}
	tests := map[string]string{
		"one word": "ticket", "a dot": ".", "two dots": "..", "a space": " ", "one part": parts[0], "two parts": parts[0] + "." + parts[1],
		"four parts": good + ".x", "four parts, the last empty": good + ".", "five parts, as of an encrypted one": good + ".x.y", "a dot in front": "." + good,
		"an empty signature": parts[0] + "." + parts[1] + ".", "no header": "." + parts[1] + "." + parts[2], "no claims": parts[0] + ".." + parts[2],
		"parts in another order": parts[1] + "." + parts[0] + "." + parts[2], "twice": good + good, "two with a comma": good + "," + good,
		"padded": good + "=", "padded to the full": parts[0] + "." + parts[1] + "." + standard(parts[2]), "the alphabet of base64": standard(parts[0]) + "." + standard(parts[1]) + "." + standard(parts[2]),
		"a space in front": " " + good, "a space behind": good + " ", "a tab behind": good + "\t", "a space in it": parts[0] + " ." + parts[1] + "." + parts[2],
		"NUL behind": good + "\x00", "a line break behind": good + "\n", "a line break in front": "\r\n" + good,
		"a line break in the header": good[:3] + "\n" + good[3:], "a line break in the signature": good[:len(good)-4] + "\n" + good[len(good)-4:],
		"a line break before a dot": parts[0] + "\n." + parts[1] + "." + parts[2], "quoted": `"` + good + `"`, "a scheme in front": "Bearer " + good, "URL-encoded twice": strings.ReplaceAll(good, ".", "%2E"),
		"not base64": parts[0] + ".%." + parts[2], "a signature cut short": good[:len(good)-2], "half a signature": good[:len(good)-20], "a signature with more behind": good + "AA",
		"JSON": `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`, "long": strings.Repeat("a", 7000), "many dots": strings.Repeat(".", 7000),
	}
	for name, ticket := range tests {
		t.Run(name, func(t *testing.T) {
			ev := w.request("whiplash", "")
			ev.RawQueryString = "ticket=" + url.QueryEscape(ticket)
			w.problem(ev, 403, "ticket-invalid")
		})
	}
}

// A ticket is bounded before its signature is looked at, by the query that
// brings it.
func TestATicketThatIsTooLong(t *testing.T) {
	w := newWorld(t)
	large := w.ticket("whiplash", func(c jwt.MapClaims) { c["x"] = strings.Repeat("x", 5500) })
	if len(large) < 7<<10 || len(large) > 8<<10-len("ticket=") {
		t.Fatalf("%d bytes", len(large))
	}
	w.started(w.handle(w.request("whiplash", large)))
	w.problem(w.request("whiplash", w.ticket("whiplash", func(c jwt.MapClaims) { c["x"] = strings.Repeat("x", 6500) })), 400, "bad-request")
}

// No bit of a ticket can be flipped: none of the values in its three parts, not
// even one that means nothing to a lax decoder, and none of the letters that
// stand for them, nor of the dots.
func TestNoBitOfATicketCanBeFlipped(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	flips := 0
	for n := range 3 { // the last character of a part holds 6, 4 or 2 bits
		w := newWorld(t)
		good := w.ticket("whiplash", func(c jwt.MapClaims) { c["x"] = strings.Repeat("x", n) })
		if _, err := verifyTicket(w.vault.connect, "whiplash", good, noon); err != nil {
			t.Fatal(err)
		}
		refuse := func(i int, b byte) {
			flips++
			bad := good[:i] + string([]byte{b}) + good[i+1:]
			if _, err := verifyTicket(w.vault.connect, "whiplash", bad, noon); err == nil {
				t.Errorf("character %d can be flipped: %s", i, bad)
			}
		}
		for i := range len(good) {
			for bit := range 8 {
				if n == 0 {
					refuse(i, good[i]^1<<bit)
				}
			}
			for bit := range 6 {
				if value := strings.IndexByte(alphabet, good[i]); value >= 0 { // -1: a dot
					refuse(i, alphabet[value^1<<bit])
				}
			}
		}
	}
	if flips < 8_000 {
		t.Errorf("%d flips", flips)
	}
}

// What a signature was made for cannot be changed: no part can be exchanged for
// that of another good ticket, no claim altered, dropped or moved to another
// place, no header written anew.
func TestASignatureIsForOneTicket(t *testing.T) {
	w := newWorld(t)
	tickets := map[string]string{
		"good": w.ticket("whiplash", nil), "older key": w.sign(w.claims("whiplash"), jwt.SigningMethodHS256, nil, []byte(olderKey)),
		"other sub": w.ticket("whiplash", func(c jwt.MapClaims) { c["sub"] = "acct_43" }), "other provider": w.ticket("whisk", nil),
	}
	refused := func(name string, parts ...string) {
		t.Helper()
		ticket := strings.Join(parts, ".")
		if _, err := verifyTicket(w.vault.connect, "whiplash", ticket, noon); err == nil && ticket != tickets["good"] && ticket != tickets["older key"] {
			t.Errorf("%s: taken", name)
		}
	}
	for a, ticket := range tickets {
		parts := strings.Split(ticket, ".")
		for b, other := range tickets {
			others := strings.Split(other, ".")
			if a != b {
				refused(a+" with the signature of "+b, parts[0], parts[1], others[2])
				refused(a+" with the claims of "+b, parts[0], others[1], parts[2])
			}
		}
		for _, header := range []string{`{"alg":"HS256","typ":"JWT"}`, `{"alg":"none"}`, `{"alg":"HS384"}`, `{"alg":"HS256","kid":"k2"}`, `{"alg":"RS256","kid":"k1","typ":"JWT"}`} {
			refused(a+" with the header "+header, base64.RawURLEncoding.EncodeToString([]byte(header)), parts[1], parts[2])
		}
	}
	parts := strings.Split(tickets["good"], ".")
	claims := w.claims("whiplash")
	names := slices.Sorted(maps.Keys(claims)) // the order in which they were signed
	write := func(names []string, claims jwt.MapClaims) string {
		var members []string
		for _, name := range names {
			if value, ok := claims[name]; ok {
				text, _ := json.Marshal(value) // a string or a number
				members = append(members, strconv.Quote(name)+":"+string(text))
			}
		}
		return base64.RawURLEncoding.EncodeToString([]byte("{" + strings.Join(members, ",") + "}"))
	}
	if write(names, claims) != parts[1] {
		t.Fatal("the test does not write what was signed")
	}
	for i, name := range names {
		swapped := slices.Clone(names)
		swapped[i], swapped[(i+1)%len(names)] = swapped[(i+1)%len(names)], swapped[i]
		refused("claims in another order", parts[0], write(swapped, claims), parts[2])
		for what, value := range map[string]any{"emptied": "", "a number": 1, "another": "x" + fmt.Sprint(claims[name])} {
			changed := maps.Clone(claims)
			changed[name] = value
			refused(name+" "+what, parts[0], write(names, changed), parts[2])
		}
		dropped := maps.Clone(claims)
		delete(dropped, name)
		refused(name+" dropped", parts[0], write(names, dropped), parts[2])
	}
}

// Keys rotate without a refused link: the new key is added, then it is made
// current, then the old one goes, each step when the caches have the last one.
func TestRotatingAConnectKey(t *testing.T) {
	const cached = 5 * time.Minute
	w := newWorld(t)
	c := simulator.DefaultClient("whiplash")
	m := &manager{values: map[string]string{
		"p/whiplash": `{"client_id":"` + c.ID + `","client_secret":"` + c.Secret + `"}`, "seal": `{"current":"k1","k1":"` + sealKey + `"}`,
	}}
	w.Secrets = &secrets.Store{API: m, Prefix: "p/", Seal: "seal", Connect: "connect", Now: w.Now, Jitter: func() float64 { return 0.5 }}
	signed := map[string]connect.Key{ // what a host may do: sign by a key, with kid or without
		"k0": {ID: "k0", Secret: olderKey}, "k0 without kid": {Secret: olderKey}, "k1": {ID: "k1", Secret: connectKey}, "k1 without kid": {Secret: connectKey},
	}
	steps := []struct {
		name, secret string
		after        time.Duration
		current      string
		want         []string // whose tickets are good
	}{
		{"one key", `{"current":"k0","k0":"` + olderKey + `"}`, 0, "k0", []string{"k0", "k0 without kid"}},
		{"the second is added", `{"current":"k0","k0":"` + olderKey + `","k1":"` + connectKey + `"}`, cached - 1, "k0", []string{"k0", "k0 without kid"}},
		{"and known", `{"current":"k0","k0":"` + olderKey + `","k1":"` + connectKey + `"}`, 1, "k0", []string{"k0", "k0 without kid", "k1", "k1 without kid"}},
		{"the second is current", `{"current":"k1","k0":"` + olderKey + `","k1":"` + connectKey + `"}`, 0, "k1", []string{"k0", "k0 without kid", "k1", "k1 without kid"}},
		{"the first is removed", `{"current":"k1","keys":{"k1":"` + connectKey + `"}}`, cached - 1, "k1", []string{"k0", "k0 without kid", "k1", "k1 without kid"}},
		{"and forgotten", `{"current":"k1","keys":{"k1":"` + connectKey + `"}}`, 1, "k1", []string{"k1", "k1 without kid"}},
	}
	for _, step := range steps {
		m.values["connect"] = step.secret
		w.now = w.now.Add(step.after)
		minted, err := connect.CurrentKey([]byte(step.secret))
		if err != nil || minted != signed[step.current] {
			t.Errorf("%s: %v signs, %v", step.name, minted, err)
		}
		for name, key := range signed {
			ticket, err := connect.Ticket{ConnectionID: "acct_42", Provider: "whiplash"}.Sign(key, w.now)
			if err != nil {
				t.Fatal(err)
			}
			want := 403
			if slices.Contains(step.want, name) {
				want = 302
			}
			if got := w.handle(w.request("whiplash", ticket)); got.StatusCode != want {
				t.Errorf("%s, a ticket of %s: %d, want %d", step.name, name, got.StatusCode, want)
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
