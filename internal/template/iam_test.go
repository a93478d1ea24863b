package template

import (
	"encoding/json"
	"strings"
	"testing"
)

// What IAM says of a policy, as its user guide describes the evaluation of
// policies ("Policy evaluation logic", "Condition operators", "Set operators",
// read on 2026-11-23).
func TestPoliciesAreEvaluatedAsIAMDoes(t *testing.T) {
	const (
		table  = "arn:aws:dynamodb:eu-central-1:123456789012:table/a"
		get    = `{"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"` + table + `"}`
		anyGet = `{"Effect":"Allow","Action":"dynamodb:Get*","Resource":"arn:aws:dynamodb:*:*:table/?"}`
		deny   = `{"Effect":"Deny","Action":"dynamodb:*","Resource":"` + table + `"}`
		own    = `{"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"*","Condition":{"ForAllValues:StringLike":{"dynamodb:LeadingKeys":["${aws:PrincipalTag/id}","${aws:PrincipalTag/id}:*"]}}}`
		there  = `{"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"*","Condition":{"Null":{"dynamodb:Attributes":"false"}}}`
		source = `{"Effect":"Allow","Action":"events:PutEvents","Resource":"*","Condition":{"StringEquals":{"events:source":["a","b"],"x:y":"z"}}}`
	)
	tag := func(id string, keys ...string) map[string][]string {
		c := map[string][]string{"dynamodb:LeadingKeys": keys}
		if id != "" {
			c["aws:PrincipalTag/id"] = []string{id}
		}
		return c
	}
	tests := map[string]struct {
		statements string
		action     string
		resource   string
		context    map[string][]string
		want       bool
	}{
		"nothing is allowed by itself":               {``, "dynamodb:GetItem", table, nil, false},
		"an exact statement":                         {get, "dynamodb:GetItem", table, nil, true},
		"actions are the same in any case":           {get, "DynamoDB:getitem", table, nil, true},
		"another action":                             {get, "dynamodb:GetItems", table, nil, false},
		"another resource":                           {get, "dynamodb:GetItem", table + "b", nil, false},
		"the index of a table is another resource":   {get, "dynamodb:GetItem", table + "/index/due", nil, false},
		"wildcards":                                  {anyGet, "dynamodb:GetRecords", table, nil, true},
		"? is one character":                         {anyGet, "dynamodb:GetItem", table + "b", nil, false},
		"* goes over slashes":                        {strings.Replace(anyGet, "table/?", "*", 1), "dynamodb:GetItem", table + "/index/x", nil, true},
		"a denial goes first":                        {get + "," + deny, "dynamodb:GetItem", table, nil, false},
		"one's own key":                              {own, "dynamodb:GetItem", table, tag("acct_42", "acct_42"), true},
		"a key below it":                             {own, "dynamodb:GetItem", table, tag("acct_42", "acct_42:shop"), true},
		"a key that only begins alike":               {own, "dynamodb:GetItem", table, tag("acct_42", "acct_420"), false},
		"one of several keys is another's":           {own, "dynamodb:GetItem", table, tag("acct_42", "acct_42", "acct_7"), false},
		"without the tag nobody's":                   {own, "dynamodb:GetItem", table, tag("", ""), false},
		"ForAllValues is content with no value":      {own, "dynamodb:GetItem", table, nil, true},
		"Null wants the key to be there":             {there, "dynamodb:GetItem", table, nil, false},
		"Null, and it is there":                      {there, "dynamodb:GetItem", table, map[string][]string{"dynamodb:Attributes": {"a"}}, true},
		"one of the wanted values, each of the keys": {source, "events:PutEvents", "*", map[string][]string{"events:source": {"b"}, "x:y": {"z"}}, true},
		"one of the keys differs":                    {source, "events:PutEvents", "*", map[string][]string{"events:source": {"b"}, "x:y": {"y"}}, false},
		"one of the keys is not there":               {source, "events:PutEvents", "*", map[string][]string{"events:source": {"b"}}, false},
		"StringEquals knows no wildcard":             {source, "events:PutEvents", "*", map[string][]string{"events:source": {"*"}, "x:y": {"z"}}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			policy := policyOf(t, tt.statements)
			if got := policy.Allows(Call{Action: tt.action, Resource: tt.resource, Context: tt.context}); got != tt.want {
				t.Errorf("allowed: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestAStatementThatIsNotUnderstoodIsAnError(t *testing.T) {
	for name, statement := range map[string]string{
		"an unknown element":  `{"Effect":"Allow","NotAction":"dynamodb:GetItem","Resource":"*"}`,
		"an unknown operator": `{"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"*","Condition":{"StringEqualsIfExists":{"a":"b"}}}`,
		"no resource":         `{"Effect":"Allow","Action":"dynamodb:GetItem"}`,
		"an unknown effect":   `{"Effect":"allow","Action":"dynamodb:GetItem","Resource":"*"}`,
	} {
		t.Run(name, func(t *testing.T) {
			var node any
			if err := json.Unmarshal([]byte(statement), &node); err != nil {
				t.Fatal(err)
			}
			if s, err := parseStatement(node); err == nil {
				t.Errorf("it is read as %+v", s)
			}
		})
	}
}

// policyOf parses statements, separated by commas.
func policyOf(t *testing.T, statements string) Policy {
	t.Helper()
	var nodes []any
	if err := json.Unmarshal([]byte("["+statements+"]"), &nodes); err != nil {
		t.Fatal(err)
	}
	var policy Policy
	for _, node := range nodes {
		s, err := parseStatement(node)
		if err != nil {
			t.Fatal(err)
		}
		policy = append(policy, s)
	}
	return policy
}
