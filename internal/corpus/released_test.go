package corpus

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// sums is the file of sums. At the root of the repository, sha256sum -c reads it.
const sums = "testdata/SHA256SUMS"

// advice is what to do about a file that is not what it was.
const advice = `what was released never changes: take that back, and make the next one beside it (internal/corpus/testdata/N.json, events/schemas/N/).
Before the first release, while there is no tag, a line of internal/corpus/` + sums + ` may be removed and made anew: CORPUS=sums go test ./internal/corpus`

// frozen returns the sums of all formats and schemas by their path.
func frozen(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"internal/corpus/testdata/*.json", "events/schemas/*/*"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			path, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			found[filepath.ToSlash(path)] = fmt.Sprintf("%x", sha256.Sum256(b))
		}
	}
	return found
}

// compare says where files are not what lines of the form of sha256sum have.
func compare(files map[string]string, lines string) (problems []string) {
	files = maps.Clone(files)
	for line := range strings.Lines(lines) {
		sum, path, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		switch now, ok := files[path]; {
		case !ok:
			problems = append(problems, path+" is gone")
		case now != sum:
			problems = append(problems, path+" has changed")
		}
		delete(files, path)
	}
	for path := range files {
		problems = append(problems, path+" is not listed")
	}
	slices.Sort(problems)
	return problems
}

// Other releases, and hosts with the schemas, go on with what they have.
func TestWhatWasReleasedNeverChanges(t *testing.T) {
	files := frozen(t)
	listed, err := os.ReadFile(sums)
	if err != nil && os.Getenv("CORPUS") != "sums" {
		t.Fatal(err)
	}
	if os.Getenv("CORPUS") == "sums" { // adds, and changes no line
		for _, path := range slices.Sorted(maps.Keys(files)) {
			if !bytes.Contains(listed, []byte("  "+path+"\n")) {
				listed = fmt.Appendf(listed, "%s  %s\n", files[path], path)
			}
		}
		if err := os.WriteFile(sums, listed, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, problem := range compare(files, string(listed)) {
		t.Errorf("%s: %s", problem, advice)
	}
}

func TestAChangeOfWhatWasReleasedIsFound(t *testing.T) {
	files := map[string]string{"a": "1", "b": "2"}
	tests := map[string]struct {
		lines string
		want  []string
	}{
		"the same":  {"1  a\n2  b\n", nil},
		"changed":   {"1  a\n3  b\n", []string{"b has changed"}},
		"removed":   {"1  a\n2  b\n3  c\n", []string{"c is gone"}},
		"added":     {"1  a\n", []string{"b is not listed"}},
		"two lines": {"1  a\n2  b\n1  a\n", []string{"a is gone"}},
	}
	for name, tt := range tests {
		if got := compare(files, tt.lines); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
