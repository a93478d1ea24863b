package lambdatest_test

import (
	"slices"
	"testing"

	"github.com/evergrant/evergrant/internal/lambdatest"
)

// The calls to DynamoDB, as a Recorder names them.
var (
	idleSweep = []string{
		"UpdateItem StateTable",                                                                                                // the sweep lease
		"DescribeTable ConnectionsTable",                                                                                       // whether it is the one of before
		"Query ConnectionsTable/due", "Query ConnectionsTable/due", "Query ConnectionsTable/due", "Query ConnectionsTable/due", // a shard each
		"UpdateItem StateTable",
	}
	// Once for each provider that has something due, however much: the breaker,
	// and the count of answers. The first count of an hour takes three tries.
	breaker    = []string{"GetItem StateTable"}
	count      = []string{"UpdateItem StateTable"}
	newSpan    = []string{"UpdateItem StateTable", "GetItem StateTable", "UpdateItem StateTable"}
	oneRefresh = []string{"UpdateItem ConnectionsTable", "UpdateItem ConnectionsTable"} // claim, commit
	oneConnect = []string{"UpdateItem StateTable", "UpdateItem ConnectionsTable"}       // claim, store
)

// took checks the calls to DynamoDB and to Secrets Manager since the last time.
func (d *deployment) took(doing string, dynamoDB, secrets []string) {
	d.t.Helper()
	if got := d.DynamoDB.Take(); !slices.Equal(got, dynamoDB) {
		d.t.Errorf("%s takes %q of DynamoDB, want %q", doing, got, dynamoDB)
	}
	if got := d.Secrets.Take(); !slices.Equal(got, secrets) {
		d.t.Errorf("%s takes %q of Secrets Manager, want %q", doing, got, secrets)
	}
}

// Whatever they are called, all calls of Secrets Manager count: they are time
// that a person waits for, and what is paid for.
func TestAColdStartMakesTwoCallsOfSecretsManagerAtMost(t *testing.T) {
	t.Parallel()
	tests := []struct {
		function string
		request  func(d *deployment) (send func())
	}{
		{"AuthorizeFunction", func(d *deployment) func() {
			return func() { d.sendAway(newBrowser(d.t), "whiplash") }
		}},
		{"CallbackFunction", func(d *deployment) func() {
			b := newBrowser(d.t)
			back := d.answered(b, "whiplash", "approve")
			return func() { d.ends(d.visit(b, back), "whiplash", "connected") }
		}},
		{"RefreshFunction", func(d *deployment) func() {
			d.connect("whiplash")
			d.makeDue(connectionID, "whiplash", "3")
			return func() {
				if s := d.sweep(); s != (summary{Due: 1, Refreshed: 1}) {
					d.t.Fatalf("sweep = %+v", s)
				}
			}
		}},
		{"ConnectionsFunction", func(d *deployment) func() {
			d.connect("whiplash")
			return func() { d.ask("refresh", connectionID, "whiplash", nil) }
		}},
	}
	for _, tt := range tests {
		t.Run(tt.function, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, lambdatest.Config{})
			first := tt.request(d)
			d.Secrets.Take()
			first()
			calls := slices.DeleteFunc(d.Secrets.Take(), func(call string) bool { return call == "ListSecrets" }) // beside the sweep, for what was spilled
			if len(calls) == 0 || len(calls) > 2 {
				t.Errorf("to the end of the first request it makes the calls %q, want one or two", calls)
			}
			again := tt.request(d)
			d.Secrets.Take() // of the functions before it
			again()
			if calls := d.Secrets.Take(); len(calls) > 0 {
				t.Errorf("warm, it makes the calls %q", calls)
			}
		})
	}
}

func TestAuthorizeMakesNoAWSCallOnceWarm(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	d.function("AuthorizeFunction")
	d.took("the start", nil, []string{"BatchGetSecretValue SealSecret ConnectSecret"})
	for _, provider := range []string{"whiplash", "whcc"} {
		d.sendAway(newBrowser(t), provider)
		d.took("the first request", nil, []string{"GetSecretValue " + provider})
		for range 3 {
			d.sendAway(newBrowser(t), provider)
		}
		d.took("a warm request", nil, nil)
	}
}

