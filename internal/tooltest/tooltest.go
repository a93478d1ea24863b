// Package tooltest finds what tests run besides the go command: what make tools
// installs below .tools, and what a machine brings. It installs nothing.
//
// A test whose tool is missing is skipped, so that the others need nothing but
// Go; with CI=true it fails, so that none is skipped unseen.
package tooltest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Missing ends t for want of what why names, with the way to install it.
func Missing(t testing.TB, why any) {
	t.Helper()
	if os.Getenv("CI") == "true" { //nolint:forbidigo // CI is a setting of the test run, and this package is for tests.
		t.Fatal(why)
	}
	t.Skip(why)
}

// Installed returns the absolute path of a file that make tools installs, such as
// ../../.tools/venv/bin/cfn-lint. Where it is missing, so is the rest of t.
func Installed(t testing.TB, file string) string {
	t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		Missing(t, filepath.Base(path)+" is not installed: run make tools")
	}
	return path
}

// Chromium returns the path of the browser: CHROMIUM, or chromium on the PATH.
func Chromium(t testing.TB) string {
	t.Helper()
	path := os.Getenv("CHROMIUM") //nolint:forbidigo // The same.
	if path == "" {
		path, _ = exec.LookPath("chromium")
	}
	if path == "" {
		Missing(t, "there is no Chromium: install it, or name it in CHROMIUM")
	}
	return path
}
