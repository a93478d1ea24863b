package rules

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/evergrant/evergrant/"

// The packages that handlers and adapters may build on.
var base = []string{"internal/oauth", "internal/connection", "internal/seal", "pkg/providers"}

// allowed says which packages of the project each package may import. One that
// is not here may not exist. Dependencies point one way: functions → handlers
// and adapters → oauth, connection, providers.
var allowed = map[string][]string{
	"pkg/providers": {},
	"pkg/connect":   {},
	"pkg/tokens":    {},

	"internal/seal":         {},
	"internal/settings":     {},
	"internal/awsenv":       {},
	"internal/web":          {},
	"internal/rules":        {},
	"internal/eventtest":    {},
	"internal/tooltest":     {},
	"internal/canary":       {},
	"internal/canary/cmd":   {"internal/canary"},
	"internal/flowtest":     {},
	"internal/peers":        {},
	"internal/recipes":      {},
	"internal/template":     {},
	"internal/deployment":   {},
	"internal/artifacts":    {},
	"internal/architecture": {"internal/template"},
	"internal/metrics":      {},
	"internal/metricstest":  {},
	"internal/simulator":    {},
	"internal/oauth":        {"pkg/providers"},
	"internal/connection":   {"internal/oauth", "internal/seal", "pkg/providers"},

	"internal/authrequest": base,
	"internal/authorize":   append(base, "internal/web", "internal/authrequest", "pkg/connect"),
	"internal/callback":    append(base, "internal/metrics", "internal/web", "internal/authrequest", "internal/completion", "internal/spill"),
	"internal/completion":  append(base, "internal/metrics", "internal/authrequest", "internal/spill"),
	"internal/spill":       base,
	"internal/refresh":     append(base, "internal/metrics", "internal/spill"),
	"internal/connections": append(base, "internal/metrics", "internal/completion", "internal/spill"),
	"internal/events":      append(base, "pkg/connect"),

	"internal/dynamo":           base,
	"internal/bolt":             base,
	"internal/queue":            {},
	"internal/bus":              base,
	"internal/secrets":          base,
	"internal/connectiontest":   base,
	"internal/dynamotest":       append(base, "internal/template", "internal/dynamo", "internal/tooltest"),
	"internal/battery":          {"internal/canary", "internal/connection", "internal/eventtest"},
	"internal/mutate":           {"internal/dynamo"},
	"internal/corpus":           {},
	"internal/refreshmodel":     {},
	"internal/capacity":         append(base, "internal/template"),
	"internal/capacity/cmd":     {"internal/capacity"},
	"internal/artifacts/cmd":    {"internal/artifacts"},
	"internal/architecture/cmd": {"internal/architecture"},
	"internal/lambdatest":       {"internal/canary", "internal/dynamotest", "internal/simulator", "internal/template"},

	"internal/wiring": append(base, "internal/metrics", "internal/refresh", "internal/awsenv", "internal/secrets", "internal/settings", "internal/dynamo", "internal/queue"),

	"functions/authorize":   {"internal/authorize", "internal/settings", "internal/wiring"},
	"functions/callback":    {"internal/callback", "internal/settings", "internal/wiring"},
	"functions/refresh":     {"internal/refresh", "internal/settings", "internal/wiring"},
	"functions/connections": {"internal/connections", "internal/settings", "internal/wiring"},
	"functions/events":      {"internal/events", "internal/awsenv", "internal/bus", "internal/dynamo", "internal/secrets", "internal/settings"},

	"internal/local":  append(base, "internal/authorize", "internal/callback", "internal/refresh", "internal/connections", "internal/events", "internal/web", "internal/bolt", "internal/simulator", "internal/settings", "pkg/connect"),
	"internal/doctor": {"internal/authrequest", "internal/oauth", "internal/seal", "internal/settings", "internal/web", "pkg/connect", "pkg/providers"},
	"cmd/evergrant":   append(base, "internal/doctor", "internal/local", "internal/connections", "internal/secrets", "pkg/connect"),
}

// A listed package, as `go list -json` has it.
type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps=false", "-json=ImportPath,Imports,Deps", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestDependenciesPointOneWay(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		may, ok := allowed[name]
		if !ok {
			t.Errorf("%s is a new package: say in this test what it may import", name)
		}
		seen[name] = true
		for _, i := range p.Imports {
			if of, ours := strings.CutPrefix(i, module); ours && !slices.Contains(may, of) {
				t.Errorf("%s imports %s", name, of)
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %d packages listed", len(seen))
	}
}

// Handlers run in tests without the AWS SDK, and neither they nor what they
// build on reach an adapter, at any depth.
func TestHandlersAreFreeOfTheAWSSDK(t *testing.T) {
	free := []string{"internal/authorize", "internal/callback", "internal/refresh", "internal/connections", "internal/events", "internal/oauth", "internal/connection", "internal/web", "internal/simulator", "internal/connectiontest"}
	checked := 0
	for _, p := range packages(t) {
		if !slices.Contains(free, strings.TrimPrefix(p.ImportPath, module)) {
			continue
		}
		checked++
		for _, d := range p.Deps {
			if strings.HasPrefix(d, "github.com/aws/aws-sdk-go-v2") || d == "go.etcd.io/bbolt" {
				t.Errorf("%s depends on %s", p.ImportPath, d)
			}
		}
	}
	if checked != len(free) {
		t.Errorf("%d of %d packages found", checked, len(free))
	}
}

// pkg/providers, which everybody builds on, needs the standard library alone.
func TestProvidersNeedTheStandardLibraryAlone(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath != module+"pkg/providers" {
			continue
		}
		for _, d := range p.Imports {
			if first, _, _ := strings.Cut(d, "/"); strings.Contains(first, ".") {
				t.Errorf("pkg/providers imports %s", d)
			}
		}
	}
}

// golang.org/x/oauth2 is for those who read tokens; nothing that sends token
// requests may reach it (docs/design.md says why).
func TestOnlyReadersDependOnXOAuth2(t *testing.T) {
	found := false
	for _, p := range packages(t) {
		switch depends := slices.Contains(p.Deps, "golang.org/x/oauth2"); {
		case p.ImportPath == module+"pkg/tokens":
			found = depends
		case depends:
			t.Errorf("%s depends on golang.org/x/oauth2", p.ImportPath)
		}
	}
	if !found {
		t.Error("pkg/tokens no longer depends on golang.org/x/oauth2: remove this test and the dependency")
	}
}
