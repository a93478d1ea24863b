//go:build proof

package local_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/local"
	"github.com/evergrant/evergrant/internal/simulator"
	"github.com/evergrant/evergrant/internal/web"
	"github.com/evergrant/evergrant/pkg/connect"
)

// gallery is every page of a deployment by the name of its text, with names as
// long as they come.
func gallery() map[string]web.Response {
	r := web.Request{Reference: "JKJaXmPLvHcESHA=", About: web.About{
		Provider: "Whiplash", ConnectionID: "tenant-0f8a61f2-9d1b-4c55-8a01-6c2f9a3f7b11:shop_7", Home: "https://connections.staging.example.com",
	}}
	pages := map[string]web.Response{
		"Connected": web.Done(r, web.Connected, ""), "Narrowed": web.Done(r, web.Narrowed, ""), "Denied": web.Done(r, web.Denied, ""),
		"PostAgain": web.PostAgain(map[string]string{"state": "s"}), "PostFragment": web.PostFragment(),
	}
	for name, text := range map[string]web.Text{
		"UnknownProvider": web.UnknownProvider, "MethodNotAllowed": web.MethodNotAllowed, "BadRequest": web.BadRequest, "NotAWindow": web.NotAWindow,
		"LinkInvalid": web.LinkInvalid, "LinkExpired": web.LinkExpired, "LinkUsed": web.LinkUsed, "BadCallback": web.BadCallback, "Expired": web.Expired,
		"WrongBrowser": web.WrongBrowser, "Busy": web.Busy, "ProviderFailed": web.ProviderFailed, "AccountChanged": web.AccountChanged,
		"AccountUnknown": web.AccountUnknown, "NotConfigured": web.NotConfigured, "Unavailable": web.Unavailable, "Kept": web.Kept, "NotSaved": web.NotSaved,
		"Internal": web.Internal,
	} {
		pages[name] = web.Problem(r, text)
	}
	return pages
}

// exportedTexts returns the names of the texts that handlers may show.
func exportedTexts(t *testing.T) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../web/text.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && v.Type == nil && len(v.Values) == 1 && v.Names[0].IsExported() {
			if lit, ok := v.Values[0].(*ast.CompositeLit); ok && fmt.Sprint(lit.Type) == "Text" {
				names = append(names, v.Names[0].Name)
			}
		}
		return true
	})
	return names
}

// Every page, on every screen, light and dark: by eye, keyboard and screen
// reader.
func testEveryPage(t *testing.T, b browser) {
	pages := gallery()
	for _, name := range exportedTexts(t) {
		if _, ok := pages[name]; !ok {
			t.Errorf("there is no page of %s to look at", name)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, ok := pages[strings.TrimPrefix(r.URL.Path, "/")]
		if r.Method == http.MethodPost { // what the two pages with a script send
			resp, ok = web.Redirect(http.StatusSeeOther, "/Connected"), true
		}
		if !ok {
			http.NotFound(w, r)
			return
		}
		for name, value := range resp.Headers {
			w.Header().Set(name, value)
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = w.Write([]byte(resp.Body))
	}))
	t.Cleanup(server.Close)
	tab, still := b.tab(t), b.tab(t)
	still.withoutScript()
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		at := tab
		if strings.HasPrefix(name, "Post") {
			at = still // they would go on at once
		}
		at.open(server.URL + "/" + name)
		at.readable(name)
	}
}

func (b tab) withoutScript() {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		b.t.Fatal(err)
	}
}

// look emulates a screen and what its owner prefers.
func (b tab) look(width int64, scheme string) {
	b.t.Helper()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, media); err != nil {
		b.t.Fatal(err)
	}
	b.do("resize", chromedp.EmulateViewport(width, 740))
}

// measured is what contrast measures of a text or a sign.
type measured struct {
	What  string  `json:"what"`
	Ratio float64 `json:"ratio"`
	Least float64 `json:"least"` // WCAG 2.2: 4.5 for text (1.4.3), 3 for what else tells something (1.4.11)
}

