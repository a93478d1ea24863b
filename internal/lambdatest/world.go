package lambdatest

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/dynamotest"
	"github.com/evergrant/evergrant/internal/simulator"
	"github.com/evergrant/evergrant/internal/template"
)

// PublicURL is where the events in the folder events/ come from. PUBLIC_URL is
// empty: the functions take it from the event.
const PublicURL = "https://connect.example.com"

// ReturnOrigin is the one origin in RETURN_ORIGINS.
const ReturnOrigin = "https://app.example.com"

// timeouts are the time-outs of the functions in template.yaml.
var timeouts = map[string]time.Duration{
	"AuthorizeFunction":   15 * time.Second,
	"CallbackFunction":    29 * time.Second,
	"RefreshFunction":     90 * time.Second,
	"ConnectionsFunction": 60 * time.Second,
	"EventsFunction":      30 * time.Second,
}

// Config says how a World differs from one with fresh providers.
type Config struct {
	Now    func() time.Time  // the clock of the providers. It is required
	Grants []simulator.Grant // that the providers have given before
	// Client changes the secret of a provider before it is stored.
	Client func(provider string, secret map[string]any)
}

// A World is what the functions of one deployment see: tables, secrets and
// providers of their own.
type World struct {
	Database   dynamotest.Database
	DynamoDB   *Recorder // the functions' way to the tables
	Others     *Recorder // the functions' way to queues and buses
	Secrets    *Recorder // the functions' way to the secrets
	Simulator  *simulator.Simulator
	Provider   string // URL of the simulated providers
	ConnectKey string // the key k1, which signs connect tickets

	// Watch knows every secret of this world, as soon as it has been seen, and
	// searches all that the functions print, answer and store.
	Watch *canary.Watch

	bootstraps map[string]string
	values     map[string]string // of the settings, by name
	manager    *secretsmanager.Client
	guard      *guard
}

// Open makes a World for the functions in bootstraps, until t ends. Where the
// DynamoDB emulator or moto is missing it skips t, but with CI=true that is a
// failure.
func Open(t testing.TB, bootstraps map[string]string, c Config) *World {
	t.Helper()
	w := &World{Database: dynamotest.Open(t), bootstraps: bootstraps, Watch: new(canary.Watch), guard: newGuard(t)}
	w.Watch.Guard("credentials of the role", secretKey, sessionToken)
	moto := secretsManager(t)
	w.Others = record(t, w.guard, moto, nil) // moto plays them, too
	w.DynamoDB = record(t, w.guard, w.Database.Endpoint, map[string]string{
		w.Database.ConnectionsTable: "ConnectionsTable", w.Database.StateTable: "StateTable",
	})
	clients, redirectURIs := map[string]simulator.Client{}, []string{}
	for _, p := range providers {
		// The characters are those that must be escaped on the wire.
		clients[p] = simulator.Client{ID: p + "-client", Secret: canary.Marker + "/cl+ient=" + rand.Text()}
		redirectURIs = append(redirectURIs, PublicURL+"/callback/"+p)
	}
	w.guardGrants(simulator.State{Grants: c.Grants})
	w.Simulator = simulator.New(simulator.Config{
		Now: c.Now, Clients: clients, RedirectURIs: redirectURIs, State: simulator.State{Grants: c.Grants}, Save: w.guardGrants,
	})
	server := httptest.NewServer(http.HandlerFunc(w.guarding))
	t.Cleanup(server.Close)
	w.Provider = server.URL
	w.store(t, moto, clients, c.Client)
	t.Cleanup(func() { w.searchStores(t) })
	return w
}

// guardGrants guards every token of the providers.
func (w *World) guardGrants(s simulator.State) {
	for _, g := range s.Grants {
		w.Watch.Guard("refresh token", g.Refresh.Value)
		w.Watch.Guard("spent refresh token", g.Spent...)
		for _, t := range g.Access {
			w.Watch.Guard("access token", t.Value)
		}
	}
}

// providers are those that are simulated.
var providers = []string{"whiplash", "whisk", "whatnot", "whcc"}

