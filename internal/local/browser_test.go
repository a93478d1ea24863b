package local_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/chromedp"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/local"
	"github.com/evergrant/evergrant/internal/simulator"
	"github.com/evergrant/evergrant/internal/tooltest"
	"github.com/evergrant/evergrant/pkg/connect"
)

// patience is how long one step in the browser may take.
const patience = 30 * time.Second

// A browser is one Chromium with a profile of its own.
type browser struct{ ctx context.Context }

func newBrowser(t *testing.T) browser {
	t.Helper()
	allocator, cancel := chromedp.NewExecAllocator(t.Context(),
		chromedp.ExecPath(tooltest.Chromium(t)), chromedp.UserDataDir(t.TempDir()), chromedp.Headless, chromedp.NoFirstRun,
		chromedp.Flag("no-sandbox", true), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-features", "BackForwardCache"), // chromedp cannot see a page that comes back out of it
	)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return browser{ctx}
}

// visitor returns the browser as one that was never here: without cookies.
func (b browser) visitor(t *testing.T) browser {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a window: %v", err)
	}
	return browser{ctx}
}

// A tab is one tab. It fails the test at the first complaint of the browser
// about the content security policy or a script.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func (b browser) tab(t *testing.T) tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	t.Cleanup(cancel)
	tab := tab{t, ctx}
	if err := chromedp.Do(ctx); err != nil { // without a deadline: the tab would end with it
		t.Fatalf("open a tab: %v", err)
	}
	var mu sync.Mutex
	var complaints []string
	err := chromedp.Listen(ctx, func(ev any) {
		if e, ok := ev.(*log.EventEntryAdded); ok && (e.Entry.Source == log.EntrySourceSecurity || e.Entry.Source == log.EntrySourceJavascript) {
			mu.Lock()
			defer mu.Unlock()
			complaints = append(complaints, e.Entry.Text)
		}
	})
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range complaints {
			t.Errorf("the browser complains: %s", c)
		}
	})
	return tab
}

// do takes steps in the tab.
func (b tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// read returns what an action reads in the tab.
func read[T any](b tab, what string, a chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
	return v
}

// text returns the text of the first element that matches a CSS selector.
func (b tab) text(selector string) string {
	b.t.Helper()
	return strings.Join(strings.Fields(read(b, "read "+selector, chromedp.Text(chromedp.CSS(selector)))), " ")
}

// has waits until an element that matches a CSS selector can be seen.
func (b tab) has(selector string) {
	b.t.Helper()
	b.do("look for "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
}

// click clicks a button, and waits for the page that follows.
func (b tab) click(selector string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.t.Fatalf("click %s: %v", selector, err)
	}
}

func (b tab) open(to string) {
	b.t.Helper()
	b.do("open "+to, chromedp.Navigate(to))
}

// shot saves a screenshot of the whole page where EVERGRANT_SCREENSHOTS names
// a folder.
func (b tab) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("EVERGRANT_SCREENSHOTS")
	if dir == "" {
		return
	}
	image := read(b, "take screenshot", chromedp.FullScreenshot(100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), image, 0o600); err != nil {
		b.t.Fatalf("save screenshot: %v", err)
	}
}

// connect clicks connect on the page, and logs in and decides ("approve" or
// "deny") at the provider. It ends where the provider sends the browser.
func (b tab) connect(r running, provider, connectionID, decision string) {
	b.t.Helper()
	b.begin(r, provider, connectionID)
	b.decide(provider, decision)
}

// begin clicks connect on the page. It ends at the provider's page.
func (b tab) begin(r running, provider, connectionID string) {
	b.t.Helper()
	b.open(r.URL)
	field := chromedp.CSS(`[aria-labelledby="card-` + provider + `"] [name=connection_id]`)
	b.do("enter connection ID", chromedp.SetValue(field, connectionID))
	b.click("#connect-" + provider)
	b.has("body." + provider)
}

// decide logs in at the provider if it asks for that, and decides. WHCC asks
// no more once somebody has logged in.
func (b tab) decide(provider, decision string) {
	b.t.Helper()
	if provider == "whcc" && decision == "deny" {
		b.click("#deny")
		return
	}
	b.logIn()
	if provider != "whcc" {
		b.click("#" + decision)
	}
}

