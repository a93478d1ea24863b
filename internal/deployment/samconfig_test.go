package deployment

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/template"
)

// root is the repository, seen from here.
const root = "../.."

// A samconfig holds the tables of a samconfig.toml by their name, such as
// prod.deploy.parameters.
type samconfig map[string]map[string]any

// parseSamconfig reads the part of TOML that samconfig.toml uses: tables, and in
// them keys with a string, a number, a boolean or a list of these, each on one
// line and written as in JSON. It refuses anything else.
func parseSamconfig(source string) (samconfig, error) {
	tables, table := samconfig{}, ""
	tables[table] = map[string]any{}
	for number, line := range strings.Split(source, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if name, ok := strings.CutPrefix(line, "["); ok {
			table = strings.TrimSuffix(name, "]")
			if tables[table] != nil || !strings.HasSuffix(name, "]") {
				return nil, fmt.Errorf("line %d: %s is no table, or is there twice", number+1, line)
			}
			tables[table] = map[string]any{}
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		key = strings.TrimSpace(key)
		var v any
		if err := json.Unmarshal([]byte(value), &v); err != nil {
			return nil, fmt.Errorf("line %d: the value of %s: %w", number+1, key, err)
		}
		if _, ok := tables[table][key]; ok {
			return nil, fmt.Errorf("line %d: %s is there twice", number+1, key)
		}
		tables[table][key] = v
	}
	return tables, nil
}

func readSamconfig(t *testing.T) samconfig {
	t.Helper()
	source, err := os.ReadFile(root + "/samconfig.toml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseSamconfig(string(source))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// overrides returns the template's parameters that an environment sets.
func (c samconfig) overrides(t *testing.T, environment string) map[string]string {
	t.Helper()
	parameters := map[string]string{}
	list, _ := c[environment+".deploy.parameters"]["parameter_overrides"].([]any)
	for _, item := range list {
		name, value, ok := strings.Cut(fmt.Sprint(item), "=")
		if _, twice := parameters[name]; !ok || twice {
			t.Errorf("%s: %v is no Name=value, or is there twice", environment, item)
		}
		parameters[name] = value
	}
	return parameters
}

// environments are those that people deploy by the name of their tables.
var environments = []string{"dev", "staging", "prod"}

func TestEachEnvironmentSaysAllOfItsDeployment(t *testing.T) {
	c := readSamconfig(t)
	known := map[string]bool{"": true, "default.build.parameters": true, "default.validate.parameters": true, "default.deploy.parameters": true}
	for _, environment := range environments {
		stack := "evergrant-" + environment
		deploy := c[environment+".deploy.parameters"]
		known[environment+".global.parameters"], known[environment+".deploy.parameters"] = true, true
		want := map[string]any{
			"resolve_s3": true, "s3_prefix": stack, "capabilities": "CAPABILITY_IAM", "fail_on_empty_changeset": false,
			"confirm_changeset": environment == "prod", "tags": []any{"Service=evergrant", "Environment=" + environment},
		}
		if environment != "dev" {
			want["disable_rollback"] = false
		}
		got := maps.Clone(deploy)
		delete(got, "parameter_overrides")
		if a, b := text(t, got), text(t, want); a != b {
			t.Errorf("%s deploys with %s, want %s", environment, a, b)
		}
		// All commands find the stack: deploy, delete, logs and remote invoke.
		if got := text(t, c[environment+".global.parameters"]); got != text(t, map[string]any{"stack_name": stack}) {
			t.Errorf("%s has for all commands %s, want the stack's name %s alone", environment, got, stack)
		}
		if got := c.overrides(t, environment)["Environment"]; got != environment {
			t.Errorf("%s deploys the environment %q", environment, got)
		}
	}
	if c["default.build.parameters"]["build_in_source"] != true || c["default.validate.parameters"]["lint"] != true {
		t.Error("sam build copies the repository, or sam validate does not lint")
	}
	for _, name := range []string{"stack_name", "parameter_overrides", "confirm_changeset"} {
		if _, ok := c["default.deploy.parameters"][name]; ok {
			t.Errorf("[default] says %s, which `sam deploy --guided` asks for", name)
		}
	}
	for table := range c {
		if !known[table] {
			t.Errorf("[%s] is nothing that this test knows", table)
		}
	}
}

// CloudFormation would refuse it, but only in the account.
func TestEachEnvironmentSetsParametersThatTheTemplateTakes(t *testing.T) {
	c := readSamconfig(t)
	for _, environment := range environments {
		if _, err := template.Render(root+"/template.yaml", c.overrides(t, environment)); err != nil {
			t.Errorf("%s: %v", environment, err)
		}
	}
	for name, value := range map[string]string{"Environmant": "dev", "Environment": "production", "PublicUrl": "http://x.example", "DueShards": "0"} {
		if _, err := template.Render(root+"/template.yaml", map[string]string{name: value}); err == nil {
			t.Errorf("%s=%s is taken", name, value)
		}
	}
}

// Somebody is told where it matters, and nobody pays for alarms on what is tried out.
func TestProductionIsWatched(t *testing.T) {
	c := readSamconfig(t)
	for environment, want := range map[string][2]string{"dev": {"false", ""}, "staging": {"", ""}, "prod": {"true", "true"}} {
		o := c.overrides(t, environment)
		if got := [2]string{o["Alarms"], o["Dashboard"]}; got != want {
			t.Errorf("%s has the alarms and the dashboard %q, want %q", environment, got, want)
		}
	}
}

func TestASamconfigThatCannotBeReadNamesTheLine(t *testing.T) {
	for source, want := range map[string]string{
		"[a.b]\nx = 1\n[a.b]":        "line 3",
		"[a.b]\nx = 1\nx = 2":        "line 3",
		"[a.b]\nx = 'one'":           "line 2",
		"[a.b]\nx = [\n  1,\n]":      "line 2",
		"[a.b\n":                     "line 1",
		"[a.b]\n# c\nx = \"#\"\ny\n": "line 4",
	} {
		if _, err := parseSamconfig(source); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives error %v, want one with %q", source, err, want)
		}
	}
}

// text is v in JSON, with its keys in order.
func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
