package architecture

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// A Theme is the colours of a picture.
type Theme struct {
	Page, Box, Line, Wire, Text, Faint string
	Read, Write, Both, Other           string
}

// Pictures are the files that `make docs` writes, from the folder of the
// repository.
var Pictures = map[string]Theme{
	"docs/architecture.svg": {
		Page: "#ffffff", Box: "#f6f8fa", Line: "#c9d1d9", Wire: "#c3ccd5", Text: "#1f2328", Faint: "#59636e",
		Read: "#0969da", Write: "#bc4c00", Both: "#8250df", Other: "#1a7f37",
	},
	"docs/architecture-dark.svg": {
		Page: "#0d1117", Box: "#171d26", Line: "#3d444d", Wire: "#39424d", Text: "#f0f6fc", Faint: "#9aa4af",
		Read: "#58a6ff", Write: "#f0883e", Both: "#bc8cff", Other: "#56d364",
	},
}

// The places of the columns, in pixels.
const (
	margin      = 20
	callerLeft  = margin
	callerWidth = 112
	entryLeft   = 164
	entryWidth  = 146
	actorLeft   = 342
	actorWidth  = 118
	gridLeft    = 482
	column      = 74
	headTop     = 52
	headHeight  = 76
	rowsTop     = 158
	rowHeight   = 66
	boxHeight   = 48
	roleHeight  = 60
)

// A drawing is a picture under way.
type drawing struct {
	out strings.Builder
	Diagram
	ink  Theme
	rows map[string]int // the middle of each actor's row
	end  int            // of the last row
}

