package rules

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// debugging are packages that show what a process holds, or run what somebody
// else has written, by the beginning of their path, and why no function has them.
var debugging = map[string]string{
	"net/http/pprof":                 "serves the memory of the process",
	"runtime/pprof":                  "writes the memory of the process down",
	"runtime/trace":                  "writes down what the process does",
	"expvar":                         "serves variables of the process",
	"net/rpc":                        "is a second way in, which lambda.norpc leaves out",
	"plugin":                         "loads code",
	"os/exec":                        "runs programs",
	"testing":                        "is for tests",
	"go.opentelemetry.io/":           "sends URLs, whose queries hold codes and secrets",
	"github.com/aws/aws-xray-sdk-go": "sends URLs, whose queries hold codes and secrets",
}

// What is deployed can be asked for nothing but its work, and sends nobody the
// URLs that it calls. The tag is that of the Makefile.
func TestNoFunctionCanBeDebuggedOrTraced(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", "lambda.norpc", "-f", "{{.ImportPath}}", module+"functions/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := strings.Fields(string(out))
	for _, p := range packages {
		for beginning, why := range debugging {
			if strings.HasPrefix(p, beginning) {
				t.Errorf("a function has %s, which %s", p, why)
			}
		}
	}
	if len(packages) < 100 {
		t.Errorf("only %d packages are listed", len(packages))
	}
}

// Every module is the one that the checksum database knows: none is replaced, and
// nothing here turns the check off.
func TestEveryModuleIsChecked(t *testing.T) {
	off := regexp.MustCompile(`(?m)^replace\b|GONOSUMDB|GONOSUMCHECK|GOSUMDB|GOPRIVATE|GOINSECURE|-mod=mod|--no-verify`)
	for _, file := range []string{"go.mod", "Makefile", ".ci/run"} {
		b, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if found := off.FindString(string(b)); found != "" {
			t.Errorf("%s has %s", file, found)
		}
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil || strings.Count(string(sums), " h1:") < 20 {
		t.Errorf("go.sum holds %d sums: %v", strings.Count(string(sums), " h1:"), err)
	}
}

// credential is what a key or token of some service looks like, whoever it is of.
var credential = regexp.MustCompile(`\b(AKIA|ASIA)[0-9A-Z]{16}\b|-----BEGIN [A-Z ]*PRIVATE KEY-----|\bgh[pousr]_[A-Za-z0-9]{36}\b|\bxox[abprs]-[0-9A-Za-z-]{10,}|\bsk_live_[0-9A-Za-z]{16,}|\bAIza[0-9A-Za-z_-]{35}\b`)

// Nobody's credentials are in the repository, also none of a test that a service
// would take.
func TestNoCredentialIsInTheRepository(t *testing.T) {
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == "build" || name == ".git" || name == ".tools" || name == ".aws-sam" || name == ".evergrant" || name == "node_modules") {
			return fs.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		files++
		b, err := os.ReadFile(path)
		for _, found := range credential.FindAllString(string(b), -1) {
			if !strings.Contains(found, "TEST") { // which the one of the tests has in it
				t.Errorf("%s holds %.8s…", path, found)
			}
		}
		return err
	})
	if err != nil || files < 200 {
		t.Fatalf("%d files read: %v", files, err)
	}
}
