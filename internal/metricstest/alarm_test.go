package metricstest

import (
	"maps"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// of returns points of a metric of a function, one a minute from noon on.
func of(metric, function string, values ...float64) []Point {
	var points []Point
	for i, v := range values {
		points = append(points, Point{"n", metric, "Count", map[string]string{"FunctionName": function}, v, noon.Add(time.Duration(i) * time.Minute)})
	}
	return points
}

// one returns the properties of an alarm of one metric, more than 10 in two of
// three minutes, with changes.
func one(change map[string]any) map[string]any {
	properties := map[string]any{
		"Namespace": "n", "MetricName": "M", "Statistic": "Maximum", "Period": uint64(60), "ComparisonOperator": "GreaterThanThreshold",
		"Threshold": uint64(10), "EvaluationPeriods": uint64(3), "DatapointsToAlarm": uint64(2), "TreatMissingData": "notBreaching",
		"Dimensions": []any{map[string]any{"Name": "FunctionName", "Value": map[string]any{"Ref": "f"}}},
	}
	maps.Copy(properties, change)
	return properties
}

// several returns the properties of an alarm of an expression over the metric a of f
// and b of g, more than 10 in a minute.
func several(expression string) map[string]any {
	metric := func(id, function string) any {
		return map[string]any{"Id": id, "ReturnData": false, "MetricStat": map[string]any{"Stat": "Sum", "Period": uint64(60), "Metric": map[string]any{
			"Namespace": "n", "MetricName": "M", "Dimensions": []any{map[string]any{"Name": "FunctionName", "Value": function}},
		}}}
	}
	return map[string]any{
		"Metrics":            []any{map[string]any{"Id": "all", "Expression": expression}, metric("a", "f"), metric("b", "g")},
		"ComparisonOperator": "GreaterThanThreshold", "Threshold": uint64(10), "EvaluationPeriods": uint64(1),
	}
}

// inPercent is a in percent of b, where a is more than 2.
const inPercent = "IF(a > 2, 100 * a / b, 0)"

// slow returns quick calls of f in one minute, and slow ones.
func slow(quick, slow int) []Point {
	var points []Point
	for i := range quick + slow {
		p := of("M", "f", 1)[0]
		if i >= quick {
			p.Value = 11
		}
		points = append(points, p)
	}
	return points
}

func TestAnAlarmRingsAsCloudWatchLetsIt(t *testing.T) {
	beat := map[string]any{"Statistic": "SampleCount", "ComparisonOperator": "LessThanThreshold", "Threshold": uint64(1), "EvaluationPeriods": uint64(1), "DatapointsToAlarm": uint64(1), "TreatMissingData": "breaching"}
	tests := []struct {
		name       string
		properties map[string]any
		points     []Point
		want       bool
	}{
		{"nothing", one(nil), nil, false},
		{"one of three", one(nil), of("M", "f", 11, 0, 0, 11, 0), false},
		{"two of three", one(nil), of("M", "f", 0, 11, 0, 11, 0), true},
		{"not above", one(nil), of("M", "f", 10, 10, 10, 10, 10), false},
		{"another function's", one(nil), of("M", "g", 11, 11, 11, 11, 11), false},
		{"another metric", one(nil), of("N", "f", 11, 11, 11, 11, 11), false},
		{"the least", one(map[string]any{"Statistic": "Minimum", "ComparisonOperator": "LessThanThreshold"}), of("M", "f", 11, 9, 9, 11, 11), true},
		{"a beat each minute", one(beat), of("M", "f", 0, 0, 0, 0, 0), false},
		{"a beat is missing", one(beat), of("M", "f", 0, 0, 0, 0), true},
		{"a sum", several("SUM([FILL(a, 0), FILL(b, 0)])"), append(of("M", "f", 6), of("M", "g", 6)...), true},
		{"a sum of less", several("SUM([FILL(a, 0), FILL(b, 0)])"), append(of("M", "f", 6), of("M", "g", 4, 6)...), false},
		{"half of a sum", several("SUM([FILL(a, 0), FILL(b, 0)])"), of("M", "g", 11), true},
		{"a share", several(inPercent), append(of("M", "f", 3), of("M", "g", 29)...), true},
		{"a smaller share", several(inPercent), append(of("M", "f", 3), of("M", "g", 30)...), false},
		{"a share of few", several(inPercent), append(of("M", "f", 2), of("M", "g", 2)...), false},
		{"a share of what is not known", several(inPercent), of("M", "f", 3), false},
		{"one slow call of 99", one(map[string]any{"Statistic": nil, "ExtendedStatistic": "p99", "EvaluationPeriods": uint64(1), "DatapointsToAlarm": uint64(1)}), slow(98, 1), true},
		{"one slow call of 100", one(map[string]any{"Statistic": nil, "ExtendedStatistic": "p99", "EvaluationPeriods": uint64(1), "DatapointsToAlarm": uint64(1)}), slow(99, 1), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := ParseAlarm(tt.properties)
			if err != nil {
				t.Fatal(err)
			}
			if got := a.Rings(tt.points, noon, noon.Add(5*time.Minute)); got != tt.want {
				t.Errorf("rings: %v", got)
			}
		})
	}
}

func TestAnAlarmThatIsNotUnderstoodIsRefused(t *testing.T) {
	mixed := several(inPercent)
	mixed["Metrics"].([]any)[1].(map[string]any)["MetricStat"].(map[string]any)["Metric"].(map[string]any)["Namespace"] = "m"
	for name, properties := range map[string]map[string]any{
		"two namespaces":      mixed,
		"another comparison":  one(map[string]any{"ComparisonOperator": "GreaterThanOrEqualToThreshold"}),
		"no metric":           one(map[string]any{"MetricName": nil}),
		"no period":           one(map[string]any{"Period": nil}),
		"another expression":  several("MAX([a, b])"),
		"a metric left out":   several("SUM([FILL(a, 0)])"),
		"a metric twice":      several("SUM([FILL(a, 0), FILL(a, 0)])"),
		"a share turned over": several("IF(b > 2, 100 * b / a, 0)"),
		"another statistic":   one(map[string]any{"Statistic": "Average"}),
	} {
		if a, err := ParseAlarm(properties); err == nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
}
