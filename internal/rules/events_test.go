package rules

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every file in events/ is a JSON document that some test reads by its name.
func TestEveryEventIsUsed(t *testing.T) {
	sources := testSources(t)
	files, err := filepath.Glob(filepath.Join(root, "events", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no events: %v", err)
	}
	for _, f := range files {
		name := filepath.Base(f)
		if name == "schemas" {
			continue // of what the host gets: TestChanges compiles each
		}
		b, err := os.ReadFile(f)
		if err != nil || !strings.HasSuffix(name, ".json") || !json.Valid(b) {
			t.Errorf("events/%s is not a JSON document: %v", name, err)
		}
		if !strings.Contains(sources, `"`+name+`"`) {
			t.Errorf("events/%s is used by no test", name)
		}
	}
}
