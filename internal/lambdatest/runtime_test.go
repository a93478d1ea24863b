package lambdatest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/evergrant/evergrant/internal/lambdatest"
)

// A seen is what a handler sees of its surroundings.
type seen struct {
	Event       json.RawMessage
	Environment []string
	RequestID   string
	ARN         string
	Left        time.Duration
}

// bootstrap is what this test binary does when a test runs it as a function.
func bootstrap(way string) {
	if way == "fail to start" {
		fmt.Println("setting X is missing")
		os.Exit(3)
	}
	lambda.Start(func(ctx context.Context, event json.RawMessage) (seen, error) {
		switch way {
		case "fail":
			return seen{}, errors.New("no such thing")
		case "panic":
			panic("oh")
		case "exit":
			fmt.Println("going")
			os.Exit(4)
		case "hang":
			fmt.Println("waiting")
			<-make(chan struct{})
		}
		lc, _ := lambdacontext.FromContext(ctx)
		deadline, _ := ctx.Deadline()
		return seen{Event: event, Environment: os.Environ(), RequestID: lc.AwsRequestID, ARN: lc.InvokedFunctionArn, Left: time.Until(deadline)}, nil
	})
}

// self runs this test binary as a function.
func self(t *testing.T, way string, timeout time.Duration) (*lambdatest.Function, error) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := lambdatest.Launch(t.Context(), binary, map[string]string{"LAMBDATEST_BOOTSTRAP": way}, timeout)
	if err == nil {
		t.Cleanup(f.Close)
	}
	return f, err
}

// environment is what Lambda sets, and what self gives.
var environment = []string{
	"AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME",
	"AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_GROUP_NAME",
	"AWS_LAMBDA_LOG_LEVEL", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "AWS_SECRET_ACCESS_KEY",
	"AWS_SESSION_TOKEN", "LAMBDATEST_BOOTSTRAP", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT", "LANG", "PATH", "TZ", "_HANDLER",
	"_X_AMZN_TRACE_ID",
}

func TestAFunctionSeesWhatLambdaGivesIt(t *testing.T) {
	t.Setenv("EVERGRANT_CANARY", "of the test process")
	f, err := self(t, "echo", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for range 3 {
		answer, err := f.Invoke(t.Context(), []byte(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		var got seen
		if err := json.Unmarshal(answer, &got); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, v := range got.Environment {
			name, _, _ := strings.Cut(v, "=")
			names = append(names, name)
		}
		slices.Sort(names)
		if string(got.Event) != `{"a":1}` || !strings.HasPrefix(got.ARN, "arn:aws:lambda:eu-central-1:") {
			t.Errorf("the function saw %+v", got)
		}
		if got.Left > time.Minute || got.Left < 30*time.Second {
			t.Errorf("%s are left of a minute", got.Left)
		}
		if !slices.Equal(names, environment) {
			t.Errorf("the environment has %q\nwant %q", names, environment)
		}
		ids[got.RequestID] = true
	}
	if len(ids) != 3 {
		t.Errorf("request IDs %v are not three", ids)
	}
}

func TestAFunctionThatDoesNotStartIsHeard(t *testing.T) {
	_, err := self(t, "fail to start", time.Minute)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "setting X is missing") {
		t.Errorf("err = %v, want how it ended and what it printed", err)
	}
}

func TestAFunctionsErrorIsNotAnAnswer(t *testing.T) {
	for way, want := range map[string]string{"fail": "no such thing", "panic": "oh"} {
		f, err := self(t, way, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var failed *lambdatest.FunctionError
		if answer, err := f.Invoke(t.Context(), []byte(`{}`)); !errors.As(err, &failed) || failed.Message != want {
			t.Errorf("%s: answer %s, err %v", way, answer, err)
		}
	}
}

func TestAFunctionThatEndsInPlaceOfAnsweringIsHeard(t *testing.T) {
	f, err := self(t, "exit", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // it stays gone
		_, err := f.Invoke(t.Context(), []byte(`{}`))
		if err == nil || !strings.Contains(err.Error(), "exit status 4") || !strings.Contains(err.Error(), "going") {
			t.Errorf("err = %v, want how it ended and what it printed", err)
		}
	}
}

func TestAFunctionThatTakesTooLongIsKilled(t *testing.T) {
	t.Parallel()
	f, err := self(t, "hang", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Invoke(t.Context(), []byte(`{}`))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "signal: killed") || !strings.Contains(err.Error(), "waiting") {
		t.Errorf("err = %v, want that it was killed and what it printed", err)
	}
}

func TestABuildThatFailsIsAnError(t *testing.T) {
	_, err := lambdatest.Build(t.Context(), t.TempDir(), "NoFunction")
	if err == nil || !strings.Contains(err.Error(), "build-NoFunction") {
		t.Errorf("err = %v, want what make printed", err)
	}
}
