package queue

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// api takes the messages whose bodies are not "lost" or "forgotten".
type api struct {
	calls  []*sqs.SendMessageBatchInput
	broken error
}

func (a *api) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	a.calls = append(a.calls, in)
	if a.broken != nil {
		return nil, a.broken
	}
	out := new(sqs.SendMessageBatchOutput)
	for _, e := range in.Entries {
		switch *e.MessageBody {
		case "lost":
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id})
		case "forgotten":
		default:
			out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
		}
	}
	return out, nil
}

func TestSend(t *testing.T) {
	a := new(api)
	q := &Queue{API: a, URL: "https://queue.example/1/shards"}
	lost, err := q.Send(t.Context(), []string{"one", "lost", "two", "forgotten"})
	if err != nil || !slices.Equal(lost, []int{1, 3}) {
		t.Errorf("lost = %v, %v; want those that SQS does not say it has taken", lost, err)
	}
	if len(a.calls) != 1 || *a.calls[0].QueueUrl != q.URL {
		t.Fatalf("calls = %+v", a.calls)
	}
	ids := map[string]bool{}
	for i, e := range a.calls[0].Entries {
		ids[*e.Id] = true
		if want := []string{"one", "lost", "two", "forgotten"}[i]; *e.MessageBody != want {
			t.Errorf("message %d = %q, want %q", i, *e.MessageBody, want)
		}
	}
	if len(ids) != 4 {
		t.Errorf("IDs = %v, want four that differ", ids)
	}
}

func TestAFailedCallLosesAll(t *testing.T) {
	q := &Queue{API: &api{broken: errors.New("throttled")}, URL: "u"}
	lost, err := q.Send(t.Context(), []string{"one", "two"})
	if err == nil || !strings.Contains(err.Error(), "2 shard hints") || !slices.Equal(lost, []int{0, 1}) {
		t.Errorf("lost = %v, %v", lost, err)
	}
}
