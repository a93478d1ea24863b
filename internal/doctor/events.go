package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// events checks the way from the connections table to the host's event bus.
func (d Deployment) events(ctx context.Context, bus string, connections Table) []Finding {
	const check = "events"
	r, deployed := d.Stack.Resources[writesID]
	if bus == "" {
		if _, ok := d.Stack.Resources[eventsID]; !ok && d.Stack.Name != "" {
			return []Finding{fine(check, "off: no bus is told what becomes of connections")}
		}
		return nil // nobody said, or the function's own finding says why
	}
	findings := []Finding{d.bus(ctx, bus)}
	switch {
	case connections.Status == "": // its own finding says why
	case connections.Stream != streamView:
		is := "off"
		if connections.Stream != "" {
			is = connections.Stream
		}
		findings = append(findings, problem(check+"/stream", fmt.Sprintf("the stream of the connections table is %s, not %s: the host is told nothing", is, streamView), "Deploy the table of template.yaml; a table that was restored or imported has no stream until then."))
	default:
		findings = append(findings, fine(check+"/stream", "the connections table has a stream of %s", streamView))
	}
	if deployed {
		findings = append(findings, d.mapping(ctx, check, r.ID, connections.StreamARN, "the host is told nothing, and what is a day old is lost"))
	}
	return findings
}

// streamView is what the events function needs of a record.
const streamView = "NEW_AND_OLD_IMAGES"

// bus checks the bus that the host listens to.
func (d Deployment) bus(ctx context.Context, name string) Finding {
	const check = "events/bus"
	err := d.Cloud.Bus(ctx, name)
	switch {
	case errors.Is(err, ErrMissing):
		return problem(check, "there is no event bus "+name+": what the host was to be told is lost after a day", "Make the bus, or deploy with EventBus as the name or ARN of another.")
	case err != nil:
		return unread(check, "event bus "+name+" cannot be looked at", err, "events:DescribeEventBus on it", "Look at the parameter EventBus of the stack.")
	}
	return fine(check, "%s is there", name)
}

// mapping checks what hands records or messages over to a function. Source is
// what it must read, "" where that is not known, and loss what it means if it
// does not.
func (d Deployment) mapping(ctx context.Context, check, id, source, loss string) Finding {
	check += "/mapping"
	m, err := d.Cloud.Mapping(ctx, id)
	switch {
	case errors.Is(err, ErrMissing):
		return problem(check, "somebody has deleted the event source mapping "+id+": "+loss, "Make it again in Lambda as template.yaml has it.")
	case err != nil:
		return unread(check, "the event source mapping cannot be looked at", err, "lambda:GetEventSourceMapping on it", "Run doctor again.")
	case m.State != "Enabled" && (strings.HasSuffix(m.State, "ing")):
		return warning(check, "the event source mapping is "+m.State, "Run doctor again in a minute.")
	case m.State != "Enabled":
		return problem(check, fmt.Sprintf("the event source mapping is %s: %s", m.State, loss), "Enable it: `aws lambda update-event-source-mapping --enabled --uuid "+id+"`.")
	case source != "" && m.Source != source:
		return problem(check, "the event source mapping reads "+m.Source+", and not the stream that the table has now: "+loss, deploymentFix)
	case strings.HasPrefix(m.Result, "PROBLEM"):
		return warning(check, "the event source mapping is enabled, and says: "+m.Result, "The log of its function, and the permissions of its role, say why.")
	}
	return fine(check, "the event source mapping is enabled")
}
