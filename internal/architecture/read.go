// Package architecture draws the picture of the README: who comes in by which way
// to which function, and what each function, and each role of yours that has one
// of the ready policies, may do with which table, secret, queue and bus.
//
// Everything in it is read from template.yaml: a function that is new is in the
// picture, a right that was taken away is not, and a test fails until `make docs`
// has drawn it again. It shows no order of events; docs/design.md has that.
//
// A new type of resource must be drawn or listed in beside. Colours and sizes are
// in draw.go; there is one picture for light and one for dark pages.
package architecture

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/template"
)

// A Diagram is what the picture shows, in its order.
type Diagram struct {
	Functions []Actor
	Yours     []Actor // roles of others, by the policy that they have
	Stores    []Store
	Uses      []Use
	Beside    []string // what is there and not drawn, such as "6 log groups"
}

// An Actor is a function, or a policy for a role of yours.
type Actor struct {
	ID       string // logical ID
	Name     string
	About    string // its description
	Facts    string // such as "15 s · 512 MB"
	Entry    Entry
	Optional bool // a parameter decides whether it is there
}

// An Entry is how a function is called.
type Entry struct {
	Kind Kind
	Text string // route, rate or table
}

// A Kind is one of the ways to call a function.
type Kind int

// The ways, in the order of the picture.
const (
	Route    Kind = iota // a browser, through the HTTP API
	Schedule             // EventBridge Scheduler
	Invoked              // by roles with a policy that allows it
	Stream               // of a table
)

// A Store is something with content: a table, a secret, secrets below a prefix, a
// queue, a bus, or the providers.
type Store struct {
	ID, Service string
	Title       []string // lines
	Optional    bool
}

// A Use is what an actor may do with a store, such as "read, write".
type Use struct{ Actor, Store, What string }

// The stores that are no resource of the stack.
const (
	clientSecrets = "providers/*"
	rescueSecrets = "rescue/*"
	deadLetters   = "DeadLetters" // all queues of that name
	eventBus      = "EventBus"
	providers     = "Providers"
)

// drawn are the types of resources that have their place in the picture.
var drawn = map[string]string{
	"AWS::DynamoDB::Table":            "DynamoDB",
	"AWS::SecretsManager::Secret":     "Secrets Manager",
	"AWS::SQS::Queue":                 "SQS",
	"AWS::Serverless::Function":       "",
	"AWS::Serverless::HttpApi":        "",
	"AWS::IAM::Role":                  "",
	"AWS::IAM::ManagedPolicy":         "",
	"AWS::Lambda::EventSourceMapping": "",
}

// beside are the types that are counted, in singular and plural.
var beside = map[string][2]string{
	"AWS::Logs::LogGroup":             {"log group", "log groups"},
	"AWS::CloudWatch::Alarm":          {"alarm", "alarms"},
	"AWS::CloudWatch::Dashboard":      {"dashboard", "dashboards"},
	"AWS::ApiGatewayV2::DomainName":   {"domain of your own", "domains"},
	"AWS::ApiGatewayV2::ApiMapping":   {"", ""}, // of that domain
	"AWS::Route53::RecordSet":         {"", ""}, // of that domain
	"AWS::SQS::QueuePolicy":           {"", ""},
	"AWS::CloudWatch::CompositeAlarm": {"composite alarm", "composite alarms"},
}

// A reader holds what is read so far.
type reader struct {
	resources map[string]any
	globals   any
	uses      map[[2]string]map[string]bool // verbs by actor and store
	optional  map[string]bool               // stores that no resource stands for
}

// Read reads the template at path. A type of resource that is neither drawn nor
// counted, and a right on a store that it does not know, are errors.
func Read(path string) (Diagram, error) {
	doc, err := template.Document(path)
	if err != nil {
		return Diagram{}, err
	}
	r := reader{globals: template.At(doc, "Globals", "Function"), uses: map[[2]string]map[string]bool{}, optional: map[string]bool{}}
	r.resources, _ = doc["Resources"].(map[string]any)
	var d Diagram
	counts := map[string]int{}
	for _, id := range slices.Sorted(maps.Keys(r.resources)) {
		kind := fmt.Sprint(template.At(r.resources[id], "Type"))
		service, known := drawn[kind]
		_, counted := beside[kind]
		switch {
		case kind == "AWS::IAM::ManagedPolicy":
			if err := r.policy(id, &d); err != nil {
				return Diagram{}, err
			}
		case kind == "AWS::Serverless::Function":
			if err := r.function(id, &d); err != nil {
				return Diagram{}, err
			}
		case strings.HasSuffix(id, deadLetters):
			continue // one place for all of them
		case service != "":
			d.Stores = append(d.Stores, Store{ID: id, Service: service, Title: words(id), Optional: r.conditional(id)})
		case !known && !counted:
			return Diagram{}, fmt.Errorf("%s is a %s: say in package architecture where it is drawn", id, kind)
		default:
			counts[kind]++
		}
	}
	for kind, name := range beside {
		if n := counts[kind]; n > 0 && name[0] != "" {
			d.Beside = append(d.Beside, fmt.Sprintf("%d %s", n, name[min(n-1, 1)]))
		}
	}
	slices.Sort(d.Beside)
	r.finish(&d)
	return d, nil
}

