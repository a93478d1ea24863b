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
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/smithy-go/encoding/cbor"
)

// cloudWith returns Parts of an AWS that answers as answer says, with the form of a
// request parsed.
func cloudWith(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) Parts {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Smithy-Protocol", "rpc-v2-cbor") // CloudWatch alone asks for it
		_ = r.ParseForm()
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	c := aws.Config{
		Region: "eu-central-1", BaseEndpoint: &server.URL, HTTPClient: server.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", ""),
		// An answer that overtakes the end of its request, as here over loopback, may be
		// cut off by the SDK (aws/aws-sdk-go-v2#2737), which then asks again.
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Nanosecond })
		},
	}
	return Parts{Stacks: cloudformation.NewFromConfig(c), Watch: cloudwatch.NewFromConfig(c), Schedules: scheduler.NewFromConfig(c)}
}

// scope fails t for a request that is not signed for a service.
func scope(t *testing.T, r *http.Request, service string) {
	t.Helper()
	if want := "/eu-central-1/" + service + "/aws4_request"; !strings.Contains(r.Header.Get("Authorization"), want) {
		t.Errorf("%s is signed as %s", r.URL, r.Header.Get("Authorization"))
	}
}

func TestAStackIsReadPageByPage(t *testing.T) {
	p := cloudWith(t, func(w http.ResponseWriter, r *http.Request) {
		scope(t, r, "cloudformation")
		q := r.PostForm
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

// texts is a list in CBOR.
func texts(all ...string) cbor.List {
	list := cbor.List{}
	for _, s := range all {
		list = append(list, cbor.String(s))
	}
	return list
}

func TestAlarmsAreToldFromOneAnother(t *testing.T) {
	p := cloudWith(t, func(w http.ResponseWriter, r *http.Request) {
		scope(t, r, "monitoring")
		body, _ := io.ReadAll(r.Body)
		asked, _ := cbor.Decode(body)
		if want := (cbor.Map{"AlarmNames": texts("a", "b", "c"), "MaxRecords": cbor.Uint(100)}); !strings.HasSuffix(r.URL.Path, "/operation/DescribeAlarms") || !reflect.DeepEqual(asked, want) {
			t.Errorf("asked %s %v", r.URL.Path, asked)
		}
		_, _ = w.Write(cbor.Encode(cbor.Map{"MetricAlarms": cbor.List{
			cbor.Map{"AlarmName": cbor.String("a"), "ActionsEnabled": cbor.Bool(true), "StateValue": cbor.String("ALARM"), "AlarmActions": texts("arn:topic")},
			cbor.Map{"AlarmName": cbor.String("b"), "ActionsEnabled": cbor.Bool(false), "StateValue": cbor.String("OK"), "AlarmActions": texts("arn:topic")},
			cbor.Map{"AlarmName": cbor.String("c"), "ActionsEnabled": cbor.Bool(true), "StateValue": cbor.String("INSUFFICIENT_DATA"), "AlarmActions": texts()},
		}}))
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
	refusal := func(code string) (xml, json, binary string) {
		return `<ErrorResponse><Error><Code>` + code + `</Code><Message>CANARY</Message></Error></ErrorResponse>`,
			`{"__type":"` + code + `","Message":"CANARY"}`, string(cbor.Encode(cbor.Map{"__type": cbor.String(code), "message": cbor.String("CANARY")}))
	}
	tests := []struct {
		name   string
		code   string // "" for what no AWS writes
		status int
		want   string // "" for anything that does not repeat the answer
	}{
		{"denied, as Query services say it", "AccessDenied", 403, ErrDenied.Error()},
		{"denied, as others say it", "AccessDeniedException", 403, ErrDenied.Error()},
		{"throttled", "Throttling", 400, "AWS answers Throttling"},
		{"something in between", "", 502, ""},
		{"in between, and fine", "", 200, ""},
	}
	for _, tt := range tests {
		xml, json, binary := "CANARY", "CANARY", "CANARY"
		if tt.code != "" {
			xml, json, binary = refusal(tt.code)
		}
		p := cloudWith(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(tt.status)
			switch {
			case r.Form.Has("Action"):
				_, _ = io.WriteString(w, xml)
			case strings.HasPrefix(r.URL.Path, "/schedules/"):
				_, _ = io.WriteString(w, json)
			default:
				_, _ = io.WriteString(w, binary)
			}
		})
		_, stack := p.Stack(t.Context(), "s")
		_, alarms := p.Alarms(t.Context(), []string{"a"})
		_, schedule := p.Schedule(t.Context(), "s")
		for of, err := range map[string]error{"stack": stack, "alarms": alarms, "schedule": schedule} {
			if err == nil || tt.want != "" && err.Error() != tt.want || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("%s, %s: %v, want %s", tt.name, of, err, tt.want)
			}
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
