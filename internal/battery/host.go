package battery

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A call is what the host's backend asks of the control plane, and what it is
// told.
type call struct {
	input func(*flow) map[string]string
	typ   string // of the error; "": there is a connection
	lines int    // in the log; -1: it does not matter
	ends  bool   // it ends the authorization request: it says where the browser goes
	says  string // a member of the connection, as JSON
}

// looksUp has the host look at f's connection, which says a member, as JSON.
func looksUp(says string) call {
	return call{says: says, input: func(f *flow) map[string]string {
		return map[string]string{"action": "get", "connection_id": f.key.ConnectionID, "provider": f.key.Provider}
	}}
}

// completes has the host complete f's connection by the handle that f's browser
// has brought.
func completes(typ string, changes ...func(*flow, map[string]string)) call {
	return call{typ: typ, lines: 1, ends: typ != "handle_used" && typ != "handle_expired" && typ != "invalid_handle", input: func(f *flow) map[string]string {
		input := map[string]string{"action": "complete", "handle": f.handle, "connection_id": f.key.ConnectionID, "provider": f.key.Provider}
		for _, change := range changes {
			change(f, input)
		}
		return input
	}}
}

// refreshes has somebody ask for a refresh of f's connection, and get it.
var refreshes = call{lines: -1, input: func(f *flow) map[string]string {
	return map[string]string{"action": "refresh", "connection_id": f.key.ConnectionID, "provider": f.key.Provider}
}}

// refused is c where it is told of an error, in one line of the log.
func (c call) refused(typ string) call {
	c.typ, c.lines = typ, 1
	return c
}

// named replaces a member of the input.
func named(member, value string) func(*flow, map[string]string) {
	return func(_ *flow, input map[string]string) { input[member] = value }
}

// anothers completes the connection of another user, who is the one signed in.
func anothers(f *flow, input map[string]string) { input["connection_id"] = f.other().key.ConnectionID }

// altered changes the handle.
func altered(change func(string) string) func(*flow, map[string]string) {
	return func(f *flow, input map[string]string) { input["handle"] = change(f.handle) }
}

// call makes one call and checks what it is told.
func (p *player) call(f *flow, number int, c call) {
	input, _ := json.Marshal(c.input(f)) // strings: it cannot fail
	printed := len(p.Log())
	raw, err := p.Invoke(p.ctx, input)
	if err != nil {
		p.stop("step %d, the host: %v", number+1, err)
	}
	lines := p.Log()[printed:]
	p.toldRightly(f, number, c, raw, lines)
	w := p.watch()
	for _, found := range append(w.Find(string(raw)), w.FindInLog(lines)...) {
		p.problem("step %d, the host's answer or its line shows the %s", number+1, found)
	}
}

// toldRightly checks an answer of the control plane, and what was printed.
func (p *player) toldRightly(f *flow, number int, c call, raw []byte, lines string) {
	var told struct {
		Connection map[string]any
		Error      struct{ Type, Detail string }
		ReturnTo   string `json:"return_to"`
	}
	if err := json.Unmarshal(raw, &told); err != nil {
		p.stop("step %d, the host is told %s", number+1, raw)
	}
	returnTo := ""
	if c.ends && !f.way.stays {
		returnTo = f.ReturnTo
	}
	switch n := entries(lines); {
	case told.Error.Type != c.typ || (told.Error.Detail == "") != (c.typ == "") || (told.Connection == nil) != (c.typ != ""):
		p.problem("step %d, the host is told %s, want %q; printed: %s", number+1, raw, c.typ, lines)
	case !strings.Contains(string(raw), c.says):
		p.problem("step %d, the host is told %s, which lacks %s", number+1, raw, c.says)
	case told.ReturnTo != returnTo:
		p.problem("step %d, return_to is %q, want %q", number+1, told.ReturnTo, returnTo)
	case c.lines >= 0 && n != c.lines:
		p.problem("step %d, %d lines were printed of the host's call, want %d: %s", number+1, n, c.lines, lines)
	}
}

// toHost returns what is wrong with an answer that leads to the host with a
// handle, which is the same each time.
func (p *player) toHost(f *flow, a Answer) (problems []string) {
	where, rawQuery, _ := strings.Cut(a.Header["Location"], "?")
	q, err := url.ParseQuery(rawQuery)
	handle := q.Get("handle")
	if err != nil || a.Status != http.StatusSeeOther || where != p.CompletionURL || a.Body != "" || len(q) != 3 ||
		q.Get("connection_id") != f.key.ConnectionID || q.Get("provider") != f.key.Provider || handle == "" || f.handle != "" && f.handle != handle {
		return []string{"the browser is sent to " + a.Header["Location"]}
	}
	if f.handle == "" {
		f.handle = handle
		p.guard("handle", handle)
	}
	return nil
}

// overdue lets the host's time pass.
func overdue(f *flow) {
	if f.Overdue == nil {
		f.wait(10 * time.Minute)
		return
	}
	if err := f.Overdue(f.ctx, "ticket#"+digest(f.jti)); err != nil {
		f.stop("end the time of a held answer: %v", err)
	}
}
