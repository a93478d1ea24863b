package rules

import (
	"slices"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/settings"
	"github.com/evergrant/evergrant/internal/template"
)

// What template.yaml gives a function is what its main.go demands, both ways.
// No deployment offers ALLOW_PRIVATE_PROVIDERS, which is for development.
func TestTemplateAndFunctionsAgreeOnSettings(t *testing.T) {
	environment, err := template.Environment(root + "/template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []settings.Function{settings.Authorize, settings.Callback, settings.Refresh, settings.Connections, settings.Events} {
		name := strings.ToUpper(string(f[:1])) + string(f[1:]) + "Function"
		want := slices.DeleteFunc(slices.Sorted(slices.Values(f.Names())), func(s string) bool { return s == "ALLOW_PRIVATE_PROVIDERS" })
		if got := environment[name]; !slices.Equal(got, want) {
			t.Errorf("%s gets %v, main.go demands %v", name, got, want)
		}
		delete(environment, name)
	}
	for name := range environment {
		t.Errorf("%s is no function that this test knows", name)
	}
}
