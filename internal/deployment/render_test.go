package deployment

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A stack is one deployment: what CloudFormation would create of it.
type stack struct {
	name       string
	parameters map[string]string
	resources  map[string]map[string]any // by logical ID: Type, Properties and policies
	outputs    map[string]any
	own        map[string]bool // logical IDs that stand in template.yaml
}

// pseudo are the parameters that AWS sets, but for the stack's name.
var pseudo = map[string]string{
	"AWS::AccountId": "123456789012", "AWS::Partition": "aws", "AWS::Region": "eu-central-1", "AWS::URLSuffix": "amazonaws.com",
	"AWS::StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/evergrant/0a1b2c3d",
}

// nothing stands for AWS::NoValue: a property with it is not there.
type nothing struct{}

// A renderer puts parameters and conditions into a translated template.
type renderer struct {
	values     map[string]any // of parameters
	conditions map[string]any // as written
}

// render returns the stack of a translated template with these parameters. What
// is not among them takes its default.
func render(name string, template map[string]any, parameters map[string]string) (*stack, error) {
	r := renderer{values: map[string]any{"AWS::StackName": name, "AWS::NoValue": nothing{}}}
	for name, value := range pseudo {
		r.values[name] = value
	}
	declared, _ := template["Parameters"].(map[string]any)
	for name, parameter := range declared {
		r.values[name] = at(parameter, "Default")
		if value, ok := parameters[name]; ok {
			r.values[name] = value
		}
	}
	r.conditions, _ = template["Conditions"].(map[string]any)
	refused, _ := template["Rules"].(map[string]any)
	if broken, err := r.broken(refused); err != nil || len(broken) > 0 {
		return nil, fmt.Errorf("the template refuses the parameters: %v %w", broken, err)
	}
	s := &stack{name: name, parameters: parameters, resources: map[string]map[string]any{}, outputs: map[string]any{}}
	for _, section := range []string{"Resources", "Outputs"} {
		all, _ := template[section].(map[string]any)
		for id, v := range all {
			entry := maps.Clone(v.(map[string]any))
			if condition, ok := entry["Condition"].(string); ok {
				holds, err := r.holds(map[string]any{"Condition": condition})
				if err != nil {
					return nil, fmt.Errorf("%s: %w", id, err)
				}
				if !holds {
					continue
				}
				delete(entry, "Condition")
			}
			rendered, err := r.value(entry)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", id, err)
			}
			if section == "Outputs" {
				s.outputs[id] = rendered
			} else {
				s.resources[id] = rendered.(map[string]any)
			}
		}
	}
	return s, nil
}

// value renders a node. References to resources stay.
func (r renderer) value(node any) (any, error) {
	switch n := node.(type) {
	case []any:
		list := make([]any, 0, len(n))
		for _, item := range n {
			v, err := r.value(item)
			if err != nil {
				return nil, err
			}
			if v != (any)(nothing{}) {
				list = append(list, v)
			}
		}
		return list, nil
	case map[string]any:
		if len(n) == 1 {
			for name, argument := range n {
				if name == "Ref" || strings.HasPrefix(name, "Fn::") {
					return r.intrinsic(name, argument)
				}
			}
		}
		fields := make(map[string]any, len(n))
		for name, field := range n {
			v, err := r.value(field)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if v != (any)(nothing{}) {
				fields[name] = v
			}
		}
		return fields, nil
	}
	return node, nil
}

// intrinsic renders one intrinsic function.
func (r renderer) intrinsic(name string, argument any) (any, error) {
	switch name {
	case "Ref":
		if v, ok := r.values[fmt.Sprint(argument)]; ok {
			return v, nil
		}
		return map[string]any{name: argument}, nil
	case "Fn::GetAtt":
		return map[string]any{name: argument}, nil
	case "Fn::If":
		branches := argument.([]any)
		holds, err := r.holds(map[string]any{"Condition": branches[0]})
		if err != nil {
			return nil, err
		}
		if holds {
			return r.value(branches[1])
		}
		return r.value(branches[2])
	case "Fn::Sub":
		return r.substitute(argument)
	case "Fn::Join":
		return r.join(argument.([]any))
	case "Fn::Select":
		return r.choose(argument.([]any))
	}
	return nil, fmt.Errorf("this renderer does not know %s", name)
}

var variable = regexp.MustCompile(`\$\{([A-Za-z0-9_:.]+)\}`)

