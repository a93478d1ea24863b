package lambdatest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/evergrant/evergrant/internal/eventtest"
	"github.com/evergrant/evergrant/internal/metricstest"
	"github.com/evergrant/evergrant/internal/template"
)

// An account is what stands around the functions on AWS, by what template.yaml says
// of it: the schedule, the API, the queue of hints and the stream. It hands events
// to the functions, does with what comes of them what AWS does, and notes what
// CloudWatch gets to know. What is cited was read in the Lambda developer guide on
// 2026-11-23.
type account struct {
	t     *testing.T
	stack *template.Stack
	// invoke runs a function. An error is a function error: one that it returns, a
	// process that ends or does not start, a time-out.
	invoke func(function string, event []byte) (answer []byte, took time.Duration, err error)
	now    func() time.Time
	pass   func(time.Duration)
	full   bool // other functions of the account use up its concurrency

	mu      sync.Mutex
	noted   metricstest.AWS
	letters map[string]int // messages by dead-letter queue
	stream  []written      // what the events function has not done yet
	most    int            // records of a batch; 0: BatchSize
}

// A written record is one of the stream.
type written struct {
	record json.RawMessage
	at     time.Time
}

// errRefused is what Lambda answers where there is no concurrency.
var errRefused = errors.New("TooManyRequestsException")

// run runs a function at a time.
func (a *account) run(function string, event []byte, at time.Time) ([]byte, error) {
	if a.full {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.noted.Throttled("stack-"+function, at)
		return nil, errRefused
	}
	answer, took, err := a.invoke(function, event)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.noted.Invoked("stack-"+function, at, took, err != nil)
	return answer, err
}

// minutes lets n minutes pass, and calls f at the begin of each.
func (a *account) minutes(n int, f func(minute int)) {
	for i := range n {
		f(i)
		a.mu.Lock()
		for id := range a.stack.Resources {
			if strings.HasSuffix(id, "DeadLetters") {
				a.noted.Holds("stack-"+id, a.now(), a.letters[id])
			}
		}
		a.mu.Unlock()
		a.pass(a.now().Truncate(time.Minute).Add(time.Minute).Sub(a.now()))
	}
}

// tick lets the schedule begin a sweep. That is an asynchronous invocation: what
// fails is tried again after one minute and after two, at most MaximumRetryAttempts
// times; what is refused after a second, two, four and so on, until it is
// MaximumEventAgeInSeconds old. What is given up goes to OnFailure ("How Lambda
// handles errors and retries with asynchronous invocation").
func (a *account) tick() {
	const function = "RefreshFunction"
	config := at(a.stack.Resources[function], "Properties", "EventInvokeConfig")
	life := time.Duration(a.number(at(config, "MaximumEventAgeInSeconds"))) * time.Second
	failed, wait := 0, time.Second
	for age := time.Duration(0); age <= life; {
		_, err := a.run(function, eventtest.Read(a.t, "refresh.json", nil), a.now().Add(age))
		switch {
		case err == nil:
			return
		case errors.Is(err, errRefused):
			age, wait = age+wait, min(2*wait, 5*time.Minute)
		case failed == a.number(at(config, "MaximumRetryAttempts")):
			age = life + 1
		default:
			failed++
			age += time.Duration(failed) * time.Minute
		}
	}
	a.bury(at(config, "DestinationConfig", "OnFailure", "Destination"))
}

// bury puts a message into the queue with that ARN.
func (a *account) bury(arn any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	queue := fmt.Sprint(arn)
	a.letters[strings.TrimPrefix(queue[strings.LastIndex(queue, ":")+1:], "stack-")]++
}

