package doctor

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/pkg/providers"
)

func find(t *testing.T, ids []string) []providers.Provider {
	t.Helper()
	var all []providers.Provider
	for _, id := range ids {
		p, ok := providers.Find(id)
		if !ok {
			t.Fatalf("there is no provider %q", id)
		}
		all = append(all, p)
	}
	return all
}

const wholeDeployment = `ok  public_url                  https://connect.example.com answers as Evergrant does
ok  clock                       this machine and https://connect.example.com are 0s apart
ok  clock_aws                   this machine and AWS are 2s apart
ok  completion_url              https://app.example.com/complete completes connections
ok  return_origins              https://app.example.com
ok  allow_unsigned_connect      off
ok  allow_private_providers     off
ok  connect_keys                1 key, the current one is "k1"; they sign connect tickets
ok  seal_keys                   1 key, the current one is "k1"; they seal refresh tokens and cookies
ok  keys_apart                  the connect keys and the sealing keys have none in common
ok  connections_table           connections, keys connection_id S, provider S
ok  connections_table/due       index due, keys due_shard S, due_at N
ok  connections_table/ttl       off, as it must be: connections stay
ok  connections_table/recovery  point-in-time recovery is on
ok  connections_table/deletion  deletion protection is on
ok  state_table                 state, keys id S
ok  state_table/ttl             items expire by expires_at
ok  stack                       stack is UPDATE_COMPLETE
ok  schedule                    it starts stack-refresh:live, and is enabled
ok  alarms                      2 alarms, and each tells somebody
ok  events                      off: no bus is told what becomes of connections
ok  held                        no provider is held
ok  providers                   client credentials for whiplash, whcc; none for whisk, whatnot
ok  whiplash/secret             client our-client, environment production, scopes: user_read user_manage
ok  whiplash/redirect_uri       register exactly https://connect.example.com/callback/whiplash at Whiplash
ok  whiplash/authorization_url  https://www.getwhiplash.com/oauth/authorize?client_id=our-client&code_challenge=hZLrVAmxv5ldfzIkQjrhZtkALnN3_Z109kb0G-QLCCo&code_challenge_method=S256&redirect_uri=https%3A%2F%2Fconnect.example.com%2Fcallback%2Fwhiplash&response_type=code&scope=user_read+user_manage&state=a-dry-run-of-evergrant-doctor
ok  whiplash/authorize          a connect link leads to www.getwhiplash.com as it should, with its cookie
ok  whiplash/endpoints          www.getwhiplash.com can be reached; the authorization URL is answered with 302
ok  whcc/secret                 client our-client, environment production, scopes: none
ok  whcc/redirect_uri           register exactly https://connect.example.com/callback/whcc at WHCC
ok  whcc/authorization_url      not made: WHCC makes it when it is asked for it, and the client secret stands in that request; the first connect link will tell
ok  whcc/endpoints              login.whcc.com and apps.whcc.com can be reached
`

func TestAHealthyDeploymentHasNoProblem(t *testing.T) {
	w := healthy()
	findings := w.deployment(t)
	var b bytes.Buffer
	if err := Print(&b, findings); err != nil || b.String() != wholeDeployment {
		t.Errorf("%v, got\n%s\nwant\n%s", err, b.String(), wholeDeployment)
	}
	if Count(findings, Problem) != 0 || Count(findings, Warning) != 0 || Count(findings, OK) != len(findings) {
		t.Error("something is wrong with it")
	}
	// Only these two are asked anything, and WHCC, whose call carries a secret, is not.
	if want := []string{"https://connect.example.com/callback/whiplash", "https://connect.example.com/authorize/whiplash"}; !slices.Equal(w.public.gets, want) {
		t.Errorf("asked %v", w.public.gets)
	}
	if len(w.providers.gets) != 1 || !strings.HasPrefix(w.providers.gets[0], "https://www.getwhiplash.com/oauth/authorize?") {
		t.Errorf("asked %v", w.providers.gets)
	}
}

