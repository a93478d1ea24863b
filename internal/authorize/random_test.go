package authorize

import (
	"crypto/rand"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/oauth"
)

// No two authorization requests share a state or a verifier, which are one kind
// of value: 256 bits (RFC 9700 section 4.7.1, RFC 7636 section 7.1).
func TestNoTwoStatesAreAlike(t *testing.T) {
	shape, seen := regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`), map[string]bool{}
	for range 100_000 {
		s := oauth.NewState()
		if seen[s] || !shape.MatchString(s) {
			t.Fatalf("%q comes twice, or has not 43 characters", s)
		}
		seen[s] = true
	}
}

// exhausted is a source of randomness that fails.
type exhausted struct{}

func (exhausted) Read([]byte) (int, error) { return 0, errors.New("no entropy") }

// SECURITY row 21: where there is no randomness, the process ends before there
// is any state, weak or not. It has to be a process of its own.
func TestWithoutRandomnessNothingIsStarted(t *testing.T) {
	const variable = "EVERGRANT_TEST_WITHOUT_RANDOMNESS"
	if os.Getenv(variable) != "" {
		w := newWorld(t)
		ev := w.request("whiplash", w.ticket("whiplash", nil))
		rand.Reader = exhausted{}
		resp, err := w.Handle(t.Context(), ev)
		t.Fatalf("STARTED %d, %v", resp.StatusCode, err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWithoutRandomnessNothingIsStarted$")
	child.Env = append(os.Environ(), variable+"=1")
	out, err := child.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "fatal error: crypto/rand: failed to read random data") || strings.Contains(string(out), "STARTED") {
		t.Errorf("the process ends by %v: %s", err, out)
	}
	w := newWorld(t)
	if resp, err := w.Handle(t.Context(), w.request("whiplash", w.ticket("whiplash", nil))); err != nil || resp.StatusCode != http.StatusFound {
		t.Errorf("with randomness: %d, %v", resp.StatusCode, err)
	}
}
