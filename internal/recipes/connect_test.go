package recipes

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/golang-jwt/jwt/v5"

	"github.com/evergrant/evergrant/internal/authorize"
	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/secrets"
)

// secretsManager plays Secrets Manager with the given values and returns its
// URL.
func secretsManager(t *testing.T, values map[string]string) string {
	server := httptest.NewServer(allowing(t, "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ SecretId string }
		err := json.NewDecoder(r.Body).Decode(&in)
		text, ok := values[in.SecretId]
		if err != nil || !ok || r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" {
			http.Error(w, `{"__type":"InvalidRequestException"}`, http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(w).Encode(map[string]string{"Name": in.SecretId, "SecretString": text})
	}), "HostPolicy"))
	t.Cleanup(server.Close)
	return server.URL
}

const publicURL = "https://connect.example.com"

// The keys of the tests.
const (
	k1      = "0123456789abcdef0123456789abcdef"
	k2      = "fedcba9876543210fedcba9876543210"
	sealing = `{"current":"k1","k1":"` + k1 + k2 + `"}`
)

// open has our authorize function open a link, with the secrets that the host
// has, and returns the authorization request that comes of it.
func open(t *testing.T, awsURL, link string) authrequest.Request {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil || !strings.HasPrefix(link, publicURL+"/authorize/whiplash?ticket=") {
		t.Fatalf("link %q: %v", link, err)
	}
	h := authorize.Handler{
		Secrets: &secrets.Store{
			API: secretsmanager.New(secretsmanager.Options{
				BaseEndpoint: &awsURL, Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
			}),
			Prefix: "providers/", Seal: "seal", Connect: "connect", Now: time.Now, Jitter: func() float64 { return 0 },
		},
		PublicURL: publicURL, ReturnOrigins: []string{"https://app.example.com"}, Now: time.Now, Log: canary.Log(t, slog.NewTextHandler(t.Output(), nil)),
	}
	ev := events.APIGatewayV2HTTPRequest{RawPath: u.Path, RawQueryString: u.RawQuery}
	ev.RequestContext.HTTP.Method = http.MethodGet
	resp, err := h.Handle(t.Context(), ev)
	if err != nil || resp.StatusCode != http.StatusFound || len(resp.Cookies) != 1 {
		t.Fatalf("status %d, %v: %s", resp.StatusCode, err, resp.Body)
	}
	keys, err1 := seal.ParseKeys([]byte(sealing))
	cookie, err2 := http.ParseSetCookie(resp.Cookies[0])
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	ar, err := authrequest.Open(keys, cookie.Value)
	if err != nil {
		t.Fatal(err)
	}
	return ar
}

// Both forms of the secret, before a rotation and after one.
func TestALinkOfEachLanguageIsOpened(t *testing.T) {
	t.Parallel()
	rings := []struct{ name, secret, kid, key string }{
		{"as the stack makes it", `{"current":"k1","k1":"` + k1 + `"}`, "k1", k1},
		{"rotated, nested", `{"current":"k2","keys":{"k1":"` + k1 + `","k2":"` + k2 + `"}}`, "k2", k2},
	}
	for _, l := range languages {
		for _, ring := range rings {
			t.Run(l.name+", "+ring.name, func(t *testing.T) {
				t.Parallel()
				aws := secretsManager(t, map[string]string{"connect": ring.secret, "seal": sealing, "providers/whiplash": `{"client_id":"c1","client_secret":"s1"}`})
				source := fmt.Sprintf(l.connect, l.program(t, connecting))
				out, _ := l.run(t, source, "AWS_ENDPOINT_URL_SECRETS_MANAGER="+aws, "PUBLIC_URL="+publicURL)
				link := strings.TrimSpace(out)
				ar := open(t, aws, link)
				if ar.Key != (connection.Key{ConnectionID: "acct_42", Provider: "whiplash"}) || ar.ReturnTo != "https://app.example.com/done" {
					t.Errorf("authorization request = %+v", ar)
				}
				_, ticket, _ := strings.Cut(link, "=")
				var claims jwt.RegisteredClaims
				token, err := jwt.ParseWithClaims(ticket, &claims, func(*jwt.Token) (any, error) { return []byte(ring.key), nil })
				if err != nil || token.Header["kid"] != ring.kid || token.Header["alg"] != "HS256" {
					t.Fatalf("header %v: %v", token.Header, err)
				}
				if life := claims.ExpiresAt.Sub(claims.IssuedAt.Time); life != 5*time.Minute || claims.ID != ar.TicketID || len(claims.ID) < 26 {
					t.Errorf("it lives %s, jti %q", life, claims.ID)
				}
				unique(t, claims.ID)
			})
		}
	}
}

var (
	ids   = map[string]bool{}
	idsMu sync.Mutex
)

// unique fails t for a ticket ID that another ticket had.
func unique(t *testing.T, id string) {
	t.Helper()
	idsMu.Lock()
	defer idsMu.Unlock()
	if ids[id] {
		t.Errorf("two tickets have the ID %s", id)
	}
	ids[id] = true
}
