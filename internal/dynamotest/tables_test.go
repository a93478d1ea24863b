package dynamotest

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func TestEachTestHasTablesOfItsOwn(t *testing.T) {
	a, b := Open(t), Open(t)
	if a.Endpoint != b.Endpoint {
		t.Errorf("two emulators, %s and %s, in one process", a.Endpoint, b.Endpoint)
	}
	names := []string{a.ConnectionsTable, a.StateTable, b.ConnectionsTable, b.StateTable}
	slices.Sort(names)
	if len(slices.Compact(names)) != 4 {
		t.Errorf("tables %q are not four", names)
	}
}

func TestTablesGoWithTheirTest(t *testing.T) {
	var db Database
	t.Run("", func(t *testing.T) { db = Open(t) })
	if db.Client == nil {
		t.SkipNow() // as the subtest did, and said why
	}
	for _, name := range []string{db.ConnectionsTable, db.StateTable} {
		out, err := db.Client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &name})
		if err == nil && out.Table.TableStatus != types.TableStatusDeleting {
			t.Errorf("table %s is still %s", name, out.Table.TableStatus)
		}
	}
}

// command makes an executable file.
func command(t *testing.T, dir, name, script string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheBestEmulatorIsFound(t *testing.T) {
	tools, path := t.TempDir(), t.TempDir()
	t.Setenv("PATH", path)
	if _, err := find(tools); !errors.Is(err, errNoEmulator) {
		t.Errorf("find with none = %v, want errNoEmulator", err)
	}
	for _, want := range []string{ // each better than the one before
		command(t, path, "dynalite", ""), command(t, tools, "dynalite", ""),
		command(t, path, "dynoxide", ""), command(t, tools, "dynoxide", ""),
	} {
		if _, err := os.Stat(want); err != nil {
			t.Fatal(err)
		}
	}
	for _, best := range []string{
		filepath.Join(tools, "dynoxide"), filepath.Join(path, "dynoxide"), filepath.Join(tools, "dynalite"), filepath.Join(path, "dynalite"),
	} {
		if got, err := find(tools); err != nil || got[0] != best {
			t.Errorf("find = %q, %v, want %s", got, err, best)
		}
		if err := os.Remove(best); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnEmulatorThatEndsAtOnceIsHeard(t *testing.T) {
	bad := command(t, t.TempDir(), "dynoxide", "echo out of memory >&2; exit 1")
	if _, err := launch([]string{bad}); err == nil || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("err = %v, want what the emulator said", err)
	}
}

// The kernel closes the standard input when the process of the tests ends,
// whether by os.Exit, by a panic or by a signal.
func TestAnEmulatorEndsWithItsStandardInput(t *testing.T) {
	Open(t) // skips where there is none
	root, err := root()
	if err != nil {
		t.Fatal(err)
	}
	command, err := find(filepath.Join(root, ".tools", "bin"))
	if err != nil {
		t.Skip(err) // it is another machine's, at DYNAMODB_ENDPOINT
	}
	e, err := launch(command)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(e.endpoint, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := errors.Join(conn.SetReadDeadline(time.Now().Add(10*time.Second)), e.end.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the emulator still holds its connection: %v", err)
	}
}
