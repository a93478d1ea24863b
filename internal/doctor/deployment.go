package doctor

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/evergrant/evergrant/internal/settings"
	"github.com/evergrant/evergrant/pkg/providers"
)

// A Deployment is a deployed stack. Every field is required but Stack, StackErr,
// Functions, Settings, Environment, Named and Held.
type Deployment struct {
	Stack       Stack                // "" as its name: nobody said which
	StackErr    error                // why it cannot be looked at
	Functions   []Function           // whose settings were read
	Settings    map[string]string    // by name: go before what functions were told
	Environment map[string]string    // by name: where neither says anything
	Named       []providers.Provider // to be checked; empty: each that has client credentials
	Secrets     Secrets
	Tables      Tables
	Cloud       Cloud
	Held        Held // by the connections function among Functions; nil: none is
	Now         func() time.Time
	Public      Web                         // the way to the public URL
	Providers   func(allowPrivate bool) Web // the way to the providers that the functions go
}

// told returns the settings. Where functions were told different things, the
// first counts; another check names that.
func (d Deployment) told() map[string]string {
	told := maps.Clone(d.Environment)
	if told == nil {
		told = map[string]string{}
	}
	for _, f := range slices.Backward(d.Functions) {
		if kind, _ := f.kind(); kind != settings.Events {
			maps.Copy(told, f.Settings)
		}
	}
	maps.Copy(told, d.Settings)
	for setting, output := range deploymentOutputs {
		if v := d.Stack.Outputs[output]; told[setting] == "" && v != "" {
			told[setting] = v
		}
	}
	return told
}

// deploymentOutputs are the outputs of a stack that tell a setting, where the functions
// were told nothing or do not say.
var deploymentOutputs = map[string]string{
	"PUBLIC_URL": "PublicUrl", "CONNECTIONS_TABLE": "ConnectionsTableName", "CONNECT_SECRET": "ConnectSecretArn",
	"SEAL_SECRET": "SealSecretArn", "PROVIDER_SECRETS": "ProviderSecrets",
}

// Examine checks the deployment. Of a stack that cannot be looked at there is no
// more to be found than that, unless somebody has told its settings.
func (d Deployment) Examine(ctx context.Context) []Finding {
	told := d.told()
	if d.StackErr != nil && len(told) == 0 {
		return []Finding{d.unread()}
	}
	secrets := &watched{Secrets: d.Secrets}
	findings := functions(d.Functions)
	base, wrong := publicURL(told["PUBLIC_URL"])
	findings = append(findings, wrong...)
	ours := false
	if base != "" {
		var answers []Finding
		answers, ours = answering(ctx, d.Public, base, "See that the name leads to the API of the stack, by a custom domain or as the output PublicUrl of a stack without one.")
		findings = append(findings, answers...)
	}
	tables, t := connectionsTable(ctx, d.Tables, told["CONNECTIONS_TABLE"])
	if !t.Clock.IsZero() {
		findings = append(findings, clock("clock_aws", t.Received, t.Clock, "AWS"))
	}
	findings = append(findings, completionURL(told["COMPLETION_URL"]), returnOrigins(told["RETURN_ORIGINS"]))
	on, allowPrivate := switches(told)
	findings = append(findings, on...)
	found, connectKeys := rings(ctx, secrets,
		ring{check: "connect_keys", name: told["CONNECT_SECRET"], use: "sign connect tickets", untold: untold("CONNECT_SECRET"), missing: madeByStack},
		ring{check: "seal_keys", name: told["SEAL_SECRET"], use: "seal refresh tokens and cookies", untold: untold("SEAL_SECRET"), missing: madeByStack})
	findings = append(append(findings, found...), tables...)
	findings = append(findings, stateTable(ctx, d.Tables, told["STATE_TABLE"])...)
	findings = append(findings, d.stack(ctx, of(d.Functions, settings.Events).Settings["EVENT_BUS"], t)...)
	findings = append(findings, d.Held.findings(ctx, d.Named, " --function "+ControlPlane(d.Functions))...)
	b := browser{web: d.Public, base: base, now: d.Now}
	if ours { // nobody else gets a ticket
		b.keys = connectKeys
	}
	return secrets.redact(append(findings, d.clients(ctx, secrets, b, told["PROVIDER_SECRETS"], allowPrivate)...))
}

const madeByStack = "Deploy the stack again, which makes it, or restore it within its recovery window; look at the account and region that you are in."

// clients checks client credentials and providers.
func (d Deployment) clients(ctx context.Context, secrets Secrets, b browser, prefix string, allowPrivate bool) []Finding {
	if s, err := parsed("PROVIDER_SECRETS", prefix); err == nil && len(d.Functions) > 0 {
		prefix = s.ProviderSecrets // the functions' own default
	}
	if prefix == "" {
		return []Finding{warning("providers", "not checked: nobody said where the client credentials are", untold("PROVIDER_SECRETS"))}
	}
	c := clients{
		secrets: secrets, web: d.Providers(allowPrivate), browser: b, publicURL: b.base, allowPrivate: allowPrivate,
		name: func(id string) string { return prefix + id },
		missing: func(id string) string {
			return "Make it: aws secretsmanager create-secret --name " + prefix + id + ` --secret-string '{"client_id": "…", "client_secret": "…"}'`
		},
		mend: "Put a new value into the secret, with aws secretsmanager put-secret-value; it serves within five minutes.",
	}
	return c.examine(ctx, d.Named)
}
