package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// cloudWith returns Parts of an AWS that answers as answer says.
func cloudWith(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) Parts {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s may change something", r.Method, r.URL.Path)
		}
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	return Parts{
		Config: aws.Config{
			Region: "eu-central-1", BaseEndpoint: &server.URL, HTTPClient: server.Client(),
			Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", ""),
		},
		Now: func() time.Time { return noon },
	}
}

// scope fails t for a request that is not signed for a service.
func scope(t *testing.T, r *http.Request, service string) {
	t.Helper()
	if want := "Credential=AKID/20261123/eu-central-1/" + service + "/aws4_request"; !strings.Contains(r.Header.Get("Authorization"), want) {
		t.Errorf("%s is signed as %s", r.URL, r.Header.Get("Authorization"))
	}
}

func TestAStackIsReadPageByPage(t *testing.T) {
	p := cloudWith(t, func(w http.ResponseWriter, r *http.Request) {
		scope(t, r, "cloudformation")
		q := r.URL.Query()
		switch {
		case q.Get("StackName") != "stack":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `<ErrorResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id %s does not exist</Message></Error></ErrorResponse>`, q.Get("StackName"))
		case q.Get("Action") == "DescribeStacks":
			_, _ = io.WriteString(w, `<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/"><DescribeStacksResult><Stacks><member><StackName>stack</StackName><StackStatus>CREATE_COMPLETE</StackStatus>
				<Outputs><member><OutputKey>PublicUrl</OutputKey><OutputValue>https://connect.example.com</OutputValue></member></Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>`)
		case q.Get("NextToken") == "":
			_, _ = io.WriteString(w, `<ListStackResourcesResponse><ListStackResourcesResult><StackResourceSummaries><member><LogicalResourceId>A</LogicalResourceId><PhysicalResourceId>stack-A</PhysicalResourceId>
				<ResourceType>AWS::Lambda::Function</ResourceType></member></StackResourceSummaries><NextToken>more</NextToken></ListStackResourcesResult></ListStackResourcesResponse>`)
		default:
			_, _ = io.WriteString(w, `<ListStackResourcesResponse><ListStackResourcesResult><StackResourceSummaries><member><LogicalResourceId>B</LogicalResourceId><PhysicalResourceId>stack-B</PhysicalResourceId>
				<ResourceType>AWS::CloudWatch::Alarm</ResourceType></member></StackResourceSummaries></ListStackResourcesResult></ListStackResourcesResponse>`)
		}
	})
	want := Stack{Name: "stack", Status: "CREATE_COMPLETE", Outputs: map[string]string{"PublicUrl": "https://connect.example.com"},
		Resources: map[string]Resource{"A": {"stack-A", "AWS::Lambda::Function"}, "B": {"stack-B", "AWS::CloudWatch::Alarm"}}}
	if got, err := p.Stack(t.Context(), "stack"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := p.Stack(t.Context(), "nowhere"); !errors.Is(err, ErrMissing) {
		t.Errorf("a stack that is not there: %v", err)
	}
}

