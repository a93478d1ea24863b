package mutate

import (
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestWithout(t *testing.T) {
	for condition, want := range map[string][]Variant{
		"a = :a":          {{"", "a = :a"}},
		"a = :a AND f(b)": {{"", "a = :a AND f(b)"}, {"f(b)", "a = :a"}, {"a = :a", "f(b)"}},
		"a OR b AND c": {
			{"", "a OR b AND c"}, {"b AND c", "a"}, {"a", "b AND c"}, {"a OR (c)", "b"}, {"a OR (b)", "c"},
		},
		"x AND (f(a, b) OR NOT (c AND d))": {
			{"", "x AND (f(a, b) OR NOT (c AND d))"}, {"(f(a, b) OR NOT (c AND d))", "x"}, {"x", "(f(a, b) OR NOT (c AND d))"},
			{"x AND (NOT (c AND d))", "f(a, b)"}, {"x AND (f(a, b))", "NOT (c AND d)"},
		},
		"(a AND b) OR (c AND d)": {
			{"", "(a AND b) OR (c AND d)"}, {"(c AND d)", "(a AND b)"}, {"(b) OR (c AND d)", "a"}, {"(a) OR (c AND d)", "b"},
			{"(a AND b)", "(c AND d)"}, {"(a AND b) OR (d)", "c"}, {"(a AND b) OR (c)", "d"},
		},
	} {
		got := Without(condition)
		order := func(a, b Variant) int { return strings.Compare(a.Condition, b.Condition) }
		slices.SortFunc(got, order)
		slices.SortFunc(want, order)
		if !slices.Equal(got, want) {
			t.Errorf("Without(%s) =\n%q, want\n%q", condition, got, want)
		}
	}
}

func TestOnlyTheValuesThatAreUsedAreSent(t *testing.T) {
	values := map[string]int{":now": 1, ":no": 2, ":until": 3}
	if got := used(values, "lease_until <= :now SET lease_until = :until"); !maps.Equal(got, map[string]int{":now": 1, ":until": 3}) {
		t.Errorf("used = %v", got)
	}
	if got := used(values, " REMOVE lease_id"); got != nil {
		t.Errorf("used = %v, want none: DynamoDB refuses an empty map", got)
	}
}

const sample = `package sample

func read() error {
	if ready && !asleep {
		return other // it refuses nothing
	}
	return nil
}

func write() error {
	wanted := due && (early || late)
	changed(func() error {
		if !wanted || held() {
			return ErrConflict
		}
		switch {
		case mine &&
			done && known:
			return nil
		}
		return nil
	})
	return nil
}
`

func TestSource(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "write.go")
	if err := os.WriteFile(path, []byte(sample), 0o600); err != nil {
		t.Fatal(err)
	}
	mutants, overlay, err := Source(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i, m := range mutants {
		names = append(names, m.Name)
		if m.Number != i+1 {
			t.Errorf("mutant %d has the number %d", i+1, m.Number)
		}
	}
	want := []string{
		"write: due && (early || late)",
		"write: due && (early || late) without due",
		"write: due && (early || late) without (early || late)",
		"write: due && (early || late) without early",
		"write: due && (early || late) without late",
		"write: !wanted || held()",
		"write: !wanted || held() without !wanted",
		"write: !wanted || held() without held()",
		"write: mine && done && known",
		"write: mine && done && known without mine",
		"write: mine && done && known without done",
		"write: mine && done && known without known",
	}
	if !slices.Equal(names, want) {
		t.Errorf("mutants are\n%s\nwant\n%s", strings.Join(names, "\n"), strings.Join(want, "\n"))
	}
	for _, line := range []string{
		`wanted := (mutantOfThis == "1" || ((mutantOfThis == "2" || (due)) && (mutantOfThis == "3" || (((mutantOfThis != "4" && (early)) || (mutantOfThis != "5" && (late)))))))`,
		`if (mutantOfThis != "6" && ((mutantOfThis != "7" && (!wanted)) || (mutantOfThis != "8" && (held())))) {`,
		`case (mutantOfThis == "9" || ((mutantOfThis == "10" || (mine)) && (mutantOfThis == "11" || (done)) && (mutantOfThis == "12" || (known)))):`,
	} {
		if !strings.Contains(overlay[path], line) {
			t.Errorf("the overlay lacks %s:\n%s", line, overlay[path])
		}
	}
	for path, text := range overlay {
		if _, err := parser.ParseFile(token.NewFileSet(), path, text, 0); err != nil {
			t.Errorf("the overlay is no Go: %v", err)
		}
	}
}
