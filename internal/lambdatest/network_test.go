//go:build proof

package lambdatest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/lambdatest"
	"github.com/evergrant/evergrant/internal/simulator"
)

// A fate is what becomes of one token request.
type fate int

const (
	neverSent  fate = iota // no connection stood: provably, nothing was sent
	neverRead              // as neverSent or as neverHeard, by which of two packets comes first
	neverHeard             // the provider never saw the whole request, but nobody can tell
	answerLost             // the provider acted on it, and its tokens did not arrive
	answerKept             // the tokens arrived
)

// A misbehaviour is one way for a network to fail.
type misbehaviour struct {
	name  string
	fate  fate
	fault lambdatest.Fault // nil: the connection is refused
}

// misbehaviours are all of them but those that last: see tooLate.
func misbehaviours() []misbehaviour {
	rows := []misbehaviour{
		{"refuses the connection", neverSent, nil},
		{"accepts and closes at once", neverHeard, func(*lambdatest.Link) {}},
		{"resets before it reads", neverRead, (*lambdatest.Link).Reset},
		{"hangs up before it reads", neverHeard, (*lambdatest.Link).HangUp},
		{"reads one byte and resets", neverHeard, func(l *lambdatest.Link) { l.TakePart(1); l.Reset() }},
		{"reads half of the request and resets", neverHeard, func(l *lambdatest.Link) { l.TakePart(150); l.Reset() }},
		{"reads half of the request and hangs up", neverHeard, func(l *lambdatest.Link) { l.TakePart(150); l.HangUp() }},
		{"reads the request and resets", neverHeard, func(l *lambdatest.Link) { l.Take(); l.Reset() }},
		{"hangs up on the provider behind the request", answerKept, func(l *lambdatest.Link) { l.Answer(l.AskAndHangUp(l.Take())) }},
		{"answers slowly", answerKept, func(l *lambdatest.Link) { l.AnswerSlowly(l.Ask(l.Take()), 500*time.Microsecond) }},
		{"answers twice", answerKept, edited(func(a message) string { return a.String() + a.String() })},
		{"garbage before the answer", answerLost, edited(func(a message) string { return "\x15\x03\x01\x00\x02\x02" + a.String() })},
		{"a blank line before the answer", answerLost, edited(func(a message) string { return "\r\n" + a.String() })},
		{"100 Continue before the answer", answerKept, edited(func(a message) string { return "HTTP/1.1 100 Continue\r\n\r\n" + a.String() })},
		{"many early hints before the answer", answerKept, edited(func(a message) string {
			return strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n", 20) + a.String()
		})},
		{"nothing after early hints", answerLost, edited(func(message) string { return "HTTP/1.1 103 Early Hints\r\n\r\n" })},
		{"a length that is too small", answerLost, edited(func(a message) string { return a.length(len(a.body) - 20) })},
		{"a length that is too large", answerKept, edited(func(a message) string { return a.length(len(a.body) + 20) })},
		{"no length", answerKept, edited(func(a message) string { return a.head("Content-Length") + "\r\n" + a.body })},
		{"a chunk that is cut", answerLost, edited(func(a message) string { c := a.chunked(len(a.body)); return c[:len(c)-len(a.body)/2] })},
		{"the last of many chunks is cut", answerLost, edited(func(a message) string { return strings.TrimSuffix(a.chunked(10), "}\r\n0\r\n\r\n") })},
		{"the end of the chunks is missing", answerKept, edited(func(a message) string { return strings.TrimSuffix(a.chunked(10), "0\r\n\r\n") })},
		{"the end of the only chunk is missing", answerKept, edited(func(a message) string { return strings.TrimSuffix(a.chunked(len(a.body)), "\r\n0\r\n\r\n") })},
		{"chunks", answerKept, edited(func(a message) string { return a.chunked(1) })},
	}
	cuts := []struct {
		after  string
		fate   fate
		resets bool // there too
		at     func(message) int
	}{
		{"0 bytes", answerLost, true, func(message) int { return 0 }},
		{"1 byte", answerLost, false, func(message) int { return 1 }},
		{"half of the status line", answerLost, false, func(message) int { return 11 }},
		{"half of the headers", answerLost, true, func(a message) int { return len(a.headers) / 2 }},
		{"the last header, without the line that ends them", answerLost, false, func(a message) int { return len(a.headers) }},
		{"the headers", answerLost, false, func(a message) int { return len(a.headers) + 2 }},
		{"1 byte of the body", answerLost, false, func(a message) int { return len(a.headers) + 3 }},
		{"half of the body", answerLost, true, func(a message) int { return len(a.headers) + 2 + len(a.body)/2 }},
		{"all but 1 byte", answerLost, false, func(a message) int { return len(a.String()) - 1 }},
		{"all bytes", answerKept, true, func(a message) int { return len(a.String()) }},
	}
	for _, c := range cuts {
		rows = append(rows, misbehaviour{"hangs up after " + c.after, c.fate, cut(c.at, (*lambdatest.Link).HangUp)})
		if c.resets {
			rows = append(rows, misbehaviour{"resets after " + c.after, c.fate, cut(c.at, (*lambdatest.Link).Reset)})
		}
	}
	return rows
}

