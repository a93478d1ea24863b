//go:build proof

package lambdatest_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/eventtest"
	"github.com/evergrant/evergrant/internal/lambdatest"
	"github.com/evergrant/evergrant/internal/simulator"
)

// A side of a call is how far it got when its process died.
type side string

const (
	unsent  side = "not yet there"
	unheard side = "done, answer not heard"
)

// What is lost. Whatever is not lost must be as if nobody had died, after the
// next sweep at the latest.
const (
	nothing    = "nothing"
	theGrant   = "the grant"                 // what the provider answered was nowhere but in the dead process: no protocol saves that
	theRequest = "the authorization request" // the person starts again, and the older connection stays
)

// The calls at which processes die, in the words of the failure table of
// docs/design.md: the name that a gate has for each, and which one of its name
// it is in a scene.
var calls = map[string]struct {
	name string
	nth  int
}{
	"sweep lease": {"sweep", 1}, "due index": {"due", 1}, "claim": {"connection", 1}, "token request": {"token_url", 1},
	"commit": {"connection", 2}, "sweep end": {"sweep", 2}, "spill": {"spill", 1}, "look for a spill": {"recover", 1},
	"delete the spill": {"forget", 1}, "claim of the request": {"request", 1},
	"account": {"userinfo_url", 1}, "connect": {"connection", 1}, "revocation": {"revocation_url", 1}, "mark": {"connection", 1},
	"strike": {"connection", 2}, "restore": {"connection", 1},
}

// A death is a point at which a process is killed, and what is lost by it.
type death struct {
	scene    string // of scenes
	provider string
	call     string // of calls
	side     side
	lost     string
}

// Whatnot, Whiplash and Whisk rotate strictly, and a second use of a refresh
// token ends the grant at Whatnot. WHCC has none: it is asked again.
var deaths = []death{
	{"sweep", "whatnot", "sweep lease", unsent, nothing},
	{"sweep", "whatnot", "sweep lease", unheard, nothing},
	{"sweep", "whatnot", "due index", unsent, nothing},
	{"sweep", "whatnot", "claim", unsent, nothing},
	{"sweep", "whatnot", "claim", unheard, nothing},
	{"sweep", "whatnot", "token request", unsent, nothing},
	{"sweep", "whatnot", "token request", unheard, theGrant},
	{"sweep", "whatnot", "commit", unsent, theGrant},
	{"sweep", "whatnot", "commit", unheard, nothing},
	{"sweep", "whatnot", "sweep end", unsent, nothing},
	{"sweep", "whatnot", "sweep end", unheard, nothing},
	{"sweep", "whiplash", "token request", unsent, nothing},
	{"sweep", "whiplash", "token request", unheard, theGrant},
	{"sweep", "whiplash", "commit", unsent, theGrant},
	{"sweep", "whiplash", "commit", unheard, nothing},
	{"sweep", "whisk", "token request", unheard, theGrant},
	{"sweep", "whisk", "commit", unheard, nothing},
	{"sweep", "whcc", "claim", unheard, nothing},
	{"sweep", "whcc", "token request", unsent, nothing},
	{"sweep", "whcc", "token request", unheard, nothing},
	{"sweep", "whcc", "commit", unsent, nothing},
	{"sweep", "whcc", "commit", unheard, nothing},

	{"sweep without DynamoDB", "whatnot", "spill", unsent, theGrant},
	{"sweep without DynamoDB", "whatnot", "spill", unheard, nothing},
	{"sweep without DynamoDB", "whiplash", "spill", unheard, nothing},
	{"sweep without DynamoDB", "whcc", "spill", unsent, nothing},
	{"sweep while DynamoDB stumbles", "whatnot", "delete the spill", unsent, nothing},
	{"sweep while DynamoDB stumbles", "whatnot", "delete the spill", unheard, nothing},

	{"recovery", "whatnot", "claim", unsent, nothing},
	{"recovery", "whatnot", "claim", unheard, nothing},
	{"recovery", "whatnot", "look for a spill", unsent, nothing},
	{"recovery", "whatnot", "look for a spill", unheard, nothing},
	{"recovery", "whatnot", "commit", unsent, nothing},
	{"recovery", "whatnot", "commit", unheard, nothing},
	{"recovery", "whatnot", "delete the spill", unsent, nothing},
	{"recovery", "whatnot", "delete the spill", unheard, nothing},
	{"recovery without DynamoDB", "whatnot", "spill", unsent, nothing},
	{"recovery without DynamoDB", "whatnot", "spill", unheard, nothing},

	{"refusal", "whatnot", "strike", unsent, theGrant}, // it was lost before
	{"refusal", "whatnot", "strike", unheard, theGrant},

	{"callback", "whatnot", "claim of the request", unsent, nothing},
	{"callback", "whatnot", "claim of the request", unheard, theRequest},
	{"callback", "whatnot", "token request", unsent, theRequest},
	{"callback", "whatnot", "token request", unheard, theRequest},
	{"callback", "whatnot", "account", unsent, theRequest},
	{"callback", "whatnot", "connect", unsent, theRequest},
	{"callback", "whatnot", "connect", unheard, nothing},

	{"refresh", "whatnot", "claim", unheard, nothing},
	{"refresh", "whatnot", "token request", unsent, nothing},
	{"refresh", "whatnot", "token request", unheard, theGrant},
	{"refresh", "whatnot", "commit", unsent, theGrant},
	{"refresh", "whatnot", "commit", unheard, nothing},
	{"disconnect", "whiplash", "revocation", unsent, nothing},
	{"disconnect", "whiplash", "revocation", unheard, nothing},
	{"disconnect", "whiplash", "mark", unsent, nothing},
	{"disconnect", "whiplash", "mark", unheard, nothing},
	{"import", "whatnot", "token request", unsent, nothing},
	{"import", "whatnot", "token request", unheard, theGrant},
	{"import", "whatnot", "connect", unsent, theGrant},
	{"import", "whatnot", "connect", unheard, nothing},
	{"issue", "whcc", "token request", unsent, nothing},
	{"issue", "whcc", "token request", unheard, nothing},
	{"issue", "whcc", "connect", unsent, nothing},
	{"issue", "whcc", "connect", unheard, nothing},

	{"callback without DynamoDB", "whatnot", "spill", unsent, theRequest},
	{"callback without DynamoDB", "whatnot", "spill", unheard, nothing},
	{"import without DynamoDB", "whatnot", "spill", unsent, theGrant},
	{"import without DynamoDB", "whatnot", "spill", unheard, nothing},
	{"issue without DynamoDB", "whcc", "spill", unheard, nothing},
	{"search", "whatnot", "look for a spill", unsent, nothing},
	{"search", "whatnot", "restore", unsent, nothing},
	{"search", "whatnot", "restore", unheard, nothing},
	{"search", "whatnot", "delete the spill", unsent, nothing},
	{"search", "whatnot", "delete the spill", unheard, nothing},
}

