package capacity

import (
	"fmt"
	"math"
)

// A Switch is what somebody who deploys decides, and is billed for, or what a part
// is on always.
type Switch struct {
	Name       string   // in the table
	File       string   // template of the parameters; "": stackFile
	Parameters []string // that are it, or go with it
	// Usage is what it uses in a month, beside what the template then has more of
	// (Templates). It is part of Month.Usage where Always is true.
	Usage  func(Month) Usage
	Always bool
	// Besides says, at the prices, what else it costs or saves.
	Besides func(*costs) string
}

// switches returns the lines of the table.
func (c *costs) switches() []Switch {
	return append(c.always(), c.optional()...)
}

// of returns a Usage of some items of Month.Usage.
func of(items ...Item) func(Month) Usage {
	return func(m Month) Usage {
		all, u := m.Usage(), Usage{}
		for _, item := range items {
			u[item] = all[item]
		}
		return u
	}
}

// flat returns a Usage that does not depend on the month.
func flat(u Usage) func(Month) Usage { return func(Month) Usage { return u } }

// say returns a text without prices.
func say(text string) func(*costs) string { return func(*costs) string { return text } }

// always returns what no switch turns off.
func (c *costs) always() []Switch {
	return []Switch{
		{
			Name: "custom metrics", Always: true, Usage: of(CustomMetrics),
			Besides: func(c *costs) string {
				return fmt.Sprintf("idle it is one, the heartbeat. %s for each further provider, and for each outcome of each provider that there was in the month", c.show(Usage{CustomMetrics: 1}))
			},
		},
		{
			Name: "point-in-time recovery", Always: true, Usage: of(Backup),
			Besides: func(c *costs) string {
				return fmt.Sprintf("%s for each million connections", c.show(Usage{Backup: 1e6 * itemBytes / 1e9}))
			},
		},
		{
			Name: "`LogRetentionDays`", Parameters: []string{"LogRetentionDays"}, Always: true, Usage: of(LogStorage),
			Besides: func(c *costs) string {
				return fmt.Sprintf("with %s days; kept for a year it is twelve times that. To take a GB in costs %s, however long it is kept", c.templates.defaults["LogRetentionDays"], c.show(Usage{Log: 1}))
			},
		},
		{
			Name: "a provider", Always: true, Usage: flat(Usage{SecretCount: 1}),
			Besides: func(c *costs) string {
				return fmt.Sprintf("its secret; reading it each five minutes costs %s more", c.show(Usage{SecretReads: secretReads * month}))
			},
		},
		{
			Name: "`DueShards`", Parameters: []string{"DueShards"}, Always: true, Usage: flat(Usage{Reads: emptyQuery * sweeps}),
			Besides: say("each; the four of the default are in the sizes above"),
		},
		{
			Name: "programs that read tokens", Always: true, Usage: flat(Usage{}),
			Besides: func(c *costs) string {
				return fmt.Sprintf("%s a million, of rows of at most 4 KB; twice that where a read is consistent", c.show(Usage{Reads: 0.5}, 1e6))
			},
		},
		{
			Name: "people who connect", Always: true, Usage: flat(Usage{}),
			Besides: func(c *costs) string {
				return fmt.Sprintf("%s a million, with the host's `complete`", c.show(c.connect(), 1e6))
			},
		},
	}
}

// connect is one person who connects: authorize, callback, and the host's complete.
func (c *costs) connect() Usage {
	u := Usage{APIRequests: 2, Invocations: 3, StateWrites: 3, TableWrites: 1, IndexWrites: 1, Log: 2*accessLine + 3*platformLines + 4*logLine}
	u[Compute] = (2*handling + latency.Seconds()) * c.templates.memory / 1024
	u[LogStorage], u[Transfer] = u[Log], 2*answerBytes/1e9
	return u
}

// Of what Lambda does with a queue and a stream.
const (
	streamShards = 4 // of the stream of a table that is new, read apart
	streamBatch  = 100
	keyCaching   = 12 // calls an hour at most that DynamoDB makes for each table
	keyTables    = 2
)

// batches is an invocation of the events function for each batch, of those that
// the refreshes of a second, or a hundred of them, are in each shard of the stream.
func (c *costs) batches(m Month) Usage {
	busy, due := m.runs()
	if due == 0 {
		return Usage{}
	}
	each := max(math.Ceil(due/streamBatch), min(due, streamShards*math.Ceil(sweepSeconds(DefaultWorker(), due))))
	return c.batch(busy*each, 0)
}

// batch is n invocations of the events function, which tell so many events.
func (c *costs) batch(n, events float64) Usage {
	u := Usage{Invocations: n, Compute: n * handling * c.templates.memory / 1024, Log: n * platformLines, Events: events, StreamReads: n}
	u[LogStorage] = u[Log]
	return u
}

