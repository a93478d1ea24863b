package lambdatest_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/lambdatest"
)

// From the start of the process until it asks for its first event: what a cold
// start costs besides Lambda's own work. Secrets Manager answers at once.
func BenchmarkColdStart(b *testing.B) {
	manager := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = w.Write([]byte(`{"Name":"keys","SecretString":"{}"}`))
	}))
	defer manager.Close()
	env := maps.Clone(goodSettings)
	env["AWS_ENDPOINT_URL"] = manager.URL
	for function, binary := range bootstraps(b) {
		b.Run(function, func(b *testing.B) {
			for b.Loop() {
				f, err := lambdatest.Launch(b.Context(), binary, env, time.Minute)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				f.Close()
				b.StartTimer()
			}
		})
	}
}

var sizes = regexp.MustCompile(`(?m)^(\w+Function): (\d+) of \d+ bytes$`)

// The size of what is deployed. make check-size fails where it is too much.
func BenchmarkBootstrapSize(b *testing.B) {
	out, err := lambdatest.Make(b.Context(), "check-size")
	if err != nil {
		b.Fatal(err)
	}
	found := sizes.FindAllStringSubmatch(out, -1)
	if len(found) != len(bootstraps(b)) {
		b.Fatalf("make check-size says:\n%s", out)
	}
	for b.Loop() { // the work is done above, once
	}
	b.ReportMetric(0, "ns/op")
	for _, m := range found {
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(n/1e6, m[1]+"-MB")
	}
}
