package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/evergrant/evergrant/pkg/providers"
)

// A providerView is a provider as --json prints it.
type providerView struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Environments []string `json:"environments"`
	Scopes       []string `json:"scopes"`
	Rotation     string   `json:"rotation"`
	PKCE         bool     `json:"pkce"`                   // S256 is sent with each authorization request
	FrontChannel string   `json:"token_in_front_channel"` // always, on demand (the implicit grant), or never
	Docs         string   `json:"docs"`
	Read         string   `json:"read"` // when the docs were read
}

func newProviders(t tool, g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "providers",
		Short: "List the providers that can be connected",
		Example: `  evergrant providers
  evergrant providers --json`,
		Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			var views []providerView
			for _, p := range providers.All() {
				views = append(views, viewOf(p))
			}
			if g.json {
				return printJSON(t.Out, map[string]any{"providers": views})
			}
			tw := tabwriter.NewWriter(t.Out, 0, 0, 3, ' ', 0)
			_, _ = fmt.Fprintln(tw, "ID\tNAME\tENVIRONMENTS\tREFRESH TOKENS\tPKCE\tTOKEN IN THE BROWSER\tSCOPES\tDOCUMENTATION")
			for _, v := range views {
				scopes := strings.Join(v.Scopes, " ")
				if scopes == "" {
					scopes = "-"
				}
				_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", v.ID, v.Name, strings.Join(v.Environments, " "), v.Rotation, yesNo(v.PKCE), v.FrontChannel, scopes, v.Docs)
			}
			return tw.Flush()
		},
	}
}

func viewOf(p providers.Provider) providerView {
	v := providerView{ID: p.ID, Name: p.Name, Scopes: append([]string{}, p.KnownScopes...), Rotation: rotationText(p), PKCE: p.PKCE == providers.PKCES256, FrontChannel: frontChannelText(p), Docs: p.Docs, Read: p.Read}
	for _, e := range p.Environments {
		v.Environments = append(v.Environments, e.Name)
	}
	return v
}

// rotationText says what becomes of a refresh token that has been used.
func rotationText(p providers.Provider) string {
	if p.Blob != nil {
		return "none" // the credential itself arrives, and nothing renews it
	}
	switch p.Rotation {
	case providers.Strict:
		return "used once"
	case providers.Grace:
		return "work on for " + p.GraceTime.String()
	case providers.UntilFirstUse:
		return "work until the next access token is used"
	case providers.Reusable:
		return "reusable"
	}
	return "unknown"
}

// frontChannelText says when an access token of p comes through the browser.
func frontChannelText(p providers.Provider) string {
	switch {
	case p.Blob != nil:
		return "always"
	case p.Implicit:
		return "on demand"
	}
	return "never"
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
