package local

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// A notice says what has just happened.
type notice struct {
	Text string
	Good bool
}

// noticeFor returns the notice of a result: an outcome of a callback, an action
// of the control plane that was done, or the type of its error. What is unknown
// has none.
func noticeFor(result, provider, connectionID string) notice {
	texts := map[string]notice{
		string(connection.Connected): {Good: true, Text: "%s is connected as %s."},
		string(connection.Denied):    {Text: "%s was not connected: access was declined. Nothing has changed for %s."},
		string(connection.Failed):    {Text: "%s was not connected: it did not answer as expected. Nothing has changed for %s; try again in a moment."},
		"issue":                      {Good: true, Text: "%s has issued a token for %s by the client's own credentials."},
		"refresh":                    {Good: true, Text: "%s: the token of %s is fresh."},
		"disconnect":                 {Good: true, Text: "%s: %s is disconnected, and its tokens are gone."},
		"not_found":                  {Text: "%s: %s has no token."},
		"disconnected":               {Text: "%s: %s is disconnected. Connect it again."},
		"reauthorization_required":   {Text: "%s has ended the grant of %s. Connect it again."},
		"refused":                    {Text: "%s no longer accepts the grant of %s."},
		"not_refreshable":            {Text: "%s gave nothing to refresh %s with. Connect it again when its token ends."},
		"provider_unavailable":       {Text: "%s did not answer as expected. %s keeps the token it has; try again in a moment."},
		"mismatch":                   {Text: "%s was not connected: the link was for %s, and somebody else is signed in here. Its code was never sent, and nothing has changed. To connect an account of your own, start here."},
		"handle_used":                {Text: "%s: this link of %s was used before. Look at the list, and start again if it is not there."},
		"handle_expired":             {Text: "%s was not connected: it took more than ten minutes. Nothing has changed for %s; start again."},
		"account_changed":            {Text: "%s was not connected: that is another account than the one of %s, which stays. Choose the same account, or disconnect it first."},
		"account_unknown":            {Text: "%s was not connected: it did not say which account that is, so %s keeps the one that it has. Try again in a moment."},
		"configuration_changed":      {Text: "%s was not connected: its client was changed meanwhile. Nothing has changed for %s; start again."},
		"busy":                       {Text: "%s: another refresh of %s is under way."},
		"not_configured":             {Text: "%s is not configured properly, which keeps %s from being refreshed: the log says why."},
		"not_offered":                {Text: "%s issues no tokens without a user. Connect %s in the browser."},
	}
	n, ok := texts[result]
	switch {
	case ok && (provider == "" || connectionID == ""):
		return notice{} // no link of ours
	case ok:
		n.Text = fmt.Sprintf(n.Text, provider, connectionID)
	case result == "invalid_request":
		n.Text = "That is not a connection ID: use letters, digits and . _ : @ / - only, at most 256."
	case result == "internal" || result == "unavailable":
		n.Text = "That did not work: the log says why."
	}
	return n
}

// statusText returns a status in plain words.
func statusText(c connection.Connection) string {
	switch c.Status {
	case connection.Active:
		if c.Failure.Count > 0 {
			return "Active, trying again"
		}
		return "Active"
	case connection.ReauthorizationRequired:
		return "Reconnect needed"
	case connection.Disconnected:
		return "Disconnected"
	}
	return string(c.Status)
}

// failureText says in plain words why the last refreshes have failed; "" where
// they have not.
func failureText(c connection.Connection, provider string) string {
	f := c.Failure
	if f.Count == 0 {
		return ""
	}
	text := failureCause(f, provider)
	if f.Count > 1 {
		text += " " + strconv.Itoa(f.Count) + " refreshes in a row have failed."
	}
	if c.Status == connection.ReauthorizationRequired {
		text += " Reconnect to go on."
	}
	return text
}

func failureCause(f connection.Failure, provider string) string {
	switch code := f.Code; {
	case f.Reason == "rotation_lost":
		return "An answer of " + provider + " was lost, and with it the next refresh token."
	case code == "invalid_grant":
		return provider + " no longer accepts the refresh token."
	case code == "unreachable":
		return provider + " could not be reached."
	case code == "no_answer":
		return provider + " did not answer in time."
	case code == "http_429":
		return provider + " asked for a pause: too many requests."
	case strings.HasPrefix(code, "http_5"):
		return provider + " had an error of its own (HTTP " + strings.TrimPrefix(code, "http_") + ")."
	case code == "internal":
		return "Something went wrong here: the log says what."
	}
	return provider + " answered with " + f.Code + "."
}

// Left says how long d is, in its two largest units: what is left of a token.
// script.js counts on in the same words.
func Left(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%d h %d min", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%d d %d h", s/86400, s%86400/3600)
}

// ago says how long d is, in its largest unit alone.
func ago(d time.Duration) string {
	return strings.Join(strings.Fields(Left(d))[:2], " ")
}
