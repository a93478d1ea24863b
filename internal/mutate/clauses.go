package mutate

import "strings"

// Without returns the variants of a DynamoDB condition that lack one part of
// it: each clause of an AND, which is then no longer demanded, each clause of an
// OR, which is then no longer enough, and all of it, which is "". NOT and what
// follows it are one clause. BETWEEN is not understood.
func Without(condition string) []Variant {
	return append([]Variant{{Lacks: condition}}, without(condition)...)
}

// A Variant is a condition that lacks a part.
type Variant struct {
	Condition string // "" is none
	Lacks     string
}

func without(condition string) (variants []Variant) {
	for _, word := range []string{" OR ", " AND "} {
		clauses := split(condition, word)
		if len(clauses) == 1 {
			continue
		}
		for i, clause := range clauses {
			join := func(replaced ...string) string {
				return strings.Join(append(append(clauses[:i:i], replaced...), clauses[i+1:]...), word)
			}
			variants = append(variants, Variant{join(), clause})
			for _, inner := range without(clause) {
				variants = append(variants, Variant{join("(" + inner.Condition + ")"), inner.Lacks})
			}
		}
		return variants
	}
	if inner, ok := strings.CutPrefix(condition, "("); ok {
		return without(strings.TrimSuffix(inner, ")"))
	}
	return nil
}

// split splits a condition at a word that stands in no parentheses.
func split(condition, word string) (parts []string) {
	depth, start := 0, 0
	for i := range len(condition) {
		switch {
		case condition[i] == '(':
			depth++
		case condition[i] == ')':
			depth--
		case depth == 0 && i >= start && strings.HasPrefix(condition[i:], word):
			parts = append(parts, condition[start:i])
			start = i + len(word)
		}
	}
	return append(parts, condition[start:])
}
