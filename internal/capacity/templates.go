package capacity

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/evergrant/evergrant/internal/template"
)

// The templates, in the folder of the repository.
const (
	stackFile = "template.yaml"
	edgeFile  = "docs/edge.yaml"
)

// Templates are what the templates say of cost.
type Templates struct {
	path       string
	Parameters map[string][]string // names, sorted, by file
	defaults   map[string]string   // of the stack's parameters
	webRules   int                 // of the overlay's web ACL
	there      map[string]Usage    // what a parameter that is on puts there, by its name
	memory     float64             // MB of the two public functions
}

// on are the values with which a parameter is on.
var on = map[string]string{"Alarms": "true", "Dashboard": "true", "Tracing": "Active", "EventBus": "default", "FanOut": "true"}

// ReadTemplates reads the templates of the repository in dir.
func ReadTemplates(dir string) (Templates, error) {
	t := Templates{path: filepath.Join(dir, stackFile), Parameters: map[string][]string{}, defaults: map[string]string{}}
	stack, err := template.Document(t.path)
	if err != nil {
		return Templates{}, err
	}
	edge, err := template.Document(filepath.Join(dir, edgeFile))
	if err != nil {
		return Templates{}, err
	}
	for file, doc := range map[string]any{stackFile: stack, edgeFile: edge} {
		t.Parameters[file] = slices.Sorted(maps.Keys(fields(doc, "Parameters")))
	}
	for name, p := range fields(stack, "Parameters") {
		t.defaults[name] = fmt.Sprint(fields(p)["Default"])
	}
	rules, _ := fields(edge, "Resources", "WebAcl", "Properties")["Rules"].([]any)
	t.webRules = len(rules)
	t.memory, err = strconv.ParseFloat(fmt.Sprint(fields(stack, "Globals", "Function")["MemorySize"]), 64)
	if err != nil || t.webRules == 0 {
		return Templates{}, fmt.Errorf("the templates have %d rules of a web ACL and the memory %w", t.webRules, err)
	}
	return t, t.read()
}

// read finds out what each parameter of on puts into the stack. Alarms are on
// with the others, which have some of their own.
func (t *Templates) read() error {
	t.there = map[string]Usage{}
	less := map[string]string{"Alarms": "false"}
	for _, name := range slices.Sorted(maps.Keys(on)) { // Alarms first
		with, err := t.count(map[string]string{name: on[name]})
		if err != nil {
			return err
		}
		without, err := t.count(less)
		if err != nil {
			return err
		}
		with.add(without, -1)
		t.there[name], less = with, nil
	}
	return nil
}

// fields returns the mapping under the keys of node, nil where there is none.
func fields(node any, keys ...string) map[string]any {
	m, _ := template.At(node, keys...).(map[string]any)
	return m
}

// number returns the default of a parameter of the stack.
func (t Templates) number(parameter string) (float64, error) {
	n, err := strconv.ParseFloat(t.defaults[parameter], 64)
	if err != nil {
		return 0, fmt.Errorf("default of %s: %w", parameter, err)
	}
	return n, nil
}

// count returns how much of the stack with some parameters is billed for being
// there. An alarm that looks at several metrics is billed for each.
func (t Templates) count(parameters map[string]string) (Usage, error) {
	stack, err := template.Render(t.path, parameters)
	if err != nil {
		return nil, err
	}
	u := Usage{}
	for _, r := range stack.Resources {
		switch r["Type"] {
		case "AWS::CloudWatch::Dashboard":
			u[Dashboards]++
		case "AWS::CloudWatch::Alarm":
			metrics, several := fields(r, "Properties")["Metrics"].([]any)
			if !several {
				u[AlarmMetrics]++
			}
			for _, m := range metrics {
				if fields(m, "MetricStat") != nil {
					u[AlarmMetrics]++
				}
			}
		}
	}
	return u, nil
}
