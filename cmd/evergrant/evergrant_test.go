package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/local"
)

// A result is how one run of the command went.
type result struct {
	code        int
	stdout, err string
}

// noon is when the commands of these tests run.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// evergrant runs the command as a script does: nobody is at the terminal.
func evergrant(t *testing.T, args ...string) result {
	t.Helper()
	return at(t, tool{In: strings.NewReader("")}, args...)
}

// at runs the command on a machine that is as base says.
func at(t *testing.T, base tool, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	base.Out, base.Err, base.Random = &out, &errs, func() float64 { return 0.5 }
	base.Now = func() time.Time { return noon }
	if base.Getenv == nil {
		base.Getenv = func(string) string { return "" }
	}
	code := run(t.Context(), base, args)
	return result{code, out.String(), errs.String()}
}

// localModeWith starts a local mode with connections of WHCC, issued at noon for
// half an hour, and returns its URL and data folder.
func localModeWith(t *testing.T, ids ...string) (at, dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := local.Open(local.Config{
		Dir: dir, TokenLifetime: 30 * time.Minute, Ticks: make(chan time.Time),
		Now: func() time.Time { return noon }, Random: func() float64 { return 0.5 }, Log: canary.Log(t), Out: io.Discard,
	})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	for _, id := range ids {
		body := fmt.Sprintf(`{"action":"issue","provider":"whcc","connection_id":%q}`, id)
		resp, err := http.Post(s.URL+"/control", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	return s.URL, dir
}

func TestListAndShow(t *testing.T) {
	at, _ := localModeWith(t, "one", "two")
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"all", []string{"list"}, `CONNECTION ID   PROVIDER   ENVIRONMENT   STATUS   TIME LEFT    ACCOUNT
one             whcc       production    active   30 min 0 s   -
two             whcc       production    active   30 min 0 s   -
`},
		{"of one connection ID", []string{"list", "two"}, `CONNECTION ID   PROVIDER   ENVIRONMENT   STATUS   TIME LEFT    ACCOUNT
two             whcc       production    active   30 min 0 s   -
`},
		{"of a status", []string{"list", "--status", "disconnected"}, "There are no connections.\n"},
		{"of a client", []string{"list", "--client", "simulated-whcc-client", "--status", "active"}, `CONNECTION ID   PROVIDER   ENVIRONMENT   STATUS   TIME LEFT    ACCOUNT
one             whcc       production    active   30 min 0 s   -
two             whcc       production    active   30 min 0 s   -
of client ID simulated-whcc-client at whcc, production: 2
`},
		{"of a client that none is of", []string{"list", "--client", "old-client"}, "There are no connections.\nof client ID old-client: 0\n"},
		{"one connection", []string{"show", "one", "whcc"}, `Connection ID:  one
Provider:       whcc
Status:         active
Access token:   30 min 0 s
Expires:        2026-11-23 12:30:00 UTC
Account:        -
Environment:    production
Client ID:      simulated-whcc-client
Connected:      2026-11-23 12:00:00 UTC
Refreshed:      2026-11-23 12:00:00 UTC
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := evergrant(t, append(tt.args, "--url", at)...)
			before, _, _ := strings.Cut(got.stdout, "Next refresh:") // comes from the connection's ID
			if got.code != exitOK || before != tt.want || got.err != "" {
				t.Errorf("code %d, stderr %q, stdout\n%s\nwant\n%s", got.code, got.err, got.stdout, tt.want)
			}
		})
	}
}

func TestJSONIsWhatTheControlPlaneAnswers(t *testing.T) {
	at, _ := localModeWith(t, "one", "two")
	tests := []struct {
		name  string
		args  []string
		code  int
		paths string // "a.b" must be there
	}{
		{"list", []string{"list"}, exitOK, "connections"},
		{"an empty list", []string{"list", "nobody"}, exitOK, "connections"},
		{"a list of no client's", []string{"list", "--client", "old-client"}, exitOK, "connections"},
		{"show", []string{"show", "one", "whcc"}, exitOK, "connection.connection_status"},
		{"refresh", []string{"refresh", "one", "whcc"}, exitOK, "connection.refreshed_at"},
		{"an error", []string{"show", "nobody", "whcc"}, exitFailure, "error.type"},
		{"providers", []string{"providers"}, exitOK, "providers"},
		{"disconnect", []string{"disconnect", "two", "whcc"}, exitOK, "connection.connection_status"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := evergrant(t, append(tt.args, "--url", at, "--json")...)
			var v any
			if err := json.Unmarshal([]byte(got.stdout), &v); err != nil || got.code != tt.code {
				t.Fatalf("code %d, stdout %q: %v", got.code, got.stdout, err)
			}
			for name := range strings.SplitSeq(tt.paths, ".") {
				m, _ := v.(map[string]any)
				if v = m[name]; v == nil {
					t.Fatalf("stdout %s has no %s", got.stdout, tt.paths)
				}
			}
		})
	}
}

func TestRefreshAndDisconnect(t *testing.T) {
	at, _ := localModeWith(t, "one")
	if got := evergrant(t, "refresh", "one", "whcc", "--url", at); got.code != exitOK || got.stdout != "one at whcc: the access token works for 30 min 0 s, refreshed 2026-11-23 12:00:00 UTC\n" {
		t.Errorf("refresh: %+v", got)
	}
	if got := evergrant(t, "refresh", "one", "whcc", "--min-ttl", "10m", "--url", at); got.code != exitOK {
		t.Errorf("refresh with enough time left: %+v", got)
	}
	if got := evergrant(t, "disconnect", "one", "whcc", "--url", at); got.code != exitOK || got.stdout != "one at whcc: disconnected\n" {
		t.Errorf("disconnect: %+v", got)
	}
	if got := evergrant(t, "refresh", "one", "whcc", "--url", at); got.code != exitFailure || !strings.HasPrefix(got.err, "evergrant: disconnected: ") {
		t.Errorf("refresh after that: %+v", got)
	}
	if got := evergrant(t, "list", "--url", at); !strings.Contains(got.stdout, "disconnected   -") {
		t.Errorf("list after that: %+v", got)
	}
}

func TestAPersonIsAskedBeforeDisconnecting(t *testing.T) {
	tests := []struct {
		name, answer string
		args         []string
		code         int
	}{
		{"no", "n\n", nil, exitFailure},
		{"nothing", "", nil, exitFailure},
		{"something else", "maybe\n", nil, exitFailure},
		{"yes", "y\n", nil, exitOK},
		{"YES", "YES\n", nil, exitOK},
		{"not asked", "", []string{"--yes"}, exitOK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			url, _ := localModeWith(t, "one")
			got := at(t, tool{In: strings.NewReader(tt.answer), Terminal: true}, append([]string{"disconnect", "one", "whcc", "--url", url}, tt.args...)...)
			if asked := strings.Contains(got.err, "Disconnect one from WHCC?"); got.code != tt.code || asked != (tt.args == nil) {
				t.Errorf("%+v", got)
			}
			show := evergrant(t, "show", "one", "whcc", "--url", url)
			if gone := strings.Contains(show.stdout, "disconnected"); gone != (tt.code == exitOK) {
				t.Errorf("it is %s", show.stdout)
			}
		})
	}
}

// A script's standard input is a pipe, a file or the empty device.
func TestAScriptIsNoPerson(t *testing.T) {
	empty, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = empty.Close() }()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = r.Close(), w.Close() }()
	for name, f := range map[string]*os.File{"the empty device": empty, "a pipe": r} {
		if isTerminal(f) {
			t.Errorf("%s is taken for a terminal", name)
		}
	}
}

func TestALinkOfLocalModeOpens(t *testing.T) {
	at, dir := localModeWith(t)
	got := evergrant(t, "link", "acct_42", "whisk", "--param", "identity_provider=google", "--return-to", at+"/", "--url", at, "--dir", dir)
	if got.code != exitOK {
		t.Fatalf("%+v", got)
	}
	resp, err := http.DefaultTransport.RoundTrip(newGet(t, strings.TrimSpace(got.stdout)))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	to, err := resp.Location()
	if err != nil || resp.StatusCode != http.StatusFound || to.Query().Get("identity_provider") != "google" {
		t.Errorf("the link leads to %v, %d, %v", to, resp.StatusCode, err)
	}
	got = evergrant(t, "link", "acct_42", "whisk", "--url", at, "--dir", dir, "--json", "--life", "2m")
	var v struct {
		Link      string `json:"link"`
		ExpiresAt int64  `json:"expires_at"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil || v.ExpiresAt != noon.Add(2*time.Minute).Unix() || !strings.HasPrefix(v.Link, at+"/authorize/whisk?ticket=") {
		t.Errorf("%+v: %v", got, err)
	}
}

func newGet(t *testing.T, to string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", to, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestProvidersAreListed(t *testing.T) {
	got := evergrant(t, "providers")
	for _, part := range []string{"whiplash", "WHCC", "production staging", "read:orders", "used once", "https://docs.whisk.com/"} {
		if !strings.Contains(got.stdout, part) {
			t.Errorf("the list lacks %q:\n%s", part, got.stdout)
		}
	}
}

func TestAMistakeOnTheCommandLineIsExitCode2(t *testing.T) {
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"lst"}, `there is no command "lst": did you mean list?`},
		{[]string{"frobnicate"}, `there is no command "frobnicate"`},
		{[]string{"help", "lst"}, `there is no command "lst": did you mean list?`},
		{[]string{"help", "frobnicate"}, `there is no command "frobnicate"`},
		{[]string{"help", "list", "show"}, "at most one argument, COMMAND, not 2"},
		{[]string{"--frob"}, "unknown flag: --frob"},
		{[]string{"list", "--frob"}, "unknown flag: --frob"},
		{[]string{"list", "a", "b"}, "at most one argument"},
		{[]string{"list", "a b"}, "not a connection ID"},
		{[]string{"list", "--status", "dead"}, "reauthorization_required"},
		{[]string{"list", "a", "--status", "active"}, "not both"},
		{[]string{"list", "--url", "localhost:8788"}, "--url"},
		{[]string{"list", "--url", "http://localhost:8788", "--function", "f"}, "use one"},
		{[]string{"show", "a"}, "2 arguments, CONNECTION_ID and PROVIDER, not 1"},
		{[]string{"show", "a b", "whisk"}, "not a connection ID"},
		{[]string{"show", "a", "acme"}, "there are whiplash, whisk, whatnot, whcc"},
		{[]string{"refresh"}, "not 0"},
		{[]string{"refresh", "a", "whisk", "--min-ttl", "soon"}, "min-ttl"},
		{[]string{"refresh", "a", "whisk", "--min-ttl", "1500ms"}, "whole seconds"},
		{[]string{"disconnect", "a", "acme"}, "no provider"},
		{[]string{"providers", "x"}, "no argument"},
		{[]string{"link", "a", "whisk", "--life", "1h"}, "15m"},
		{[]string{"link", "a", "whisk", "--life", "0s"}, "--life"},
		{[]string{"link", "a", "whatnot", "--scope", "full_access"}, "full_access"},
		{[]string{"link", "a", "whatnot", "--param", "shop=x"}, "shop"},
		{[]string{"link", "a", "whisk", "--param", "identity_provider=a b"}, "identity_provider"},
		{[]string{"link", "a", "whisk", "--public-url", "https://x.example"}, "go together"},
		{[]string{"link", "a", "whisk", "--function", "f"}, "--public-url"},
		{[]string{"hold"}, "name one provider, or --all"},
		{[]string{"hold", "acme"}, "there are whiplash, whisk, whatnot, whcc"},
		{[]string{"release", ""}, "there are whiplash, whisk, whatnot, whcc"},
		{[]string{"verify", "acme"}, "there are whiplash, whisk, whatnot, whcc"},
		{[]string{"verify", "whisk", "--every", "5"}, "--every"},
		{[]string{"verify", "whisk", "--every", "-5s"}, "--every not below 0"},
		{[]string{"reseal", "--wait", "-5s"}, "--wait must not be below 0"},
		{[]string{"rescue"}, "RescueSecrets"},
		{[]string{"rescue", "--rescue-secrets", "my-stack/rescue"}, "the slash at its end"},
		{[]string{"local", "x"}, "no argument"},
		{[]string{"local", "--token-lifetime", "1s"}, "5s or more"},
		{[]string{"local", "--token-lifetime", "1m", "--secrets", "f"}, "simulated"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			got := evergrant(t, tt.args...)
			if got.code != exitUsage || got.stdout != "" || !strings.HasPrefix(got.err, "evergrant: ") || !strings.Contains(got.err, tt.want) || strings.Count(got.err, "\n") != 1 {
				t.Errorf("%+v, want exit code 2 and one line with %q", got, tt.want)
			}
		})
	}
}

