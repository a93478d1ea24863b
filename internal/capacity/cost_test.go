package capacity

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/canary"
	"github.com/evergrant/evergrant/internal/metrics"
	"github.com/evergrant/evergrant/internal/metricstest"
	"github.com/evergrant/evergrant/internal/template"
	"github.com/evergrant/evergrant/internal/web"
)

const costPage = "../../docs/cost.md"

var readTemplates = sync.OnceValues(func() (Templates, error) { return ReadTemplates("../..") })

// page returns docs/cost.md, and what it is made from.
func page(t *testing.T) (text []byte, c *costs) {
	t.Helper()
	text, err := os.ReadFile(costPage)
	if err != nil {
		t.Fatal(err)
	}
	prices, err := ReadPrices()
	if err != nil {
		t.Fatal(err)
	}
	templates, err := readTemplates()
	if err != nil {
		t.Fatal(err)
	}
	return text, &costs{prices: prices, templates: templates}
}

func TestTheCostPageIsMadeOfThePrices(t *testing.T) {
	text, c := page(t)
	made, err := CostPage(text, c.templates, c.prices)
	if err != nil {
		t.Fatal(err)
	}
	had, want := strings.Split(string(text), "\n"), strings.Split(string(made), "\n")
	for i := range max(len(had), len(want)) {
		if i >= len(had) || i >= len(want) || had[i] != want[i] {
			t.Fatalf("docs/cost.md is not what the prices and the templates make: run make docs. From line %d on it has\n%s\nand should have\n%s",
				i+1, had[min(i, len(had)-1)], want[min(i, len(want)-1)])
		}
	}
}

// A price in the prose would stay when prices.json changes.
func TestNoPriceStandsBesideTheTables(t *testing.T) {
	text, _ := page(t)
	prose := regexp.MustCompile(`(?s)<!-- made: .*?<!-- end -->`).ReplaceAllString(string(text), "")
	if found := regexp.MustCompile(`\$ ?[0-9].*|[0-9] ?(USD|dollars?|cents?)\b.*`).FindAllString(prose, -1); len(found) > 0 {
		t.Errorf("prices outside of what is made: %q", found)
	}
	if len(prose) < 2000 || len(text)-len(prose) < 5000 {
		t.Errorf("%d bytes of prose, %d made", len(prose), len(text)-len(prose))
	}
}