func TestAHealthyLocalModeHasNoProblem(t *testing.T) {
	w := healthy()
	const whole = `ok  public_url                  http://localhost:8788 answers as Evergrant does
ok  clock                       this machine and http://localhost:8788 are 0s apart
ok  connect_keys                1 key, the current one is "k1"; they sign connect tickets
ok  seal_keys                   1 key, the current one is "k1"; they seal refresh tokens and cookies
ok  keys_apart                  the connect keys and the sealing keys have none in common
ok  held                        no provider is held
ok  providers                   client credentials for whiplash; none for whisk, whatnot, whcc
ok  whiplash/secret             client our-client, environment production, scopes: user_read user_manage
ok  whiplash/redirect_uri       register exactly http://localhost:8788/callback/whiplash at Whiplash
ok  whiplash/authorization_url  https://www.getwhiplash.com/oauth/authorize?client_id=our-client&code_challenge=hZLrVAmxv5ldfzIkQjrhZtkALnN3_Z109kb0G-QLCCo&code_challenge_method=S256&redirect_uri=http%3A%2F%2Flocalhost%3A8788%2Fcallback%2Fwhiplash&response_type=code&scope=user_read+user_manage&state=a-dry-run-of-evergrant-doctor
ok  whiplash/authorize          a connect link leads to www.getwhiplash.com as it should, with its cookie
ok  whiplash/endpoints          www.getwhiplash.com can be reached; the authorization URL is answered with 302
`
	var b bytes.Buffer
	if err := Print(&b, w.local(t)); err != nil || b.String() != whole {
		t.Errorf("%v, got\n%s\nwant\n%s", err, b.String(), whole)
	}
}

