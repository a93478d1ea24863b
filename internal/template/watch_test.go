package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// expected are the alarms, each as described writes it. The threshold of a duration
// is in milliseconds: 80 % of the function's time-out, 95 % of a sweep's, which uses
// its time.
var expected = map[string]string{
	"AuthorizeErrorsAlarm":   "IF(errors > 2, 100 * errors / calls, 0) > 1, once in 300 s; Sum AWS/Lambda Invocations, Sum AWS/Lambda Errors of AuthorizeFunction",
	"CallbackErrorsAlarm":    "IF(errors > 2, 100 * errors / calls, 0) > 1, once in 300 s; Sum AWS/Lambda Invocations, Sum AWS/Lambda Errors of CallbackFunction",
	"RefreshErrorsAlarm":     "IF(errors > 1, 100 * errors / calls, 0) > 1, once in 300 s; Sum AWS/Lambda Invocations, Sum AWS/Lambda Errors of RefreshFunction",
	"ConnectionsErrorsAlarm": "IF(errors > 2, 100 * errors / calls, 0) > 1, once in 300 s; Sum AWS/Lambda Invocations, Sum AWS/Lambda Errors of ConnectionsFunction",
	"EventsErrorsAlarm":      "IF(errors > 2, 100 * errors / calls, 0) > 1, once in 300 s; Sum AWS/Lambda Invocations, Sum AWS/Lambda Errors of EventsFunction",

	"AuthorizeDurationAlarm":   "p99 AWS/Lambda Duration of AuthorizeFunction > 12000, 2 of 3 times 300 s",
	"CallbackDurationAlarm":    "p99 AWS/Lambda Duration of CallbackFunction > 23200, 2 of 3 times 300 s",
	"RefreshDurationAlarm":     "p99 AWS/Lambda Duration of RefreshFunction > 85500, 2 of 3 times 300 s",
	"ConnectionsDurationAlarm": "p99 AWS/Lambda Duration of ConnectionsFunction > 48000, 2 of 3 times 300 s",
	"EventsDurationAlarm":      "p99 AWS/Lambda Duration of EventsFunction > 24000, 2 of 3 times 300 s",
	"EventsAgeAlarm":           "Maximum AWS/Lambda IteratorAge of EventsFunction > 600000, 3 of 5 times 60 s",

	"ThrottlesAlarm": "SUM([FILL(authorize, 0), FILL(callback, 0), FILL(refresh, 0), FILL(connections, 0), FILL(events, 0)]) > 0, once in 300 s; " +
		"Sum AWS/Lambda Throttles of AuthorizeFunction, CallbackFunction, ConnectionsFunction, EventsFunction, RefreshFunction",
	"DeadLettersAlarm": "SUM([FILL(sweeps, 0), FILL(shards, 0), FILL(untold, 0)]) > 0, once in 60 s; " +
		"Maximum AWS/SQS ApproximateNumberOfMessagesVisible of EventsDeadLetters, ShardDeadLetters, SweepDeadLetters",
	"ApiErrorsAlarm": "IF(errors > 2, 100 * errors / calls, 0) > 1, once in 300 s; Sum AWS/ApiGateway Count, Sum AWS/ApiGateway 5xx of Api",

	"HeartbeatAlarm":   "SampleCount Evergrant OldestDueSeconds of RefreshFunction < 1, once in 300 s; missing data is breaching",
	"OldestDueAlarm":   "Maximum Evergrant OldestDueSeconds of RefreshFunction > 600, 3 of 5 times 60 s",
	"ExpiryAlarm":      "Minimum Evergrant SecondsToExpiry of RefreshFunction < 60, once in 60 s",
	"FailedShareAlarm": "Maximum Evergrant FailedPercent of RefreshFunction > 50, 3 of 5 times 60 s",

	"NeedsPersonAlarm":     "SUM([FILL(refresh, 0), FILL(connections, 0)]) > 10, once in 3600 s; Sum Evergrant NeedsPerson of ConnectionsFunction, RefreshFunction",
	"RotationLostAlarm":    "SUM([FILL(refresh, 0), FILL(connections, 0)]) > 0, once in 300 s; Sum Evergrant RotationLost of ConnectionsFunction, RefreshFunction",
	"MassRefusalAlarm":     "SUM([FILL(refresh, 0), FILL(connections, 0)]) > 0, once in 300 s; Sum Evergrant MassRefusal of ConnectionsFunction, RefreshFunction",
	"MisconfiguredAlarm":   "SUM([FILL(callback, 0), FILL(refresh, 0), FILL(connections, 0)]) > 0, once in 300 s; Sum Evergrant Misconfigured of CallbackFunction, ConnectionsFunction, RefreshFunction",
	"SpilledAlarm":         "SUM([FILL(callback, 0), FILL(refresh, 0), FILL(connections, 0)]) > 0, once in 300 s; Sum Evergrant Spilled of CallbackFunction, ConnectionsFunction, RefreshFunction",
	"TokensOnlyInLogAlarm": "SUM([FILL(callback, 0), FILL(refresh, 0), FILL(connections, 0)]) > 0, once in 300 s; Sum Evergrant TokensOnlyInLog of CallbackFunction, ConnectionsFunction, RefreshFunction",
}