// browse sends a request to the API. A function that fails, or is refused, is answered
// for by a 5xx; an answer that names no status is a 200 ("Create AWS Lambda proxy
// integrations for HTTP APIs" in the API Gateway developer guide, 2026-11-23).
func (a *account) browse(function string, request []byte) {
	begin := a.now()
	answer, err := a.run(function, request, begin)
	var resp events.APIGatewayV2HTTPResponse
	status := http.StatusInternalServerError
	if err == nil && json.Unmarshal(answer, &resp) == nil {
		if status = resp.StatusCode; status == 0 {
			status = http.StatusOK
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.noted.Answered("a1b2c3d4e5", begin, status)
}

// hint puts a hint into the queue of shards, and hands it to a worker until one has
// done it, or it was received maxReceiveCount times. A message that was not done is
// seen again after VisibilityTimeout ("Using Lambda with Amazon SQS"), until it is
// MessageRetentionPeriod old.
func (a *account) hint() {
	queue := at(a.stack.Resources["ShardQueue"], "Properties")
	wait := time.Duration(a.number(at(queue, "VisibilityTimeout"))) * time.Second
	life := time.Duration(a.number(at(queue, "MessageRetentionPeriod"))) * time.Second
	for n := range a.number(at(queue, "RedrivePolicy", "maxReceiveCount")) {
		var resp events.SQSEventResponse
		answer, err := a.run("RefreshFunction", eventtest.Read(a.t, "refresh-hints.json", nil), a.now())
		if err == nil && json.Unmarshal(answer, &resp) == nil && len(resp.BatchItemFailures) == 0 {
			return
		}
		if time.Duration(n+1)*wait > life {
			a.t.Error("a hint is too old before it was tried often enough: it is lost without a word")
			return
		}
		a.minutes(int(wait/time.Minute), func(int) {})
	}
	a.bury(at(queue, "RedrivePolicy", "deadLetterTargetArn"))
}

// write puts records into the stream.
func (a *account) write(records ...json.RawMessage) {
	for _, r := range records {
		a.stream = append(a.stream, written{r, a.now()})
	}
}

// hand hands what is in the stream to the events function, until a batch is not
// done. What comes again is the batch from the record that the answer names, or,
// where the function failed, the first half of it. Records older than
// MaximumRecordAgeInSeconds are given up, and OnFailure gets word of them
// ("Retain discarded records for a DynamoDB event source in Lambda").
//
// After what time Lambda comes again no page says. The account does it each minute,
// by minutes.
func (a *account) hand() {
	mapping := at(a.stack.Resources["EventsFunction"], "Properties", "Events", "Writes", "Properties")
	life := time.Duration(a.number(at(mapping, "MaximumRecordAgeInSeconds"))) * time.Second
	for {
		old := slices.IndexFunc(a.stream, func(w written) bool { return a.now().Sub(w.at) <= life })
		if old < 0 {
			old = len(a.stream)
		}
		if old > 0 {
			a.stream = a.stream[old:]
			a.bury(at(mapping, "DestinationConfig", "OnFailure", "Destination"))
		}
		if len(a.stream) == 0 || !a.batch(a.number(at(mapping, "BatchSize"))) {
			return
		}
	}
}

// batch hands over one batch of the stream, and reports whether it was done.
func (a *account) batch(size int) bool {
	if a.most > 0 {
		size = a.most
	}
	batch := a.stream[:min(size, len(a.stream))]
	var records []json.RawMessage
	for _, w := range batch {
		records = append(records, w.record)
	}
	event, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		a.t.Fatal(err)
	}
	begin := a.now()
	answer, err := a.run("EventsFunction", event, begin)
	if errors.Is(err, errRefused) {
		return false
	}
	a.noted.Read("stack-EventsFunction", begin, begin.Sub(batch[len(batch)-1].at))
	if err != nil {
		a.most = max(len(batch)/2, 1)
		return false
	}
	var resp events.DynamoDBEventResponse
	if err := json.Unmarshal(answer, &resp); err != nil {
		a.t.Fatalf("the events function answers %s", answer)
	}
	a.most = 0
	if len(resp.BatchItemFailures) > 0 {
		a.stream = a.stream[slices.IndexFunc(batch, func(w written) bool {
			return strings.Contains(string(w.record), `"`+resp.BatchItemFailures[0].ItemIdentifier+`"`)
		}):]
		return false
	}
	a.stream = a.stream[len(batch):]
	return true
}

// at returns what stands in node under the keys, or nil.
func at(node any, keys ...string) any {
	for _, key := range keys {
		fields, _ := node.(map[string]any)
		node = fields[key]
	}
	return node
}

// number returns a number of the template. One that is not there fails the test.
func (a *account) number(node any) int {
	a.t.Helper()
	n, err := strconv.Atoi(fmt.Sprint(node))
	if err != nil {
		a.t.Errorf("the template has %v in place of a number", node)
	}
	return n
}
