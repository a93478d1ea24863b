package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/evergrant/evergrant/internal/settings"
)

// A Function is a deployed function and what it was told.
type Function struct {
	Name     string
	Settings map[string]string // by name; settings of Evergrant alone
	Err      error             // instead of Settings: why they cannot be read
}

// Names returns the names of the settings that Deployment looks at.
func Names() []string {
	return []string{
		"PUBLIC_URL", "COMPLETION_URL", "RETURN_ORIGINS", "ALLOW_UNSIGNED_CONNECT", "ALLOW_PRIVATE_PROVIDERS",
		"CONNECT_SECRET", "SEAL_SECRET", "PROVIDER_SECRETS", "CONNECTIONS_TABLE", "STATE_TABLE",
	}
}

var kinds = []settings.Function{settings.Authorize, settings.Callback, settings.Refresh, settings.Connections, settings.Events}

// KnownSettings returns what of environment are settings of Evergrant. Others
// may be secrets of somebody else.
func KnownSettings(environment map[string]string) map[string]string {
	known := map[string]string{}
	for _, k := range kinds {
		for _, name := range k.Names() {
			if v, ok := environment[name]; ok {
				known[name] = v
			}
		}
	}
	return known
}

// kind tells which function f is, by a setting that it alone takes.
func (f Function) kind() (settings.Function, bool) {
	has := func(name string) bool { _, ok := f.Settings[name]; return ok }
	switch {
	case has("EVENT_BUS"):
		return settings.Events, true
	case has("CONNECT_SECRET"), has("ALLOW_UNSIGNED_CONNECT"):
		return settings.Authorize, true
	case has("REFRESH_CONCURRENCY"):
		return settings.Refresh, true
	case has("PUBLIC_URL"), has("COMPLETION_URL"):
		return settings.Callback, true
	case has("CONNECTIONS_TABLE"):
		return settings.Connections, true
	}
	return "", false
}

// of returns the first of all that is a function of the given kind.
func of(all []Function, want settings.Function) Function {
	for _, f := range all {
		if kind, _ := f.kind(); kind == want {
			return f
		}
	}
	return Function{}
}

// ControlPlane returns the name of the connections function among all, "" where
// it is not.
func ControlPlane(all []Function) string { return of(all, settings.Connections).Name }

// functions checks that each function starts with its settings, and that those
// which two functions share are the same.
func functions(all []Function) []Finding {
	var findings []Finding
	for _, f := range all {
		check := "function/" + f.Name
		kind, known := f.kind()
		if f.Err != nil {
			findings = append(findings, unread(check, "its settings cannot be read", f.Err, "lambda:GetFunctionConfiguration on it", "Look at the name, and at the account and region that you are in."))
			continue
		}
		if !known {
			findings = append(findings, problem(check, "it has no settings of Evergrant", "Look at --function: name the functions of the stack."))
			continue
		}
		if _, err := settings.Load(kind, func(name string) string { return f.Settings[name] }); err != nil {
			findings = append(findings, problem(check, fmt.Sprintf("the %s function cannot start: %v", kind, err), "Correct the parameter of the stack and deploy again."))
			continue
		}
		findings = append(findings, fine(check, "the %s function starts with its settings", kind))
	}
	return append(findings, agreeing(all)...)
}

// agreeing checks that functions which share a setting were told the same.
func agreeing(all []Function) []Finding {
	told := map[string]Function{}
	var findings []Finding
	for _, f := range all {
		for _, name := range slices.Sorted(maps.Keys(f.Settings)) {
			first, ok := told[name]
			if kind, _ := f.kind(); kind == settings.Events && name == "PUBLIC_URL" {
				continue // where the others go by the API's host name, it was told that
			}
			if !ok {
				told[name] = f
			} else if first.Settings[name] != f.Settings[name] {
				findings = append(findings, problem("settings", fmt.Sprintf("%s of %s is not that of %s", name, f.Name, first.Name), "Deploy all functions from one template, and change settings by its parameters alone."))
			}
		}
	}
	return findings
}

// untold says how to tell a setting.
func untold(name string) string {
	return "Name the stack with --stack, or give --" + FlagOf(name) + "."
}

