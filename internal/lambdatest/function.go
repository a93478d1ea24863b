package lambdatest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/canary"
)

// What Lambda tells every function. The credentials are no one's: in a World the
// access key ID is the name of the function, by which its calls are known.
const (
	region       = "eu-central-1"
	accessKeyID  = "ASIATESTTESTTESTTEST"
	secretKey    = canary.Marker + "/of+the/execution/role+secret/key0"
	sessionToken = canary.Marker + "+of/the/execution/role/session/token=="
)

// initTime is how long a process may take until it asks for its first event
// (Lambda: the INIT phase is limited to 10 seconds).
const initTime = 10 * time.Second

// A Function is a running bootstrap: one execution environment of Lambda. It
// serves one event at a time.
type Function struct {
	api     *runtimeAPI
	cmd     *exec.Cmd
	timeout time.Duration
	output  *os.File
	exited  chan struct{} // closed once the process has ended

	event, answer func([]byte) // see each event before and each answer after it; nil: nobody does
}

// watch lets event see each event, and answer each answer.
func (f *Function) watch(event, answer func([]byte)) { f.event, f.answer = event, answer }

// Start runs the bootstrap binary, which must ask for its first event within
// Lambda's 10 seconds. Its environment is env and what Lambda sets, nothing of
// this process. An event may take timeout. The process ends with t.
func Start(t testing.TB, binary string, env map[string]string, timeout time.Duration) *Function {
	t.Helper()
	f, err := Launch(t.Context(), binary, env, timeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// Launch does what Start does, and returns an error for a bootstrap that does
// not start: it says how the process ended, and what it printed. The process
// ends with ctx; the caller must close the Function.
func Launch(ctx context.Context, binary string, env map[string]string, timeout time.Duration) (*Function, error) {
	name := filepath.Base(filepath.Dir(binary))
	output, err := os.CreateTemp("", "evergrant-output-")
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	_ = os.Remove(output.Name()) // it lives as long as it is open
	f := &Function{api: newRuntimeAPI(name), timeout: timeout, output: output, exited: make(chan struct{})}
	f.cmd = exec.CommandContext(ctx, binary)
	f.cmd.Env = environ(name, f.api.address(), env)
	f.cmd.Dir = filepath.Dir(binary)
	f.cmd.Stdout, f.cmd.Stderr = output, output // a file: what is printed is there at once
	if err := f.cmd.Start(); err != nil {
		close(f.exited)
		f.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = f.cmd.Wait() // how it ended stands in its ProcessState
		close(f.exited)
	}()
	if err := f.started(ctx); err != nil {
		defer f.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return f, nil
}

// started waits until the process asks for its first event.
func (f *Function) started(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, initTime)
	defer cancel()
	select {
	case <-f.api.ready:
		return nil
	case <-f.exited:
		return errors.Join(f.end(), f.api.startError())
	case <-ctx.Done():
		f.Kill()
		return fmt.Errorf("it does not ask for an event: %w; %w", ctx.Err(), f.end())
	}
}

// environ returns the environment of a process: what Lambda sets ("Defined
// runtime environment variables" in its developer guide), then env.
func environ(name, runtimeAPI string, env map[string]string) []string {
	all := []string{
		"AWS_LAMBDA_RUNTIME_API=" + runtimeAPI,
		"AWS_LAMBDA_FUNCTION_NAME=" + name,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/evergrant/" + name,
		"AWS_LAMBDA_LOG_STREAM_NAME=2026/11/23/[$LATEST]0123456789abcdef0123456789abcdef",
		"AWS_LAMBDA_LOG_FORMAT=JSON",
		"AWS_LAMBDA_LOG_LEVEL=DEBUG", // all that it may ever print
		"AWS_REGION=" + region,
		"AWS_DEFAULT_REGION=" + region,
		"AWS_ACCESS_KEY_ID=" + accessKeyID,
		"AWS_SECRET_ACCESS_KEY=" + secretKey,
		"AWS_SESSION_TOKEN=" + sessionToken,
		"_HANDLER=bootstrap",
		"LAMBDA_TASK_ROOT=/var/task",
		"LAMBDA_RUNTIME_DIR=/var/runtime",
		"LANG=en_US.UTF-8",
		"PATH=/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"TZ=:UTC",
	}
	for name, value := range env {
		all = append(all, name+"="+value) // of two, the last one counts
	}
	return all
}

// Invoke sends one event through the function and returns its answer. It waits
// for its turn. An answer may take the function's time-out, or until ctx ends;
// then the process is killed, as Lambda does it. A handler's own error is a
// *FunctionError; an error for a process that ends instead of answering says
// what it printed.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if len(payload) > maxPayload {
		return nil, fmt.Errorf("invoke: the event has more than %d bytes", maxPayload)
	}
	if f.event != nil {
		f.event(payload)
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	inv := newInvocation(payload, deadline)
	select {
	case f.api.queue <- inv:
	case <-f.exited:
		return nil, fmt.Errorf("invoke: %w", f.end())
	case <-ctx.Done():
		return nil, fmt.Errorf("invoke: the function did not ask for the event: %w", ctx.Err())
	}
	select {
	case out := <-inv.done:
		if f.answer != nil {
			f.answer(out.response)
			if out.err != nil {
				f.answer([]byte(out.err.Error()))
			}
		}
		return out.response, out.err
	case <-f.exited:
		return nil, fmt.Errorf("invoke: %w", f.end())
	case <-ctx.Done():
		f.Kill()
		return nil, fmt.Errorf("invoke: the task timed out and was killed: %w; %w", ctx.Err(), f.end())
	}
}

// Kill ends the process at once, as Lambda may between two events, and waits
// until it is gone. It gets no signal that it could handle.
func (f *Function) Kill() {
	_ = f.cmd.Process.Kill() // an error says that it has ended already
	<-f.exited
}

// Close ends the process and frees what belongs to it.
func (f *Function) Close() {
	if f.cmd.Process != nil {
		f.Kill()
	}
	f.api.Close()
	_ = f.output.Close()
}

// Output returns all that the process has printed so far, to either stream.
func (f *Function) Output() string {
	info, err := f.output.Stat()
	if err != nil {
		return ""
	}
	b, _ := io.ReadAll(io.NewSectionReader(f.output, 0, info.Size()))
	return string(b)
}

// end says how the process ended, and what it had printed.
func (f *Function) end() error {
	return fmt.Errorf("the process ended (%s), it printed:\n%s", f.cmd.ProcessState, f.Output())
}
