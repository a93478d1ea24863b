package authorize

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/pkg/connect"
)

// A ticket that is well signed, whatever stands in it, is what its JSON says to
// a plain reader, to the letter of the contract, or nothing; nothing but its
// five claims comes out. With any letter altered it is no ticket.
func FuzzTicket(f *testing.F) {
	const header, rest = `{"alg":"HS256","kid":"k1"}`, `,"provider":"whiplash","jti":"0123456789abcdef","iat":1795435200,"exp":1795435500`
	for _, claims := range []string{
		`{"aud":"evergrant","sub":"acct_42"` + rest + `}`,
		`{"aud":["evergrant"],"sub":"a:b/c@d","return_to":"https://app.example.com/","scope":"a  b","params":{"identity_provider":"google","":""}` + rest + `}`,
		`{"aud":"evergrant","sub":"acct_42","SUB":"acct_43","params":{"a":"b","A":"c"}` + rest + `}`,
		`{"aud":"evergrant","sub":"acct_42","\u0073ub":"acct_43"` + rest + `}`, `{"aud":"evergrant","sub":"acct_42","params":{"a":"b","\u0061":"c"}` + rest + `}`,
		`{"aud":"evergrant","sub":"acct_42\n"` + rest + `}`, `{"aud":"evergrant","sub":null` + rest + `}`, `{"aud":"evergrant","sub":"acct_42","params":{"a":1}` + rest + `}`,
		`{"aud":"evergrant","sub":"acct_42","nbf":1795435260` + rest + `}`, `{"aud":"evergrant","sub":"acct_42","nbf":1e300` + rest + `}`,
		`{"aud":"evergrant","sub":"acct_42","provider":"whiplash","jti":"0123456789abcdef","iat":1795435200.9,"exp":17954355e2}`,
		`{"aud":"evergrant","sub":"acct_42","provider":"whiplash","jti":"0123456789abcdef","iat":"1795435200","exp":1795436100}`,
		`{"aud":"evergrant","sub":"acct_42","provider":"whiplash","jti":"0123456789abcdef","iat":1795435200,"exp":1795436110}`,
		`{"aud":"evergrant","sub":"acct_42","provider":"whiplash","jti":"éééééééééééééééé","iat":1795434300,"exp":1795435200}`, `[]`, `null`, ``, `{}{}`,
	} {
		f.Add(header, claims, uint(0), byte(1))
	}
	for _, h := range []string{`{"alg":"HS256"}`, `{"alg":"none"}`, `{"alg":"HS384"}`, `{"alg":"HS256","kid":"k0"}`, `{"alg":"HS256","kid":1}`, `{"alg":"HS256","crit":[]}`, `{"alg":"none","alg":"HS256"}`, `{"ALG":"HS256"}`, `null`, ``} {
		f.Add(h, `{"aud":"evergrant","sub":"acct_42"`+rest+`}`, uint(40), byte(0x20))
	}
	keys, err := seal.ParseKeys([]byte(`{"current":"k1","keys":{"k1":"` + connectKey + `","k0":"` + olderKey + `"}}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header, claims string, at uint, mask byte) {
		ticket := signText(header, claims, connectKey)
		i := at % uint(len(ticket))
		for _, other := range []string{
			ticket[:i] + string([]byte{ticket[i] ^ max(mask, 1)}) + ticket[i+1:], ticket[:i], ticket[i+1:], ticket + string([]byte{mask}),
			ticket[:i] + "\n" + ticket[i:], ticket[:len(ticket)-4] + "\r\n" + ticket[len(ticket)-4:], signText(header, claims, strings.ToUpper(connectKey)), claims,
		} {
			if o, err := verifyTicket(keys, "whiplash", other, noon); err == nil {
				t.Errorf("%q, which is not %q, is a ticket: %+v", other, ticket, o)
			}
		}
		o, err := verifyTicket(keys, "whiplash", ticket, noon)
		if err != nil {
			if !errors.Is(err, errExpired) && !reflect.DeepEqual(o, order{}) {
				t.Errorf("%v, and %+v", err, o)
			}
			return
		}
		if o, err := verifyTicket(keys, "whisk", ticket, noon); err == nil {
			t.Errorf("good at another provider: %+v", o)
		}
		checkHeader(t, header)
		checkClaims(t, claims, o)
	})
}

// checkHeader holds the header of a good ticket against the contract.
func checkHeader(t *testing.T, header string) {
	t.Helper()
	says := readJSON(t, header)
	if kid, ok := says["kid"].(string); says["alg"] != "HS256" || says["crit"] != nil || !ok && says["kid"] != nil || kid == "k0" {
		t.Errorf("header = %s", header)
	}
}

// checkClaims holds what came out of a good ticket, and when it was good,
// against what its claims say to a reader that knows no JWT.
func checkClaims(t *testing.T, claims string, o order) {
	t.Helper()
	says := readJSON(t, claims)
	text := func(name string) string { s, _ := says[name].(string); return s }
	number := func(name string) float64 {
		n, _ := says[name].(json.Number)
		v, err := strconv.ParseFloat(n.String(), 64)
		if err != nil {
			t.Errorf("%s is no number: %s", name, claims)
		}
		return v
	}
	now, iat, exp := float64(noon.Unix()), number("iat"), number("exp")
	if iat > now+61 || exp < now-61 || exp-iat > 901 {
		t.Errorf("good at %v: %s", noon, claims)
	}
	if says["nbf"] != nil && number("nbf") > now+61 {
		t.Errorf("good before its time: %s", claims)
	}
	audience, _ := says["aud"].([]any)
	if text("aud") != "evergrant" && !slices.Contains(audience, any("evergrant")) || text("provider") != "whiplash" {
		t.Errorf("made for something else: %s", claims)
	}
	if !connection.ValidID(text("sub")) || len([]rune(text("jti"))) < 16 {
		t.Errorf("sub or jti: %s", claims)
	}
	params := map[string]string{}
	fields, _ := says["params"].(map[string]any)
	for name, v := range fields {
		s, ok := v.(string)
		if !ok {
			t.Errorf("params.%s is no string: %s", name, claims)
		}
		params[name] = s
	}
	five := order{ // all that an order holds
		key: connection.Key{ConnectionID: text("sub"), Provider: "whiplash"}, ticketID: text("jti"), returnTo: text("return_to"), scopes: strings.Fields(text("scope")), params: o.params,
	}
	if !reflect.DeepEqual(o, five) || !maps.Equal(o.params, params) {
		t.Errorf("%+v came out of %s", o, claims)
	}
}

// readJSON reads an object in which nothing stands twice.
func readJSON(t *testing.T, text string) map[string]any {
	t.Helper()
	var all map[string]any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&all); err != nil || all == nil {
		t.Fatalf("%q is no object: %v", text, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		t.Fatalf("something follows %q", text)
	}
	seen := map[string]bool{}
	dec = json.NewDecoder(strings.NewReader(text))
	_, _ = dec.Token() // the brace
	for dec.More() {
		name, _ := dec.Token()
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil || seen[fmt.Sprint(name)] {
			t.Fatalf("%v stands twice in %s", name, text)
		}
		seen[fmt.Sprint(name)] = true
	}
	return all
}

// What package connect signs is what authorize reads.
func FuzzSignedTicket(f *testing.F) {
	f.Add("acct_42", "whiplash", "https://app.example.com/?a=b#c", "user_read", "a", "b", int64(300))
	f.Add("a", "x", "", "", "", "", int64(-1))
	f.Add(strings.Repeat("a", 256), "é", "\x00\u2028<>&", "a b", "\"", "\\", int64(901))
	f.Fuzz(func(t *testing.T, id, provider, returnTo, scope, name, value string, life int64) {
		text := func(s string) string { return strings.ToValidUTF8(s, "?") }
		want := connect.Ticket{
			ConnectionID: id, Provider: text(provider), ReturnTo: text(returnTo), Scopes: strings.Fields(text(scope)),
			Params: map[string]string{text(name): text(value)}, Life: time.Duration(life%1000) * time.Second,
		}
		ticket, err := want.Sign(connect.Key{ID: "k1", Secret: connectKey}, noon)
		if err != nil {
			return
		}
		o, err := verifyTicket(ring(t, `{"current":"k1","k1":"`+connectKey+`"}`), want.Provider, ticket, noon)
		if err != nil || o.key != (connection.Key{ConnectionID: id, Provider: want.Provider}) || o.returnTo != want.ReturnTo || !slices.Equal(o.scopes, want.Scopes) || !maps.Equal(o.params, want.Params) {
			t.Errorf("%+v is read as %+v, %v", want, o, err)
		}
	})
}

// returnOrigins are what RETURN_ORIGINS names where return_to is put to test.
var returnOrigins = []string{"https://app.example.com", "https://admin.example.com:8443", "http://localhost:3000"}

// accepted reports whether return_to may be raw in a deployment, or locally.
func accepted(raw string, https bool) bool {
	h := &Handler{ReturnOrigins: returnOrigins}
	return raw != "" && h.checkReturnTo(raw, https) == nil
}

// A return_to that is taken has an origin of the list, by package net/url and
// by its letters: what stands between the slashes and the first character that
// ends a host anywhere. TestBrowsersReadReturnToAsWeDo asks a browser.
func FuzzReturnTo(f *testing.F) {
	for i, s := range tricks() {
		if i%50 == 0 {
			f.Add(s)
		}
	}
	for _, s := range []string{
		"https://app.example.com", "https://app.example.com:443/a?b#c", "HTTPS://APP.EXAMPLE.COM/", "https://admin.example.com:8443/?a=//evil.example", "http://localhost:3000/x",
		"https://app.example.com@evil.example/", "https://app.example.com.evil.example/", `https://app.example.com\@evil.example`, "https://evil.example/https://app.example.com", "//app.example.com",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if !accepted(raw, false) {
			if accepted(raw, true) {
				t.Errorf("%q is taken in a deployment, and not locally", raw)
			}
			return
		}
		u, err := url.Parse(raw)
		if err != nil || u.User != nil || u.Opaque != "" || len(raw) > maxReturnTo {
			t.Fatalf("%q: %+v, %v", raw, u, err)
		}
		if i := strings.IndexFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }); i >= 0 {
			t.Errorf("%q has a character that is read in more than one way", raw)
		}
		scheme, rest, _ := strings.Cut(raw, "://")
		host := strings.ToLower(rest)
		if i := strings.IndexAny(host, `/?#\@`); i >= 0 {
			host = host[:i]
		}
		scheme = strings.ToLower(scheme)
		host = strings.TrimSuffix(host, map[string]string{"https": ":443", "http": ":80"}[scheme])
		if !slices.Contains(returnOrigins, scheme+"://"+host) || host != strings.TrimSuffix(strings.ToLower(u.Host), ":443") {
			t.Errorf("%q is taken: %s://%s", raw, scheme, host)
		}
		if accepted(raw, true) != (scheme == "https") {
			t.Errorf("%q: taken in a deployment: %v", raw, accepted(raw, true))
		}
	})
}
