//go:build proof

package deployment

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// scanned are the stacks that are written out for tools: what most people deploy,
// and each way to ask for everything.
var scanned = []string{"evergrant-prod", "everything", "everything-dev"}

// written writes the scanned stacks as CloudFormation templates, NAME.json.
func written(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	all := stacks(t)
	for _, name := range scanned {
		if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(text(t, all[name].document())), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// SAM's own schemas look at template.yaml; here the linter sees every value and
// all that SAM makes of it.
func TestTheLinterFindsNothingInTheStacks(t *testing.T) {
	dir := written(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) != len(scanned) {
		t.Fatalf("%d files: %v", len(files), err)
	}
	// I3042 asks for the partition as a parameter: render has put it in.
	arguments := append([]string{"--include-checks", "I", "--ignore-checks", "I3042", "--regions", region, "--template"}, files...)
	out, err := exec.CommandContext(t.Context(), tool(t, "sam", "cfn-lint"), arguments...).CombinedOutput()
	if err != nil || len(strings.TrimSpace(string(out))) > 0 {
		t.Errorf("%v:\n%s", err, out)
	}
}

// An exception lets one finding stay.
type exception struct {
	On      []string // logical IDs, or types of resources
	Stack   string   // the only stack in which it may be; "": in all
	Because string
}

// A finding of the policy scan.
type finding struct{ check, name, stack, kind, id string }

func TestThePolicyScanFindsOnlyWhatIsDefended(t *testing.T) {
	source, err := os.ReadFile(root + "/policy-exceptions.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var exceptions map[string]exception
	if err := yaml.UnmarshalWithOptions(source, &exceptions, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	dir := written(t)
	edge, err := os.ReadFile(root + "/docs/edge.yaml") // the overlay in front of the API
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "edge.yaml"), edge, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range scan(t, dir) {
		e, ok := exceptions[f.check]
		on := slices.IndexFunc(e.On, func(on string) bool { return on == f.kind || on == f.id })
		if !ok || on < 0 || e.Stack != "" && e.Stack != f.stack {
			t.Errorf("%s: %s %s: %s. Mend it, or defend it in policy-exceptions.yaml", f.stack, f.id, f.check, f.name)
			continue
		}
		used[f.check+" "+e.On[on]] = true
	}
	for check, e := range exceptions {
		if len(e.Because) < 60 || !strings.HasSuffix(strings.TrimSpace(e.Because), ".") {
			t.Errorf("%s has no reason", check)
		}
		for _, on := range e.On {
			if !used[check+" "+on] {
				t.Errorf("%s is found on no %s any more: remove the exception", check, on)
			}
		}
	}
}

// scan runs checkov, which asks nobody, on the templates in dir.
func scan(t *testing.T, dir string) []finding {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool(t, "checkov", "checkov"), "--framework", "cloudformation", "--directory", dir,
		"--output", "json", "--compact", "--quiet", "--soft-fail", "--skip-download")
	cmd.Env = append(cmd.Environ(), "LOG_LEVEL=ERROR")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("checkov: %v\n%s", err, out)
	}
	var report struct {
		Results struct {
			Failed []struct {
				Check    string `json:"check_id"`
				Name     string `json:"check_name"`
				File     string `json:"file_path"`
				Resource string `json:"resource"`
			} `json:"failed_checks"`
			Unread []string `json:"parsing_errors"`
		} `json:"results"`
		Summary struct {
			Passed    int `json:"passed"`
			Resources int `json:"resource_count"`
		} `json:"summary"`
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("checkov answers %.200s: %v", out, err)
	}
	if report.Summary.Passed < 100 || report.Summary.Resources < 100 || len(report.Results.Unread) > 0 {
		t.Errorf("checkov has read %d resources, %d checks passed, %v not read", report.Summary.Resources, report.Summary.Passed, report.Results.Unread)
	}
	var found []finding
	for _, f := range report.Results.Failed {
		kind, id, _ := strings.Cut(f.Resource, ".")
		found = append(found, finding{f.Check, f.Name, strings.TrimSuffix(filepath.Base(f.File), filepath.Ext(f.File)), kind, id})
	}
	slices.SortFunc(found, func(a, b finding) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return found
}
