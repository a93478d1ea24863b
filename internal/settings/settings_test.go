package settings

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// functions are all of them.
var functions = []Function{Authorize, Callback, Refresh, Connections, Events}

// whole has every setting of every function.
func whole() map[string]string {
	return map[string]string{
		"CONNECTIONS_TABLE": "connections", "STATE_TABLE": "state", "PROVIDER_SECRETS": "stack/providers/", "SEAL_SECRET": "seal",
		"CONNECT_SECRET": "connect", "RESCUE_SECRETS": "stack/rescue/", "PUBLIC_URL": "https://connect.example.com",
		"COMPLETION_URL": "https://app.example.com/complete", "RETURN_ORIGINS": "https://app.example.com,https://admin.example.com",
		"ALLOW_UNSIGNED_CONNECT": "true", "ALLOW_PRIVATE_PROVIDERS": "true", "DUE_SHARDS": "8", "REFRESH_CONCURRENCY": "64",
		"SHARD_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/shards", "EVENT_BUS": "arn:aws:events:eu-central-1:123456789012:event-bus/host",
	}
}

func load(f Function, env map[string]string) (Settings, error) {
	return Load(f, func(name string) string { return env[name] })
}

// A function reads the settings that it names, and no others.
func TestLoadReadsWhatTheFunctionNames(t *testing.T) {
	want := map[Function]Settings{
		Authorize: {ProviderSecrets: "stack/providers/", SealSecret: "seal", ConnectSecret: "connect", PublicURL: "https://connect.example.com",
			ReturnOrigins: []string{"https://app.example.com", "https://admin.example.com"}, AllowUnsignedConnect: true, AllowPrivateProviders: true},
		Callback: {ProviderSecrets: "stack/providers/", SealSecret: "seal", RescueSecrets: "stack/rescue/", ConnectionsTable: "connections", StateTable: "state",
			PublicURL: "https://connect.example.com", CompletionURL: "https://app.example.com/complete", DueShards: 8, AllowPrivateProviders: true},
		Refresh: {ProviderSecrets: "stack/providers/", SealSecret: "seal", ConnectionsTable: "connections", StateTable: "state", RescueSecrets: "stack/rescue/",
			DueShards: 8, RefreshConcurrency: 64, AllowPrivateProviders: true, ShardQueueURL: "https://sqs.eu-central-1.amazonaws.com/123456789012/shards"},
		Connections: {ProviderSecrets: "stack/providers/", SealSecret: "seal", ConnectionsTable: "connections", StateTable: "state", RescueSecrets: "stack/rescue/", DueShards: 8, AllowPrivateProviders: true},
		Events:      {ConnectSecret: "connect", PublicURL: "https://connect.example.com", EventBus: "arn:aws:events:eu-central-1:123456789012:event-bus/host"},
	}
	for _, f := range functions {
		asked := map[string]bool{}
		got, err := Load(f, func(name string) string {
			asked[name] = true
			return whole()[name]
		})
		if err != nil || !reflect.DeepEqual(got, want[f]) {
			t.Errorf("%s: got  %+v, %v\nwant %+v", f, got, err, want[f])
		}
		if names := slices.Sorted(slices.Values(f.Names())); !slices.Equal(slices.Sorted(maps.Keys(asked)), names) {
			t.Errorf("%s asks for %v, and names %v", f, slices.Sorted(maps.Keys(asked)), names)
		}
	}
	if names := Function("other").Names(); names != nil {
		t.Errorf("a function that does not exist has settings %v", names)
	}
}

