package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/cobra"

	"github.com/evergrant/evergrant/internal/local"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/secrets"
	"github.com/evergrant/evergrant/pkg/connect"
)

// A linkOrder is what the flags of link ask for.
type linkOrder struct {
	ticket    connect.Ticket
	dir       string // of local mode
	publicURL string // of a deployment
	secret    string // name of its CONNECT_SECRET
}

func newLink(t tool, g *global) *cobra.Command {
	var o linkOrder
	cmd := &cobra.Command{
		Use:   "link CONNECTION_ID PROVIDER",
		Short: "Print a signed connect link",
		Long: `Print a signed connect link: whoever opens it in a browser connects an account at the provider to the connection ID.

For local mode the link is signed with the key in its data folder. For a deployed stack name its public URL and the secret
with its connect keys, the outputs PublicUrl and ConnectSecretArn of the stack.`,
		Example: `  evergrant link acct_42 whatnot
  evergrant link acct_42 whiplash --scope user_read --return-to http://localhost:8788/
  evergrant link acct_42 whatnot --public-url https://connect.example.com --connect-secret my-stack-ConnectSecret`,
		Args: exactly("CONNECTION_ID", "PROVIDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd, g, args); err != nil {
				return err
			}
			return g.link(cmd.Context(), t, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.ticket.ReturnTo, "return-to", "", "`URL` where the browser goes at the end, on an allowed origin")
	flags.StringSliceVar(&o.ticket.Scopes, "scope", nil, "`scope` to ask for; repeat it for more (default all that the client has)")
	flags.StringToStringVar(&o.ticket.Params, "param", nil, "the provider's connection field as `name=value`; repeat it for more")
	flags.DurationVar(&o.ticket.Life, "life", 5*time.Minute, "how `long` the link works, at most 15m")
	flags.StringVar(&o.dir, "dir", local.DefaultDir, "data `folder` of local mode")
	flags.StringVar(&o.publicURL, "public-url", "", "public `URL` of a deployed stack")
	flags.StringVar(&o.secret, "connect-secret", "", "`name` or ARN of the secret with the stack's connect keys")
	return cmd
}

// check completes o and returns what the person must change.
func (o *linkOrder) check(cmd *cobra.Command, g *global, args []string) error {
	k, p, err := keyOf(cmd, args)
	if err != nil {
		return err
	}
	o.ticket.ConnectionID, o.ticket.Provider = k.ConnectionID, k.Provider
	switch life := o.ticket.Life; {
	case life < time.Second || life > connect.MaxLife:
		return misuse(cmd, "--life is %s: a link works for 1s to %s", life, connect.MaxLife)
	case (o.publicURL == "") != (o.secret == ""):
		return misuse(cmd, "--public-url and --connect-secret go together")
	case g.function != "" && o.publicURL == "":
		return misuse(cmd, "a link is not made by --function: name the stack's --public-url and --connect-secret")
	}
	if err := oauth.CheckScopes(p, o.ticket.Scopes); err != nil {
		return misuse(cmd, "%v", err)
	}
	if err := (oauth.Client{Provider: p}).CheckParams(o.ticket.Params); err != nil {
		return misuse(cmd, "%v", err)
	}
	return nil
}

// link prints the link that o asks for.
func (g *global) link(ctx context.Context, t tool, o linkOrder) error {
	base, key, err := g.issuer(ctx, t, o)
	if err != nil {
		return err
	}
	now := t.Now()
	link, err := o.ticket.Link(base, key, now)
	if err != nil {
		return err
	}
	if g.json {
		return printJSON(t.Out, map[string]any{"link": link, "expires_at": now.Add(o.ticket.Life).Unix()})
	}
	_, err = fmt.Fprintln(t.Out, link)
	return err
}

// issuer returns the public URL of the link, and the key that signs it.
func (g *global) issuer(ctx context.Context, t tool, o linkOrder) (base string, key connect.Key, err error) {
	if o.publicURL == "" {
		key, err = local.ConnectKey(o.dir)
		return g.url, key, err
	}
	key, err = deployedKey(ctx, t, o.secret)
	return o.publicURL, key, err
}

// deployedKey reads the current connect key of a deployed stack.
func deployedKey(ctx context.Context, t tool, name string) (connect.Key, error) {
	aws, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return connect.Key{}, fmt.Errorf("read AWS settings: %w", err)
	}
	store := &secrets.Store{API: secretsmanager.NewFromConfig(aws), Connect: name, Now: t.Now, Jitter: t.Random}
	keys, err := store.ConnectKeys(ctx)
	if err != nil {
		return connect.Key{}, err
	}
	secret, _ := keys.Key(keys.Current) // a ring always has its current key
	return connect.Key{ID: keys.Current, Secret: secret}, nil
}