// Here Whiplash rotates as Doorkeeper can be told to: a refresh token works until
// its successor's access token is used.
var forgivenDeaths = []death{
	{"sweep", "whiplash", "token request", unheard, nothing},
	{"sweep", "whiplash", "commit", unsent, nothing},
	{"sweep", "whiplash", "commit", unheard, nothing},
	{"sweep without DynamoDB", "whiplash", "spill", unsent, nothing},
	{"sweep without DynamoDB", "whiplash", "spill", unheard, nothing},
}

// scenes are what a process is doing when it is killed, and what is then looked
// at.
var scenes = map[string]func(*play){
	"sweep":                         (*play).sweeping,
	"sweep without DynamoDB":        (*play).sweeping,
	"sweep while DynamoDB stumbles": (*play).sweeping,
	"recovery":                      (*play).recovering,
	"recovery without DynamoDB":     (*play).recovering,
	"refusal":                       (*play).striking,
	"callback":                      (*play).callingBack,
	"refresh":                       (*play).refreshing,
	"disconnect":                    (*play).disconnecting,
	"import":                        (*play).making,
	"issue":                         (*play).making,
	"callback without DynamoDB":     (*play).callingBack,
	"import without DynamoDB":       (*play).making,
	"issue without DynamoDB":        (*play).making,
	"search":                        (*play).searching,
}

// away says when DynamoDB takes no tokens in a scene. In the others it is there.
var away = map[string]absence{
	"sweep without DynamoDB": noCommit, "sweep while DynamoDB stumbles": {from: 2, until: "spill"}, "recovery without DynamoDB": noCommit,
	"callback without DynamoDB": noConnect, "import without DynamoDB": noConnect, "issue without DynamoDB": noConnect,
}

var noCommit, noConnect = absence{from: 2}, absence{from: 1} // a claim comes before a commit

