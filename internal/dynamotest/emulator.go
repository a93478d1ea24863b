package dynamotest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/evergrant/evergrant/internal/template"
	"github.com/evergrant/evergrant/internal/tooltest"
)

var errNoEmulator = errors.New("no DynamoDB emulator: run make tools, or set DYNAMODB_ENDPOINT")

// An emulator is what speaks DynamoDB at endpoint.
type emulator struct {
	endpoint string
	tables   []*dynamodb.CreateTableInput
	end      io.Closer // held as long as it is to run; nil: it is not ours
}

// start finds or starts an emulator.
func start() (emulator, error) {
	root, err := root()
	if err != nil {
		return emulator{}, err
	}
	tables, err := template.Tables(filepath.Join(root, "template.yaml"))
	if err != nil {
		return emulator{}, err
	}
	endpoint := os.Getenv("DYNAMODB_ENDPOINT") //nolint:forbidigo // It is a setting of the test run, and this package is for tests.
	if endpoint != "" {
		return emulator{endpoint: endpoint, tables: tables}, nil
	}
	command, err := find(filepath.Join(root, ".tools", "bin"))
	if err != nil {
		return emulator{}, err
	}
	for range 3 { // somebody may take the free port first
		var e emulator
		if e, err = launch(command); err == nil {
			e.tables = tables
			return e, nil
		}
	}
	return emulator{}, err
}

// root returns the folder of the module, above that of the test.
func root() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			err = errors.New("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	return "", fmt.Errorf("find template.yaml: %w", err)
}

// find returns the command of the best emulator there is, without its port.
func find(tools string) ([]string, error) {
	for _, emulator := range [][]string{
		{"dynoxide", "--host", "127.0.0.1"},
		{"dynalite", "--host", "127.0.0.1", "--createTableMs", "0", "--deleteTableMs", "0"},
	} {
		for _, name := range []string{filepath.Join(tools, emulator[0]), emulator[0]} {
			if path, err := exec.LookPath(name); err == nil {
				emulator[0] = path
				return emulator, nil
			}
		}
	}
	return nil, errNoEmulator
}

// launch starts an emulator and waits until it says that it listens.
func launch(command []string) (emulator, error) {
	port, err := freePort()
	if err != nil {
		return emulator{}, err
	}
	end, err := tooltest.Serve(append(command, "--port", port), func(line string) (bool, error) {
		return strings.Contains(line, "listening"), nil
	})
	return emulator{endpoint: "http://127.0.0.1:" + port, end: end}, err
}

// freePort returns a loopback port on which nobody listens.
func freePort() (string, error) {
	var config net.ListenConfig
	l, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
