package oauth

import (
	"net/http"
	"testing"
	"time"
)

// The last request that a provider allows is followed by a pause as long as its
// answer asks for, whatever the spelling.
func TestExhausted(t *testing.T) {
	tests := []struct {
		name   string
		header map[string]string
		want   time.Duration
	}{
		{"nothing is said", nil, 0},
		{"some are left", map[string]string{"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "30"}, 0},
		{"none is left, in seconds", map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}, 30 * time.Second},
		{"none is left, in Unix seconds", map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795435245"}, 45 * time.Second},
		{"in fractions of Unix seconds", map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795435201.5"}, 1500 * time.Millisecond},
		{"a reset that is over", map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795435100"}, 0},
		{"Whiplash's spelling", map[string]string{"X-Ratelimit-Remaining": "0", "x-ratelimit-reset": "5"}, 5 * time.Second},
		{"the draft's names", map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "1"}, time.Second},
		{"the draft's names in lower case, spaces around", map[string]string{"ratelimit-remaining": " 0 ", "ratelimit-reset": " 1 "}, time.Second},
		{"Retry-After alone", map[string]string{"RateLimit-Remaining": "0", "Retry-After": "7"}, 7 * time.Second},
		{"Retry-After as a date", map[string]string{"RateLimit-Remaining": "0", "Retry-After": "Mon, 23 Nov 2026 12:00:30 GMT"}, 30 * time.Second},
		{"Retry-After with some left", map[string]string{"RateLimit-Remaining": "3", "Retry-After": "7"}, 0},
		{"the longest of three", map[string]string{"RateLimit-Remaining": "0", "Retry-After": "7", "RateLimit-Reset": "9", "X-RateLimit-Reset": "8"}, 9 * time.Second},
		{"until when is not said", map[string]string{"X-RateLimit-Remaining": "0"}, time.Minute},
		{"until when is rubbish", map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "soon", "RateLimit-Reset": "-3", "Retry-After": "x"}, time.Minute},
		{"no number at all", map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "NaN"}, time.Minute},
		{"what is left is rubbish", map[string]string{"X-RateLimit-Remaining": "none", "RateLimit-Remaining": "", "X-RateLimit-Reset": "30"}, 0},
		{"what is left is negative, which some mean as no limit", map[string]string{"X-RateLimit-Remaining": "-1", "X-RateLimit-Reset": "30"}, 0},
		{"absurdly long", map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "900000000"}, 24 * time.Hour},
		{"an absurd date", map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1e300"}, 24 * time.Hour},
		{"for ever", map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "Inf"}, 24 * time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			for name, value := range tt.header {
				h.Set(name, value)
			}
			if got := exhausted(h, noon); got != tt.want {
				t.Errorf("exhausted = %v, want %v", got, tt.want)
			}
		})
	}
}

// Tokens and refusals carry the pause alike.
func TestEveryAnswerCarriesThePause(t *testing.T) {
	for _, tt := range []struct {
		name, body   string
		status       int
		header       map[string]string
		pause, after time.Duration
		foreign      bool
	}{
		{"tokens", with(""), 200, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}, 30 * time.Second, 0, false},
		{"tokens, some left", with(""), 200, map[string]string{"X-RateLimit-Remaining": "1", "Retry-After": "30"}, 0, 0, false},
		{"a refusal", `{"error":"invalid_grant"}`, 400, map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "3"}, 0, 3 * time.Second, false},
		{"429, the longer counts", `{}`, 429, map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "3", "Retry-After": "4"}, 0, 4 * time.Second, false},
		{"429 of a limit that has some left", `{}`, 429, map[string]string{"RateLimit-Remaining": "5", "RateLimit-Reset": "60", "Retry-After": "4"}, 0, 4 * time.Second, false},
		{"200 without tokens", `{}`, 200, map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "3"}, 0, 3 * time.Second, false},
		{"a firewall's page", `<html>`, 403, map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "3"}, 0, 3 * time.Second, true},
		{"nothing", ``, 404, nil, 0, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				for name, value := range tt.header {
					w.Header().Set(name, value)
				}
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			})
			tokens, err := refresh(t.Context(), newTokenClient(), newClient(t, plain, s.URL, nil))
			if tokens.Pause != tt.pause {
				t.Errorf("Pause = %v, want %v", tokens.Pause, tt.pause)
			}
			if tokens.AccessToken != "" {
				return
			}
			if e := wire(t, err); e.RetryAfter != tt.after || e.Foreign != tt.foreign {
				t.Errorf("RetryAfter = %v, Foreign = %v; want %v, %v", e.RetryAfter, e.Foreign, tt.after, tt.foreign)
			}
		})
	}
}
