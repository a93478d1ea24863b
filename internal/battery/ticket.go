package battery

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"hash"
	"maps"
	"time"
)

// A ticket is a connect ticket before it is signed, good or bad.
type ticket struct {
	header, claims map[string]any
	key            string
	payload        string // in place of claims, as JSON; "": claims
}

// newTicket returns a good ticket of f.
func (f *flow) newTicket() *ticket {
	now := f.Now()
	claims := map[string]any{
		"aud": "evergrant", "sub": f.key.ConnectionID, "provider": f.key.Provider, "jti": f.jti,
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}
	if !f.way.stays {
		claims["return_to"] = f.ReturnTo
	}
	maps.Copy(claims, f.c.claims)
	return &ticket{header: map[string]any{"alg": "HS256", "typ": "JWT", "kid": "k1"}, claims: claims, key: f.ConnectKey}
}

// sign returns t as a JWT (RFC 7515 section 7.1), signed as its alg says; one
// that is no HMAC is signed with HS256 all the same.
func (t *ticket) sign() string {
	payload, _ := json.Marshal(t.claims) // strings and numbers: it cannot fail
	if t.payload != "" {
		payload = []byte(t.payload)
	}
	header, _ := json.Marshal(t.header)
	signed := encode(header) + "." + encode(payload)
	alg, _ := t.header["alg"].(string)
	newHash := map[string]func() hash.Hash{"HS384": sha512.New384, "HS512": sha512.New}[alg]
	switch {
	case alg == "none":
		return signed + "."
	case newHash == nil:
		newHash = sha256.New
	}
	mac := hmac.New(newHash, []byte(t.key))
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// unique returns a text that nobody else has, which begins with c4nary.
func unique(what string) string { return "c4nary-" + what + "-" + rand.Text() }
