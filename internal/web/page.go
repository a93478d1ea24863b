package web

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"maps"
	"slices"
	"strings"
)

// style is that of every page: one column that fits a phone, light or dark as
// the person has it, without any motion. Tests measure its contrast.
const style = `:root{color-scheme:light dark;--ink:#1b232e;--soft:#525d6b;--paper:#f3f5f7;--card:#fff;--line:#dde3e9;--mark:#a8470f;--tint:#fcece2}
.good{--mark:#17714a;--tint:#e0f2e8}.calm{--mark:#525d6b;--tint:#e9edf1}.waiting{--mark:#2456c8;--tint:#e5ecfc}
@media(prefers-color-scheme:dark){:root{--ink:#e8ecf1;--soft:#a3aebb;--paper:#11151a;--card:#1a2027;--line:#303944;--mark:#f4a577;--tint:#3b261a}
.good{--mark:#53cd92;--tint:#173527}.calm{--mark:#a3aebb;--tint:#2a323c}.waiting{--mark:#8db0ff;--tint:#1e2b4a}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;align-content:center;justify-items:center;gap:1rem;padding:1.25rem;background:var(--paper);color:var(--ink);font:1.0625rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;overflow-wrap:anywhere}
main{width:100%;max-width:30rem;padding:clamp(1.5rem,7vw,2.25rem);background:var(--card);border:1px solid var(--line);border-radius:1rem}
svg{display:block;width:3rem;height:3rem;margin-bottom:1.25rem;color:var(--mark)}circle{fill:var(--tint)}path{fill:none;stroke:currentColor;stroke-width:2;stroke-linecap:round;stroke-linejoin:round}
h1{margin:0 0 .75rem;font-size:1.5rem;line-height:1.25;letter-spacing:-.01em;text-wrap:balance}p{margin:0 0 .75rem;color:var(--soft)}.next{color:var(--ink)}
a,button{display:block;width:100%;margin-top:1.5rem;padding:.75rem 1.25rem;border:1px solid transparent;border-radius:.625rem;background:var(--ink);color:var(--card);font:inherit;font-weight:600;text-align:center;text-decoration:none;cursor:pointer}
:focus-visible{outline:3px solid var(--mark);outline-offset:3px}
dl{display:grid;grid-template-columns:auto 1fr;gap:.375rem 1rem;margin:1.5rem 0 0;padding-top:1.25rem;border-top:1px solid var(--line);font-size:.9375rem}dt{color:var(--soft)}dd{margin:0;font-weight:500}
footer{width:100%;max-width:30rem;text-align:center;font-size:.875rem}footer p{margin:0}
@media(forced-colors:active){circle{fill:Canvas}}`

// signs are drawn beside the title, for the eye alone: the title says it too.
var signs = map[Look]string{
	Good:    "M7.5 12.5l3 3 6-6.5",
	Calm:    "M8 12h8",
	Waiting: "M12 7.5V12l3 2",
	Trouble: "M12 7v6M12 16.5v.01",
}

// page writes t with extra markup at its end. Forms in it may lead to
// formAction, and scripts are those in it.
func page(r Request, t Text, extra, formAction string, scripts ...string) Response {
	say := func(text string) string { return html.EscapeString(r.About.name(text)) }
	var b strings.Builder
	b.WriteString(`<!doctype html><html lang="` + language + `" dir="` + direction + `"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>`)
	b.WriteString(say(t.Title) + `</title><style>` + style + `</style></head><body><main class="` + cmp.Or(string(t.Look), "trouble") + `">`)
	b.WriteString(`<svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="12"/><path d="` + signs[t.Look] + `"/></svg>`)
	b.WriteString(`<h1>` + say(t.Title) + `</h1><p>` + say(t.Detail) + `</p><p class="next">` + say(t.Next) + `</p>` + extra)
	if r.About.Home != "" {
		b.WriteString(`<a href="` + html.EscapeString(r.About.Home) + `/">` + say(backLabel) + `</a>`)
	}
	b.WriteString(facts(r.About) + `</main>`)
	if r.Reference != "" {
		b.WriteString(`<footer><p>` + say(helpText) + `</p><p>` + say(referenceLabel) + html.EscapeString(r.Reference) + `</p></footer>`)
	}
	b.WriteString(`</body></html>`)
	h := headers()
	h["Content-Type"] = "text/html; charset=utf-8"
	h["Content-Security-Policy"] = policy(style, formAction, scripts...)
	return Response{StatusCode: t.Status, Headers: h, Body: b.String()}
}

// facts lists what is connected to what, once that is known.
func facts(a About) string {
	if a.ConnectionID == "" {
		return ""
	}
	var b strings.Builder
	for _, fact := range [][2]string{{hostLabel, a.hostName()}, {connectionLabel, a.ConnectionID}, {providerLabel, a.Provider}} {
		if fact[1] != "" {
			b.WriteString(`<dt>` + html.EscapeString(fact[0]) + `</dt><dd>` + html.EscapeString(fact[1]) + `</dd>`)
		}
	}
	return `<dl>` + b.String() + `</dl>`
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// formTargets are where the forms of our own pages may lead. They post to
// ourselves, but browsers hold the redirect that answers a form to this list
// too (form-action of CSP level 3), and that one goes to the host.
const formTargets = "'self' https: http://localhost:*"

const submitScript = `document.forms[0].submit()`

// PostAgain answers a cross-site post, which carries no Lax cookie, with a page
// that posts fields again to the same path from our own origin.
func PostAgain(fields map[string]string) Response {
	var form strings.Builder
	form.WriteString(`<form method="post">`)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		form.WriteString(`<input type="hidden" name="` + html.EscapeString(name) + `" value="` + html.EscapeString(fields[name]) + `">`)
	}
	form.WriteString(`<button>` + goOnLabel + `</button></form><script>` + submitScript + `</script>`)
	return page(Request{}, continuing, form.String(), formTargets, submitScript)
}

// fragmentScript moves the fragment's parameters into a form of the same names.
const fragmentScript = `for(const[k,v]of new URLSearchParams(location.hash.slice(1))){const i=document.createElement("input");i.type="hidden";i.name=k;i.value=v;document.forms[0].append(i)}history.replaceState(null,"",location.pathname);document.forms[0].submit()`

// PostFragment answers with a page that posts the URL's fragment to the same
// path: the implicit grant's answer never reaches a server by itself. Without
// the script there is nothing to post, so the page has no button.
func PostFragment() Response {
	extra := `<form method="post"></form><script>` + fragmentScript + `</script>`
	return page(Request{}, needsScript, extra, formTargets, fragmentScript)
}
