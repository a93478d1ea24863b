package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/doctor"
	"github.com/evergrant/evergrant/internal/local"
	"github.com/evergrant/evergrant/internal/simulator"
	"github.com/evergrant/evergrant/pkg/providers"
)

// examined runs doctor by the clock that web servers go by.
func examined(t *testing.T, environment map[string]string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), tool{
		In: strings.NewReader(""), Out: &out, Err: &errs, Now: time.Now, Random: func() float64 { return 0.5 },
		Getenv: func(name string) string { return environment[name] },
	}, append([]string{"doctor"}, args...))
	return result{code, out.String(), errs.String()}
}

// findingsOf reads what doctor --json has printed.
func findingsOf(t *testing.T, r result) map[string]doctor.Finding {
	t.Helper()
	var list []doctor.Finding
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
		t.Fatalf("%v: %+v", err, r)
	}
	byCheck := map[string]doctor.Finding{}
	for _, f := range list {
		byCheck[f.Check] = f
	}
	return byCheck
}

// mustNotLeak fails t where one of secrets stands in what was printed.
func mustNotLeak(t *testing.T, r result, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		inJSON, _ := json.Marshal(s)
		for _, form := range []string{s, url.QueryEscape(s), strings.Trim(string(inJSON), `"`)} {
			if strings.Contains(r.stdout+r.err, form) {
				t.Errorf("%q is printed: %+v", s, r)
			}
		}
	}
}

// localServer starts a local mode by the real clock, and returns its data folder.
func localServer(t *testing.T) (s *local.Server, dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := local.Open(local.Config{
		Dir: dir, Ticks: make(chan time.Time), Now: time.Now, Random: func() float64 { return 0.5 }, Log: canary.Log(t), Out: io.Discard,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		_ = s.Close()
	})
	return s, dir
}