// contrast measures every text on the page against what is behind it, every
// sign, and the ring around what has the focus.
const contrast = `(() => {
	const rgba = s => { const n = s.match(/[\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
	const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
	const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + .05) / (y + .05); };
	const behind = e => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; if (c[3]) return [0, 0, 0, 0].fill(NaN); } return [255, 255, 255, 1]; };
	const found = [];
	let focused = !document.querySelector("a, button");
	for (const e of document.querySelectorAll("body, body *")) {
		if (["STYLE", "SCRIPT", "NOSCRIPT"].includes(e.tagName) || !e.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
		const s = getComputedStyle(e), text = [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data.trim()).join(" ").trim();
		if (text) found.push({ what: text.slice(0, 60), ratio: ratio(rgba(s.color), behind(e)), least: 4.5 });
		if (e.localName === "path" && s.stroke !== "none") found.push({ what: "sign", ratio: ratio(rgba(s.stroke), rgba(getComputedStyle(e.parentElement.querySelector("circle")).fill)), least: 3 });
		if (e.matches("input, textarea")) found.push({ what: "value of a field", ratio: ratio(rgba(s.color), behind(e)), least: 4.5 });
		focused ||= e.matches(":focus-visible");
		if (e.matches(":focus-visible")) found.push({ what: "focus of " + text, ratio: s.outlineStyle === "none" || parseFloat(s.outlineWidth) < 2 ? 0 : ratio(rgba(s.outlineColor), behind(e.parentElement)), least: 3 });
	}
	return focused ? found : [...found, { what: "focus, which is nowhere", ratio: 0, least: 3 }];
})()`

// tooWide lists what makes the person scroll sideways.
const tooWide = `document.documentElement.scrollWidth <= innerWidth ? [] : ["the page", ...[...document.querySelectorAll("body *")]
	.filter(e => e.checkVisibility() && e.getBoundingClientRect().right > innerWidth).map(e => e.outerHTML.slice(0, 80))]`

// moving lists what moves, although the person asked for reduced motion.
const moving = `[...document.querySelectorAll("*")].filter(e => { const s = getComputedStyle(e);
	return s.animationName !== "none" && parseFloat(s.animationDuration) > 0.01 || s.transitionDuration.split(",").some(d => parseFloat(d) > 0.01) || s.scrollBehavior === "smooth"; })
	.map(e => e.outerHTML.slice(0, 80))`

// readable looks at the page that is open as people with a phone, a dark room,
// a keyboard or a screen reader do.
func (b tab) readable(name string) {
	b.t.Helper()
	least := measured{Ratio: 21}
	b.do("press tab", chromedp.KeyEvent(kb.Tab))
	if focus := read(b, "look at the focus", chromedp.Evaluate[string](`document.activeElement.localName`)); !slices.Contains([]string{"a", "button", "input", "code"}, focus) && name != "PostFragment" {
		b.t.Errorf("on %s the tab key leads to %s", name, focus)
	}
	for _, width := range []int64{1280, 390, 360, 320} {
		for _, scheme := range []string{"light", "dark"} {
			b.look(width, scheme)
			if out := read(b, "measure", chromedp.Evaluate[[]string](sticksOut)); len(out) > 0 {
				b.t.Errorf("on a screen of %d %s sticks out: %q", width, name, out)
			}
			if over := read(b, "measure", chromedp.Evaluate[[]string](tooWide)); len(over) > 0 {
				b.t.Errorf("%s does not fit a screen of %d: %q", name, width, over)
			}
			if width == 1280 || width == 360 {
				b.do("look elsewhere", chromedp.Evaluate[chromedp.Void](`(window.was = document.activeElement).blur()`))
				b.shot(fmt.Sprintf("page-%s-%d-%s", name, width, scheme))
				b.do("look back", chromedp.Evaluate[chromedp.Void](`window.was.focus()`))
			}
			for _, m := range read(b, "measure", chromedp.Evaluate[[]measured](contrast)) {
				if m.Ratio < m.Least {
					b.t.Errorf("%s, %s: the contrast of %q is %.2f, and at least %.1f is needed", name, scheme, m.What, m.Ratio, m.Least)
				}
				if m.Least > 4 && m.Ratio < least.Ratio {
					least = m
				}
			}
		}
	}
	if out := read(b, "look for motion", chromedp.Evaluate[[]string](moving)); len(out) > 0 {
		b.t.Errorf("%s moves: %q", name, out)
	}
	b.t.Logf("%s: the least contrast of a text is %.2f, of %q", name, least.Ratio, least.What)
	b.readOut(name)
}

