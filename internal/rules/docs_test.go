package rules

import (
	"go/ast"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every exported symbol outside tests, and every package, has a comment. A
// group of constants or variables may share one, with a comment on the line.
func TestEveryExportedSymbolIsDocumented(t *testing.T) {
	packages := map[string]bool{} // by folder: whether one of its files has a package comment
	for _, file := range goFiles(t, false) {
		_, f := parse(t, file)
		dir := path.Dir(file)
		packages[dir] = packages[dir] || f.Doc != nil
		for _, d := range f.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s: %s has no comment", file, name)
			}
		}
	}
	for dir, ok := range packages {
		if !ok {
			t.Errorf("%s: the package has no comment", dir)
		}
	}
}

// undocumented returns the exported names of d that lack a comment.
func undocumented(d ast.Decl) []string {
	var names []string
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && receiverExported(d) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
					names = append(names, s.Name.Name)
				}
			case *ast.ValueSpec:
				for _, n := range s.Names {
					if n.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}

func receiverExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported()
}

// asked are the requirements of docs/security.md, by their letters and last
// numbers: people compare OAuth clients by them. K and M have none; W are the
// windows in which a refresh can be cut off.
var asked = map[string]int{"A": 12, "B": 10, "C": 10, "D": 3, "E": 3, "F": 17, "G": 8, "H": 5, "I": 8, "J": 2, "K": 0, "W": 16, "L": 3, "M": 0}

// A requirement is a row of docs/security.md.
type requirement struct{ id, what, how, tests string }

// Each requirement has a row that says what is asked, how it is met, and which
// tests turn red where it is not, or why there is none. Whatever it quotes is a
// case or rule of a test.
func TestTheSecurityPageIsWhole(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	sources := testSources(t)
	missing := map[string]bool{}
	for letter, last := range asked {
		if last == 0 {
			missing[letter] = true
		}
		for n := range last {
			missing[letter+strconv.Itoa(n+1)] = true
		}
	}
	known := maps.Clone(missing)
	for _, r := range requirements(string(page)) {
		if !known[r.id] || !missing[r.id] && asked[r.id[:1]] != 0 {
			t.Errorf("%s is no requirement of the list, or there twice", r.id)
		}
		delete(missing, r.id)
		for _, problem := range r.problems(sources) {
			t.Errorf("%s: %s", r.id, problem)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("%s has no row", id)
	}
}

// requirements returns the rows of the tables of requirements.
func requirements(page string) []requirement {
	var rows []requirement
	for _, m := range regexp.MustCompile(`(?m)^\| ([A-Z]\d{0,2}) \| (.*) \| (.*) \| (.*) \|$`).FindAllStringSubmatch(page, -1) {
		rows = append(rows, requirement{m[1], m[2], m[3], m[4]})
	}
	return rows
}

// problems returns what is wrong with r, where sources is the source of all tests.
func (r requirement) problems(sources string) (problems []string) {
	if r.what == "" || r.how == "" {
		problems = append(problems, "a cell is empty")
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w+)`").FindAllStringSubmatch(r.tests, -1)
	if why, none := strings.CutPrefix(r.tests, "none: "); len(named) == 0 && (!none || why == "") {
		problems = append(problems, "it names no test, and does not say why")
	}
	for _, m := range named {
		if !strings.Contains(sources, "func "+m[1]+"(") {
			problems = append(problems, m[1]+" does not exist")
		}
	}
	for _, quoted := range regexp.MustCompile(`"[^"]+"`).FindAllString(r.tests, -1) {
		if !strings.Contains(sources, quoted) {
			problems = append(problems, "no test has "+quoted)
		}
	}
	return problems
}