// cut is a fault that gives the function as many bytes of the answer as at says.
func cut(at func(message) int, end func(*lambdatest.Link)) lambdatest.Fault {
	return func(l *lambdatest.Link) {
		a := parse(l.Ask(l.Take()))
		l.Answer([]byte(a.String()[:at(a)]))
		end(l)
	}
}

// edited is a fault that gives the function another answer than the provider's,
// and hangs up.
func edited(edit func(message) string) lambdatest.Fault {
	return func(l *lambdatest.Link) {
		l.Answer([]byte(edit(parse(l.Ask(l.Take())))))
		l.HangUp()
	}
}

// A message is an HTTP answer: status line and headers with the ends of their
// lines, and what follows the blank line.
type message struct{ headers, body string }

func parse(raw []byte) message {
	headers, body, _ := strings.Cut(string(raw), "\r\n\r\n")
	return message{headers + "\r\n", body}
}

func (m message) String() string { return m.headers + "\r\n" + m.body }

// head returns the headers but the one called without.
func (m message) head(without string) string {
	var kept strings.Builder
	for line := range strings.Lines(m.headers) {
		if !strings.HasPrefix(line, without+":") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// length returns m with another Content-Length.
func (m message) length(n int) string {
	return m.head("Content-Length") + "Content-Length: " + strconv.Itoa(n) + "\r\n\r\n" + m.body
}

// chunked returns m in chunks of size bytes.
func (m message) chunked(size int) string {
	all := m.head("Content-Length") + "Transfer-Encoding: chunked\r\n\r\n"
	for c := range slices.Chunk([]byte(m.body), size) {
		all += fmt.Sprintf("%x\r\n%s\r\n", len(c), c)
	}
	return all + "0\r\n\r\n"
}

// A networked is a deployment whose token requests for one provider go through
// a Network.
type networked struct {
	*deployment
	network  *lambdatest.Network
	provider string
}

// in is n for a subtest.
func (n *networked) in(t *testing.T) *networked {
	d := *n.deployment
	d.t = t
	return &networked{deployment: &d, network: n.network, provider: n.provider}
}

// given is the refresh token that a provider has given before, by number.
func given(i int) string { return "given-before-" + strconv.Itoa(i) }

// overNetwork deploys with grants of the provider that can be imported, and
// starts functions.
func overNetwork(t *testing.T, paths map[string]string, provider string, grants int, functions ...string) *networked {
	t.Helper()
	n := &networked{network: lambdatest.NewNetwork(t), provider: provider}
	c := lambdatest.Config{Now: time.Now, Client: func(id string, secret map[string]any) {
		if id == provider {
			endpoints := secret["endpoints"].(map[string]string)
			endpoints["token_url"] = n.network.Lead(endpoints["token_url"])
		}
	}}
	scopes := map[string][]string{"whiplash": {"user_manage"}, "whisk": {"offline_access"}, "whatnot": {"read:orders"}}[provider]
	for i := range grants {
		c.Grants = append(c.Grants, simulator.Grant{Provider: provider, Username: "ada", Scopes: scopes, Refresh: simulator.Token{Value: given(i)}})
	}
	one := map[string]string{"DUE_SHARDS": "1"} // a sweep is shorter, and there are many
	n.deployment = &deployment{
		World: lambdatest.Open(t, paths, c), t: t, running: map[string]*lambdatest.Function{},
		change: map[string]map[string]string{"CallbackFunction": one, "ConnectionsFunction": one, "RefreshFunction": one},
	}
	for _, name := range functions {
		n.function(name) // here, since it ends with t
	}
	return n
}

// breaks lets the network misbehave towards the next token request, while try
// makes one, and returns how many connections that took.
func (n *networked) breaks(m misbehaviour, try func()) (taken int) {
	n.network.Taken()
	if m.fault == nil {
		n.network.Down()
		defer n.network.Up()
	} else {
		n.network.Misbehave(m.fault)
	}
	try()
	n.network.Misbehave()
	return n.network.Taken()
}

// sent returns how many token requests of a grant type the provider has seen.
func (n *networked) sent(grantType string) int {
	return n.Simulator.Ledger(n.provider).TokenRequests[grantType]
}

// due makes the connection due, in the shard in which it waits.
func (n *networked) due() {
	n.t.Helper()
	n.update(connectionID, n.provider, "SET due_at = :past", map[string]types.AttributeValue{":past": &types.AttributeValueMemberN{Value: "1"}})
}

// later lets so much time pass that the connection is due, a lease has run out,
// a strike counts and nobody remembers how the provider fared.
func (n *networked) later() {
	n.t.Helper()
	n.due()
	item, past := n.item(connectionID, n.provider), &types.AttributeValueMemberN{Value: strconv.FormatInt(time.Now().Add(-4*time.Minute).Unix(), 10)}
	if item["lease_id"] != nil {
		n.update(connectionID, n.provider, "SET lease_until = :past", map[string]types.AttributeValue{":past": past})
	}
	if failure, ok := item["failure"].(*types.AttributeValueMemberM); ok {
		failure.Value["at"] = past
		n.update(connectionID, n.provider, "SET failure = :failure", map[string]types.AttributeValue{":failure": failure})
	}
	n.forget()
}

// forget empties the state table, where a provider's failures may stand.
func (n *networked) forget() {
	n.t.Helper()
	out, err := n.Database.Client.Scan(n.t.Context(), &dynamodb.ScanInput{TableName: &n.Database.StateTable})
	if err != nil {
		n.t.Fatal(err)
	}
	for _, state := range out.Items {
		_, err := n.Database.Client.DeleteItem(n.t.Context(), &dynamodb.DeleteItemInput{
			TableName: &n.Database.StateTable, Key: map[string]types.AttributeValue{"id": state["id"]},
		})
		if err != nil {
			n.t.Fatal(err)
		}
	}
}

// stands checks that readers still find the token that they found before.
func (n *networked) stands(before row) {
	n.t.Helper()
	if now := n.read(connectionID, n.provider); !reflect.DeepEqual(now, before) {
		n.t.Fatalf("a reader finds the connection %s, with the same token: %v", now.Status, now.AccessToken == before.AccessToken)
	}
}

// fresh checks that readers find a new token that works, and that nothing is
// left of what went wrong.
func (n *networked) fresh(before row) {
	n.t.Helper()
	now, item := n.read(connectionID, n.provider), n.item(connectionID, n.provider)
	if now.Status != "active" || now.AccessToken == before.AccessToken || !slices.Contains(n.Simulator.Ledger(n.provider).LiveAccessTokens, now.AccessToken) {
		n.t.Fatalf("a reader finds the connection %s, without a new token that works", now.Status)
	}
	if item["lease_id"] != nil || item["failure"] != nil {
		n.t.Errorf("after a refresh: lease %v, failure %v", item["lease_id"], item["failure"])
	}
}

// failure returns a member of the connection's failure, "" where there is none.
func (n *networked) failure(name string) string {
	n.t.Helper()
	failure, ok := n.item(connectionID, n.provider)["failure"].(*types.AttributeValueMemberM)
	if !ok {
		return ""
	}
	switch v := failure.Value[name].(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	}
	return ""
}

// survives checks that the connection goes on: with a sweep that finds the
// network well, and with another one.
func (n *networked) survives() {
	n.t.Helper()
	for range 2 {
		before := n.read(connectionID, n.provider)
		n.later()
		if s := n.sweep(); s != (summary{Due: 1, Refreshed: 1}) {
			n.t.Fatalf("sweep = %+v, want one refresh", s)
		}
		n.fresh(before)
	}
}

// waits checks that nobody sends anything as long as the lease of a request
// lasts whose outcome is unknown.
func (n *networked) waits(before row) {
	n.t.Helper()
	sent := n.sent("refresh_token")
	n.due()
	n.sweep()
	if taken := n.network.Taken(); taken != 0 || n.sent("refresh_token") != sent {
		n.t.Errorf("%d connections while the outcome of a request is unknown, want none", taken)
	}
	n.stands(before)
}

// isLost checks what becomes of a connection whose tokens no client could keep:
// the provider is asked once more, and once again after its first refusal. Then
// a person is.
func (n *networked) isLost(before row) {
	n.t.Helper()
	sent := n.sent("refresh_token")
	for strike, status := range []string{"active", "reauthorization_required"} {
		n.later()
		n.sweep()
		before.Status = status
		n.stands(before)
		if reason := n.failure("reason"); reason != "rotation_lost" {
			n.t.Errorf("after strike %d the reason is %q", strike+1, reason)
		}
		if got := n.sent("refresh_token") - sent; got != strike+1 {
			n.t.Errorf("%d requests until strike %d", got, strike+1)
		}
	}
}

// sweeps lets a sweep refresh the connection.
func (n *networked) sweeps() {
	n.t.Helper()
	n.due()
	n.sweep()
}

// A strict provider is the hardest: its refresh tokens are good once, and one
// that comes a second time ends the grant.
func TestANetworkThatMisbehavesDuringARefreshLosesOnlyWhatNobodyCouldKeep(t *testing.T) {
	t.Parallel()
	rows := misbehaviours()
	all := overNetwork(t, bootstraps(t), "whatnot", len(rows), "ConnectionsFunction", "RefreshFunction")
	for i, m := range rows {
		t.Run(m.name, func(t *testing.T) {
			n := all.in(t)
			n.imported(i)
			before := n.read(connectionID, n.provider)
			n.refreshes(m, n.sweeps)
			n.goesOn(m, before)
			n.remove()
		})
	}
}

// The control plane refreshes by the same steps.
func TestANetworkThatMisbehavesDuringARefreshOnDemandLosesOnlyWhatNobodyCouldKeep(t *testing.T) {
	t.Parallel()
	rows := misbehaviours()
	all := overNetwork(t, bootstraps(t), "whatnot", len(rows), "ConnectionsFunction")
	for i, m := range rows {
		t.Run(m.name, func(t *testing.T) {
			n := all.in(t)
			n.imported(i)
			n.refreshes(m, func() {
				a := n.ask("refresh", connectionID, n.provider, nil)
				if (a.Error == nil) != (m.fate == answerKept) || a.Error != nil && a.Error.Type != "provider_unavailable" {
					t.Errorf("refresh answers %+v", a.Error)
				}
			})
			n.remove()
		})
	}
}

// refreshes attempts a refresh over a network that misbehaves, and checks what
// readers and the provider see of it.
func (n *networked) refreshes(m misbehaviour, attempt func()) {
	n.t.Helper()
	before, sent := n.read(connectionID, n.provider), n.sent("refresh_token")
	taken := n.breaks(m, attempt)
	if want := map[bool]int{true: 0, false: 1}[m.fate == neverSent]; taken != want {
		n.t.Errorf("%d connections for one refresh, want %d", taken, want)
	}
	if got, want := n.sent("refresh_token")-sent, map[fate]int{answerLost: 1, answerKept: 1}[m.fate]; got != want {
		n.t.Fatalf("the provider has seen %d requests, want %d", got, want)
	}
	if m.fate == answerKept {
		n.fresh(before)
		return
	}
	n.stands(before)
	if m.fate == neverSent && (n.item(connectionID, n.provider)["lease_id"] != nil || n.failure("count") > "1" || n.failure("reason") != "") {
		n.t.Errorf("%s failures, strike %q: want no lease and one failure at most", n.failure("count"), n.failure("reason"))
	}
}

// goesOn checks what becomes of the connection at a strict provider after the
// network has misbehaved.
func (n *networked) goesOn(m misbehaviour, before row) {
	n.t.Helper()
	reused := n.Simulator.Ledger(n.provider).RefreshTokensReused
	if m.fate == neverHeard || m.fate == answerLost {
		n.waits(before)
	}
	if m.fate == answerLost {
		n.isLost(before)
		return
	}
	n.survives()
	if got := n.Simulator.Ledger(n.provider).RefreshTokensReused; got != reused {
		n.t.Errorf("%d spent refresh tokens were sent again", got-reused)
	}
}

// remove removes the connection, as if it had never been.
func (n *networked) remove() {
	n.t.Helper()
	n.forget()
	_, err := n.Database.Client.DeleteItem(n.t.Context(), &dynamodb.DeleteItemInput{TableName: &n.Database.ConnectionsTable, Key: key(connectionID, n.provider)})
	if err != nil {
		n.t.Fatal(err)
	}
}

// imported makes the connection of grant i.
func (n *networked) imported(i int) {
	n.t.Helper()
	if a := n.ask("import", connectionID, n.provider, map[string]any{"refresh_token": given(i)}); a.Error != nil {
		n.t.Fatalf("import answers %+v", a.Error)
	}
}

func TestANetworkThatMisbehavesDuringACallbackMakesNoHalfConnection(t *testing.T) {
	t.Parallel()
	all := overNetwork(t, bootstraps(t), "whiplash", 0, "AuthorizeFunction", "CallbackFunction", "RefreshFunction")
	for _, m := range misbehaviours() {
		t.Run(m.name, func(t *testing.T) {
			n := all.in(t)
			n.callsBack(m)
			if m.fate != answerKept {
				return
			}
			n.later()
			if s := n.sweep(); s.Refreshed != 1 {
				t.Errorf("the new connection cannot be refreshed: %+v", s)
			}
		})
	}
}

// callsBack lets a browser come back from the provider while the network
// misbehaves, and load the callback again.
func (n *networked) callsBack(m misbehaviour) {
	n.t.Helper()
	b := newBrowser(n.t)
	back, result := n.answered(b, n.provider, "approve"), map[bool]string{true: "connected", false: "failed"}[m.fate == answerKept]
	n.makes(m, "authorization_code", func() { n.ends(n.visit(b, back), n.provider, result) })
	n.ends(n.visit(b, back), n.provider, result)
	if taken := n.network.Taken(); taken != 0 {
		n.t.Errorf("%d connections for a callback that is loaded again", taken)
	}
}

// makes lets try make a connection over a network that misbehaves: it is made
// as a whole or not at all, and what it costs is used once.
func (n *networked) makes(m misbehaviour, grantType string, try func()) {
	n.t.Helper()
	before, sent := n.item(connectionID, n.provider), n.sent(grantType)
	if taken := n.breaks(m, try); (m.fate == neverSent) != (taken == 0) || taken > 1 {
		n.t.Errorf("%d connections for one token request", taken)
	}
	if got, want := n.sent(grantType)-sent, map[fate]int{answerLost: 1, answerKept: 1}[m.fate]; got != want {
		n.t.Errorf("the provider has seen %d requests, want %d", got, want)
	}
	if m.fate != answerKept {
		if now := n.item(connectionID, n.provider); !reflect.DeepEqual(now, before) {
			n.t.Errorf("the connection was %v and is %v", before, now)
		}
		return
	}
	if r := n.read(connectionID, n.provider); r.Status != "active" || !slices.Contains(n.Simulator.Ledger(n.provider).LiveAccessTokens, r.AccessToken) {
		n.t.Errorf("the connection is %s, without a token that works", r.Status)
	}
}

// An import spends the caller's refresh token. To issue is a GET, which package
// net/http would repeat on a connection that it has used before.
func TestANetworkThatMisbehavesDuringAnImportOrIssueMakesNoHalfConnection(t *testing.T) {
	t.Parallel()
	rows := misbehaviours()
	for _, way := range []struct{ action, provider, grantType string }{{"import", "whisk", "refresh_token"}, {"issue", "whcc", "consumer_credentials"}} {
		all := overNetwork(t, bootstraps(t), way.provider, len(rows), "ConnectionsFunction")
		for i, m := range rows {
			t.Run(way.action+"/"+m.name, func(t *testing.T) {
				n, input := all.in(t), map[string]any{"refresh_token": given(i)}
				if way.action == "issue" {
					input = nil
				}
				n.makes(m, way.grantType, func() {
					if a := n.ask(way.action, connectionID, n.provider, input); (a.Error == nil) != (m.fate == answerKept) {
						t.Errorf("%s answers %+v", way.action, a.Error)
					}
				})
			})
		}
	}
}

// changed builds the refresh function from a source in which, in a file of the
// repository, a text stands in place of another. What no deployment of today can
// be told, such as another rotation, is played with the real function so.
func changed(t *testing.T, edits map[string][2]string) map[string]string {
	t.Helper()
	paths, dir := maps.Clone(bootstraps(t)), t.TempDir()
	replace := map[string]string{}
	for file, edit := range edits {
		original, err := filepath.Abs(filepath.Join("..", "..", file))
		if err != nil {
			t.Fatal(err)
		}
		source, err := os.ReadFile(original)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Count(source, []byte(edit[0])) != 1 {
			t.Fatalf("%s does not say %q once: say here what it is now", file, edit[0])
		}
		replace[original] = filepath.Join(dir, strconv.Itoa(len(replace))+".go")
		if err := os.WriteFile(replace[original], bytes.Replace(source, []byte(edit[0]), []byte(edit[1]), 1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, _ := json.Marshal(map[string]any{"Replace": replace}) // strings always marshal
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := lambdatest.Make(t.Context(), "build-RefreshFunction", "ARTIFACTS_DIR="+dir, "GOARCH="+runtime.GOARCH, "GOFLAGS=-overlay="+filepath.Join(dir, "overlay.json"))
	if err != nil {
		t.Fatal(err)
	}
	paths["RefreshFunction"] = filepath.Join(dir, "bootstrap")
	return paths
}

// tooLate are misbehaviours that last until the function gives up.
var tooLate = []misbehaviour{
	{"reads and never asks the provider", neverHeard, (*lambdatest.Link).Gone},
	{"answers when the function is gone", answerLost, func(l *lambdatest.Link) {
		a := l.Ask(l.Take())
		l.Gone()
		l.Answer(a)
	}},
	{"answers half in time", answerLost, func(l *lambdatest.Link) {
		a := l.Ask(l.Take())
		l.Answer(a[:len(a)-20])
		l.Gone()
	}},
	{"answers in time and never ends", answerKept, func(l *lambdatest.Link) {
		a := parse(l.Ask(l.Take()))
		l.Answer([]byte(a.length(len(a.body) + 20)))
		l.Gone()
	}},
}

// The function waits half a minute for an answer. Here it waits a second and
// is otherwise the same.
func TestAnAnswerBeyondTheDeadlineOfARefreshLosesOnlyWhatNobodyCouldKeep(t *testing.T) {
	t.Parallel()
	paths := changed(t, map[string][2]string{"internal/oauth/token.go": {"RefreshTimeout  = 30 * time.Second", "RefreshTimeout  = 1 * time.Second"}})
	for _, m := range tooLate {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			n := overNetwork(t, paths, "whatnot", 1)
			n.imported(0)
			before := n.read(connectionID, n.provider)
			n.refreshes(m, n.sweeps)
			n.goesOn(m, before)
		})
	}
}

// The deadline of a callback is that of its invocation: here, in three seconds.
func TestAnAnswerBeyondTheDeadlineOfACallbackMakesNoHalfConnection(t *testing.T) {
	t.Parallel()
	for _, m := range tooLate {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			n := overNetwork(t, bootstraps(t), "whiplash", 0)
			n.running["CallbackFunction"] = lambdatest.Start(t, bootstraps(t)["CallbackFunction"], n.Environment(t, "CallbackFunction"), 3*time.Second)
			n.callsBack(m)
		})
	}
}

// A forgiving is a provider whose spent refresh tokens stay good: what is sent
// is exchanged for the live one of the same grant, at a strict provider.
type forgiving struct {
	strict http.Handler
	keeps  bool // it never tells of a new one

	mu        sync.Mutex
	successor map[string]string
}

func (f *forgiving) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = r.ParseForm() // what cannot be read is refused by the strict one
	live := r.PostForm.Get("refresh_token")
	for f.successor[live] != "" {
		live = f.successor[live]
	}
	r.PostForm.Set("refresh_token", live)
	form := r.PostForm.Encode()
	r.Body, r.ContentLength, r.Form, r.PostForm = io.NopCloser(strings.NewReader(form)), int64(len(form)), nil, nil
	answer := httptest.NewRecorder()
	f.strict.ServeHTTP(answer, r)
	var tokens map[string]any
	if err := json.Unmarshal(answer.Body.Bytes(), &tokens); err != nil || answer.Code != http.StatusOK {
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
		return
	}
	f.successor[live], _ = tokens["refresh_token"].(string)
	if f.keeps {
		delete(tokens, "refresh_token")
	}
	body, _ := json.Marshal(tokens) // it was JSON
	_, _ = w.Write(body)
}

