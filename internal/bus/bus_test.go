package bus

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/evergrant/evergrant/internal/connection"
)

// api answers each call with out and err.
type api struct {
	in  *eventbridge.PutEventsInput
	out *eventbridge.PutEventsOutput
	err error
}

func (a *api) PutEvents(_ context.Context, in *eventbridge.PutEventsInput, _ ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error) {
	a.in = in
	return a.out, a.err
}

func TestPublishSaysWhatWasNotTaken(t *testing.T) {
	taken := types.PutEventsResultEntry{EventId: aws.String("e")}
	throttled := types.PutEventsResultEntry{ErrorCode: aws.String("ThrottlingException"), ErrorMessage: aws.String("slow down")}
	tests := []struct {
		name string
		out  []types.PutEventsResultEntry
		err  error
		lost []int
		want string // part of the error; "": none
	}{
		{"all are taken", []types.PutEventsResultEntry{taken, taken, taken}, nil, nil, ""},
		{"one is not", []types.PutEventsResultEntry{taken, throttled, taken}, nil, []int{1}, "Connection Degraded: ThrottlingException: slow down"},
		{"none is", []types.PutEventsResultEntry{throttled, throttled, throttled}, nil, []int{0, 1, 2}, "Connection Connected: ThrottlingException"},
		{"one without an ID", []types.PutEventsResultEntry{taken, taken, {}}, nil, []int{2}, "Connection Disconnected"},
		{"the call fails", nil, errors.New("no such bus"), []int{0, 1, 2}, "publish 3 events: no such bus"},
		{"an answer for fewer", []types.PutEventsResultEntry{taken}, nil, []int{0, 1, 2}, "1 entries"},
	}
	at := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := &api{out: &eventbridge.PutEventsOutput{Entries: tt.out}, err: tt.err}
			notices := []connection.Notice{
				{Type: "Connection Connected", Table: "arn:aws:dynamodb:eu-central-1:123456789012:table/a", At: at, Detail: json.RawMessage(`{"id":"1"}`)},
				{Type: "Connection Degraded", At: at, Detail: json.RawMessage(`{"id":"2"}`)},
				{Type: "Connection Disconnected", At: at, Detail: json.RawMessage(`{"id":"3"}`)},
			}
			lost, err := (&Bus{API: a, Name: "host"}).Publish(t.Context(), notices)
			if !slices.Equal(lost, tt.lost) || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("lost %v, %v", lost, err)
			}
			for i, e := range a.in.Entries {
				n, resources := notices[i], [][]string{{"arn:aws:dynamodb:eu-central-1:123456789012:table/a"}, nil, nil}[i]
				if *e.EventBusName != "host" || *e.Source != "evergrant" || *e.DetailType != n.Type || *e.Detail != string(n.Detail) || !e.Time.Equal(at) || !slices.Equal(e.Resources, resources) {
					t.Errorf("entry %d is %+v", i, e)
				}
			}
			if len(a.in.Entries) != 3 {
				t.Errorf("%d entries", len(a.in.Entries))
			}
		})
	}
}