// Each case spoils one thing and names every finding that then is another.
func TestEachProblemOfADeploymentIsFoundAndHasItsFix(t *testing.T) {
	set := func(name, value string) func(*world) { return func(w *world) { w.settings[name] = value } }
	secret := func(name string, v any) func(*world) { return func(w *world) { w.secrets[name] = v } }
	client := func(members string) func(*world) {
		return secret("stack/providers/whiplash", `{"client_id":"our-client","client_secret":"a secret",`+members+`}`)
	}
	public := func(change func(*Answer)) func(*world) { return func(w *world) { change(&w.public.answer) } }
	connections := func(change func(*Table)) func(*world) { return func(w *world) { change(w.tables["connections"]) } }
	state := func(change func(*Table)) func(*world) { return func(w *world) { change(w.tables["state"]) } }
	index := func(i Index) func(*world) {
		return connections(func(t *Table) { t.Indexes = map[string]Index{"due": i} })
	}
	denied := ErrDenied
	tests := []struct {
		name  string
		spoil func(*world)
		want  []string // how each finding begins
	}{
		{"public URL not told", set("PUBLIC_URL", ""), []string{"warning public_url: not checked: without PUBLIC_URL", "ok whiplash/endpoints: www.getwhiplash.com can be reached"}},
		{"public URL malformed", set("PUBLIC_URL", "connect.example.com"), []string{`problem public_url: setting PUBLIC_URL is "connect.example.com": write a URL`, "ok whiplash/endpoints: www.getwhiplash.com can be reached"}},
		{"public URL with a query", set("PUBLIC_URL", "https://x.example/?a=b"), []string{`problem public_url: setting PUBLIC_URL is "https://x.example/?a=b"`, "ok whiplash/endpoints: www.getwhiplash.com can be reached"}},
		{"public URL without TLS", set("PUBLIC_URL", "http://localhost:8788"), []string{"problem public_url: http://localhost:8788 is not https", "ok whiplash/endpoints: www.getwhiplash.com can be reached"}},
		{"nothing answers", func(w *world) { w.public.err = errors.New("no such host") }, []string{"problem public_url: https://connect.example.com does not answer: no such host | See that the name leads"}},
		{"somebody else answers", public(func(a *Answer) { a.Status, a.Body = 404, []byte(`{"message":"Not Found"}`) }), []string{"problem public_url: https://connect.example.com/callback/whiplash answers 404, and not as Evergrant does | See that"}},
		{"another status", public(func(a *Answer) { a.Status = 200 }), []string{"problem public_url: https://connect.example.com/callback/whiplash answers 200"}},
		{"another refusal", public(func(a *Answer) { a.Body = []byte(`{"type":"urn:evergrant:problem:unavailable"}`) }), []string{"problem public_url: "}},
		{"a header is lost", public(func(a *Answer) { delete(a.Header, "Cache-Control"); a.Header["Referrer-Policy"] = []string{"origin"} }), []string{"problem public_url: https://connect.example.com answers, but Cache-Control, Referrer-Policy is lost or changed"}},
		{"no clock there", public(func(a *Answer) { delete(a.Header, "Date") }), []string{"warning clock: not compared"}},
		{"a clock ahead", public(func(a *Answer) { a.Received = noon.Add(61 * time.Second) }), []string{"problem clock: this machine is 1m1s ahead of https://connect.example.com | Set the clock"}},
		{"a clock behind", public(func(a *Answer) { a.Received = noon.Add(-time.Hour) }), []string{"problem clock: this machine is 1h0m0s behind https://connect.example.com"}},
		{"a clock a minute off", public(func(a *Answer) { a.Received = noon.Add(60900 * time.Millisecond) }), []string{"ok clock: this machine and https://connect.example.com are 1m0s apart"}},
		{"AWS has another time", connections(func(t *Table) { t.Received = noon.Add(2 * time.Minute) }), []string{"problem clock_aws: this machine is 2m0s ahead of AWS"}},

		{"nobody completes", set("COMPLETION_URL", ""), []string{"warning completion_url: COMPLETION_URL is not set: somebody can send their own connect link to another person, whose account then lands in the sender's connection | Have your application complete connections and set COMPLETION_URL; without it the deployment is for a single operator."}},
		{"completion malformed", set("COMPLETION_URL", "/complete"), []string{"problem completion_url: setting COMPLETION_URL"}},
		{"completion without TLS", set("COMPLETION_URL", "http://localhost:3000/c"), []string{"problem completion_url: http://localhost:3000/c is not https"}},
		{"an origin with a path", set("RETURN_ORIGINS", "https://a.example/x"), []string{`problem return_origins: setting RETURN_ORIGINS has "https://a.example/x"`}},
		{"an origin without TLS", set("RETURN_ORIGINS", "https://a.example,http://localhost:3000"), []string{"warning return_origins: http://localhost:3000 has no effect"}},
		{"no origin", set("RETURN_ORIGINS", ""), []string{"ok return_origins: none"}},
		{"unsigned", set("ALLOW_UNSIGNED_CONNECT", "true"), []string{"warning allow_unsigned_connect: ALLOW_UNSIGNED_CONNECT is on: whoever knows the URL"}},
		{"private", set("ALLOW_PRIVATE_PROVIDERS", "true"), []string{"warning allow_private_providers: ALLOW_PRIVATE_PROVIDERS is on"}},
		{"neither yes nor no", set("ALLOW_UNSIGNED_CONNECT", "yes"), []string{`problem allow_unsigned_connect: setting ALLOW_UNSIGNED_CONNECT is "yes"`}},

		{"connect keys not told", set("CONNECT_SECRET", ""), []string{"warning connect_keys: not checked: nobody said where the keys are that sign connect tickets | Name the stack with --stack, or give --connect-secret."}},
		{"sealing keys missing", secret("stack/seal", nil), []string{"problem seal_keys: secret stack/seal is not there | Deploy the stack again"}},
		{"sealing keys hidden", secret("stack/seal", ErrHidden), []string{"warning seal_keys: secret stack/seal is there, but your credentials may not read it"}},
		{"sealing keys denied", secret("stack/seal", denied), []string{"warning seal_keys: secret stack/seal cannot be read: your credentials may not look at it | Allow secretsmanager:GetSecretValue"}},
		{"keys are no JSON", secret("stack/connect", connectKey), []string{"problem connect_keys: stack/connect: not a JSON object"}},
		{"no current key", secret("stack/connect", `{"k1":"`+connectKey+`"}`), []string{`problem connect_keys: stack/connect: "current" is missing`}},
		{"the current key is not there", secret("stack/connect", `{"current":"k2","keys":{"k1":"`+connectKey+`"}}`), []string{`problem connect_keys: stack/connect: current key "k2" is not among the keys`}},
		{"a key where its ID should be", secret("stack/connect", `{"current":"`+connectKey+`"}`), []string{`problem connect_keys: stack/connect: current key "[redacted]" is not among the keys`}},
		{"a short key", secret("stack/connect", `{"current":"k1","k1":"`+connectKey+`","k0":"CANARY-short"}`), []string{`problem connect_keys: stack/connect: key "k0" is shorter than 32 characters`}},
		{"two keys", secret("stack/connect", `{"current":"k1","k1":"`+connectKey+`","k0":"`+connectKey+`0"}`), []string{`ok connect_keys: 2 keys, the current one is "k1"`}},
		{"a key for both", secret("stack/connect", `{"current":"k2","k2":"`+connectKey+`","k1":"`+sealKey+`"}`), []string{`ok connect_keys: 2 keys, the current one is "k2"`, "problem keys_apart: a connect key is a sealing key as well"}},

		{"connections table not told", set("CONNECTIONS_TABLE", ""), []string{"warning connections_table: not checked"}},
		{"no such table", set("CONNECTIONS_TABLE", "nowhere"), []string{"problem connections_table: there is no table nowhere | Look at CONNECTIONS_TABLE"}},
		{"a table nobody may see", set("STATE_TABLE", "denied"), []string{"warning state_table: table denied cannot be described: your credentials may not look at it | Allow dynamodb:DescribeTable"}},
		{"the two tables are swapped", func(w *world) {
			w.settings["CONNECTIONS_TABLE"], w.settings["STATE_TABLE"] = "state", "connections"
		}, []string{"problem connections_table: the keys of state are id S, not connection_id S, provider S", "problem state_table: the keys of connections are connection_id S, provider S, not id S"}},
		{"a table in the making", state(func(t *Table) { t.Status = "CREATING" }), []string{"problem state_table: table state is CREATING"}},
		{"no index", connections(func(t *Table) { t.Indexes = nil }), []string{"problem connections_table/due: there is no index due, so nothing is ever refreshed"}},
		{"an index by other keys", index(Index{Status: "ACTIVE", Keys: "due_shard S, due_at S", Projection: "KEYS_ONLY"}), []string{"problem connections_table/due: the keys of index due are due_shard S, due_at S, not due_shard S, due_at N"}},
		{"an index in the making", index(Index{Status: "CREATING", Keys: dueKeys, Projection: "KEYS_ONLY"}), []string{"problem connections_table/due: index due is CREATING"}},
		{"an index with everything", index(Index{Status: "ACTIVE", Keys: dueKeys, Projection: "ALL"}), []string{"warning connections_table/due: index due holds more than keys (ALL)"}},
		{"connections expire", connections(func(t *Table) { t.TTL = "expires_at" }), []string{"problem connections_table/ttl: items expire by expires_at: DynamoDB deletes connections"}},
		{"who knows whether connections expire", connections(func(t *Table) { t.TTLErr = denied }), []string{"warning connections_table/ttl: whether items expire is not known: your credentials may not look at it | Allow dynamodb:DescribeTimeToLive"}},
		{"no recovery", connections(func(t *Table) { t.Recovery = false }), []string{"warning connections_table/recovery: point-in-time recovery is off"}},
		{"who knows of recovery", connections(func(t *Table) { t.RecoveryErr = denied }), []string{"warning connections_table/recovery: whether it can be restored is not known"}},
		{"not guarded", connections(func(t *Table) { t.Guarded = false }), []string{"warning connections_table/deletion: deletion protection is off"}},
		{"state stays", state(func(t *Table) { t.TTL = "" }), []string{"problem state_table/ttl: items never expire"}},
		{"state expires by something else", state(func(t *Table) { t.TTL = "ttl" }), []string{"problem state_table/ttl: items expire by ttl, which they do not have"}},
		{"who knows whether state expires", state(func(t *Table) { t.TTLErr = denied }), []string{"warning state_table/ttl: whether items expire is not known"}},

		{"providers' secrets not told", set("PROVIDER_SECRETS", ""), []string{"warning providers: not checked"}},
		{"no provider", func(w *world) {
			maps.DeleteFunc(w.secrets, func(name string, _ any) bool { return strings.HasPrefix(name, "stack/providers/") })
		}, []string{"problem providers: no provider has client credentials, so nobody can connect anything | Make it: aws secretsmanager create-secret --name stack/providers/whiplash --secret-string"}},
		{"not JSON", secret("stack/providers/whiplash", clientSecret), []string{"problem whiplash/secret: stack/providers/whiplash: not a JSON object"}},
		{"no client ID", secret("stack/providers/whiplash", `{"client_secret":"`+extraSecret+`"}`), []string{"problem whiplash/secret: stack/providers/whiplash: client_id is missing: add the one that Whiplash gave you | Put a new value"}},
		{"no client secret", secret("stack/providers/whiplash", `{"client_id":"i"}`), []string{"problem whiplash/secret: stack/providers/whiplash: client_secret is missing"}},
		{"an unknown environment", client(`"environment":"test"`), []string{`problem whiplash/secret: stack/providers/whiplash: environment "test" is unknown: Whiplash has production and sandbox`}},
		{"an unknown scope", client(`"scopes":["user_write"]`), []string{`problem whiplash/secret: stack/providers/whiplash: scope "user_write" is not one of Whiplash`}},
		{"an endpoint without TLS", client(`"endpoints":{"token_url":"http://x.example/t"}`), []string{"problem whiplash/secret: stack/providers/whiplash: endpoints.token_url must begin with https://"}},
		{"an unknown endpoint", client(`"endpoints":{"token_uri":"https://x.example/t"}`), []string{"problem whiplash/secret: stack/providers/whiplash: endpoints.token_uri is not known"}},
		{"a misspelt member", client(`"enviroment":"sandbox"`), []string{`problem whiplash/secret: stack/providers/whiplash: member "enviroment" is not known: write "environment"`}},
		{"unknown members", client(`"note":"x","` + clientSecretName + `":""`), []string{"warning whiplash/secret: members that mean nothing here: one whose name is no word, note | Remove them"}},
		{"a placeholder for the ID", secret("stack/providers/whiplash", `{"client_id":"…","client_secret":"`+extraSecret+`"}`), []string{`warning whiplash/secret: client_id has a "…" in it`, "ok whiplash/authorization_url"}},
		{"a placeholder for the secret", secret("stack/providers/whiplash", `{"client_id":"our-client","client_secret":"…"}`), []string{`warning whiplash/secret: client_secret has a "…" in it`}},
		{"a space at the end", secret("stack/providers/whiplash", `{"client_id":"our-client","client_secret":"`+extraSecret+` "}`), []string{"warning whiplash/secret: client_secret begins or ends with a space"}},
		{"former clients", client(`"former":[{"client_id":"older-client","client_secret":"` + extraSecret + `"},{"client_id":"test-client","client_secret":"` + extraSecret + `","environment":"sandbox"}]`),
			[]string{"ok whiplash/former: older-client in production, test-client in sandbox: their connections are refreshed until the people"}},
		{"a former client without a secret", client(`"former":[{"client_id":"older-client"}]`), []string{"problem whiplash/secret: stack/providers/whiplash: former[0]: client_secret is missing"}},
		{"a former secret in the wrong place", client(`"former":[{"client_id":"older-client","client_secret":"CANARY-former","environment":"CANARY-former"}]`),
			[]string{`problem whiplash/secret: stack/providers/whiplash: former[0]: environment "[redacted]" is unknown`}},
		{"a space at the end of a former secret", client(`"former":[{"client_id":"older-client","client_secret":"` + extraSecret + ` "}]`), []string{"warning whiplash/former: former[0].client_secret begins or ends with a space | Put a new value"}},
		{"a hidden secret", secret("stack/providers/whiplash", ErrHidden), []string{"warning whiplash/secret: secret stack/providers/whiplash is there, but"}},
		{"a denied secret", secret("stack/providers/whiplash", denied), []string{"warning whiplash/secret: secret stack/providers/whiplash cannot be read"}},
		{"a missing one, not asked for", secret("stack/providers/whcc", nil), []string{"ok providers: client credentials for whiplash; none for whisk, whatnot, whcc"}},

		{"a provider out of reach", func(w *world) { w.providers.down = "www.getwhiplash.com" }, []string{"problem whiplash/endpoints: www.getwhiplash.com cannot be reached: no such host | See that"}},
		{"a token endpoint out of reach", func(w *world) { w.providers.down = "apps.whcc.com" }, []string{"problem whcc/endpoints: apps.whcc.com cannot be reached"}},
		{"a provider that hangs up", func(w *world) { w.providers.err = errors.New("no answer within 10s") }, []string{"problem whiplash/endpoints: www.getwhiplash.com can be reached, but the authorization URL gets no answer: no answer within 10s"}},
		{"a client that it does not know", func(w *world) { w.providers.answer = Answer{Status: 401} }, []string{"warning whiplash/endpoints: www.getwhiplash.com can be reached, and Whiplash answers 401 to the authorization URL | Open the authorization URL"}},
		{"a provider that fails", func(w *world) { w.providers.answer = Answer{Status: 503} }, []string{"warning whiplash/endpoints: www.getwhiplash.com can be reached, and Whiplash answers 503 to the authorization URL | Try again later"}},
		{"a refusal", func(w *world) {
			w.providers.answer.Header = map[string][]string{"Location": {"https://connect.example.com/callback/whiplash?error=invalid_scope&state=" + madeUpState}}
		}, []string{"problem whiplash/endpoints: Whiplash refuses the authorization request with invalid_scope | See at Whiplash"}},
		{"a refusal in words", func(w *world) {
			w.providers.answer.Header = map[string][]string{"Location": {"/?error=%1b[31m+hello&state=" + madeUpState}}
		}, []string{"problem whiplash/endpoints: Whiplash refuses the authorization request with an error |"}},
	}
	usual := text(healthy().deployment(t))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := healthy()
			tt.spoil(w)
			finds(t, w.deployment(t), usual, tt.want)
		})
	}
}

