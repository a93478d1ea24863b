package template

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestIntrinsicFunctionsRender(t *testing.T) {
	const head = `
Parameters:
  Name: {Type: String, Default: a}
  Count: {Type: Number, Default: 3, MinValue: 1, MaxValue: 9}
Conditions:
  IsA: !Equals [!Ref Name, a]
  Three: !Equals [!Ref Count, "3"]
  Both: !And [!Condition IsA, !Condition Three]
  Neither: !Not [!Or [!Condition IsA, !Condition Three]]
Resources:
  Table: {Type: "AWS::DynamoDB::Table"}
  Gone: {Type: "AWS::DynamoDB::Table", Condition: Neither}
  R:
    Type: T
    P: `
	tests := map[string]struct{ node, want string }{
		"parameter":             {`!Ref Name`, `"a"`},
		"pseudo parameter":      {`!Ref AWS::Region`, `"eu-central-1"`},
		"attribute":             {`!GetAtt Table.Arn`, `"arn:aws:dynamodb:eu-central-1:123456789012:table/stack-Table"`},
		"substitution":          {`!Sub "${Name}-${Table}-${Table.Arn}-${!Kept}"`, `"a-stack-Table-arn:aws:dynamodb:eu-central-1:123456789012:table/stack-Table-${Kept}"`},
		"variables of its own":  {`!Sub ["${X}/${Name}", {X: !Ref Count}]`, `"3/a"`},
		"if":                    {`!If [Both, {Yes: 1}, no]`, `{"Yes":1}`},
		"else":                  {`!If [Neither, !Ref Gone, no]`, `"no"`},
		"no value in a list":    {`[1, !If [Neither, 2, !Ref "AWS::NoValue"]]`, `[1]`},
		"no value in a mapping": {`{A: 1, B: !Ref "AWS::NoValue"}`, `{"A":1}`},
		"join":                  {`!Join ["", [a, !If [Neither, b, !Ref "AWS::NoValue"], !Ref Count]]`, `"a3"`},
		"select and split":      {`!Select [1, !Split [":", "x:y"]]`, `"y"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			doc, err := parse([]byte(head + tt.node + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			stack, err := render(doc, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := json.Marshal(stack.Resources["R"]["P"]); string(got) != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if stack.Resources["Gone"] != nil {
				t.Error("a resource whose condition is not met is there")
			}
		})
	}
}

func TestReferencesOfATranslatedTemplateStay(t *testing.T) {
	doc, err := parse([]byte(`
Parameters: {Name: {Default: n}}
Conditions: {Never: !Equals [!Ref Name, ""]}
Resources:
  Gone: {Type: T, Condition: Never}
  R:
    Type: T
    P: [!Ref Name, {Condition: {Bool: c}}, !Ref R, !GetAtt R.Arn, !Ref Gone, !Sub "${AWS::StackName}-${R.Arn}/${Name}", !Join ["/", [a, !Ref R]], !Sub ["${X}:${!Kept}", {X: !Ref R}]]
Outputs: {O: {Value: !Ref R}}`))
	if err != nil {
		t.Fatal(err)
	}
	stack, err := RenderTranslated("mine", doc, map[string]string{"Name": "x"})
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(stack)
	want := `{"Resources":{"R":{"P":["x",{"Condition":{"Bool":"c"}},"${R}","${R.Arn}","${Gone}","mine-${R.Arn}/x","a/${R}","${R}:${Kept}"],"Type":"T"}},"Outputs":{"O":"${R}"}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWhatCannotBeDeployedDoesNotRender(t *testing.T) {
	tests := map[string]struct {
		source     string
		parameters map[string]string
		reason     string
	}{
		"a reference to nothing":           {"Resources: {R: {P: !Ref Nothing}}", nil, "Nothing"},
		"a reference to what is left out":  {"Conditions: {No: !Equals [a, b]}\nResources: {Q: {Condition: No}, R: {P: !Ref Q}}", nil, "Q"},
		"a condition that is not there":    {"Resources: {R: {Condition: No}}", nil, "no condition No"},
		"a condition that is none":         {"Conditions: {C: !Ref P}\nResources: {R: {Condition: C}}", nil, "no condition"},
		"an unknown function":              {"Resources: {R: {P: !Cidr [a, b]}}", nil, "Fn::Cidr"},
		"an unknown attribute":             {"Resources: {R: {Type: T, P: !GetAtt R.Colour}}", nil, "Colour"},
		"an output of nothing":             {"Outputs: {O: {Value: !Ref Nothing}}", nil, "output O"},
		"a parameter that there is not":    {"Resources: {}", map[string]string{"P": "1"}, "no parameter P"},
		"a value that is not in the list":  {"Parameters: {P: {AllowedValues: [a], Default: a}}", map[string]string{"P": "b"}, `"b" is none of`},
		"a value that does not match":      {"Parameters: {P: {AllowedPattern: \"^$|^x\", Default: \"\"}}", map[string]string{"P": "y"}, "does not match"},
		"a number that is too large":       {"Parameters: {P: {Type: Number, MinValue: 1, MaxValue: 2, Default: 1}}", map[string]string{"P": "3"}, "MaxValue"},
		"a default that is not allowed":    {"Parameters: {P: {AllowedValues: [a], Default: c}}", nil, "parameter P"},
		"a number that is none":            {"Parameters: {P: {Type: Number, Default: x}}", nil, "no whole number"},
		"a variable without an end":        {"Resources: {R: {P: !Sub \"${A\"}}", nil, "without an end"},
		"a stream of a table without one":  {"Resources: {T: {Type: \"AWS::DynamoDB::Table\"}, R: {P: !GetAtt T.StreamArn}}", nil, "no stream"},
		"an element that is not there":     {"Resources: {R: {P: !Select [2, [a]]}}", nil, "no element 2"},
		"what a rule refuses":              {"Parameters: {P: {Default: a}}\nRules: {Two: {RuleCondition: !Equals [!Ref P, a], Assertions: [{Assert: !Not [!Equals [!Ref P, a]], AssertDescription: not a}]}}", nil, "Two refuses the parameters: not a"},
		"a comparison with what is absent": {"Conditions: {C: !Equals [!Ref Nothing, a]}\nResources: {R: {Condition: C}}", nil, "Nothing"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			doc, err := parse([]byte(tt.source))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := render(doc, tt.parameters); err == nil || !strings.Contains(err.Error(), tt.reason) {
				t.Errorf("error %v, want one with %q", err, tt.reason)
			}
		})
	}
}
