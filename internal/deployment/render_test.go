package deployment

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/template"
)

// A stack is one deployment: what CloudFormation would create of it.
type stack struct {
	*template.Stack
	name       string
	parameters map[string]string
	own        map[string]bool // logical IDs that stand in template.yaml
}

// reference is one to a resource in the text of a rendered node.
var reference = regexp.MustCompile(`\$\{([A-Za-z0-9]+)(?:\.([A-Za-z0-9.]+))?\}`)

// escaped is one that must not be, in a Sub.
var escaped = regexp.MustCompile(`\$\{!([A-Za-z0-9.]+)\}`)

// references returns the logical IDs that a rendered node refers to, sorted.
func references(node any) []string {
	var found []string
	for _, match := range reference.FindAllStringSubmatch(compact(node), -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// document returns s as a template of CloudFormation.
func (s *stack) document() map[string]any {
	outputs := map[string]any{}
	for name, value := range s.Outputs {
		outputs[name] = map[string]any{"Value": value}
	}
	return map[string]any{"AWSTemplateFormatVersion": "2010-09-09", "Resources": intrinsic(s.Resources), "Outputs": intrinsic(outputs)}
}

// intrinsic returns a node in which references are intrinsic functions again.
func intrinsic(node any) any {
	switch n := node.(type) {
	case map[string]map[string]any:
		fields := map[string]any{}
		for name := range n {
			fields[name] = intrinsic(n[name])
		}
		return fields
	case map[string]any:
		fields := map[string]any{}
		for name := range n {
			fields[name] = intrinsic(n[name])
		}
		return fields
	case []any:
		list := make([]any, len(n))
		for i := range n {
			list[i] = intrinsic(n[i])
		}
		return list
	case string:
		match := reference.FindStringSubmatch(n)
		switch {
		case match == nil:
			return n
		case match[0] != n:
			return map[string]any{"Fn::Sub": escaped.ReplaceAllString(strings.ReplaceAll(n, "${", "${!"), "$${$1}")}
		case match[2] != "":
			return map[string]any{"Fn::GetAtt": []any{match[1], match[2]}}
		}
		return map[string]any{"Ref": match[1]}
	}
	return node
}

// compact is a node in JSON without spaces, as IAM and Lambda count it.
func compact(node any) string {
	b, err := json.Marshal(node)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
