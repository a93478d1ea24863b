package tooltest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// startTime is how long a server may take until it listens.
const startTime = 30 * time.Second

// watch runs a command until the standard input ends. The kernel closes that when
// the process of the tests ends, whether by os.Exit, by a panic or by a signal, so
// no server outlives its tests.
const watch = `"$@" & pid=$!; exec >&- 2>&-; read -r line; kill "$pid"; wait "$pid"`

// Serve starts a server, and shows each line that it prints to listens until that
// reports true, or an error. The server ends when end is closed, or nobody holds it
// any more, and with this process, however that ends.
func Serve(command []string, listens func(line string) (bool, error)) (end io.Closer, err error) {
	cmd := exec.CommandContext(context.Background(), "sh", append([]string{"-c", watch, "sh"}, command...)...) //nolint:gosec // Tests name the command.
	output, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	cmd.Stdout, cmd.Stderr = writer, writer
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	_ = writer.Close() // the server has its own
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	if err := wait(output, listens); err != nil {
		_ = stdin.Close()
		return nil, fmt.Errorf("start %s: %w", command[0], err)
	}
	go func() { _, _ = io.Copy(io.Discard, output) }()
	return stdin, nil
}

// wait reads what a server prints until that says that it listens.
func wait(output *os.File, listens func(line string) (bool, error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	keep := context.AfterFunc(ctx, func() { _ = output.Close() })
	var said strings.Builder
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		ok, err := listens(lines.Text())
		if err != nil || ok && keep() {
			return err
		}
		said.WriteString(lines.Text() + "\n")
	}
	return fmt.Errorf("it does not listen: %s", said.String())
}
