package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/evergrant/evergrant/internal/local"
)

func newLocal(t tool) *cobra.Command {
	c := local.Config{Now: t.Now, Random: t.Random, Out: t.Out, Log: slog.New(slog.NewTextHandler(t.Err, nil))}
	cmd := &cobra.Command{
		Use:   "local",
		Short: "Run Evergrant on this machine",
		Long: `Run Evergrant on this machine: the same handlers as deployed behind a loopback web server, an embedded store, the
sweep on a timer, and a page to connect, refresh and disconnect. Without --secrets the providers are simulated.

The file of --secrets is a JSON object by provider ID, with what Secrets Manager holds in a deployment:

  {"whiplash": {"client_id": "…", "client_secret": "…", "environment": "sandbox"}}

Register the redirect URI that the page shows for each provider, such as http://localhost:8788/callback/whiplash.`,
		Example: `  evergrant local
  evergrant local --token-lifetime 30s
  evergrant local --secrets secrets.json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.Check(); err != nil {
				return misuse(cmd, "%v", err)
			}
			return local.Run(cmd.Context(), c)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&c.SecretsFile, "secrets", "", "`file` with the client credentials of real providers")
	flags.StringVar(&c.Dir, "dir", local.DefaultDir, "data `folder`")
	flags.DurationVar(&c.TokenLifetime, "token-lifetime", 0, "`life` of simulated access tokens, such as 30s (default as documented by each provider)")
	flags.BoolVar(&c.Completion, "completion", true, "play the host too, which completes a connection only for who is signed in (--completion=false leaves that out)")
	flags.IntVar(&c.Port, "port", local.DefaultPort, "`port` of the page; 0 is one that is free")
	flags.IntVar(&c.SimulatorPort, "simulator-port", local.DefaultSimulatorPort, "`port` of the simulated providers; 0 is one that is free")
	flags.BoolVar(&c.AllowPrivate, "allow-private", false, "let URLs in --secrets be loopback and private ones")
	return cmd
}
