package doctor

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go"
)

// MappingsAPI is the part of *lambda.Client that Parts uses.
type MappingsAPI interface {
	GetEventSourceMapping(ctx context.Context, in *lambda.GetEventSourceMappingInput, opts ...func(*lambda.Options)) (*lambda.GetEventSourceMappingOutput, error)
}

// BusesAPI is the part of *eventbridge.Client that Parts uses.
type BusesAPI interface {
	DescribeEventBus(ctx context.Context, in *eventbridge.DescribeEventBusInput, opts ...func(*eventbridge.Options)) (*eventbridge.DescribeEventBusOutput, error)
}

// Parts is Cloud in AWS, and reads stacks. CloudFormation, CloudWatch and
// EventBridge Scheduler are asked by signed GET requests, which change nothing:
// a client of the SDK for each would be three modules for four calls. Every
// field is required.
type Parts struct {
	Config   aws.Config // as package config of the SDK loads it
	Mappings MappingsAPI
	Buses    BusesAPI
	Now      func() time.Time
}

// Stack reads a stack.
func (p Parts) Stack(ctx context.Context, name string) (Stack, error) {
	var d struct {
		Stacks []struct {
			Status  string `xml:"StackStatus"`
			Outputs []struct {
				Key   string `xml:"OutputKey"`
				Value string `xml:"OutputValue"`
			} `xml:"Outputs>member"`
		} `xml:"DescribeStacksResult>Stacks>member"`
	}
	if err := p.query(ctx, "cloudformation", url.Values{"Action": {"DescribeStacks"}, "Version": {"2010-05-15"}, "StackName": {name}}, &d); err != nil {
		return Stack{}, err
	}
	if len(d.Stacks) == 0 {
		return Stack{}, ErrMissing
	}
	s := Stack{Name: name, Status: d.Stacks[0].Status, Outputs: map[string]string{}, Resources: map[string]Resource{}}
	for _, o := range d.Stacks[0].Outputs {
		s.Outputs[o.Key] = o.Value
	}
	return s, p.resources(ctx, s)
}

// resources adds the resources of s, page by page.
func (p Parts) resources(ctx context.Context, s Stack) error {
	next := ""
	for {
		var page struct {
			Resources []struct{ LogicalResourceId, PhysicalResourceId, ResourceType string } `xml:"ListStackResourcesResult>StackResourceSummaries>member"`
			Next      string                                                                 `xml:"ListStackResourcesResult>NextToken"`
		}
		query := url.Values{"Action": {"ListStackResources"}, "Version": {"2010-05-15"}, "StackName": {s.Name}}
		if next != "" {
			query.Set("NextToken", next)
		}
		if err := p.query(ctx, "cloudformation", query, &page); err != nil {
			return err
		}
		for _, r := range page.Resources {
			s.Resources[r.LogicalResourceId] = Resource{ID: r.PhysicalResourceId, Type: r.ResourceType}
		}
		if next = page.Next; next == "" {
			return nil
		}
	}
}

// maxAlarms is how many alarms one call names (API_DescribeAlarms, 2026-11-23).
const maxAlarms = 100

// Alarms implements Cloud. It looks at the first 100.
func (p Parts) Alarms(ctx context.Context, names []string) ([]Alarm, error) {
	query := url.Values{"Action": {"DescribeAlarms"}, "Version": {"2010-08-01"}, "MaxRecords": {strconv.Itoa(maxAlarms)}}
	for i, name := range names[:min(len(names), maxAlarms)] {
		query.Set("AlarmNames.member."+strconv.Itoa(i+1), name)
	}
	var d struct {
		Alarms []struct {
			AlarmName, StateValue string
			ActionsEnabled        bool
			Actions               []string `xml:"AlarmActions>member"`
		} `xml:"DescribeAlarmsResult>MetricAlarms>member"`
	}
	err := p.query(ctx, "monitoring", query, &d)
	var found []Alarm
	for _, a := range d.Alarms {
		found = append(found, Alarm{Name: a.AlarmName, Tells: a.ActionsEnabled && len(a.Actions) > 0, Ringing: a.StateValue == "ALARM"})
	}
	return found, err
}

// Schedule implements Cloud.
func (p Parts) Schedule(ctx context.Context, name string) (Schedule, error) {
	body, err := p.get(ctx, "scheduler", "/schedules/"+url.PathEscape(name), nil)
	if err != nil {
		return Schedule{}, err
	}
	var s struct {
		State  string
		Target struct{ Arn string }
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return Schedule{}, errors.New("AWS answers what is no JSON")
	}
	return Schedule{State: s.State, Target: s.Target.Arn}, nil
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

// query reads the XML that a service of the Query protocol answers into to.
func (p Parts) query(ctx context.Context, service string, query url.Values, to any) error {
	body, err := p.get(ctx, service, "/", query)
	if err != nil {
		return err
	}
	if err := xml.Unmarshal(body, to); err != nil {
		return errors.New("AWS answers what is no XML")
	}
	return nil
}

// The SHA-256 of no body, in hex.
const noBody = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// get makes one signed GET request, and returns its body where it is answered
// with 200.
func (p Parts) get(ctx context.Context, service, path string, query url.Values) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.endpoint(service)+path, nil)
	if err != nil {
		return nil, errors.New("no request can be made of the endpoint of AWS that is set")
	}
	req.URL.RawQuery = query.Encode()
	if p.Config.Region == "" {
		return nil, errors.New("no AWS region is set: set AWS_REGION")
	}
	credentials, err := p.Config.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("no AWS credentials: %w", err)
	}
	if err := v4.NewSigner().SignHTTP(ctx, credentials, req, noBody, service, p.Config.Region, p.Now()); err != nil {
		return nil, fmt.Errorf("sign a request: %w", err)
	}
	resp, err := p.Config.HTTPClient.Do(req)
	if err != nil {
		return nil, reason(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return nil, reason(err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, brief(&smithy.GenericAPIError{Code: errorIn(resp, body)})
	}
	return body, nil
}

// maxPage is the most that is read of an answer of AWS, in bytes.
const maxPage = 4 << 20

// endpoint returns where a service is: AWS_ENDPOINT_URL, if it is set.
func (p Parts) endpoint(service string) string {
	if base := aws.ToString(p.Config.BaseEndpoint); base != "" {
		return strings.TrimSuffix(base, "/")
	}
	domain := "amazonaws.com"
	if strings.HasPrefix(p.Config.Region, "cn-") {
		domain = "amazonaws.com.cn"
	}
	return "https://" + service + "." + p.Config.Region + "." + domain
}

// errorIn returns the code of an error: a header has it, or the body. A stack
// that is not there is told by the code of all that is wrong with a name.
func errorIn(resp *http.Response, body []byte) string {
	if code, _, _ := strings.Cut(resp.Header.Get("X-Amzn-Errortype"), ":"); code != "" {
		return code
	}
	var e struct {
		Code    string `xml:"Error>Code"`
		Message string `xml:"Error>Message"`
	}
	if xml.Unmarshal(body, &e) != nil || e.Code == "" {
		return "HTTP " + strconv.Itoa(resp.StatusCode)
	}
	if e.Code == "ValidationError" && strings.HasSuffix(e.Message, "does not exist") {
		return notFound
	}
	return e.Code
}
