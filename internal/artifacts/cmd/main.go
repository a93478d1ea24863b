// Command cmd writes the software bill of materials of the built functions; `make
// sbom` runs it. Its arguments are the file to write and the bootstraps, each in a
// folder that is named like its function, such as build/AuthorizeFunction/bootstrap.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/evergrant/evergrant/internal/artifacts"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run writes the BOM of the bootstraps in arguments[1:] to arguments[0].
func run(ctx context.Context, arguments []string) error {
	if len(arguments) < 2 {
		return errors.New("say the file to write and the bootstraps")
	}
	bootstraps := map[string]string{}
	for _, path := range arguments[1:] {
		bootstraps[filepath.Base(filepath.Dir(path))] = path
	}
	licences, err := artifacts.Licences(ctx, ".", "./functions/...")
	if err != nil {
		return err
	}
	bom, err := artifacts.Make(bootstraps, licences)
	if err != nil {
		return err
	}
	return bom.Write(arguments[0])
}
