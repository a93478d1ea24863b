package doctor

import (
	"context"
	"time"

	"github.com/evergrant/evergrant/pkg/providers"
)

// A Local is a local mode. Every field is required but Source and Named.
type Local struct {
	URL     string               // such as http://localhost:8788
	Dir     string               // its data folder
	Source  string               // the file with client credentials; "": the providers are simulated
	Named   []providers.Provider // to be checked; empty: each that has client credentials
	Secrets Secrets              // the key rings ConnectRing and SealRing, and client credentials by provider ID
	Held    Held                 // by local mode's control plane
	Now     func() time.Time
	Public  Web // the way to local mode
	Web     Web // the way to the providers that local mode goes

	AllowPrivate bool // provider URLs may be loopback ones
}

// The names of local mode's key rings.
const (
	ConnectRing = "connect"
	SealRing    = "seal"
)

// Examine checks local mode. Where it does not run, there is no more to be found.
func (l Local) Examine(ctx context.Context) []Finding {
	findings, ours := answering(ctx, l.Public, l.URL, "Start local mode with `make run`, name its address with --url, or name a deployed stack with --function.")
	if !ours {
		return findings
	}
	secrets := &watched{Secrets: l.Secrets}
	again := "Name the data folder of local mode with --dir; if " + l.Dir + " is that folder, start local mode, which makes the keys."
	found, connectKeys := rings(ctx, secrets,
		ring{check: "connect_keys", name: ConnectRing, use: "sign connect tickets", missing: again},
		ring{check: "seal_keys", name: SealRing, use: "seal refresh tokens and cookies", missing: again})
	findings = append(append(findings, found...), l.Held.findings(ctx, l.Named, "")...)
	c := clients{
		browser: browser{web: l.Public, base: l.URL, keys: connectKeys, now: l.Now},
		secrets: secrets, web: l.Web, publicURL: l.URL, allowPrivate: l.AllowPrivate,
		name: func(id string) string { return id },
		missing: func(id string) string {
			return `Add "` + id + `": {"client_id": "…", "client_secret": "…"} to ` + l.source() + "."
		},
		mend: "Correct it in " + l.source() + "; it counts at once.",
	}
	return secrets.redact(append(findings, c.examine(ctx, l.Named)...))
}

func (l Local) source() string {
	if l.Source == "" {
		return "a file, and name it with --secrets here and where local mode starts"
	}
	return l.Source
}

// Documents are secrets at hand, by name.
type Documents map[string][]byte

// Secret implements Secrets.
func (d Documents) Secret(_ context.Context, name string) ([]byte, error) {
	document, ok := d[name]
	if !ok {
		return nil, ErrMissing
	}
	return document, nil
}
