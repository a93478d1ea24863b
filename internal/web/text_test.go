package web

import (
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sentences returns the texts of text.go as pages show them that know nothing,
// and that know all.
func sentences(t *testing.T) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "text.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	ast.Inspect(f, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, _ := strconv.Unquote(lit.Value)
			all = append(all, About{}.name(text), known.About.name(text))
		}
		return true
	})
	return all
}

var betweenTags = regexp.MustCompile(`>([^<]+)<|\b(?:alt|title|placeholder|aria-label)="([^"]*)"`)

// What a person reads, or has read out, is from text.go, whatever the page.
func TestEverySentenceOfAPageStandsInOneFile(t *testing.T) {
	ours := append(sentences(t), known.About.Provider, known.About.ConnectionID, known.About.hostName(), referenceLabel+"ref-1")
	read := 0
	for name, r := range answers() {
		if !strings.HasPrefix(r.Headers["Content-Type"], "text/html") {
			continue
		}
		body := scriptTag.ReplaceAllString(styleTag.ReplaceAllString(r.Body, ""), "")
		for _, m := range betweenTags.FindAllStringSubmatch(body, -1) {
			read++
			if text := html.UnescapeString(m[1] + m[2]); !slices.Contains(ours, text) {
				t.Errorf("%s: %q does not stand in text.go", name, text)
			}
		}
	}
	if read < 100 {
		t.Errorf("only %d pieces of text were read", read)
	}
}

// Whatever a page says, it says what to do next, in whole and short sentences.
func TestEveryPageSaysWhatToDoNext(t *testing.T) {
	all := []Text{Connected, Narrowed, Denied, continuing, needsScript}
	for _, tt := range texts {
		all = append(all, tt.text)
	}
	for _, text := range all {
		for what, s := range map[string]string{"Title": text.Title, "Detail": text.Detail, "Next": text.Next} {
			if s == "" || len(s) > 220 || strings.HasSuffix(s, ".") == (what == "Title") {
				t.Errorf("%s of %q: %q", what, text.Title, s)
			}
			for sentence := range strings.SplitSeq(s, ". ") {
				if words := len(strings.Fields(sentence)); words > 30 {
					t.Errorf("%s of %q has a sentence of %d words", what, text.Title, words)
				}
			}
		}
	}
}
