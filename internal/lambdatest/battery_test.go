//go:build proof

package lambdatest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/evergrant/evergrant/internal/battery"
	"github.com/evergrant/evergrant/internal/connection"
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
// Gateway makes them: without a host that completes connections, and with one.
func TestBatteryOnTheBuiltFunctions(t *testing.T) {
	provider := battery.NewProvider(t)
	d := deploy(t, lambdatest.Config{Client: func(id string, secret map[string]any) {
		clear(secret)
		if err := json.Unmarshal([]byte(provider.Document(id)), &secret); err != nil {
			t.Fatal(err)
		}
	}})
	b, hosted := besiege(d, provider, ""), besiege(d, provider, completionURL)
	prefix := d.Environment(t, "AuthorizeFunction")["PROVIDER_SECRETS"]
	target := battery.Target{
		Name: "built functions", Deployment: b, PublicURL: lambdatest.PublicURL, ReturnTo: lambdatest.ReturnOrigin + "/done",
		ConnectKey: d.ConnectKey, Provider: provider, Now: time.Now,
		Configure: func(id, document string) { b.configure(prefix+id, document) },
		Forget:    func() { b.restart(); hosted.restart() },
		Overdue:   b.overdue, Garble: b.garble, Writes: writes(d.DynamoDB), Limits: true, Hosts: true, Brief: true,
	}
	completing := target
	completing.Deployment, completing.CompletionURL = hosted, completionURL
	target.Hosted = &completing
	battery.Run(t, target)
}

// besiege returns the functions of d's world with a completion URL, "" for none.
func besiege(d *deployment, provider *battery.Provider, completionURL string) *besieged {
	own := *d
	own.change, own.running = map[string]map[string]string{"CallbackFunction": {"COMPLETION_URL": completionURL}}, map[string]*lambdatest.Function{}
	return &besieged{
		deployment: &own, provider: provider, read: map[*lambdatest.Function]int{},
		Store: &dynamo.Store{API: d.Database.Client, ConnectionsTable: d.Database.ConnectionsTable, StateTable: d.Database.StateTable},
		manager: secretsmanager.New(secretsmanager.Options{
			BaseEndpoint: &d.Secrets.URL, Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		}),
	}
}

// writes returns what counts the writes that the functions ask r for.
func writes(r *lambdatest.Recorder) func() int {
	var mu sync.Mutex
	sum := 0
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		for _, call := range r.Take() {
			if !strings.HasPrefix(call, "GetItem ") && !strings.HasPrefix(call, "Query ") {
				sum++
			}
		}
		return sum
	}
}

// overdue ends the time of the answer that a row of the state table holds: their
// clock is the machine's.
func (b *besieged) overdue(ctx context.Context, id string) error {
	past := strconv.FormatInt(time.Now().Unix()-1, 10)
	_, err := b.Database.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &b.Database.StateTable, Key: map[string]ddb.AttributeValue{"id": &ddb.AttributeValueMemberS{Value: id}},
		UpdateExpression: aws.String("SET held_until = :past"), ConditionExpression: aws.String("attribute_exists(held_until)"),
		ExpressionAttributeValues: map[string]ddb.AttributeValue{":past": &ddb.AttributeValueMemberN{Value: past}},
	})
	return err
}

// garble makes the fence of a connection a text.
func (b *besieged) garble(k connection.Key) (mend func(), err error) {
	set := func(v ddb.AttributeValue) error {
		_, err := b.Database.Client.UpdateItem(b.t.Context(), &dynamodb.UpdateItemInput{
			TableName: &b.Database.ConnectionsTable, Key: key(k.ConnectionID, k.Provider), UpdateExpression: aws.String("SET fence = :fence"),
			ConditionExpression: aws.String("attribute_exists(fence)"), ExpressionAttributeValues: map[string]ddb.AttributeValue{":fence": v},
		})
		return err
	}
	good := b.item(k.ConnectionID, k.Provider)["fence"]
	return func() {
		if err := set(good); err != nil {
			b.t.Errorf("mend: %v", err)
		}
	}, set(&ddb.AttributeValueMemberS{Value: "seven"})
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
	for _, name := range []string{"AuthorizeFunction", "CallbackFunction", "ConnectionsFunction"} {
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

// Invoke implements battery.Deployment.
func (b *besieged) Invoke(ctx context.Context, input []byte) ([]byte, error) {
	b.mu.Lock()
	f := b.function("ConnectionsFunction")
	b.mu.Unlock()
	return f.Invoke(ctx, input)
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
