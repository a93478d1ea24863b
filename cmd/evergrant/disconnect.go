package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newDisconnect(t tool, g *global) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "disconnect CONNECTION_ID PROVIDER",
		Short: "Revoke a connection at its provider and remove its tokens",
		Example: `  evergrant disconnect acct_42 whatnot
  evergrant disconnect acct_42 whatnot --yes`,
		Args: exactly("CONNECTION_ID", "PROVIDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, p, err := keyOf(cmd, args)
			if err != nil {
				return err
			}
			if t.Terminal && !yes && !confirmed(t, fmt.Sprintf("Disconnect %s from %s? Its tokens are revoked and removed. [y/N] ", k.ConnectionID, p.Name)) {
				return errors.New("nothing was changed")
			}
			v, err := g.one(cmd, t, map[string]any{"action": "disconnect", "connection_id": k.ConnectionID, "provider": k.Provider})
			if err != nil || g.json {
				return err
			}
			_, err = fmt.Fprintf(t.Out, "%s at %s: %s\n", v.ConnectionID, v.Provider, v.Status)
			return err
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// confirmed asks the person at the terminal.
func confirmed(t tool, question string) bool {
	_, _ = fmt.Fprint(t.Err, question)
	answer, _ := bufio.NewReader(t.In).ReadString('\n') // without an answer it is a no
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}