// everything has all that an alarm may look at.
var everything = map[string]string{"FanOut": "true", "EventBus": "host", "Dashboard": "true"}

// alarms compares the alarms with the list, where everything is there.
func alarms(doc map[string]any, p *problems) {
	stack, err := render(doc, everything)
	if err != nil {
		p.add("%v", err)
		return
	}
	bare, err := render(doc, nil)
	if err != nil {
		p.add("%v", err)
		return
	}
	found := stack.resources("AWS::CloudWatch::Alarm")
	for id := range found {
		if bare.Resources[id] == nil && !strings.HasPrefix(id, "Events") {
			p.add("%s is missing without options", id)
		}
		if expected[id] == "" {
			p.add("%s is no alarm of the list", id)
		}
	}
	for id, want := range expected {
		if found[id] == nil {
			p.add("%s is missing", id)
		} else if got := described(found[id]["Properties"]); got != want {
			p.add("%s: got %s\nwant %s", id, got, want)
		}
	}
}

// described returns what an alarm looks at and when it rings, in one line, with all
// that is said of it but what alarmForms looks at.
func described(properties any) string {
	alarm := copied(properties)
	alarm.take("AlarmDescription")
	alarm.take("AlarmActions")
	var period any
	var text, subjects string
	if metrics := alarm.take("Metrics"); metrics != nil {
		text, period, subjects = computed(metrics)
	} else {
		statistic := alarm.take("Statistic")
		if statistic == nil {
			statistic = alarm.take("ExtendedStatistic")
		}
		text = fmt.Sprintf("%v %v %v of %s", statistic, alarm.take("Namespace"), alarm.take("MetricName"), subject(alarm.take("Dimensions")))
		period = alarm.take("Period")
	}
	sign := map[any]string{"GreaterThanThreshold": ">", "LessThanThreshold": "<"}[alarm.take("ComparisonOperator")]
	text += fmt.Sprintf(" %s %v", sign, alarm.take("Threshold"))
	if times, of := alarm.take("DatapointsToAlarm"), alarm.take("EvaluationPeriods"); times == nil && fmt.Sprint(of) == "1" {
		text += fmt.Sprintf(", once in %v s", period)
	} else {
		text += fmt.Sprintf(", %v of %v times %v s", times, of, period)
	}
	text += subjects
	if missing := alarm.take("TreatMissingData"); missing != "notBreaching" {
		text += fmt.Sprintf("; missing data is %v", missing)
	}
	return text + alarm.rest()
}

