package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// A cloud stands for Lambda and Secrets Manager.
type cloud struct {
	answer  func(input map[string]any) (functionError, payload string)
	secret  string
	created bool // Secrets Manager takes new secrets

	mu     sync.Mutex
	inputs []map[string]any
	paths  []string
}

// newCloud points the AWS SDK at a cloud of the test's own.
func newCloud(t *testing.T, c *cloud) *cloud {
	t.Helper()
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	for name, v := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CONFIG_FILE": filepath.Join(t.TempDir(), "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none"), "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, v)
	}
	return c
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	var input map[string]any
	_ = json.Unmarshal(body, &input)
	c.inputs, c.paths = append(c.inputs, input), append(c.paths, r.URL.Path)
	switch {
	case r.Header.Get("X-Amz-Target") == "secretsmanager.GetSecretValue" && c.secret != "":
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_ = json.NewEncoder(w).Encode(map[string]any{"SecretString": c.secret})
	case r.Header.Get("X-Amz-Target") == "secretsmanager.CreateSecret" && c.created:
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, "{}")
	case strings.HasPrefix(r.URL.Path, "/2015-03-31/functions/") && c.answer != nil:
		failed, payload := c.answer(input)
		if failed != "" {
			w.Header().Set("X-Amz-Function-Error", failed)
		}
		_, _ = io.WriteString(w, payload)
	default:
		w.Header().Set("X-Amzn-Errortype", "ResourceNotFoundException")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"ResourceNotFoundException","message":"not found"}`)
	}
}

// One client ID may be that of two environments, or of two providers.
func TestConnectionsOfAClientAreCountedByProviderAndEnvironment(t *testing.T) {
	newCloud(t, &cloud{answer: func(map[string]any) (string, string) {
		var rows []string
		for i, place := range []string{`"whatnot","environment":"sandbox"`, `"whatnot","environment":"production"`, `"whisk","environment":"production"`, `"whatnot","environment":"production"`} {
			rows = append(rows, fmt.Sprintf(`{"connection_id":"acct_%d","client_id":"old","connection_status":"active","provider":%s}`, i, place))
		}
		return "", `{"connections":[` + strings.Join(rows, ",") + `,{"connection_id":"acct_9","client_id":"new","connection_status":"active","provider":"whatnot","environment":"production"}]}`
	}})
	got := evergrant(t, "list", "--client", "old", "--function", "stack-Connections")
	want := `of client ID old at whatnot, production: 2
