package metrics

import (
	"context"
	"log/slog"
	"time"
)

// The parts of a line of the embedded metric format, as its specification names
// them (CloudWatch user guide, "Specification: Embedded metric format", read on
// 2026-11-23). Values and dimensions stand at the root, beside _aws.
type (
	metadata struct {
		Timestamp         int64       `json:"Timestamp"` // milliseconds
		CloudWatchMetrics []directive `json:"CloudWatchMetrics"`
	}
	directive struct {
		Namespace  string       `json:"Namespace"`
		Dimensions [][]string   `json:"Dimensions"`
		Metrics    []definition `json:"Metrics"`
	}
	definition struct {
		Name Metric `json:"Name"`
		Unit string `json:"Unit"`
	}
)

// The dimensions. CloudWatch makes a metric of each combination of their values.
const (
	byFunction = "FunctionName"
	byProvider = "Provider"
	byOutcome  = "Outcome"
)

// A line is one line of the log.
type line struct {
	function string
	own      []definition // with FunctionName alone
	counted  []directive
	attrs    []slog.Attr
}

// value adds the value of a metric.
func (l *line) value(m Metric, v float64) {
	l.own = append(l.own, definition{Name: m, Unit: unit(m)})
	l.attrs = append(l.attrs, slog.Float64(string(m), v))
}

// series adds what was counted by provider and outcome. A line holds one.
func (l *line) series(s series, n int) {
	dimensions := [][]string{{byFunction, byProvider, byOutcome}}
	if s.metric == Connections {
		dimensions = append(dimensions, []string{byFunction})
	}
	l.counted = []directive{{Namespace: Namespace, Dimensions: dimensions, Metrics: []definition{{Name: s.metric, Unit: unit(s.metric)}}}}
	l.attrs = append(l.attrs, slog.String(byProvider, s.provider), slog.String(byOutcome, string(s.outcome)), slog.Int(string(s.metric), n))
}

// print prints l, unless there is no metric in it.
func (l *line) print(ctx context.Context, log *slog.Logger, now time.Time) {
	directives := l.counted
	if len(l.own) > 0 {
		directives = append(directives, directive{Namespace: Namespace, Dimensions: [][]string{{byFunction}}, Metrics: l.own})
	}
	if len(directives) == 0 {
		return
	}
	head := []slog.Attr{
		slog.Any("_aws", metadata{Timestamp: now.UnixMilli(), CloudWatchMetrics: directives}),
		slog.String(byFunction, l.function),
	}
	log.LogAttrs(ctx, slog.LevelInfo, "metrics", append(head, l.attrs...)...)
}

// unit returns the unit of a metric, as CloudWatch names it.
func unit(m Metric) string {
	switch m {
	case OldestDueSeconds, SecondsToExpiry:
		return "Seconds"
	case FailedPercent:
		return "Percent"
	default:
		return "Count"
	}
}
