package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Stack is a deployed stack as CloudFormation knows it.
type Stack struct {
	Name      string
	Status    string              // such as UPDATE_COMPLETE
	Outputs   map[string]string   // by name
	Resources map[string]Resource // by logical ID
}

// A Resource is a part of a stack.
type Resource struct{ ID, Type string } // its physical ID, and its type, such as AWS::Lambda::Function

// Functions returns the functions of the stack, each by the alias that is
// called: what $LATEST was told, nobody meets.
func (s Stack) Functions() []string {
	var names []string
	for _, r := range s.Resources {
		if r.Type == "AWS::Lambda::Function" {
			names = append(names, r.ID+":"+alias)
		}
	}
	slices.Sort(names)
	return names
}

// alias is how functions are called (template.yaml, AutoPublishAlias).
const alias = "live"

// The logical IDs of what doctor looks for in a stack.
const (
	scheduleID    = "RefreshFunctionSweep"
	refreshID     = "RefreshFunction"
	eventsID      = "EventsFunction"
	writesID      = "EventsFunctionWrites"
	workersID     = "ShardWorkers"
	alarmType     = "AWS::CloudWatch::Alarm"
	deploymentFix = "Deploy the stack again, and change it by its parameters alone."
)

// Cloud tells how the parts of a stack are. Each error is ErrMissing, ErrDenied,
// or says why the part cannot be looked at.
type Cloud interface {
	Schedule(ctx context.Context, name string) (Schedule, error)
	Alarms(ctx context.Context, names []string) ([]Alarm, error) // those that are there
	Mapping(ctx context.Context, id string) (Mapping, error)
	Bus(ctx context.Context, name string) error // by name or ARN
}

// A Schedule starts sweeps.
type Schedule struct {
	State  string // ENABLED where it does
	Target string // the ARN of what it starts
}

// An Alarm tells somebody, or nobody.
type Alarm struct {
	Name    string
	Tells   bool // somebody, by an action that is not switched off
	Ringing bool
}

// A Mapping hands what comes from a stream or queue over to a function.
type Mapping struct {
	State  string // Enabled where it does
	Source string // the ARN of the stream or queue
	Result string // of the last time, such as "OK" or "PROBLEM: …"
}

// stack checks what the settings of functions do not tell: whether sweeps are
// started, whether anybody is alarmed, and whether the host is told. Bus is the
// bus that is told, "" where there is none, and stream the table's.
func (d Deployment) stack(ctx context.Context, bus string, connections Table) []Finding {
	var findings []Finding
	switch {
	case d.StackErr != nil:
		findings = append(findings, d.unread())
	case d.Stack.Name == "":
		findings = append(findings, warning("stack", "schedule, alarms and what reads stream and queue were not checked: nobody said which stack it is", "Name the stack with --stack, in place of --function."))
	default:
		findings = append(findings, deployed(d.Stack), d.schedule(ctx))
		findings = append(findings, d.alarms(ctx)...)
		if r, ok := d.Stack.Resources[workersID]; ok {
			findings = append(findings, d.mapping(ctx, "workers", r.ID, "", "large shards are left to workers, who do not begin"))
		}
	}
	return append(findings, d.events(ctx, bus, connections)...)
}

// unread is the finding for a stack that cannot be looked at.
func (d Deployment) unread() Finding {
	return unread("stack", "the stack cannot be looked at", d.StackErr,
		"cloudformation:DescribeStacks and ListStackResources on it", "Look at --stack, and at the account and region that you are in.")
}

// unread is the finding for a part that cannot be looked at: a warning that
// names the permission where that is why.
func unread(check, what string, err error, permission, fix string) Finding {
	detail := fmt.Sprintf("%s: %v", what, err)
	if errors.Is(err, ErrDenied) {
		return warning(check, detail, "Allow "+permission+" to whoever runs doctor.")
	}
	return problem(check, detail, fix)
}