// logIn logs in at the provider if it asks for that.
func (b tab) logIn() {
	b.t.Helper()
	if read(b, "look for login", chromedp.Evaluate[bool](`document.getElementById("username") !== null`)) {
		b.do("log in", chromedp.SendKeys(chromedp.CSS("#username"), "ada"), chromedp.SendKeys(chromedp.CSS("#password"), "any"))
		b.click("#login")
	}
}

// token returns the access token that the page shows on demand.
func (b tab) token(r running, provider, connectionID string) string {
	b.t.Helper()
	b.open(r.URL)
	b.click(element("token", provider, connectionID))
	return b.text("#token")
}

// element is the selector of something of a connection.
func element(what, provider, connectionID string) string {
	id := provider + "-" + connectionID
	if what != "" {
		id = what + "-" + id
	}
	return fmt.Sprintf("[id=%q]", id)
}

// What a person clicks, in one Chromium. Each test has a local mode and
// cookies of its own.
func TestInABrowser(t *testing.T) {
	inBrowser(t, []browserTest{
		{"each provider can be connected, refreshed and disconnected", testEachProvider},
		{"two tabs can be finished in any order", testTwoTabs},
		{"the page works without script", testWithoutScript},
		{"the page counts on and looks again", testLooksAgain},
	})
}

// A browserTest is one that TestInABrowser or, for make proof, TestMoreInABrowser
// plays.
type browserTest struct {
	name string
	run  func(*testing.T, browser)
}

func inBrowser(t *testing.T, tests []browserTest) {
	t.Helper()
	b := newBrowser(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, b.visitor(t)) })
	}
}

// Each provider: connect in the browser, survive three refreshes, disconnect.
func testEachProvider(t *testing.T, b browser) {
	r := start(t)
	for _, provider := range []string{"whiplash", "whisk", "whatnot", "whcc"} {
		t.Run(provider, func(t *testing.T) {
			tab := b.tab(t)
			tab.connect(r, provider, "demo", "approve")
			tab.has(".notice.good")
			if got := tab.text("#notice"); !strings.Contains(got, "is connected as demo") {
				t.Errorf("notice = %q", got)
			}
			connectionID := "demo"
			if provider == "whcc" { // a WHCC login gives nothing to refresh with; issued credentials are renewed
				connectionID = "issued"
				tab.do("enter connection ID", chromedp.SetValue(chromedp.CSS(`[aria-labelledby="card-whcc"] [name=connection_id]`), connectionID))
				tab.click("#issue-whcc")
			}
			tab.survives(r, provider, connectionID, 3)
			tab.disconnect(r, provider, connectionID)
		})
	}
}

// survives lets the token of a connection almost end and sweeps, n times.
func (b tab) survives(r running, provider, connectionID string, n int) {
	b.t.Helper()
	before := b.token(r, provider, connectionID)
	for i := range n {
		r.clock.Advance(25 * time.Second) // of 30
		if got := r.sweep(b.t); got < 1 {
			b.t.Fatalf("sweep %d refreshed %d connections", i+1, got)
		}
		b.open(r.URL)
		if got := b.text(element("", provider, connectionID) + " .left"); got != "30 s" && got != "29 s" && got != "28 s" {
			b.t.Errorf("after refresh %d %q is left, want about 30 s", i+1, got)
		}
	}
	if row := b.text(element("", provider, connectionID)); !strings.Contains(row, fmt.Sprintf("%d times since start", n)) || !strings.Contains(row, "Active") {
		b.t.Errorf("row = %q", row)
	}
	if b.token(r, provider, connectionID) == before {
		b.t.Error("the token is still the first one")
	}
	if l := r.Simulator.Ledger(provider); l.RefreshTokensReused != 0 || len(l.Refused) != 0 {
		b.t.Errorf("the provider refused %v and saw %d refresh tokens again", l.Refused, l.RefreshTokensReused)
	}
}

