package mutate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"

	"github.com/evergrant/evergrant/internal/dynamo"
)

// The settings of the processes in which a mutant is played.
const (
	goMutant        = "MUTANT"           // number of a Mutant
	conditionMutant = "MUTANT_CONDITION" // a Change, in JSON
	callLog         = "MUTANT_CALLS"     // file to which each Call is added, one line of JSON each
)

// A Call is a call of DynamoDB.
type Call struct {
	Operation string // the method of dynamo.Store that made it, "" if it was none
	Condition string // "" where it has none
}

// A Change replaces the condition of a call.
type Change struct {
	Call
	With string // "" is none
}

// Wrap returns api as it is, or one that plays a mutant and notes the calls, if
// the environment says so.
func Wrap(api dynamo.API) dynamo.API {
	setting := os.Getenv //nolint:forbidigo // They are settings of the test run, and this package is for tests.
	w := wrapped{API: api, log: setting(callLog)}
	if text := setting(conditionMutant); text != "" {
		w.change = new(Change)
		if err := json.Unmarshal([]byte(text), w.change); err != nil {
			panic(err)
		}
	}
	if w.change == nil && w.log == "" {
		return api
	}
	return w
}

type wrapped struct {
	dynamo.API
	change *Change
	log    string
}

func (w wrapped) GetItem(ctx context.Context, in *dynamodb.GetItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	w.note(Call{Operation: operation()})
	return w.API.GetItem(ctx, in, opts...)
}

func (w wrapped) Query(ctx context.Context, in *dynamodb.QueryInput, opts ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	w.note(Call{Operation: operation()})
	return w.API.Query(ctx, in, opts...)
}

func (w wrapped) Scan(ctx context.Context, in *dynamodb.ScanInput, opts ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error) {
	w.note(Call{Operation: operation()})
	return w.API.Scan(ctx, in, opts...)
}

func (w wrapped) UpdateItem(ctx context.Context, in *dynamodb.UpdateItemInput, opts ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error) {
	call := Call{operation(), aws.ToString(in.ConditionExpression)}
	w.note(call)
	if w.change == nil || call != w.change.Call {
		return w.API.UpdateItem(ctx, in, opts...)
	}
	changed := *in
	changed.ConditionExpression = nil
	if w.change.With != "" {
		changed.ConditionExpression = &w.change.With
	}
	changed.ExpressionAttributeValues = used(in.ExpressionAttributeValues, w.change.With+" "+aws.ToString(in.UpdateExpression))
	out, err := w.API.UpdateItem(ctx, &changed, opts...)
	// A part that was cut badly would be red for the wrong reason. Without any
	// condition DynamoDB may refuse what the update does, and rightly.
	var refused smithy.APIError
	if w.change.With != "" && errors.As(err, &refused) && refused.ErrorCode() == "ValidationException" {
		panic(fmt.Sprintf("%s: %s: %v", invalid, w.change.With, err))
	}
	return out, err
}

// invalid begins what a process says that could not play its mutant.
const invalid = "this is no condition"

// note adds a call to the log.
func (w wrapped) note(c Call) {
	if w.log == "" {
		return
	}
	line, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	f, err := os.OpenFile(w.log, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		panic(err)
	}
	_, err = f.Write(append(line, '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		panic(err)
	}
}

var placeholder = regexp.MustCompile(`:\w+`)

// used returns those values that the expressions use. DynamoDB takes no others.
func used[V any](values map[string]V, expressions string) map[string]V {
	left := map[string]V{}
	for _, name := range placeholder.FindAllString(expressions, -1) {
		if v, ok := values[name]; ok {
			left[name] = v
		}
	}
	if len(left) == 0 {
		return nil
	}
	return left
}

// operation returns the name of the exported method of dynamo.Store that is
// being called.
func operation() (name string) {
	callers := make([]uintptr, 32)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	for {
		frame, more := frames.Next()
		_, method, ok := strings.Cut(frame.Function, "internal/dynamo.(*Store).")
		if ok && method[0] >= 'A' && method[0] <= 'Z' {
			name, _, _ = strings.Cut(method, ".") // a function in it is the method's too
		}
		if !more {
			return name
		}
	}
}
