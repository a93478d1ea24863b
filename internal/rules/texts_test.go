package rules

import (
	"go/ast"
	"slices"
	"testing"
)

// A web.Text is written in text.go and nowhere else, so that nothing is left in
// another language.
func TestEveryTextIsMadeInOneFile(t *testing.T) {
	texts := 0
	for _, file := range goFiles(t, false) {
		fset, f := parse(t, file)
		ast.Inspect(f, func(n ast.Node) bool {
			if what := madeText(f.Name.Name, n); what != "" {
				texts++
				if file != "internal/web/text.go" {
					t.Errorf("%s: %s belongs into internal/web/text.go", fset.Position(n.Pos()), what)
				}
			}
			return true
		})
	}
	if texts < 20 {
		t.Fatalf("%d texts were found", texts)
	}
}

// madeText says which words of a Text a node writes: a literal of one, or an
// assignment to its fields. "" is none.
func madeText(pkg string, n ast.Node) string {
	switch n := n.(type) {
	case *ast.CompositeLit:
		switch typ := n.Type.(type) {
		case *ast.Ident:
			if pkg == "web" && typ.Name == "Text" && len(n.Elts) > 0 {
				return "a Text"
			}
		case *ast.SelectorExpr:
			if x, ok := typ.X.(*ast.Ident); ok && x.Name == "web" && typ.Sel.Name == "Text" && len(n.Elts) > 0 {
				return "a web.Text"
			}
		}
	case *ast.AssignStmt:
		for _, to := range n.Lhs {
			if sel, ok := to.(*ast.SelectorExpr); ok && slices.Contains([]string{"web", "authorize", "callback"}, pkg) && slices.Contains([]string{"Title", "Detail", "Next"}, sel.Sel.Name) {
				return "what is assigned to " + sel.Sel.Name
			}
		}
	}
	return ""
}
