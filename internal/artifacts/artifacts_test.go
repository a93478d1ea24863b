package artifacts

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the repository, seen from here.
const root = "../.."

func TestEveryModuleOfTheFunctionsHasALicenceThatMayBeDeployed(t *testing.T) {
	found, err := Licences(t.Context(), root, "./functions/...")
	if err != nil {
		t.Fatal(err)
	}
	for module, want := range map[string]string{
		"std": "BSD-3-Clause", "github.com/golang-jwt/jwt/v5": "MIT", "github.com/aws/aws-lambda-go": "Apache-2.0 AND MIT-0",
		"github.com/aws/smithy-go": "Apache-2.0 AND BSD-3-Clause", // its singleflight is Go's
	} {
		if found[module] != want {
			t.Errorf("%s is under %q, want %q", module, found[module], want)
		}
	}
	if len(found) < 8 {
		t.Errorf("only %d modules found: %v", len(found), found)
	}
}

func TestALicenceThatNobodyHasReadIsAnError(t *testing.T) {
	tests := map[string]struct{ name, text, want string }{
		"another licence":        {"LICENSE", "GNU AFFERO GENERAL PUBLIC LICENSE Version 3", "LICENSE is no licence of which"},
		"half a known one":       {"COPYING", "Neither the name of the copyright holder", "COPYING is no licence of which"},
		"MIT without its end":    {"LICENCE.md", granted, "LICENCE.md is no licence of which"},
		"none":                   {"README.md", "MIT", "it has none"},
		"only that there is one": {"LICENSE-SUMMARY", "MIT", "it has none"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, tt.name), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := above(dir, dir); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v and error %v, want one with %q", got, err, tt.want)
			}
		})
	}
}

func TestCodeOfOthersInAModuleCountsAsWell(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "internal", "x")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(top, "LICENSE.txt"): "Apache License\n   Version 2.0, January 2004",
		filepath.Join(dir, "LICENSE"):     strings.Join(licences["BSD-3-Clause"], "\n"),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := above(dir, top)
	if err != nil {
		t.Fatal(err)
	}
	if e := joined(map[string][]string{"m": append(got, got...)})["m"]; e != "Apache-2.0 AND BSD-3-Clause" {
		t.Errorf("the module is under %q", e)
	}
}

// The binary of this test is as good as a bootstrap.
func TestABillOfMaterialsIsTheSameEachTime(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bootstraps := map[string]string{"BFunction": binary, "AFunction": binary}
	known := map[string]string{"std": "BSD-3-Clause"}
	first, err := Make(bootstraps, known)
	if err != nil {
		t.Fatal(err)
	}
	a, b := filepath.Join(t.TempDir(), "new", "a.json"), filepath.Join(t.TempDir(), "b.json")
	second, err := Make(bootstraps, known)
	if err != nil {
		t.Fatal(err)
	}
	for path, bom := range map[string]BOM{a: first, b: second} {
		if err := bom.Write(path); err != nil {
			t.Fatal(err)
		}
	}
	one, err1 := os.ReadFile(a)
	other, err2 := os.ReadFile(b)
	if err1 != nil || err2 != nil || string(one) != string(other) {
		t.Errorf("two documents of one binary differ: %v, %v", err1, err2)
	}
	if refs := first.Dependencies[0].DependsOn; !slices.Equal(refs, []string{"AFunction", "BFunction"}) {
		t.Errorf("the bundle is %v", refs)
	}
	var read BOM
	if err := json.Unmarshal(one, &read); err != nil || len(read.Components) != 3 || read.Components[0].Hashes[0].Algorithm != "SHA-256" {
		t.Errorf("read back as %+v: %v", read, err)
	}
	if _, err := Make(bootstraps, nil); err == nil || !strings.Contains(err.Error(), "std has no licence") {
		t.Errorf("a module without a licence: %v", err)
	}
	if _, err := Make(map[string]string{"CFunction": a}, known); err == nil || !strings.Contains(err.Error(), "CFunction") {
		t.Errorf("a file that is no binary: %v", err)
	}
}
