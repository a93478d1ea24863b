package peers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/tooltest"
)

// root is the repository, seen from this folder.
const root = "../.."

// errMissing is what stands between a test and a server that is not installed.
var errMissing = errors.New("not installed")

// settings is what a server is told when it starts.
type settings struct {
	ClientID             string `json:"client_id"`
	ClientSecret         string `json:"client_secret"`
	RedirectURI          string `json:"redirect_uri"`
	AccessTokenLife      int    `json:"access_token_life"` // seconds
	PreviousRefreshToken bool   `json:"previous_refresh_token"`
}

// A server is a running authorization server.
type server struct {
	url string
	end io.Closer // held as long as it is to run
}

// oidcProviderCommand returns the command of oidc-provider, without its
// settings.
func oidcProviderCommand() ([]string, error) {
	node, err := exec.LookPath("node")
	folder := filepath.Join(root, ".tools", "oidc-provider")
	if err == nil {
		_, err = os.Stat(filepath.Join(folder, "node_modules", "oidc-provider"))
	}
	if err != nil {
		return nil, fmt.Errorf("oidc-provider %w: install Node and run make tools", errMissing)
	}
	folder, err = filepath.Abs(folder)
	return []string{node, filepath.Join("testdata", "oidc-provider", "server.mjs"), folder}, err
}

// doorkeeperCommand returns the command of Doorkeeper, without its settings.
func doorkeeperCommand() ([]string, error) {
	ruby, err := exec.LookPath("ruby")
	if err != nil {
		return nil, fmt.Errorf("Doorkeeper %w: %s", errMissing, doorkeeperPackages)
	}
	return []string{ruby, filepath.Join("testdata", "doorkeeper", "server.rb")}, nil
}

const doorkeeperPackages = "install Debian's ruby-doorkeeper, ruby-activerecord and ruby-sqlite3"

// launch starts a server and waits until it says that it listens.
func launch(command []string, s settings) (server, error) {
	config, err := json.Marshal(s)
	if err != nil {
		return server{}, err
	}
	var listening server
	listening.end, err = tooltest.Serve(append(command, string(config)), func(line string) (ok bool, err error) {
		if why, missing := strings.CutPrefix(line, "not installed: "); missing {
			return false, fmt.Errorf("%w: %s (%s)", errMissing, doorkeeperPackages, why)
		}
		listening.url, ok = strings.CutPrefix(line, "listening on ")
		return ok, nil
	})
	return listening, err
}

// need ends t where a server does not run.
func need(t testing.TB, s server, err error) server {
	t.Helper()
	switch {
	case errors.Is(err, errMissing):
		tooltest.Missing(t, err)
	case err != nil:
		t.Fatal(err)
	}
	return s
}

// The kernel closes the standard input when the process of the tests ends,
// whether by os.Exit, by a panic or by a signal.
func TestAServerEndsWithItsStandardInput(t *testing.T) {
	t.Parallel()
	for name, find := range map[string]func() ([]string, error){"oidc-provider": oidcProviderCommand, "Doorkeeper": doorkeeperCommand} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			command, err := find()
			need(t, server{}, err)
			s, err := launch(command, settings{ClientID: "evergrant", ClientSecret: "s1", RedirectURI: redirectURI, AccessTokenLife: 7200})
			s = need(t, s, err)
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if err := errors.Join(conn.SetReadDeadline(time.Now().Add(10*time.Second)), s.end.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the server still holds its connection: %v", err)
			}
		})
	}
}

func TestAServerThatIsNotInstalledIsTold(t *testing.T) {
	for name, want := range map[string]error{"not installed: no such gem": errMissing, "out of memory": nil} {
		_, err := launch([]string{"sh", "-c", "echo '" + name + "' >&2; exit 1"}, settings{})
		if err == nil || errors.Is(err, errMissing) != (want != nil) {
			t.Errorf("a server that says %q: %v", name, err)
		}
	}
}

// The lock file says what is installed, by its hash, and not from where.
func TestTheLockFileNamesNoRegistry(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "oidc-provider", "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct{ Version, Resolved, Integrity string }
	}
	if err := json.Unmarshal(data, &lock); err != nil {
		t.Fatal(err)
	}
	if len(lock.Packages) < 2 {
		t.Fatalf("%d packages in the lock file", len(lock.Packages))
	}
	for name, p := range lock.Packages {
		if p.Resolved != "" || (name != "" && (p.Integrity == "" || p.Version == "")) {
			t.Errorf("%s: resolved %q, integrity %q, version %q", name, p.Resolved, p.Integrity, p.Version)
		}
	}
}
