package metricstest

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Alarm is one of CloudWatch, with as much as the alarms of the template need:
// one metric, or the sum of several in which what is missing is 0, or the share of
// one in another.
type Alarm struct {
	stats       []stat
	filled      bool    // the sum: what is missing is 0
	shared      bool    // the first metric in percent of the second, 0 where it is not above
	least       float64 // this
	below       bool    // it breaches below Threshold, not above
	threshold   float64
	period      time.Duration
	of, breach  int // of so many periods, so many must breach
	missingRing bool
}

// A stat is a statistic of one metric.
type stat struct {
	id                           string // in the expression
	namespace, metric, statistic string
	dimensions                   map[string]string
}

// Namespace returns that of the alarm's metrics, which have one.
func (a Alarm) Namespace() string { return a.stats[0].namespace }

// The expressions that are understood.
var (
	sum   = regexp.MustCompile(`^SUM\(\[(FILL\(\w+, 0\)(, )?)+\]\)$`)
	share = regexp.MustCompile(`^IF\((\w+) > (\d+), 100 \* (\w+) / (\w+), 0\)$`)
)

// ParseAlarm reads the properties of an AWS::CloudWatch::Alarm, with intrinsic
// functions as package template returns them. A dimension whose value is a Ref
// has the logical ID that this names.
func ParseAlarm(properties map[string]any) (Alarm, error) {
	a := Alarm{
		threshold: number(properties["Threshold"]), period: seconds(properties["Period"]),
		of: int(number(properties["EvaluationPeriods"])), breach: int(number(properties["DatapointsToAlarm"])),
		below: properties["ComparisonOperator"] == "LessThanThreshold", missingRing: properties["TreatMissingData"] == "breaching",
	}
	if a.breach == 0 {
		a.breach = a.of
	}
	if !a.below && properties["ComparisonOperator"] != "GreaterThanThreshold" {
		return a, fmt.Errorf("comparison %v", properties["ComparisonOperator"])
	}
	metrics, several := properties["Metrics"].([]any)
	if !several {
		return a, a.add("", properties, cmp.Or(properties["Statistic"], properties["ExtendedStatistic"]))
	}
	var expression string
	for _, entry := range metrics {
		m, _ := entry.(map[string]any)
		of, ok := m["MetricStat"].(map[string]any)
		if !ok {
			expression, _ = m["Expression"].(string)
			continue
		}
		metric, _ := of["Metric"].(map[string]any)
		id, _ := m["Id"].(string)
		a.period = seconds(of["Period"])
		if err := a.add(id, metric, of["Stat"]); err != nil {
			return a, err
		}
	}
	return a, a.computes(expression)
}

// computes makes a the alarm on an expression over its statistics.
func (a *Alarm) computes(expression string) error {
	if m := share.FindStringSubmatch(expression); m != nil && len(a.stats) == 2 &&
		m[1] == a.stats[0].id && m[3] == a.stats[0].id && m[4] == a.stats[1].id {
		a.shared = true
		a.least, _ = strconv.ParseFloat(m[2], 64) // digits
		return nil
	}
	a.filled = sum.MatchString(expression) && strings.Count(expression, "FILL") == len(a.stats)
	for _, s := range a.stats {
		a.filled = a.filled && strings.Contains(expression, "FILL("+s.id+", 0)")
	}
	if !a.filled {
		return fmt.Errorf("expression %q", expression)
	}
	return nil
}

// add adds a statistic of a metric to a.
func (a *Alarm) add(id string, metric map[string]any, statistic any) error {
	s := stat{id: id, dimensions: map[string]string{}}
	s.namespace, _ = metric["Namespace"].(string)
	s.metric, _ = metric["MetricName"].(string)
	s.statistic, _ = statistic.(string)
	dimensions, _ := metric["Dimensions"].([]any)
	for _, entry := range dimensions {
		d, _ := entry.(map[string]any)
		name, _ := d["Name"].(string)
		switch v := d["Value"].(type) {
		case string:
			s.dimensions[name] = v
		case map[string]any:
			s.dimensions[name], _ = v["Ref"].(string)
		}
	}
	a.stats = append(a.stats, s)
	if s.metric == "" || s.namespace == "" || a.period < time.Minute || a.of == 0 {
		return fmt.Errorf("it lacks a metric, a namespace, a period or a number of them: %+v", a)
	}
	if s.namespace != a.Namespace() {
		return fmt.Errorf("metrics of %s and of %s", a.Namespace(), s.namespace)
	}
	if !slices.Contains([]string{"Sum", "SampleCount", "Minimum", "Maximum", "p99"}, s.statistic) {
		return fmt.Errorf("statistic %v", statistic)
	}
	return nil
}

// Rings reports whether a goes off anywhere between from and to, by points and
// nothing else.
func (a Alarm) Rings(points []Point, from, to time.Time) bool {
	var breaches []bool
	for at := from.Truncate(a.period); !at.Add(a.period).After(to); at = at.Add(a.period) {
		breaches = append(breaches, a.breaches(points, at))
		last := breaches[max(len(breaches)-a.of, 0):]
		n := 0
		for _, b := range last {
			if b {
				n++
			}
		}
		if n >= a.breach {
			return true
		}
	}
	return false
}

// breaches reports whether the period that begins at a time breaches.
func (a Alarm) breaches(points []Point, at time.Time) bool {
	value, known := a.value(points, at)
	if !known {
		return a.missingRing
	}
	if a.below {
		return value < a.threshold
	}
	return value > a.threshold
}

// value returns what a compares in the period that begins at a time, if there is
// something.
func (a Alarm) value(points []Point, at time.Time) (value float64, known bool) {
	values, have := make([]float64, len(a.stats)), 0
	for i, s := range a.stats {
		var found []float64
		for _, p := range points {
			in := !p.At.Before(at) && p.At.Before(at.Add(a.period))
			if in && p.Namespace == s.namespace && p.Metric == s.metric && same(p.Dimensions, s.dimensions) {
				found = append(found, p.Value)
			}
		}
		if len(found) > 0 {
			values[i] = s.of(found)
			have++
		}
	}
	switch {
	case a.shared && have == 2 && values[0] > a.least:
		return 100 * values[0] / values[1], true
	case a.shared:
		return 0, have == 2
	}
	for _, v := range values {
		value += v
	}
	return value, have > 0 || a.filled
}

// same reports whether two metrics have the same dimensions, and so are one.
func same(a, b map[string]string) bool {
	for name := range a {
		if a[name] != b[name] {
			return false
		}
	}
	return len(a) == len(b)
}

// of returns the statistic of values, of which there is one at least.
func (s stat) of(values []float64) float64 {
	switch s.statistic {
	case "Sum":
		total := 0.0
		for _, v := range values {
			total += v
		}
		return total
	case "SampleCount":
		return float64(len(values))
	case "Minimum":
		return slices.Min(values)
	case "p99":
		slices.Sort(values)
		return values[(99*len(values)+99)/100-1] // the nearest rank
	default:
		return slices.Max(values)
	}
}

// number returns a number of the template, 0 where there is none.
func number(v any) float64 {
	switch n := v.(type) {
	case int64:
		return float64(n)
	case uint64:
		return float64(n)
	case float64:
		return n
	case int:
		return float64(n)
	}
	return 0
}

func seconds(v any) time.Duration { return time.Duration(number(v)) * time.Second }
