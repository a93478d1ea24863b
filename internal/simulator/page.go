package simulator

import (
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// A page is what the browser is shown.
type page struct {
	Provider         *provider
	View             string // "login", "consent" or "error"
	Message          string
	Username         string
	Scopes           []string
	IdentityProvider string
	Cancel           bool // the login page offers to deny
}

// ID and Name are the provider's, for the template.
func (p page) ID() string   { return p.Provider.id }
func (p page) Name() string { return p.Provider.name }

// Client is the client ID of the application that asks.
func (p page) Client() string { return p.Provider.client.ID }

// Allows says what scope allows.
func (p page) Allows(scope string) string { return p.Provider.scopes[scope] }

// show answers with p.
func show(w http.ResponseWriter, status int, p page) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	// No form-action: browsers apply it to the redirect to the client as well.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
	w.WriteHeader(status)
	_ = pageTemplate.Execute(w, p) // the client is gone: nobody to tell
}

// loginCookie remembers who is signed in. Each provider has its own, by path.
const loginCookie = "simulated_login"

// signedIn returns the user name that r's browser is signed in with at the
// provider that r goes to, or "".
func signedIn(r *http.Request) string {
	c, err := r.Cookie(loginCookie)
	if err != nil {
		return ""
	}
	name, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return ""
	}
	return string(name)
}

// signIn remembers username in the browser; the empty one signs out.
func signIn(w http.ResponseWriter, p *provider, username string) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // not Secure: the simulator is served over plain http
		Name: loginCookie, Value: base64.RawURLEncoding.EncodeToString([]byte(username)), Path: "/" + p.id + "/",
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// loginError says what is wrong with a login form. Any user name and password
// will do, but they must be there.
func loginError(r *http.Request) string {
	switch name := strings.TrimSpace(r.PostFormValue("username")); {
	case name == "" || r.PostFormValue("password") == "":
		return "Enter a user name and a password. Any will do."
	case len(name) > 100:
		return "The user name is too long."
	}
	return ""
}
