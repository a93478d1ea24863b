package capacity

import (
	"bytes"
	_ "embed" // the prices
	"encoding/json"
	"fmt"
	"slices"
	"sync"
)

//go:embed prices.json
var pricesFile []byte

// Prices are what AWS asks in one region.
type Prices struct {
	Region  string  `json:"region"`
	Read    string  `json:"read"` // the month in which the sources were read, as 2006-01
	Comment string  `json:"comment"`
	Prices  []Price `json:"prices"`
}

// A Price is that of one line of the bill: USD for Per units.
type Price struct {
	Item   Item    `json:"item"`
	USD    float64 `json:"usd"`
	Per    float64 `json:"per"`
	Unit   string  `json:"unit"`
	Source string  `json:"source"` // the page that says so
}

// An Item is a line of the bill.
type Item string

// What a month is billed by. Secrets, storage and backup are amounts that
// stand; the others add up.
const (
	TableWrites Item = "table writes"
	IndexWrites Item = "index writes"
	StateWrites Item = "state writes"
	Reads       Item = "reads"
	Storage     Item = "storage"
	Backup      Item = "backup"
	Compute     Item = "compute"
	Invocations Item = "invocations"
	Schedule    Item = "schedule"
	Queue       Item = "queue"
	SecretCount Item = "secrets"
	SecretReads Item = "secret reads"
	Log         Item = "log"
)

// stands reports whether an item is an amount that stands the whole month.
func (i Item) stands() bool { return i == Storage || i == Backup || i == SecretCount }

// Usage is how much of each item was used, in the units of its price.
type Usage map[Item]float64

// A Line is one of a monthly bill.
type Line struct {
	Item  Item
	Units float64 // a month
	USD   float64 // a month
}

// ReadPrices returns the prices of prices.json.
var ReadPrices = sync.OnceValues(func() (Prices, error) {
	var p Prices
	dec := json.NewDecoder(bytes.NewReader(pricesFile))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return Prices{}, fmt.Errorf("read prices.json: %w", err)
	}
	return p, nil
})

// Bill returns the monthly bill where u was used in the given number of hours,
// in the order of the prices.
func (p Prices) Bill(u Usage, hours float64) ([]Line, error) {
	lines := make([]Line, 0, len(p.Prices))
	for _, price := range p.Prices {
		units := u[price.Item]
		if !price.Item.stands() {
			units *= month / hours
		}
		lines = append(lines, Line{price.Item, units, units * price.USD / price.Per})
	}
	for item := range u {
		if !slices.ContainsFunc(p.Prices, func(price Price) bool { return price.Item == item }) {
			return nil, fmt.Errorf("prices.json has no price of %s", item)
		}
	}
	return lines, nil
}

// Total returns the sum of a bill in USD.
func Total(bill []Line) float64 {
	var sum float64
	for _, l := range bill {
		sum += l.USD
	}
	return sum
}
