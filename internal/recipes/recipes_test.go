package recipes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/tooltest"
)

// runTime is how long a program may take, which in Go is also compiled.
const runTime = 2 * time.Minute

// root is the repository, seen from this folder.
const root = "../.."

// The headings in README.md under which there are programs.
const (
	connecting = "Let a user connect"
	completing = "Complete the connection"
	reading    = "Read a token"
)

// A language is what a program is written in.
type language struct {
	name     string                   // of its fences
	command  func() ([]string, error) // that runs a program from its standard input
	connect  string                   // a frame around the program that makes a link; %s is the program
	complete string                   // the same around the one that completes a connection
	read     string                   // the same around the program that reads tokens
}

var languages = []language{
	{
		name: "go", command: golang,
		connect: goImports(`"os"`, `"time"`, `"github.com/aws/aws-sdk-go-v2/service/secretsmanager"`, `"github.com/evergrant/evergrant/pkg/connect"`) + `
	out, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("connect")})
	if err != nil {
		panic(err)
	}
	secret, publicURL := []byte(*out.SecretString), os.Getenv("PUBLIC_URL")
	%s
	if err != nil {
		panic(err)
	}
	fmt.Println(link)
}
`,
		complete: goImports(`"encoding/json"`, `"net/url"`, `"github.com/aws/aws-sdk-go-v2/service/lambda"`) + `
	connections := "connections"
	%s
	for _, handle := range []string{"good", "foreign", "used", "crashing"} {
		result, returnTo, err := complete(url.Values{"handle": {handle}, "provider": {"whiplash"}, "connection_id": {"asked"}}, "mine")
		if err != nil {
			panic(err)
		}
		printed, _ := json.Marshal([]string{result, returnTo})
		fmt.Println(string(printed))
	}
}
`,
		read: goImports(`"net/http"`, `"time"`, `"github.com/aws/aws-sdk-go-v2/service/dynamodb"`, `"golang.org/x/oauth2"`, `"github.com/evergrant/evergrant/pkg/tokens"`) + `
	var invokeConnectionsFunction func(ctx context.Context, payload []byte) ([]byte, error)
	table := "connections"
	%s
	fmt.Println(token, err, client)
}
`,
	},
	{
		name: "python", command: python,
		connect: "import os\nconnect_secret, public_url = 'connect', os.environ['PUBLIC_URL']\n%s\nprint(link)\n",
		complete: `connections = "connections"
%s
for handle in ["good", "foreign", "used", "crashing"]:
    print(json.dumps(complete({"handle": handle, "provider": "whiplash", "connection_id": "asked"}, "mine")))
`,
		read: `import os
table, connections = os.environ["TABLE"], "connections"
%s
for id in os.environ["IDS"].split():
    try:
        print(json.dumps([id, read({"connection_id": id, "provider": "whiplash"})["access_token"]]))
    except Exception as e:
        print(json.dumps([id, "error: " + str(e)]))
`,
	},
	{
		name: "js", command: node,
		connect: "const connectSecret = 'connect', publicURL = process.env.PUBLIC_URL;\n%s\nconsole.log(link);\n",
		complete: `const connections = "connections";
%s
for (const handle of ["good", "foreign", "used", "crashing"]) {
  console.log(JSON.stringify(await complete({ handle, provider: "whiplash", connection_id: "asked" }, "mine")));
}
`,
		read: `const table = process.env.TABLE, connections = "connections";
%s
for (const id of process.env.IDS.split(" ")) {
  try {
    console.log(JSON.stringify([id, (await read({ connection_id: id, provider: "whiplash" })).access_token]));
  } catch (e) {
    console.log(JSON.stringify([id, "error: " + e.message]));
  }
}
`,
	},
}

// programKey is the access key ID of the programs.
const programKey = "host"

// goImports begins the main of a Go program that imports packages beside those
// of each.
func goImports(packages ...string) string {
	return "package main\n\nimport (\n\t\"context\"\n\t\"fmt\"\n\n\t\"github.com/aws/aws-sdk-go-v2/aws\"\n\t\"github.com/aws/aws-sdk-go-v2/config\"\n\t" +
		strings.Join(packages, "\n\t") + `
)

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		panic(err)
	}
	_ = aws.String
`
}

// golang returns the command that runs a program in Go as a part of this
// module, which Go does by a file alone.
func golang() ([]string, error) {
	folder, err := filepath.Abs(root)
	return []string{"sh", "-c", `cat > "$TMPDIR/main.go" && cd "$0" && go build -o "$TMPDIR/program" "$TMPDIR/main.go" && exec "$TMPDIR/program"`, folder}, err
}

// errMissing is what stands between a test and a tool that is not installed.
var errMissing = errors.New("not installed: run make tools")

