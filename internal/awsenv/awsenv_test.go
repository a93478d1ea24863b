package awsenv

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// lambda is the environment of a Lambda function.
func lambda(more ...string) func(string) string {
	env := map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "c4nary-key", "AWS_SESSION_TOKEN": "session",
	}
	for i := 0; i < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return func(name string) string { return env[name] }
}

func TestEndpointSettingsWorkAsInEverySDK(t *testing.T) {
	const general, own, other = "http://localhost:4566", "http://localhost:8000", "http://localhost:9999"
	tests := []struct {
		name    string
		service string
		env     []string
		want    string // "": AWS's own
	}{
		{"none", "DYNAMODB", nil, ""},
		{"for all services", "DYNAMODB", []string{"AWS_ENDPOINT_URL", general}, general},
		{"for this service", "DYNAMODB", []string{"AWS_ENDPOINT_URL_DYNAMODB", own}, own},
		{"for this service and for all", "SECRETS_MANAGER", []string{"AWS_ENDPOINT_URL", general, "AWS_ENDPOINT_URL_SECRETS_MANAGER", own}, own},
		{"for another service and for all", "SECRETS_MANAGER", []string{"AWS_ENDPOINT_URL", general, "AWS_ENDPOINT_URL_DYNAMODB", other}, general},
		{"for another service", "SECRETS_MANAGER", []string{"AWS_ENDPOINT_URL_DYNAMODB", other}, ""},
		{"ignored", "DYNAMODB", []string{"AWS_ENDPOINT_URL", general, "AWS_ENDPOINT_URL_DYNAMODB", own, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"}, ""},
		{"ignored, in capitals", "DYNAMODB", []string{"AWS_ENDPOINT_URL", general, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "TRUE"}, ""},
		{"not ignored", "DYNAMODB", []string{"AWS_ENDPOINT_URL", general, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false"}, general},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Config(lambda(tt.env...), tt.service, HTTPClient())
			if err != nil || aws.ToString(c.BaseEndpoint) != tt.want || (c.BaseEndpoint == nil) != (tt.want == "") {
				t.Errorf("endpoint = %q, %v, want %q", aws.ToString(c.BaseEndpoint), err, tt.want)
			}
		})
	}
}

func TestRegionComesByEnvironment(t *testing.T) {
	tests := []struct{ region, otherwise, want string }{
		{"eu-central-1", "us-east-1", "eu-central-1"},
		{"", "us-east-1", "us-east-1"},
	}
	for _, tt := range tests {
		c, err := Config(lambda("AWS_REGION", tt.region, "AWS_DEFAULT_REGION", tt.otherwise), "DYNAMODB", HTTPClient())
		if err != nil || c.Region != tt.want {
			t.Errorf("region = %q, %v, want %q", c.Region, err, tt.want)
		}
	}
	_, err := Config(lambda("AWS_REGION", ""), "DYNAMODB", HTTPClient())
	if err == nil || !strings.HasPrefix(err.Error(), "setting AWS_REGION is missing") || strings.Contains(err.Error(), "\n") {
		t.Errorf("without a region: %v", err)
	}
}

func TestCredentialsComeByEnvironment(t *testing.T) {
	c, err := Config(lambda(), "DYNAMODB", HTTPClient())
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Credentials.Retrieve(t.Context())
	if err != nil || got.AccessKeyID != "AKID" || got.SecretAccessKey != "c4nary-key" || got.SessionToken != "session" {
		t.Errorf("credentials of %s, %v", got.AccessKeyID, err)
	}
	for _, missing := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		c, err := Config(lambda(missing, ""), "DYNAMODB", HTTPClient())
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Credentials.Retrieve(t.Context())
		if err == nil || !strings.Contains(err.Error(), missing) || strings.Contains(err.Error(), "c4nary") {
			t.Errorf("without %s: %v", missing, err)
		}
	}
}

// The client that functions share does not wait for ever, and tries three
// times at most.
func TestCallsAreBounded(t *testing.T) {
	hc := HTTPClient()
	if hc.Timeout != 5*time.Second || hc.Transport == http.DefaultTransport {
		t.Errorf("client with a time-out of %v", hc.Timeout)
	}
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		body, _ := io.ReadAll(r.Body)
		if auth := r.Header.Get("Authorization"); !strings.Contains(auth, "Credential=AKID/") || !strings.Contains(auth, "/eu-central-1/secretsmanager/") || r.Header.Get("X-Amz-Security-Token") != "session" {
			t.Errorf("request signed as %s", auth)
		}
		if calls < 3 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		if !strings.Contains(string(body), `"SecretId":"name"`) {
			t.Errorf("body = %s", body)
		}
		_, _ = io.WriteString(w, `{"SecretString":"value"}`)
	}))
	defer server.Close()
	c, err := Config(lambda("AWS_ENDPOINT_URL_SECRETS_MANAGER", server.URL), "SECRETS_MANAGER", hc)
	if err != nil {
		t.Fatal(err)
	}
	if n := c.Retryer().MaxAttempts(); n != 3 {
		t.Errorf("%d attempts", n)
	}
	out, err := secretsmanager.NewFromConfig(c, func(o *secretsmanager.Options) {
		o.Retryer = instantly{c.Retryer()}
	}).GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("name")})
	if err != nil || aws.ToString(out.SecretString) != "value" || calls != 3 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

// instantly is a Retryer that does not pause.
type instantly struct{ aws.Retryer }

func (instantly) RetryDelay(int, error) (time.Duration, error) { return 0, nil }
