package rules

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is the repository, seen from here.
const root = "../.."

// Every file in events/ is a JSON document that some test reads by its name.
func TestEveryEventIsUsed(t *testing.T) {
	var tests strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		tests.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
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
		if !strings.Contains(tests.String(), `"`+name+`"`) {
			t.Errorf("events/%s is used by no test", name)
		}
	}
}
