package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/evergrant/evergrant/internal/connections"
	"github.com/evergrant/evergrant/pkg/providers"
)

func newHold(t tool, g *global) *cobra.Command {
	return holding(t, g, &cobra.Command{
		Use:   "hold PROVIDER|--all",
		Short: "Refresh nothing at a provider until it is released",
		Long: `Refresh nothing at a provider until it is released: for the time in which a table that came from a backup is put in
its place, or a provider is moved to another client.

No sweep refreshes then, and no reader's demand does. Tokens that are valid are read as ever, people connect as ever, and
"evergrant refresh" refreshes the one connection that it names: that shows what the provider says. A sweep under way goes
on until it ends, two minutes at most.`,
		Example: `  evergrant hold whatnot
  evergrant hold --all --function "$FUNCTION"`,
	})
}

func newRelease(t tool, g *global) *cobra.Command {
	return holding(t, g, &cobra.Command{
		Use:   "release PROVIDER|--all",
		Short: "Refresh again at a provider that was held",
		Long: `Refresh again at a provider that was held.

The next sweep, within a minute, begins with what has waited the longest. After a restore of the table, find out first
whether its refresh tokens live: "evergrant verify".`,
		Example: `  evergrant release whatnot
  evergrant release --all --function "$FUNCTION"`,
	})
}

// holding completes cmd, hold or release.
func holding(t tool, g *global, cmd *cobra.Command) *cobra.Command {
	var all bool
	cmd.Flags().BoolVar(&all, "all", false, "every provider")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if all == (len(args) > 0) || len(args) > 1 {
			return misuse(cmd, "name one provider, or --all")
		}
		chosen := providers.All()
		if !all {
			one, err := providerOf(cmd, args[0])
			if err != nil {
				return err
			}
			chosen = []providers.Provider{one}
		}
		p, err := g.plane(cmd, t)
		if err != nil {
			return err
		}
		for _, provider := range chosen {
			out, err := setHeld(cmd.Context(), p, cmd.Name(), provider.ID)
			if err != nil {
				return err
			}
			if err := g.printHeld(t, out); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

// setHeld has the control plane hold or release a provider, by the name of that
// action.
func setHeld(ctx context.Context, p plane, action, provider string) (output, error) {
	out, err := call(ctx, p, map[string]any{"action": action, "provider": provider})
	if err == nil && out.Provider == nil {
		err = errors.New("the answer names no provider: the deployed stack is older than this command")
	}
	if err != nil {
		return out, fmt.Errorf("%s %s: %w", action, provider, err)
	}
	return out, nil
}

// printHeld prints what became of one provider.
func (g *global) printHeld(t tool, out output) error {
	if g.json {
		return printJSON(t.Out, out)
	}
	_, err := fmt.Fprintf(t.Out, "%s: %s\n", out.Provider.Provider, heldFor(*out.Provider))
	return err
}

func heldFor(h connections.Held) string {
	if h.HeldSince == 0 {
		return "refreshed as ever"
	}
	return "held, nothing is refreshed until `evergrant release " + h.Provider + "`"
}
