package rules

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each test that the documents name exists, so that no line of the failure
// table rests on nothing.
func TestTheDocumentsNameTestsThatExist(t *testing.T) {
	sources := testSources(t)
	documents, _ := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	documents = append(documents, filepath.Join(root, "README.md"))
	named := 0
	for _, d := range documents {
		b, err := os.ReadFile(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(b), -1) {
			named++
			if !strings.Contains(sources, "func "+name+"(") {
				t.Errorf("%s names %s, which does not exist", filepath.Base(d), name)
			}
		}
	}
	if named < 10 {
		t.Errorf("only %d tests are named", named)
	}
}
