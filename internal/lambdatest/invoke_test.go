//go:build invoke

package lambdatest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/evergrant/evergrant/internal/eventtest"
)

// TestInvoke is `make invoke`: the function INVOKE_FUNCTION, as built, serves the
// event in the file INVOKE_EVENT, in a new deployment with the simulated providers.
// A placeholder of a file in events/ gets the value that it has in served. What
// the function printed goes to standard error, its answer to standard output.
func TestInvoke(t *testing.T) {
	name, file := os.Getenv("INVOKE_FUNCTION"), os.Getenv("INVOKE_EVENT")
	event, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := deploy(t, forEvents)
	if name != "AuthorizeFunction" && name != "CallbackFunction" {
		d.connect("whiplash") // what is to be refreshed, read, disconnected or told
		d.connect("whatnot")
	}
	here, err := filepath.Abs("../../events")
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(file) == here {
		event = eventtest.Read(t, filepath.Base(file), placeholders(d, filepath.Base(file)))
	}
	answer, err := d.function(name).Invoke(t.Context(), event)
	fmt.Fprint(os.Stderr, d.function(name).Output())
	if err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	if err := json.Indent(&shown, answer, "", "  "); err != nil {
		t.Fatalf("%s answers %s: %v", name, answer, err)
	}
	fmt.Println(shown.String())
}

// placeholders lets happen what the first row of served for a file takes.
func placeholders(d *deployment, file string) map[string]string {
	for _, s := range served {
		if s.file == file && s.given != nil {
			return s.given(d)
		}
	}
	return nil
}
