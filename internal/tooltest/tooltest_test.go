package tooltest

import (
	"os"
	"path/filepath"
	"testing"
)

// An ended notes how a test ends.
type ended struct {
	testing.TB
	how string
}

func (e *ended) Helper()      {}
func (e *ended) Skip(...any)  { e.how = "skipped"; panic(e) }
func (e *ended) Fatal(...any) { e.how = "failed"; panic(e) }

func TestWithoutItsToolATestIsSkippedAndFailsInCI(t *testing.T) {
	here := filepath.Join(t.TempDir(), "tool")
	if err := os.WriteFile(here, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", "")
	tests := map[string]struct {
		find func(testing.TB) string
		want bool // it is there
	}{
		"a file that is there":      {func(t testing.TB) string { return Installed(t, here) }, true},
		"a file that is not":        {func(t testing.TB) string { return Installed(t, here+"s") }, false},
		"a browser that is not":     {Chromium, false},
		"what somebody else missed": {func(t testing.TB) string { Missing(t, "x"); return "" }, false},
		"a browser that is named":   {func(t testing.TB) string { t.Setenv("CHROMIUM", here); return Chromium(t) }, true},
	}
	for name, tt := range tests {
		for ci, want := range map[string]string{"": "skipped", "true": "failed"} {
			t.Run(name+", CI="+ci, func(t *testing.T) {
				t.Setenv("CI", ci)
				t.Setenv("CHROMIUM", "")
				e := &ended{TB: t}
				func() {
					defer func() { _ = recover() }()
					if path := tt.find(e); path == "" {
						t.Error("it has no path")
					}
				}()
				if tt.want {
					want = ""
				}
				if e.how != want {
					t.Errorf("the test is %q, want %q", e.how, want)
				}
			})
		}
	}
}