// FlagOf returns the name of the flag for a setting.
func FlagOf(setting string) string { return strings.ReplaceAll(strings.ToLower(setting), "_", "-") }

// parsed returns what a function would make of one setting.
func parsed(name, value string) (settings.Settings, error) {
	for _, k := range kinds {
		if slices.Contains(k.Names(), name) {
			return settings.Load(k, func(n string) string {
				switch n {
				case name:
					return value
				case "CONNECTIONS_TABLE", "STATE_TABLE", "SEAL_SECRET", "CONNECT_SECRET":
					return "given" // none of them can be left out
				}
				return ""
			})
		}
	}
	return settings.Settings{}, fmt.Errorf("there is no setting %s", name)
}

// publicURL returns the public URL, "" where it cannot be used, and what is
// wrong with it.
func publicURL(value string) (string, []Finding) {
	const check = "public_url"
	if value == "" {
		return "", []Finding{warning(check, "not checked: without PUBLIC_URL the functions go by the API's own host name, which nobody said", "Name the stack with --stack, or give its output PublicUrl as --public-url.")}
	}
	s, err := parsed("PUBLIC_URL", value)
	switch {
	case err != nil:
		return "", []Finding{problem(check, err.Error(), "Correct the parameter PublicUrl of the stack.")}
	case !strings.HasPrefix(s.PublicURL, "https://"):
		return "", []Finding{problem(check, s.PublicURL+" is not https: browsers keep no cookie there, and providers refuse the redirect URI", "Give the stack a public URL that begins with https://.")}
	}
	return s.PublicURL, nil
}

// completionURL checks who completes a connection.
func completionURL(value string) Finding {
	const check = "completion_url"
	if value == "" {
		return warning(check, "COMPLETION_URL is not set: somebody can send their own connect link to another person, whose account then lands in the sender's connection",
			"Have your application complete connections and set COMPLETION_URL; without it the deployment is for a single operator.")
	}
	s, err := parsed("COMPLETION_URL", value)
	switch {
	case err != nil:
		return problem(check, err.Error(), "Correct COMPLETION_URL: it is the page of your application that completes connections.")
	case !strings.HasPrefix(s.CompletionURL, "https://"):
		return problem(check, s.CompletionURL+" is not https: whoever listens can take the handle", "Serve the page that completes connections by https.")
	}
	return fine(check, "%s completes connections", s.CompletionURL)
}

// returnOrigins checks where a browser may go at the end.
func returnOrigins(value string) Finding {
	const check = "return_origins"
	s, err := parsed("RETURN_ORIGINS", value)
	if err != nil {
		return problem(check, err.Error(), "Correct the parameter ReturnOrigins of the stack.")
	}
	for _, o := range s.ReturnOrigins {
		if !strings.HasPrefix(o, "https://") {
			return warning(check, o+" has no effect: a deployment sends browsers to https origins alone", "Remove it, or write it with https://.")
		}
	}
	if len(s.ReturnOrigins) == 0 {
		return fine(check, "none: a link with return_to is refused, and the browser ends on a page of Evergrant's own")
	}
	return fine(check, "%s", strings.Join(s.ReturnOrigins, ", "))
}

// switches checks the two settings that are for trying things out. It returns
// whether private addresses are allowed.
func switches(told map[string]string) (findings []Finding, allowPrivate bool) {
	for _, w := range []struct{ name, means, fix string }{
		{"ALLOW_UNSIGNED_CONNECT", "whoever knows the URL can connect an account to any connection ID", "Set the parameter AllowUnsignedConnect to false before anybody else uses the stack."},
		{"ALLOW_PRIVATE_PROVIDERS", "client secrets may be sent to addresses inside your network, without TLS on loopback", "Take it out of the functions' environment; it is for development."},
	} {
		check := strings.ToLower(w.name)
		s, err := parsed(w.name, told[w.name])
		switch {
		case err != nil:
			findings = append(findings, problem(check, err.Error(), "Write true or false."))
		case s.AllowUnsignedConnect || s.AllowPrivateProviders:
			findings = append(findings, warning(check, w.name+" is on: "+w.means, w.fix))
		default:
			findings = append(findings, fine(check, "off"))
		}
		allowPrivate = allowPrivate || s.AllowPrivateProviders
	}
	return findings, allowPrivate
}
