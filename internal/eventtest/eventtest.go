// Package eventtest reads the Lambda events in the folder events/ for tests, and
// knows the headers of every answer to them.
//
// An event is what AWS sends, whole, so that `sam local invoke -e` takes it
// too. What cannot be known beforehand stands in it as a placeholder, such as
// ${ticket}; the test says what it is. To add an event, add its file and a test
// that reads it by its name: a test in internal/rules fails for a file that no
// test names.
package eventtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

var placeholder = regexp.MustCompile(`\$\{([a-z_]+)\}`)

// Read returns the event called name, such as "callback.json", with each
// placeholder ${x} replaced by replace["x"], escaped as in a JSON string. A
// placeholder without a value fails the test, and so does a value without a
// placeholder.
func Read(t testing.TB, name string, replace map[string]string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root(t), "events", filepath.Base(name)))
	if err != nil {
		t.Fatalf("read event: %v", err)
	}
	used := map[string]bool{}
	event := placeholder.ReplaceAllFunc(raw, func(match []byte) []byte {
		key := string(placeholder.FindSubmatch(match)[1])
		value, ok := replace[key]
		if !ok {
			t.Fatalf("event %s has the placeholder ${%s}, which the test does not replace", name, key)
		}
		used[key] = true
		quoted, _ := json.Marshal(value) // a string always marshals
		return quoted[1 : len(quoted)-1]
	})
	for key := range replace {
		if !used[key] {
			t.Fatalf("event %s has no placeholder ${%s}", name, key)
		}
	}
	return event
}

// root returns the folder of the repository: the one with go.mod at or above
// the folder in which the test runs.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("find repository: %v", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("find repository: there is no go.mod above this folder")
		}
		dir = parent
	}
}