// hints is a worker for each shard that has more due than a page.
func hints(m Month) Usage {
	busy, due := m.runs()
	u := Usage{Queue: idlePolls * month}
	if due/sweepShards <= duePage {
		return u
	}
	n := busy * sweepShards
	u[Queue] += n/hintBatch + 2*n // sent in batches, received and deleted one by one
	u[Invocations], u[StateWrites] = n, sweepWrites*n
	u[Log] = n * (platformLines + 2*logLine)
	u[LogStorage] = u[Log]
	return u
}

// optional returns what a parameter turns on, or the overlay.
func (c *costs) optional() []Switch {
	return []Switch{
		{
			Name: "`Alarms`, on by default", Parameters: []string{"Alarms", "AlarmTopicArn"}, Usage: flat(Usage{}),
			Besides: say("a metric that an alarm looks at is billed, so that an alarm on three of them is three"),
		},
		{Name: "`Dashboard`", Parameters: []string{"Dashboard"}, Usage: flat(Usage{})},
		{
			Name: "`Tracing`", Parameters: []string{"Tracing"}, Usage: flat(Usage{Traces: sweeps}),
			Besides: func(c *costs) string {
				return fmt.Sprintf("a trace a sweep, whatever it refreshes; of each other function that is called all the time at least one a second, which is %s", c.show(Usage{Traces: month * 3600}))
			},
		},
		{
			Name: "`EventBus`", Parameters: []string{"EventBus"}, Usage: c.batches,
			Besides: func(c *costs) string {
				return fmt.Sprintf("idle only its alarms, since Lambda reads a stream for free. With few connections each refresh is a batch of its own, which is %s a million. Each million events that it tells: %s; a refresh is none",
					c.show(c.batch(1, 0), 1e6), c.show(Usage{Events: 1}, 1e6))
			},
		},
		{
			Name: "`FanOut`", Parameters: []string{"FanOut", "FanOutWorkers"}, Usage: hints,
			Besides: say("idle what Lambda's pollers cost, and an alarm more"),
		},
		{
			Name: "`KmsKeyArn`", Parameters: []string{"KmsKeyArn"}, Usage: flat(Usage{Keys: 1, KeyRequests: keyTables * keyCaching * month}),
			Besides: say("the key, and what DynamoDB asks it for: it keeps a table's key for five minutes. Each further role that reads the table asks likewise"),
		},
		{
			Name: "`WarmReads`, `WarmWrites`", Parameters: []string{"WarmReads", "WarmWrites"}, Usage: flat(Usage{}),
			Besides: func(c *costs) string {
				return fmt.Sprintf("once, for each thousand a second above the default: %s for reads, %s for writes, of which the index takes half", c.show(Usage{WarmReads: 1000}), c.show(Usage{WarmWrites: 2000}))
			},
		},
		{
			Name: "`MaxReads`, `MaxWrites`", Parameters: []string{"MaxReads", "MaxWrites"}, Usage: flat(Usage{}),
			Besides: say("nothing: they are caps, see below"),
		},
		{
			Name: "`docs/edge.yaml`", File: edgeFile, Parameters: c.templates.Parameters[edgeFile],
			Usage: flat(Usage{WebACLs: 1, WebACLRules: float64(c.templates.webRules)}),
			Besides: func(c *costs) string {
				return fmt.Sprintf("%s for each million requests, of which an authorization has two; %s where the web ACL blocks them", c.show(edgeRequest(), 1e6), c.show(Usage{WebACLRequests: 1}, 1e6))
			},
		},
		{
			Name: "`CustomDomain`, `TrustStore`", Parameters: []string{"CustomDomain", "CertificateArn", "HostedZoneId", "TrustStore"}, Usage: flat(Usage{}),
			Besides: say("nothing here; a zone of Route 53, and a private certificate authority, have prices of their own"),
		},
	}
}

// edgeRequest is a request that the overlay lets through.
func edgeRequest() Usage {
	return Usage{WebACLRequests: 1, EdgeRequests: 1, EdgeTransfer: answerBytes / 1e9, Log: accessLine, LogStorage: accessLine}
}

// free are the parameters of the stack that change no bill, or only how much may
// be asked for, which the table of what strangers can cause is about.
var free = []string{
	"Environment", "PublicUrl", "CompletionUrl", "ReturnOrigins", "AllowUnsignedConnect", "RefreshConcurrency", "RefreshReservedConcurrency",
	"AuthorizeRateLimit", "AuthorizeBurst", "CallbackRateLimit", "CallbackBurst",
}