// clientSecretName is a value in the place of a member's name, as somebody
// enters it who mistakes the two fields of a form.
const clientSecretName = "CANARY0name"

// finds checks that the findings beside the usual ones begin as want says, one
// each, and hold what is promised.
func finds(t *testing.T, findings []Finding, usual, want []string) {
	t.Helper()
	got := without(text(findings), usual)
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	promised(t, findings)
}

// promised holds findings to what is said of all of them.
func promised(t *testing.T, findings []Finding) {
	t.Helper()
	var b bytes.Buffer
	if err := errors.Join(Print(&b, findings), PrintJSON(&b, findings)); err != nil {
		t.Error(err)
	}
	if found := leaked(b.String()); len(found) > 0 {
		t.Errorf("%v is printed:\n%s", found, b.String())
	}
	for _, f := range findings {
		if (f.Status == OK) != (f.Fix == "") || f.Detail == "" || f.Check == "" {
			t.Errorf("%+v has no fix, or one that nobody needs", f)
		}
		if f.Fix != "" && !strings.HasSuffix(f.Fix, ".") && !strings.HasSuffix(f.Fix, "'") {
			t.Errorf("the fix of %s is no sentence: %s", f.Check, f.Fix)
		}
	}
}

func TestEachProblemOfLocalModeIsFound(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*world)
		want  []string
	}{
		{"no keys", func(w *world) { delete(w.secrets, ConnectRing) }, []string{"problem connect_keys: secret connect is not there | Name the data folder of local mode with --dir; if .evergrant is that folder"}},
		{"no client", func(w *world) { delete(w.secrets, "whiplash") }, []string{`problem providers: no provider has client credentials, so nobody can connect anything | Add "whiplash": {"client_id": "…", "client_secret": "…"} to secrets.json.`}},
		{"a wrong client", func(w *world) { w.secrets["whiplash"] = `{"client_id":"i"}` }, []string{"problem whiplash/secret: whiplash: client_secret is missing: add the one that Whiplash gave you | Correct it in secrets.json; it counts at once."}},
	}
	usual := text(healthy().local(t))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := healthy()
			tt.spoil(w)
			finds(t, w.local(t), usual, tt.want)
		})
	}
	w := healthy()
	w.public.err = errors.New("connection refused")
	got := text(w.local(t))
	if len(got) != 1 || !strings.HasPrefix(got[0], "problem public_url: http://localhost:8788 does not answer: connection refused | Start local mode with `make run`") {
		t.Errorf("local mode that does not run: %q", got)
	}
}

