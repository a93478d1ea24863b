package main

import (
	"io"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/canary"
)

func TestTheOutputOfTestsIsSearched(t *testing.T) {
	const good = "=== RUN   TestA\n=== ATTR  TestA searched 2 lines, 30 bytes\n--- PASS: TestA (0.00s)\n=== ATTR  TestB searched 1 lines, 12 bytes\n    --- PASS: TestB/b (0.00s)\n"
	s, err := search(strings.NewReader(good), io.Discard)
	if err != nil || s.Passed != 2 || s.Logs != 2 || s.LogLines != 3 || s.LogBytes != 42 || s.Lines != 6 {
		t.Errorf("search = %+v, %v", s, err)
	}
	for name, text := range map[string]string{
		"a secret": good + "panic: token " + canary.Marker + "-1\n", "a secret in hex": good + "63346E617279\n", "a failed test": good + "--- FAIL: TestC (0.00s)\n",
		"a package that fails": good + "FAIL\texample.com/x\t0.1s\n", "nothing": "", "no logs": "--- PASS: TestA (0.00s)\n",
	} {
		if _, err := search(strings.NewReader(text), io.Discard); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
