package rules

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"testing"
)

// secretName is how the code names what nobody may learn. State is among them: a
// stranger brings one.
var secretName = regexp.MustCompile(`(?i)(^|[a-z])(state|verifier|secret|token|handle|mac|signature|reveal)$`)

// compared are the files, and folders, that compare secrets as they are, and why
// that tells nobody anything.
var compared = map[string]string{
	"internal/battery/":             "a test, with secrets that it made up",
	"internal/bolt/state.go":        "hashes of states, which rows hold in place of them",
	"internal/bolt/write.go":        "what was just written and what is stored: both are ours",
	"internal/callback/end.go":      "hashes of states, of a browser that has shown its cookie",
	"internal/connectiontest/":      "what was just written and what is stored: both are ours",
	"internal/doctor/provider.go":   "a state that nobody started, made up for a check",
	"internal/dynamo/write.go":      "what was just written and what is stored: both are ours",
	"internal/local/credentials.go": "two client secrets of one file, on the machine of whoever wrote it",
	"internal/simulator/":           "a provider that is played, with secrets that it made up",
	"pkg/tokens/tokens.go":          "the token that a program has and the one that is stored, which it reads",
}

// How long == takes depends on how far two values agree, so a stranger who may
// try often learns the one by the other (crypto/subtle). What comes from outside
// is compared with subtle.ConstantTimeCompare or hmac.Equal, or by a hash.
func TestNoSecretIsComparedInATimeThatTells(t *testing.T) {
	met := map[string]bool{}
	for _, name := range goFiles(t, false) {
		fset, f := parse(t, name)
		ast.Inspect(f, func(n ast.Node) bool {
			b, ok := n.(*ast.BinaryExpr)
			if !ok || b.Op != token.EQL && b.Op != token.NEQ || constant(b.X) || constant(b.Y) || !namesSecret(b.X) && !namesSecret(b.Y) {
				return true
			}
			for _, place := range []string{name, path.Dir(name) + "/"} {
				if compared[place] != "" {
					met[place] = true
					return true
				}
			}
			t.Errorf("%s: use subtle.ConstantTimeCompare, or say in this test why not", fset.Position(b.Pos()))
			return true
		})
	}
	for name := range compared {
		if !met[name] {
			t.Errorf("%s compares no secret: take it off the list", name)
		}
	}
}

// constant reports whether e is written out: nil, a number or a text.
func constant(e ast.Expr) bool {
	if id, ok := e.(*ast.Ident); ok {
		return id.Name == "nil"
	}
	_, ok := e.(*ast.BasicLit)
	return ok
}

// namesSecret reports whether the last name of e is that of a secret.
func namesSecret(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return secretName.MatchString(e.Name)
	case *ast.SelectorExpr:
		return secretName.MatchString(e.Sel.Name)
	case *ast.CallExpr:
		if id, ok := e.Fun.(*ast.Ident); ok && id.Name == "string" && len(e.Args) == 1 {
			return namesSecret(e.Args[0])
		}
		return namesSecret(e.Fun)
	}
	return false
}