// deployed says how the last deployment ended.
func deployed(s Stack) Finding {
	const check = "stack"
	detail := s.Name + " is " + s.Status
	switch {
	case strings.HasSuffix(s.Status, "_IN_PROGRESS"):
		return warning(check, detail, "Run doctor again when it has ended.")
	case strings.HasSuffix(s.Status, "_FAILED"):
		return problem(check, detail, "Its events in CloudFormation say why; mend that, and deploy it again.")
	case strings.Contains(s.Status, "ROLLBACK"):
		return warning(check, detail+": the last deployment was taken back", "Its events in CloudFormation say why. An alarm on errors that rings takes a deployment back too: deploy what mends it with Alarms=false. "+
			"If that says that a version exists, delete that version with `aws lambda delete-function --function-name FUNCTION --qualifier NUMBER` (docs/operations.md, Deploy).")
	}
	return fine(check, "%s", detail)
}

// schedule checks that sweeps are started.
func (d Deployment) schedule(ctx context.Context) Finding {
	const check = "schedule"
	r, ok := d.Stack.Resources[scheduleID]
	if !ok {
		return problem(check, "the stack has no schedule "+scheduleID+", so nothing is refreshed by itself", deploymentFix)
	}
	s, err := d.Cloud.Schedule(ctx, r.ID)
	refresh := d.Stack.Resources[refreshID].ID + ":" + alias
	switch {
	case errors.Is(err, ErrMissing):
		return problem(check, "somebody has deleted the schedule "+r.ID+": nothing is refreshed by itself", "Make it again in EventBridge Scheduler as template.yaml has it, under the same name.")
	case err != nil:
		return unread(check, "the schedule cannot be looked at", err, "scheduler:GetSchedule on it", "Run doctor again.")
	case s.State != "ENABLED":
		return problem(check, fmt.Sprintf("the schedule %s is %s: nothing is refreshed by itself", r.ID, s.State), "Enable it in EventBridge Scheduler; sweeps then do what waits, the oldest first.")
	case !strings.HasSuffix(s.Target, ":function:"+refresh):
		return problem(check, "the schedule starts "+s.Target+", and not "+refresh, deploymentFix)
	}
	return fine(check, "it starts %s, and is enabled", refresh)
}

// alarms checks that somebody hears of trouble, and whether there is any.
func (d Deployment) alarms(ctx context.Context) []Finding {
	const check = "alarms"
	var names []string
	for _, r := range d.Stack.Resources {
		if r.Type == alarmType {
			names = append(names, r.ID)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return []Finding{warning(check, "the stack has none: nobody hears that tokens are not refreshed", "Deploy it with Alarms=true, and name with AlarmTopicArn who is told.")}
	}
	found, err := d.Cloud.Alarms(ctx, names)
	if err != nil {
		return []Finding{unread(check, "the alarms cannot be looked at", err, "cloudwatch:DescribeAlarms on them", "Run doctor again.")}
	}
	var mute, ringing []string
	for _, a := range found {
		if !a.Tells {
			mute = append(mute, a.Name)
		}
		if a.Ringing {
			ringing = append(ringing, a.Name)
		}
	}
	f := fine(check, "%s, and each tells somebody", counted(len(found), "alarm"))
	switch {
	case len(found) < len(names):
		f = warning(check, fmt.Sprintf("%d of %d are there: somebody has deleted others", len(found), len(names)), "Deploy once with Alarms=false and once with Alarms=true, which makes them again.")
	case len(mute) == len(found):
		f = warning(check, counted(len(found), "alarm")+", and none tells anybody", "Deploy with AlarmTopicArn, or see in CloudWatch that their actions are enabled.")
	case len(mute) > 0:
		f = warning(check, "these tell nobody: "+strings.Join(mute, ", "), "Enable their actions in CloudWatch.")
	}
	if len(ringing) == 0 {
		return []Finding{f}
	}
	return []Finding{f, warning("alarms/ringing", strings.Join(ringing, ", "), "docs/operations.md says what each means and what to do.")}
}
