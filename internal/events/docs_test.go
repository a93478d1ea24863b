package events

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/evergrant/evergrant/internal/tooltest"
)

// blocks returns the code blocks in a language of docs/events.md.
func blocks(t *testing.T, language string) (list []string) {
	t.Helper()
	b, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(b), -1) {
		list = append(list, m[1])
	}
	return list
}

// Each kind has one example, which its schema takes.
func TestTheDocumentShowsEachEventAsItIs(t *testing.T) {
	schema, known := latest(t).kinds, latest(t).fields
	shown := map[Kind]int{}
	for _, example := range blocks(t, "json") {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(example))
		if err != nil {
			t.Fatalf("%v: %s", err, example)
		}
		var event struct {
			Kind   Kind           `json:"detail-type"`
			Detail map[string]any `json:"detail"`
		}
		if err := json.Unmarshal([]byte(example), &event); err != nil || schema[event.Kind] == nil {
			t.Fatalf("%v: %s", err, example)
		}
		shown[event.Kind]++
		if err := schema[event.Kind].Validate(document); err != nil {
			t.Errorf("%s: %v", event.Kind, err)
		}
		for name := range event.Detail {
			if !known[name] {
				t.Errorf("%s has %s, which no event has", event.Kind, name)
			}
		}
	}
	for _, k := range allKinds {
		if shown[k] != 1 {
			t.Errorf("%d examples of %s", shown[k], k)
		}
	}
}

func TestTheExampleRulesAreATemplate(t *testing.T) {
	rules := blocks(t, "yaml")
	if len(rules) != 1 {
		t.Fatalf("%d templates", len(rules))
	}
	for _, word := range regexp.MustCompile(`detail-type: \[([^\]]+)\]`).FindAllStringSubmatch(rules[0], -1) {
		for kind := range strings.SplitSeq(word[1], ", ") {
			if !slices.Contains(allKinds, Kind(kind)) {
				t.Errorf("a rule waits for %q, which nobody publishes", kind)
			}
		}
	}
	if n := strings.Count(rules[0], "EventPattern:"); n == 0 || n != strings.Count(rules[0], "resources: [!Ref ConnectionsTableArn]") {
		t.Errorf("one of the %d rules hears other stacks too", n)
	}
	known := latest(t).fields
	for _, path := range regexp.MustCompile(`\$\.detail\.([a-z_.]+)`).FindAllStringSubmatch(rules[0], -1) {
		if !known[path[1]] {
			t.Errorf("a rule shows detail.%s, which no event has", path[1])
		}
	}
	lint := tooltest.Installed(t, "../../.tools/venv/bin/cfn-lint")
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte(rules[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), lint, "--include-checks", "I", "--template", path).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
