package template

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ref returns what Ref gives: of a parameter its value, of a resource its
// physical ID.
func (r *renderer) ref(name string) (any, error) {
	if name == "AWS::NoValue" {
		return absent{}, nil
	}
	if v, ok := r.values[name]; ok {
		return v, nil
	}
	if id, part, _ := strings.Cut(name, "."); part == "Alias" || part == "Stage" { // that SAM adds
		return r.physical(id, part)
	}
	return r.physical(name, "")
}

// madeUp returns what Ref and GetAtt give of a resource, in the form that AWS
// gives it.
func (r *renderer) madeUp(id, attribute string) (any, error) {
	if attribute == "Arn" && r.schedules(id) {
		return arn("scheduler", "schedule/default/stack-"+id), nil
	}
	if !r.exists(id) {
		return nil, fmt.Errorf("%s is neither a parameter nor a resource that is there", id)
	}
	kind := fmt.Sprint(at(r.doc, "Resources", id, "Type"))
	switch strings.TrimSpace(kind + " " + attribute) {
	case functionType + " Arn":
		return arn("lambda", "function:stack-"+id), nil
	case functionType + " Alias":
		alias := fmt.Sprint(at(r.doc, "Globals", "Function", "AutoPublishAlias"))
		return arn("lambda", "function:stack-"+id+":"+alias), nil
	case "AWS::DynamoDB::Table Arn":
		return arn("dynamodb", "table/stack-"+id), nil
	case "AWS::DynamoDB::Table StreamArn":
		if stream, err := r.value(at(r.doc, "Resources", id, "Properties", "StreamSpecification")); err != nil || at(stream, "StreamViewType") == nil {
			return nil, fmt.Errorf("%s has no stream", id)
		}
		return arn("dynamodb", "table/stack-"+id+"/stream/2026-11-23T00:00:00.000"), nil
	case "AWS::SecretsManager::Secret":
		return arn("secretsmanager", "secret:"+id+"-Ab12Cd"), nil
	case "AWS::SQS::Queue":
		return "https://sqs.eu-central-1.amazonaws.com/123456789012/stack-" + id, nil
	case "AWS::SQS::Queue Arn":
		return arn("sqs", "stack-"+id), nil
	case "AWS::SQS::Queue QueueName":
		return "stack-" + id, nil
	case "AWS::Logs::LogGroup":
		return r.value(at(r.doc, "Resources", id, "Properties", "LogGroupName"))
	case "AWS::Logs::LogGroup Arn":
		group, err := r.madeUp(id, "")
		return arn("logs", fmt.Sprintf("log-group:%v:*", group)), err
	case "AWS::IAM::ManagedPolicy":
		return "arn:aws:iam::123456789012:policy/stack-" + id, nil
	case "AWS::IAM::Role Arn":
		return "arn:aws:iam::123456789012:role/stack-" + id, nil
	case "AWS::Serverless::HttpApi":
		return "a1b2c3d4e5", nil
	case "AWS::Serverless::HttpApi Stage":
		return at(r.doc, "Resources", id, "Properties", "StageName"), nil
	case "AWS::ApiGatewayV2::DomainName":
		return r.values["CustomDomain"], nil
	case "AWS::ApiGatewayV2::DomainName RegionalDomainName":
		return "d-a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com", nil
	case "AWS::ApiGatewayV2::DomainName RegionalHostedZoneId":
		return "Z1U9ULNL0V5AJ3", nil
	}
	if attribute == "" {
		return "stack-" + id, nil
	}
	return nil, fmt.Errorf("%s of %s, %s, is not known here", attribute, id, kind)
}

// schedules reports whether id is of a schedule that SAM makes of an event of a
// function, whose names it joins ("Generated CloudFormation resources when
// AWS::Serverless::Function is specified", 2026-11-23).
func (r *renderer) schedules(id string) bool {
	functions, _ := at(r.doc, "Resources").(map[string]any)
	for function := range functions {
		event, its := strings.CutPrefix(id, function)
		if its && at(functions, function, "Properties", "Events", event, "Type") == "ScheduleV2" && r.exists(function) {
			return true
		}
	}
	return false
}

// arn returns an ARN of the stack's region and account.
func arn(service, resource string) string {
	return "arn:aws:" + service + ":eu-central-1:123456789012:" + resource
}

// allows returns an error where a parameter does not take a value.
func allows(parameter any, value string) error {
	if values, ok := at(parameter, "AllowedValues").([]any); ok {
		if !slices.ContainsFunc(values, func(v any) bool { return fmt.Sprint(v) == value }) {
			return fmt.Errorf("%q is none of %v", value, values)
		}
	}
	if pattern, ok := at(parameter, "AllowedPattern").(string); ok {
		re, err := regexp.Compile("^(?:" + pattern + ")$")
		if err != nil {
			return fmt.Errorf("read its pattern: %w", err)
		}
		if !re.MatchString(value) {
			return fmt.Errorf("%q does not match %s", value, pattern)
		}
	}
	if at(parameter, "Type") != "Number" {
		return nil
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return fmt.Errorf("%q is no whole number", value)
	}
	for bound, outside := range map[string]func(limit int) bool{
		"MinValue": func(limit int) bool { return n < limit },
		"MaxValue": func(limit int) bool { return n > limit },
	} {
		if limit, err := strconv.Atoi(fmt.Sprint(at(parameter, bound))); err == nil && outside(limit) {
			return fmt.Errorf("%d is beyond its %s, %d", n, bound, limit)
		}
	}
	return nil
}