// readOut checks what a screen reader has of the page.
func (b tab) readOut(name string) {
	b.t.Helper()
	if lang := read(b, "read lang", chromedp.Evaluate[string](`document.documentElement.lang`)); lang != "en" {
		b.t.Errorf("%s has the language %q", name, lang)
	}
	tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		b.t.Fatal(err)
	}
	text := func(v *accessibility.Value) (s string) {
		if v != nil {
			_ = json.Unmarshal([]byte(v.Value), &s)
		}
		return s
	}
	roles, title := map[string]int{}, ""
	for _, n := range tree.Nodes {
		role := text(n.Role)
		if n.Ignored {
			continue
		}
		roles[role]++
		switch role {
		case "RootWebArea":
			title = text(n.Name)
		case "heading":
			for _, p := range n.Properties {
				if p.Name == "level" && string(p.Value.Value) == "1" {
					roles["h1"]++
				}
			}
		case "link", "button", "textbox":
			if text(n.Name) == "" {
				b.t.Errorf("%s has a %s without a name", name, role)
			}
		case "image", "img", "graphics-document", "SvgRoot":
			b.t.Errorf("%s has a %s that is read out", name, role)
		}
	}
	if roles["main"] != 1 || roles["h1"] != 1 || roles["contentinfo"] > 1 || title == "" {
		b.t.Errorf("%s, named %q, has %d main parts, %d titles and %d ends: %v", name, title, roles["main"], roles["h1"], roles["contentinfo"], roles)
	}
}

// Local mode's own pages are read by developers, who are people.
func testLocalPages(t *testing.T, b browser) {
	var dir string
	r := start(t, hosted, in(&dir))
	tab := b.tab(t)
	tab.connect(r, "whatnot", "shop_7", "approve")
	tab.connect(r, "whiplash", "acct_42", "deny")
	tab.readable("local")
	tab.open(r.URL)
	tab.click(element("token", "whatnot", "shop_7"))
	tab.readable("local-token")
	other := b.visitor(t).tab(t)
	other.open(r.link(t, dir, "ann"))
	other.decide("whiplash", "approve")
	other.has("#sign-in")
	other.readable("local-signin")
}

