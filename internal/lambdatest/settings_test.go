package lambdatest_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/lambdatest"
	"github.com/evergrant/evergrant/internal/settings"
)

// badSettings holds for each setting the values that must stop the start, ""
// where it must be there. A setting without any is free text with a default.
var badSettings = map[string][]string{
	"CONNECTIONS_TABLE":       {""},
	"STATE_TABLE":             {""},
	"SEAL_SECRET":             {""},
	"CONNECT_SECRET":          {""},
	"PROVIDER_SECRETS":        nil,
	"RESCUE_SECRETS":          nil,
	"PUBLIC_URL":              {"connect.example.com", "http://connect.example.com", "https://connect.example.com?a=b"},
	"COMPLETION_URL":          {"app.example.com/complete", "https://user@app.example.com"},
	"RETURN_ORIGINS":          {"app.example.com", "https://app.example.com/path", "https://a.example,http://b.example"},
	"ALLOW_UNSIGNED_CONNECT":  {"yes", "1"},
	"ALLOW_PRIVATE_PROVIDERS": {"yes", "TRUE"},
	"DUE_SHARDS":              {"0", "-1", "four", "1e9"},
	"REFRESH_CONCURRENCY":     {"0", "many"},
	"EVENT_BUS":               {"", "two words"},
	"SHARD_QUEUE_URL":         {"shards", "https://sqs.eu-central-1.amazonaws.com"},
	"AWS_REGION":              {""},
}

// goodSettings are enough for every function to start, though not to work.
var goodSettings = map[string]string{
	"CONNECTIONS_TABLE": "connections", "STATE_TABLE": "state", "SEAL_SECRET": "seal", "CONNECT_SECRET": "connect", "EVENT_BUS": "default",
	// Nobody listens there: what a function reads while it starts is not needed then.
	"AWS_ENDPOINT_URL": "http://127.0.0.1:1",
}

// word is what settings calls a function, such as authorize.
func word(function string) settings.Function {
	return settings.Function(strings.ToLower(strings.TrimSuffix(function, "Function")))
}

func TestAMissingOrMalformedSettingStopsTheStartWithOneLineThatNamesIt(t *testing.T) {
	tried := map[string]bool{}
	for function, binary := range bootstraps(t) {
		for _, name := range append(word(function).Names(), "AWS_REGION") {
			values, ok := badSettings[name]
			if !ok {
				t.Errorf("%s takes %s: say in badSettings what is wrong with it", function, name)
			}
			tried[name] = true
			for _, value := range values {
				t.Run(function+" "+name+"="+value, func(t *testing.T) { refusesToStart(t, binary, name, value) })
			}
		}
	}
	for name := range badSettings {
		if !tried[name] {
			t.Errorf("no function takes %s", name)
		}
	}
}

func refusesToStart(t *testing.T, binary, name, value string) {
	env := maps.Clone(goodSettings)
	env[name] = value
	if name == "AWS_REGION" {
		env["AWS_DEFAULT_REGION"] = value
	}
	f, err := lambdatest.Launch(t.Context(), binary, env, time.Minute)
	if err == nil {
		f.Close()
		t.Fatal("the function starts")
	}
	_, output, _ := strings.Cut(err.Error(), "printed:\n")
	line, rest, _ := strings.Cut(output, "\n")
	if !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(line, name) || strings.TrimSpace(rest) != "" {
		t.Errorf("the function ended like this, want one line that names %s: %v", name, err)
	}
}

// Without it, every row of the table above could fail for another reason.
func TestAFunctionWithGoodSettingsStarts(t *testing.T) {
	for function, binary := range bootstraps(t) {
		t.Run(function, func(t *testing.T) { lambdatest.Start(t, binary, goodSettings, time.Minute) })
	}
}
