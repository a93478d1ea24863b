package metricstest

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestAWSNotesWhatItsPagesSay(t *testing.T) {
	var a AWS
	a.Invoked("f", noon, 1500*time.Microsecond, false)
	a.Invoked("f", noon, 2*time.Second, true)
	a.Throttled("f", noon)
	a.Read("f", noon, time.Minute)
	a.Answered("i", noon, 499)
	a.Answered("i", noon, 500)
	a.Holds("q", noon, 3)
	want := []string{
		"AWS/Lambda Invocations map[FunctionName:f] 1", "AWS/Lambda Errors map[FunctionName:f] 0", "AWS/Lambda Duration map[FunctionName:f] 1.5",
		"AWS/Lambda Invocations map[FunctionName:f] 1", "AWS/Lambda Errors map[FunctionName:f] 1", "AWS/Lambda Duration map[FunctionName:f] 2000",
		"AWS/Lambda Throttles map[FunctionName:f] 1", "AWS/Lambda IteratorAge map[FunctionName:f] 60000",
		"AWS/ApiGateway Count map[ApiId:i] 1", "AWS/ApiGateway 5xx map[ApiId:i] 0",
		"AWS/ApiGateway Count map[ApiId:i] 1", "AWS/ApiGateway 5xx map[ApiId:i] 1",
		"AWS/SQS ApproximateNumberOfMessagesVisible map[QueueName:q] 3",
	}
	var got []string
	for _, p := range a.Points {
		got = append(got, fmt.Sprint(p.Namespace, " ", p.Metric, " ", p.Dimensions, " ", p.Value))
		if !p.At.Equal(noon) {
			t.Errorf("%s is of %v", p.Metric, p.At)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("noted %q\nwant %q", got, want)
	}
}