func portOf(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

func TestDoctorFindsNothingInAFreshLocalMode(t *testing.T) {
	s, dir := localServer(t)
	args := []string{"--url", s.URL, "--dir", dir, "--simulator-port", portOf(t, s.SimulatorURL)}
	got := examined(t, nil, args...)
	if got.code != exitOK || got.err != "" || !strings.HasSuffix(got.stdout, "\nproblems: 0, warnings: 0\n") || strings.Count(got.stdout, "\n") != strings.Count("\n"+got.stdout, "\nok")+1 {
		t.Errorf("%+v", got)
	}
	findings := findingsOf(t, examined(t, nil, append(args, "--json")...))
	secrets := []string{}
	for _, p := range providers.All() {
		if f := findings[p.ID+"/redirect_uri"]; f.Detail != "register exactly "+s.URL+"/callback/"+p.ID+" at "+p.Name {
			t.Errorf("%+v", f)
		}
		ledger := s.Simulator.Ledger(p.ID)
		delete(ledger.Requests, "authorization_url")
		if len(ledger.Requests)+len(ledger.TokenRequests)+len(ledger.Refused) > 0 {
			t.Errorf("%s was asked for more than a page: %+v", p.ID, ledger)
		}
		secrets = append(secrets, simulator.DefaultClient(p.ID).Secret)
	}
	if s.Simulator.Ledger("whiplash").Requests["authorization_url"] == 0 {
		t.Error("the authorization URL was not tried")
	}
	if f := findings["whiplash/authorize"]; f.Status != doctor.OK || f.Detail != "a connect link leads to "+strings.TrimPrefix(s.SimulatorURL, "http://")+" as it should, with its cookie" {
		t.Errorf("a connect link: %+v", f)
	}
	if left := evergrant(t, "list", "--url", s.URL, "--json"); strings.Contains(left.stdout, "evergrant-doctor") {
		t.Errorf("it left %s", left.stdout)
	}
	if hold := evergrant(t, "hold", "whisk", "--url", s.URL); hold.code != exitOK {
		t.Fatalf("%+v", hold)
	}
	if f := findingsOf(t, examined(t, nil, append(args, "--json")...))["whisk/held"]; f.Status != doctor.Warning || f.Fix != "When what it was held for is done: `evergrant release whisk`." {
		t.Errorf("a provider that is held: %+v", f)
	}
	key, err := local.ConnectKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	mustNotLeak(t, got, append(secrets, key.Secret)...)
	byAddress := findingsOf(t, examined(t, nil, append(args, "--json", "--url", strings.Replace(s.URL, "localhost", "127.0.0.1", 1))...))
	if byAddress["whisk/redirect_uri"] != findings["whisk/redirect_uri"] {
		t.Errorf("another redirect URI by address: %+v", byAddress["whisk/redirect_uri"])
	}
}

func TestDoctorChecksTheSecretsFileOfLocalMode(t *testing.T) {
	s, dir := localServer(t)
	file := filepath.Join(t.TempDir(), "secrets.json")
	const secret = "CANARY-secret-0123"
	base := s.SimulatorURL + "/whiplash/oauth/"
	document := `{"whiplash":{"client_id":"nobody","client_secret":"` + secret + `","endpoints":{"authorization_url":"` + base + `authorize","token_url":"` + base + `token"}},
		"whatnot":{"client_id":"i","client_secret":"` + secret + `","environment":"sandbox"}}`
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--url", s.URL, "--dir", dir, "--secrets", file, "--json"}
	got := examined(t, nil, append(args, "--allow-private")...)
	findings := findingsOf(t, got)
	if f := findings["whatnot/secret"]; got.code != exitFailure || f.Status != doctor.Problem || f.Fix != "Correct it in "+file+"; it counts at once." {
		t.Errorf("an unknown environment: code %d, %+v", got.code, f)
	}
	if f := findings["whiplash/endpoints"]; f.Status != doctor.Warning || !strings.Contains(f.Detail, "Whiplash answers 400 to the authorization URL") {
		t.Errorf("an unknown client: %+v", f)
	}
	mustNotLeak(t, got, secret)
	strict := findingsOf(t, examined(t, nil, args...))
	if f := strict["whiplash/secret"]; f.Status != doctor.Problem || !strings.Contains(f.Detail, "must begin with https://") {
		t.Errorf("a private endpoint: %+v", f)
	}
	inside := `{"whiplash":{"client_id":"i","client_secret":"` + secret + `","endpoints":{"authorization_url":"https://localhost:1/a","token_url":"https://localhost:1/t"}}}`
	if err := os.WriteFile(file, []byte(inside), 0o600); err != nil {
		t.Fatal(err)
	}
	if f := findingsOf(t, examined(t, nil, args...))["whiplash/endpoints"]; f.Status != doctor.Problem || !strings.Contains(f.Detail, "the address is loopback") {
		t.Errorf("a private address: %+v", f)
	}
	for name, text := range map[string]string{"missing": "", "damaged": secret} {
		if text != "" {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		} else if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		got := examined(t, nil, args...)
		if got.code != exitFailure || !strings.Contains(got.err, file) || got.stdout != "" {
			t.Errorf("%s: %+v", name, got)
		}
		mustNotLeak(t, got, secret)
	}
}

func TestDoctorWithoutAnythingToExamine(t *testing.T) {
	got := examined(t, nil, "--url", "http://localhost:1")
	if got.code != exitFailure || got.err != "evergrant: problems: 1, warnings: 0\n" || !strings.Contains(got.stdout, "Fix: Start local mode with `make run`") {
		t.Errorf("%+v", got)
	}
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"acme"}, `there is no provider "acme"`},
		{[]string{"--url", "x"}, `--url "x" is not a URL`},
		{[]string{"--function", "f", "--dir", "d"}, "--dir is of local mode and --function of a deployed stack: use one"},
		{[]string{"--url", "http://localhost:1", "--public-url", "https://x.example"}, "--url is of local mode and --public-url of a deployed stack"},
		{[]string{"--stack", "s", "--function", "f"}, "--stack names the functions as well"},
		{[]string{"--stack", "s", "--dir", "d"}, "--dir is of local mode and --stack of a deployed stack"},
		{[]string{"--nothing"}, "unknown flag"},
	}
	for _, tt := range tests {
		if got := examined(t, nil, tt.args...); got.code != exitUsage || !strings.Contains(got.err, tt.want) || got.stdout != "" {
			t.Errorf("%v: %+v, want %q", tt.args, got, tt.want)
		}
	}
}

