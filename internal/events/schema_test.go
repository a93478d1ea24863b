package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const schemas = "../../events/schemas/"

// tableARN is that of a connections table.
const tableARN = "arn:aws:dynamodb:eu-central-1:123456789012:table/evergrant-ConnectionsTable-1A2B3C"

// allKinds are all kinds.
var allKinds = []Kind{Connected, Reconnected, Degraded, Recovered, ReauthorizationRequired, Expiring, Disconnected}

// schemaName returns what the schema of k is called, in its file and its $id.
func schemaName(k Kind) string { return strings.ToLower(strings.ReplaceAll(string(k), " ", "-")) }

// A set is what one folder of events/schemas holds.
type set struct {
	kinds  map[Kind]*jsonschema.Schema
	fields map[string]bool // members that a detail may have, those of failure as failure.code
}

// sets are all sets, the latest one last.
var sets = sync.OnceValues(func() (all []set, err error) {
	folders, err := os.ReadDir(schemas)
	if err != nil {
		return nil, err
	}
	for i := range folders { // 1, 2, 3: a number that is missing is an error
		one, err := readSet(strconv.Itoa(i + 1))
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
})

// readSet reads the set of the given number, which may be older than some kinds.
// Of references it knows those by the $id of another schema of the set.
func readSet(number string) (s set, err error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	id := func(name string) string { return "urn:evergrant:event:" + number + ":" + name }
	files, err := filepath.Glob(filepath.Join(schemas, number, "*.json"))
	if err != nil {
		return s, err
	}
	there := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		there[name] = true
		b, err := os.ReadFile(file)
		if err != nil {
			return s, err
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			return s, err
		}
		if members, _ := document.(map[string]any); members["$id"] != id(name) {
			return s, fmt.Errorf("$id of %s in set %s is %v, want %s", name, number, members["$id"], id(name))
		}
		if err := c.AddResource(id(name), document); err != nil {
			return s, err
		}
	}
	s.kinds, s.fields = map[Kind]*jsonschema.Schema{}, map[string]bool{}
	for _, k := range allKinds {
		if !there[schemaName(k)] {
			continue
		}
		if s.kinds[k], err = c.Compile(id(schemaName(k))); err != nil {
			return s, err
		}
	}
	common, err := c.Compile(id("connection"))
	if err != nil {
		return s, err
	}
	for name, member := range common.Properties {
		s.fields[name] = true
		for inner := range member.Properties {
			s.fields[name+"."+inner] = true
		}
	}
	return s, nil
}

// latest returns the latest set, which has a schema of each kind.
func latest(t *testing.T) set {
	t.Helper()
	all, err := sets()
	if err != nil {
		t.Fatal(err)
	}
	s := all[len(all)-1]
	if len(s.kinds) != len(allKinds) {
		t.Fatalf("the latest set has %d schemas, and there are %d kinds", len(s.kinds), len(allKinds))
	}
	return s
}

// validate checks that the host gets of e what the schema of its kind says, in
// every set, since hosts go on with an older one; and nothing that the latest
// does not name.
func validate(t *testing.T, e Event) {
	t.Helper()
	detail, err := e.Detail()
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := json.Marshal(map[string]any{"source": "evergrant", "detail-type": e.Kind, "resources": []string{tableARN}, "detail": json.RawMessage(detail)})
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(envelope))
	if err != nil {
		t.Fatal(err)
	}
	known := latest(t).fields
	all, _ := sets()
	for i, s := range all {
		for k, schema := range s.kinds {
			if err := schema.Validate(document); (err == nil) != (k == e.Kind) {
				t.Errorf("set %d: %s is taken for %s: %v\n%s", i+1, e.Kind, k, err, detail)
			}
		}
	}
	var members map[string]any
	if err := json.Unmarshal(detail, &members); err != nil {
		t.Fatal(err)
	}
	for name, value := range members {
		if !known[name] {
			t.Errorf("%s has %s, which its schema does not name", e.Kind, name)
		}
		inner, _ := value.(map[string]any)
		for member := range inner {
			if !known[name+"."+member] {
				t.Errorf("%s has %s.%s, which its schema does not name", e.Kind, name, member)
			}
		}
	}
}

// whole returns a detail that has every member.
func whole(t *testing.T) (detail map[string]any) {
	t.Helper()
	e := newEvent(ReauthorizationRequired, ending(marked(claimed(connected())), noon.Add(day)))
	e.ReconnectURL, e.ReconnectExpiresAt = "https://connect.example.com/authorize/whatnot?ticket=x", noon
	b, err := e.Detail()
	if err == nil {
		err = json.Unmarshal(b, &detail)
	}
	if err != nil {
		t.Fatal(err)
	}
	return detail
}

// A schema that lets everything through would prove nothing.
func TestASchemaRefusesWhatIsNoSuchEvent(t *testing.T) {
	all, err := sets()
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range all {
		check := func(d map[string]any, resources any) error {
			b, _ := json.Marshal(map[string]any{"source": "evergrant", "detail-type": ReauthorizationRequired, "resources": resources, "detail": d})
			document, _ := jsonschema.UnmarshalJSON(bytes.NewReader(b))
			return s.kinds[ReauthorizationRequired].Validate(document)
		}
		if err := check(whole(t), []string{"arn:aws:cloudformation:eu-central-1:123456789012:stack/one/1", tableARN}); err != nil {
			t.Fatal(err)
		}
		for what, spoil := range spoils(s) {
			d := whole(t)
			if spoil(d); check(d, []string{tableARN}) == nil {
				t.Errorf("set %d: %s passes", i+1, what)
			}
		}
		for _, resources := range []any{nil, "", tableARN, []string{}, []string{"one"}, []string{tableARN + "/stream/2026-01-15T10:00:00.000"}} {
			if check(whole(t), resources) == nil {
				t.Errorf("set %d: the resources %q pass", i+1, resources)
			}
		}
	}
}

// spoils returns what makes a whole detail none.
func spoils(s set) map[string]func(map[string]any) {
	all := map[string]func(map[string]any){
		"an ID in capitals":            func(d map[string]any) { d["id"] = strings.ToUpper("0123456789abcdef0123456789abcdef") },
		"another version":              func(d map[string]any) { d["version"] = 2 },
		"another status":               func(d map[string]any) { d["connection_status"] = "active" },
		"a fence below 0":              func(d map[string]any) { d["fence"] = -1 },
		"a time in seconds":            func(d map[string]any) { d["at"] = 1768478400 },
		"a time that is none":          func(d map[string]any) { d["at"] = "noon" },
		"a link without an end":        func(d map[string]any) { delete(d, "reconnect_expires_at") },
		"an end without a link":        func(d map[string]any) { delete(d, "reconnect_url") },
		"a space in the connection ID": func(d map[string]any) { d["connection_id"] = "a b" },
	}
	at := func(d map[string]any, name string) (map[string]any, string) {
		if inner, ok := strings.CutPrefix(name, "failure."); ok {
			return d["failure"].(map[string]any), inner
		}
		return d, name
	}
	for name := range s.fields {
		all["an empty list for "+name] = func(d map[string]any) { in, name := at(d, name); in[name] = []string{} }
	}
	for _, name := range []string{
		"id", "version", "connection_id", "provider", "connection_status", "fence", "at",
		"failure", "failure.code", "failure.count", "failure.since", "failure.reason",
	} {
		all["no "+name] = func(d map[string]any) { in, name := at(d, name); delete(in, name) }
	}
	return all
}