// plainLink returns a connect link without a place to return to.
func (r running) plainLink(t *testing.T, dir, provider, connectionID string) string {
	t.Helper()
	key, err := local.ConnectKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	link, err := connect.Ticket{ConnectionID: connectionID, Provider: provider}.Link(r.URL, key, r.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// in has a test know the data folder.
func in(dir *string) func(*local.Config) { return func(c *local.Config) { *dir = c.Dir } }

// reads checks the title of the page that is open, and words below it.
func (b tab) reads(title string, words ...string) {
	b.t.Helper()
	if got := b.text("h1"); got != title {
		b.t.Errorf("the person reads %q, want %q", got, title)
	}
	body := b.text("body")
	for _, w := range words {
		if !strings.Contains(body, w) {
			b.t.Errorf("the person does not read %q in %q", w, body)
		}
	}
}

// none checks that a connection was not made, and how many codes were sent.
func (r running) none(t *testing.T, connectionID, provider string, codes int) {
	t.Helper()
	if got := r.control(t, "get", connectionID, provider); got.Error == nil || got.Error.Type != "not_found" {
		t.Errorf("connection %s = %+v, want none", connectionID, got.Connection)
	}
	r.codes(t, provider, codes)
}

// active checks that a connection to Whiplash was made, and how many codes were
// sent.
func (r running) active(t *testing.T, connectionID string, codes int) {
	t.Helper()
	if c := r.control(t, "get", connectionID, "whiplash").Connection; c == nil || c.Status != connection.Active {
		t.Errorf("connection %s = %+v, want it active", connectionID, c)
	}
	r.codes(t, "whiplash", codes)
}

func (r running) codes(t *testing.T, provider string, want int) {
	t.Helper()
	if got := r.Simulator.Ledger(provider).TokenRequests["authorization_code"]; got != want {
		t.Errorf("%d codes were sent, want %d", got, want)
	}
}

func testApprovePage(t *testing.T, b browser) {
	var dir string
	r := start(t, in(&dir))
	tab := b.tab(t)
	tab.open(r.plainLink(t, dir, "whiplash", "acct_42"))
	tab.decide("whiplash", "approve")
	tab.reads("Whiplash is connected", "You can close this window", "Connection acct_42", "Provider Whiplash")
	tab.shot("flow-approve")
	r.active(t, "acct_42", 1)
}

// Back from the outcome, to the provider's page, and another decision there:
// the first one stands, at the host and on our page.
func testBackButton(t *testing.T, b browser) {
	var dir string
	r := start(t, in(&dir))
	back := func(tab tab) {
		t.Helper()
		tab.do("go back", chromedp.NavigateBack())
		tab.has("#approve")
	}
	t.Run("after approving", func(t *testing.T) {
		tab := b.tab(t)
		tab.connect(r, "whiplash", "back", "approve")
		tab.has(".notice.good")
		token := r.control(t, "get", "back", "whiplash").Connection
		for _, decision := range []string{"approve", "deny"} {
			back(tab)
			tab.decide("whiplash", decision)
			if got := tab.text("#notice"); !strings.Contains(got, "is connected as back") {
				t.Errorf("after %s once more the person reads %q", decision, got)
			}
			r.active(t, "back", 1)
		}
		if again := r.control(t, "get", "back", "whiplash").Connection; again.UpdatedAt != token.UpdatedAt {
			t.Errorf("the connection was written again: %+v, before %+v", again, token)
		}
	})
	t.Run("after declining", func(t *testing.T) {
		tab := b.tab(t)
		link := r.plainLink(t, dir, "whiplash", "changed-mind")
		tab.open(link)
		tab.decide("whiplash", "deny")
		tab.reads("Whiplash was not connected", "You declined", "start again from")
		tab.shot("flow-deny")
		back(tab)
		tab.decide("whiplash", "approve")
		tab.reads("Whiplash was not connected")
		r.none(t, "changed-mind", "whiplash", 1)
		tab.open(link) // the link is still good: declining does not use it up
		tab.decide("whiplash", "approve")
		tab.reads("Whiplash is connected", "changed-mind")
		r.active(t, "changed-mind", 2)
		tab.open(link) // and now it is not
		tab.decide("whiplash", "approve")
		tab.reads("This link has been used", "ask for a new link")
		tab.shot("flow-used")
		r.codes(t, "whiplash", 2)
	})
}

// callbackURL decides at the provider and returns the callback that it sends
// the browser to, which the browser does not load.
func (b tab) callbackURL(decision string) string {
	b.t.Helper()
	found := make(chan string, 1)
	err := chromedp.Listen(b.ctx, func(ev any) {
		if e, ok := ev.(*fetch.EventRequestPaused); ok {
			go func() {
				_, _ = chromedp.Call(b.ctx, fetch.FailRequest, fetch.FailRequestParams{RequestID: e.RequestID, ErrorReason: network.ErrorReasonAborted})
				found <- e.Request.URL
			}()
		}
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.logIn()
	if _, err := chromedp.Call(b.ctx, fetch.Enable, fetch.EnableParams{Patterns: []*fetch.RequestPattern{{URLPattern: "*/callback/*"}}}); err != nil {
		b.t.Fatal(err)
	}
	b.do(decision, chromedp.Click(chromedp.CSS("#"+decision)))
	var to string
	select {
	case to = <-found:
	case <-time.After(patience):
		b.t.Fatal("the provider sends the browser nowhere")
	}
	if _, err := chromedp.Call(b.ctx, fetch.Disable, cdp.Empty{}); err != nil {
		b.t.Fatal(err)
	}
	return to
}

// A link scanner, a second device, or somebody who was sent the callback.
func testOtherBrowser(t *testing.T, b browser) {
	r := start(t)
	first, other := b.tab(t), b.visitor(t).tab(t)
	first.begin(r, "whiplash", "mine")
	callback := first.callbackURL("approve")
	for range 2 {
		other.open(callback)
		other.reads("This cannot be finished in this browser", "Go on in the browser where you started", "Nothing was changed")
		r.none(t, "mine", "whiplash", 0)
	}
	other.shot("flow-other-browser")
	first.open(callback)
	first.has(".notice.good")
	r.active(t, "mine", 1)
	other.open(callback)
	other.reads("This cannot be finished in this browser")
	r.codes(t, "whiplash", 1)
}

func testMissingCookie(t *testing.T, b browser) {
	r := start(t)
	tab := b.tab(t)
	tab.begin(r, "whiplash", "forgetful")
	callback := tab.callbackURL("approve")
	if _, err := chromedp.Call(tab.ctx, network.ClearBrowserCookies, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	tab.open(callback)
	tab.reads("This cannot be finished in this browser", "connect again from here", "Reference:")
	r.none(t, "forgetful", "whiplash", 0)
	tab.connect(r, "whiplash", "forgetful", "approve")
	tab.has(".notice.good")
	r.active(t, "forgetful", 1)
}

// A link and a request of the browser expire each on its own.
func testExpired(t *testing.T, b browser) {
	var dir string
	r := start(t, in(&dir))
	home := "Go back to " + strings.TrimPrefix(r.URL, "http://")
	tab := b.tab(t)
	link := r.link(t, dir, "late")
	r.clock.Advance(20 * time.Minute)
	tab.open(link)
	tab.reads("This link has expired", "ask for a new one", home)
	tab.shot("flow-link-expired")
	tab.click("main a")
	tab.has("#connections")

	tab.begin(r, "whiplash", "late")
	callback := tab.callbackURL("approve")
	r.clock.Advance(11 * time.Minute)
	tab.open(callback)
	tab.reads("This took too long", "connect again", home, "late")
	tab.shot("flow-expired")
	r.none(t, "late", "whiplash", 0)
	tab.click("main a")
	tab.has("#connections")
}

func testProviderFails(t *testing.T, b browser) {
	var dir string
	r := start(t, in(&dir))
	tab := b.tab(t)
	tab.open(r.plainLink(t, dir, "whatnot", "unlucky"))
	tab.logIn()
	r.Simulator.Answer("whatnot", simulator.Answer{Status: 500, Body: "<h1>Oh no: " + `<script>alert("provider text")</script></h1>`})
	tab.click("#approve")
	tab.reads("Whatnot did not answer as expected", "nothing was changed", "Wait a few minutes")
	if strings.Contains(tab.text("html"), "Oh no") {
		t.Error("the provider's text is shown")
	}
	tab.shot("flow-provider-failed")
	r.none(t, "unlucky", "whatnot", 1)
}

// elsewhere is a page of another site, at which the browser posts fields to a
// callback when go is clicked.
func elsewhere(t *testing.T, callback string) string {
	t.Helper()
	to, err := url.Parse(callback)
	if err != nil {
		t.Fatal(err)
	}
	form := ""
	for name, values := range to.Query() {
		form += fmt.Sprintf(`<input type="hidden" name="%s" value="%s">`, name, html.EscapeString(values[0]))
	}
	to.RawQuery = ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<!doctype html><title>Provider</title><form method="post" action="%s">%s<button id="go">Go</button></form>`, html.EscapeString(to.String()), form)
	}))
	t.Cleanup(server.Close)
	return server.URL // at 127.0.0.1, and so of another site than localhost
}

// SECURITY row B2: a cross-site post brings no Lax cookie, so it goes by way of
// our own page, once.
func testFormPost(t *testing.T, b browser) {
	r := start(t)
	for _, script := range []bool{true, false} {
		for _, decision := range []string{"approve", "deny"} {
			t.Run(fmt.Sprintf("%s, with script %t", decision, script), func(t *testing.T) {
				tab, id := b.tab(t), fmt.Sprintf("%s-%t", decision, script)
				tab.begin(r, "whiplash", id)
				callback := tab.callbackURL(decision)
				before := r.Simulator.Ledger("whiplash").TokenRequests["authorization_code"]
				if !script {
					tab.withoutScript()
				}
				tab.open(elsewhere(t, callback))
				tab.click("#go")
				if !script {
					tab.reads("One moment", "If this page stays, choose “Go on”.")
					tab.click("button")
				}
				tab.has("#notice")
				if want := map[string]string{"approve": "is connected as " + id, "deny": "access was declined"}[decision]; !strings.Contains(tab.text("#notice"), want) {
					t.Errorf("notice = %q, want %q", tab.text("#notice"), want)
				}
				if decision == "approve" {
					r.active(t, id, before+1)
				} else {
					r.none(t, id, "whiplash", before)
				}
			})
		}
	}
	other := b.visitor(t).tab(t)
	first := b.tab(t)
	first.begin(r, "whiplash", "posted")
	other.open(elsewhere(t, first.callbackURL("approve")))
	other.click("#go")
	other.has("footer")
	other.reads("This cannot be finished in this browser")
	r.none(t, "posted", "whiplash", r.Simulator.Ledger("whiplash").TokenRequests["authorization_code"])
}

// Whisk's implicit grant: the token is in the fragment, which no server sees by
// itself. It must not stay in the browser's history either.
func testFragment(t *testing.T, b browser) {
	sim := simulator.New(simulator.Config{Now: time.Now})
	provider := httptest.NewServer(sim)
	t.Cleanup(provider.Close)
	secret := sim.Secret(provider.URL, "whisk")
	secret["response_type"] = "token"
	document, _ := json.Marshal(map[string]any{"whisk": secret})
	secrets := filepath.Join(t.TempDir(), "secrets.json")
	if err := os.WriteFile(secrets, document, 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, func(c *local.Config) { c.SecretsFile, c.AllowPrivate, c.TokenLifetime = secrets, true, 0 })
	tab := b.tab(t)
	tab.connect(r, "whisk", "cook", "approve")
	tab.has(".notice.good")
	if c := r.control(t, "get", "cook", "whisk").Connection; c == nil || c.Status != connection.Active || c.ExpiresAt == 0 {
		t.Errorf("connection = %+v, want it active, with an end", c)
	}
	tokens := sim.Ledger("whisk").LiveAccessTokens
	if len(tokens) != 1 || tab.token(r, "whisk", "cook") != tokens[0] {
		t.Errorf("the token that is stored is not the one of %d that the provider gave", len(tokens))
	}
	tab.forgot(tokens[0], "access_token")

	still := b.tab(t) // without script nothing can be done, and the page says what
	still.begin(r, "whisk", "still")
	still.withoutScript()
	still.click("#approve")
	still.reads("One moment", "allow JavaScript")
	if got := r.control(t, "get", "still", "whisk"); got.Error == nil || got.Error.Type != "not_found" {
		t.Errorf("connection = %+v, want none", got.Connection)
	}
}

// forgot checks that no text stands in the history of the tab.
func (b tab) forgot(texts ...string) {
	b.t.Helper()
	history, err := chromedp.Call(b.ctx, page.GetNavigationHistory, cdp.Empty{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range history.Entries {
		for _, text := range texts {
			if strings.Contains(e.URL+e.UserTypedURL+e.Title, text) {
				b.t.Errorf("the browser's history keeps %s: %s", text, e.URL)
			}
		}
	}
}

// WHCC's answer is the credential itself, by the query. Where no host is gone
// back to, the page that stays is at a URL without it, and so is the history.
func testWhData(t *testing.T, b browser) {
	var dir string
	r := start(t, in(&dir))
	tab := b.tab(t)
	tab.open(r.plainLink(t, dir, "whcc", "studio"))
	tab.decide("whcc", "approve")
	clean := regexp.MustCompile(`^` + regexp.QuoteMeta(r.URL) + `/callback/whcc\?state=[A-Za-z0-9_-]{43}$`)
	shows := func(what string) {
		t.Helper()
		tab.reads("WHCC is connected", "You can close this window", "Connection studio")
		if at := read(tab, "look at the address", chromedp.Location()); !clean.MatchString(at) {
			t.Errorf("%s the address is %s", what, at)
		}
	}
	shows("at the end")
	tab.do("load again", chromedp.Reload())
	shows("loaded again")
	tab.do("go back", chromedp.NavigateBack())
	tab.has("body.whcc")
	tab.do("go forward", chromedp.NavigateForward())
	shows("back and forward")
	tab.forgot("whData", "token")
}
