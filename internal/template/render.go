package template

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A Stack is the template as CloudFormation deploys it with some parameters: no
// intrinsic function is left, and what a condition leaves out is not there.
//
// Names and ARNs are made up, but of the form that AWS gives them: those of the
// region eu-central-1, the account 123456789012 and the stack "stack". Those of
// [RenderTranslated] stay references.
type Stack struct {
	Resources map[string]map[string]any // by logical ID
	Outputs   map[string]any            // values, by name
}

// resources returns the resources of one type by their logical ID.
func (s *Stack) resources(kind string) map[string]map[string]any {
	found := maps.Clone(s.Resources)
	maps.DeleteFunc(found, func(_ string, r map[string]any) bool { return r["Type"] != kind })
	return found
}

// Role returns the logical ID of the role that a function has.
func (s *Stack) Role(function string) string {
	role, _ := at(s.Resources[function], "Properties", "Role").(string)
	return strings.TrimPrefix(role, "arn:aws:iam::"+pseudo["AWS::AccountId"]+":role/"+pseudo["AWS::StackName"]+"-")
}

// Variables returns the variables that the template gives a function for itself.
func (s *Stack) Variables(function string) map[string]string {
	node, _ := at(s.Resources[function], "Properties", "Environment", "Variables").(map[string]any)
	variables := map[string]string{}
	for name, value := range node {
		variables[name] = fmt.Sprint(value)
	}
	return variables
}

// Render renders the template at path. Parameters that are not given have their
// defaults. A value that the template does not allow, a reference to what is not
// there, and an intrinsic function that is not known here are errors.
func Render(path string, parameters map[string]string) (*Stack, error) {
	doc, err := read(path)
	if err != nil {
		return nil, err
	}
	return render(doc, parameters)
}

// render is Render for a template that was read.
func render(doc map[string]any, parameters map[string]string) (*Stack, error) {
	r, err := newRenderer(doc, parameters)
	if err != nil {
		return nil, err
	}
	return r.stack()
}

// RenderTranslated renders doc, which is what SAM makes of a template, for a stack
// of some name. Of resources that SAM adds nobody here knows what AWS calls them,
// so a reference to a resource stays, in text as ${ID} or ${ID.Attribute}, also
// to one that is not there.
func RenderTranslated(name string, doc map[string]any, parameters map[string]string) (*Stack, error) {
	r, err := newRenderer(doc, parameters)
	if err != nil {
		return nil, err
	}
	r.values["AWS::StackName"] = name
	r.physical = func(id, attribute string) (any, error) {
		return "${" + strings.TrimSuffix(id+"."+attribute, ".") + "}", nil
	}
	return r.stack()
}

// stack renders all that the conditions let be.
func (r *renderer) stack() (*Stack, error) {
	if err := r.refused(); err != nil {
		return nil, err
	}
	stack := &Stack{Resources: map[string]map[string]any{}, Outputs: map[string]any{}}
	all, _ := at(r.doc, "Resources").(map[string]any)
	for id := range all {
		if !r.exists(id) {
			continue
		}
		resource, err := r.value(all[id])
		if err != nil {
			return nil, fmt.Errorf("render %s: %w", id, err)
		}
		stack.Resources[id], _ = resource.(map[string]any)
		delete(stack.Resources[id], "Condition")
	}
	outputs, _ := at(r.doc, "Outputs").(map[string]any)
	for name, output := range outputs {
		if condition, ok := at(output, "Condition").(string); ok && !r.holds(condition) {
			continue
		}
		value, err := r.value(at(output, "Value"))
		if err != nil {
			return nil, fmt.Errorf("render the output %s: %w", name, err)
		}
		stack.Outputs[name] = value
	}
	return stack, r.err
}

// pseudo are the pseudo parameters.
var pseudo = map[string]string{
	"AWS::AccountId": "123456789012",
	"AWS::Partition": "aws",
	"AWS::Region":    "eu-central-1",
	"AWS::StackId":   "arn:aws:cloudformation:eu-central-1:123456789012:stack/stack/0a1b2c3d",
	"AWS::StackName": "stack",
	"AWS::URLSuffix": "amazonaws.com",
}

// absent is what AWS::NoValue renders to; lists and mappings leave it out.
type absent struct{}

// A renderer resolves intrinsic functions.
type renderer struct {
	doc    map[string]any
	values map[string]string // of parameters
	err    error             // the first of a condition

	// physical returns what GetAtt gives of a resource; with attribute "", what
	// Ref gives.
	physical func(id, attribute string) (any, error)
}

// newRenderer returns one for some parameters; others have their defaults.
func newRenderer(doc map[string]any, parameters map[string]string) (*renderer, error) {
	r := &renderer{doc: doc, values: maps.Clone(pseudo)}
	declared, _ := at(doc, "Parameters").(map[string]any)
	for name := range parameters {
		if declared[name] == nil {
			return nil, fmt.Errorf("render the template: there is no parameter %s", name)
		}
	}
	for name, parameter := range declared {
		value, ok := parameters[name]
		if !ok {
			value = fmt.Sprint(at(parameter, "Default"))
		}
		if err := allows(parameter, value); err != nil {
			return nil, fmt.Errorf("parameter %s: %w", name, err)
		}
		r.values[name] = value
	}
	r.physical = r.madeUp
	return r, nil
}

