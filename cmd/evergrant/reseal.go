package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/evergrant/evergrant/internal/connections"
)

func newReseal(t tool, g *global) *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "reseal",
		Short: "Seal every refresh token under the current sealing key, so that older keys can go",
		Long: `Seal every refresh token under the current sealing key, so that older keys can go.

It works beside refreshes and may be stopped and started again at any time. It goes through all connections until a
whole pass has found none under another key; where refreshes were under way then, which may put back what they have
read, it waits until they must have ended, and looks again.

A refresh token that no key of the ring opens is left as it is, and the log of the connections function names its
connection: bring its key back, or have the person connect again.`,
		Example: `  evergrant reseal --function "$FUNCTION"`,
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wait < 0 {
				return misuse(cmd, "--wait must not be below 0")
			}
			p, err := g.plane(cmd, t)
			if err != nil {
				return err
			}
			return g.reseal(cmd, t, p, wait)
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 150*time.Second, "the `time` that refreshes under way are waited for. Leases last two minutes at most:\nwith less than that one may still put back what an older key sealed")
	return cmd
}

// maxPasses bounds how often reseal begins again: what others seal between two
// passes is under the current key, unless their process knows an old ring.
const maxPasses = 10

// reseal goes through all connections until none is under another key, and none
// can be put back there: whoever claims a connection after a pass that found
// none has read the new one.
func (g *global) reseal(cmd *cobra.Command, t tool, p plane, wait time.Duration) error {
	resealed, waited := 0, false
	for range maxPasses {
		done, err := pass(cmd, p)
		if err != nil {
			return err
		}
		resealed += done.Resealed
		switch {
		case done.Changed > 0 || done.Resealed > 0:
			waited = false
			continue
		case done.UnderWay > 0 && !waited:
			if err := pauseFor(cmd.Context(), wait); err != nil {
				return fmt.Errorf("stopped while it waited for refreshes under way, so run this again: %w", err)
			}
			waited = true
			continue
		case done.Unreadable > 0:
			return fmt.Errorf("%d refresh tokens cannot be opened with any key of the ring: the function's log names them; %d were sealed under %s", done.Unreadable, resealed, done.Key)
		}
		if g.json {
			done.Resealed = resealed
			return printJSON(t.Out, output{Reseal: &done})
		}
		_, err = fmt.Fprintf(t.Out, "All %d refresh tokens are sealed under %s; %d of them were not before.\n", done.Current, done.Key, resealed)
		return err
	}
	return errors.New("refresh tokens are still being sealed under an older key: a function that knows it as the current one is running; wait six minutes and run this again")
}

// pass seals every page once and returns what became of all of them.
func pass(cmd *cobra.Command, p plane) (all connections.Reseal, err error) {
	input := map[string]any{"action": "reseal"}
	for {
		out, err := call(cmd.Context(), p, input)
		if err != nil {
			return all, err
		}
		if out.Reseal == nil {
			return all, errors.New("the answer is not that of a reseal: the deployed stack is older than this command")
		}
		all.Key = out.Reseal.Key
		all.Current += out.Reseal.Current
		all.Resealed += out.Reseal.Resealed
		all.Changed += out.Reseal.Changed
		all.UnderWay += out.Reseal.UnderWay
		all.Unreadable += out.Reseal.Unreadable
		if out.Cursor == "" {
			return all, nil
		}
		input["cursor"] = out.Cursor
	}
}
