// Package metricstest reads what package metrics prints, as CloudWatch does, and
// refuses lines that CloudWatch would leave out without a word. Only tests import
// it.
//
// What must be true of a line is in the specification of the embedded metric
// format (CloudWatch user guide, read on 2026-11-23).
package metricstest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A Point is one value of one metric.
type Point struct {
	Namespace, Metric, Unit string
	Dimensions              map[string]string
	Value                   float64
	At                      time.Time // in milliseconds
}

// Read returns the points of all lines of a log that are of the format, in their
// order, and how many lines these are. Each line must be a JSON object.
func Read(log string) (points []Point, lines int, err error) {
	for text := range strings.Lines(log) {
		if strings.TrimSpace(text) == "" {
			continue
		}
		var root map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &root); err != nil {
			return nil, 0, fmt.Errorf("a line is no JSON object: %w: %s", err, text)
		}
		if root["_aws"] == nil {
			continue
		}
		more, err := read(root)
		if err != nil {
			return nil, 0, fmt.Errorf("%w: %s", err, text)
		}
		points = append(points, more...)
		lines++
	}
	return points, lines, nil
}

// metadata is the member _aws.
type metadata struct {
	Timestamp         *int64
	CloudWatchMetrics []struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []struct{ Name, Unit string }
	}
}

// read returns the points of a line. Members of the root that nothing points at
// are properties of the line.
func read(root map[string]json.RawMessage) ([]Point, error) {
	var aws metadata
	if err := json.Unmarshal(root["_aws"], &aws); err != nil {
		return nil, fmt.Errorf("_aws: %w", err)
	}
	if aws.Timestamp == nil || len(aws.CloudWatchMetrics) == 0 {
		return nil, errors.New("_aws lacks Timestamp or CloudWatchMetrics")
	}
	if at := time.UnixMilli(*aws.Timestamp); at.Year() < 2000 || at.Year() > 2100 {
		return nil, fmt.Errorf("the time stamp is %v: it is not in milliseconds", at)
	}
	var points []Point
	for _, d := range aws.CloudWatchMetrics {
		if len(d.Dimensions) == 0 || len(d.Metrics) == 0 || len(d.Metrics) > 100 || !named(d.Namespace) {
			return nil, errors.New("a directive lacks its namespace, dimensions or metrics, or has more than a hundred")
		}
		for _, keys := range d.Dimensions {
			dimensions, err := target(root, keys)
			if err != nil {
				return nil, err
			}
			for _, m := range d.Metrics {
				var value float64
				if err := json.Unmarshal(root[m.Name], &value); err != nil || !named(m.Name) || !slices.Contains(units, m.Unit) {
					return nil, fmt.Errorf("the metric %q of unit %q is no number at the root", m.Name, m.Unit)
				}
				if math.IsInf(value, 0) || math.Abs(value) > 1<<53 {
					return nil, fmt.Errorf("the metric %q is %v", m.Name, value)
				}
				points = append(points, Point{d.Namespace, m.Name, m.Unit, dimensions, value, time.UnixMilli(*aws.Timestamp)})
			}
		}
	}
	return points, nil
}

// units are those of CloudWatch that are used here.
var units = []string{"Seconds", "Percent", "Count"}

// named reports whether CloudWatch takes a name: 1 to 255 letters.
func named(s string) bool { return s != "" && len(s) <= 255 }

// target returns the dimensions that keys name. Each must be a text at the root.
func target(root map[string]json.RawMessage, keys []string) (map[string]string, error) {
	if len(keys) > 9 {
		return nil, errors.New("a set of dimensions has more than nine")
	}
	dimensions := map[string]string{}
	for _, key := range keys {
		var v string
		if err := json.Unmarshal(root[key], &v); err != nil || !named(v) {
			return nil, fmt.Errorf("the dimension %q is no text at the root", key)
		}
		dimensions[key] = v
	}
	return dimensions, nil
}
