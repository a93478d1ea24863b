package recipes

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/tooltest"
)

// Each command of the AWS CLI in README.md and docs names an operation with
// parameters that it has, and all that it wants, as botocore knows them, of which
// the CLI is made. No test runs the CLI itself: it wants an account.
func TestEachCommandOfTheAWSCLIIsWhole(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		commands = append(commands, awsCommands(string(text))...)
	}
	if len(commands) < 15 {
		t.Errorf("%d commands were found: %q", len(commands), commands)
	}
	for _, problem := range judgeCommands(t, commands) {
		t.Error(problem)
	}
}

// The check itself finds what a person could mistype.
func TestACommandOfTheAWSCLIThatWouldNotRunIsFound(t *testing.T) {
	text := "`aws dynamodb update-table --deletion-protection-enabled` and `aws dynamodb\n  list-backups --kind SYSTEM`.\n\n```\n" + `evergrant list
aws dynamodb get-item --table-name t \
  --key '{"provider": {"S": "a | b"}}'
export F="$(aws cloudformation describe-stack --stack-name s)"
aws logs filter-log-events --start-time yesterday | evergrant rescue
aws dynamodb list-backups --backup-type system --limit
aws s4 copy
` + "```\n"
	want := []string{
		"it lacks --table-name", "list-backups takes no kind", "no such operation", "--start-time is no number",
		"--backup-type is none of USER, SYSTEM, AWS_BACKUP, ALL", "--limit has no value", "no such operation",
	}
	got := judgeCommands(t, awsCommands(text))
	if !slices.EqualFunc(got, want, strings.Contains) {
		t.Errorf("problems %q, want %q", got, want)
	}
}

// What finds the code of a page, and in it what the AWS CLI is asked.
var (
	fences = regexp.MustCompile("(?ms)^ *```[a-z]*$(.*?)^ *```$")
	spans  = regexp.MustCompile("`([^`]+)`")
	lines  = regexp.MustCompile(`\\\n\s*`)
	starts = regexp.MustCompile(`(?m)(?:^ *|\$\()(aws )`)
)

// awsCommands returns the commands of the AWS CLI in the code of a page, each with
// what follows it there.
func awsCommands(page string) (commands []string) {
	var blocks []string
	for _, m := range spans.FindAllStringSubmatch(fences.ReplaceAllString(page, ""), -1) {
		blocks = append(blocks, strings.Join(strings.Fields(m[1]), " "))
	}
	for _, m := range fences.FindAllStringSubmatch(page, -1) {
		blocks = append(blocks, lines.ReplaceAllString(m[1], ""))
	}
	for _, block := range blocks {
		for _, at := range starts.FindAllStringSubmatchIndex(block, -1) {
			commands = append(commands, block[at[2]:])
		}
	}
	return commands
}

// judgeCommands returns what botocore finds wrong with commands.
func judgeCommands(t *testing.T, commands []string) (problems []string) {
	t.Helper()
	run, err := python()
	if err != nil {
		tooltest.Missing(t, err)
	}
	script, err := filepath.Abs(filepath.Join("testdata", "commands.py"))
	if err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(commands)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), run[0], script)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &problems)
	}
	if err != nil {
		t.Fatalf("judge commands: %v", err)
	}
	return problems
}
