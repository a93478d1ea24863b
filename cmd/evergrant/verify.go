package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connections"
)

// A verification is what the flags of verify say.
type verification struct {
	provider string
	count    int
	every    time.Duration
	release  bool
}

func newVerify(t tool, g *global) *cobra.Command {
	var v verification
	cmd := &cobra.Command{
		Use:   "verify PROVIDER",
		Short: "Hold a provider and find out on a few connections whether their refresh tokens live",
		Long: `Hold a provider and find out on a few connections, one after the other, whether their refresh tokens live.

For a table that came from a backup: its refresh tokens may have been used since, and many a provider ends the whole
grant when an old one comes back. The first connection that is refused ends the check, and the provider stays held. That
connection loses nothing by it but what was lost already.`,
		Example: `  evergrant verify whatnot
  evergrant verify whatnot --count 20 --every 1m --release --function "$FUNCTION"`,
		Args: exactly("PROVIDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			v.provider = args[0]
			if _, err := providerOf(cmd, v.provider); err != nil {
				return err
			}
			if v.count < 1 || v.every < 0 {
				return misuse(cmd, "--count must be at least 1, and --every not below 0")
			}
			p, err := g.plane(cmd, t)
			if err != nil {
				return err
			}
			return g.verify(cmd.Context(), t, p, v)
		},
	}
	cmd.Flags().IntVar(&v.count, "count", 5, "how many connections are refreshed, chosen at random")
	cmd.Flags().DurationVar(&v.every, "every", 10*time.Second, "the `time` between two of them, such as 30s or 1m")
	cmd.Flags().BoolVar(&v.release, "release", false, "release the provider if all of them live")
	return cmd
}

// verify holds a provider, and releases it where all is well and that is wanted.
func (g *global) verify(ctx context.Context, t tool, p plane, v verification) error {
	out, err := setHeld(ctx, p, "hold", v.provider)
	if err != nil {
		return err
	}
	if err := g.tryFew(ctx, t, p, v); err != nil {
		return fmt.Errorf("%s stays held until `evergrant release %s`: %w", v.provider, v.provider, err)
	}
	if v.release {
		if out, err = setHeld(ctx, p, "release", v.provider); err != nil {
			return err
		}
	}
	return g.printHeld(t, out)
}

// tryFew refreshes a few connections of a provider that is held.
func (g *global) tryFew(ctx context.Context, t tool, p plane, v verification) error {
	chosen, err := choose(ctx, t, p, v)
	if err != nil {
		return err
	}
	for i, id := range chosen {
		if i > 0 {
			if err := pauseFor(ctx, v.every); err != nil {
				return fmt.Errorf("stopped after %d of %d connections: %w", i, len(chosen), err)
			}
		}
		_, err := call(ctx, p, map[string]any{"action": "refresh", "connection_id": id, "provider": v.provider})
		if err != nil {
			return fmt.Errorf("%s could not be refreshed, %d before it were: %w", id, i, err)
		}
		if !g.json {
			_, _ = fmt.Fprintf(t.Out, "%s: refreshed\n", id)
		}
	}
	return nil
}

// choose returns connection IDs of a provider whose connections are refreshed,
// at random.
func choose(ctx context.Context, t tool, p plane, v verification) (ids []string, err error) {
	input := map[string]any{"action": "list", "status": string(connection.Active), "limit": 1000}
	seen := 0
	for {
		out, err := call(ctx, p, input)
		if err != nil {
			return nil, fmt.Errorf("list connections: %w", err)
		}
		for _, raw := range out.Connections {
			var c connections.View
			if err := json.Unmarshal(raw, &c); err != nil {
				return nil, fmt.Errorf("read list: %w", err)
			}
			if c.Provider != v.provider || c.DueAt == 0 {
				continue // nothing renews it
			}
			seen++
			if len(ids) < v.count {
				ids = append(ids, c.ConnectionID)
			} else if at := int(t.Random() * float64(seen)); at < v.count {
				ids[at] = c.ConnectionID // each of those seen is as likely
			}
		}
		if out.Cursor == "" {
			break
		}
		input["cursor"] = out.Cursor
	}
	if len(ids) == 0 {
		return nil, errors.New("it has no connection that anything refreshes, so there is nothing to verify")
	}
	slices.Sort(ids)
	return ids, nil
}

// pauseFor waits for d, or until ctx ends.
func pauseFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
