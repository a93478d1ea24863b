// Package settings reads what a function is told by its environment.
//
// Each function names the settings that it takes; template.yaml must give it
// exactly these but for the ones of development, and a test compares the two.
// Only main.go files hand over the real environment.
package settings

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// Settings is what a function was told. Those that it does not take are zero.
type Settings struct {
	ConnectionsTable      string
	StateTable            string
	ProviderSecrets       string // prefix of the names of the providers' secrets
	SealSecret            string
	ConnectSecret         string
	RescueSecrets         string // prefix of the names of the spill
	PublicURL             string // "": the host that API Gateway names
	CompletionURL         string
	ReturnOrigins         []string
	AllowUnsignedConnect  bool
	AllowPrivateProviders bool
	ShardQueueURL         string // "": the sweep does all work itself
	DueShards             int
	RefreshConcurrency    int
	EventBus              string // name or ARN of the EventBridge bus that the host listens to
}

// A Function is one of the functions of the bundle.
type Function string

// The functions, named as their folders are.
const (
	Authorize   Function = "authorize"
	Callback    Function = "callback"
	Refresh     Function = "refresh"
	Connections Function = "connections"
	Events      Function = "events"
)

// Names returns the names of the settings that f takes.
func (f Function) Names() []string {
	common := []string{"PROVIDER_SECRETS", "SEAL_SECRET", "ALLOW_PRIVATE_PROVIDERS"}
	switch f {
	case Authorize:
		return append(common, "CONNECT_SECRET", "PUBLIC_URL", "RETURN_ORIGINS", "ALLOW_UNSIGNED_CONNECT")
	case Callback:
		return append(common, "CONNECTIONS_TABLE", "STATE_TABLE", "RESCUE_SECRETS", "PUBLIC_URL", "COMPLETION_URL", "DUE_SHARDS")
	case Refresh:
		return append(common, "CONNECTIONS_TABLE", "STATE_TABLE", "RESCUE_SECRETS", "DUE_SHARDS", "REFRESH_CONCURRENCY", "SHARD_QUEUE_URL")
	case Connections:
		return append(common, "CONNECTIONS_TABLE", "STATE_TABLE", "RESCUE_SECRETS", "DUE_SHARDS")
	case Events:
		return []string{"CONNECT_SECRET", "PUBLIC_URL", "EVENT_BUS"} // neither table nor sealing key: it reads no token
	}
	return nil
}

// Load reads the settings of f by getenv. Its error names the first setting
// that is missing or malformed, and what it should be.
func Load(f Function, getenv func(string) string) (Settings, error) {
	var s Settings
	for _, name := range f.Names() {
		if err := readers[name](&s, strings.TrimSpace(getenv(name))); err != nil {
			return Settings{}, fmt.Errorf("setting %s %w", name, err)
		}
	}
	if s.ConnectSecret == "" && (f == Events || f == Authorize && !s.AllowUnsignedConnect) {
		return Settings{}, errors.New("setting CONNECT_SECRET is missing: it is the name of the secret with the keys that sign connect tickets")
	}
	return s, nil
}

// readers reads each setting by its name.
var readers = map[string]func(s *Settings, v string) error{
	"CONNECTIONS_TABLE": func(s *Settings, v string) error {
		return required(&s.ConnectionsTable, v, "the name of the connections table")
	},
	"STATE_TABLE": func(s *Settings, v string) error { return required(&s.StateTable, v, "the name of the state table") },
	"SEAL_SECRET": func(s *Settings, v string) error {
		return required(&s.SealSecret, v, "the name of the secret with the sealing keys")
	},
	"CONNECT_SECRET":          func(s *Settings, v string) error { return optional(&s.ConnectSecret, v, "") },
	"PROVIDER_SECRETS":        func(s *Settings, v string) error { return optional(&s.ProviderSecrets, v, "evergrant/providers/") },
	"RESCUE_SECRETS":          func(s *Settings, v string) error { return optional(&s.RescueSecrets, v, "evergrant/rescue/") },
	"PUBLIC_URL":              func(s *Settings, v string) error { return webURL(&s.PublicURL, v) },
	"COMPLETION_URL":          func(s *Settings, v string) error { return webURL(&s.CompletionURL, v) },
	"RETURN_ORIGINS":          func(s *Settings, v string) error { return origins(&s.ReturnOrigins, v) },
	"ALLOW_UNSIGNED_CONNECT":  func(s *Settings, v string) error { return boolean(&s.AllowUnsignedConnect, v) },
	"ALLOW_PRIVATE_PROVIDERS": func(s *Settings, v string) error { return boolean(&s.AllowPrivateProviders, v) },
	"SHARD_QUEUE_URL":         func(s *Settings, v string) error { return queueURL(&s.ShardQueueURL, v) },
	"DUE_SHARDS":              func(s *Settings, v string) error { return number(&s.DueShards, v, 4, 1024) },
	"EVENT_BUS":               func(s *Settings, v string) error { return eventBus(&s.EventBus, v) },
	"REFRESH_CONCURRENCY":     func(s *Settings, v string) error { return number(&s.RefreshConcurrency, v, 128, 4096) },
}

