package lambdatest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// motoTime is how long moto may take until it serves.
const motoTime = 30 * time.Second

var errNoMoto = errors.New("no Secrets Manager: moto is not installed, run make tools")

// A moto is a running moto server.
type moto struct {
	url   string
	stdin io.Closer // held open by this process alone: moto ends with it
}

// running is the moto of this process, started by the first test that needs
// it. It keeps all secrets; each World has names of its own.
var running = sync.OnceValues(startMoto)

// Python returns the command of the Python that make tools installs, with
// boto3 and moto. Where it is not there it skips t, but with CI=true that is a
// failure.
func Python(t testing.TB) string {
	t.Helper()
	python, err := python()
	if err != nil {
		missing(t, err)
	}
	return python
}

func python() (string, error) {
	bin, err := filepath.Abs(filepath.Join(root, ".tools", "venv", "bin"))
	if err != nil {
		return "", fmt.Errorf("find moto: %w", err)
	}
	if _, err := os.Stat(filepath.Join(bin, "moto_server")); err != nil {
		return "", errNoMoto
	}
	return filepath.Join(bin, "python"), nil
}

// missing ends t for want of a tool.
func missing(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" { //nolint:forbidigo // CI is a setting of the test run, and this package is for tests.
		t.Fatal(err)
	}
	t.Skip(err)
}

// secretsManager returns the URL of a Secrets Manager. Where there is none it
// skips t, but with CI=true that is a failure.
func secretsManager(t testing.TB) string {
	t.Helper()
	m, err := running()
	if errors.Is(err, errNoMoto) {
		missing(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m.url
}

// startMoto starts moto, which ends with this process.
func startMoto() (moto, error) {
	python, err := python()
	if err != nil {
		return moto{}, err
	}
	script, err := filepath.Abs(filepath.Join("testdata", "secrets_manager.py"))
	if err != nil {
		return moto{}, fmt.Errorf("start moto: %w", err)
	}
	var said strings.Builder                                         // read only after the process has closed it
	cmd := exec.CommandContext(context.Background(), python, script) //nolint:gosec // The command is the one in .tools.
	cmd.Stderr = &said
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2); err != nil {
		return moto{}, fmt.Errorf("start moto: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return moto{}, fmt.Errorf("start moto: %w", err)
	}
	stop := time.AfterFunc(motoTime, func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if !stop.Stop() || err != nil {
		_ = cmd.Process.Kill()
		return moto{}, errors.Join(fmt.Errorf("start moto: it does not serve: %w", err), cmd.Wait(), errors.New(said.String()))
	}
	go func() { _, _ = io.Copy(io.Discard, stdout) }()
	return moto{url: strings.TrimSpace(line), stdin: stdin}, nil
}