func TestAlarmsAreToldFromOneAnother(t *testing.T) {
	p := cloudWith(t, func(w http.ResponseWriter, r *http.Request) {
		scope(t, r, "monitoring")
		if q := r.URL.Query(); q.Get("Action") != "DescribeAlarms" || q.Get("AlarmNames.member.1") != "a" || q.Get("AlarmNames.member.3") != "c" || q.Get("MaxRecords") != "100" {
			t.Errorf("asked %v", q)
		}
		_, _ = io.WriteString(w, `<DescribeAlarmsResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"><DescribeAlarmsResult><MetricAlarms>
			<member><AlarmName>a</AlarmName><ActionsEnabled>true</ActionsEnabled><StateValue>ALARM</StateValue><AlarmActions><member>arn:topic</member></AlarmActions></member>
			<member><AlarmName>b</AlarmName><ActionsEnabled>false</ActionsEnabled><StateValue>OK</StateValue><AlarmActions><member>arn:topic</member></AlarmActions></member>
			<member><AlarmName>c</AlarmName><ActionsEnabled>true</ActionsEnabled><StateValue>INSUFFICIENT_DATA</StateValue><AlarmActions/></member>
			</MetricAlarms></DescribeAlarmsResult></DescribeAlarmsResponse>`)
	})
	got, err := p.Alarms(t.Context(), []string{"a", "b", "c"})
	if want := []Alarm{{Name: "a", Tells: true, Ringing: true}, {Name: "b"}, {Name: "c"}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAScheduleIsReadByItsName(t *testing.T) {
	p := cloudWith(t, func(w http.ResponseWriter, r *http.Request) {
		scope(t, r, "scheduler")
		if r.URL.Path == "/schedules/stack-sweep" {
			_, _ = io.WriteString(w, `{"State":"DISABLED","Target":{"Arn":"arn:f"}}`)
			return
		}
		w.Header().Set("X-Amzn-Errortype", "ResourceNotFoundException:http://internal")
		w.WriteHeader(http.StatusNotFound)
	})
	if got, err := p.Schedule(t.Context(), "stack-sweep"); err != nil || got != (Schedule{State: "DISABLED", Target: "arn:f"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := p.Schedule(t.Context(), "gone"); !errors.Is(err, ErrMissing) {
		t.Errorf("a schedule that is not there: %v", err)
	}
}

func TestWhatAWSRefusesIsNamedByItsCodeAlone(t *testing.T) {
	tests := []struct {
		name, header, body string
		status             int
		want               string
	}{
		{"denied, as Query services say it", "", `<ErrorResponse><Error><Code>AccessDenied</Code><Message>CANARY</Message></Error></ErrorResponse>`, 403, ErrDenied.Error()},
		{"denied, as others say it", "AccessDeniedException", `{"Message":"CANARY"}`, 403, ErrDenied.Error()},
		{"throttled", "", `<ErrorResponse><Error><Code>Throttling</Code><Message>CANARY</Message></Error></ErrorResponse>`, 400, "AWS answers Throttling"},
		{"something in between", "", "CANARY", 502, "AWS answers HTTP 502"},
		{"no XML", "", "CANARY", 200, "AWS answers what is no XML"},
	}
	for _, tt := range tests {
		p := cloudWith(t, func(w http.ResponseWriter, _ *http.Request) {
			if tt.header != "" {
				w.Header().Set("X-Amzn-Errortype", tt.header)
			}
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
		})
		if _, err := p.Alarms(t.Context(), []string{"a"}); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
	p := cloudWith(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "CANARY") })
	if _, err := p.Schedule(t.Context(), "s"); err == nil || err.Error() != "AWS answers what is no JSON" {
		t.Errorf("no JSON: %v", err)
	}
	p.Config.Region = ""
	if _, err := p.Schedule(t.Context(), "s"); err == nil || err.Error() != "no AWS region is set: set AWS_REGION" {
		t.Errorf("no region: %v", err)
	}
	p.Config.Region = "eu-central-1"
	p.Config.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, errors.New("none is set") })
	if _, err := p.Schedule(t.Context(), "s"); err == nil || err.Error() != "no AWS credentials: none is set" {
		t.Errorf("no credentials: %v", err)
	}
}

func TestWhereServicesAre(t *testing.T) {
	for region, want := range map[string]string{
		"eu-central-1": "https://scheduler.eu-central-1.amazonaws.com",
		"cn-north-1":   "https://scheduler.cn-north-1.amazonaws.com.cn",
	} {
		if got := (Parts{Config: aws.Config{Region: region}}).endpoint("scheduler"); got != want {
			t.Errorf("%s: %s", region, got)
		}
	}
}

// A fakeParts answers as Lambda and EventBridge do.
type fakeParts struct{ err error }

func (f fakeParts) GetEventSourceMapping(_ context.Context, in *lambda.GetEventSourceMappingInput, _ ...func(*lambda.Options)) (*lambda.GetEventSourceMappingOutput, error) {
	return &lambda.GetEventSourceMappingOutput{State: aws.String("Enabled"), EventSourceArn: in.UUID}, f.err
}

func (f fakeParts) DescribeEventBus(context.Context, *eventbridge.DescribeEventBusInput, ...func(*eventbridge.Options)) (*eventbridge.DescribeEventBusOutput, error) {
	return nil, f.err
}

func TestMappingsAndBusesAreRead(t *testing.T) {
	p := Parts{Mappings: fakeParts{}, Buses: fakeParts{}}
	if m, err := p.Mapping(t.Context(), "id"); err != nil || m != (Mapping{State: "Enabled", Source: "id"}) {
		t.Errorf("%+v, %v", m, err)
	}
	if err := p.Bus(t.Context(), "host"); err != nil {
		t.Error(err)
	}
	p = Parts{Mappings: fakeParts{coded("ResourceNotFoundException")}, Buses: fakeParts{coded("AccessDeniedException")}}
	if _, err := p.Mapping(t.Context(), "id"); !errors.Is(err, ErrMissing) {
		t.Error(err)
	}
	if err := p.Bus(t.Context(), "host"); !errors.Is(err, ErrDenied) {
		t.Error(err)
	}
}