// The built functions are killed at every call they make, before it takes
// effect and before its answer is heard, and are started again. The judges are
// the provider's own ledger, the table, and what a reader finds in it after
// each write.
func TestWhatIsLostWhereAProcessIsKilled(t *testing.T) {
	t.Parallel()
	for _, at := range deaths {
		t.Run(at.String(), func(t *testing.T) {
			t.Parallel()
			scenes[at.scene](at.prepare(t, bootstraps(t)))
		})
	}
	paths := changed(t, map[string][2]string{"pkg/providers/whiplash.go": {`ID: "whiplash",`, `ID: "whiplash", Rotation: UntilFirstUse,`}})
	for _, at := range forgivenDeaths {
		t.Run("until first use/"+at.String(), func(t *testing.T) {
			t.Parallel()
			p := at.prepare(t, paths)
			front := httptest.NewServer(&forgiving{strict: p.Simulator, successor: map[string]string{}})
			t.Cleanup(front.Close)
			p.gate.target["provider"] = front.URL
			scenes[at.scene](p)
		})
	}
}

// String returns the name of a death.
func (at death) String() string {
	return at.scene + "/" + at.provider + "/" + at.call + "/" + string(at.side)
}

// prepare makes a world in which nobody has died yet.
func (at death) prepare(t *testing.T, paths map[string]string) *play {
	t.Helper()
	grant := simulator.Grant{
		Provider: at.provider, Username: "ada", Scopes: []string{"user_read", "offline_access"}, Refresh: simulator.Token{Value: "granted-before-" + t.Name()},
	}
	c := lambdatest.Config{Now: time.Now}
	if at.provider != "whcc" && !strings.HasPrefix(at.scene, "callback") {
		c.Grants = []simulator.Grant{grant}
	}
	d, g := guarded(t, paths, c)
	return &play{
		deployment: d, gate: g, death: at, imported: grant.Refresh.Value,
		die: func(function string, event []byte) {
			d.dies(g, function, event, g.set(calls[at.call].name, calls[at.call].nth, at.side == unheard, away[at.scene]))
		},
	}
}

// A play is one death and what follows.
type play struct {
	*deployment
	death
	gate     *gate
	imported string                              // a refresh token that the provider has given before
	die      func(function string, event []byte) // at the point of the play
	token    string                              // the access token that readers had before
}

// dies sends an event through a function and kills its process at h.
func (d *deployment) dies(g *gate, function string, event []byte, h *hold) {
	d.t.Helper()
	f, ended := d.function(function), make(chan error, 1)
	go func() {
		_, err := f.Invoke(d.t.Context(), event)
		ended <- err
	}()
	select {
	case <-h.reached:
	case err := <-ended:
		d.t.Fatalf("the event has ended without that call: %v", err)
	}
	d.kill(function)
	g.lift(function)
	g.admit(d, function)
	if err := <-ended; err == nil {
		d.t.Error("the killed process has answered")
	}
}

// given makes the connection of the play. From then on a reader looks at it
// after each write.
func (p *play) given() {
	p.t.Helper()
	if strings.HasPrefix(p.scene, "callback") {
		p.connect(p.provider)
	} else if got := p.make(); got.Error != nil {
		p.t.Fatalf("the connection is not made: %+v", got.Error)
	}
	p.token = p.read(connectionID, p.provider).AccessToken
	p.gate.written = p.served
}

// make asks for the connection, as operators do.
func (p *play) make() answer {
	p.t.Helper()
	if p.provider == "whcc" {
		return p.ask("issue", connectionID, p.provider, nil)
	}
	return p.ask("import", connectionID, p.provider, map[string]any{"refresh_token": p.imported})
}

// served checks promise 1: a reader finds a token that the provider accepts, or
// at least the one of before. It may run in any goroutine.
func (p *play) served() {
	out, err := p.Database.Client.GetItem(p.t.Context(), &dynamodb.GetItemInput{
		TableName: &p.Database.ConnectionsTable, Key: key(connectionID, p.provider),
	})
	if err != nil {
		p.t.Errorf("a reader: %v", err)
		return
	}
	token, ok := out.Item["access_token"].(*types.AttributeValueMemberS)
	if !ok || token.Value != p.token && !slices.Contains(p.Simulator.Ledger(p.provider).LiveAccessTokens, token.Value) {
		p.t.Errorf("a reader finds no token that works (there is one: %v)", ok)
	}
}

// aLongTime ends every lease and back-off, and lets every token be due.
const aLongTime = 40 * 24 * time.Hour

// pass lets aLongTime pass for the connection and the sweep lease. What the provider
// gave does not age.
func (p *play) pass() {
	p.t.Helper()
	p.endSweep()
	p.age("lease_until", "lease_sent_at", "due_at", "failure")
}

