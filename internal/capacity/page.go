package capacity

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// costs are prices, and what they are applied to.
type costs struct {
	prices    Prices
	templates Templates
	err       error // the first
}

// CostPage returns page, which is docs/cost.md, with what stands between its marks
// made anew: <!-- made: NAME --> and <!-- end -->. A mark of another name is an
// error, and so is a part that page has no marks for.
func CostPage(page []byte, t Templates, p Prices) ([]byte, error) {
	c := &costs{prices: p, templates: t}
	parts := map[string]func(*strings.Builder){
		"short": c.short, "sizes": c.sizes, "switches": c.table, "habits": c.habits, "outside": c.outside, "caps": c.caps, "prices": c.list,
	}
	for name, write := range parts {
		var b strings.Builder
		write(&b)
		if c.err != nil {
			return nil, fmt.Errorf("make %s: %w", name, c.err)
		}
		begin, end := []byte("<!-- made: "+name+" -->\n"), []byte("\n<!-- end -->")
		before, rest, ok := bytes.Cut(page, begin)
		_, after, ended := bytes.Cut(rest, end)
		if !ok || !ended || bytes.Contains(rest[:len(rest)-len(after)], []byte("<!-- made: ")) {
			return nil, fmt.Errorf("the page has no place for %s", name)
		}
		page = slices.Concat(before, begin, []byte("\n"+b.String()), end, after)
	}
	if n := bytes.Count(page, []byte("<!-- made: ")); n != len(parts) {
		return nil, fmt.Errorf("the page has %d places for %d parts", n, len(parts))
	}
	return page, nil
}

// usd returns what u costs, or so many times u.
func (c *costs) usd(u Usage, times ...float64) float64 {
	bill, err := c.prices.Bill(u, month)
	if err != nil && c.err == nil {
		c.err = err
	}
	total := Total(bill)
	for _, n := range times {
		total *= n
	}
	return total
}

// show returns what u costs, or so many times u, as text.
func (c *costs) show(u Usage, times ...float64) string { return "$" + money(c.usd(u, times...)) }

// uses returns what s uses in a month, with what the template has more of for it.
func (c *costs) uses(s Switch, m Month) Usage {
	u := Usage{}
	u.add(s.Usage(m), 1)
	for _, name := range s.Parameters {
		u.add(c.templates.there[name], 1)
	}
	return u
}

// reference is the month by which the share of a refresh is told.
var reference = Month{1_000_000, 2 * time.Hour}

// all returns what m costs with nothing switched on, with the defaults, and with
// everything.
func (c *costs) all(m Month) (without, defaults, with float64) {
	without = c.usd(m.Usage())
	defaults, with = without, without
	for _, s := range c.optional() {
		u := c.usd(c.uses(s, m))
		if with += u; slices.Contains(s.Parameters, "Alarms") {
			defaults += u
		}
	}
	return without, defaults, with
}

// short writes what most want to know.
func (c *costs) short(b *strings.Builder) {
	_, idle, _ := c.all(Month{})
	_, some, _ := c.all(Month{10_000, 2 * time.Hour})
	without, many, _ := c.all(reference)
	fmt.Fprintf(b, "**$%s a month** as it is deployed and nobody connects, of which the alarms are %s and the secrets %s. **$%s** for ten thousand connections whose tokens live two hours, "+
		"**$%s** for a million: **$%s** a million refreshes, of which %s are DynamoDB's writes.\n",
		money(idle), c.show(c.templates.there["Alarms"]), c.show(of(SecretCount, SecretReads)(Month{})), money(some), money(many), money(without/reference.Refreshes()*1e6), c.show(commit(), 1e6))
}

// commit is what a refresh writes, with its claim.
func commit() Usage { return Usage{TableWrites: refreshWrites, IndexWrites: refreshIndex} }

// sizes writes what a month costs, by size.
func (c *costs) sizes(b *strings.Builder) {
	head(b, "connections, life of a token", "refreshes", "DynamoDB: refreshes", "DynamoDB: the rest", "Lambda, schedule", "secrets", "logs, metrics",
		"**nothing switched on**", "**the defaults**: alarms", "**everything**")
	for _, m := range []Month{
		{}, {10, 2 * time.Hour}, {10, 720 * time.Hour}, {10_000, 2 * time.Hour}, {10_000, 720 * time.Hour}, reference, {1_000_000, 720 * time.Hour},
	} {
		name := "none"
		if m.Connections > 0 {
			name = thousands(float64(m.Connections)) + ", " + age(m.Life)
		}
		without, defaults, with := c.all(m)
		part := func(items ...Item) string { return money(c.usd(of(items...)(m))) }
		row(b, name, thousands(m.Refreshes()), part(TableWrites, IndexWrites), part(StateWrites, Reads, Storage, Backup), part(Compute, Invocations, Schedule),
			part(SecretCount, SecretReads), part(Log, LogStorage, CustomMetrics), "**"+money(without)+"**", "**"+money(defaults)+"**", "**"+money(with)+"**")
	}
}

