package events

import (
	"encoding/json"
	"path/filepath"
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

// file returns the file of the schema of k.
func file(k Kind) string {
	return schemas + strings.ToLower(strings.ReplaceAll(string(k), " ", "-")) + ".json"
}

var compiled = sync.OnceValues(func() (map[Kind]*jsonschema.Schema, error) {
	all := map[Kind]*jsonschema.Schema{}
	for _, k := range allKinds {
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		path, err := filepath.Abs(file(k))
		if err != nil {
			return nil, err
		}
		if all[k], err = c.Compile(path); err != nil {
			return nil, err
		}
	}
	return all, nil
})

// fields are the members that a detail may have: those that its schema names.
var fields = sync.OnceValues(func() (map[string]bool, error) {
	path, err := filepath.Abs(schemas + "connection.json")
	if err != nil {
		return nil, err
	}
	s, err := jsonschema.NewCompiler().Compile(path)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for name, member := range s.Properties {
		names[name] = true
		for inner := range member.Properties {
			names[name+"."+inner] = true
		}
	}
	return names, nil
})

// validate checks that the host gets of e what the schema of its kind says, and
// nothing that no schema names.
func validate(t *testing.T, e Event) {
	t.Helper()
	detail, err := e.Detail()
	if err != nil {
		t.Fatal(err)
	}
	schema, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := json.Marshal(map[string]any{"source": "evergrant", "detail-type": e.Kind, "resources": []string{tableARN}, "detail": json.RawMessage(detail)})
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(envelope)))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema[e.Kind].Validate(document); err != nil {
		t.Errorf("%s: %v\n%s", e.Kind, err, detail)
	}
	for _, k := range allKinds {
		if k != e.Kind && schema[k].Validate(document) == nil {
			t.Errorf("%s is taken for %s", e.Kind, k)
		}
	}
	known, err := fields()
	if err != nil {
		t.Fatal(err)
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

// A schema that lets everything through would prove nothing.
func TestASchemaRefusesWhatIsNoSuchEvent(t *testing.T) {
	all, err := compiled()
	if err != nil {
		t.Fatal(err)
	}
	good := func() map[string]any {
		var detail map[string]any
		b, _ := newEvent(ReauthorizationRequired, marked(claimed(connected()))).Detail()
		_ = json.Unmarshal(b, &detail)
		return detail
	}
	tests := map[string]func(map[string]any){
		"no ID":                        func(d map[string]any) { delete(d, "id") },
		"an ID in capitals":            func(d map[string]any) { d["id"] = strings.ToUpper("0123456789abcdef0123456789abcdef") },
		"another version":              func(d map[string]any) { d["version"] = 2 },
		"another status":               func(d map[string]any) { d["connection_status"] = "active" },
		"no fence":                     func(d map[string]any) { delete(d, "fence") },
		"a time in seconds":            func(d map[string]any) { d["at"] = 1768478400 },
		"a time that is none":          func(d map[string]any) { d["at"] = "noon" },
		"no reason":                    func(d map[string]any) { delete(d["failure"].(map[string]any), "reason") },
		"a link without an end":        func(d map[string]any) { d["reconnect_url"] = "https://a.example/authorize/whatnot?ticket=x" },
		"a space in the connection ID": func(d map[string]any) { d["connection_id"] = "a b" },
	}
	check := func(d map[string]any, resources any) error {
		b, _ := json.Marshal(map[string]any{"source": "evergrant", "detail-type": ReauthorizationRequired, "resources": resources, "detail": d})
		document, _ := jsonschema.UnmarshalJSON(strings.NewReader(string(b)))
		return all[ReauthorizationRequired].Validate(document)
	}
	if err := check(good(), []string{"arn:aws:cloudformation:eu-central-1:123456789012:stack/one/1", tableARN}); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range tests {
		d := good()
		spoil(d)
		if check(d, []string{tableARN}) == nil {
			t.Errorf("%s passes", name)
		}
	}
	for _, resources := range []any{nil, "", tableARN, []string{}, []string{"one"}, []string{tableARN + "/stream/2026-01-15T10:00:00.000"}} {
		if check(good(), resources) == nil {
			t.Errorf("the resources %q pass", resources)
		}
	}
}