// age makes times of the connection lie aLongTime earlier. Those of its failure
// are in a map.
func (p *play) age(names ...string) {
	p.t.Helper()
	item := p.item(connectionID, p.provider)
	earlier := func(in map[string]types.AttributeValue, name string) {
		if then := number(p.t, in, name); then != 0 {
			in[name] = &types.AttributeValueMemberN{Value: strconv.FormatInt(then-int64(aLongTime/time.Second), 10)}
		}
	}
	for _, name := range names {
		if m, ok := item[name].(*types.AttributeValueMemberM); ok {
			earlier(m.Value, "since")
			earlier(m.Value, "at")
			continue
		}
		earlier(item, name)
	}
	if _, err := p.Database.Client.PutItem(p.t.Context(), &dynamodb.PutItemInput{TableName: &p.Database.ConnectionsTable, Item: item}); err != nil {
		p.t.Fatal(err)
	}
}

// sent is how many token requests have reached the provider.
func (p *play) sent() int { return p.Simulator.Ledger(p.provider).Requests["token_url"] }

// sweeping kills a sweep.
func (p *play) sweeping() {
	p.given()
	p.pass()
	p.die("RefreshFunction", eventtest.Read(p.t, "refresh.json", nil))
	p.ends()
}

// recovering kills a sweep that has spilled new tokens, and then the next one,
// which finds them.
func (p *play) recovering() {
	p.given()
	p.pass()
	event := eventtest.Read(p.t, "refresh.json", nil)
	p.dies(p.gate, "RefreshFunction", event, p.gate.set("spill", 1, true, noCommit))
	p.pass()
	sent := p.sent()
	p.die("RefreshFunction", event)
	if n := p.sent() - sent; n != 0 {
		p.t.Errorf("a recovery sends %d token requests", n)
	}
	p.ends()
}

// striking kills a sweep whose answer is the grant, and then the next one, which
// is refused.
func (p *play) striking() {
	p.given()
	p.pass()
	event := eventtest.Read(p.t, "refresh.json", nil)
	p.dies(p.gate, "RefreshFunction", event, p.gate.set("token_url", 1, true, absence{}))
	p.pass()
	p.die("RefreshFunction", event)
	p.ends()
}

// refreshing kills the control plane while a caller waits for a refresh.
func (p *play) refreshing() {
	p.given()
	p.die("ConnectionsFunction", p.event("refresh", nil))
	p.ends()
}

// event returns the input of the control plane.
func (p *play) event(action string, more map[string]any) []byte {
	p.t.Helper()
	input := map[string]any{"action": action, "connection_id": connectionID, "provider": p.provider}
	maps.Copy(input, more)
	event, err := json.Marshal(input)
	if err != nil {
		p.t.Fatal(err)
	}
	return event
}

// ends looks at a connection after the death of a process that was refreshing
// it.
func (p *play) ends() {
	p.t.Helper()
	p.served()
	if sent := p.sent(); p.item(connectionID, p.provider)["lease_id"] != nil {
		p.endSweep()
		if p.sweep(); p.sent() != sent {
			p.t.Error("somebody sends while the lease of the dead process lasts")
		}
	}
	if p.lost == theGrant {
		p.dead()
		return
	}
	p.lives()
}

// lives checks that the connection is as it should be after the next sweep,
// and that its refresh token is the provider's live one: it can be refreshed
// again, and none was used twice.
func (p *play) lives() {
	p.t.Helper()
	for _, doing := range []string{"the next sweep", "a further refresh"} {
		p.pass()
		old := p.read(connectionID, p.provider).AccessToken
		if s := p.sweep(); s != (summary{Due: 1, Refreshed: 1}) {
			p.t.Errorf("%s = %+v", doing, s)
		}
		r, item := p.read(connectionID, p.provider), p.item(connectionID, p.provider)
		if r.Status != "active" || item["lease_id"] != nil || item["failure"] != nil {
			p.t.Errorf("after %s: %s, lease %v, failure %v", doing, r.Status, item["lease_id"], item["failure"])
		}
		if r.AccessToken == old || !slices.Contains(p.Simulator.Ledger(p.provider).LiveAccessTokens, r.AccessToken) {
			p.t.Errorf("after %s: new: %v, and it does not work", doing, r.AccessToken != old)
		}
	}
	if l := p.Simulator.Ledger(p.provider); l.RefreshTokensReused != 0 || l.GrantsEnded != 0 || len(l.Refused) != 0 {
		p.t.Errorf("the provider counts %d refresh tokens used twice, %d grants ended, refused %v", l.RefreshTokensReused, l.GrantsEnded, l.Refused)
	}
}

