// Command cmd plays scenarios of package capacity in virtual time and prints
// what became of them. Without flags it plays those of `make simulate`.
//
// With the one argument cost it plays nothing, but makes the tables of docs/cost.md
// anew, in the folder of the repository.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"

	"github.com/evergrant/evergrant/internal/capacity"
)

func main() {
	do := run
	if slices.Equal(os.Args[1:], []string{"cost"}) {
		do = cost
	}
	switch err := do(os.Args[1:]); {
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

// cost makes the tables of the cost page.
func cost([]string) error {
	const path = "docs/cost.md"
	prices, err := capacity.ReadPrices()
	if err != nil {
		return err
	}
	templates, err := capacity.ReadTemplates(".")
	if err != nil {
		return err
	}
	page, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	if page, err = capacity.CostPage(page, templates, prices); err != nil {
		return err
	}
	return os.WriteFile(path, page, 0o644) //nolint:gosec // Documents may be read by everybody.
}