// function reads one function, its way in and its role.
func (r reader) function(id string, d *Diagram) error {
	properties := template.At(r.resources[id], "Properties")
	setting := func(name string) any {
		if v := template.At(properties, name); v != nil {
			return v
		}
		return template.At(r.globals, name)
	}
	a := Actor{
		ID: id, Name: strings.ToLower(strings.TrimSuffix(id, "Function")), About: sentence(template.At(properties, "Description")),
		Facts: fmt.Sprintf("%v s · %v MB", setting("Timeout"), setting("MemorySize")), Optional: r.conditional(id),
	}
	a.Entry = Entry{Kind: Invoked}
	events, _ := template.At(properties, "Events").(map[string]any)
	for name, event := range events {
		own := template.At(event, "Properties")
		switch template.At(event, "Type") {
		case "HttpApi":
			a.Entry = Entry{Route, fmt.Sprint(template.At(own, "Path"))}
		case "ScheduleV2":
			a.Entry = Entry{Schedule, fmt.Sprint(template.At(own, "ScheduleExpression"))}
			r.deadLetters("the schedule", own)
		case "DynamoDB":
			a.Entry = Entry{Stream, strings.Join(references(template.At(own, "Stream")), ", ")}
			r.deadLetters(id, own)
		default:
			return fmt.Errorf("%s: say in package architecture how its event %s, %v, is drawn", id, name, template.At(event, "Type"))
		}
	}
	d.Functions = append(d.Functions, a)
	if template.At(properties, "Environment", "Variables", "PROVIDER_SECRETS") != nil {
		r.use(id, providers, "call")
	}
	role := references(template.At(properties, "Role"))
	if len(role) != 1 {
		return fmt.Errorf("%s has the roles %v", id, role)
	}
	for _, policy := range flat(template.At(r.resources[role[0]], "Properties", "Policies")) {
		if err := r.statements(id, template.At(policy, "PolicyDocument", "Statement")); err != nil {
			return err
		}
	}
	return nil
}

// policy reads a policy that somebody else's role may have. One that is for the
// functions' own roles adds no store.
func (r reader) policy(id string, d *Diagram) error {
	properties := template.At(r.resources[id], "Properties")
	if template.At(properties, "Roles") != nil {
		return nil
	}
	d.Yours = append(d.Yours, Actor{ID: id, Name: id, About: sentence(template.At(properties, "Description")), Optional: r.conditional(id)})
	return r.statements(id, template.At(properties, "PolicyDocument", "Statement"))
}

