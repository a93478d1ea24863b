package lambdatest_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/evergrant/evergrant/internal/lambdatest"
)

// build makes all bootstraps, once for all tests of this process.
var build func() (map[string]string, error)

func TestMain(m *testing.M) {
	if way := os.Getenv("LAMBDATEST_BOOTSTRAP"); way != "" {
		bootstrap(way)
		return
	}
	dir, err := os.MkdirTemp("", "evergrant-bootstraps-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	build = sync.OnceValues(func() (map[string]string, error) {
		return lambdatest.Build(context.Background(), dir, "AuthorizeFunction", "CallbackFunction", "RefreshFunction", "ConnectionsFunction", "EventsFunction")
	})
	code := m.Run()
	if code == 0 && whole() {
		for _, problem := range tooWide(lambdatest.Unused()) {
			fmt.Fprintln(os.Stderr, problem)
			code = 1
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// whole reports whether all tests were run.
func whole() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list"} {
		if flag.Lookup(name).Value.String() != "" {
			return false
		}
	}
	return true
}

// bootstraps returns the path of each function's bootstrap. They are for Lambda,
// so no other system than Linux runs them.
func bootstraps(t testing.TB) map[string]string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("the built functions run on Linux alone")
	}
	paths, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
