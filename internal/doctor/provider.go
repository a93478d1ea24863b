package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/pkg/providers"
)

// The authorization URL that is printed is of no authorization request: a
// callback with this state is refused.
const (
	madeUpState    = "a-dry-run-of-evergrant-doctor"
	madeUpVerifier = "a-dry-run-of-evergrant-doctor-has-no-verifier"
)

// clients is where the providers' client credentials are and how they are used.
type clients struct {
	secrets      Secrets
	name         func(provider string) string // of the secret
	missing      func(provider string) string // the fix where there is none
	mend         string                       // how a value gets into it
	web          Web
	browser      browser // without a current key: no link is opened
	publicURL    string  // "": not known
	allowPrivate bool
}

// examine checks the named providers, or each that has client credentials. The
// providers are asked side by side.
func (c clients) examine(ctx context.Context, named []providers.Provider) []Finding {
	all := named
	if len(all) == 0 {
		all = providers.All()
	}
	lists := make([][]Finding, len(all))
	there := make([]bool, len(all))
	var work sync.WaitGroup
	for i, p := range all {
		work.Go(func() { lists[i], there[i] = c.provider(ctx, p) })
	}
	work.Wait()
	var findings []Finding
	if len(named) == 0 {
		findings = append(findings, c.configured(all, there))
	}
	for i := range lists {
		if there[i] || len(named) > 0 {
			findings = append(findings, lists[i]...)
		}
	}
	return findings
}

// configured says which providers have client credentials.
func (c clients) configured(all []providers.Provider, there []bool) Finding {
	var with, without []string
	for i, p := range all {
		if there[i] {
			with = append(with, p.ID)
		} else {
			without = append(without, p.ID)
		}
	}
	switch {
	case len(with) == 0:
		return problem("providers", "no provider has client credentials, so nobody can connect anything", c.missing(all[0].ID))
	case len(without) == 0:
		return fine("providers", "client credentials for %s", strings.Join(with, ", "))
	}
	return fine("providers", "client credentials for %s; none for %s", strings.Join(with, ", "), strings.Join(without, ", "))
}

// provider checks one provider, and tells whether it has client credentials.
func (c clients) provider(ctx context.Context, p providers.Provider) (findings []Finding, there bool) {
	name := c.name(p.ID)
	document, f, err := read(ctx, c.secrets, p.ID+"/secret", name, c.missing(p.ID))
	if err != nil {
		return []Finding{f}, !errors.Is(err, ErrMissing)
	}
	client, err := oauth.ParseClient(p, document, c.allowPrivate)
	if err != nil {
		return []Finding{problem(p.ID+"/secret", fmt.Sprintf("%s: %v", name, err), c.mend)}, true
	}
	findings = append(findings, c.secret(client, document))
	findings = append(findings, c.former(client)...)
	dry := ""
	if c.publicURL != "" {
		redirectURI := c.publicURL + "/callback/" + p.ID
		findings = append(findings, fine(p.ID+"/redirect_uri", "register exactly %s at %s", redirectURI, p.Name))
		var f Finding
		dry, f = dryRun(client, redirectURI)
		findings = append(findings, f)
		if dry != "" && c.browser.keys.Current != "" {
			findings = append(findings, c.browser.authorized(ctx, client, dry))
		}
	}
	return append(findings, c.endpoints(ctx, client, dry)), true
}

// secret says what the client credentials are, without the secret ones.
func (c clients) secret(client oauth.Client, document []byte) Finding {
	check := client.Provider.ID + "/secret"
	if unknown := oauth.UnknownMembers(document); len(unknown) > 0 {
		return warning(check, fmt.Sprintf("members that mean nothing here: %s", strings.Join(plain(unknown), ", ")), "Remove them, or put them into extra.")
	}
	if strings.Contains(client.ID, "…") {
		return warning(check, `client_id has a "…" in it, as a placeholder has`, c.mend)
	}
	if strings.Contains(client.Secret.Reveal(), "…") {
		return warning(check, `client_secret has a "…" in it, as a placeholder has`, c.mend)
	}
	if s := client.Secret.Reveal(); s != strings.TrimSpace(s) {
		return warning(check, "client_secret begins or ends with a space", c.mend)
	}
	scopes := cmp.Or(strings.Join(client.Asked(client.Scopes), " "), "none")
	return fine(check, "client %s, environment %s, scopes: %s", client.ID, client.Environment.Name, scopes)
}

