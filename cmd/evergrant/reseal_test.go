package main

import (
	"fmt"
	"strings"
	"testing"
)

// reseals is a control plane of two pages that answers with the counts of each
// pass, the last one for ever.
func reseals(passes ...string) func(map[string]any) (string, string) {
	pass := 0
	return func(input map[string]any) (string, string) {
		if input["cursor"] == nil {
			return "", `{"reseal":{"key":"k2","current":4},"cursor":"p2"}`
		}
		counts := passes[min(pass, len(passes)-1)]
		pass++
		return "", fmt.Sprintf(`{"reseal":{"key":"k2",%s}}`, counts)
	}
}

func TestResealGoesOnUntilAPassFindsNothing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		passes []string
		code   int
		says   string
		calls  int
	}{
		{"nothing to do", []string{`"current":1`}, exitOK, "All 5 refresh tokens are sealed under k2; 0 of them were not before.\n", 2},
		{"two, and one that a refresh changed", []string{`"resealed":2,"changed":1`, `"current":2,"resealed":1`, `"current":3`}, exitOK, "All 7 refresh tokens are sealed under k2; 3 of them were not before.\n", 6},
		{"refreshes under way, one of which puts an old one back", []string{`"current":2,"under_way":2`, `"current":1,"resealed":1,"under_way":1`, `"current":2,"under_way":1`, `"current":2,"under_way":1`}, exitOK, "All 6 refresh tokens are sealed under k2; 1 of them were not before.\n", 8},
		{"one that no key opens", []string{`"resealed":2,"unreadable":1`, `"current":2,"unreadable":1`}, exitFailure, "1 refresh tokens cannot be opened with any key of the ring", 4},
		{"a function that knows an older ring", []string{`"resealed":1`}, exitFailure, "wait six minutes", 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t, &cloud{answer: reseals(tt.passes...)})
			got := evergrant(t, "reseal", "--wait", "0s", "--function", "f")
			if got.code != tt.code || !strings.Contains(got.stdout+got.err, tt.says) || len(c.inputs) != tt.calls {
				t.Errorf("%+v after %d calls", got, len(c.inputs))
			}
		})
	}
	newCloud(t, &cloud{answer: reseals(`"resealed":2`, `"current":2`)})
	if got := evergrant(t, "reseal", "--json", "--function", "f"); got.code != exitOK || !strings.Contains(got.stdout, `"resealed": 2`) {
		t.Errorf("as JSON: %+v", got)
	}
	newCloud(t, &cloud{answer: func(map[string]any) (string, string) { return "", `{"connections":[]}` }})
	if got := evergrant(t, "reseal", "--wait", "0s", "--function", "f"); got.code != exitFailure || !strings.Contains(got.err, "older than this command") {
		t.Errorf("an older stack: %+v", got)
	}
}

func TestResealInLocalMode(t *testing.T) {
	at, _ := localModeWith(t, "a", "b")
	if got := evergrant(t, "reseal", "--url", at); got.code != exitOK || got.stdout != "All 0 refresh tokens are sealed under k1; 0 of them were not before.\n" {
		t.Errorf("%+v", got)
	}
}
