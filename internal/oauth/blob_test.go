package oauth

import (
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/pkg/providers"
)

// documented is the value of whData on WHCC's page, as it stands in the URL.
const documented = `%7B%22client_id%22%3A10072%2C%22callback_url%22%3A%22https%3A%2F%2Fhost.example%2Fcallback%22%2C%22token%22%3A%220123456789abcdef0123456789abcdef%22%2C%22studio%22%3A%22Lake%20Studio%22%2C%22attention%22%3A%22Front%20Desk%22%2C%22addr%22%3A%221%20Example%20Parkway%22%2C%22addr2%22%3A%22%22%2C%22addr3%22%3A%22%22%2C%22city%22%3A%22Eagan%22%2C%22state%22%3A%22MN%22%2C%22zip%22%3A%2255121%22%2C%22country%22%3A%22US%22%2C%22email%22%3A%22desk%40example.com%22%2C%22phone%22%3A%22555-010-0100%22%7D`

func whData(t *testing.T) providers.Blob {
	t.Helper()
	return *definition(t, "whcc").Blob
}

func TestParseBlobOfTheDocumentation(t *testing.T) {
	raw, err := url.QueryUnescape(documented)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseBlob(whData(t), Secret(raw), noon)
	if err != nil {
		t.Fatal(err)
	}
	if got.AccessToken.Reveal() != "0123456789abcdef0123456789abcdef" || got.TokenType != "Bearer" || !got.IssuedAt.Equal(noon) {
		t.Errorf("token = %q, %s, issued %v", got.AccessToken.Reveal(), got.TokenType, got.IssuedAt)
	}
	if got.RefreshToken != "" || !got.ExpiresAt.IsZero() || !got.RefreshExpiresAt.IsZero() || got.Scopes != nil {
		t.Error("WHCC names no refresh token, expiry or scope")
	}
	if got.Account != (Account{ID: "10072", Label: "Lake Studio"}) {
		t.Errorf("account = %+v", got.Account)
	}
	want := map[string]string{
		"client_id": "10072", "studio": "Lake Studio", "attention": "Front Desk", "addr": "1 Example Parkway", "city": "Eagan",
		"state": "MN", "zip": "55121", "country": "US", "email": "desk@example.com", "phone": "555-010-0100",
	}
	if !maps.Equal(got.Metadata, want) {
		t.Errorf("metadata = %v, want %v", got.Metadata, want)
	}
}

func TestParseBlob(t *testing.T) {
	tests := []struct {
		name, raw string
		token     string
		account   Account
	}{
		{"the token alone", `{"token":"t"}`, "t", Account{}},
		{"client_id a string", `{"token":"t","client_id":"10072"}`, "t", Account{ID: "10072"}},
		{"client_id an object", `{"token":"t","client_id":{"id":1}}`, "t", Account{}},
		{"a member twice", `{"token":"t","studio":"a","studio":"b"}`, "t", Account{}},
		{"a byte order mark", "\ufeff" + `{"token":"t"}`, "t", Account{}},
		{"strangers with familiar names", `{"token":"t","access_token":"x","refresh_token":"y","error":"invalid_grant","expires_in":1,"scope":"z"}`, "t", Account{}},
		{"just short enough", `{"token":"t","x":"` + strings.Repeat("x", 16<<10-len(`{"token":"t","x":""}`)) + `"}`, "t", Account{}},
		{"missing", ``, "", Account{}},
		{"not JSON", `token=t`, "", Account{}},
		{"a JSON string", `"{\"token\":\"t\"}"`, "", Account{}},
		{"a list", `[{"token":"t"}]`, "", Account{}},
		{"null", `null`, "", Account{}},
		{"torn", `{"token":"t","studio":"`, "", Account{}},
		{"trailing data", `{"token":"t"}{}`, "", Account{}},
		{"too long", `{"token":"t","x":"` + strings.Repeat("x", 16<<10) + `"}`, "", Account{}},
		{"too deep", `{"token":"t","x":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`, "", Account{}},
		{"two tokens", `{"token":"t","token":"u"}`, "", Account{}},
		{"no token", `{"studio":"Lake Studio"}`, "", Account{}},
		{"token a number", `{"token":5961220}`, "", Account{}},
		{"token null", `{"token":null}`, "", Account{}},
		{"token empty", `{"token":""}`, "", Account{}},
		{"token nested", `{"data":{"token":"t"}}`, "", Account{}},
		{"token in another case", `{"Token":"t"}`, "", Account{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseBlob(whData(t), Secret(tt.raw), noon)
			if got.AccessToken.Reveal() != tt.token || (err == nil) != (tt.token != "") || got.Account != tt.account {
				t.Errorf("token = %q, account = %+v, error = %v", got.AccessToken.Reveal(), got.Account, err)
			}
			if err == nil {
				return
			}
			if text := err.Error(); !strings.HasPrefix(text, "whData") || strings.Contains(text, "Studio") || strings.Contains(text, "5961220") {
				t.Errorf("error = %v, want it to name whData and nothing that it held", err)
			}
		})
	}
}

// whData.state is a US state: it must never be taken for OAuth's state.
func TestParseBlobKeepsStateAsMetadata(t *testing.T) {
	got, err := ParseBlob(whData(t), `{"token":"t","state":"MN"}`, noon)
	if err != nil || got.Metadata["state"] != "MN" {
		t.Errorf("metadata = %v, %v", got.Metadata, err)
	}
}

func TestImplicitTokens(t *testing.T) {
	tests := []struct {
		name, token, tokenType, expiresIn, scope string
		want                                     outcome
	}{
		{"as Whisk documents", "at", "Bearer", "86400", "", outcome{access: "at", life: 24 * hour}},
		{"with scope", "at", "bearer", "60", "a b", outcome{access: "at", life: time.Minute, scopes: []string{"a", "b"}}},
		{"bare", "at", "", "", "", outcome{access: "at"}},
		{"expires_in garbage", "at", "Bearer", "soon", "", outcome{access: "at"}},
		{"no token", "", "Bearer", "60", "", outcome{}},
		{"a token of a type that nobody here understands", "at", "MAC", "60", "", outcome{}},
	}
	c := Client{Provider: definition(t, "whisk"), ResponseType: "token"}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ImplicitTokens(c, Secret(tt.token), tt.tokenType, tt.expiresIn, tt.scope, noon)
			if tt.want.access != "" {
				checkTokens(t, got, err, tt.want)
				return
			}
			if err == nil || got.AccessToken != "" {
				t.Errorf("tokens = %+v, %v; want an error", got, err)
			}
		})
	}
}