func TestAProviderThatIsNamedMustHaveItsSecret(t *testing.T) {
	w := healthy()
	w.named = []string{"whisk"}
	got := text(w.deployment(t))
	if last := got[len(got)-1]; !strings.HasPrefix(last, "problem whisk/secret: secret stack/providers/whisk is not there | Make it: aws secretsmanager create-secret --name stack/providers/whisk ") {
		t.Errorf("last: %s", last)
	}
	for _, line := range got {
		if strings.Contains(line, " whiplash/") || strings.Contains(line, " providers:") {
			t.Errorf("not asked for: %s", line)
		}
	}
}

func TestWithoutAPublicURLNoProviderIsSentOne(t *testing.T) {
	w := healthy()
	w.settings["PUBLIC_URL"] = ""
	for _, line := range text(w.deployment(t)) {
		if strings.Contains(line, "redirect_uri") || strings.Contains(line, "authorization_url:") || strings.HasPrefix(line, "ok clock:") {
			t.Errorf("made up: %s", line)
		}
	}
	if len(w.public.gets)+len(w.providers.gets) > 0 {
		t.Errorf("asked %v %v", w.public.gets, w.providers.gets)
	}
}

func TestFunctionsTellTheSettings(t *testing.T) {
	common := map[string]string{"SEAL_SECRET": "stack/seal", "PROVIDER_SECRETS": "stack/providers/"}
	with := func(name string, more map[string]string) Function {
		all := maps.Clone(common)
		maps.Copy(all, more)
		return Function{Name: name, Settings: all}
	}
	tables := map[string]string{"CONNECTIONS_TABLE": "connections", "STATE_TABLE": "state", "DUE_SHARDS": "4"}
	stack := func() []Function {
		a := with("A", map[string]string{"CONNECT_SECRET": "stack/connect", "PUBLIC_URL": "https://connect.example.com", "RETURN_ORIGINS": "https://app.example.com", "ALLOW_UNSIGNED_CONNECT": "false"})
		b := with("B", map[string]string{"PUBLIC_URL": "https://connect.example.com", "COMPLETION_URL": "https://app.example.com/complete"})
		c, d := with("C", map[string]string{"REFRESH_CONCURRENCY": "8"}), with("D", nil)
		for _, f := range []Function{b, c, d} {
			maps.Copy(f.Settings, tables)
		}
		return []Function{a, b, c, d}
	}
	usual := text(healthy().deployment(t))
	tests := []struct {
		name  string
		spoil func([]Function)
		want  []string
	}{
		{"all is well", func([]Function) {}, []string{
			"ok function/A: the authorize function starts with its settings", "ok function/B: the callback function starts with its settings",
			"ok function/C: the refresh function starts with its settings", "ok function/D: the connections function starts with its settings",
		}},
		{"a setting is missing", func(f []Function) { delete(f[2].Settings, "STATE_TABLE") }, []string{
			"ok function/A", "ok function/B", "problem function/C: the refresh function cannot start: setting STATE_TABLE is missing", "ok function/D",
		}},
		{"a setting is malformed", func(f []Function) { f[2].Settings["REFRESH_CONCURRENCY"] = "many" }, []string{
			"ok function/A", "ok function/B", `problem function/C: the refresh function cannot start: setting REFRESH_CONCURRENCY is "many"`, "ok function/D",
		}},
		{"two disagree", func(f []Function) { f[3].Settings["SEAL_SECRET"] = "other" }, []string{
			"ok function/A", "ok function/B", "ok function/C", "ok function/D", "problem settings: SEAL_SECRET of D is not that of A",
		}},
		{"one is not there", func(f []Function) { f[3] = Function{Name: "D", Err: errors.New("there is no such function")} }, []string{
			"ok function/A", "ok function/B", "ok function/C", "problem function/D: its settings cannot be read: there is no such function | Look at the name",
		}},
		{"one is another's", func(f []Function) { f[3] = Function{Name: "D"} }, []string{
			"ok function/A", "ok function/B", "ok function/C", "problem function/D: it has no settings of Evergrant",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := healthy()
			w.settings, w.functions = nil, stack()
			tt.spoil(w.functions)
			finds(t, w.deployment(t), usual, tt.want)
		})
	}
}