// table writes what each switch costs.
func (c *costs) table(b *strings.Builder) {
	head(b, "switch", "idle, USD a month", "USD per million refreshes", "and besides")
	for _, s := range c.switches() {
		if s.Always {
			s.Name += ", always"
		}
		idle := c.usd(c.uses(s, Month{}))
		share := (c.usd(c.uses(s, reference)) - idle) / reference.Refreshes() * 1e6
		besides := ""
		if s.Besides != nil {
			besides = s.Besides(c)
		}
		row(b, s.Name, money(idle), money(share), besides)
	}
	fmt.Fprintf(b, "\nNothing: `%s`.\n", strings.Join(free, "`, `"))
}

// habits writes what each refresh must not do.
func (c *costs) habits(b *strings.Builder) {
	head(b, "at each refresh", "USD per million refreshes", "instead")
	row(b, "read a secret", money(c.usd(Usage{SecretReads: 1}, 1e6)), "it is kept for five minutes, and read again at once where a provider refuses it")
	row(b, "ask KMS for a data key, and to open one", money(c.usd(Usage{KeyRequests: 2}, 1e6)), "refresh tokens are sealed with a key that is read as the secrets are")
	row(b, "record a trace", money(c.usd(Usage{Traces: 1}, 1e6)), "a sweep is one trace")
	row(b, "**what a refresh costs here**", "**"+money(c.usd(commit(), 1e6))+"**", "two writes, and two of the index")
}

// outside writes the worst that strangers can cause.
func (c *costs) outside(b *strings.Builder) {
	authorize, err := c.templates.number("AuthorizeRateLimit")
	callback, callbackErr := c.templates.number("CallbackRateLimit")
	for _, e := range []error{err, callbackErr} {
		if e != nil && c.err == nil {
			c.err = e
		}
	}
	fmt.Fprintf(b, "Without a pause at `AuthorizeRateLimit` %s and `CallbackRateLimit` %s, %s million requests:\n\n", thousands(authorize), thousands(callback), thousands((authorize+callback)*month*3600/1e6))
	head(b, "a month of", "requests", "Lambda", "logs", "answers", "DynamoDB", "**total, USD**", "each request a second of `AuthorizeRateLimit`", "of `CallbackRateLimit`")
	for _, a := range c.attacks() {
		u := a.monthly(authorize, callback)
		part := func(items ...Item) string {
			some := Usage{}
			for _, item := range items {
				some[item] = u[item]
			}
			return money(c.usd(some))
		}
		begun, back := money(c.usd(a.monthly(1, 0))), money(c.usd(a.monthly(0, 1)))
		if a.claims {
			begun, back = money(c.usd(a.monthly(1, 1))), "with it"
		}
		row(b, a.name, part(APIRequests), part(Invocations, Compute), part(Log, LogStorage), part(Transfer), part(StateWrites, Reads), "**"+money(c.usd(u))+"**", begun, back)
	}
}

// caps writes what the caps of the tables are worth.
func (c *costs) caps(b *strings.Builder) {
	head(b, "cap", "a month of DynamoDB at the cap, USD", "carries, at two hours")
	for _, units := range []float64{100, 1000, 10_000} {
		perConnection := Month{1, 2 * time.Hour}.Refreshes() / month / 3600
		row(b, "`MaxWrites: "+fmt.Sprint(units)+"`", money(c.usd(Usage{TableWrites: units, IndexWrites: units}, month*3600)), thousands(units/refreshWrites/perConnection)+" connections, without any reserve")
	}
	row(b, "`MaxReads: 100`", money(c.usd(Usage{Reads: 100}, month*3600)), "200 reads a second of the host, at 4 KB and eventually consistent")
}

// list writes the prices.
func (c *costs) list(b *strings.Builder) {
	head(b, "item", "USD", "for", "said by", "read")
	for _, p := range c.prices.Prices {
		read := p.Read
		switch {
		case strings.HasPrefix(p.Through, "https://"):
			read += " [through another page](" + p.Through + ")"
		case p.Through != "":
			read += ", " + p.Through
		}
		per := thousands(p.Per) + " "
		if p.Per == 1 {
			per = ""
		}
		row(b, string(p.Item), strconv.FormatFloat(p.USD, 'f', -1, 64), per+p.Unit, p.Source, read)
	}
}

// money writes an amount of USD.
func money(usd float64) string {
	switch {
	case usd < 0.0005:
		return "0"
	case usd < 0.01:
		return fmt.Sprintf("%.3f", usd)
	case usd < 100:
		return fmt.Sprintf("%.2f", usd)
	}
	return thousands(usd)
}