// Where a spent refresh token stays good, nothing is ever answerLost: after an unknown
// outcome it is sent again at once, and when that fails too, later.
func TestANetworkThatMisbehavesLosesNothingWhereASpentRefreshTokenStaysGood(t *testing.T) {
	t.Parallel()
	paths := changed(t, map[string][2]string{
		"pkg/providers/whisk.go":    {`ID: "whisk",`, `ID: "whisk", Rotation: Reusable,`},
		"pkg/providers/whiplash.go": {`ID: "whiplash",`, `ID: "whiplash", Rotation: UntilFirstUse,`},
		"pkg/providers/whatnot.go":  {`ID: "whatnot",`, `ID: "whatnot", Rotation: Grace, GraceTime: hour,`},
	})
	for provider, class := range map[string]string{"whisk": "reusable", "whiplash": "until first use", "whatnot": "grace"} {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			all := overNetwork(t, paths, provider, 1, "ConnectionsFunction", "RefreshFunction")
			front := httptest.NewServer(&forgiving{strict: all.Simulator, keeps: class == "reusable", successor: map[string]string{}})
			t.Cleanup(front.Close)
			all.network.Lead(front.URL)
			all.imported(0)
			for _, m := range misbehaviours() {
				if m.fate == neverHeard || m.fate == answerLost {
					t.Run(m.name, func(t *testing.T) { all.in(t).isForgiven(m) })
				}
			}
		})
	}
}

// isForgiven checks that a refresh succeeds over a network that misbehaves once,
// and the next one where it misbehaves twice.
func (n *networked) isForgiven(m misbehaviour) {
	n.t.Helper()
	for times := 1; times <= 2; times++ {
		before := n.read(connectionID, n.provider)
		n.later()
		n.network.Taken()
		n.network.Misbehave(slices.Repeat([]lambdatest.Fault{m.fault}, times)...)
		n.sweep()
		if taken := n.network.Taken(); taken != 2 {
			n.t.Errorf("misbehaving %d times: %d connections in one refresh, want 2", times, taken)
		}
		if times == 2 {
			n.stands(before)
			n.later()
			n.sweep()
		}
		n.fresh(before)
	}
	if refused := n.Simulator.Ledger(n.provider).Refused; len(refused) > 0 {
		n.t.Errorf("the provider has refused %v", refused)
	}
}