// The least that each function needs, and what the rest then is.
func TestDefaults(t *testing.T) {
	tests := []struct {
		f    Function
		env  map[string]string
		want Settings
	}{
		{Authorize, map[string]string{"SEAL_SECRET": "seal", "CONNECT_SECRET": "connect"}, Settings{ProviderSecrets: "evergrant/providers/", SealSecret: "seal", ConnectSecret: "connect"}},
		{Authorize, map[string]string{"SEAL_SECRET": "seal", "ALLOW_UNSIGNED_CONNECT": "true"}, Settings{ProviderSecrets: "evergrant/providers/", SealSecret: "seal", AllowUnsignedConnect: true}},
		{Callback, map[string]string{"SEAL_SECRET": "seal", "CONNECTIONS_TABLE": "c", "STATE_TABLE": "s"}, Settings{ProviderSecrets: "evergrant/providers/", SealSecret: "seal", ConnectionsTable: "c", StateTable: "s", RescueSecrets: "evergrant/rescue/", DueShards: 4}},
		{Refresh, map[string]string{"SEAL_SECRET": "seal", "CONNECTIONS_TABLE": "c", "STATE_TABLE": "s"}, Settings{ProviderSecrets: "evergrant/providers/", SealSecret: "seal", ConnectionsTable: "c", StateTable: "s", RescueSecrets: "evergrant/rescue/", DueShards: 4, RefreshConcurrency: 128}},
		{Connections, map[string]string{"SEAL_SECRET": "seal", "CONNECTIONS_TABLE": "c", "STATE_TABLE": "s"}, Settings{ProviderSecrets: "evergrant/providers/", SealSecret: "seal", ConnectionsTable: "c", StateTable: "s", RescueSecrets: "evergrant/rescue/", DueShards: 4}},
		{Events, map[string]string{"EVENT_BUS": "default", "CONNECT_SECRET": "connect"}, Settings{EventBus: "default", ConnectSecret: "connect"}},
	}
	for _, tt := range tests {
		if got, err := load(tt.f, tt.env); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got  %+v, %v\nwant %+v", tt.f, got, err, tt.want)
		}
	}
	var rescue Settings
	if err := readers["RESCUE_SECRETS"](&rescue, ""); err != nil || rescue.RescueSecrets != "evergrant/rescue/" {
		t.Errorf("RESCUE_SECRETS = %q, %v", rescue.RescueSecrets, err)
	}
}

// What is missing stops the start with one line that names it.
func TestAMissingSettingStopsTheStart(t *testing.T) {
	required := map[Function][]string{
		Authorize:   {"SEAL_SECRET", "CONNECT_SECRET"},
		Callback:    {"SEAL_SECRET", "CONNECTIONS_TABLE", "STATE_TABLE"},
		Refresh:     {"SEAL_SECRET", "CONNECTIONS_TABLE", "STATE_TABLE"},
		Connections: {"SEAL_SECRET", "CONNECTIONS_TABLE", "STATE_TABLE"},
		Events:      {"EVENT_BUS", "CONNECT_SECRET"},
	}
	for _, f := range functions {
		for _, name := range f.Names() {
			for _, v := range []string{"", " "} {
				env := whole()
				delete(env, "ALLOW_UNSIGNED_CONNECT")
				env[name] = v
				_, err := load(f, env)
				if wanted := slices.Contains(required[f], name); (err != nil) != wanted {
					t.Errorf("%s without %s: %v", f, name, err)
				} else if wanted && (!strings.HasPrefix(err.Error(), "setting "+name+" is missing: it is the name of ") || strings.Contains(err.Error(), "\n")) {
					t.Errorf("%s without %s says: %v", f, name, err)
				}
			}
		}
	}
}