// disconnect clicks disconnect and confirms.
func (b tab) disconnect(r running, provider, connectionID string) {
	b.t.Helper()
	b.open(r.URL)
	b.do("click disconnect", chromedp.Click(chromedp.CSS(element("disconnect", provider, connectionID))))
	b.click(element("sure", provider, connectionID) + " .full")
	b.has(".notice.good")
	if row := b.text(element("", provider, connectionID)); !strings.Contains(row, "Disconnected") {
		b.t.Errorf("row = %q", row)
	}
	if c := r.control(b.t, "get", connectionID, provider).Connection; c == nil || c.Status != connection.Disconnected {
		b.t.Errorf("connection = %+v", c)
	}
	if l := r.Simulator.Ledger(provider); (provider == "whiplash" || provider == "whatnot") && len(l.LiveRefreshTokens) != 0 {
		b.t.Errorf("%d refresh tokens still work at the provider", len(l.LiveRefreshTokens))
	}
}

func testDeclining(t *testing.T, b browser) {
	r := start(t)
	for _, provider := range []string{"whiplash", "whisk", "whatnot", "whcc"} {
		t.Run(provider, func(t *testing.T) {
			tab := b.tab(t)
			tab.connect(r, provider, "demo", "deny")
			tab.has(".notice.bad")
			if got := tab.text("#notice"); !strings.Contains(got, "access was declined") {
				t.Errorf("notice = %q", got)
			}
			if got := r.control(t, "get", "demo", provider); got.Error == nil || got.Error.Type != "not_found" {
				t.Errorf("connection = %+v, want none", got.Connection)
			}
			if l := r.Simulator.Ledger(provider); l.Denied != 1 || l.TokenRequests["authorization_code"] != 0 {
				t.Errorf("ledger = %+v", l)
			}
		})
	}
}

func testReload(t *testing.T, b browser) {
	var dir string
	r := start(t, func(c *local.Config) { dir = c.Dir })
	for _, decision := range []string{"approve", "deny"} {
		t.Run(decision, func(t *testing.T) {
			key, err := local.ConnectKey(dir)
			if err != nil {
				t.Fatal(err)
			}
			link, err := connect.Ticket{ConnectionID: "reload-" + decision, Provider: "whiplash"}.Link(r.URL, key, r.clock.Now())
			if err != nil {
				t.Fatal(err)
			}
			tab := b.tab(t)
			tab.open(link)
			tab.decide("whiplash", decision)
			first := tab.text("h1")
			at, err := url.Parse(read(tab, "location", chromedp.Location()))
			if err != nil || at.Path != "/callback/whiplash" {
				t.Fatalf("the browser is at %v, %v", at, err)
			}
			for range 2 {
				tab.do("reload", chromedp.Reload())
				if got := tab.text("h1"); got != first {
					t.Errorf("after a reload it says %q, at first %q", got, first)
				}
			}
			if got := r.Simulator.Ledger("whiplash").TokenRequests["authorization_code"]; got != 1 {
				t.Errorf("%d codes were exchanged, want 1", got)
			}
		})
	}
}

func testTwoTabs(t *testing.T, b browser) {
	r := start(t)
	one, two := b.tab(t), b.tab(t)
	one.begin(r, "whatnot", "one")
	two.begin(r, "whatnot", "two")
	two.decide("whatnot", "approve")
	two.has(".notice.good")
	one.decide("whatnot", "approve")
	one.has(".notice.good")
	for _, id := range []string{"one", "two"} {
		if c := r.control(t, "get", id, "whatnot").Connection; c == nil || c.Status != connection.Active {
			t.Errorf("connection %s = %+v, want it active", id, c)
		}
	}
}

// hosted has local mode play the host.
func hosted(c *local.Config) { c.Completion = true }

func testCompletion(t *testing.T, b browser) {
	r := start(t, hosted)
	for _, provider := range []string{"whiplash", "whisk", "whatnot", "whcc"} {
		one, two := b.tab(t), b.tab(t)
		r.clock.Advance(time.Second)  // of five cookies the oldest goes
		one.begin(r, provider, "one") // in two tabs, as one user
		two.connect(r, provider, "two", "approve")
		two.has(".notice.good")
		one.decide(provider, "approve")
		one.has(".notice.good")
		for _, id := range []string{"one", "two"} {
			if c := r.control(t, "get", id, provider).Connection; c == nil || c.Status != connection.Active {
				t.Errorf("connection %s at %s = %+v, want it active", id, provider, c)
			}
		}
	}
	tab := b.tab(t)
	tab.connect(r, "whatnot", "three", "deny")
	if got := tab.text("#notice.bad"); !strings.Contains(got, "access was declined") {
		t.Errorf("notice = %q", got)
	}
}