// dead checks the one case that no protocol can save: the old access token
// stays, and two refusals, minutes apart, ask the person to reconnect.
func (p *play) dead() {
	p.t.Helper()
	if p.item(connectionID, p.provider)["failure"] == nil {
		p.pass()
		p.refused("a first refusal", "active")
	}
	p.endSweep()
	p.refused("the sweep after it", "active")
	p.age("due_at")
	p.refused("a second refusal, too soon", "active")
	p.pass()
	p.refused("a second refusal, later", "reauthorization_required")
	sent := p.sent()
	if p.pass(); p.sweep() != (summary{}) || p.sent() != sent {
		p.t.Error("a dead connection is still refreshed")
	}
	if n := p.Simulator.Ledger(p.provider).RefreshTokensReused; n == 0 || n > 3 {
		p.t.Errorf("the spent refresh token was used %d times more", n)
	}
}

// refused sweeps, and checks the status and the rest of a connection whose
// refresh token is spent.
func (p *play) refused(doing, status string) {
	p.t.Helper()
	sum, item := p.sweep(), p.item(connectionID, p.provider)
	failure, _ := item["failure"].(*types.AttributeValueMemberM)
	if failure == nil || text(p.t, failure.Value, "reason") != "rotation_lost" {
		p.t.Fatalf("after %s (%+v) the failure is %v, want the reason rotation_lost", doing, sum, item["failure"])
	}
	if got := text(p.t, item, "connection_status"); got != status || item["lease_id"] != nil {
		p.t.Errorf("after %s (%+v) the connection is %s, want %s; lease %v", doing, sum, got, status, item["lease_id"])
	}
	if text(p.t, item, "access_token") != p.token {
		p.t.Errorf("after %s the old access token is gone", doing)
	}
}

// callingBack kills a callback while a person connects once more. It is loaded
// again in the same browser after the next sweep.
func (p *play) callingBack() {
	p.given()
	b := newBrowser(p.t)
	back := p.answered(b, p.provider, "approve")
	p.die("CallbackFunction", addressed(p.t, "callback-fragment.json", back, b.sent()))
	p.served()
	p.sweep()
	again := p.visit(b, back)
	if p.lost == nothing {
		p.deployment.ends(again, p.provider, "connected")
	} else {
		if again.StatusCode != http.StatusAccepted {
			p.t.Errorf("the callback, loaded again, answers %d: %s", again.StatusCode, again.Body)
		}
		if p.read(connectionID, p.provider).AccessToken != p.token {
			p.t.Error("the older connection is not what it was")
		}
		p.connect(p.provider)
	}
	p.lives()
}

// disconnecting kills a disconnect, which is then asked for again.
func (p *play) disconnecting() {
	p.given()
	p.gate.written = func() {} // the token is to go
	p.die("ConnectionsFunction", p.event("disconnect", nil))
	if got := p.ask("disconnect", connectionID, p.provider, nil); got.Error != nil || got.Connection["connection_status"] != "disconnected" {
		p.t.Errorf("disconnect answers %+v", got)
	}
	for _, name := range []string{"access_token", "refresh_token_sealed", "due_at", "lease_id"} {
		if p.item(connectionID, p.provider)[name] != nil {
			p.t.Errorf("%s is still there", name)
		}
	}
	if live := p.Simulator.Ledger(p.provider).LiveRefreshTokens; len(live) != 0 {
		p.t.Error("the refresh token lives on at the provider")
	}
	if s := p.sweep(); s != (summary{}) {
		p.t.Errorf("a sweep after it: %+v", s)
	}
}

// making kills the control plane while it makes a connection. Whoever asked
// asks again after the next sweep, whether it is there or not.
func (p *play) making() {
	action, _, _ := strings.Cut(p.scene, " ")
	p.die("ConnectionsFunction", p.event(action, map[string]any{"refresh_token": p.imported}))
	p.sweep()
	got := p.make()
	if p.lost == theGrant {
		if got.Error == nil || got.Error.Type != "refused" || p.item(connectionID, p.provider) != nil {
			p.t.Errorf("it is asked for again, and answered by %+v", got)
		}
		return
	}
	if got.Error != nil {
		p.t.Fatalf("it is asked for again, and refused: %+v", got.Error)
	}
	p.lives()
}

// searching kills the sweep that looks for a new grant which no claim would
// find, since there is no connection yet.
func (p *play) searching() {
	p.dies(p.gate, "ConnectionsFunction", p.event("import", map[string]any{"refresh_token": p.imported}), p.gate.set("spill", 1, true, noConnect))
	p.die("RefreshFunction", eventtest.Read(p.t, "refresh.json", nil))
	p.endSweep()
	p.sweep()
	p.lives()
}
