// Package queue sends shard hints through SQS.
//
// It does not receive: Lambda does, and hands the messages to the refresh
// function. Losing or doubling one is harmless, so it is a standard queue.
package queue

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// API is the part of *sqs.Client that Queue uses.
type API interface {
	SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, opts ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
}

// A Queue is an SQS queue. Both fields are required.
type Queue struct {
	API API
	URL string
}

// Send sends up to ten messages by one call (API_SendMessageBatch, 2026-11-23)
// and returns the indexes of those that were not taken; all of them with an
// error.
func (q *Queue) Send(ctx context.Context, bodies []string) (lost []int, err error) {
	in := &sqs.SendMessageBatchInput{QueueUrl: &q.URL}
	for i, body := range bodies {
		id := strconv.Itoa(i)
		in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body})
	}
	out, err := q.API.SendMessageBatch(ctx, in)
	if err != nil {
		for i := range bodies {
			lost = append(lost, i)
		}
		return lost, fmt.Errorf("send %d shard hints: %w", len(bodies), err)
	}
	taken := map[string]bool{} // what is in neither list was not taken
	for _, e := range out.Successful {
		taken[*e.Id] = true
	}
	for i := range bodies {
		if !taken[strconv.Itoa(i)] {
			lost = append(lost, i)
		}
	}
	return lost, nil
}