func TestAMalformedSettingStopsTheStart(t *testing.T) {
	urls := []string{
		"connect.example.com", "//connect.example.com", "http://connect.example.com", "ftp://connect.example.com", "https://", "https://:8443", "https:///path",
		"https://user@connect.example.com", "https://connect.example.com?x=1", "https://connect.example.com?", "https://connect.example.com#x",
		"https://a b", "https://a\nb", "https://exa\\mple.com", "http://localhost.evil.example", "http://169.254.1.1",
	}
	booleans := []string{"yes", "1", "TRUE", "True", "truе"} // the last e is Cyrillic
	malformed := map[string][]string{
		"PUBLIC_URL": urls, "COMPLETION_URL": urls,
		"SHARD_QUEUE_URL": append(urls, "https://sqs.eu-central-1.amazonaws.com", "https://sqs.eu-central-1.amazonaws.com/", "arn:aws:sqs:eu-central-1:123456789012:shards"),
		"RETURN_ORIGINS": {
			"app.example.com", "http://app.example.com", "https://app.example.com/path", "https://app.example.com?x", "https://u@app.example.com", "*", "https://*.example.com",
			"https://", "null", "https://app.example.com;https://b.example.com", "https://ok.example.com,javascript:alert(1)", "http://127.0.0.1:3000", "https://käse.example",
		},
		"ALLOW_UNSIGNED_CONNECT": booleans, "ALLOW_PRIVATE_PROVIDERS": booleans,
		"DUE_SHARDS":          {"0", "-1", "1025", "4.0", "four", "0x4", "99999999999999999999"},
		"REFRESH_CONCURRENCY": {"0", "-1", "4097", "1e3"},
		"EVENT_BUS": {
			"a b", "host!", "arn:aws:sqs:eu-central-1:123456789012:host", "arn:aws:events:eu-central-1:123456789012:rule/host",
			"arn:aws:events:eu-central-1:123456789012:event-bus/", "default\nx", strings.Repeat("x", 257),
		},
	}
	for _, f := range functions {
		for _, name := range f.Names() {
			for _, v := range malformed[name] {
				env := whole()
				env[name] = v
				_, err := load(f, env)
				if err == nil || !strings.HasPrefix(err.Error(), "setting "+name+" ") || !strings.Contains(err.Error(), ": write ") || strings.Contains(err.Error(), "\n") {
					t.Errorf("%s with %s=%q: %v", f, name, v, err)
				}
			}
		}
	}
}

func TestValuesAreReadAsTheyAreMeant(t *testing.T) {
	type read func(Settings) any
	publicURL := read(func(s Settings) any { return s.PublicURL })
	originsOf := read(func(s Settings) any { return s.ReturnOrigins })
	unsigned := read(func(s Settings) any { return s.AllowUnsignedConnect })
	tests := []struct {
		name, value string
		read        read
		want        any
	}{
		{"PUBLIC_URL", "https://connect.example.com/", publicURL, "https://connect.example.com"},
		{"PUBLIC_URL", " https://connect.example.com \n", publicURL, "https://connect.example.com"},
		{"PUBLIC_URL", "HTTPS://Connect.Example.com:8443/OAuth/", publicURL, "https://connect.example.com:8443/OAuth"},
		{"PUBLIC_URL", "http://localhost:8788", publicURL, "http://localhost:8788"},
		{"PUBLIC_URL", "http://[::1]:8788", publicURL, "http://[::1]:8788"},
		{"PUBLIC_URL", "http://127.0.0.1:8788", publicURL, "http://127.0.0.1:8788"},
		{"RETURN_ORIGINS", "", originsOf, []string(nil)},
		{"RETURN_ORIGINS", " https://A.example.com/ , https://b.example.com:8443,, ", originsOf, []string{"https://a.example.com", "https://b.example.com:8443"}},
		{"RETURN_ORIGINS", "https://a.example.com:443,http://localhost:80,http://localhost:3000", originsOf, []string{"https://a.example.com", "http://localhost", "http://localhost:3000"}},
		{"ALLOW_UNSIGNED_CONNECT", "false", unsigned, false},
		{"ALLOW_UNSIGNED_CONNECT", "", unsigned, false},
		{"ALLOW_UNSIGNED_CONNECT", "true", unsigned, true},
	}
	for _, tt := range tests {
		env := whole()
		env[tt.name] = tt.value
		s, err := load(Authorize, env)
		if got := tt.read(s); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s=%q reads as %v, %v, want %v", tt.name, tt.value, got, err, tt.want)
		}
	}
}

func TestNumbersHaveBounds(t *testing.T) {
	env := whole()
	env["DUE_SHARDS"], env["REFRESH_CONCURRENCY"] = "1024", "4096"
	if s, err := load(Refresh, env); err != nil || s.DueShards != 1024 || s.RefreshConcurrency != 4096 {
		t.Errorf("settings = %+v, %v", s, err)
	}
	env["DUE_SHARDS"], env["REFRESH_CONCURRENCY"] = "1", "1"
	if s, err := load(Refresh, env); err != nil || s.DueShards != 1 || s.RefreshConcurrency != 1 {
		t.Errorf("settings = %+v, %v", s, err)
	}
}
