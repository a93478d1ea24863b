package doctor

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	watchtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/smithy-go"
)

// StacksAPI is the part of *cloudformation.Client that Parts uses.
type StacksAPI interface {
	DescribeStacks(ctx context.Context, in *cloudformation.DescribeStacksInput, opts ...func(*cloudformation.Options)) (*cloudformation.DescribeStacksOutput, error)
	ListStackResources(ctx context.Context, in *cloudformation.ListStackResourcesInput, opts ...func(*cloudformation.Options)) (*cloudformation.ListStackResourcesOutput, error)
}

// AlarmsAPI is the part of *cloudwatch.Client that Parts uses.
type AlarmsAPI interface {
	DescribeAlarms(ctx context.Context, in *cloudwatch.DescribeAlarmsInput, opts ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error)
}

// SchedulesAPI is the part of *scheduler.Client that Parts uses.
type SchedulesAPI interface {
	GetSchedule(ctx context.Context, in *scheduler.GetScheduleInput, opts ...func(*scheduler.Options)) (*scheduler.GetScheduleOutput, error)
}

// MappingsAPI is the part of *lambda.Client that Parts uses.
type MappingsAPI interface {
	GetEventSourceMapping(ctx context.Context, in *lambda.GetEventSourceMappingInput, opts ...func(*lambda.Options)) (*lambda.GetEventSourceMappingOutput, error)
}

// BusesAPI is the part of *eventbridge.Client that Parts uses.
type BusesAPI interface {
	DescribeEventBus(ctx context.Context, in *eventbridge.DescribeEventBusInput, opts ...func(*eventbridge.Options)) (*eventbridge.DescribeEventBusOutput, error)
}

// Parts is Cloud in AWS, and reads stacks. Nothing that it can call changes
// anything. Every field is required.
type Parts struct {
	Stacks    StacksAPI
	Watch     AlarmsAPI
	Schedules SchedulesAPI
	Mappings  MappingsAPI
	Buses     BusesAPI
}

// Stack reads a stack.
func (p Parts) Stack(ctx context.Context, name string) (Stack, error) {
	out, err := p.Stacks.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	switch {
	case noStack(err):
		return Stack{}, ErrMissing
	case err != nil:
		return Stack{}, brief(err)
	case len(out.Stacks) == 0:
		return Stack{}, errors.New("AWS answers without a stack")
	}
	s := Stack{Name: name, Status: string(out.Stacks[0].StackStatus), Outputs: map[string]string{}, Resources: map[string]Resource{}}
	for _, o := range out.Stacks[0].Outputs {
		s.Outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	pages := cloudformation.NewListStackResourcesPaginator(p.Stacks, &cloudformation.ListStackResourcesInput{StackName: &name})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return s, brief(err)
		}
		for _, r := range page.StackResourceSummaries {
			s.Resources[aws.ToString(r.LogicalResourceId)] = Resource{ID: aws.ToString(r.PhysicalResourceId), Type: aws.ToString(r.ResourceType)}
		}
	}
	return s, nil
}

// noStack reports whether err is of a stack that is not there, which CloudFormation
// tells by the code of all that is wrong with a name.
func noStack(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "ValidationError" && strings.HasSuffix(api.ErrorMessage(), "does not exist")
}

// maxAlarms is how many alarms one call names (API_DescribeAlarms, 2026-11-23).
const maxAlarms = 100

// Alarms implements Cloud. It looks at the first 100.
func (p Parts) Alarms(ctx context.Context, names []string) ([]Alarm, error) {
	out, err := p.Watch.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: names[:min(len(names), maxAlarms)], MaxRecords: aws.Int32(maxAlarms)})
	if err != nil {
		return nil, brief(err)
	}
	var found []Alarm
	for _, a := range out.MetricAlarms {
		found = append(found, Alarm{
			Name: aws.ToString(a.AlarmName), Tells: aws.ToBool(a.ActionsEnabled) && len(a.AlarmActions) > 0, Ringing: a.StateValue == watchtypes.StateValueAlarm,
		})
	}
	return found, nil
}

// Schedule implements Cloud.
func (p Parts) Schedule(ctx context.Context, name string) (Schedule, error) {
	out, err := p.Schedules.GetSchedule(ctx, &scheduler.GetScheduleInput{Name: &name})
	if err != nil {
		return Schedule{}, brief(err)
	}
	s := Schedule{State: string(out.State)}
	if out.Target != nil {
		s.Target = aws.ToString(out.Target.Arn)
	}
	return s, nil
}

// Mapping implements Cloud.
func (p Parts) Mapping(ctx context.Context, id string) (Mapping, error) {
	out, err := p.Mappings.GetEventSourceMapping(ctx, &lambda.GetEventSourceMappingInput{UUID: &id})
	if err != nil {
		return Mapping{}, brief(err)
	}
	return Mapping{State: aws.ToString(out.State), Source: aws.ToString(out.EventSourceArn), Result: aws.ToString(out.LastProcessingResult)}, nil
}

// Bus implements Cloud.
func (p Parts) Bus(ctx context.Context, name string) error {
	_, err := p.Buses.DescribeEventBus(ctx, &eventbridge.DescribeEventBusInput{Name: &name})
	return brief(err)
}
