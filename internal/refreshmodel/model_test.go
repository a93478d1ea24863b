package refreshmodel

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/tooltest"
)

//go:embed refresh.pml
var model string

//go:embed doc.go
var doc string

// protocol is all of the rules.
var protocol = []string{"BOUND", "FENCE", "SPILL"}

// attempts is how many attempts each worker makes in the search for an error
// of the whole protocol: 1, which is quick, or MODEL_ATTEMPTS.
func attempts(t *testing.T) int {
	t.Helper()
	s := os.Getenv("MODEL_ATTEMPTS")
	if s == "" {
		return 1
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("MODEL_ATTEMPTS=%s: want a number from 1 on", s)
	}
	return n
}

// fewest is how many states a search must see, by attempts. The model has
// 141,952 and 16,622,154; far fewer would mean that it has lost most of what can
// happen, and proves nothing.
var fewest = map[int]float64{1: 100_000, 2: 10_000_000}

func TestTheProtocolLosesNoGrant(t *testing.T) {
	requireTools(t)
	t.Parallel()
	n := attempts(t)
	r := verify(t, "-O2", n, protocol)
	t.Logf("attempts of each worker: %d; states: %.0f; longest run: %d steps; errors: %d", n, r.states, r.depth, r.errors)
	if r.errors != 0 {
		t.Fatalf("%s\n%s", r.violated, r.counterExample(t))
	}
	if !r.complete {
		t.Fatalf("the search was cut short:\n%s", r.out)
	}
	if r.states < fewest[min(n, 2)] {
		t.Errorf("%.0f states, want at least %.0f: the model has become too small to prove anything", r.states, fewest[min(n, 2)])
	}
	// Of the provider, some lines are for LATE alone.
	for _, process := range []string{"Worker", "Callback", "init"} {
		if lines, ok := r.unreached[process]; !ok || lines != 0 {
			t.Errorf("%s: %d statements that no run reaches (listed: %t), want 0", process, lines, ok)
		}
	}
}

// A spill that comes later than anybody waits for it, and the search of the
// sweep, harm nothing: what they bring is never older than what is stored.
func TestWhatComesLateOverwritesNothing(t *testing.T) {
	requireTools(t)
	if attempts(t) == 1 {
		t.Skip("with MODEL_ATTEMPTS=2, as `make model` says")
	}
	t.Parallel()
	r := verify(t, "-O2", 1, append(slices.Clone(protocol), "SEARCH"))
	t.Logf("states: %.0f; longest run: %d steps; errors: %d", r.states, r.depth, r.errors)
	if r.errors != 0 {
		t.Fatalf("%s\n%s", r.violated, r.counterExample(t))
	}
	if !r.complete || r.states < 1_000_000 {
		t.Errorf("%.0f states, complete: %v; want a million at least", r.states, r.complete)
	}
	for _, process := range []string{"Worker", "Medium", "Search"} {
		if lines, ok := r.unreached[process]; !ok || lines != 0 {
			t.Errorf("%s: %d statements that no run reaches (listed: %t), want 0", process, lines, ok)
		}
	}
}

// Each rule is needed and each mistake is found: otherwise the search above
// would prove nothing.
func TestWithoutARuleAGrantIsLost(t *testing.T) {
	requireTools(t)
	tests := []struct {
		name     string
		flags    []string
		violated string // what the assertion is about
	}{
		{"a lease that runs out while its holder lives", []string{"FENCE", "SPILL"}, "lost[row_grant]"},                        // P4
		{"a write that is not conditional on the fence", []string{"BOUND", "SPILL"}, ">=row_token"},                            // P2
		{"no second store", []string{"BOUND", "FENCE"}, "row_stored_fence==fence"},                                             // P3
		{"a provider that works on after the lease", append(slices.Clone(protocol), "LATE"), "lost[sent_grant"},                // P1
		{"a refresh token read after the claim", append(slices.Clone(protocol), "SPLITREAD"), "lost[row_grant]"},               // P4
		{"a lease released before recovery", append(slices.Clone(protocol), "EARLYRELEASE"), "lost[row_grant]"},                // P4
		{"a search that stores whatever became of the row", append(slices.Clone(protocol), "SEARCH", "UNFENCED"), "row_grant"}, // P2
		{"a send while the spill cannot be read", append(slices.Clone(protocol), "BLIND"), "lost[sent_grant"},                  // P1
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := verify(t, "-O0", 1, tt.flags) // a search that ends early is not worth optimising
			t.Logf("%v: counter-example after %.0f states: %s", tt.flags, r.states, r.violated)
			if r.errors == 0 {
				t.Fatalf("no counter-example in %.0f states", r.states)
			}
			if !strings.Contains(r.violated, tt.violated) {
				t.Errorf("violated is %q, want an assertion about %s", r.violated, tt.violated)
			}
		})
	}
}

// A report is what the search says.
type report struct {
	dir       string
	flags     []string
	out       string
	states    float64
	depth     int
	errors    int
	violated  string         // the assertion; "" where there is none
	complete  bool           // every state that can be reached was seen
	unreached map[string]int // statements, by process
}