func TestWhatIsSaidGoesBeforeWhatFunctionsWereTold(t *testing.T) {
	d := Deployment{
		Environment: map[string]string{"PUBLIC_URL": "env", "STATE_TABLE": "env", "SEAL_SECRET": "env"},
		Functions:   []Function{{Settings: map[string]string{"PUBLIC_URL": "", "STATE_TABLE": "first"}}, {Settings: map[string]string{"STATE_TABLE": "second"}}},
		Settings:    map[string]string{"PUBLIC_URL": "flag"},
	}
	want := map[string]string{"PUBLIC_URL": "flag", "STATE_TABLE": "first", "SEAL_SECRET": "env"}
	if got := d.told(); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := (Deployment{}).told(); len(got) != 0 {
		t.Errorf("nobody said %v", got)
	}
}

// Whatever a check would write, a secret does not get out.
func TestWhatWasReadIsRedacted(t *testing.T) {
	w := healthy()
	w.secrets["stack/providers/whiplash"] = `{"client_id":` + quoted(clientSecret) + `,"client_secret":` + quoted(clientSecret) + `}`
	findings := w.deployment(t)
	promised(t, findings)
	if all := strings.Join(text(findings), "\n"); !strings.Contains(all, "client [redacted], environment") || !strings.Contains(all, "client_id=[redacted]&") {
		t.Errorf("the canary was not where this test puts it:\n%s", all)
	}
}

func TestJSONIsAListOfFindings(t *testing.T) {
	var b bytes.Buffer
	if err := PrintJSON(&b, []Finding{warning("clock", "a < b", "Do it.")}); err != nil {
		t.Fatal(err)
	}
	var got []map[string]string
	want := map[string]string{"check": "clock", "status": "warning", "detail": "a < b", "fix": "Do it."}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || len(got) != 1 || !maps.Equal(got[0], want) {
		t.Errorf("%s: %v", b.String(), err)
	}
}

func TestTextFromElsewhereDoesNotSteerTheTerminal(t *testing.T) {
	var b bytes.Buffer
	if err := Print(&b, []Finding{problem("x", "a\x1b[31m\tb\nc", "Do\r it.")}); err != nil || b.String() != "problem  x  a?[31m?b?c\n            Fix: Do? it.\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

// The probe must be a provider whose callback refuses a bare request.
func TestTheProbedProviderHasNoImplicitGrant(t *testing.T) {
	if p := probed(); p.Implicit || p.ID == "" {
		t.Errorf("probed is %q", p.ID)
	}
	if http.StatusBadRequest != ours().Status {
		t.Error("the contract says 400")
	}
}