// SVG returns the picture.
func (d Diagram) SVG(t Theme) string {
	p := &drawing{Diagram: d, ink: t, rows: map[string]int{}}
	y := rowsTop
	for _, a := range d.Functions {
		p.rows[a.ID] = y + rowHeight/2
		y += rowHeight
	}
	y += 44
	for _, a := range d.Yours {
		p.rows[a.ID] = y + roleHeight/2
		y += roleHeight
	}
	p.end = y
	width, height := gridLeft+column*len(d.Stores)+margin, y+74
	p.put(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="title about" font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif">`, width, height)
	p.put(`<title id="title">Architecture of Evergrant</title>`)
	p.put(`<desc id="about">%s</desc>`, html.EscapeString(d.words()))
	p.put(`<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0.5 L7.5 4 L0 7.5 z" fill="%s"/></marker></defs>`, t.Faint)
	p.put(`<rect width="%d" height="%d" rx="12" fill="%s"/>`, width, height, t.Page)
	p.wires()
	p.stores()
	p.entries()
	p.functions()
	p.roles()
	p.pills()
	p.legend(y + 22)
	p.put(`</svg>`)
	return p.out.String()
}

// words is the picture in words, for who cannot see it.
func (d Diagram) words() string {
	var all strings.Builder
	for _, a := range slices.Concat(d.Functions, d.Yours) {
		fmt.Fprintf(&all, "%s: %s", a.Name, strings.ToLower(a.About[:1])+strings.TrimSuffix(a.About[1:], "."))
		for _, u := range d.Uses {
			if u.Actor == a.ID {
				fmt.Fprintf(&all, "; %s %s", u.What, u.Store)
			}
		}
		all.WriteString(". ")
	}
	return strings.TrimSpace(all.String())
}

// put writes one element.
func (p *drawing) put(format string, args ...any) {
	fmt.Fprintf(&p.out, format+"\n", args...)
}

// box draws a rectangle, with a dashed line where a parameter asks for what it is.
func (p *drawing) box(x, y, w, h int, optional bool, fill string) {
	dash := ""
	if optional {
		dash = ` stroke-dasharray="5 4"`
	}
	p.put(`<rect x="%d" y="%d" width="%d" height="%d" rx="7" fill="%s" stroke="%s"%s/>`, x, y, w, h, fill, p.ink.Line, dash)
}

// text writes a line around (x, y); anchor is start or middle.
func (p *drawing) text(x, y, size int, anchor, weight, colour, s string) {
	p.put(`<text x="%d" y="%d" font-size="%d" text-anchor="%s" font-weight="%s" fill="%s">%s</text>`, x, y, size, anchor, weight, colour, html.EscapeString(s))
}

func (p *drawing) arrow(x1, y1, x2, y2 int) {
	p.put(`<path d="M%d %d L%d %d" stroke="%s" stroke-width="1.4" fill="none" marker-end="url(#arrow)"/>`, x1, y1, x2, y2, p.ink.Faint)
}

// at returns the middle of a store's column.
func (p *drawing) at(store string) int {
	i := slices.IndexFunc(p.Stores, func(s Store) bool { return s.ID == store })
	return gridLeft + i*column + column/2
}

// drawn reports whether a use is a crossing of the grid.
func (p *drawing) drawn(u Use) bool {
	return p.rows[u.Actor] > 0 && slices.ContainsFunc(p.Stores, func(s Store) bool { return s.ID == u.Store })
}

// wires draws a line down from each store and one to the right from each actor, as
// far as something hangs on them.
func (p *drawing) wires() {
	down, right := map[string]int{}, map[string]int{}
	for _, u := range p.Uses {
		if p.drawn(u) {
			down[u.Store] = max(down[u.Store], p.rows[u.Actor])
			right[u.Actor] = max(right[u.Actor], p.at(u.Store))
		}
	}
	for _, s := range p.Stores {
		p.put(`<path d="M%d %d V%d" stroke="%s" stroke-width="1.4"/>`, p.at(s.ID), headTop+headHeight, down[s.ID], p.ink.Wire)
	}
	for _, a := range slices.Concat(p.Functions, p.Yours) {
		p.put(`<path d="M%d %d H%d" stroke="%s" stroke-width="1.4"/>`, actorLeft+actorWidth, p.rows[a.ID], right[a.ID], p.ink.Wire)
	}
}

// stores draws the heads of the columns, and a bracket over those of one service.
func (p *drawing) stores() {
	for i := 0; i < len(p.Stores); {
		n := i
		for n < len(p.Stores) && p.Stores[n].Service == p.Stores[i].Service {
			n++
		}
		left, right := gridLeft+i*column+4, gridLeft+n*column-4
		p.text((left+right)/2, 30, 11, "middle", "600", p.ink.Faint, p.Stores[i].Service)
		p.put(`<path d="M%d 43 V38 H%d V43" fill="none" stroke="%s"/>`, left, right, p.ink.Line)
		i = n
	}
	for _, s := range p.Stores {
		x := p.at(s.ID)
		p.put(`<g><title>%s</title>`, html.EscapeString(s.ID))
		p.box(x-column/2+4, headTop, column-8, headHeight, s.Optional, p.ink.Box)
		p.icon(x, headTop+20, s)
		for line, word := range s.Title {
			p.text(x, headTop+48+line*13, 10, "middle", "500", p.ink.Text, word)
		}
		p.put(`</g>`)
	}
}

// icons are drawn around (0, 0), 24 pixels high, as strokes.
var icons = map[string]string{ //nolint:gosec // Paths of an SVG, also for Secrets Manager.
	"DynamoDB":        `M-9 -7 A9 3.5 0 0 1 9 -7 A9 3.5 0 0 1 -9 -7 V8 A9 3.5 0 0 0 9 8 V-7 M-9 0.5 A9 3.5 0 0 0 9 0.5`,
	"Secrets Manager": `M-1 0 A5 5 0 1 1 -11 0 A5 5 0 1 1 -1 0 M-1 0 H11 V5 M6 0 V4`,
	"SQS":             `M-10 -6 H-4 V6 H-10 z M-2 -6 H4 V6 H-2 z M7 0 H13 M10 -3 L13 0 L10 3`,
	"EventBridge":     `M0 -9 V9 M-9 0 H9 M-6.5 -6.5 L6.5 6.5 M6.5 -6.5 L-6.5 6.5`,
	"Internet":        `M-9 0 A9 9 0 1 1 9 0 A9 9 0 1 1 -9 0 M-9 0 H9 M0 -9 C6 -4 6 4 0 9 M0 -9 C-6 -4 -6 4 0 9`,
}

func (p *drawing) icon(x, y int, s Store) {
	p.put(`<path transform="translate(%d %d)" d="%s" fill="none" stroke="%s" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round"/>`, x, y, icons[s.Service], p.ink.Faint)
}

// entries draws how each function is called: the API with its routes over all
// that have one, for the others a box of their own.
func (p *drawing) entries() {
	var routes []Actor
	for _, a := range p.Functions {
		if a.Entry.Kind == Route {
			routes = append(routes, a)
		}
	}
	if len(routes) > 0 {
		top, bottom := p.rows[routes[0].ID]-boxHeight/2, p.rows[routes[len(routes)-1].ID]+boxHeight/2
		p.box(callerLeft, top, callerWidth, bottom-top, false, p.ink.Page)
		p.text(callerLeft+callerWidth/2, (top+bottom)/2-2, 14, "middle", "600", p.ink.Text, "Browser")
		p.text(callerLeft+callerWidth/2, (top+bottom)/2+15, 10, "middle", "400", p.ink.Faint, "of a user")
		p.box(entryLeft, top, entryWidth, bottom-top, false, p.ink.Box)
		p.text(entryLeft+entryWidth/2, (top+bottom)/2+4, 14, "middle", "600", p.ink.Text, "HTTP API")
	}
	for _, a := range p.Functions {
		y := p.rows[a.ID]
		p.arrow(entryLeft+entryWidth, y, actorLeft-2, y)
		if a.Entry.Kind == Route {
			p.arrow(callerLeft+callerWidth, y, entryLeft-2, y)
			p.text(entryLeft+entryWidth/2, y+4, 11, "middle", "400", p.ink.Text, a.Entry.Text)
			continue
		}
		p.box(entryLeft, y-boxHeight/2, entryWidth, boxHeight, a.Optional, p.ink.Box)
		title, below := "Schedule", a.Entry.Text
		switch a.Entry.Kind {
		case Stream:
			title, below = "DynamoDB stream", "of "+strings.Join(words(a.Entry.Text), " ")
		case Invoked:
			title, below = "Invoke", "where IAM allows it"
			p.box(callerLeft, y-boxHeight/2, callerWidth, boxHeight, false, p.ink.Page)
			p.text(callerLeft+callerWidth/2, y-2, 12, "middle", "600", p.ink.Text, "Roles of yours")
			p.text(callerLeft+callerWidth/2, y+13, 10, "middle", "400", p.ink.Faint, p.invokers(a.ID))
			p.arrow(callerLeft+callerWidth, y, entryLeft-2, y)
		case Route, Schedule:
		}
		p.text(entryLeft+entryWidth/2, y-2, 12, "middle", "600", p.ink.Text, title)
		p.text(entryLeft+entryWidth/2, y+13, 10, "middle", "400", p.ink.Faint, below)
	}
}

// invokers names the policies that let others call a function.
func (p *drawing) invokers(function string) string {
	var names []string
	for _, u := range p.Uses {
		if u.Store == function && u.What == "invoke" {
			names = append(names, strings.ToLower(strings.TrimSuffix(u.Actor, "Policy")))
		}
	}
	return strings.Join(names, ", ")
}

func (p *drawing) functions() {
	for _, a := range p.Functions {
		y := p.rows[a.ID]
		p.put(`<g><title>%s</title>`, html.EscapeString(a.About))
		p.box(actorLeft, y-boxHeight/2, actorWidth, boxHeight, a.Optional, p.ink.Box)
		p.put(`<rect x="%d" y="%d" width="4" height="%d" rx="2" fill="%s"/>`, actorLeft, y-boxHeight/2+6, boxHeight-12, p.ink.Write)
		p.text(actorLeft+14, y-2, 14, "start", "600", p.ink.Text, a.Name)
		p.text(actorLeft+14, y+14, 10, "start", "400", p.ink.Faint, a.Facts)
		p.put(`</g>`)
	}
}

// roles draws the policies for roles of yours.
func (p *drawing) roles() {
	if len(p.Yours) == 0 {
		return
	}
	p.text(margin, p.rows[p.Yours[0].ID]-roleHeight/2-8, 11, "start", "600", p.ink.Faint, "Roles of yours, each by the ready policy that it has")
	for _, a := range p.Yours {
		y := p.rows[a.ID]
		p.box(margin, y-boxHeight/2, actorLeft+actorWidth-margin, boxHeight, a.Optional, p.ink.Page)
		p.text(margin+14, y+4, 13, "start", "600", p.ink.Text, a.Name)
		lines := wrap(a.About, 50)
		for i, line := range lines {
			p.text(entryLeft+24, y+4+i*13-(len(lines)-1)*13/2, 10, "start", "400", p.ink.Faint, line)
		}
	}
}

// wrap breaks a text into lines of at most n characters.
func wrap(text string, n int) []string {
	var lines []string
	for word := range strings.FieldsSeq(text) {
		if last := len(lines) - 1; last >= 0 && len(lines[last])+1+len(word) <= n {
			lines[last] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}

// colour is that of what an actor may do.
func (p *drawing) colour(what string) string {
	switch {
	case what == "read, write" || strings.Contains(what, "send, receive"):
		return p.ink.Both
	case what == "look":
		return p.ink.Faint
	case strings.Contains(what, "write"):
		return p.ink.Write
	case what == "read" || what == "stream":
		return p.ink.Read
	}
	return p.ink.Other
}

func (p *drawing) pills() {
	for _, u := range p.Uses {
		if p.drawn(u) {
			p.pill(p.at(u.Store), p.rows[u.Actor], u.What)
		}
	}
}

// pill draws what an actor may do where its line meets that of a store.
func (p *drawing) pill(x, y int, what string) {
	lines := strings.Split(what, ", ")
	width, height := 0, 6+13*len(lines)
	for _, line := range lines {
		width = max(width, 16+6*len(line))
	}
	for _, fill := range []string{p.ink.Page, p.colour(what)} {
		opacity := "1"
		if fill != p.ink.Page {
			opacity = "0.15"
		}
		p.put(`<rect x="%d" y="%d" width="%d" height="%d" rx="9" fill="%s" fill-opacity="%s" stroke="%s"/>`, x-width/2, y-height/2, width, height, fill, opacity, p.colour(what))
	}
	for i, line := range lines {
		p.text(x, y+4+i*13-(len(lines)-1)*13/2, 11, "middle", "600", p.colour(what), line)
	}
}

// legend says what the lines mean, and what is not drawn.
func (p *drawing) legend(y int) {
	p.put(`<rect x="%d" y="%d" width="26" height="14" rx="4" fill="none" stroke="%s" stroke-dasharray="5 4"/>`, margin, y, p.ink.Faint)
	p.text(margin+34, y+11, 11, "start", "400", p.ink.Faint, "where a parameter asks for it")
	p.text(margin+222, y+11, 11, "start", "400", p.ink.Faint, "look: sees that it is there, nothing of what is in it")
	p.text(margin, y+34, 11, "start", "400", p.ink.Faint, "Beside this: "+strings.Join(p.Beside, ", ")+". Drawn from template.yaml by make docs.")
}
