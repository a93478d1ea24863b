package rules

import (
	"go/ast"
	"testing"
)

// unsearched are the tests whose loggers are not of package canary, and why.
var unsearched = map[string]string{
	"internal/canary/canary_test.go":         "they are what is tested",
	"internal/battery/memory_test.go":        "the battery searches the log of every target itself",
	"internal/flowtest/fuzz_test.go":         "one logger serves every input, and each is searched as it ends",
	"internal/refresh/faults_test.go":        "each of many thousand workers has one, and its lines are searched as they come",
	"internal/refresh/cpu_test.go":           "it measures a function at the level of a deployment",
	"internal/capacity/model_test.go":        "a million connections in virtual time, whose tokens are words",
	"internal/oauth/secret_test.go":          "it looks at every way to print one value",
	"internal/connection/connection_test.go": "it looks at every way to print one value",
	"pkg/tokens/tokens_test.go":              "it looks at every way to print one value",
	"internal/web/answer_test.go":            "it looks at the one line of a panic",
	"internal/doctor/world_test.go":          "authorize's own tests search its log; here the findings are searched",
	"cmd/evergrant/rescue_test.go":           "it writes the lines that evergrant rescue reads",
}

// Whatever a test runs logs through canary.Log, which prints every level and
// searches it for secrets; or onward to such a logger.
func TestEveryLoggerOfATestIsSearched(t *testing.T) {
	used, searched := map[string]bool{}, 0
	for _, name := range goFiles(t, true) {
		fset, f := parse(t, name)
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if isSelector(n.Fun, "canary", "Log") {
					searched++
				}
				if isSelector(n.Fun, "slog", "New") && !onward(n.Args[0]) {
					used[name] = true
					if unsearched[name] == "" {
						t.Errorf("%s: use canary.Log, or say in this test why not", fset.Position(n.Pos()))
					}
				}
			case *ast.SelectorExpr:
				if isSelector(n, "slog", "Default") || isSelector(n, "slog", "SetDefault") {
					t.Errorf("%s: a test has a logger of its own: use canary.Log", fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
	if searched < 15 {
		t.Fatalf("%d loggers are searched", searched)
	}
	for name := range unsearched {
		if !used[name] {
			t.Errorf("%s makes no logger: take it off the list", name)
		}
	}
}

func isSelector(e ast.Expr, pkg, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg
}

// onward reports whether a handler is slog.NewMultiHandler(l.Handler(), …): what
// it takes goes to a logger that is searched.
func onward(handler ast.Expr) bool {
	call, ok := handler.(*ast.CallExpr)
	if !ok || !isSelector(call.Fun, "slog", "NewMultiHandler") || len(call.Args) == 0 {
		return false
	}
	first, ok := call.Args[0].(*ast.CallExpr)
	if !ok {
		return false
	}
	s, ok := first.Fun.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "Handler"
}
