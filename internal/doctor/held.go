package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/evergrant/evergrant/pkg/providers"
)

// Held asks the control plane since when a provider is held; the zero time: it
// is not.
type Held func(ctx context.Context, provider string) (since time.Time, err error)

// findings names the providers at which nothing is refreshed until somebody
// releases them. Without a control plane to ask there is a warning.
func (h Held) findings(ctx context.Context, named []providers.Provider, how string) []Finding {
	const check = "held"
	if h == nil {
		return []Finding{warning(check, "not checked: nobody named the connections function", "Name the stack with --stack, or its connections function with --function.")}
	}
	all := named
	if len(all) == 0 {
		all = providers.All()
	}
	var findings []Finding
	for _, p := range all {
		since, err := h(ctx, p.ID)
		if err != nil {
			return append(findings, unread(check, "whether a provider is held is not known", brief(err), "lambda:InvokeFunction on the connections function", "Look at the log of the connections function; a stack that is older than this command does not say."))
		}
		if !since.IsZero() {
			findings = append(findings, warning(p.ID+"/"+check, fmt.Sprintf("%s is held since %s: nothing is refreshed there", p.Name, since.UTC().Format(time.RFC3339)),
				"When what it was held for is done: `evergrant release "+p.ID+how+"`."))
		}
	}
	if len(findings) == 0 {
		return []Finding{fine(check, "no provider is held")}
	}
	return findings
}
