package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/evergrant/evergrant/internal/connections"
)

func newShow(t tool, g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "show CONNECTION_ID PROVIDER",
		Short: "Show one connection, without its tokens",
		Example: `  evergrant show acct_42 whatnot
  evergrant show acct_42 whatnot --json`,
		Args: exactly("CONNECTION_ID", "PROVIDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, _, err := keyOf(cmd, args)
			if err != nil {
				return err
			}
			v, err := g.one(cmd, t, map[string]any{"action": "get", "connection_id": k.ConnectionID, "provider": k.Provider})
			if err != nil || g.json {
				return err
			}
			return describe(t.Out, t.Now(), v)
		},
	}
}

// describe prints a connection for a person: what is known of it, a line each.
func describe(w io.Writer, now time.Time, v connections.View) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(tw, "%s:\t%s\n", name, printable(value))
		}
	}
	line("Connection ID", v.ConnectionID)
	line("Provider", v.Provider)
	line("Status", string(v.Status))
	line("Access token", left(v, now))
	line("Expires", date(v.ExpiresAt))
	line("Scopes", strings.Join(v.Scopes, " "))
	line("Not granted", strings.Join(v.ScopesMissing, " "))
	line("Account", account(v))
	line("Account ID", v.AccountID)
	for _, name := range slices.Sorted(maps.Keys(v.Metadata)) {
		line("Metadata "+name, v.Metadata[name])
	}
	if v.PKCE != nil && !*v.PKCE {
		line("PKCE", "none: another user's stolen code could stand behind this, so look at the account")
	}
	if v.FrontChannel {
		line("Token", "came through the browser, where another could take its place: look at the account")
	}
	line("Environment", v.Environment)
	line("Client ID", v.ClientID)
	line("Connected", date(v.ConnectedAt))
	line("Refreshed", date(v.RefreshedAt))
	line("Next refresh", date(v.DueAt))
	line("Grant ends", date(v.RefreshExpiresAt))
	if f := v.Failure; f != nil {
		line("Failure", fmt.Sprintf("%s (%d in a row, since %s)", f.Code, f.Count, date(f.Since)))
		line("Detail", f.Detail)
		line("Reason", f.Reason)
	}
	return tw.Flush()
}

// date returns Unix seconds for a person, in UTC; "" for 0.
func date(unix int64) string {
	if unix == 0 {
		return ""
	}
	return time.Unix(unix, 0).UTC().Format("2006-01-02 15:04:05 UTC")
}