// The secrets of the deployed stack of these tests.
const (
	canarySeal    = "CANARYseal0123456789012345678901234567"
	canaryConnect = "CANARYconnect012345678901234567890123"
	canaryClient  = "CANARY/client+secret="
)

// deployedCloud plays DynamoDB, Secrets Manager and Lambda, with a clock that
// is behind by skew, for a stack whose Whiplash is at base.
func deployedCloud(t *testing.T, base string, skew time.Duration) {
	t.Helper()
	newCloud(t, &cloud{})
	table := func(keys string) map[string]any {
		schema, attributes, kind := []any{}, []any{}, "HASH"
		for name := range strings.SplitSeq(keys, " ") {
			schema, kind = append(schema, map[string]any{"AttributeName": name, "KeyType": kind}), "RANGE"
			attributes = append(attributes, map[string]any{"AttributeName": name, "AttributeType": "S"})
		}
		return map[string]any{"Table": map[string]any{"TableStatus": "ACTIVE", "KeySchema": schema, "AttributeDefinitions": attributes, "DeletionProtectionEnabled": true}}
	}
	secrets := map[string]string{
		"stack/seal": `{"current":"k1","k1":"` + canarySeal + `"}`, "stack/connect": `{"current":"k1","k1":"` + canaryConnect + `"}`,
		"stack/providers/whiplash": `{"client_id":"simulated-whiplash-client","client_secret":"` + canaryClient + `","endpoints":{"authorization_url":"` + base + `/whiplash/oauth/authorize","token_url":"` + base + `/whiplash/oauth/token"}}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(-skew).UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		var in map[string]any
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &in)
		id, _ := in["SecretId"].(string)
		_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		var out any
		if text, ok := stackAnswer(r, body); ok {
			w.Header().Set("Smithy-Protocol", "rpc-v2-cbor") // CloudWatch alone asks for it
			_, _ = io.WriteString(w, text)
			return
		}
		switch {
		case r.URL.Path == "/2015-03-31/functions/stack-connections:live/configuration":
			out = map[string]any{"Environment": map[string]any{"Variables": map[string]string{"CONNECTIONS_TABLE": "connections", "STATE_TABLE": "state", "SEAL_SECRET": "stack/seal", "PROVIDER_SECRETS": "stack/providers/"}}}
		case r.URL.Path == "/2015-03-31/functions/stack-connections:live/invocations":
			out = map[string]any{"provider": map[string]any{"provider": in["provider"], "held_since": 1795435200}}
			if in["action"] != "held" {
				t.Errorf("doctor asks for %v", in)
			}
		case r.URL.Path == "/2015-03-31/functions/stack-callback/configuration":
			out = map[string]any{"Environment": map[string]any{"Variables": map[string]string{
				"PUBLIC_URL": "", "CONNECTIONS_TABLE": "connections", "STATE_TABLE": "state", "SEAL_SECRET": "stack/seal", "PROVIDER_SECRETS": "stack/providers/", "ALLOW_PRIVATE_PROVIDERS": "true", "OTHER": "CANARY",
			}}}
		case action == "DescribeTable" && in["TableName"] == "connections":
			out = table("connection_id provider")
		case action == "DescribeTable":
			out = table("id")
		case action == "DescribeTimeToLive":
			out = map[string]any{"TimeToLiveDescription": map[string]any{"TimeToLiveStatus": "DISABLED"}}
		case action == "DescribeContinuousBackups":
			out = map[string]any{"ContinuousBackupsDescription": map[string]any{"ContinuousBackupsStatus": "ENABLED"}}
		case action == "GetSecretValue" && secrets[id] != "":
			out = map[string]any{"SecretString": secrets[id]}
		default:
			w.WriteHeader(http.StatusBadRequest)
			out = map[string]any{"__type": "ResourceNotFoundException"}
		}
		_ = json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
}

// stackAnswer plays CloudFormation, CloudWatch and EventBridge Scheduler for the
// stack.
func stackAnswer(r *http.Request, body []byte) (text string, ok bool) {
	resource := func(logical, physical, typ string) string {
		return "<member><LogicalResourceId>" + logical + "</LogicalResourceId><PhysicalResourceId>" + physical + "</PhysicalResourceId><ResourceType>" + typ + "</ResourceType></member>"
	}
	form, _ := url.ParseQuery(string(body))
	switch action := form.Get("Action"); {
	case action == "DescribeStacks":
		return `<R><DescribeStacksResult><Stacks><member><StackStatus>UPDATE_COMPLETE</StackStatus><Outputs>
			<member><OutputKey>PublicUrl</OutputKey><OutputValue>https://127.0.0.1:1</OutputValue></member>
			<member><OutputKey>ConnectSecretArn</OutputKey><OutputValue>stack/connect</OutputValue></member></Outputs></member></Stacks></DescribeStacksResult></R>`, true
	case action == "ListStackResources":
		return `<R><ListStackResourcesResult><StackResourceSummaries>` + resource("ConnectionsFunction", "stack-connections", "AWS::Lambda::Function") +
			resource("RefreshFunction", "stack-refresh", "AWS::Lambda::Function") + resource("RefreshFunctionSweep", "stack-sweep", "AWS::Scheduler::Schedule") +
			resource("HeartbeatAlarm", "stack-heartbeat", "AWS::CloudWatch::Alarm") + `</StackResourceSummaries></ListStackResourcesResult></R>`, true
	case strings.HasSuffix(r.URL.Path, "/operation/DescribeAlarms"):
		alarm := cbor.Map{"AlarmName": cbor.String("stack-heartbeat"), "ActionsEnabled": cbor.Bool(true), "StateValue": cbor.String("OK")}
		return string(cbor.Encode(cbor.Map{"MetricAlarms": cbor.List{alarm}})), true
	case r.URL.Path == "/schedules/stack-sweep":
		return `{"State":"DISABLED","Target":{"Arn":"arn:aws:lambda:eu-central-1:123456789012:function:stack-refresh:live"}}`, true
	}
	return "", false
}

func TestDoctorExaminesAStackByItsName(t *testing.T) {
	s, _ := localServer(t)
	deployedCloud(t, s.SimulatorURL, 0)
	got := examined(t, map[string]string{"EVERGRANT_FUNCTION": "of another stack"}, "--stack", "stack", "--json")
	findings := findingsOf(t, got)
	want := map[string]string{
		"function/stack-connections:live": "ok: the connections function starts with its settings",
		"function/stack-refresh:live":     "problem: its settings cannot be read: it is not there",
		"public_url":                      "problem: https://127.0.0.1:1 does not answer: ",
		"connect_keys":                    "ok: 1 key",
		"stack":                           "ok: stack is UPDATE_COMPLETE",
		"schedule":                        "problem: the schedule stack-sweep is DISABLED",
		"alarms":                          "warning: 1 alarm, and none tells anybody",
		"events":                          "ok: off",
		"whatnot/held":                    "warning: Whatnot is held since 2026-11-23T12:00:00Z",
	}
	for check, start := range want {
		if f := findings[check]; !strings.HasPrefix(string(f.Status)+": "+f.Detail, start) {
			t.Errorf("%s: %+v, want %s", check, f, start)
		}
	}
	if f := findings["whatnot/held"]; !strings.HasSuffix(f.Fix, "`evergrant release whatnot --function stack-connections:live`.") {
		t.Errorf("%+v", f)
	}
	mustNotLeak(t, got, "CANARY", canarySeal, canaryConnect, canaryClient)
}

func TestDoctorExaminesADeployedStackByItsFunctions(t *testing.T) {
	s, _ := localServer(t)
	deployedCloud(t, s.SimulatorURL, 0)
	args := []string{"--function", "stack-callback", "--json"}
	got := examined(t, map[string]string{"CONNECT_SECRET": "stack/connect"}, append(args, "--public-url", "https://127.0.0.1:1")...)
	findings := findingsOf(t, got)
	want := map[string]doctor.Status{
		"function/stack-callback": doctor.OK, "public_url": doctor.Problem, "clock_aws": doctor.OK, "completion_url": doctor.Warning, "return_origins": doctor.OK,
		"allow_unsigned_connect": doctor.OK, "allow_private_providers": doctor.Warning, "connect_keys": doctor.OK, "seal_keys": doctor.OK, "keys_apart": doctor.OK,
		"connections_table": doctor.OK, "connections_table/due": doctor.Problem, "connections_table/ttl": doctor.OK, "connections_table/recovery": doctor.Warning,
		"connections_table/deletion": doctor.OK, "stack": doctor.Warning, "held": doctor.Warning, "state_table": doctor.OK, "state_table/ttl": doctor.Problem, "providers": doctor.OK,
		"whiplash/secret": doctor.OK, "whiplash/redirect_uri": doctor.OK, "whiplash/authorization_url": doctor.OK, "whiplash/endpoints": doctor.Warning,
	}
	for check, status := range want {
		if findings[check].Status != status {
			t.Errorf("%s: %+v, want %s", check, findings[check], status)
		}
	}
	if len(findings) != len(want) || got.code != exitFailure || !strings.HasPrefix(got.err, "evergrant: problems: 3, warnings: ") {
		t.Errorf("%d findings, %+v", len(findings), got)
	}
	if tokens := s.Simulator.Ledger("whiplash").Requests["token_url"]; tokens != 0 {
		t.Errorf("%d token requests", tokens)
	}
	mustNotLeak(t, got, "CANARY", canarySeal, canaryConnect, canaryClient)
	byEnvironment := findingsOf(t, examined(t, map[string]string{"EVERGRANT_FUNCTION": "stack-callback"}, "--json", "whiplash"))
	if byEnvironment["function/stack-callback"].Status != doctor.OK || byEnvironment["connect_keys"].Status != doctor.Warning {
		t.Errorf("%+v", byEnvironment)
	}
	bySettings := findingsOf(t, examined(t, map[string]string{"SEAL_SECRET": "nowhere"}, "--json", "--connect-secret", "stack/connect"))
	if bySettings["seal_keys"].Status != doctor.Problem || bySettings["connect_keys"].Status != doctor.OK || bySettings["state_table"].Status != doctor.Warning {
		t.Errorf("%+v", bySettings)
	}
	if here := examined(t, map[string]string{"SEAL_SECRET": "nowhere", "EVERGRANT_FUNCTION": "f"}, "--url", "http://localhost:1"); !strings.Contains(here.stdout, "Start local mode") {
		t.Errorf("--url does not go before the environment: %+v", here)
	}
}

func TestDoctorGoesToProvidersAsTheFunctionsDo(t *testing.T) {
	deployedCloud(t, "https://localhost:1", 0)
	for allowed, want := range map[string]string{"true": "connection refused", "false": "the address is loopback"} {
		findings := findingsOf(t, examined(t, nil, "--function", "stack-callback", "--allow-private-providers", allowed, "--json"))
		if f := findings["whiplash/endpoints"]; f.Status != doctor.Problem || !strings.Contains(f.Detail, want) {
			t.Errorf("ALLOW_PRIVATE_PROVIDERS=%s: %+v", allowed, f)
		}
	}
}

func TestDoctorComparesItsClockWithThatOfAWS(t *testing.T) {
	s, _ := localServer(t)
	for skew, want := range map[time.Duration]doctor.Status{5 * time.Second: doctor.OK, 2 * time.Minute: doctor.Problem, -2 * time.Minute: doctor.Problem} {
		deployedCloud(t, s.SimulatorURL, skew)
		findings := findingsOf(t, examined(t, nil, "--function", "stack-callback", "--json"))
		if findings["clock_aws"].Status != want {
			t.Errorf("%s: %+v", skew, findings["clock_aws"])
		}
	}
}

// A person reads of each setting that has a flag, and of each exit code.
func TestDoctorsHelpIsWhole(t *testing.T) {
	got := examined(t, nil, "--help")
	for _, name := range append(slices.Clone(doctor.Names()), "0 no problem, 1 problems, 2 the command line is wrong", "EVERGRANT_FUNCTION") {
		if !strings.Contains(got.stdout, name) {
			t.Errorf("nothing of %s in\n%s", name, got.stdout)
		}
	}
}
