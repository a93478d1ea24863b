// Command cmd plays scenarios of package capacity in virtual time and prints
// what became of them. Without flags it plays those of `make simulate`.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/evergrant/evergrant/internal/capacity"
)

func main() {
	switch err := run(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	scenarios, err := capacity.Parse(args, os.Stderr)
	if err != nil {
		return err
	}
	var table capacity.Table
	for _, s := range scenarios {
		fmt.Fprintln(os.Stderr, "playing", s.Name)
		r, err := capacity.Simulate(s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		table = append(table, r)
	}
	_, err = table.WriteTo(os.Stdout)
	return err
}
