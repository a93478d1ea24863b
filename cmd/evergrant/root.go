package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/pkg/providers"
)

// The exit codes.
const (
	exitOK = iota
	exitFailure
	exitUsage
)

// A tool is what the command uses of the machine that it runs on. Every field
// is required but Terminal.
type tool struct {
	In       io.Reader
	Out, Err io.Writer
	Terminal bool // a person is at In
	Getenv   func(string) string
	Now      func() time.Time
	Random   func() float64 // in [0, 1): jitter
}

// run runs the command and returns its exit code.
func run(ctx context.Context, t tool, args []string) int {
	root := newRoot(t)
	root.SetArgs(args)
	root.SetIn(t.In)
	root.SetOut(t.Out)
	root.SetErr(t.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	_, _ = fmt.Fprintf(t.Err, "evergrant: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	var usage *usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}

// A usageError is a command line that the person must change.
type usageError struct{ text string }

// Error returns what to change.
func (e *usageError) Error() string { return e.text }

// misuse returns a usageError that names where help is.
func misuse(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...) + " (see `" + cmd.CommandPath() + " --help`)"}
}

// global holds the flags that every subcommand takes.
type global struct {
	url      string
	function string
	json     bool
}

func newRoot(t tool) *cobra.Command {
	g := new(global)
	root := &cobra.Command{
		Use:   "evergrant",
		Short: "Keep OAuth grants evergreen",
		Long: `Evergrant keeps OAuth grants evergreen: it connects accounts and keeps their access tokens fresh.

Run it on this machine with "evergrant local". The other commands talk to that local mode, or, with --function,
to a stack that is deployed in your AWS account; credentials and region come from the usual AWS settings. FUNCTION in the
examples is what the stack's output ConnectionsFunctionName holds, such as my-stack-ConnectionsFunction-XXXX:live.

Exit codes: 0 done, 1 it did not work, 2 the command line is wrong.`,
		Example: `  evergrant local
  evergrant list
  evergrant show acct_42 whatnot --json
  evergrant list --status reauthorization_required --function "$FUNCTION"`,
		Version:       version(),
		SilenceErrors: true, SuggestionsMinimumDistance: 2,
		SilenceUsage: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknown(cmd, args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return misuse(cmd, "%v", err) })
	root.SetVersionTemplate("evergrant {{.Version}}\n")
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetHelpCommand(newHelp(root))
	flags := root.PersistentFlags()
	flags.StringVar(&g.url, "url", "http://localhost:8788", "`address` of local mode")
	flags.StringVar(&g.function, "function", "", "a deployed stack, in place of local mode: the `name` in its output\nConnectionsFunctionName, such as my-stack-ConnectionsFunction-XXXX:live, or an ARN\n(default: the environment variable EVERGRANT_FUNCTION)")
	flags.BoolVar(&g.json, "json", false, "print JSON: what the control plane answers")
	root.AddCommand(newLocal(t), newLink(t, g), newList(t, g), newShow(t, g), newRefresh(t, g), newDisconnect(t, g), newProviders(t, g), newRescue(t, g), newReseal(t, g), newHold(t, g), newRelease(t, g), newVerify(t, g), newMerge(t, g), newDoctor(t, g))
	return root
}

// version returns the version of the module that this was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// exactly returns a check that the arguments are as many as names.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != len(names) {
			return misuse(cmd, "%s takes %s, not %d", cmd.Name(), counted(names), len(args))
		}
		return nil
	}
}

// counted says how many arguments are wanted, and which.
func counted(names []string) string {
	if len(names) == 0 {
		return "no argument"
	}
	if len(names) == 1 {
		return "one argument, " + names[0]
	}
	return fmt.Sprintf("%d arguments, %s", len(names), strings.Join(names, " and "))
}

// keyOf checks the two arguments that name a connection.
func keyOf(cmd *cobra.Command, args []string) (connection.Key, providers.Provider, error) {
	k := connection.Key{ConnectionID: args[0], Provider: args[1]}
	if !connection.ValidID(k.ConnectionID) {
		return k, providers.Provider{}, misuse(cmd, "%q is not a connection ID: use 1 to 256 of A-Z a-z 0-9 . _ : @ / -", k.ConnectionID)
	}
	p, err := providerOf(cmd, k.Provider)
	return k, p, err
}

// providerOf checks the argument that names a provider.
func providerOf(cmd *cobra.Command, id string) (providers.Provider, error) {
	p, ok := providers.Find(id)
	if !ok {
		var ids []string
		for _, p := range providers.All() {
			ids = append(ids, p.ID)
		}
		return p, misuse(cmd, "there is no provider %q: there are %s", id, strings.Join(ids, ", "))
	}
	return p, nil
}