func TestWhatDidNotWorkIsExitCode1AndSaysTheFix(t *testing.T) {
	nobody := httptest.NewServer(nil)
	nobody.Close()
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<h1>Hello</h1>") }))
	t.Cleanup(stranger.Close)
	jsonStranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"hello":1}`)
	}))
	t.Cleanup(jsonStranger.Close)
	secretsFile := filepath.Join(t.TempDir(), "secrets.json")
	if err := os.WriteFile(secretsFile, []byte(`{"acme":{},"whisk":{}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"nothing runs", []string{"list", "--url", nobody.URL}, "local mode is not running at " + nobody.URL + ": start it with `make run`, or name a deployed stack with --function"},
		{"something else runs", []string{"list", "--url", stranger.URL}, "does not answer as local mode does (HTTP 200): look at --url"},
		{"something else with JSON", []string{"list", "--url", jsonStranger.URL}, "not one of Evergrant's control plane"},
		{"there is no key", []string{"link", "a", "whisk", "--dir", t.TempDir()}, "start local mode once"},
		{"the secrets file is wrong", []string{"local", "--secrets", secretsFile, "--dir", t.TempDir(), "--port", "0"}, `there is no provider "acme"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := evergrant(t, tt.args...)
			if got.code != exitFailure || !strings.HasPrefix(got.err, "evergrant: ") || !strings.Contains(got.err, tt.want) || strings.Count(got.err, "\n") != 1 {
				t.Errorf("%+v, want exit code 1 and one line with %q", got, tt.want)
			}
		})
	}
}

func TestHelpHasExamplesAndExitCodes(t *testing.T) {
	got := evergrant(t, "--help")
	if got.code != exitOK || !strings.Contains(got.stdout, "Exit codes: 0 done, 1 it did not work, 2 the command line is wrong.") {
		t.Errorf("%+v", got)
	}
	if bare := evergrant(t); bare.code != exitOK || bare.stdout != got.stdout {
		t.Error("without arguments it does not show the help")
	}
	for _, name := range []string{"local", "link", "list", "show", "refresh", "disconnect", "providers"} {
		if !strings.Contains(got.stdout, "\n  "+name+" ") {
			t.Errorf("the help lacks %s", name)
		}
		if sub := evergrant(t, name, "--help"); sub.code != exitOK || !strings.Contains(sub.stdout, "Examples:\n  evergrant "+name) {
			t.Errorf("%s --help: %+v", name, sub)
		}
	}
	if v := evergrant(t, "--version"); v.code != exitOK || !strings.HasPrefix(v.stdout, "evergrant ") {
		t.Errorf("--version: %+v", v)
	}
}

func TestLocalRunsUntilItIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &stopAt{text: "Ctrl-C", stop: cancel}
	base := tool{In: strings.NewReader(""), Out: out, Err: io.Discard, Getenv: func(string) string { return "" }, Now: time.Now, Random: func() float64 { return 0 }}
	if code := run(ctx, base, []string{"local", "--dir", t.TempDir(), "--port", "0", "--simulator-port", "0", "--token-lifetime", "30s"}); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	found := false
	for field := range strings.FieldsSeq(out.String()) {
		u, err := url.Parse(field)
		found = found || err == nil && u.Scheme == "http" && u.Hostname() == "localhost"
	}
	if !found {
		t.Errorf("it does not say where to look: %q", out)
	}
}

// stopAt calls stop once text has been written.
type stopAt struct {
	bytes.Buffer
	text string
	stop func()
}

func (s *stopAt) Write(p []byte) (int, error) {
	n, err := s.Buffer.Write(p)
	if strings.Contains(s.String(), s.text) {
		s.stop()
	}
	return n, err
}
