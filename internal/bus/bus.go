// Package bus publishes the events for the host on an EventBridge bus.
//
// It neither makes events nor tries again beyond what the client does: package
// events does the one, and leaves the other to the stream that it reads.
package bus

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/evergrant/evergrant/internal/connection"
)

// API is the part of *eventbridge.Client that Bus uses.
type API interface {
	PutEvents(ctx context.Context, in *eventbridge.PutEventsInput, opts ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error)
}

// A Bus is an EventBridge bus. Both fields are required.
type Bus struct {
	API  API
	Name string // or ARN
}

// Publish publishes up to ten notices by one call (API_PutEvents, 2026-11-23). It
// returns the indexes of those that were not taken, all of them where the call
// failed, and an error that says why the first was not.
func (b *Bus) Publish(ctx context.Context, notices []connection.Notice) (lost []int, err error) {
	in := &eventbridge.PutEventsInput{}
	for _, n := range notices {
		e := types.PutEventsRequestEntry{
			EventBusName: &b.Name, Source: aws.String(connection.NoticeSource), DetailType: &n.Type, Detail: aws.String(string(n.Detail)), Time: &n.At,
		}
		if n.Table != "" {
			e.Resources = []string{n.Table}
		}
		in.Entries = append(in.Entries, e)
	}
	out, err := b.API.PutEvents(ctx, in)
	if err == nil && len(out.Entries) != len(notices) {
		err = fmt.Errorf("it answers for %d entries", len(out.Entries)) // of which nobody knows which
	}
	if err != nil {
		for i := range notices {
			lost = append(lost, i)
		}
		return lost, fmt.Errorf("publish %d events: %w", len(notices), err)
	}
	for i, e := range out.Entries {
		if e.EventId != nil && e.ErrorCode == nil {
			continue
		}
		if lost = append(lost, i); err == nil {
			err = fmt.Errorf("publish %s: %s: %s", notices[i].Type, aws.ToString(e.ErrorCode), aws.ToString(e.ErrorMessage))
		}
	}
	return lost, err
}