func required(to *string, v, what string) error {
	if v == "" {
		return fmt.Errorf("is missing: it is %s", what)
	}
	*to = v
	return nil
}

func optional(to *string, v, otherwise string) error {
	*to = cmp.Or(v, otherwise)
	return nil
}

func boolean(to *bool, v string) error {
	switch v {
	case "", "false":
		*to = false
	case "true":
		*to = true
	default:
		return fmt.Errorf("is %q: write true or false", v)
	}
	return nil
}

func number(to *int, v string, otherwise, most int) error {
	*to = otherwise
	if v == "" {
		return nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > most {
		return fmt.Errorf("is %q: write a whole number from 1 to %d", v, most)
	}
	*to = n
	return nil
}

// host is a host name or IP address, with a port or not, in lower case.
var host = regexp.MustCompile(`^([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$`)

// webURL takes an https URL, or an http one of localhost.
func webURL(to *string, v string) error {
	if v == "" {
		return nil
	}
	u, err := url.Parse(v)
	if err != nil || !web(u) || (u.Scheme != "https" && !localHTTP(u)) {
		return fmt.Errorf("is %q: write a URL such as https://connect.example.com", v)
	}
	*to = strings.TrimSuffix(u.String(), "/")
	return nil
}

// queueURL takes the URL of an SQS queue.
func queueURL(to *string, v string) error {
	u, err := url.Parse(v)
	if err != nil || webURL(to, v) != nil || (v != "" && len(u.Path) < 2) {
		return fmt.Errorf("is %q: write the URL of an SQS queue, such as https://sqs.eu-central-1.amazonaws.com/123456789012/shards", v)
	}
	return nil
}

// bus is the name or ARN of an event bus (API_PutEventsRequestEntry,
// EventBusName, 2026-11-23).
var bus = regexp.MustCompile(`^(arn:aws[a-z-]*:events:[a-z0-9-]+:[0-9]{12}:event-bus/)?[A-Za-z0-9._/-]{1,256}$`)

// eventBus takes an EventBridge bus.
func eventBus(to *string, v string) error {
	if err := required(to, v, "the name of the EventBridge bus for the host's events, or its ARN"); err != nil {
		return err
	}
	if !bus.MatchString(v) {
		return fmt.Errorf("is %q: write the name or ARN of an EventBridge bus, such as default", v)
	}
	return nil
}

// web reports whether u has a host, and neither user, query nor fragment. It
// writes the host in lower case.
func web(u *url.URL) bool {
	u.Host = strings.ToLower(u.Host)
	return host.MatchString(u.Host) && u.User == nil && u.RawQuery == "" && !u.ForceQuery && u.Fragment == ""
}

func localHTTP(u *url.URL) bool {
	return u.Scheme == "http" && (u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1")
}

// origins takes a comma-separated list of origins: scheme, host, and port where
// it is not the scheme's own.
func origins(to *[]string, v string) error {
	for o := range strings.SplitSeq(v, ",") {
		o = strings.TrimSuffix(strings.TrimSpace(o), "/")
		if o == "" {
			continue
		}
		u, err := url.Parse(o)
		if err != nil || !web(u) || u.Path != "" || (u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "localhost")) {
			return fmt.Errorf("has %q: write origins such as https://app.example.com, separated by commas", o)
		}
		own := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
		*to = append(*to, u.Scheme+"://"+strings.TrimSuffix(u.Host, own))
	}
	return nil
}