// computed returns the expression of an alarm, the period of its metrics, all of them
// where they differ, and, in the order of their IDs, what they count of what.
func computed(metrics any) (expression string, period any, subjects string) {
	var periods, names, of []string
	list, _ := metrics.([]any)
	list = slices.SortedFunc(slices.Values(list), func(a, b any) int {
		return strings.Compare(fmt.Sprint(at(a, "Id")), fmt.Sprint(at(b, "Id")))
	})
	for _, m := range list {
		whole := copied(m)
		whole.take("Id") // which alarmForms looks at
		if e, ok := whole.take("Expression").(string); ok {
			whole.take("Label")
			expression += e + whole.rest()
			continue
		}
		stat := copied(whole.take("MetricStat"))
		metric := copied(stat.take("Metric"))
		name := fmt.Sprintf("%v %v %v", stat.take("Stat"), metric.take("Namespace"), metric.take("MetricName"))
		periods = append(periods, fmt.Sprint(stat.take("Period")))
		of = append(of, subject(metric.take("Dimensions")))
		if whole.take("ReturnData") != false {
			name += ", which returns data"
		}
		names = append(names, name+whole.rest()+stat.rest()+metric.rest())
	}
	slices.Sort(periods)
	slices.Sort(of)
	return expression, strings.Join(slices.Compact(periods), " and "), "; " + strings.Join(slices.Compact(names), ", ") + " of " + strings.Join(slices.Compact(of), ", ")
}

// subject returns what the one dimension of a metric names, by its logical ID.
func subject(dimensions any) string {
	list, _ := dimensions.([]any)
	if len(list) != 1 {
		return fmt.Sprint(dimensions)
	}
	name, value := at(list[0], "Name"), fmt.Sprint(at(list[0], "Value"))
	id, ok := strings.CutPrefix(value, "stack-")
	switch {
	case name == "ApiId" && value == "a1b2c3d4e5":
		return "Api"
	case ok && name == "FunctionName" && strings.HasSuffix(id, "Function"), ok && name == "QueueName":
		return id
	}
	return fmt.Sprintf("%v %s", name, value)
}

// form is that of what alarms compute.
var form = regexp.MustCompile(`^(SUM\(\[FILL\(\w+, 0\)(, FILL\(\w+, 0\))*\]\)|IF\(errors > [12], 100 \* errors / calls, 0\))$`)

// alarmForms looks at what all alarms have in common, with and without the options
// that some of them look at.
func alarmForms(doc map[string]any, p *problems) {
	for _, c := range combinations() {
		stack, err := render(doc, c.parameters)
		if err != nil {
			p.add("with %s: %v", c.name, err)
			continue
		}
		for id, alarm := range stack.resources("AWS::CloudWatch::Alarm") {
			properties := alarm["Properties"]
			description := fmt.Sprint(at(properties, "AlarmDescription"))
			if sentence, ok := strings.CutSuffix(description, ". docs/operations.md, "+id+"."); !ok || strings.Contains(sentence, "\n") || len(description) > 250 {
				p.add("%s is described as %q, want a sentence and its section in docs/operations.md", id, description)
			}
			actions := `null`
			if topic := c.parameters["AlarmTopicArn"]; topic != "" {
				actions = `["` + topic + `"]`
			}
			p.want(id+" with "+c.name, at(properties, "AlarmActions"), actions)
			expression, ids := asked(properties)
			if expression != "" && !form.MatchString(expression) {
				p.add("with %s %s computes %s", c.name, id, expression)
			}
			for _, name := range regexp.MustCompile(`\b[a-z]+\b`).FindAllString(expression, -1) {
				if !slices.Contains(ids, name) {
					p.add("with %s %s computes with %s, which is not there", c.name, id, name)
				}
			}
			for _, name := range ids {
				if !strings.Contains(expression, name) {
					p.add("with %s %s looks at %s for nothing", c.name, id, name)
				}
			}
		}
	}
	for id, alarm := range resources(doc, "AWS::CloudWatch::Alarm") {
		for _, metric := range metricsIn(alarm) {
			if metric.namespace == "Evergrant" && !slices.Contains(emitted(p), metric.name) {
				p.add("%s looks at %s, which internal/metrics does not print", id, metric.name)
			}
		}
	}
}

// asked returns the expression of an alarm and the IDs that it may compute with.
func asked(properties any) (expression string, ids []string) {
	metrics, _ := at(properties, "Metrics").([]any)
	for _, m := range metrics {
		if e, ok := at(m, "Expression").(string); ok {
			expression = e
		} else {
			ids = append(ids, fmt.Sprint(at(m, "Id")))
		}
	}
	return expression, ids
}

// A watched metric is one that an alarm or the dashboard looks at.
type watched struct{ namespace, name string }

