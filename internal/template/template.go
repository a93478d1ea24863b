// Package template reads template.yaml, so that tests and documents go by what is
// deployed: the DynamoDB store on tables made from it, the functions with the
// variables that it sets, the picture and the price of what there is.
//
// Render evaluates parameters and conditions, and Policy what a role or managed
// policy may do then. It is not a CloudFormation engine, and knows of IAM only what
// the template uses: what it does not know is an error. No function imports it.
//
// To change what the template must hold, change its rule: rules_test.go has the list
// of all. Each rule has a mutation in mutations_test.go that breaks it.
package template

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// functionType is what SAM calls a Lambda function.
const functionType = "AWS::Serverless::Function"

// Environment returns the names of the variables that the template at path gives
// each function, sorted, by the function's logical ID, such as AuthorizeFunction.
//
// GOMEMLIMIT is left out: Go's runtime reads it, no main does.
func Environment(path string) (map[string][]string, error) {
	doc, err := read(path)
	if err != nil {
		return nil, err
	}
	return environment(doc)
}

// environment is Environment for a template that was read.
func environment(doc map[string]any) (map[string][]string, error) {
	shared, err := mapping(at(doc, "Globals", "Function", "Environment", "Variables"))
	if err != nil {
		return nil, fmt.Errorf("variables of all functions: %w", err)
	}
	all := map[string][]string{}
	for id, function := range resources(doc, functionType) {
		own, err := mapping(at(function, "Properties", "Environment", "Variables"))
		if err != nil {
			return nil, fmt.Errorf("variables of %s: %w", id, err)
		}
		names := map[string]bool{}
		for name := range shared {
			names[name] = true
		}
		for name := range own {
			names[name] = true
		}
		delete(names, "GOMEMLIMIT")
		all[id] = slices.Sorted(maps.Keys(names))
	}
	return all, nil
}

// read parses the template at path.
func read(path string) (map[string]any, error) {
	source, err := os.ReadFile(path) //nolint:gosec // Tests and commands name the path; no function calls this.
	if err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	return parse(source)
}

// parse turns a template's source into maps, lists, strings, numbers and booleans.
func parse(source []byte) (map[string]any, error) {
	file, err := parser.ParseBytes(source, 0)
	if err != nil {
		return nil, fmt.Errorf("parse the template: %w", err)
	}
	if len(file.Docs) != 1 {
		return nil, fmt.Errorf("parse the template: %d YAML documents in place of one", len(file.Docs))
	}
	root, err := value(file.Docs[0].Body)
	if err != nil {
		return nil, fmt.Errorf("parse the template: %w", err)
	}
	return mapping(root)
}

// value converts one node. It refuses what CloudFormation refuses too, anchors
// and merge keys, because their meaning would differ between here and there.
func value(node ast.Node) (any, error) {
	switch n := node.(type) {
	case *ast.MappingNode:
		return object(n.Values)
	case *ast.MappingValueNode:
		return object([]*ast.MappingValueNode{n})
	case *ast.SequenceNode:
		list := make([]any, 0, len(n.Values))
		for _, item := range n.Values {
			v, err := value(item)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case *ast.TagNode:
		return intrinsic(n)
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.NullNode:
		return nil, nil
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.(ast.ScalarNode).GetValue(), nil
	}
	token := node.GetToken()
	return nil, fmt.Errorf("line %d: a template cannot hold a YAML %s", token.Position.Line, node.Type())
}

// object converts the entries of a mapping.
func object(entries []*ast.MappingValueNode) (map[string]any, error) {
	fields := make(map[string]any, len(entries))
	for _, entry := range entries {
		key, ok := entry.Key.(*ast.StringNode)
		if !ok {
			return nil, fmt.Errorf("line %d: the key %s is not a string", entry.Key.GetToken().Position.Line, entry.Key)
		}
		v, err := value(entry.Value)
		if err != nil {
			return nil, err
		}
		fields[key.Value] = v
	}
	return fields, nil
}

// intrinsic converts a short tag, such as !GetAtt Table.Arn, to its long form.
func intrinsic(tag *ast.TagNode) (any, error) {
	v, err := value(tag.Value)
	if err != nil {
		return nil, err
	}
	name := strings.TrimPrefix(tag.Start.Value, "!")
	switch name {
	case "Ref", "Condition":
		return map[string]any{name: v}, nil
	case "GetAtt":
		if path, ok := v.(string); ok {
			resource, attribute, _ := strings.Cut(path, ".")
			v = []any{resource, attribute}
		}
	}
	return map[string]any{"Fn::" + name: v}, nil
}

// resources returns the resources of one type by their logical ID.
func resources(doc map[string]any, kind string) map[string]map[string]any {
	found := map[string]map[string]any{}
	all, _ := at(doc, "Resources").(map[string]any)
	for id, r := range all {
		if resource, ok := r.(map[string]any); ok && resource["Type"] == kind {
			found[id] = resource
		}
	}
	return found
}

// at returns what stands in node under the keys, or nil.
func at(node any, keys ...string) any {
	for _, key := range keys {
		fields, ok := node.(map[string]any)
		if !ok {
			return nil
		}
		node = fields[key]
	}
	return node
}

// mapping returns node as a mapping; what is absent is an empty one.
func mapping(node any) (map[string]any, error) {
	if node == nil {
		return nil, nil
	}
	fields, ok := node.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%v is not a mapping", node)
	}
	return fields, nil
}

// list returns the names in one value or a list of them: a string as it is, a Ref
// as its resource, a GetAtt as resource.attribute, a Sub as its text, an If as both
// of its branches.
func list(node any) []string {
	nodes, ok := node.([]any)
	if !ok {
		nodes = []any{node}
	}
	var names []string
	for _, n := range nodes {
		branches, isIf := at(n, "Fn::If").([]any)
		switch {
		case isIf && len(branches) == 3:
			names = append(names, list(branches[1:])...)
		case at(n, "Ref") != nil:
			names = append(names, fmt.Sprint(at(n, "Ref")))
		case at(n, "Fn::Sub") != nil:
			names = append(names, fmt.Sprint(at(n, "Fn::Sub")))
		case at(n, "Fn::GetAtt") != nil:
			names = append(names, strings.Join(list(at(n, "Fn::GetAtt")), "."))
		default:
			names = append(names, fmt.Sprint(n))
		}
	}
	return names
}
