package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connections"
	"github.com/evergrant/evergrant/internal/local"
)

func newList(t tool, g *global) *cobra.Command {
	var status, client string
	cmd := &cobra.Command{
		Use:   "list [CONNECTION_ID]",
		Short: "List connections: all, or those of one connection ID",
		Example: `  evergrant list
  evergrant list acct_42
  evergrant list --status reauthorization_required --json
  evergrant list --client old-client-id --status active`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return misuse(cmd, "list takes at most one argument, CONNECTION_ID, not %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			input, err := listInput(cmd, args, status)
			if err != nil {
				return err
			}
			p, err := g.plane(cmd, t)
			if err != nil {
				return err
			}
			return g.list(cmd.Context(), t, p, input, client)
		},
	}
	cmd.Flags().StringVar(&status, "status", "", "only connections in this `status`: active, reauthorization_required or disconnected")
	cmd.Flags().StringVar(&client, "client", "", "only connections of this client `ID`, and how many they are, by provider and environment")
	return cmd
}

// listInput returns what to ask the control plane for.
func listInput(cmd *cobra.Command, args []string, status string) (map[string]any, error) {
	input := map[string]any{"action": "list"}
	all := []connection.Status{"", connection.Active, connection.ReauthorizationRequired, connection.Disconnected}
	switch {
	case !slices.Contains(all, connection.Status(status)):
		return nil, misuse(cmd, "--status is %q: use active, reauthorization_required or disconnected", status)
	case len(args) == 1 && status != "":
		return nil, misuse(cmd, "list takes a connection ID or --status, not both")
	case len(args) == 1 && !connection.ValidID(args[0]):
		return nil, misuse(cmd, "%q is not a connection ID: use 1 to 256 of A-Z a-z 0-9 . _ : @ / -", args[0])
	case len(args) == 1:
		input["connection_id"] = args[0]
	case status != "":
		input["status"] = status
	}
	return input, nil
}

// list prints every page of the list as one; with a client ID, its connections
// alone.
func (g *global) list(ctx context.Context, t tool, p plane, input map[string]any, client string) error {
	all := output{Connections: []json.RawMessage{}}
	for {
		out, err := call(ctx, p, input)
		if err != nil {
			if g.json && out.Error != nil {
				err = errors.Join(err, printJSON(t.Out, out))
			}
			return err
		}
		its, err := of(client, out.Connections)
		if err != nil {
			return err
		}
		all.Connections = append(all.Connections, its...)
		if out.Cursor == "" {
			break
		}
		input["cursor"] = out.Cursor
	}
	if g.json {
		return printJSON(t.Out, all)
	}
	list, err := views(all.Connections)
	if err != nil {
		return err
	}
	if err := table(t.Out, t.Now(), list); err != nil || client == "" {
		return err
	}
	return tally(t.Out, client, list)
}

// of returns those of list that are of a client ID, all where that is "".
func of(client string, list []json.RawMessage) (its []json.RawMessage, err error) {
	if client == "" {
		return list, nil
	}
	all, err := views(list)
	for i, v := range all {
		if v.ClientID == client {
			its = append(its, list[i])
		}
	}
	return its, err
}

// views reads connections as the control plane shows them.
func views(list []json.RawMessage) ([]connections.View, error) {
	all := make([]connections.View, len(list))
	for i, raw := range list {
		if err := json.Unmarshal(raw, &all[i]); err != nil {
			return nil, fmt.Errorf("read list: %w", err)
		}
	}
	return all, nil
}

// table prints connections for a person.
func table(w io.Writer, now time.Time, list []connections.View) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "There are no connections.")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	_, _ = fmt.Fprintln(tw, "CONNECTION ID\tPROVIDER\tENVIRONMENT\tSTATUS\tTIME LEFT\tACCOUNT")
	for _, v := range list {
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", v.ConnectionID, v.Provider, cmp.Or(printable(v.Environment), "-"), v.Status, left(v, now), account(v))
	}
	return tw.Flush()
}

// tally counts connections that are all of one client ID. Two providers, and two
// environments of one, may know different clients by the same ID.
func tally(w io.Writer, client string, list []connections.View) error {
	counts := map[string]int{}
	for _, v := range list {
		counts[" at "+v.Provider+", "+printable(v.Environment)]++
	}
	if len(list) == 0 {
		counts[""] = 0
	}
	for _, place := range slices.Sorted(maps.Keys(counts)) {
		if _, err := fmt.Fprintf(w, "of client ID %s%s: %d\n", printable(client), place, counts[place]); err != nil {
			return err
		}
	}
	return nil
}

// left says how long the access token of v still works.
func left(v connections.View, now time.Time) string {
	switch {
	case v.Status == connection.Disconnected:
		return "-"
	case v.ExpiresAt == 0:
		return "no end"
	case v.ExpiresAt <= now.Unix():
		return "expired"
	}
	return local.Left(time.Duration(v.ExpiresAt-now.Unix()) * time.Second)
}

// account says who v is at the provider.
func account(v connections.View) string {
	switch {
	case v.AccountLabel != "":
		return printable(v.AccountLabel)
	case v.AccountID != "":
		return printable(v.AccountID)
	}
	return "-"
}

// printable keeps a provider's text from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