// metricsIn returns the metrics in a resource, however deep.
func metricsIn(node any) []watched {
	var found []watched
	switch n := node.(type) {
	case map[string]any:
		if n["Namespace"] != nil {
			found = append(found, watched{fmt.Sprint(n["Namespace"]), fmt.Sprint(n["MetricName"])})
		}
		for _, v := range n {
			found = append(found, metricsIn(v)...)
		}
	case []any:
		for _, v := range n {
			found = append(found, metricsIn(v)...)
		}
	}
	return found
}

// emitted returns the names of the metrics of internal/metrics.
func emitted(p *problems) []string {
	source, err := os.ReadFile("../metrics/metrics.go")
	if err != nil {
		p.add("%v", err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^\t\w+ +Metric = "(\w+)"`).FindAllStringSubmatch(string(source), -1) {
		names = append(names, m[1])
	}
	if len(names) < 10 {
		p.add("internal/metrics has the metrics %v: is that all?", names)
	}
	return names
}

// dashboard reads the body as CloudWatch does, and knows its metrics.
func dashboard(doc map[string]any, p *problems) {
	known := emitted(p)
	shown := map[string]bool{}
	for _, parameters := range []map[string]string{everything, option["a dashboard"]} {
		stack, err := render(doc, parameters)
		if err != nil {
			p.add("%v", err)
			return
		}
		text := fmt.Sprint(at(stack.Resources["Overview"], "Properties", "DashboardBody"))
		for id, resource := range stack.Resources {
			if kind := resource["Type"]; (kind == functionType || kind == "AWS::SQS::Queue" || kind == "AWS::DynamoDB::Table") && !strings.Contains(text, `"stack-`+id+`"`) {
				p.add("the dashboard does not show %s", id)
			}
		}
		var body struct {
			Widgets []struct {
				Properties struct {
					Title   string
					Metrics [][]any
				}
			}
		}
		if err := json.Unmarshal([]byte(text), &body); err != nil || len(body.Widgets) < 8 {
			p.add("the dashboard has %d widgets: %v", len(body.Widgets), err)
			return
		}
		for _, w := range body.Widgets {
			for _, m := range w.Properties.Metrics {
				if len(m) > 3 {
					shown[fmt.Sprintf("%v %v", m[0], m[1])] = true
				} else if search, ok := m[0].(map[string]any); ok {
					for _, found := range regexp.MustCompile(`\{(\w+),FunctionName,Provider,Outcome\} MetricName="(\w+)"`).FindAllStringSubmatch(fmt.Sprint(search["expression"]), -1) {
						shown[found[1]+" "+found[2]] = true
					}
				}
			}
		}
	}
	for name := range shown {
		if metric, own := strings.CutPrefix(name, "Evergrant "); own && !slices.Contains(known, metric) {
			p.add("the dashboard shows %s, which internal/metrics does not print", metric)
		}
	}
	for _, name := range known {
		shown["Evergrant "+name] = shown["Evergrant "+name] || false
	}
	for _, name := range []string{"AWS/ApiGateway 5xx", "AWS/Lambda Errors", "AWS/Lambda Duration", "AWS/DynamoDB WriteThrottleEvents", "AWS/SQS ApproximateNumberOfMessagesVisible"} {
		shown[name] = shown[name] || false
	}
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		if !shown[name] {
			p.add("the dashboard does not show %s", name)
		}
	}
}

// Each alarm has its section in docs/operations.md, and names it in its description.
func TestEachAlarmHasItsSectionInOperations(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := regexp.MustCompile(`(?m)^### (.+)$`).FindAllStringSubmatch(string(text), -1)
	var found []string
	for _, h := range headings {
		found = append(found, strings.Split(strings.ReplaceAll(h[1], "`", ""), ", ")...)
	}
	for id := range expected {
		if !slices.Contains(found, id) {
			t.Errorf("docs/operations.md has no heading ### %s", id)
		}
	}
	for _, h := range found {
		if strings.HasSuffix(h, "Alarm") && expected[h] == "" {
			t.Errorf("docs/operations.md explains %s, which is no alarm", h)
		}
	}
}
