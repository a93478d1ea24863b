package doctor

import (
	"os"
	"strings"
	"testing"
)

// What doctor looks for in a stack, template.yaml deploys under that name. SAM
// names a function's event by both: RefreshFunction and Sweep.
func TestTheTemplateHasWhatDoctorLooksFor(t *testing.T) {
	data, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	resources, outputs, _ := strings.Cut(string(data), "\nOutputs:\n")
	event := func(function, event, typ string) string {
		_, rest, _ := strings.Cut(resources, "\n  "+function+":\n")
		own, _, _ := strings.Cut(rest, "\n\n") // until the next resource
		if !strings.Contains(own, "\n        "+event+":\n          Type: "+typ+"\n") {
			return ""
		}
		return function + event
	}
	if got := event(refreshID, "Sweep", "ScheduleV2"); got != scheduleID {
		t.Errorf("the schedule is %q", got)
	}
	if got := event(eventsID, "Writes", "DynamoDB"); got != writesID {
		t.Errorf("the mapping of the stream is %q", got)
	}
	for _, want := range []string{"\n  " + workersID + ":\n    Type: AWS::Lambda::EventSourceMapping\n", "\n    AutoPublishAlias: " + alias + "\n", "\n    Type: " + alarmType + "\n"} {
		if !strings.Contains(resources, want) {
			t.Errorf("the template lacks %q", want)
		}
	}
	for setting, output := range deploymentOutputs {
		if !strings.Contains(outputs, "\n  "+output+":\n") && !strings.HasPrefix(outputs, "  "+output+":\n") {
			t.Errorf("%s is told by an output %s that there is not", setting, output)
		}
	}
}
