package battery

import (
	"net/http"

	"github.com/evergrant/evergrant/internal/canary"
)

// A secret is what nobody may print, with what it is.
type secret struct{ what, value string }

// watch returns what finds the secrets of the case in play.
func (p *player) watch() *canary.Watch {
	w := new(canary.Watch)
	for _, s := range append(p.Provider.private(), p.private...) {
		w.Guard(s.what, s.value)
	}
	return w
}

// leaks returns which secrets stand in an answer or in what was printed. What an
// answer must carry stands in package canary.
func (p *player) leaks(a Answer, lines string) (problems []string) {
	w := p.watch()
	for _, f := range w.FindInAnswer(canary.Answer{Status: a.Status, Header: a.Header, Cookies: a.Cookies, Body: a.Body}) {
		problems = append(problems, "the answer shows the "+f.String())
	}
	for _, line := range a.Cookies { // a new one is nobody else's
		if c, err := http.ParseSetCookie(line); err == nil {
			w.Guard("new cookie", c.Value)
		}
	}
	for _, f := range w.FindInLog(lines) {
		problems = append(problems, "the log shows the "+f.String())
	}
	return problems
}

// leaksNothing notes which secrets stand in text.
func (p *player) leaksNothing(where, text string) {
	for _, f := range p.watch().Find(text) {
		p.problem("the %s show the %s", where, f)
	}
}