// link returns a connect link as the host makes it for the owner of a
// connection ID.
func (r running) link(t *testing.T, dir, connectionID string) string {
	t.Helper()
	key, err := local.ConnectKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	link, err := connect.Ticket{ConnectionID: connectionID, Provider: "whiplash", ReturnTo: r.URL + "/"}.Link(r.URL, key, r.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// SECURITY row 44: Mallory sends her own connect link to Bob, who is signed in
// and approves. His account must not become hers, nor the code be sent.
func testTwoUsers(t *testing.T, b browser) {
	var dir string
	r := start(t, hosted, func(c *local.Config) { dir = c.Dir })
	mallory, bob := b.tab(t), b.visitor(t).tab(t)
	bob.connect(r, "whatnot", "bob", "approve") // so he is signed in as bob
	bob.has(".notice.good")

	bob.open(r.link(t, dir, "mallory"))
	bob.decide("whiplash", "approve")
	if got := bob.text("#notice.bad"); !strings.Contains(got, "somebody else is signed in") {
		t.Errorf("Bob reads %q", got)
	}
	bob.shot("two-users")
	for _, id := range []string{"mallory", "bob"} {
		if got := r.control(t, "get", id, "whiplash"); got.Error == nil || got.Error.Type != "not_found" {
			t.Errorf("connection of %s = %+v, want none", id, got.Connection)
		}
	}
	if l := r.Simulator.Ledger("whiplash"); l.TokenRequests["authorization_code"] != 0 || len(l.LiveAccessTokens) != 0 {
		t.Errorf("the code was sent: %v", l.TokenRequests)
	}
	mallory.connect(r, "whiplash", "mallory", "approve") // in her own browser it is fine
	mallory.has(".notice.good")
}

func testSigningIn(t *testing.T, b browser) {
	var dir string
	r := start(t, hosted, func(c *local.Config) { dir = c.Dir })
	tab := b.tab(t)
	tab.open(r.link(t, dir, "ann"))
	tab.decide("whiplash", "approve")
	tab.has("#sign-in")
	tab.do("reload", chromedp.Reload())
	if l := r.Simulator.Ledger("whiplash"); l.TokenRequests["authorization_code"] != 0 {
		t.Error("the code was sent before anybody had signed in")
	}
	tab.screens("", "signin")
	tab.click("#sign-in")
	if got := tab.text("#notice.good"); !strings.Contains(got, "connected as ann") {
		t.Errorf("notice = %q", got)
	}
	if got := tab.text("#signed-in"); got != "ann" {
		t.Errorf("signed in as %q", got)
	}
}

func testWithoutScript(t *testing.T, b browser) {
	r := start(t)
	tab := b.tab(t)
	if _, err := chromedp.Call(tab.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	tab.open(r.URL)
	tab.click("#connect-whatnot")
	tab.do("log in", chromedp.SendKeys(chromedp.CSS("#username"), "ada"), chromedp.SendKeys(chromedp.CSS("#password"), "any"))
	tab.click("#login")
	tab.click("#approve")
	tab.has(".notice.good")
	r.clock.Advance(20 * time.Second)
	tab.open(r.URL)
	if got := tab.text(element("", "whatnot", "demo") + " .left"); got != "10 s" && got != "9 s" {
		t.Errorf("%q is left, want 10 s", got)
	}
	tab.click(element("refresh", "whatnot", "demo"))
	if got := tab.text(element("", "whatnot", "demo") + " .left"); got != "30 s" && got != "29 s" {
		t.Errorf("after a refresh %q is left, want 30 s", got)
	}
	tab.disconnect(r, "whatnot", "demo")
}

// The list follows by itself what happens elsewhere, and what is being typed
// stays.
func testLooksAgain(t *testing.T, b browser) {
	r := start(t)
	tab := b.tab(t)
	tab.connect(r, "whiplash", "demo", "approve")
	tab.do("type", chromedp.SetValue(chromedp.CSS(`[aria-labelledby="card-whisk"] [name=connection_id]`), "half-typed"))
	tab.do("watch it count", chromedp.WaitVisible(chromedp.Search(`//tr[@id="whiplash-demo"]//time[text()="28 s" or text()="27 s" or text()="26 s" or text()="25 s"]`)))
	r.clock.Advance(25 * time.Second)
	if r.sweep(t) != 1 {
		t.Fatal("nothing was refreshed")
	}
	tab.do("make the page look", chromedp.Evaluate[chromedp.Void](`document.dispatchEvent(new Event("visibilitychange"))`))
	tab.has(element("", "whiplash", "demo") + ".renewed")
	if got := tab.text(element("", "whiplash", "demo")); !strings.Contains(got, "once since start") {
		t.Errorf("row = %q", got)
	}
	if got := read(tab, "read field", chromedp.Value(chromedp.CSS(`[aria-labelledby="card-whisk"] [name=connection_id]`))); got != "half-typed" {
		t.Errorf("what was being typed is now %q", got)
	}
}

// Everything at once, on a desktop and on a phone, light and dark.
func testScreens(t *testing.T, b browser) {
	r := start(t, func(c *local.Config) { c.TokenLifetime = 2 * time.Hour })
	tab := b.tab(t)
	tab.screens(r.URL, "empty")
	for _, c := range []struct{ provider, id string }{
		{"whatnot", "shop_7:returns"}, {"whisk", "kitchen@example.com"}, {"whcc", "studio"}, {"whiplash", "acct_42"}, {"whiplash", "tenant-0f8a61f2-9d1b-4c55-8a01-6c2f9a3f7b11"}, {"whatnot", "old"},
	} {
		tab.connect(r, c.provider, c.id, "approve")
	}
	if got := r.control(t, "issue", "studio-issued", "whcc"); got.Error != nil {
		t.Fatalf("issue: %v", got.Error)
	}
	r.control(t, "disconnect", "old", "whatnot")
	tab.connect(r, "whatnot", "shop_7:returns", "approve") // disconnecting has ended all that the account gave
	r.clock.Advance(112 * time.Minute)
	r.Simulator.Answer("whiplash", simulator.Answer{Status: 503, Body: "<h1>Down</h1>"}, simulator.Answer{Status: 429})
	r.sweep(t)
	r.Simulator.Revoke("whisk", simulator.AccountID("whisk", "ada"))
	for range 2 {
		r.control(t, "refresh", "kitchen@example.com", "whisk")
		r.clock.Advance(4 * time.Minute)
	}
	tab.screens(r.URL+"/?result=connected&provider=whatnot&connection_id=shop_7:returns", "full")
	tab.open(r.URL)
	tab.click(element("token", "whatnot", "shop_7:returns"))
	tab.screens("", "token")
	tab.open(r.URL)
	tab.do("resize", chromedp.EmulateViewport(1280, 844))
	tab.do("ask", chromedp.Click(chromedp.CSS(element("disconnect", "whcc", "studio"))))
	tab.shot("sure")
}

// sticksOut lists what is wider than its place on the page.
const sticksOut = `[...document.querySelectorAll("main *")].filter(e => e.checkVisibility() && !e.closest(".unseen, thead")
	&& e.getBoundingClientRect().right > e.closest("main").getBoundingClientRect().right + 1).map(e => e.outerHTML.slice(0, 80))`

// screens looks at a page, or at the one that is open, on every kind of screen.
func (b tab) screens(to, name string) {
	b.t.Helper()
	if to != "" {
		b.open(to)
	}
	for _, width := range []int64{1280, 820, 390} {
		for _, scheme := range []string{"light", "dark"} {
			media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
			if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, media); err != nil {
				b.t.Fatal(err)
			}
			b.do("resize", chromedp.EmulateViewport(width, 844))
			if out := read(b, "measure", chromedp.Evaluate[[]string](sticksOut)); len(out) > 0 {
				b.t.Errorf("on a screen of %d %s sticks out: %q", width, name, out)
			}
			b.shot(fmt.Sprintf("%s-%d-%s", name, width, scheme))
		}
	}
}
