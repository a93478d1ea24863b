package main

import "github.com/spf13/cobra"

// newHelp returns the command help. Cobra's own prints the whole help, and calls
// that done, where there is no such command.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return misuse(cmd, "help takes at most one argument, COMMAND, not %d", len(args))
			}
			of, _, err := root.Find(args)
			if err != nil || of == root && len(args) > 0 {
				return unknown(root, args[0])
			}
			of.InitDefaultHelpFlag()
			return of.Help()
		},
	}
}

// unknown returns the usageError for a command that there is not.
func unknown(root *cobra.Command, name string) error {
	if near := root.SuggestionsFor(name); len(near) > 0 {
		return misuse(root, "there is no command %q: did you mean %s?", name, near[0])
	}
	return misuse(root, "there is no command %q", name)
}
