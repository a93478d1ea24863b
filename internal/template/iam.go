package template

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Call is one request to AWS, as IAM sees it.
type Call struct {
	Action   string // such as dynamodb:GetItem
	Resource string // ARN, or "*" where the action has none
	// Context is what is known of the request and of its caller, by condition key:
	// dynamodb:LeadingKeys, aws:PrincipalTag/connection_id. What is not there is
	// not known.
	Context map[string][]string
}

// A Policy is a list of statements. The zero Policy allows nothing.
type Policy []Statement

// A Statement is one of a policy, rendered.
type Statement struct {
	Effect             string
	Actions, Resources []string
	Conditions         map[string]map[string][]string // values, by operator and condition key
}

// Policy returns what a role or managed policy of the stack, by logical ID,
// allows: of a role all that is written into it or names it.
//
// A statement with an element or a condition operator that is not known here is
// an error, since its meaning would be guessed.
func (s *Stack) Policy(id string) (Policy, error) {
	resource, ok := s.Resources[id]
	if !ok {
		return nil, fmt.Errorf("there is no %s in this stack", id)
	}
	properties := resource["Properties"]
	var documents []any
	switch resource["Type"] {
	case "AWS::IAM::ManagedPolicy":
		documents = append(documents, at(properties, "PolicyDocument"))
	case "AWS::IAM::Role":
		if at(properties, "ManagedPolicyArns") != nil {
			return nil, fmt.Errorf("%s has managed policies that are not in the template", id)
		}
		inline, _ := at(properties, "Policies").([]any)
		for _, p := range inline {
			documents = append(documents, at(p, "PolicyDocument"))
		}
		for _, other := range s.Resources {
			roles, _ := at(other, "Properties", "Roles").([]any)
			if slices.Contains(roles, any("stack-"+id)) {
				documents = append(documents, at(other, "Properties", "PolicyDocument"))
			}
		}
	default:
		return nil, fmt.Errorf("%s is neither a role nor a managed policy", id)
	}
	var policy Policy
	for _, document := range documents {
		statements, _ := at(document, "Statement").([]any)
		for _, node := range statements {
			statement, err := parseStatement(node)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", id, err)
			}
			policy = append(policy, statement)
		}
	}
	return policy, nil
}

// parseStatement reads one rendered statement.
func parseStatement(node any) (Statement, error) {
	fields, _ := node.(map[string]any)
	s := Statement{Conditions: map[string]map[string][]string{}}
	for key, v := range fields {
		switch key {
		case "Sid":
		case "Effect":
			s.Effect = fmt.Sprint(v)
		case "Action":
			s.Actions = list(v)
		case "Resource":
			s.Resources = list(v)
		case "Condition":
			operators, _ := v.(map[string]any)
			for operator, keys := range operators {
				if _, ok := operations[strings.TrimPrefix(operator, forAll)]; !ok {
					return s, fmt.Errorf("the condition operator %s is not known here", operator)
				}
				s.Conditions[operator] = map[string][]string{}
				wanted, _ := keys.(map[string]any)
				for name, values := range wanted {
					s.Conditions[operator][name] = list(values)
				}
			}
		default:
			return s, fmt.Errorf("the element %s is not known here", key)
		}
	}
	if (s.Effect != "Allow" && s.Effect != "Deny") || len(s.Actions) == 0 || len(s.Resources) == 0 {
		return s, errors.New("a statement needs Effect, Action and Resource")
	}
	return s, nil
}

// Allows reports whether p allows c: some statement allows it, none denies it.
func (p Policy) Allows(c Call) bool {
	matching := func(effect string) bool {
		return slices.ContainsFunc(p, func(s Statement) bool { return s.Effect == effect && s.matches(c) })
	}
	return matching("Allow") && !matching("Deny")
}

// Rights returns p in its smallest parts: what it allows by one action on one
// resource, under "action on resource", the resource without partition, region and
// account. What it denies is in each of them, so that p allows what one of them does.
func (p Policy) Rights() map[string]Policy {
	var denials Policy
	for _, s := range p {
		if s.Effect == "Deny" {
			denials = append(denials, s)
		}
	}
	parts := map[string]Policy{}
	for _, s := range p {
		if s.Effect == "Deny" {
			continue
		}
		for _, action := range s.Actions {
			for _, resource := range s.Resources {
				fields := strings.SplitN(resource, ":", 6) // arn:aws:dynamodb:eu-central-1:123456789012:table/x
				name := action + " on " + fields[len(fields)-1]
				part := Statement{Effect: s.Effect, Actions: []string{action}, Resources: []string{resource}, Conditions: s.Conditions}
				parts[name] = append(append(parts[name], part), denials...)
			}
		}
	}
	return parts
}

// matches reports whether s is about c.
func (s Statement) matches(c Call) bool {
	action := func(pattern string) bool { return like(strings.ToLower(pattern), strings.ToLower(c.Action)) }
	resource := func(pattern string) bool { return like(pattern, c.Resource) }
	if !slices.ContainsFunc(s.Actions, action) || !slices.ContainsFunc(s.Resources, resource) {
		return false
	}
	for operator, keys := range s.Conditions {
		for key, wanted := range keys {
			if !holds(operator, wanted, key, c.Context) {
				return false
			}
		}
	}
	return true
}

// forAll begins an operator that looks at each of several values.
const forAll = "ForAllValues:"

// operations are the condition operators for one value and one wanted value.
var operations = map[string]func(wanted, value string) bool{
	"StringEquals": func(wanted, value string) bool { return wanted == value },
	"StringLike":   like,
	"Null":         nil, // looks at whether the key is there
}

// holds evaluates one key of one operator. Of a key that is not there no operator
// holds but Null and, which is the trap of it, ForAllValues.
func holds(operator string, wanted []string, key string, context map[string][]string) bool {
	values, present := context[key]
	if operator == "Null" {
		return slices.Contains(wanted, fmt.Sprint(!present))
	}
	name, all := strings.CutPrefix(operator, forAll)
	if !all && len(values) != 1 {
		return false
	}
	for _, value := range values {
		if !slices.ContainsFunc(wanted, func(w string) bool {
			w, known := expand(w, context)
			return known && operations[name](w, value)
		}) {
			return false
		}
	}
	return true
}

// expand puts the values of policy variables, such as ${aws:PrincipalTag/x}, into
// text. A text with an unknown variable equals nothing.
func expand(text string, context map[string][]string) (string, bool) {
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			return text, true
		}
		name, after, _ := strings.Cut(rest, "}")
		values := context[name]
		if len(values) != 1 {
			return "", false
		}
		text = before + values[0] + after
	}
}

// like matches * with any text and ? with any character, as IAM does.
func like(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	if pattern[0] == '*' {
		return like(pattern[1:], text) || (text != "" && like(pattern, text[1:]))
	}
	return text != "" && (pattern[0] == '?' || pattern[0] == text[0]) && like(pattern[1:], text[1:])
}
