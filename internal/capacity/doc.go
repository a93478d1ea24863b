// Package capacity tells how many connections a deployment carries, how late a
// refresh comes when things go wrong, and what a month costs. It plays sweeps,
// workers and providers in virtual time, one refresh after the other.
//
// It is not the refresh, and not internal/simulator, which plays providers
// over HTTP. The product's rules are called, not copied, wherever they are
// functions of their arguments: when a connection is due and in which shard,
// the back-off, the remedies, the breaker, the pace. The rest (what a lane
// sends when, what is written after which answer) is modelled in sweep.go and
// settle.go, and TestTheModelDoesWhatTheCodeDoes plays both side by side.
//
// docs/cost.md is made here too, by arithmetic that is held to what was played:
// month.go has the sizes, switches.go what each parameter of the templates costs,
// outside.go what strangers can cause.
//
// To change a price, edit prices.json and run make docs; whoever adds a parameter
// to a template adds its line in switches.go. To ask another question, give the
// command other flags, or add a line to Scenarios.
package capacity