// python returns the command that runs a program in Python from its standard
// input.
func python() ([]string, error) {
	path, err := filepath.Abs(filepath.Join(root, ".tools", "venv", "bin", "python"))
	if err != nil {
		return nil, err
	}
	library := filepath.Join(filepath.Dir(path), "..", "lib", "python3*", "site-packages", "jwt")
	if found, err := filepath.Glob(library); err != nil || len(found) == 0 {
		return nil, fmt.Errorf("PyJWT is %w", errMissing)
	}
	return []string{path, "-"}, nil
}

// node returns the same for a module of Node, which finds its libraries by the
// folder that it is run in.
func node() ([]string, error) {
	path, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join(root, ".tools", "recipes", "node_modules", "jsonwebtoken"))
	}
	if err != nil {
		return nil, fmt.Errorf("Node or jsonwebtoken is %w", errMissing)
	}
	return []string{path, "--input-type=module", "-"}, nil
}

// A program is one in a document.
type program struct{ file, heading, language, text string }

// programs returns the programs in a Markdown file that are written in Go,
// Python or JavaScript.
func programs(t *testing.T, file string) (all []program) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	heading, fence, text := "", "", ""
	for line := range strings.Lines(string(data)) {
		mark, opens := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch title, found := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); {
		case opens && fence == "":
			fence, text = mark+"?", ""
		case opens:
			if language := strings.TrimSuffix(fence, "?"); slices.Contains([]string{"go", "python", "py", "js", "javascript", "mjs", "ts", "typescript"}, language) {
				all = append(all, program{file, heading, language, text})
			}
			fence = ""
		case fence != "":
			text += line
		case found && line[0] == '#':
			heading = strings.TrimSpace(title)
		}
	}
	return all
}

// program returns the one program of l under a heading of README.md.
func (l language) program(t *testing.T, heading string) string {
	t.Helper()
	var found []program
	for _, p := range programs(t, "README.md") {
		if p.heading == heading && p.language == l.name {
			found = append(found, p)
		}
	}
	if len(found) != 1 {
		t.Fatalf("README.md has %d programs in %s under %q", len(found), l.name, heading)
	}
	return found[0].text
}

// run runs a program, with an environment of its own, and returns what it
// prints, and what to its standard error.
func (l language) run(t *testing.T, source string, env ...string) (out, warnings string) {
	t.Helper()
	command, err := l.command()
	if errors.Is(err, errMissing) {
		tooltest.Missing(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), runTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = filepath.Join(root, ".tools", "recipes")
	if l.name != "js" {
		cmd.Dir = t.TempDir()
	}
	cmd.Stdin = strings.NewReader(source)
	if l.name == "go" {
		env = append(os.Environ(), append(env, "TMPDIR="+cmd.Dir)...)
	}
	cmd.Env = append(env, "AWS_REGION=eu-central-1", "AWS_DEFAULT_REGION=eu-central-1", "AWS_ACCESS_KEY_ID="+programKey, "AWS_SECRET_ACCESS_KEY=host", "AWS_EC2_METADATA_DISABLED=true")
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stderr.String(), source)
	}
	return stdout.String(), stderr.String()
}

func TestEveryProgramInADocumentIsRun(t *testing.T) {
	run := map[string]bool{}
	for _, l := range languages {
		for _, heading := range []string{connecting, completing, reading} {
			run["README.md, "+heading+", "+l.name] = true
		}
	}
	documents := []string{"README.md"}
	if err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".md") {
			documents = append(documents, strings.TrimPrefix(path, root))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range documents {
		for _, p := range programs(t, file) {
			found++
			if where := file + ", " + p.heading + ", " + p.language; !run[where] {
				t.Errorf("%s: no test of this package runs it", where)
			}
			_, recipe, _ := strings.Cut(p.text, "\n\n") // below its imports
			if lines := strings.Count(recipe, "\n"); p.heading == connecting && lines > 6 {
				t.Errorf("%s, %s, %s: a recipe of %d lines", file, p.heading, p.language, lines)
			}
		}
	}
	if found != len(run) {
		t.Errorf("%d programs found, %d known", found, len(run))
	}
}

// The lock file says what is installed, by its hash, and not from where.
func TestTheLockFileNamesNoRegistry(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct{ Version, Resolved, Integrity string }
	}
	if err := json.Unmarshal(data, &lock); err != nil || len(lock.Packages) < 5 {
		t.Fatalf("%d packages: %v", len(lock.Packages), err)
	}
	for name, p := range lock.Packages {
		if p.Resolved != "" || name != "" && (p.Integrity == "" || p.Version == "") {
			t.Errorf("%s: resolved %q, integrity %q, version %q", name, p.Resolved, p.Integrity, p.Version)
		}
	}
}
