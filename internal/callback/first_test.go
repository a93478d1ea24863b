package callback

import (
	"net/url"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/simulator"
	"github.com/evergrant/evergrant/internal/web"
)

// The first outcome stands, whatever the same browser comes with later. It is
// told of in one line of the log, and the reference of every page finds that.
func TestAnOutcomeIsToldOfOnce(t *testing.T) {
	code := url.Values{"code": {"another"}}
	denied := url.Values{"error": {"access_denied"}}
	broken := url.Values{"error": {"server_error"}}
	tests := []struct {
		name   string
		answer simulator.Answer // of the token endpoint
		first  url.Values       // nil: the user approves
		result connection.Outcome
		shown  web.Text // "" as the type: the page of the result
	}{
		{"a denial", simulator.Answer{}, denied, connection.Denied, web.Text{}},
		{"the provider's error", simulator.Answer{}, broken, connection.Failed, web.Text{}},
		{"a code beside a denial", simulator.Answer{}, url.Values{"error": {"access_denied"}, "code": {"a"}}, connection.Failed, web.Text{}},
		{"a failed exchange", simulator.Answer{Status: 400, Body: `{"error":"invalid_grant"}`}, nil, connection.Failed, web.Text{}},
		{"an exchange without an answer", simulator.Answer{Drop: true}, nil, connection.Failed, web.Text{}},
		{"our client credentials refused", simulator.Answer{Status: 401, Body: `{"error":"invalid_client"}`}, nil, connection.Failed, web.NotConfigured},
		{"a connection", simulator.Answer{}, nil, connection.Connected, web.Text{}},
	}
	for _, tt := range tests {
		for _, change := range []func(*authrequest.Request){nil, noReturn} {
			t.Run(tt.name, func(t *testing.T) {
				w := newWorld(t)
				f := w.start("whiplash", change)
				approved := w.approve(f)
				if tt.answer.Status != 0 || tt.answer.Drop {
					w.sim.Answer("whiplash", tt.answer)
				}
				first := approved
				if tt.first != nil {
					first = tt.first
				}
				line := ""
				for i, q := range []url.Values{first, first, approved, code, denied, broken} {
					again := url.Values{"state": {f.State}}
					for name := range q {
						again.Set(name, q.Get(name))
					}
					resp := w.handle(w.callback(f, again))
					switch {
					case tt.shown.Type != "":
						w.shows(resp, web.Problem(asked(f, f.Reference()), tt.shown))
					case f.ReturnTo != "":
						w.returns(resp, f, string(tt.result))
					case tt.result == connection.Failed:
						w.shows(resp, web.Problem(asked(f, f.Reference()), web.ProviderFailed))
					}
					if i == 0 {
						line = w.printed.String()
					}
				}
				if w.printed.String() != line || strings.Count(line, "\n") != 1 || !strings.Contains(line, `"reference":"`+f.Reference()+`"`) {
					t.Errorf("the log is %s", w.printed.String())
				}
			})
		}
	}
}