// substitute renders the text of a Sub. What is left is a reference.
func (r renderer) substitute(argument any) (any, error) {
	own := map[string]any{}
	if list, ok := argument.([]any); ok {
		argument = list[0]
		rendered, err := r.value(list[1])
		if err != nil {
			return nil, err
		}
		own = rendered.(map[string]any)
	}
	left := map[string]any{}
	text := variable.ReplaceAllStringFunc(argument.(string), func(match string) string {
		name := match[2 : len(match)-1]
		v, ok := own[name]
		if !ok {
			v, ok = r.values[name]
		}
		switch v.(type) {
		case map[string]any: // a reference of the list
			left[name] = v
			return match
		case nil:
			if !ok {
				left[name] = nil
				return match
			}
		}
		return fmt.Sprint(v)
	})
	if len(left) == 0 {
		return text, nil
	}
	for name, v := range left {
		if v == nil {
			delete(left, name)
		}
	}
	if len(left) > 0 {
		return map[string]any{"Fn::Sub": []any{text, left}}, nil
	}
	return map[string]any{"Fn::Sub": text}, nil
}

// join renders a Join. It stays one where a part is a reference.
func (r renderer) join(argument []any) (any, error) {
	rendered, err := r.value(argument[1])
	if err != nil {
		return nil, err
	}
	var parts []string
	for _, part := range rendered.([]any) {
		text, ok := part.(string)
		if !ok {
			return map[string]any{"Fn::Join": []any{argument[0], rendered}}, nil
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, argument[0].(string)), nil
}

// choose renders a Select from a Split of a parameter.
func (r renderer) choose(argument []any) (any, error) {
	split, ok := at(argument[1], "Fn::Split").([]any)
	if !ok {
		return nil, fmt.Errorf("this renderer does not know a Select of %v", argument[1])
	}
	whole, err := r.value(split[1])
	if err != nil {
		return nil, err
	}
	parts := strings.Split(fmt.Sprint(whole), fmt.Sprint(split[0]))
	index, err := strconv.Atoi(fmt.Sprint(argument[0]))
	if err != nil || index >= len(parts) {
		return nil, fmt.Errorf("select %v of %v", argument[0], parts)
	}
	return parts[index], nil
}

// broken returns what the template's Rules refuse of the parameters.
func (r renderer) broken(rules map[string]any) ([]string, error) {
	var broken []string
	for name, rule := range rules {
		if condition := at(rule, "RuleCondition"); condition != nil {
			holds, err := r.holds(condition)
			if err != nil {
				return nil, fmt.Errorf("rule %s: %w", name, err)
			}
			if !holds {
				continue
			}
		}
		assertions, _ := at(rule, "Assertions").([]any)
		for _, assertion := range assertions {
			holds, err := r.holds(at(assertion, "Assert"))
			if err != nil {
				return nil, fmt.Errorf("rule %s: %w", name, err)
			}
			if !holds {
				broken = append(broken, fmt.Sprint(at(assertion, "AssertDescription")))
			}
		}
	}
	return broken, nil
}

// holds evaluates a condition.
func (r renderer) holds(condition any) (bool, error) {
	fields, _ := condition.(map[string]any)
	for name, argument := range fields {
		if name == "Condition" {
			named, ok := r.conditions[fmt.Sprint(argument)]
			if !ok {
				return false, fmt.Errorf("there is no condition %v", argument)
			}
			return r.holds(named)
		}
		list, _ := argument.([]any)
		if name == "Fn::Equals" {
			both, err := r.value(list)
			if err != nil {
				return false, err
			}
			sides := both.([]any)
			return fmt.Sprint(sides[0]) == fmt.Sprint(sides[1]), nil
		}
		met := 0
		for _, item := range list {
			holds, err := r.holds(item)
			if err != nil {
				return false, err
			}
			if holds {
				met++
			}
		}
		switch name {
		case "Fn::Not":
			return met == 0, nil
		case "Fn::And":
			return met == len(list), nil
		case "Fn::Or":
			return met > 0, nil
		}
	}
	return false, fmt.Errorf("this renderer does not know the condition %v", condition)
}

// references returns the logical IDs that a rendered node refers to, sorted.
func references(node any) []string {
	found := map[string]bool{}
	var walk func(node any)
	walk = func(node any) {
		switch n := node.(type) {
		case []any:
			for _, item := range n {
				walk(item)
			}
		case map[string]any:
			for name, v := range n {
				switch text, _ := v.(string); name {
				case "Ref":
					found[text] = true
				case "Fn::GetAtt":
					if list, ok := v.([]any); ok {
						text = fmt.Sprint(list[0])
					}
					id, _, _ := strings.Cut(text, ".")
					found[id] = true
				case "Fn::Sub":
					known := map[string]any{}
					if list, ok := v.([]any); ok {
						text, known = list[0].(string), list[1].(map[string]any)
						walk(known)
					}
					for _, match := range variable.FindAllStringSubmatch(text, -1) {
						if id, _, _ := strings.Cut(match[1], "."); known[id] == nil {
							found[id] = true
						}
					}
				default:
					walk(v)
				}
			}
		}
	}
	walk(node)
	return slices.Sorted(maps.Keys(found))
}

// at returns what stands in node under the keys, or nil.
func at(node any, keys ...string) any {
	for _, key := range keys {
		fields, _ := node.(map[string]any)
		node = fields[key]
	}
	return node
}

func TestRenderedIsWhatIsCreated(t *testing.T) {
	const source = `{
"Parameters": {"On": {"Default": "false"}, "Name": {"Default": ""}},
"Conditions": {"On": {"Fn::Equals": [{"Ref": "On"}, "true"]}, "Off": {"Fn::Not": [{"Condition": "On"}]},
  "Named": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Name"}, ""]}]}, "Both": {"Fn::And": [{"Condition": "On"}, {"Condition": "Named"}]},
  "One": {"Fn::Or": [{"Condition": "On"}, {"Condition": "Named"}]}},
"Resources": {
  "A": {"Type": "T", "Condition": "Both"},
  "B": {"Type": "T", "Condition": "One", "Properties": {"Name": {"Ref": "Name"}, "Arn": {"Fn::Sub": "arn:${AWS::Partition}:${C.Arn}/${Name}"}}},
  "C": {"Type": "T", "Properties": {"X": {"Fn::If": ["On", "x", {"Ref": "AWS::NoValue"}]}, "L": [{"Fn::If": ["Off", {"Ref": "D"}, {"Ref": "AWS::NoValue"}]}],
    "S": {"Fn::Sub": ["${N}-${AWS::StackName}", {"N": {"Ref": "Name"}}]}, "J": {"Fn::Join": ["/", ["a", {"Ref": "Name"}]]}, "Condition": {"Bool": "c"}}},
  "D": {"Type": "T", "Condition": "Off"}}}`
	tests := map[string]struct {
		parameters map[string]string
		want       string
	}{
		"defaults": {nil, `{"C":{"Properties":{"Condition":{"Bool":"c"},"J":"a/","L":[{"Ref":"D"}],"S":"-s"},"Type":"T"},"D":{"Type":"T"}}`},
		"a name": {map[string]string{"Name": "n"}, `{"B":{"Properties":{"Arn":{"Fn::Sub":"arn:aws:${C.Arn}/n"},"Name":"n"},"Type":"T"},` +
			`"C":{"Properties":{"Condition":{"Bool":"c"},"J":"a/n","L":[{"Ref":"D"}],"S":"n-s"},"Type":"T"},"D":{"Type":"T"}}`},
		"all": {map[string]string{"Name": "n", "On": "true"}, `{"A":{"Type":"T"},"B":{"Properties":{"Arn":{"Fn::Sub":"arn:aws:${C.Arn}/n"},"Name":"n"},"Type":"T"},` +
			`"C":{"Properties":{"Condition":{"Bool":"c"},"J":"a/n","L":[],"S":"n-s","X":"x"},"Type":"T"}}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var template map[string]any
			if err := json.Unmarshal([]byte(source), &template); err != nil {
				t.Fatal(err)
			}
			s, err := render("s", template, tt.parameters)
			if err != nil {
				t.Fatal(err)
			}
			if got := text(t, s.resources); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
	if got := references(map[string]any{"a": []any{map[string]any{"Ref": "A"}}, "b": map[string]any{"Fn::GetAtt": []any{"B", "Arn"}},
		"c": map[string]any{"Fn::Sub": "${C.Arn}/${D}"}, "d": map[string]any{"Fn::Sub": []any{"${E}${N}", map[string]any{"N": map[string]any{"Ref": "F"}}}}}); strings.Join(got, "") != "ABCDEF" {
		t.Errorf("references are %v", got)
	}
	template := map[string]any{"Resources": map[string]any{"A": map[string]any{"X": map[string]any{"Fn::Cidr": "x"}}}}
	if _, err := render("s", template, nil); err == nil {
		t.Error("an intrinsic function that nobody knows is rendered")
	}
}

// compact is a node in JSON without spaces, as IAM and Lambda count it.
func compact(node any) string {
	b, err := json.Marshal(node)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