// verify searches the model, built with flags, for states that violate a
// property.
func verify(t *testing.T, optimise string, attempts int, flags []string) report {
	t.Helper()
	r := report{dir: t.TempDir(), flags: []string{fmt.Sprintf("-DNATT=%d", attempts)}}
	for _, f := range flags {
		r.flags = append(r.flags, "-D"+f)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "refresh.pml"), []byte(model), 0o600); err != nil {
		t.Fatal(err)
	}
	r.run(t, "spin", slices.Concat([]string{"-a"}, r.flags, []string{"refresh.pml"})...)
	r.run(t, "cc", optimise, "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c")
	r.out = r.run(t, "./pan", "-m400000")
	r.parse(t)
	return r
}

// requireTools ends t where spin or a C compiler is missing.
func requireTools(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"spin", "cc"} {
		if _, err := exec.LookPath(tool); err != nil {
			tooltest.Missing(t, "no "+tool+" to check the model of the refresh with: apt-get install spin gcc")
		}
	}
}

func (r *report) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = r.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

var (
	summary   = regexp.MustCompile(`depth reached (\d+), errors: (\d+)\s+([0-9.e+]+) states, stored`)
	violation = regexp.MustCompile(`(?m)^pan:\d+: (.*) \(at depth`)
	unreached = regexp.MustCompile(`(?m)^unreached in (?:proctype )?(\w+)\n(?:\t.*\n)*?\t\((\d+) of \d+ states\)`)
)

// parse reads what pan has printed; its exit status tells nothing.
func (r *report) parse(t *testing.T) {
	t.Helper()
	m := summary.FindStringSubmatch(r.out)
	if m == nil {
		t.Fatalf("pan printed no summary:\n%s", r.out)
	}
	r.depth, _ = strconv.Atoi(m[1])
	r.errors, _ = strconv.Atoi(m[2])
	r.states, _ = strconv.ParseFloat(m[3], 64)
	if m := violation.FindStringSubmatch(r.out); m != nil {
		r.violated = m[1]
	}
	r.complete = true
	for _, s := range []string{"not completed", "too small", "out of memory", "interrupted"} {
		r.complete = r.complete && !strings.Contains(r.out, s)
	}
	r.unreached = map[string]int{}
	for _, m := range unreached.FindAllStringSubmatch(r.out, -1) {
		r.unreached[m[1]], _ = strconv.Atoi(m[2])
	}
}

// counterExample returns the steps that lead to the error.
func (r *report) counterExample(t *testing.T) string {
	t.Helper()
	return r.run(t, "spin", slices.Concat([]string{"-t", "-p", "-g"}, r.flags, []string{"refresh.pml"})...)
}

// The table in the package comment ties each step of the model to code. It
// names each label once, and only methods that there are.
func TestEachStepOfTheModelIsAMethod(t *testing.T) {
	var want []string
	worker, _, _ := strings.Cut(model[strings.Index(model, "proctype Worker"):], "proctype Provider")
	for _, m := range regexp.MustCompile(`(?m)^(\w+):`).FindAllStringSubmatch(worker, -1) {
		want = append(want, m[1])
	}
	methods := refreshMethods(t)
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^//\t(\w+) +(\S.*)$`).FindAllStringSubmatch(doc, -1) {
		if m[1] == "label" {
			continue
		}
		got = append(got, m[1])
		for _, name := range regexp.MustCompile(`\b[A-Z]\w+\.\w+`).FindAllString(m[2], -1) {
			if !methods[name] {
				t.Errorf("%s: internal/refresh has no %s", m[1], name)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("steps of the table in doc.go %q, labels in refresh.pml %q", got, want)
	}
}

// refreshMethods returns the methods of internal/refresh, of interfaces too, as
// Type.Method.
func refreshMethods(t *testing.T) map[string]bool {
	t.Helper()
	methods := map[string]bool{}
	files, err := filepath.Glob("../refresh/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("files of internal/refresh: %q, %v", files, err)
	}
	for _, path := range files {
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			maps.Copy(methods, methodsOf(n))
			return true
		})
	}
	return methods
}

// methodsOf returns the methods that a node declares.
func methodsOf(n ast.Node) map[string]bool {
	methods := map[string]bool{}
	switch n := n.(type) {
	case *ast.FuncDecl:
		if n.Recv == nil {
			break
		}
		typ := n.Recv.List[0].Type
		if star, ok := typ.(*ast.StarExpr); ok {
			typ = star.X
		}
		if id, ok := typ.(*ast.Ident); ok {
			methods[id.Name+"."+n.Name.Name] = true
		}
	case *ast.TypeSpec:
		iface, ok := n.Type.(*ast.InterfaceType)
		if !ok {
			break
		}
		for _, m := range iface.Methods.List {
			for _, name := range m.Names {
				methods[n.Name.Name+"."+name.Name] = true
			}
		}
	}
	return methods
}
