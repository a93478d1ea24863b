package mutate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/evergrant/evergrant/internal/dynamo"
	"github.com/evergrant/evergrant/internal/dynamotest"
)

// equal holds the mutants that change nothing, each with the reason.
var equal = map[string]string{}

// A variant is a setting under which a test must turn red, and its name.
type variant struct{ name, setting string }

// The stores' tests run once for each part of each condition, and must fail
// without it. MUTATE=all is for all stores. Without it only the one in memory is
// played, which takes seconds.
func TestNoConditionIsTooMany(t *testing.T) {
	all := os.Getenv("MUTATE") == "all"
	unplayed := maps.Clone(equal)
	for _, store := range []struct{ name, tests string }{
		{"connectiontest", "^TestMemoryKeepsEveryPromise$"},
		{"bolt", "^TestBoltKeepsEveryPromise$"},
		{"dynamo", "."},
	} {
		if !all && store.name != "connectiontest" {
			continue
		}
		t.Run(store.name, func(t *testing.T) {
			p := build(t, store.name, store.tests)
			if store.name == "dynamo" {
				p.env = append(p.env, "DYNAMODB_ENDPOINT="+dynamotest.Open(t).Endpoint)
				p.variants = append(p.variants, conditions(t, p)...)
			} else if out, err := p.run(t.Context()); err != nil {
				t.Fatalf("the tests fail without a mutant: %v\n%s", err, out)
			}
			if len(p.variants) < 20 {
				t.Fatalf("only %d mutants were found", len(p.variants))
			}
			p.play(t)
			for _, v := range p.variants {
				delete(unplayed, v.name)
			}
		})
	}
	if all && !t.Failed() && !t.Skipped() {
		for name := range unplayed {
			t.Errorf("there is no such mutant: %s", name)
		}
	}
}

// A program is the tests of a package, with its variants.
type program struct {
	dir, binary, tests string
	env                []string
	variants           []variant
}

// build builds the tests of a store, in which its Go conditions can be taken
// away.
func build(t *testing.T, store, tests string) *program {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", store))
	if err != nil {
		t.Fatal(err)
	}
	mutants, files, err := Source(dir)
	if err != nil {
		t.Fatal(err)
	}
	scratch := t.TempDir()
	replace := map[string]string{}
	for path, text := range files {
		replace[path] = filepath.Join(scratch, filepath.Base(path))
		write(t, replace[path], []byte(text))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(scratch, "overlay.json"), overlay)
	p := &program{dir: dir, binary: filepath.Join(scratch, "tests"), tests: tests}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", filepath.Join(scratch, "overlay.json"), "-o", p.binary, ".")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the mutants: %v\n%s", err, out)
	}
	for _, m := range mutants {
		p.variants = append(p.variants, variant{store + " " + m.Name, goMutant + "=" + strconv.Itoa(m.Number)})
	}
	return p
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// run runs the tests up to the first that fails, under a setting or none. It
// leaves out the slow one of pages, which is about reading.
func (p *program) run(ctx context.Context, setting ...string) (string, error) {
	cmd := exec.CommandContext(ctx, p.binary, "-test.run", p.tests, "-test.skip", "/due_is_paged", "-test.failfast", "-test.timeout", "60s")
	cmd.Dir, cmd.Env = p.dir, slices.Concat(os.Environ(), p.env, setting)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// conditions returns a variant for each part of each condition that the tests
// send to DynamoDB.
func conditions(t *testing.T, p *program) (variants []variant) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "calls")
	if out, err := p.run(t.Context(), callLog+"="+log); err != nil {
		t.Fatalf("the tests fail without a mutant: %v\n%s", err, out)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	called, seen := map[string]bool{}, map[Call]bool{}
	for line := range bytes.Lines(text) {
		var c Call
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		called[c.Operation] = true
		if c.Condition == "" || c.Operation == "" || seen[c] {
			continue
		}
		seen[c] = true
		for _, v := range Without(c.Condition) {
			change, err := json.Marshal(Change{c, v.Condition})
			if err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("DynamoDB %s: %s without %s", c.Operation, c.Condition, v.Lacks)
			variants = append(variants, variant{name, conditionMutant + "=" + string(change)})
		}
	}
	for m := range reflect.TypeFor[*dynamo.Store]().Methods() {
		if !called[m.Name] {
			t.Errorf("no test calls %s, so that its condition, if it has one, was not found", m.Name)
		}
	}
	return variants
}

// play runs the tests under each variant, and demands that they fail.
func (p *program) play(t *testing.T) {
	t.Helper()
	work := make(chan variant)
	var wg sync.WaitGroup
	for range runtime.NumCPU() {
		wg.Go(func() {
			for v := range work {
				out, err := p.run(t.Context(), v.setting)
				var exit *exec.ExitError
				switch reason := equal[v.name]; {
				case err != nil && !errors.As(err, &exit) || strings.Contains(out, invalid):
					t.Errorf("%s: it could not be played: %v\n%s", v.name, err, out)
				case err == nil && reason == "":
					t.Errorf("no test needs this condition, or part of one: %s", v.name)
				case err != nil && reason != "":
					t.Errorf("%s: a test fails, although %s", v.name, reason)
				}
				if testing.Verbose() {
					t.Logf("%s: %s", v.name, firstFailure(out))
				}
			}
		})
	}
	for _, v := range p.variants {
		work <- v
	}
	close(work)
	wg.Wait()
	t.Logf("%d mutants", len(p.variants))
}

// firstFailure returns the name of the test that failed first.
func firstFailure(out string) string {
	failed := "no test fails"
	for line := range strings.Lines(out) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "--- FAIL: "); ok {
			failed, _, _ = strings.Cut(name, " (") // a subtest stands below its test
		}
	}
	return failed
}
