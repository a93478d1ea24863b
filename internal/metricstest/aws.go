package metricstest

import "time"

// AWS notes what AWS itself records of the functions, the API and the queues of a
// stack, as far as an alarm of the template looks at it. Its zero value has noted
// nothing. All pages were read on 2026-11-23.
type AWS struct{ Points []Point }

// Invoked notes an invocation that ran and ended, at the time that it began:
// Invocations, whether it failed or not, Errors, which is 0 of one that did not,
// and Duration, of which the time-out is the most (Lambda developer guide, "Types of
// metrics for Lambda functions": "the timestamp on an error metric reflects when the
// function was invoked").
func (a *AWS) Invoked(function string, at time.Time, took time.Duration, failed bool) {
	errors := 0.0
	if failed {
		errors = 1
	}
	a.add("AWS/Lambda", "Invocations", "FunctionName", function, 1, at)
	a.add("AWS/Lambda", "Errors", "FunctionName", function, errors, at)
	a.add("AWS/Lambda", "Duration", "FunctionName", function, float64(took.Microseconds())/1000, at)
}

// Throttled notes an invocation that Lambda refused: "throttled requests and other
// invocation errors don't count as either Invocations or Errors" (the same page).
func (a *AWS) Throttled(function string, at time.Time) {
	a.add("AWS/Lambda", "Throttles", "FunctionName", function, 1, at)
}

// Read notes how old the last record of a stream's batch was when it was handed to
// the function, in milliseconds (the same page, IteratorAge).
func (a *AWS) Read(function string, at time.Time, age time.Duration) {
	a.add("AWS/Lambda", "IteratorAge", "FunctionName", function, float64(age.Milliseconds()), at)
}

// Answered notes an answer of an HTTP API (API Gateway developer guide, "Working
// with metrics for HTTP APIs").
func (a *AWS) Answered(api string, at time.Time, status int) {
	failed := 0.0
	if status >= 500 {
		failed = 1
	}
	a.add("AWS/ApiGateway", "Count", "ApiId", api, 1, at)
	a.add("AWS/ApiGateway", "5xx", "ApiId", api, failed, at)
}

// Holds notes how many messages wait in a queue, which SQS tells each minute (SQS
// developer guide, "Available CloudWatch metrics for Amazon SQS").
func (a *AWS) Holds(queue string, at time.Time, messages int) {
	a.add("AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue, float64(messages), at)
}

func (a *AWS) add(namespace, metric, dimension, of string, value float64, at time.Time) {
	a.Points = append(a.Points, Point{Namespace: namespace, Metric: metric, Dimensions: map[string]string{dimension: of}, Value: value, At: at})
}