func TestCallbackMakesTwoWritesAndNoRead(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	d.function("AuthorizeFunction")
	d.Secrets.Take()
	d.function("CallbackFunction")
	d.took("the start", nil, []string{"GetSecretValue SealSecret"})
	secrets := []string{"GetSecretValue whiplash"}
	for _, doing := range []string{"the first request", "a warm request", "a second warm request"} {
		b := newBrowser(t)
		back := d.answered(b, "whiplash", "approve")
		d.Secrets.Take() // of authorize
		d.ends(d.visit(b, back), "whiplash", "connected")
		d.took(doing, oneConnect, secrets)
		secrets = nil
	}
	b := newBrowser(t)
	d.ends(d.visit(b, d.answered(b, "whiplash", "deny")), "whiplash", "denied")
	d.took("a denial", []string{"UpdateItem StateTable"}, nil)
	d.visit(newBrowser(t), d.answered(newBrowser(t), "whiplash", "approve"))
	d.took("a link scanner without the cookie", nil, nil)
}

func TestARefreshMakesTwoWritesAndNoReadBesidesTheSweep(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	d.connect("whiplash")
	d.DynamoDB.Take()
	d.Secrets.Take()
	d.function("RefreshFunction")
	d.took("the start", nil, nil)
	d.sweep()
	d.took("the very first sweep, which remembers the table and looks for spills every ten minutes",
		slices.Insert(slices.Clone(idleSweep), 2, "UpdateItem StateTable"), []string{"ListSecrets"})
	d.sweep()
	d.took("the next one", idleSweep, nil)
	secrets := []string{"GetSecretValue whiplash", "GetSecretValue SealSecret"}
	for i, doing := range []string{"the first refresh", "a warm refresh", "a second warm refresh"} {
		d.makeDue(connectionID, "whiplash", "3")
		if s := d.sweep(); s != (summary{Due: 1, Refreshed: 1}) {
			t.Fatalf("sweep = %+v", s)
		}
		calls := d.DynamoDB.Take()
		if begun := len(idleSweep) - 1 + len(breaker) + len(oneRefresh); len(calls) == begun+len(newSpan)+1 && slices.Equal(calls[begun:begun+len(newSpan)], newSpan) {
			calls = slices.Replace(calls, begun, begun+len(newSpan), count...) // the first count of five minutes
		} else if i == 0 {
			t.Errorf("the very first count takes %q", calls)
		}
		if want := slices.Insert(slices.Clone(idleSweep), len(idleSweep)-1, slices.Concat(breaker, oneRefresh, count)...); !slices.Equal(calls, want) {
			t.Errorf("%s takes %q of DynamoDB, want %q", doing, calls, want)
		}
		d.took(doing, nil, secrets)
		secrets = nil
	}
}

func TestTheControlPlaneReadsSecretsOnlyToSpeakToAProvider(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	d.connect("whiplash")
	d.DynamoDB.Take()
	d.Secrets.Take()
	d.function("ConnectionsFunction")
	d.took("the start", nil, nil)
	d.ask("get", connectionID, "whiplash", nil)
	d.took("get", []string{"GetItem ConnectionsTable"}, nil)
	d.ask("list", connectionID, "", nil)
	d.took("list", []string{"Query ConnectionsTable"}, nil)
	secrets := []string{"GetSecretValue whiplash", "GetSecretValue SealSecret"}
	for _, doing := range []string{"the first refresh", "a warm refresh"} {
		d.ask("refresh", connectionID, "whiplash", nil)
		// It looks before and after: the answer is what the table holds.
		d.took(doing, slices.Concat([]string{"GetItem ConnectionsTable"}, oneRefresh, []string{"GetItem ConnectionsTable"}), secrets)
		secrets = nil
	}
}
