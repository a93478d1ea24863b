package local

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

func TestSweepsComeInTimeForShortTokens(t *testing.T) {
	tests := []struct{ life, want time.Duration }{
		{0, time.Minute},
		{5 * time.Second, 1250 * time.Millisecond},
		{30 * time.Second, 7500 * time.Millisecond},
		{3 * time.Minute, 45 * time.Second},
		{4 * time.Minute, time.Minute},
		{time.Hour, time.Minute},
	}
	for _, tt := range tests {
		if got := (Config{TokenLifetime: tt.life}).sweepEvery(); got != tt.want {
			t.Errorf("with tokens of %v it sweeps every %v, want %v", tt.life, got, tt.want)
		}
	}
}

func TestATokenLifetimeThatCannotBeIsRefused(t *testing.T) {
	tests := []struct {
		name   string
		config Config
		ok     bool
	}{
		{"none", Config{}, true},
		{"long enough", Config{TokenLifetime: 5 * time.Second}, true},
		{"too short", Config{TokenLifetime: 4 * time.Second}, false},
		{"negative", Config{TokenLifetime: -time.Hour}, false},
		{"of real providers", Config{TokenLifetime: time.Hour, SecretsFile: "f"}, false},
	}
	for _, tt := range tests {
		if err := tt.config.Check(); (err == nil) != tt.ok {
			t.Errorf("%s: Check = %v", tt.name, err)
		}
	}
}

func TestTimesAreSaidInTheirLargestUnits(t *testing.T) {
	tests := []struct {
		d         time.Duration
		left, ago string
	}{
		{-time.Second, "0 s", "0 s"},
		{999 * time.Millisecond, "0 s", "0 s"},
		{59 * time.Second, "59 s", "59 s"},
		{61 * time.Second, "1 min 1 s", "1 min"},
		{2*time.Hour - time.Second, "1 h 59 min", "1 h"},
		{49 * time.Hour, "2 d 1 h", "2 d"},
	}
	for _, tt := range tests {
		if Left(tt.d) != tt.left || ago(tt.d) != tt.ago {
			t.Errorf("%v: %q and %q, want %q and %q", tt.d, Left(tt.d), ago(tt.d), tt.left, tt.ago)
		}
	}
}

func TestFailuresAreSaidInPlainWords(t *testing.T) {
	tests := []struct {
		failure connection.Failure
		status  connection.Status
		want    string
	}{
		{connection.Failure{}, connection.Active, ""},
		{connection.Failure{Code: "unreachable", Count: 1}, connection.Active, "Acme could not be reached."},
		{connection.Failure{Code: "no_answer", Count: 3}, connection.Active, "Acme did not answer in time. 3 refreshes in a row have failed."},
		{connection.Failure{Code: "http_429", Count: 1}, connection.Active, "Acme asked for a pause: too many requests."},
		{connection.Failure{Code: "http_503", Count: 1}, connection.Active, "Acme had an error of its own (HTTP 503)."},
		{connection.Failure{Code: "http_404", Count: 1}, connection.Active, "Acme answered with http_404."},
		{connection.Failure{Code: "internal", Count: 1}, connection.Active, "Something went wrong here: the log says what."},
		{connection.Failure{Code: "invalid_grant", Reason: "invalid_grant", Count: 2}, connection.ReauthorizationRequired, "Acme no longer accepts the refresh token. 2 refreshes in a row have failed. Reconnect to go on."},
		{connection.Failure{Code: "invalid_grant", Reason: "rotation_lost", Count: 1}, connection.Active, "An answer of Acme was lost, and with it the next refresh token."},
	}
	for _, tt := range tests {
		if got := failureText(connection.Connection{Status: tt.status, Failure: tt.failure}, "Acme"); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.failure, got, tt.want)
		}
	}
}

func TestAPortInUseIsSaidWithTheFix(t *testing.T) {
	taken, port, err := listenLocalhost(0)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(taken)
	if _, _, err := listenLocalhost(port); !errors.Is(err, syscall.EADDRINUSE) || !contains(err, "--port") {
		t.Errorf("err = %v, want that the port is in use, and the flag", err)
	}
}

// Another program on the other address family would be what the browser meets.
func TestAPortInUseForIPv6AloneIsNotTaken(t *testing.T) {
	v6, err := listen("::1", 0)
	if err != nil {
		t.Logf("no IPv6 on this machine, so there is one address: %v", err)
		return
	}
	defer closeAll([]net.Listener{v6})
	got, _, err := listenLocalhost(portOf(v6))
	if err == nil {
		closeAll(got)
		t.Error("half of localhost was taken")
	}
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}
