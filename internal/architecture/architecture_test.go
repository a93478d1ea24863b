package architecture

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the repository, seen from here.
const root = "../.."

func TestThePictureIsThatOfTheTemplate(t *testing.T) {
	d, err := Read(root + "/template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(root + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for path, theme := range Pictures {
		drawn, err := os.ReadFile(filepath.Join(root, path))
		if err != nil || string(drawn) != d.SVG(theme) {
			t.Errorf("%s is not what template.yaml says (%v): run make docs", path, err)
		}
		if !strings.Contains(string(readme), path) {
			t.Errorf("README.md does not show %s", path)
		}
	}
}

func TestThePictureIsWellFormed(t *testing.T) {
	d, err := Read(root + "/template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for path, theme := range Pictures {
		for decoder := xml.NewDecoder(strings.NewReader(d.SVG(theme))); ; {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
	}
}

// source is a small template with one of each kind.
const source = `
Globals: {Function: {Timeout: 15, MemorySize: 512}}
Resources:
  Api: {Type: "AWS::Serverless::HttpApi"}
  Logs: {Type: "AWS::Logs::LogGroup"}
  Table: {Type: "AWS::DynamoDB::Table"}
  WorkQueue: {Type: "AWS::SQS::Queue", Condition: On}
  TickDeadLetters: {Type: "AWS::SQS::Queue"}
  WebRole: {Type: "AWS::IAM::Role"}
  TickRole:
    Type: AWS::IAM::Role
    Properties:
      Policies:
        - PolicyDocument:
            Statement:
              - {Action: ["dynamodb:GetItem", "dynamodb:UpdateItem"], Resource: !GetAtt Table.Arn}
              - {Action: "logs:PutLogEvents", Resource: !GetAtt Logs.Arn}
              - !If [On, {Action: "sqs:SendMessage", Resource: !GetAtt WorkQueue.Arn}, !Ref "AWS::NoValue"]
              - {Action: "secretsmanager:GetSecretValue", Resource: !Sub "arn:aws:secretsmanager:x:y:secret:z/providers/*"}
  WebFunction:
    Type: AWS::Serverless::Function
    Properties:
      Description: Answers browsers.
      Role: !GetAtt WebRole.Arn
      Events: {Any: {Type: HttpApi, Properties: {Path: "/web/{provider}"}}}
  TickFunction:
    Type: AWS::Serverless::Function
    Properties:
      Description: !Sub Ticks (${On}).
      Timeout: 90
      Role: !GetAtt TickRole.Arn
      Environment: {Variables: {PROVIDER_SECRETS: x}}
      Events: {Tick: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 minute), DeadLetterConfig: {Arn: !GetAtt TickDeadLetters.Arn}}}}
  MyPolicy:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      Description: Reads.
      PolicyDocument: {Statement: [{Action: "dynamodb:GetItem", Resource: !GetAtt Table.Arn}]}
`

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "template.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestADiagramHasEveryRight(t *testing.T) {
	d, err := Read(written(t, source))
	if err != nil {
		t.Fatal(err)
	}
	var uses, stores []string
	for _, u := range d.Uses {
		uses = append(uses, u.Actor+" "+u.Store+": "+u.What)
	}
	for _, s := range d.Stores {
		stores = append(stores, s.ID)
	}
	want := []string{
		"MyPolicy Table: read", "TickFunction Providers: call", "TickFunction Table: read, write", "TickFunction WorkQueue: send",
		"TickFunction providers/*: read", "the schedule DeadLetters: send",
	}
	if !slices.Equal(uses, want) {
		t.Errorf("got  %q\nwant %q", uses, want)
	}
	if want := []string{"Table", "providers/*", "WorkQueue", "Providers"}; !slices.Equal(stores, want) {
		t.Errorf("stores %q, want %q", stores, want)
	}
	if len(d.Functions) != 2 || d.Functions[0].Entry != (Entry{Route, "/web/{provider}"}) || d.Functions[1].Facts != "90 s · 512 MB" || d.Functions[1].About != "Ticks." {
		t.Errorf("functions %+v", d.Functions)
	}
	for _, part := range []string{">tick<", ">MyPolicy<", ">/web/{provider}<", "1 log group."} {
		if svg := d.SVG(Theme{}); !strings.Contains(svg, part) {
			t.Errorf("the picture lacks %s", part)
		}
	}
}

func TestWhatCannotBeDrawnIsAnError(t *testing.T) {
	tests := map[string]struct{ old, new, want string }{
		"a new type":              {"AWS::Logs::LogGroup", "AWS::SNS::Topic", "Logs is a AWS::SNS::Topic"},
		"a new way in":            {"Type: ScheduleV2", "Type: SNS", "TickFunction: say in package architecture how its event Tick"},
		"a new right":             {"dynamodb:UpdateItem", "dynamodb:PartiQLUpdate", "TickFunction may dynamodb:PartiQLUpdate on Table"},
		"a function with no role": {"      Role: !GetAtt WebRole.Arn\n", "", "WebFunction has the roles []"},
		"a broken template":       {"Resources:", "Resources: [", "parse the template"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(source, tt.old, tt.new, 1)
			if _, err := Read(written(t, text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}
