package lambdatest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// root is the repository, seen from the folder of a test of this package.
const root = "../.."

// Build builds the named functions, such as AuthorizeFunction, below dir with
// the Makefile's own targets, for this machine, and returns the path of each
// bootstrap. Its error holds what make printed.
func Build(ctx context.Context, dir string, functions ...string) (map[string]string, error) {
	bootstraps := map[string]string{}
	for _, function := range functions {
		out := filepath.Join(dir, function)
		if _, err := Make(ctx, "build-"+function, "ARTIFACTS_DIR="+out, "GOARCH="+runtime.GOARCH); err != nil {
			return nil, err
		}
		bootstraps[function] = filepath.Join(out, "bootstrap")
		if _, err := os.Stat(bootstraps[function]); err != nil {
			return nil, fmt.Errorf("make build-%s made no bootstrap: %w", function, err)
		}
	}
	return bootstraps, nil
}

// Make runs make in the repository, as its user would, and returns what it
// printed. A make that runs the tests does not reach this one.
func Make(ctx context.Context, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "make", arguments...) //nolint:gosec // The targets are those of the Makefile.
	cmd.Dir = root
	cmd.Env = slices.DeleteFunc(cmd.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "MAKEFLAGS" || name == "MFLAGS" || name == "MAKELEVEL" || name == "MAKEOVERRIDES"
	})
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("make %s: %w, it printed:\n%s", strings.Join(arguments, " "), err, out)
	}
	return string(out), nil
}
