package recipes

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A host that is written from README.md alone completes the connection that its
// user owns, whatever the query says, and knows how it went.
func TestAHostOfEachLanguageCompletes(t *testing.T) {
	t.Parallel()
	answers := map[string]string{
		"good":    `{"connection":{"connection_id":"mine"},"return_to":"https://app.example.com/done"}`,
		"foreign": `{"error":{"type":"mismatch","detail":"…"},"return_to":"https://app.example.com/done"}`,
		"used":    `{"error":{"type":"handle_used","detail":"…"}}`,

		"crashing": `{"errorMessage":"timed out","errorType":"Sandbox.Timedout"}`,
	}
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(allowing(t, "", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var in map[string]string
				err := json.NewDecoder(r.Body).Decode(&in)
				if err != nil || r.URL.Path != "/2015-03-31/functions/connections/invocations" || len(in) != 4 ||
					in["action"] != "complete" || in["provider"] != "whiplash" || in["connection_id"] != "mine" {
					t.Errorf("the function got %v by %s: %v", in, r.URL.Path, err)
				}
				if in["handle"] == "crashing" {
					w.Header().Set("X-Amz-Function-Error", "Unhandled")
				}
				_, _ = io.WriteString(w, answers[in["handle"]])
			}), "HostPolicy"))
			defer server.Close()
			out, _ := l.run(t, fmt.Sprintf(l.complete, l.program(t, completing)), "AWS_ENDPOINT_URL="+server.URL)
			var got []string
			for line := range strings.Lines(out) {
				var result [2]*string
				if err := json.Unmarshal([]byte(line), &result); err != nil || result[0] == nil {
					t.Fatalf("it printed %s", out)
				}
				to := "nowhere"
				if result[1] != nil && *result[1] != "" {
					to = *result[1]
				}
				got = append(got, *result[0]+" "+to)
			}
			if want := "connected https://app.example.com/done, mismatch https://app.example.com/done, handle_used nowhere, failed nowhere"; strings.Join(got, ", ") != want {
				t.Errorf("got %q, want %s", got, want)
			}
		})
	}
}
