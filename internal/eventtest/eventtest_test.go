package eventtest

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

func TestReadReplacesPlaceholders(t *testing.T) {
	hostile := `a"b\c` + "\n<é"
	var got struct {
		QueryStringParameters map[string]string
		Cookies               []string
	}
	event := Read(t, "callback.json", map[string]string{"code": hostile, "state": "s", "cookie": "name=value"})
	if err := json.Unmarshal(event, &got); err != nil {
		t.Fatal(err)
	}
	if got.QueryStringParameters["code"] != hostile || got.QueryStringParameters["state"] != "s" || got.Cookies[0] != "name=value" {
		t.Errorf("event = %+v", got)
	}
}

// A failing is a test that keeps why it failed.
type failing struct {
	testing.TB
	why string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.why = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestReadFailsForWhatDoesNotFit(t *testing.T) {
	tests := []struct {
		name, event string
		replace     map[string]string
		want        string
	}{
		{"no such event", "nothing-like-this", nil, "no such file"},
		{"a placeholder without a value", "authorize.json", nil, "${ticket}, which the test does not replace"},
		{"a value without a placeholder", "authorize.json", map[string]string{"ticket": "t", "state": "s"}, "no placeholder ${state}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := &failing{TB: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				Read(f, tt.event, tt.replace)
			}()
			<-done
			if !strings.Contains(f.why, tt.want) {
				t.Errorf("failed with %q, want %q", f.why, tt.want)
			}
		})
	}
}
