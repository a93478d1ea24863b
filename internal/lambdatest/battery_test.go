//go:build proof

package lambdatest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/evergrant/evergrant/internal/battery"
	"github.com/evergrant/evergrant/internal/dynamo"
	"github.com/evergrant/evergrant/internal/lambdatest"
)

// A besieged deployment is what the battery sees of the built functions.
type besieged struct {
	*dynamo.Store // past the functions
	*deployment
	provider *battery.Provider
	manager  *secretsmanager.Client

	mu      sync.Mutex
	printed strings.Builder // by all processes, in the order in which it was read
	read    map[*lambdatest.Function]int
}

// The bad inputs and faults that the built functions meet, by events as API
// Gateway makes them.
func TestBatteryOnTheBuiltFunctions(t *testing.T) {
	b := &besieged{provider: battery.NewProvider(t), read: map[*lambdatest.Function]int{}}
	b.deployment = deploy(t, lambdatest.Config{Client: func(id string, secret map[string]any) {
		clear(secret)
		if err := json.Unmarshal([]byte(b.provider.Document(id)), &secret); err != nil {
			t.Fatal(err)
		}
	}})
	b.Store = &dynamo.Store{API: b.Database.Client, ConnectionsTable: b.Database.ConnectionsTable, StateTable: b.Database.StateTable}
	b.manager = secretsmanager.New(secretsmanager.Options{
		BaseEndpoint: &b.Secrets.URL, Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	prefix := b.Environment(t, "AuthorizeFunction")["PROVIDER_SECRETS"]
	battery.Run(t, battery.Target{
		Name: "built functions", Deployment: b, PublicURL: lambdatest.PublicURL, ReturnTo: lambdatest.ReturnOrigin + "/done",
		ConnectKey: b.ConnectKey, Provider: b.provider, Now: time.Now,
		Configure: func(id, document string) { b.configure(prefix+id, document) }, Forget: b.restart,
		Limits: true, Hosts: true, Brief: true,
	})
}

// configure stores a secret, or removes it.
func (b *besieged) configure(name, document string) {
	ctx := b.t.Context()
	if document == "" {
		_, err := b.manager.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: &name, ForceDeleteWithoutRecovery: aws.Bool(true)})
		if err != nil {
			b.t.Fatalf("delete secret: %v", err)
		}
		return
	}
	_, err := b.manager.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &document})
	var gone *types.ResourceNotFoundException
	if errors.As(err, &gone) {
		_, err = b.manager.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: &name, SecretString: &document})
	}
	if err != nil {
		b.t.Fatalf("store secret: %v", err)
	}
}

// restart ends the processes, and with them what they keep of secrets.
func (b *besieged) restart() {
	_ = b.Log()
	for _, name := range []string{"AuthorizeFunction", "CallbackFunction"} {
		if b.running[name] != nil {
			b.kill(name)
		}
	}
}

// Log implements battery.Deployment.
func (b *besieged) Log() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.running {
		out := f.Output()
		b.printed.WriteString(out[b.read[f]:])
		b.read[f] = len(out)
	}
	return b.printed.String()
}

// Do implements battery.Deployment.
func (b *besieged) Do(ctx context.Context, r battery.Request) (battery.Answer, error) {
	name := "AuthorizeFunction"
	if strings.HasPrefix(r.Path, "/callback/") {
		name = "CallbackFunction"
	}
	b.mu.Lock()
	f := b.function(name)
	b.mu.Unlock()
	event, err := json.Marshal(battery.Event(r))
	if err != nil {
		return battery.Answer{}, err
	}
	if r.Time != 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Time)
		defer cancel()
	}
	raw, err := f.Invoke(ctx, event)
	if err != nil {
		return battery.Answer{}, err
	}
	var resp events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(raw, &resp); err != nil {
		return battery.Answer{}, fmt.Errorf("%s answers %s: %w", name, raw, err)
	}
	return battery.Answered(resp), nil
}
