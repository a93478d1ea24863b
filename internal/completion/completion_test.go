package completion

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/pkg/providers"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func ring(t *testing.T, document string) seal.Keys {
	t.Helper()
	keys, err := seal.ParseKeys([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

const (
	oldRing = `{"current":"k1","k1":"0123456789abcdef0123456789abcdef"}`
	newRing = `{"current":"k2","k1":"0123456789abcdef0123456789abcdef","k2":"fedcba9876543210fedcba9876543210"}`
	another = `{"current":"k1","k1":"00000000000000000000000000000000"}`
)

// Handle and ID stand for each other, for every key of the ring.
func TestAHandleNamesItsRequest(t *testing.T) {
	keys := ring(t, oldRing)
	seen := map[string]bool{}
	for _, id := range []string{connection.RequestID("jti", "s"), connection.RequestID("", "s"), connection.RequestID("s", "")} {
		handle, err := Handle(keys, id)
		again, _ := Handle(keys, id)
		if err != nil || again != handle || seen[handle] || strings.Trim(handle, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("Handle(%s) = %q, then %q, %v", id, handle, again, err)
		}
		seen[handle] = true
		for name, ring := range map[string]seal.Keys{"its own": keys, "a newer": ring(t, newRing)} {
			if got, ok := ParseHandle(ring, handle); !ok || got != id {
				t.Errorf("under %s ring the handle names %q, %t, want %q", name, got, ok, id)
			}
		}
		if got, ok := ParseHandle(ring(t, another), handle); ok {
			t.Errorf("under another ring the handle names %q", got)
		}
	}
	for _, id := range []string{"", "sweep", "ticket#", "ticket#00", "request#" + strings.Repeat("x", 64), "ticket#" + strings.Repeat("0", 66)} {
		if handle, err := Handle(keys, id); err == nil {
			t.Errorf("%q has the handle %s", id, handle)
		}
	}
}

// One bit is enough: nobody makes a handle of one that was theirs.
func TestAnAlteredHandleIsNone(t *testing.T) {
	keys := ring(t, oldRing)
	handle, err := Handle(keys, connection.RequestID("jti", ""))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(handle)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(raw) * 8 {
		raw[i/8] ^= 1 << (i % 8)
		if id, ok := ParseHandle(keys, base64.RawURLEncoding.EncodeToString(raw)); ok {
			t.Errorf("bit %d changed, it names %s", i, id)
		}
		raw[i/8] ^= 1 << (i % 8)
	}
	for n := range raw {
		if id, ok := ParseHandle(keys, base64.RawURLEncoding.EncodeToString(raw[:n])); ok {
			t.Errorf("of %d bytes, it names %s", n, id)
		}
	}
}

// A sealed answer comes back as it was: codes are opaque, whatever they hold.
func TestAnAnswerKeepsWhatTheProviderSent(t *testing.T) {
	keys := ring(t, oldRing)
	p, _ := providers.Find("whiplash")
	for _, code := range []string{"c", "a+b/c%2B=&\"<", "ünïcode", "\xff\x00", strings.Repeat("x", maxCode)} {
		r := authrequest.Request{Key: connection.Key{ConnectionID: "a", Provider: "whiplash"}, State: "s", Verifier: "v", ExpiresAt: noon}
		a, err := Read(oauth.Client{Provider: p}, r, map[string]string{"code": code, "state": "s", "scope": "x"}, false, noon)
		if err != nil {
			t.Fatal(err)
		}
		record, err := a.Held(keys, r.Record(noon))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Open(keys, record)
		if want := map[string]oauth.Secret{"code": oauth.Secret(code)}; err != nil || !reflect.DeepEqual(got.Params, want) {
			t.Errorf("code %q comes back as %q, %v", code, got.Params["code"].Reveal(), err)
		}
	}
}

// What names another callback was made for somebody else. Only origin and path
// count: the query is the provider's to drop or to add to.
func TestABlobIsForOurCallback(t *testing.T) {
	p, _ := providers.Find("whcc")
	r := authrequest.Request{RedirectURI: "https://connect.example.com/callback/whcc"}
	tests := map[string]bool{
		`{"token":"t"}`:                     true,
		`{"token":"t","callback_url":""}`:   true,
		`{"token":"t","callback_url":null}`: true,
		`{"token":"t","callback_url":"https://connect.example.com/callback/whcc"}`:              true,
		`{"token":"t","callback_url":"https://connect.example.com/callback/whcc?state=x"}`:      true,
		`{"token":"t","callback_url":"https://connect.example.com/callback/whcc?a=b#c"}`:        true,
		`{"token":"t","callback_url":"HTTPS://Connect.Example.com:443/callback/whcc"}`:          true,
		`{"token":"t","callback_url":"\u0068ttps:\/\/connect.example.com\/callback\/whcc"}`:     true,
		`{"token":"t","callback_url":"http://connect.example.com/callback/whcc"}`:               false,
		`{"token":"t","callback_url":"https://connect.example.com:444/callback/whcc"}`:          false,
		`{"token":"t","callback_url":"https://connect.example.com/callback/whisk"}`:             false,
		`{"token":"t","callback_url":"https://connect.example.com/callback/whcc/"}`:             false,
		`{"token":"t","callback_url":"https://connect.example.com/callback%2fwhcc"}`:            false,
		`{"token":"t","callback_url":"https://connect.example.com/x/../callback/whcc"}`:         false,
		`{"token":"t","callback_url":"https://connect.example.com@evil.example/callback/whcc"}`: false,
		`{"token":"t","callback_url":"https://a:b@connect.example.com/callback/whcc"}`:          false,
		`{"token":"t","callback_url":"https://connect.example.com.evil.example/callback/whcc"}`: false,
		`{"token":"t","callback_url":"https://evil.example/callback/whcc"}`:                     false,
		`{"token":"t","callback_url":"//connect.example.com/callback/whcc"}`:                    false,
		`{"token":"t","callback_url":"/callback/whcc"}`:                                         false,
		`{"token":"t","callback_url":"whcc"}`:                                                   false,
		`{"token":"t","callback_url":4711}`:                                                     false,
	}
	for document, good := range tests {
		a, err := Read(oauth.Client{Provider: p}, r, map[string]string{"whData": document, "state": "s"}, false, noon)
		if (err == nil) != good || good && a.Params["whData"].Reveal() != document {
			t.Errorf("%s: %v", document, err)
		}
	}
}
