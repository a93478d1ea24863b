package capacity

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// A Table prints results as two tables in Markdown: how the refreshes fare, and
// what a month costs.
type Table []Result

// WriteTo writes the tables to w.
func (t Table) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	head(&b, "scenario", "connections", "life", "on time", "longest wait after due", "longest after expiry", "token requests a minute, mean / peak",
		"in the busiest second (limit)", "breaker opened", "most due at once", "caught up after", "marked dead")
	for _, r := range t {
		for _, f := range r.Fares {
			p := f.Provider
			row(&b, name(r, f), thousands(float64(p.Connections)), age(p.Life), fmt.Sprintf("%.2f %%", percent(f.OnTime())), span(f.Wait), span(f.Overdue),
				thousands(f.Mean)+" / "+thousands(f.Peak), thousands(f.PeakRate)+limit(p.Rate), thousands(float64(f.Openings)), thousands(r.Backlog), caught(f), thousands(float64(f.Marked)))
		}
	}
	b.WriteString("\n")
	head(&b, "a month of", "write units, M", "read units, M", "GB-seconds, k", "invocations, k", "DynamoDB writes", "sweep and breaker writes", "reads", "storage, backup",
		"Lambda", "schedule, queue", "secrets", "log", "**total, USD**", "USD per million refreshes")
	for _, r := range t {
		units, usd := map[Item]float64{}, map[Item]float64{}
		for _, l := range r.Bill {
			units[l.Item], usd[l.Item] = l.Units, l.USD
		}
		total := Total(r.Bill)
		row(&b, r.Scenario.Name, number((units[TableWrites]+units[IndexWrites]+units[StateWrites])/1e6), number(units[Reads]/1e6), number(units[Compute]/1e3), number(units[Invocations]/1e3),
			number(usd[TableWrites]+usd[IndexWrites]), number(usd[StateWrites]), number(usd[Reads]), number(usd[Storage]+usd[Backup]), number(usd[Compute]+usd[Invocations]),
			number(usd[Schedule]+usd[Queue]), number(usd[SecretCount]+usd[SecretReads]), number(usd[Log]), "**"+number(total)+"**", number(total/r.Refreshes()*1e6))
	}
	for _, r := range t {
		if r.Scenario.Simulated != 0 {
			fmt.Fprintf(&b, "\n%s: %d of %d shards were played, and scaled.", r.Scenario.Name, r.Scenario.Simulated, r.Scenario.Shards)
		}
	}
	b.WriteString("\n")
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

func head(b *strings.Builder, cells ...string) {
	row(b, cells...)
	b.WriteString("|" + strings.Repeat(" --- |", len(cells)) + "\n")
}

func row(b *strings.Builder, cells ...string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// name is that of the scenario, with the provider's where there are several.
func name(r Result, f Fare) string {
	if len(r.Fares) == 1 {
		return r.Scenario.Name
	}
	return r.Scenario.Name + ": " + f.Provider.ID
}

func limit(rate float64) string {
	if rate == 0 {
		return ""
	}
	return " (" + thousands(rate) + ")"
}

func caught(f Fare) string {
	switch {
	case len(f.Provider.Outages) == 0:
		return ""
	case f.Expired > 0:
		return "not yet"
	}
	return span(f.CatchUp)
}

// percent never rounds up to a hundred.
func percent(share float64) float64 { return float64(int(share*1e4)) / 100 }

func span(d time.Duration) string {
	switch {
	case d <= 0:
		return "–"
	case d < 10*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f min", d.Minutes())
}

func age(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%g d", d.Hours()/24)
	}
	return fmt.Sprintf("%g h", d.Hours())
}

// thousands writes a count with its digits in groups of three.
func thousands(n float64) string {
	s := fmt.Sprintf("%.0f", n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// number writes an amount with as many digits as matter.
func number(n float64) string {
	switch {
	case n == 0:
		return "0"
	case n < 1:
		return fmt.Sprintf("%.3f", n)
	case n < 100:
		return fmt.Sprintf("%.2f", n)
	}
	return thousands(n)
}
