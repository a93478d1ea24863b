package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func newRefresh(t tool, g *global) *cobra.Command {
	var minTTL time.Duration
	cmd := &cobra.Command{
		Use:   "refresh CONNECTION_ID PROVIDER",
		Short: "Refresh the access token of a connection now",
		Example: `  evergrant refresh acct_42 whatnot
  evergrant refresh acct_42 whatnot --min-ttl 10m`,
		Args: exactly("CONNECTION_ID", "PROVIDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, _, err := keyOf(cmd, args)
			if err != nil {
				return err
			}
			input := map[string]any{"action": "refresh", "connection_id": k.ConnectionID, "provider": k.Provider}
			if minTTL < 0 || minTTL%time.Second != 0 {
				return misuse(cmd, "--min-ttl is %s: use whole seconds, such as 600s", minTTL)
			}
			if minTTL > 0 {
				input["min_ttl"] = int64(minTTL / time.Second)
			}
			v, err := g.one(cmd, t, input)
			if err != nil || g.json {
				return err
			}
			_, err = fmt.Fprintf(t.Out, "%s at %s: the access token works for %s, refreshed %s\n", v.ConnectionID, v.Provider, left(v, t.Now()), date(v.RefreshedAt))
			return err
		},
	}
	cmd.Flags().DurationVar(&minTTL, "min-ttl", 0, "refresh only a token that ends within this `time` (default always)")
	return cmd
}
