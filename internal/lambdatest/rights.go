package lambdatest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/evergrant/evergrant/internal/template"
)

// master is the access key ID of the tests themselves, which may do everything.
const master = "test"

// rights are what template.yaml allows, and what of it was used by now.
type rights struct {
	stack *template.Stack
	// parts are the rights of each caller, by access key ID: a function has that of
	// its role under its name, and each managed policy for the host is a caller too.
	parts map[string]map[string]template.Policy
	told  map[string]map[string]string // variables of each caller, as the template names things

	mu   sync.Mutex
	used map[string]bool // "function right"
}

// deployed are the rights in this process, of a stack with fan-out and an event bus.
var deployed = sync.OnceValues(func() (*rights, error) {
	stack, err := template.Render(root+"/template.yaml", map[string]string{"FanOut": "true", "EventBus": "host"})
	if err != nil {
		return nil, fmt.Errorf("read rights: %w", err)
	}
	r := &rights{stack: stack, parts: map[string]map[string]template.Policy{}, told: map[string]map[string]string{}, used: map[string]bool{}}
	everything := map[string]string{}
	for function := range timeouts {
		policy, err := stack.Policy(stack.Role(function))
		if err != nil {
			return nil, fmt.Errorf("read rights of %s: %w", function, err)
		}
		r.parts[function], r.told[function] = policy.Rights(), stack.Variables(function)
		maps.Copy(everything, r.told[function])
	}
	for _, id := range []string{"ReaderPolicy", "TenantReaderPolicy"} {
		policy, err := stack.Policy(id)
		if err != nil {
			return nil, fmt.Errorf("read rights: %w", err)
		}
		r.parts[id], r.told[id] = policy.Rights(), everything
	}
	return r, nil
})

// Unused returns the rights of all functions that no call of this process has
// needed, "function right", sorted: nil where there was no World at all.
func Unused() []string {
	r, err := deployed()
	if err != nil {
		return []string{err.Error()}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var unused []string
	for function := range timeouts {
		for right := range r.parts[function] {
			if !r.used[function+" "+right] {
				unused = append(unused, function+" "+right)
			}
		}
	}
	if len(r.used) == 0 {
		return nil
	}
	slices.Sort(unused)
	return unused
}

// Rights returns what a function may do, as Withhold names it, and of that what it
// has used in this world; both sorted.
func (w *World) Rights(function string) (all, used []string) {
	w.guard.mu.Lock()
	defer w.guard.mu.Unlock()
	all = slices.Sorted(maps.Keys(w.guard.rights.parts[function]))
	for _, right := range all {
		if w.guard.used[function+" "+right] {
			used = append(used, right)
		}
	}
	return all, used
}

// Withhold takes a right from a function, such as "dynamodb:GetItem on
// table/stack-StateTable", as if the template did not give it, until what it returns
// was called as often.
func (w *World) Withhold(function, right string) (giveBack func()) {
	w.guard.withhold(function+" "+right, 1)
	return func() { w.guard.withhold(function+" "+right, -1) }
}

// Missed returns how many calls were refused for want of a right that was withheld.
func (w *World) Missed() int {
	w.guard.mu.Lock()
	defer w.guard.mu.Unlock()
	return w.guard.missed
}

// A guard stands before the services of a World as IAM does: each caller does what
// its role in template.yaml allows. What the template names is found by the settings,
// so that a setting which names another table than the policy is refused.
type guard struct {
	rights *rights

	mu        sync.Mutex
	variables map[string]string // the name of each setting that names something, by its value
	withheld  map[string]int    // how often, by "function right"
	used      map[string]bool   // "function right"
	refused   []string          // calls of functions that the template does not allow
	missed    int
}

// naming are the settings whose value names something, or begins its name.
var naming = []string{"CONNECTIONS_TABLE", "STATE_TABLE", "SEAL_SECRET", "CONNECT_SECRET", "PROVIDER_SECRETS", "RESCUE_SECRETS", "SHARD_QUEUE_URL", "EVENT_BUS"}

// newGuard returns the guard of a World. When t ends it fails t for what a function
// was refused.
func newGuard(t testing.TB) *guard {
	t.Helper()
	r, err := deployed()
	if err != nil {
		t.Fatal(err)
	}
	g := &guard{rights: r, variables: map[string]string{}, withheld: map[string]int{}, used: map[string]bool{}}
	t.Cleanup(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		slices.Sort(g.refused)
		for _, call := range slices.Compact(g.refused) {
			t.Errorf("%s, by template.yaml", call)
		}
	})
	return g
}

