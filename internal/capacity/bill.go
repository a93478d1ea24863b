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
	Read   string  `json:"read"`   // when, as 2006-01-02 or 2006-01
	// Through is what was read where Source was not at hand: an address, or whose
	// memory it is. Empty: Source itself.
	Through string `json:"through"`
}

// An Item is a line of the bill.
type Item string

// What a month is billed by.
const (
	TableWrites    Item = "table writes"
	IndexWrites    Item = "index writes"
	StateWrites    Item = "state writes"
	Reads          Item = "reads"
	StreamReads    Item = "stream reads"
	Storage        Item = "storage"
	Backup         Item = "backup"
	WarmReads      Item = "warm reads"
	WarmWrites     Item = "warm writes"
	Compute        Item = "compute"
	Invocations    Item = "invocations"
	Schedule       Item = "schedule"
	Events         Item = "events"
	Queue          Item = "queue"
	SecretCount    Item = "secrets"
	SecretReads    Item = "secret reads"
	Log            Item = "log"
	LogStorage     Item = "log storage"
	CustomMetrics  Item = "custom metrics"
	AlarmMetrics   Item = "alarms" // a metric that an alarm looks at, so several an alarm
	Dashboards     Item = "dashboards"
	Traces         Item = "traces"
	Keys           Item = "keys"
	KeyRequests    Item = "key requests"
	APIRequests    Item = "API requests"
	Transfer       Item = "transfer"
	EdgeRequests   Item = "edge requests"
	EdgeTransfer   Item = "edge transfer"
	WebACLs        Item = "web ACLs"
	WebACLRules    Item = "web ACL rules"
	WebACLRequests Item = "web ACL requests"
)

// standing are the items of which an amount stands the whole month, or is paid
// once; the others add up.
var standing = []Item{Storage, Backup, WarmReads, WarmWrites, SecretCount, LogStorage, CustomMetrics, AlarmMetrics, Dashboards, Keys, WebACLs, WebACLRules}

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
		if !slices.Contains(standing, price.Item) {
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
