package web

import (
	"cmp"
	"net/url"
	"strings"
)

// About is what a page is about, as far as it is known for certain: by our own
// definitions and settings, or because the host has signed it. No text of a
// provider is in it. The zero value knows nothing.
type About struct {
	Provider     string // its name
	ConnectionID string

	// Home is the origin of the host, such as https://app.example.com. Pages name
	// it without its scheme, and lead there.
	Home string
}

// Home returns the origin of the first of urls that is an http or https URL
// with a host, in lower case; "" where none is.
func Home(urls ...string) string {
	for _, raw := range urls {
		u, err := url.Parse(raw)
		if err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") {
			return u.Scheme + "://" + strings.ToLower(u.Host)
		}
	}
	return ""
}

// hostName returns what the host is called; "" where it is unknown.
func (a About) hostName() string {
	_, name, _ := strings.Cut(a.Home, "://")
	return name
}

// name returns text with the names of a in place of its placeholders.
func (a About) name(text string) string {
	return strings.NewReplacer(
		"{host}", cmp.Or(a.hostName(), someHost),
		"{provider}", cmp.Or(a.Provider, someProvider),
		"{Provider}", cmp.Or(a.Provider, someProviderFirst),
	).Replace(text)
}
