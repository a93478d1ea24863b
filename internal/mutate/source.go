package mutate

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Mutant is a condition in Go that lacks a part. It is played where the
// setting MUTANT is its number.
type Mutant struct {
	Number int
	Name   string // the function, the part and the condition
}

// Source returns the mutants of the package in a folder, and the files that
// take the place of the package's own, by path, to play them: an overlay of the
// go command, with one new file. The file has the mutants as alternatives that
// the environment chooses.
func Source(dir string) (mutants []Mutant, overlay map[string]string, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, nil, err
	}
	overlay = map[string]string{}
	var name string
	for _, path := range names {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path) //nolint:gosec // It is a source file of this module.
		if err != nil {
			return nil, nil, err
		}
		s := source{text: string(text), mutants: mutants}
		changed, err := s.change()
		if err != nil {
			return nil, nil, err
		}
		if mutants, name = s.mutants, s.file.Name.Name; changed != s.text {
			overlay[path] = changed
		}
	}
	overlay[filepath.Join(dir, "mutant_of_this.go")] = fmt.Sprintf(
		"package %s\n\nimport \"os\"\n\nvar mutantOfThis = os.Getenv(%q)\n", name, goMutant)
	return mutants, overlay, nil
}

// A source is a file of Go under change.
type source struct {
	text    string
	file    *ast.File
	mutants []Mutant
	edits   []edit
	where   string // function and condition under change
}

type edit struct {
	expr ast.Expr
	text string
}

// change returns the text with its mutants.
func (s *source) change() (string, error) {
	var err error
	if s.file, err = parser.ParseFile(token.NewFileSet(), "", s.text, 0); err != nil {
		return "", err
	}
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && refuses(f) {
			s.function(f)
		}
	}
	slices.SortFunc(s.edits, func(a, b edit) int { return int(b.expr.Pos() - a.expr.Pos()) }) // from the end
	text := s.text
	for _, e := range s.edits {
		text = text[:e.expr.Pos()-s.file.FileStart] + e.text + text[e.expr.End()-s.file.FileStart:]
	}
	return text, nil
}

// refuses reports whether a return in n says that there was nothing to do the
// work on.
func refuses(n ast.Node) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		if r, ok := n.(*ast.ReturnStmt); ok {
			ast.Inspect(r, func(n ast.Node) bool {
				id, ok := n.(*ast.Ident)
				found = found || ok && slices.Contains([]string{"ErrConflict", "ErrNotFound", "conflict"}, id.Name)
				_, inner := n.(*ast.FuncLit)
				return !inner
			})
		}
		return !found
	})
	return found
}

// function adds the mutants of all conditions in f: those of if, of the cases of
// a switch without a tag, and what is assigned of them to a variable.
func (s *source) function(f *ast.FuncDecl) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			s.condition(f, n.Cond, !refuses(n.Body))
		case *ast.SwitchStmt:
			for _, c := range n.Body.List {
				if c, ok := c.(*ast.CaseClause); ok && n.Tag == nil {
					for _, e := range c.List {
						s.condition(f, e, !slices.ContainsFunc(c.Body, func(b ast.Stmt) bool { return refuses(b) }))
					}
				}
			}
		case *ast.AssignStmt:
			if len(n.Rhs) == 1 && isCondition(n.Rhs[0]) {
				s.condition(f, n.Rhs[0], true)
			}
		}
		return true
	})
}

// isCondition reports whether e looks like a condition.
func isCondition(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return slices.Contains([]token.Token{token.LAND, token.LOR, token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ}, e.Op)
	case *ast.UnaryExpr:
		return e.Op == token.NOT
	}
	return false
}

// condition adds the mutants of one condition. Without all of it, it has the
// value neutral.
func (s *source) condition(f *ast.FuncDecl, e ast.Expr, neutral bool) {
	s.where = f.Name.Name + ": " + s.of(e)
	s.edits = append(s.edits, edit{e, s.without(e, neutral)})
}

// raw returns the text of e.
func (s *source) raw(e ast.Expr) string {
	return s.text[e.Pos()-s.file.FileStart : e.End()-s.file.FileStart]
}

// of returns the text of e on one line.
func (s *source) of(e ast.Expr) string { return strings.Join(strings.Fields(s.raw(e)), " ") }

// without returns the text of e with the mutants that lack all of it or a part.
func (s *source) without(e ast.Expr, neutral bool) string {
	m := Mutant{Number: len(s.mutants) + 1, Name: s.where}
	if part := s.of(e); !strings.HasSuffix(s.where, ": "+part) {
		m.Name += " without " + part
	}
	s.mutants = append(s.mutants, m)
	if neutral {
		return fmt.Sprintf(`(mutantOfThis == "%d" || (%s))`, m.Number, s.parts(e))
	}
	return fmt.Sprintf(`(mutantOfThis != "%d" && (%s))`, m.Number, s.parts(e))
}

// parts returns the text of e with the mutants that lack a part of it.
func (s *source) parts(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return "(" + s.parts(e.X) + ")"
	case *ast.BinaryExpr:
		if e.Op != token.LAND && e.Op != token.LOR {
			break
		}
		part := func(x ast.Expr) string {
			if b, ok := x.(*ast.BinaryExpr); ok && b.Op == e.Op {
				return s.parts(x) // a && b && c has three parts
			}
			return s.without(x, e.Op == token.LAND)
		}
		return part(e.X) + " " + e.Op.String() + " " + part(e.Y)
	}
	return s.raw(e)
}