func TestAPageWithoutPlacesIsRefused(t *testing.T) {
	text, c := page(t)
	for name, page := range map[string]string{
		"no mark":       strings.Replace(string(text), "<!-- made: caps -->", "", 1),
		"no end":        strings.ReplaceAll(string(text), "<!-- end -->", ""),
		"an end missed": strings.Replace(string(text), "<!-- end -->", "", 1),
		"another mark":  string(text) + "<!-- made: coffee -->\n\n<!-- end -->\n",
	} {
		if _, err := CostPage([]byte(page), c.templates, c.prices); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := CostPage(text, c.templates, Prices{Prices: c.prices.Prices[1:]}); err == nil || !strings.Contains(err.Error(), string(c.prices.Prices[0].Item)) {
		t.Errorf("without the first price: %v", err)
	}
}

// Whoever adds a parameter says what it costs.
func TestEveryParameterHasItsLine(t *testing.T) {
	_, c := page(t)
	has := map[string][]string{stackFile: slices.Clone(free)}
	for _, s := range c.switches() {
		file := s.File
		if file == "" {
			file = stackFile
		}
		has[file] = append(has[file], s.Parameters...)
	}
	for file, parameters := range c.templates.Parameters {
		slices.Sort(has[file])
		if len(parameters) < 5 || !slices.Equal(has[file], parameters) {
			t.Errorf("%s has the parameters %q, in docs/cost.md are %q: say in switches.go what each costs", file, parameters, has[file])
		}
	}
	for name := range on {
		if !slices.Contains(has[stackFile], name) || slices.Contains(free, name) {
			t.Errorf("%s is turned on and has no line", name)
		}
	}
}

// What conditions of the template make is in the line of their parameter: an alarm
// more, a dashboard more.
func TestWhatATemplateHasIsCounted(t *testing.T) {
	_, c := page(t)
	for name, want := range map[string]Usage{
		"Alarms": {AlarmMetrics: 38}, "Dashboard": {Dashboards: 1, AlarmMetrics: 0}, "EventBus": {AlarmMetrics: 6}, "FanOut": {AlarmMetrics: 1}, "Tracing": {AlarmMetrics: 0},
	} {
		if got := c.templates.there[name]; !maps.Equal(got, want) {
			t.Errorf("%s makes %v, want %v", name, got, want)
		}
	}
	if got := c.usd(c.templates.there["Alarms"]); got < 3.5 || got > 4.5 {
		t.Errorf("the template says that Alarms are about $4 a month: $%v", got)
	}
}

// Each price has one entry, with the page that says so and when it was read, and
// changes the page.
func TestPricesAreComplete(t *testing.T) {
	text, c := page(t)
	if c.prices.Region == "" || !strings.Contains(c.prices.Comment, "without any free tier") {
		t.Errorf("region %q, comment %q", c.prices.Region, c.prices.Comment)
	}
	seen := map[Item]bool{}
	tables := func(p []Price) string {
		made, err := CostPage(text, c.templates, Prices{Prices: p})
		if err != nil {
			t.Fatal(err)
		}
		before, _, _ := strings.Cut(string(made), "<!-- made: prices -->")
		return before
	}
	before := tables(c.prices.Prices)
	for i, p := range c.prices.Prices {
		if seen[p.Item] || p.Per <= 0 || p.Unit == "" || !strings.HasPrefix(p.Source, "https://aws.amazon.com/") || !regexp.MustCompile(`^20\d\d-\d\d(-\d\d)?$`).MatchString(p.Read) ||
			p.Through != "" && !strings.HasPrefix(p.Through, "https://") && !strings.HasPrefix(p.Through, "from memory of ") {
			t.Errorf("price of %s: %+v", p.Item, p)
		}
		if (p.USD <= 0) != (p.Item == StreamReads) { // free where Lambda reads
			t.Errorf("%s costs %v", p.Item, p.USD)
		}
		seen[p.Item] = true
		other := slices.Clone(c.prices.Prices)
		other[i].USD = 3*p.USD + 1
		if tables(other) == before {
			t.Errorf("no table of docs/cost.md depends on the price of %s", p.Item)
		}
	}
	if _, err := c.prices.Bill(Usage{"coffee": 1}, 1); err == nil {
		t.Error("an item without a price is not missed")
	}
}

// The sizes of docs/cost.md are arithmetic; docs/capacity.md is the simulation.
func TestTheArithmeticAgreesWithTheSimulation(t *testing.T) {
	_, c := page(t)
	simulated, err := os.ReadFile("../../docs/capacity.md")
	if err != nil {
		t.Fatal(err)
	}
	_, bills, _ := strings.Cut(string(simulated), "## What a month costs")
	for name, m := range map[string]Month{
		"10": {10, 2 * time.Hour}, "10 thousand": {10_000, 2 * time.Hour}, "1 million": {1_000_000, 2 * time.Hour}, "1 million, 30 days": {1_000_000, 720 * time.Hour},
	} {
		cells := regexp.MustCompile(`(?m)^\| ` + name + ` \| (.*) \|$`).FindStringSubmatch(bills)
		if cells == nil {
			t.Fatalf("docs/capacity.md has no bill of %s", name)
		}
		row := strings.Split(cells[1], " | ")
		u := m.Usage()
		delete(u, CustomMetrics) // which it leaves out
		delete(u, LogStorage)
		part := func(items ...Item) float64 {
			some := Usage{}
			for _, item := range items {
				some[item] = u[item]
			}
			return c.usd(some)
		}
		for what, got := range map[int]float64{
			4: part(TableWrites, IndexWrites), 5: part(StateWrites), 7: part(Storage, Backup), 9: part(Schedule), 10: part(SecretCount, SecretReads), 12: c.usd(u),
		} {
			want, err := strconv.ParseFloat(strings.NewReplacer("*", "", ",", "").Replace(row[what]), 64)
			if err != nil {
				t.Fatal(err)
			}
			// The least digit that is printed, and 5 %.
			if got < 0.95*want-0.0005 || got > 1.05*want+0.0005 {
				t.Errorf("%s, column %d: $%v, simulated $%v", name, what, got, want)
			}
		}
		lambda, err := strconv.ParseFloat(row[8], 64)
		if got := part(Compute, Invocations); err != nil || got < 0.9*lambda || got > 1.1*lambda {
			t.Errorf("%s: Lambda $%v, simulated $%v, %v", name, got, lambda, err)
		}
	}
}

// What DESIGN says of a refresh, and of a deployment that does nothing.
func TestAnIdleMonthCostsCentsBesideItsSecretsAndARefreshFourWrites(t *testing.T) {
	_, c := page(t)
	idle := Month{}.Usage()
	if rest := c.usd(idle) - c.usd(Usage{SecretCount: 3, CustomMetrics: 1}); rest < 0.1 || rest > 0.25 {
		t.Errorf("an idle month costs $%v beside secrets and the heartbeat", rest)
	}
	if usd := c.usd(reference.Usage()) / reference.Refreshes() * 1e6; usd < 2.5 || usd > 2.6 {
		t.Errorf("a million refreshes cost $%v", usd)
	}
}

// What a stranger can cause is bounded by the limits, each for itself; a claim
// takes an authorization.
func TestTheWorstBillGrowsWithTheLimitsAlone(t *testing.T) {
	_, c := page(t)
	for _, a := range c.attacks() {
		one, two := c.usd(a.monthly(20, 50)), c.usd(a.monthly(40, 100))
		if one <= 0 || two < 1.999*one || two > 2.001*one {
			t.Errorf("%s: $%v, and $%v at twice the limits", a.name, one, two)
		}
		requests := a.monthly(20, 50)[APIRequests]
		if want := 70.0 * 86400 * 30; !a.claims && requests != want || a.claims && requests != want*40/70 {
			t.Errorf("%s: %v requests", a.name, requests)
		}
	}
}

// Answers are as long as the page says: a refusal, and a form that is sent back.
func TestAnswersAreAsLongAsTheyAreBilled(t *testing.T) {
	size := func(r web.Response) int {
		n := len(r.Body)
		for name, value := range r.Headers {
			n += len(name) + len(value) + len(": \r\n")
		}
		return n
	}
	if n := size(web.Show(web.Request{}, web.BadCallback)); n > answerBytes || n < answerBytes/2 {
		t.Errorf("a refusal has %d bytes, of %d", n, answerBytes)
	}
	const longest = 6 << 10 // maxAgain of package callback
	if n := size(web.PostAgain(map[string]string{"code": strings.Repeat(`"`, longest)})); n < echoBytes || n > echoBytes+answerBytes {
		t.Errorf("the longest form comes back as %d bytes, of %d", n, echoBytes)
	}
}

// CloudWatch bills each combination of name and dimensions: those that a sweep
// prints which has nothing to do, and one that refreshes, with few and with many.
func TestTheMetricsOfAMonthAreThoseOfTheCode(t *testing.T) {
	for _, tt := range []struct{ due, want int }{{0, idleMetrics}, {1, idleMetrics + usedMetrics}, {shareOf - 1, idleMetrics + usedMetrics}, {shareOf, idleMetrics + usedMetrics + sharedMetrics}} {
		var b metrics.Batch
		noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		b.Set(metrics.OldestDueSeconds, 0)
		for range tt.due {
			b.Refresh("acme", metrics.Attempt{Outcome: metrics.Refreshed, Began: noon, Expires: noon.Add(time.Hour)})
		}
		b.Share("acme", 0, tt.due)
		b.Add(metrics.Remaining, 0)
		var log strings.Builder
		b.Log(t.Context(), canary.Log(t, slog.NewJSONHandler(&log, nil)), "evergrant-RefreshFunction", noon)
		points, lines, err := metricstest.Read(log.String())
		if err != nil || lines != 1 {
			t.Fatalf("%d lines, %v", lines, err)
		}
		names := map[string]bool{}
		for _, p := range points {
			names[fmt.Sprint(p.Metric, p.Dimensions)] = true
		}
		if len(names) != tt.want {
			t.Errorf("%d due: %d metrics, want %d: %v", tt.due, len(names), tt.want, names)
		}
		if tt.due == 0 && (float64(log.Len()) > 1.1e9*logLine || float64(log.Len()) < 0.7e9*logLine) {
			t.Errorf("the line of an idle sweep has %d bytes", log.Len())
		}
	}
	busy := Month{1_000_000, 2 * time.Hour}.Usage()[CustomMetrics]
	if want := float64(idleMetrics + usedMetrics + sharedMetrics); busy < want-0.001 || busy > want {
		t.Errorf("a million connections have %v metrics, want %v", busy, want)
	}
}

// Amounts that stand are billed once a month, others by the hour.
func TestABillIsOfAMonth(t *testing.T) {
	p := Prices{Prices: []Price{{Item: Storage, USD: 0.25, Per: 1}, {Item: TableWrites, USD: 0.625, Per: 1e6}}}
	bill, err := p.Bill(Usage{Storage: 4, TableWrites: 1e6}, 72)
	if want := []Line{{Storage, 4, 1}, {TableWrites, 1e7, 6.25}}; err != nil || !reflect.DeepEqual(bill, want) || Total(bill) != 7.25 {
		t.Errorf("Bill = %+v, %v; want %+v", bill, err, want)
	}
}

// The model, and the arithmetic, are of the function that template.yaml deploys.
func TestTheWorkerIsThatOfTheTemplate(t *testing.T) {
	doc, err := template.Document("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w, function := DefaultWorker(), fields(doc, "Resources", "RefreshFunction", "Properties")
	for name, tt := range map[string]struct {
		got  any
		want string
	}{
		"Timeout":            {function["Timeout"], fmt.Sprint(w.Timeout.Seconds())},
		"MemorySize":         {function["MemorySize"], fmt.Sprint(w.Memory)},
		"FanOutWorkers":      {fields(doc, "Parameters", "FanOutWorkers")["Default"], fmt.Sprint(w.Workers)},
		"RefreshConcurrency": {fields(doc, "Parameters", "RefreshConcurrency")["Default"], fmt.Sprint(w.Concurrency)},
		"DueShards":          {fields(doc, "Parameters", "DueShards")["Default"], fmt.Sprint(sweepShards)},
		"the schedule":       {fields(function, "Events", "Sweep", "Properties")["ScheduleExpression"], "rate(1 minute)"},
	} {
		if got := fmt.Sprint(tt.got); got != tt.want {
			t.Errorf("%s is %s, the model's %s", name, got, tt.want)
		}
	}
}
