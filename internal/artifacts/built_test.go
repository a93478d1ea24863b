//go:build proof

package artifacts

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/tooltest"
)

// functions returns the names that the Makefile gives to the functions.
func functions(t *testing.T) []string {
	t.Helper()
	folders, err := os.ReadDir(root + "/functions")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no functions: %v", err)
	}
	var names []string
	for _, f := range folders {
		names = append(names, strings.ToUpper(f.Name()[:1])+f.Name()[1:]+"Function")
	}
	return names
}

// build builds all functions in the repository at dir as they are deployed, with
// more variables in the environment, and returns the sum of each.
func build(t *testing.T, dir string, environment ...string) map[string]string {
	t.Helper()
	out, sums := t.TempDir(), map[string]string{}
	for _, name := range functions(t) {
		cmd := exec.CommandContext(t.Context(), "make", "build-"+name, "GOARCH=arm64", "ARTIFACTS_DIR="+filepath.Join(out, name))
		cmd.Dir = dir
		cmd.Env = append(slices.DeleteFunc(cmd.Environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") || strings.HasPrefix(v, "MFLAGS") }), environment...)
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", name, err, said)
		}
		content, err := os.ReadFile(filepath.Join(out, name, "bootstrap"))
		if err != nil {
			t.Fatal(err)
		}
		sums[name] = fmt.Sprintf("%x", sha256.Sum256(content))
	}
	return sums
}

// Whoever builds a commit gets the bytes that were deployed, and SAM uploads only
// what changed.
func TestACleanBuildElsewhereIsTheSameBytes(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "a rather longer path", "than here")
	old := time.Date(2001, 9, 9, 1, 46, 40, 0, time.UTC)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || path == root+"/build") {
			return fs.SkipDir
		}
		relative, err := filepath.Rel(root, path)
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		to := filepath.Join(elsewhere, relative)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(to, content, 0o600); err != nil {
			return err
		}
		return os.Chtimes(to, old, old)
	})
	if err != nil {
		t.Fatal(err)
	}
	here := build(t, root)
	there := build(t, elsewhere, "GOCACHE="+t.TempDir(), "TZ=Pacific/Kiritimati", "LANG=C", "USER=somebody")
	for name, sum := range here {
		if there[name] != sum {
			t.Errorf("%s: SHA-256 %s here, %s elsewhere", name, sum, there[name])
		}
		t.Logf("%s  %s", sum, name)
	}
}

// The reader of the binaries here is the go command, not the package that wrote
// the list.
func TestTheBillOfMaterialsNamesExactlyWhatIsInTheBinaries(t *testing.T) {
	document, err := os.ReadFile(root + "/build/sbom.json")
	if err != nil {
		t.Fatalf("make sbom has not run: %v", err)
	}
	var b BOM
	if err := json.Unmarshal(document, &b); err != nil {
		t.Fatal(err)
	}
	components, dependencies := map[string]Component{}, map[string][]string{}
	for _, c := range b.Components {
		components[c.Ref] = c
	}
	for _, d := range b.Dependencies {
		dependencies[d.Ref] = d.DependsOn
	}
	if want := slices.Sorted(slices.Values(functions(t))); !slices.Equal(dependencies["evergrant"], want) {
		t.Errorf("it lists the functions %v, want %v", dependencies["evergrant"], want)
	}
	used := map[string]bool{"evergrant": true}
	for _, name := range dependencies["evergrant"] {
		used[name] = true
		binary := filepath.Join(root, "build", name, "bootstrap")
		content, err := os.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		if sum := fmt.Sprintf("%x", sha256.Sum256(content)); components[name].Hashes[0].Content != sum {
			t.Errorf("%s has another sum than its binary", name)
		}
		said, err := exec.CommandContext(t.Context(), "go", "version", "-m", binary).Output()
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{} // the sum of each module by path and version
		for line := range strings.Lines(string(said)) {
			if fields := strings.Fields(line); fields[0] == "dep" {
				want["pkg:golang/"+fields[1]+"@"+fields[2]] = fields[3]
			} else if strings.HasPrefix(line, binary) {
				want["pkg:golang/std@"+strings.TrimPrefix(fields[len(fields)-1], "go")] = ""
			}
		}
		if got := dependencies[name]; !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
			t.Errorf("%s is said to hold %v, it holds %v", name, got, slices.Sorted(maps.Keys(want)))
		}
		for ref, sum := range want {
			used[ref] = true
			c := components[ref]
			if sum != "" && !slices.Contains(c.Properties, Property{"go:sum", sum}) {
				t.Errorf("%s has not the sum %s", ref, sum)
			}
			for part := range strings.SplitSeq(c.Licences[0].Expression, " AND ") {
				if licences[part] == nil {
					t.Errorf("%s is under %q", ref, part)
				}
			}
		}
	}
	for ref := range components {
		if !used[ref] {
			t.Errorf("%s is in no binary", ref)
		}
	}
}

// The schema is that of OWASP CycloneDX, as the policy scan's own library has it.
func TestTheBillOfMaterialsIsValidCycloneDX(t *testing.T) {
	python := tooltest.Installed(t, root+"/.tools/checkov/bin/python")
	const script = `
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
document = open(sys.argv[1], encoding="utf-8").read()
broken = document.replace('"type": "library"', '"type": "book"', 1)
validator = JsonStrictValidator(SchemaVersion.V1_6)
assert validator.validate_str(broken), "a component of no known type is taken"
sys.exit(str(validator.validate_str(document) or "") or 0)
`
	if out, err := exec.CommandContext(t.Context(), python, "-c", script, root+"/build/sbom.json").CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
}
