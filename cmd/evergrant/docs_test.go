package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Each command of ours that a person copies is one, and takes the flags that stand
// there.
func TestTheDocumentsNameCommandsAndFlagsThatThereAre(t *testing.T) {
	code := regexp.MustCompile("(?:`|\\n *|\\| *)evergrant ([a-z][^`|\\n]*)")
	commands := 0
	for _, page := range []string{"../../README.md", "../../docs/operations.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range code.FindAllStringSubmatch(string(text), -1) {
			commands++
			cmd, rest, err := newRoot(tool{}).Find(strings.Fields(m[1]))
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if err != nil || !cmd.HasParent() {
				t.Errorf("%s: `evergrant %s` does not run: %v", page, m[1], err)
			}
		}
	}
	if commands < 20 {
		t.Errorf("%d commands were found", commands)
	}
}
