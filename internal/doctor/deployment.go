package doctor

import (
	"context"
	"maps"
	"slices"

	"github.com/evergrant/evergrant/pkg/providers"
)

// A Deployment is a deployed stack. Every field is required but Functions,
// Settings, Environment and Named.
type Deployment struct {
	Functions   []Function           // whose settings were read
	Settings    map[string]string    // by name: go before what functions were told
	Environment map[string]string    // by name: where neither says anything
	Named       []providers.Provider // to be checked; empty: each that has client credentials
	Secrets     Secrets
	Tables      Tables
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
		maps.Copy(told, f.Settings)
	}
	maps.Copy(told, d.Settings)
	return told
}

// Examine checks the deployment.
func (d Deployment) Examine(ctx context.Context) []Finding {
	told := d.told()
	secrets := &watched{Secrets: d.Secrets}
	findings := functions(d.Functions)
	base, wrong := publicURL(told["PUBLIC_URL"])
	findings = append(findings, wrong...)
	if base != "" {
		answers, _ := answering(ctx, d.Public, base, "See that the name leads to the API of the stack, by a custom domain or as the output PublicUrl of a stack without one.")
		findings = append(findings, answers...)
	}
	tables, t := connectionsTable(ctx, d.Tables, told["CONNECTIONS_TABLE"])
	if !t.Clock.IsZero() {
		findings = append(findings, clock("clock_aws", t.Received, t.Clock, "AWS"))
	}
	findings = append(findings, completionURL(told["COMPLETION_URL"]), returnOrigins(told["RETURN_ORIGINS"]))
	on, allowPrivate := switches(told)
	findings = append(findings, on...)
	findings = append(findings, rings(ctx, secrets,
		ring{check: "connect_keys", name: told["CONNECT_SECRET"], use: "sign connect tickets", untold: untold("CONNECT_SECRET"), missing: madeByStack},
		ring{check: "seal_keys", name: told["SEAL_SECRET"], use: "seal refresh tokens and cookies", untold: untold("SEAL_SECRET"), missing: madeByStack})...)
	findings = append(findings, tables...)
	findings = append(findings, stateTable(ctx, d.Tables, told["STATE_TABLE"])...)
	return secrets.redact(append(findings, d.clients(ctx, secrets, told["PROVIDER_SECRETS"], base, allowPrivate)...))
}

const madeByStack = "Deploy the stack again, which makes it, or restore it within its recovery window; look at the account and region that you are in."

// clients checks client credentials and providers.
func (d Deployment) clients(ctx context.Context, secrets Secrets, prefix, base string, allowPrivate bool) []Finding {
	if s, err := parsed("PROVIDER_SECRETS", prefix); err == nil && len(d.Functions) > 0 {
		prefix = s.ProviderSecrets // the functions' own default
	}
	if prefix == "" {
		return []Finding{warning("providers", "not checked: nobody said where the client credentials are", untold("PROVIDER_SECRETS"))}
	}
	c := clients{
		secrets: secrets, web: d.Providers(allowPrivate), publicURL: base, allowPrivate: allowPrivate,
		name: func(id string) string { return prefix + id },
		missing: func(id string) string {
			return "Make it: aws secretsmanager create-secret --name " + prefix + id + ` --secret-string '{"client_id": "…", "client_secret": "…"}'`
		},
		mend: "Put a new value into the secret, with aws secretsmanager put-secret-value; it serves within five minutes.",
	}
	return c.examine(ctx, d.Named)
}