// former says which former clients there are, if any.
func (c clients) former(client oauth.Client) []Finding {
	if len(client.Former) == 0 {
		return nil
	}
	check := client.Provider.ID + "/former"
	var names []string
	for i, f := range client.Former {
		names = append(names, fmt.Sprintf("%s in %s", f.ID, f.Environment.Name))
		if s := f.Secret.Reveal(); s != strings.TrimSpace(s) {
			return []Finding{warning(check, fmt.Sprintf("former[%d].client_secret begins or ends with a space", i), c.mend)}
		}
	}
	return []Finding{fine(check, "%s: their connections are refreshed until the people connect again; `evergrant list --client` counts them", strings.Join(names, ", "))}
}

// word is a member name that can be no pasted secret.
var word = regexp.MustCompile(`^[A-Za-z][A-Za-z_]{0,29}$`)

// plain returns names with those that may be pasted values left out.
func plain(names []string) []string {
	out := slices.Clone(names)
	for i, n := range out {
		if !word.MatchString(n) {
			out[i] = "one whose name is no word"
		}
	}
	return out
}

// dryRun returns the authorization URL that the authorize function would send a
// browser to, but for state and code challenge. "": there is none to be made
// without sending the client secret.
func dryRun(client oauth.Client, redirectURI string) (string, Finding) {
	check, p := client.Provider.ID+"/authorization_url", client.Provider
	if p.Prepare != nil {
		return "", fine(check, "not made: %s makes it when it is asked for it, and the client secret stands in that request; the first connect link will tell", p.Name)
	}
	to, err := oauth.AuthorizationURL(client, oauth.AuthorizationRequest{
		State: madeUpState, Verifier: madeUpVerifier, RedirectURI: redirectURI, Scopes: client.Scopes,
	})
	if err != nil {
		return "", problem(check, err.Error(), "Correct endpoints.authorization_url in the secret.")
	}
	return to, fine(check, "%s", to)
}

// endpoints checks that the provider can be reached, and what it answers to the
// authorization URL dry, which carries no secret.
func (c clients) endpoints(ctx context.Context, client oauth.Client, dry string) Finding {
	check, e := client.Provider.ID+"/endpoints", client.Endpoints
	var hosts, failures []string
	for _, to := range []string{e.AuthorizationURL, e.PrepareURL, e.TokenURL} {
		u, err := url.Parse(to)
		if to == "" || err != nil || slices.Contains(hosts, u.Host) {
			continue
		}
		hosts = append(hosts, u.Host)
		if err := c.web.Reach(ctx, to); err != nil {
			failures = append(failures, fmt.Sprintf("%s cannot be reached: %v", u.Host, err))
		}
	}
	if len(failures) > 0 {
		return problem(check, strings.Join(failures, "; "), "See that the name is right and that this network lets you out; the functions meet the same unless they stand elsewhere.")
	}
	reached := strings.Join(hosts, " and ") + " can be reached"
	if dry == "" {
		return fine(check, "%s", reached)
	}
	a, err := c.web.Get(ctx, dry, "text/html,*/*")
	if err != nil {
		return problem(check, fmt.Sprintf("%s, but the authorization URL gets no answer: %v", reached, err), "Open the authorization URL in a browser.")
	}
	return judge(check, reached, client, a)
}

// errorCode is the form of the codes of RFC 6749 section 4.1.2.1.
var errorCode = regexp.MustCompile(`^[a-z_]{1,40}$`)

// judge says what the provider's answer to an authorization request means.
func judge(check, reached string, client oauth.Client, a Answer) Finding {
	if to, err := url.Parse(http.Header(a.Header).Get("Location")); err == nil {
		q := to.Query()
		code := q.Get("error")
		if q.Get("state") == madeUpState && code != "" {
			if !errorCode.MatchString(code) {
				code = "an error"
			}
			return problem(check, fmt.Sprintf("%s refuses the authorization request with %s", client.Provider.Name, code),
				"See at "+client.Provider.Name+" that the client may ask for these scopes; docs/providers has its page.")
		}
	}
	switch {
	case a.Status >= http.StatusInternalServerError:
		return warning(check, fmt.Sprintf("%s, and %s answers %d to the authorization URL", reached, client.Provider.Name, a.Status), "Try again later; until then nobody can connect.")
	case a.Status >= http.StatusBadRequest:
		return warning(check, fmt.Sprintf("%s, and %s answers %d to the authorization URL", reached, client.Provider.Name, a.Status),
			"Open the authorization URL in a browser: if it shows an error, the client ID is not known or the redirect URI is not registered in this environment.")
	}
	return fine(check, "%s; the authorization URL is answered with %d", reached, a.Status)
}
