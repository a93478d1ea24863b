package recipes

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/evergrant/evergrant/internal/template"
)

// stack is what template.yaml deploys.
var stack = sync.OnceValues(func() (*template.Stack, error) { return template.Render(root+"/template.yaml", nil) })

// allowing serves the programs of README.md as far as the managed policies of
// template.yaml allow each of their requests. A request that none does fails t. Our
// own functions, which sign with another key, have roles of their own.
func allowing(t *testing.T, table string, next http.Handler, policies ...string) http.Handler {
	t.Helper()
	s, err := stack()
	if err != nil {
		t.Fatal(err)
	}
	var all []template.Policy
	for _, id := range policies {
		p, err := s.Policy(id)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	named := map[string]string{"connect": fmt.Sprint(s.Outputs["ConnectSecretArn"]), "connections": fmt.Sprint(s.Outputs["ConnectionsFunctionArn"]), table: fmt.Sprint(s.Outputs["ConnectionsTableName"])}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		caller, _, _ := template.Signer(r.Header)
		if caller != programKey {
			next.ServeHTTP(w, r)
			return
		}
		calls, err := s.Calls(r, body, func(name string) string {
			if real, ok := named[name]; ok {
				return real
			}
			return name
		})
		refused := err
		for _, c := range calls {
			if !slices.ContainsFunc(all, func(p template.Policy) bool { return p.Allows(c) }) {
				refused = fmt.Errorf("%s of %s %v", c.Action, c.Resource, c.Context)
			}
		}
		if refused != nil {
			t.Errorf("%s does not allow %v", strings.Join(policies, " and "), refused)
			w.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
			http.Error(w, `{"__type":"AccessDeniedException"}`, http.StatusBadRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