// refused returns an error where a rule of the template refuses the parameters.
func (r *renderer) refused() error {
	rules, _ := at(r.doc, "Rules").(map[string]any)
	for name, rule := range rules {
		if condition := at(rule, "RuleCondition"); condition != nil && !r.truth(condition) {
			continue
		}
		assertions, _ := at(rule, "Assertions").([]any)
		for _, assertion := range assertions {
			if !r.truth(at(assertion, "Assert")) {
				return fmt.Errorf("rule %s refuses the parameters: %v", name, at(assertion, "AssertDescription"))
			}
		}
	}
	return nil
}

// exists reports whether the template makes a resource.
func (r *renderer) exists(id string) bool {
	resource := at(r.doc, "Resources", id)
	condition, ok := at(resource, "Condition").(string)
	return resource != nil && (!ok || r.holds(condition))
}

// holds reports whether a named condition is met.
func (r *renderer) holds(name string) bool {
	node := at(r.doc, "Conditions", name)
	if node == nil {
		r.fail(fmt.Errorf("there is no condition %s", name))
		return false
	}
	return r.truth(node)
}

func (r *renderer) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// truth evaluates a condition.
func (r *renderer) truth(node any) bool {
	if name, ok := at(node, "Condition").(string); ok {
		return r.holds(name)
	}
	name, argument := function(node)
	list, _ := argument.([]any)
	switch {
	case name == "Fn::Equals" && len(list) == 2:
		a, errA := r.value(list[0])
		b, errB := r.value(list[1])
		if err := errors.Join(errA, errB); err != nil {
			r.fail(fmt.Errorf("compare %v with %v: %w", list[0], list[1], err))
		}
		return fmt.Sprint(a) == fmt.Sprint(b)
	case name == "Fn::Not" && len(list) == 1:
		return !r.truth(list[0])
	case name == "Fn::And":
		return !slices.ContainsFunc(list, func(n any) bool { return !r.truth(n) })
	case name == "Fn::Or":
		return slices.ContainsFunc(list, r.truth)
	}
	r.fail(fmt.Errorf("%v is no condition", node))
	return false
}

// function returns the name and the argument of an intrinsic function, or "".
func function(node any) (name string, argument any) {
	if fields, ok := node.(map[string]any); ok && len(fields) == 1 {
		for name, argument := range fields {
			if name == "Ref" || strings.HasPrefix(name, "Fn::") {
				return name, argument
			}
		}
	}
	return "", nil
}

// value renders one node.
func (r *renderer) value(node any) (any, error) {
	if name, argument := function(node); name != "" {
		return r.call(name, argument)
	}
	switch n := node.(type) {
	case map[string]any:
		fields := make(map[string]any, len(n))
		for key := range n {
			v, err := r.value(n[key])
			if err != nil {
				return nil, err
			}
			if v != (absent{}) {
				fields[key] = v
			}
		}
		return fields, nil
	case []any:
		list := make([]any, 0, len(n))
		for _, item := range n {
			v, err := r.value(item)
			if err != nil {
				return nil, err
			}
			if v != (absent{}) {
				list = append(list, v)
			}
		}
		return list, nil
	}
	return node, nil
}

// call renders one intrinsic function.
func (r *renderer) call(name string, argument any) (any, error) {
	list, _ := argument.([]any)
	switch {
	case name == "Ref":
		return r.ref(fmt.Sprint(argument))
	case name == "Fn::GetAtt" && len(list) == 2:
		return r.physical(fmt.Sprint(list[0]), fmt.Sprint(list[1]))
	case name == "Fn::If" && len(list) == 3:
		if r.holds(fmt.Sprint(list[0])) {
			return r.value(list[1])
		}
		return r.value(list[2])
	case name == "Fn::Sub":
		return r.substitute(argument)
	case len(list) != 2:
		return nil, fmt.Errorf("%s of %v is not known here", name, argument)
	}
	second, err := r.value(list[1])
	if err != nil {
		return nil, err
	}
	items, isList := second.([]any)
	switch {
	case name == "Fn::Join" && isList:
		var parts []string
		for _, item := range items {
			parts = append(parts, fmt.Sprint(item))
		}
		return strings.Join(parts, fmt.Sprint(list[0])), nil
	case name == "Fn::Split":
		for part := range strings.SplitSeq(fmt.Sprint(second), fmt.Sprint(list[0])) {
			items = append(items, part)
		}
		return items, nil
	case name == "Fn::Select" && isList:
		i, err := strconv.Atoi(fmt.Sprint(list[0]))
		if err != nil || i < 0 || i >= len(items) {
			return nil, fmt.Errorf("there is no element %v in %v", list[0], items)
		}
		return items[i], nil
	}
	return nil, fmt.Errorf("%s is not known here", name)
}

// substitute renders Fn::Sub, with variables of its own or without. ${!X} stays
// as ${X}, and so do policy variables, which no Sub of this template holds.
func (r *renderer) substitute(argument any) (any, error) {
	text, own := fmt.Sprint(argument), map[string]any{}
	if list, ok := argument.([]any); ok && len(list) == 2 {
		text, own = fmt.Sprint(list[0]), list[1].(map[string]any)
	}
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, fmt.Errorf("%q has a variable without an end", text)
		}
		text = after
		if literal, ok := strings.CutPrefix(name, "!"); ok {
			out.WriteString("${" + literal + "}")
			continue
		}
		v, err := r.variable(name, own)
		if err != nil {
			return nil, err
		}
		fmt.Fprint(&out, v)
	}
}

// variable returns the value of a variable of Fn::Sub.
func (r *renderer) variable(name string, own map[string]any) (any, error) {
	if node, ok := own[name]; ok {
		return r.value(node)
	}
	if id, attribute, ok := strings.Cut(name, "."); ok {
		return r.physical(id, attribute)
	}
	return r.ref(name)
}