func (g *guard) withhold(right string, times int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.withheld[right] += times
}

// know makes value what the setting name says.
func (g *guard) know(name, value string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if value != "" && slices.Contains(naming, name) {
		g.variables[value] = name
	}
}

// named returns what the template calls what has another name here, for a caller:
// as the caller's own settings say. The caller of named has locked g.
func (g *guard) named(caller string) func(string) string {
	return func(name string) string {
		for value, variable := range g.variables {
			rest, ok := strings.CutPrefix(name, value)
			told := g.rights.told[caller][variable]
			if ok && told != "" && (rest == "" || strings.HasSuffix(value, "/")) {
				return told + rest
			}
		}
		return name
	}
}

// admits says why the caller may not send a request, "" where it may, and returns
// the body to send: of a list of secrets those that it may read. The access key ID
// of a caller that bears the tag connection_id ends in a colon and its value.
func (g *guard) admits(r *http.Request, body []byte) (passed []byte, refusal string) {
	caller, _, err := template.Signer(r.Header)
	if err == nil && caller == master {
		return body, ""
	}
	caller, tag, tagged := strings.Cut(caller, ":")
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []template.Call
	if err == nil {
		list, err = g.rights.stack.Calls(r, body, g.named(caller))
	}
	if err != nil {
		refusal = fmt.Sprintf("%s sends what is no call: %v", caller, err)
		g.complain(caller, refusal)
		return nil, refusal
	}
	for i := range list {
		if tagged && list[i].Context != nil {
			list[i].Context["aws:PrincipalTag/connection_id"] = []string{tag}
		}
	}
	if list[0].Action == "secretsmanager:BatchGetSecretValue" && g.allows(caller, list[0]) == "" {
		return g.readable(caller, body, list[1:]), ""
	}
	for _, c := range list {
		if refusal := g.allows(caller, c); refusal != "" {
			return nil, refusal
		}
	}
	return body, ""
}

// allows says why a caller may not make a call, "" where it may, and remembers that.
func (g *guard) allows(caller string, c template.Call) (refusal string) {
	allowed, missed := false, false
	for right, part := range g.rights.parts[caller] {
		if !part.Allows(c) {
			continue
		}
		if g.withheld[caller+" "+right] > 0 {
			missed = true
			continue
		}
		allowed = true
		g.used[caller+" "+right] = true
		g.rights.use(caller + " " + right)
	}
	if allowed {
		return ""
	}
	refusal = fmt.Sprintf("%s may not %s on %s", caller, c.Action, c.Resource)
	if missed {
		g.missed++
	} else {
		g.complain(caller, refusal)
	}
	return refusal
}

// complain keeps a refusal that fails the test: of anybody but those whom a test lets
// try what they may not do, which are the callers with a policy for the host.
func (g *guard) complain(caller, refusal string) {
	_, isFunction := timeouts[caller]
	if isFunction || g.rights.parts[caller] == nil {
		g.refused = append(g.refused, refusal)
	}
}

func (r *rights) use(right string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used[right] = true
}

// readable returns the body of a BatchGetSecretValue without the secrets that the
// caller may not read: list has the call for each. Secrets Manager leaves them out.
func (g *guard) readable(caller string, body []byte, list []template.Call) []byte {
	var in struct{ SecretIdList []string }
	_ = json.Unmarshal(body, &in) // it was read before
	for i := range in.SecretIdList {
		if g.allows(caller, list[i]) != "" {
			in.SecretIdList[i] = "not-allowed" // there is no such secret
		}
	}
	out, _ := json.Marshal(in) // strings always marshal
	return out
}

// refuse answers as AWS does where IAM says no (CommonErrors of each service's API
// reference, 2026-11-23). The SDK does not try again.
func refuse(rw http.ResponseWriter, refusal string) {
	rw.Header().Set("Content-Type", "application/x-amz-json-1.1")
	rw.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(rw).Encode(map[string]string{"__type": "AccessDeniedException", "message": "User: " + refusal})
}

// Guarded returns a service of the test's own behind what the template allows.
func (w *World) Guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(rw, "the request cannot be read", http.StatusBadRequest)
			return
		}
		body, refusal := w.guard.admits(r, body)
		if refusal != "" {
			refuse(rw, refusal)
			return
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		next.ServeHTTP(rw, r)
	})
}