// store makes the secrets of the deployment and sets the values of all settings.
func (w *World) store(t testing.TB, moto string, clients map[string]simulator.Client, change func(string, map[string]any)) {
	t.Helper()
	w.manager = secretsmanager.New(secretsmanager.Options{
		BaseEndpoint: &moto, Region: region, Credentials: credentials.NewStaticCredentialsProvider(master, "test", ""),
	})
	create := func(name, value string) (arn string) {
		out, err := w.manager.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &value})
		if err != nil {
			t.Fatalf("create secret %s: %v", name, err)
		}
		return *out.ARN
	}
	stack := "evergrant-" + rand.Text()
	sealKey, connectKey := generated(), generated()
	w.ConnectKey = connectKey
	w.Watch.Guard("key", sealKey, connectKey)
	// The form that GenerateSecretString of template.yaml writes. !Ref is the ARN.
	seal := create(stack+"/seal", `{"current":"k1","k1":"`+sealKey+`"}`)
	connect := create(stack+"/connect", `{"current":"k1","k1":"`+connectKey+`"}`)
	names := map[string]string{seal: "SealSecret", connect: "ConnectSecret"}
	for id, c := range clients {
		secret := map[string]any{"client_id": c.ID, "client_secret": c.Secret, "endpoints": w.Simulator.Endpoints(w.Provider, id)}
		if change != nil {
			change(id, secret)
		}
		document, err := json.Marshal(secret)
		if err != nil {
			t.Fatalf("secret of %s: %v", id, err)
		}
		create(stack+"/providers/"+id, string(document))
		names[stack+"/providers/"+id] = id
		w.Watch.Guard("client secret", c.Secret)
	}
	w.Secrets = record(t, w.guard, moto, names)
	w.values = map[string]string{
		"CONNECTIONS_TABLE": w.Database.ConnectionsTable, "STATE_TABLE": w.Database.StateTable,
		"PROVIDER_SECRETS": stack + "/providers/", "RESCUE_SECRETS": stack + "/rescue/",
		"SEAL_SECRET": seal, "CONNECT_SECRET": connect,
		"PUBLIC_URL": "", "COMPLETION_URL": "", "RETURN_ORIGINS": ReturnOrigin, "ALLOW_UNSIGNED_CONNECT": "false",
		"DUE_SHARDS": "4", "REFRESH_CONCURRENCY": "8", "SHARD_QUEUE_URL": "", "EVENT_BUS": "default",
	}
	for name, value := range w.values {
		w.guard.know(name, value)
	}
}

// generated returns a key as Secrets Manager generates them for template.yaml:
// 64 characters without punctuation.
func generated() string { return strings.ToLower(rand.Text()) + rand.Text() + rand.Text()[:12] }

// Environment returns the variables of a function, such as AuthorizeFunction:
// those that template.yaml gives it, and where the services are.
func (w *World) Environment(t testing.TB, function string) map[string]string {
	t.Helper()
	names, err := template.Environment(root + "/template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if names[function] == nil {
		t.Fatalf("template.yaml gives %s no variables", function)
	}
	env := map[string]string{
		"ALLOW_PRIVATE_PROVIDERS":          "true", // the providers are on this machine
		"AWS_ENDPOINT_URL_DYNAMODB":        w.DynamoDB.URL,
		"AWS_ENDPOINT_URL_SECRETS_MANAGER": w.Secrets.URL,
		"AWS_ENDPOINT_URL_SQS":             w.Others.URL,
		"AWS_ENDPOINT_URL_EVENTBRIDGE":     w.Others.URL,
		"AWS_ACCESS_KEY_ID":                function, // the caller whose rights count
	}
	for _, name := range names[function] {
		value, ok := w.values[name]
		if !ok {
			t.Fatalf("template.yaml gives %s the variable %s, which has no value here: add it to World.store", function, name)
		}
		env[name] = value
	}
	return env
}

// Start runs a function of this deployment until t ends, and searches what it
// answers and prints for secrets, with the variables in
// change set to other values: those that it takes, and Lambda's own.
func (w *World) Start(t testing.TB, function string, change map[string]string) *Function {
	t.Helper()
	env := w.Environment(t, function)
	for name, value := range change {
		if _, ok := env[name]; !ok && !strings.HasPrefix(name, "AWS_LAMBDA_") {
			t.Fatalf("%s does not take %s", function, name)
		}
		env[name] = value
	}
	timeout, ok := timeouts[function]
	if !ok {
		t.Fatalf("%s has no time-out here: add it to timeouts", function)
	}
	f := Start(t, w.bootstraps[function], env, timeout)
	f.watch(w.guardEvent, func(answer []byte) {
		for _, found := range w.search(answer) {
			t.Errorf("%s answers with %s", function, found)
		}
	})
	t.Cleanup(func() { w.searchOutput(t, function, f.Output()) })
	return f
}
