// Command cmd draws the pictures of the README from template.yaml; `make docs` runs
// it in the folder of the repository.
package main

import (
	"fmt"
	"os"

	"github.com/evergrant/evergrant/internal/architecture"
)

func main() {
	d, err := architecture.Read("template.yaml")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for path, theme := range architecture.Pictures {
		if err := os.WriteFile(path, []byte(d.SVG(theme)), 0o644); err != nil { //nolint:gosec // Documents may be read by everybody.
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