// statements reads the rights of an actor.
func (r reader) statements(actor string, node any) error {
	for _, s := range flat(node) {
		for _, action := range flat(template.At(s, "Action")) {
			for _, target := range flat(template.At(s, "Resource")) {
				if err := r.right(actor, fmt.Sprint(action), target); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// right reads one action on one resource.
func (r reader) right(actor, action string, target any) error {
	service, name, _ := strings.Cut(action, ":")
	store := ""
	for _, id := range references(target) {
		id = strings.TrimSuffix(strings.TrimSuffix(id, ".Alias"), ".Arn")
		if drawn[fmt.Sprint(template.At(r.resources[id], "Type"))] != "" {
			store = id
		}
		if name == "InvokeFunction" {
			r.use(actor, id, "invoke")
		}
	}
	text := fmt.Sprint(target)
	switch {
	case strings.Contains(text, "/"+clientSecrets):
		store = clientSecrets
	case strings.Contains(text, "/"+rescueSecrets):
		store = rescueSecrets
	case service == "events":
		store = eventBus
		r.optional[store] = r.optional[store] || r.conditional(actor)
	}
	if store == "" {
		return nil // logs, keys and traces
	}
	verb := verbs[name]
	if verb == "" {
		return fmt.Errorf("%s may %s on %s: say in package architecture what that is", actor, action, store)
	}
	r.use(actor, store, verb)
	return nil
}

// verbs are what actions do with a store. To look is to see that it is there.
var verbs = map[string]string{
	"GetItem": "read", "Query": "read", "Scan": "read", "BatchGetItem": "read", "GetSecretValue": "read",
	"UpdateItem": "write", "PutItem": "write", "DeleteItem": "write", "CreateSecret": "write", "PutSecretValue": "write", "DeleteSecret": "write",
	"DescribeTable": "look", "DescribeTimeToLive": "look", "DescribeContinuousBackups": "look", "DescribeSecret": "look", "ListSecrets": "look",
	"GetRecords": "stream", "GetShardIterator": "stream", "DescribeStream": "stream", "ListStreams": "stream", "ListShards": "stream",
	"SendMessage": "send", "ReceiveMessage": "receive", "DeleteMessage": "receive", "GetQueueAttributes": "receive",
	"PutEvents": "put", "DescribeEventBus": "look",
}

// deadLetters reads where an event goes that nobody has taken.
func (r reader) deadLetters(actor string, properties any) {
	for _, path := range [][]string{{"DeadLetterConfig"}, {"DestinationConfig", "OnFailure"}} {
		for _, id := range references(template.At(properties, path...)) {
			r.use(actor, id, "send")
		}
	}
}

func (r reader) use(actor, store, verb string) {
	if strings.HasSuffix(store, deadLetters) {
		store = deadLetters
	}
	key := [2]string{actor, store}
	if r.uses[key] == nil {
		r.uses[key] = map[string]bool{}
	}
	r.uses[key][verb] = true
}

func (r reader) conditional(id string) bool { return template.At(r.resources[id], "Condition") != nil }

// finish adds the stores that are no resources, and orders everything.
func (r reader) finish(d *Diagram) {
	d.Stores = append(d.Stores,
		Store{ID: clientSecrets, Service: "Secrets Manager", Title: []string{"client", "credentials"}},
		Store{ID: rescueSecrets, Service: "Secrets Manager", Title: []string{"spilled", "tokens"}},
		Store{ID: deadLetters, Service: "SQS", Title: []string{"dead", "letters"}},
		Store{ID: eventBus, Service: "EventBridge", Title: []string{"your", "event bus"}, Optional: r.optional[eventBus]},
		Store{ID: providers, Service: "Internet", Title: []string{"OAuth", "providers"}})
	services := []string{"DynamoDB", "Secrets Manager", "SQS", "EventBridge", "Internet"}
	slices.SortStableFunc(d.Stores, func(a, b Store) int { return slices.Index(services, a.Service) - slices.Index(services, b.Service) })
	d.Stores = slices.DeleteFunc(d.Stores, func(s Store) bool {
		for key := range r.uses {
			if key[1] == s.ID && key[0] != "the schedule" {
				return false
			}
		}
		return true
	})
	slices.SortStableFunc(d.Functions, func(a, b Actor) int { return int(a.Entry.Kind) - int(b.Entry.Kind) })
	order := []string{"look", "stream", "read", "write", "send", "receive", "put", "call", "invoke"}
	for key, found := range r.uses {
		if found["read"] {
			delete(found, "look")
		}
		all := slices.SortedFunc(maps.Keys(found), func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) })
		d.Uses = append(d.Uses, Use{key[0], key[1], strings.Join(all, ", ")})
	}
	slices.SortFunc(d.Uses, func(a, b Use) int { return strings.Compare(a.Actor+" "+a.Store, b.Actor+" "+b.Store) })
}

// flat returns one node or the nodes of a list, both branches of a condition
// included.
func flat(node any) []any {
	if list, ok := node.([]any); ok {
		var all []any
		for _, item := range list {
			all = append(all, flat(item)...)
		}
		return all
	}
	if branches, ok := template.At(node, "Fn::If").([]any); ok && len(branches) == 3 {
		return append(flat(branches[1]), flat(branches[2])...)
	}
	if node == nil || template.At(node, "Ref") == "AWS::NoValue" {
		return nil
	}
	return []any{node}
}

var variable = regexp.MustCompile(`\$\{([A-Za-z0-9.]+)\}`)

// references returns the logical IDs that a node refers to.
func references(node any) []string {
	var found []string
	switch n := node.(type) {
	case []any:
		for _, item := range n {
			found = append(found, references(item)...)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(n)) {
			list, _ := n[name].([]any)
			switch {
			case name == "Ref":
				found = append(found, fmt.Sprint(n[name]))
			case name == "Fn::GetAtt" && len(list) == 2:
				found = append(found, fmt.Sprint(list[0]))
			case name == "Fn::Sub":
				for _, m := range variable.FindAllStringSubmatch(fmt.Sprint(n[name]), -1) {
					id, _, _ := strings.Cut(m[1], ".")
					found = append(found, id)
				}
			default:
				found = append(found, references(n[name])...)
			}
		}
	}
	return found
}

var capital = regexp.MustCompile(`[A-Z]`)

// words splits a logical ID into its words, in lower case.
func words(id string) []string {
	return strings.Fields(strings.ToLower(capital.ReplaceAllString(id, " $0")))
}

// sentence is a description without what only an operator wants to see in it.
func sentence(node any) string {
	if s, ok := template.At(node, "Fn::Sub").(string); ok {
		node = s
	}
	text, _, _ := strings.Cut(fmt.Sprint(node), " (")
	return strings.TrimSuffix(text, ".") + "."
}