of client ID old at whatnot, sandbox: 1
of client ID old at whisk, production: 1
`
	if got.code != exitOK || !strings.HasSuffix(got.stdout, "\n"+want) || strings.Contains(got.stdout, "acct_9") {
		t.Errorf("%+v", got)
	}
}

func TestADeployedStackIsAskedByItsFunction(t *testing.T) {
	c := newCloud(t, &cloud{answer: func(map[string]any) (string, string) {
		return "", `{"connection":{"connection_id":"acct_42","provider":"whatnot","connection_status":"active","expires_at":1795435260,"account_label":"ada\u001b[31m","new":1}}`
	}})
	got := evergrant(t, "show", "acct_42", "whatnot", "--function", "stack-Connections")
	if got.code != exitOK || !strings.Contains(got.stdout, "Access token:   1 min 0 s") || !strings.Contains(got.stdout, "Account:        ada?[31m") {
		t.Errorf("%+v", got)
	}
	if c.paths[0] != "/2015-03-31/functions/stack-Connections/invocations" || c.inputs[0]["action"] != "get" || c.inputs[0]["connection_id"] != "acct_42" || c.inputs[0]["provider"] != "whatnot" {
		t.Errorf("%s got %v", c.paths[0], c.inputs[0])
	}
	if got := evergrant(t, "show", "acct_42", "whatnot", "--function", "f", "--json"); !strings.Contains(got.stdout, `"new": 1`) {
		t.Errorf("a member that this version does not know is lost: %s", got.stdout)
	}
	byEnvironment := tool{In: strings.NewReader(""), Getenv: func(name string) string { return map[string]string{"EVERGRANT_FUNCTION": "from-env"}[name] }}
	if got := at(t, byEnvironment, "show", "acct_42", "whatnot"); got.code != exitOK || !strings.Contains(c.paths[2], "/from-env/") {
		t.Errorf("%+v, asked %v", got, c.paths)
	}
	if got := at(t, byEnvironment, "list", "--url", "http://localhost:1"); got.code != exitFailure || !strings.Contains(got.err, "local mode is not running") {
		t.Errorf("--url does not go before EVERGRANT_FUNCTION: %+v", got)
	}
}

func TestRefreshSaysHowMuchTimeIsNeeded(t *testing.T) {
	c := newCloud(t, &cloud{answer: func(map[string]any) (string, string) {
		return "", `{"connection":{"connection_id":"a","provider":"whisk","connection_status":"active"}}`
	}})
	evergrant(t, "refresh", "a", "whisk", "--function", "f")
	evergrant(t, "refresh", "a", "whisk", "--function", "f", "--min-ttl", "10m")
	if c.inputs[0]["action"] != "refresh" || c.inputs[0]["min_ttl"] != nil || c.inputs[1]["min_ttl"] != 600.0 {
		t.Errorf("the function got %v", c.inputs)
	}
}

func TestListFollowsEveryCursor(t *testing.T) {
	c := newCloud(t, &cloud{answer: func(input map[string]any) (string, string) {
		page, _ := input["cursor"].(string)
		next := map[string]string{"": "p2", "p2": "p3", "p3": ""}[page]
		return "", fmt.Sprintf(`{"connections":[{"connection_id":"id-%s","provider":"whisk","connection_status":"active"}],"cursor":%q}`, page, next)
	}})
	got := evergrant(t, "list", "--status", "active", "--function", "f")
	if got.code != exitOK || strings.Count(got.stdout, "\n") != 4 || len(c.inputs) != 3 || c.inputs[2]["status"] != "active" {
		t.Errorf("%+v, asked %v", got, c.inputs)
	}
	got = evergrant(t, "list", "--json", "--function", "f")
	var v map[string][]map[string]any
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil || len(v["connections"]) != 3 {
		t.Errorf("%v: %+v", err, got)
	}
}

func TestAFunctionThatFailsIsExitCode1(t *testing.T) {
	tests := []struct {
		name, failed, payload, want string
	}{
		{"it failed", "Unhandled", `{"errorMessage":"timed out","errorType":"x"}`, "f failed, its log says more: timed out"},
		{"an error", "", `{"error":{"type":"not_found","detail":"there is no such connection"}}`, "not_found: there is no such connection"},
		{"another function", "", `"hello"`, "look at --url or --function"},
		{"nothing", "", `null`, "look at --url or --function"},
		{"a list for one", "", `{"connections":[]}`, "look at --url or --function"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			newCloud(t, &cloud{answer: func(map[string]any) (string, string) { return tt.failed, tt.payload }})
			got := evergrant(t, "show", "a", "whisk", "--function", "f")
			if got.code != exitFailure || !strings.Contains(got.err, tt.want) || strings.Count(got.err, "\n") != 1 {
				t.Errorf("%+v, want %q", got, tt.want)
			}
		})
	}
	newCloud(t, &cloud{})
	if got := evergrant(t, "list", "--function", "nobody"); got.code != exitFailure || !strings.Contains(got.err, "invoke nobody: ") || strings.Count(got.err, "\n") != 1 {
		t.Errorf("%+v", got)
	}
}

func TestALinkOfADeployedStackIsSignedWithItsCurrentKey(t *testing.T) {
	key := strings.Repeat("k", 40)
	newCloud(t, &cloud{secret: `{"current":"k2","k1":"` + strings.Repeat("o", 40) + `","k2":"` + key + `"}`})
	got := evergrant(t, "link", "acct_42", "whatnot", "--scope", "read:orders,read:inventory", "--return-to", "https://app.example/done",
		"--public-url", "https://connect.example.com/", "--connect-secret", "stack-connect")
	link, err := url.Parse(strings.TrimSpace(got.stdout))
	if err != nil || got.code != exitOK || link.Host != "connect.example.com" || link.Path != "/authorize/whatnot" {
		t.Fatalf("%+v", got)
	}
	claims := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithoutClaimsValidation())
	token, err := parser.ParseWithClaims(link.Query().Get("ticket"), claims, func(*jwt.Token) (any, error) { return []byte(key), nil })
	if err != nil || token.Header["kid"] != "k2" || claims["scope"] != "read:orders read:inventory" || claims["return_to"] != "https://app.example/done" || claims["sub"] != "acct_42" {
		t.Errorf("%v: %v %v", err, token.Header, claims)
	}
}

func TestAConnectSecretThatCannotBeUsedIsSaid(t *testing.T) {
	for _, secret := range []string{"", "not JSON", `{"current":"k1","k1":"short"}`} {
		newCloud(t, &cloud{secret: secret})
		got := evergrant(t, "link", "a", "whisk", "--public-url", "https://x.example", "--connect-secret", "stack-connect")
		if got.code != exitFailure || !strings.Contains(got.err, "stack-connect") || got.stdout != "" {
			t.Errorf("%q: %+v", secret, got)
		}
	}
}
