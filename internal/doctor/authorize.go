package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/pkg/connect"
)

// connectionID is whose tickets doctor makes. It connects nothing: it asks where
// the browser would go, and does not go there.
const connectionID = "evergrant-doctor"

// A browser opens connect links of the deployment at base as a person's would,
// but follows no redirect. Authorize touches no store, so that nothing is left
// of it.
type browser struct {
	web  Web
	base string
	keys seal.Keys // that sign connect tickets
	now  func() time.Time
}

// open opens a connect link for a provider. A failure is answered for programs.
func (b browser) open(ctx context.Context, provider string) (Answer, error) {
	secret, _ := b.keys.Key(b.keys.Current) // a ring always has its current key
	link, err := connect.Ticket{ConnectionID: connectionID, Provider: provider, Life: time.Minute}.
		Link(b.base, connect.Key{ID: b.keys.Current, Secret: secret}, b.now())
	if err != nil {
		return Answer{}, err
	}
	return b.web.Get(ctx, link, "application/problem+json")
}

// authorized checks what authorize answers to a connect link: the redirect to
// the authorization URL that dry is but for state and code challenge, the cookie
// and the headers.
func (b browser) authorized(ctx context.Context, client oauth.Client, dry string) Finding {
	check := client.Provider.ID + "/authorize"
	a, err := b.open(ctx, client.Provider.ID)
	if err != nil {
		return problem(check, "a connect link gets no answer: "+err.Error(), "Look at the log of the authorize function, and run doctor again.")
	}
	header := http.Header(a.Header)
	if a.Status != http.StatusFound {
		return refused(check, a)
	}
	to, err := url.Parse(header.Get("Location"))
	want, dryErr := url.Parse(dry)
	if err != nil || dryErr != nil {
		return problem(check, "a connect link leads to no URL", seeFront)
	}
	if wrong := differing(to, want); len(wrong) > 0 {
		return problem(check, fmt.Sprintf("a connect link leads to %s, where this is not as the secret and the definition say: %s", to.Host, strings.Join(wrong, ", ")),
			"Run doctor again in five minutes, for which functions keep a secret that was changed; then deploy all functions from one template.")
	}
	https := strings.HasPrefix(b.base, "https://")
	if wrong := wrongCookie(header, to.Query().Get("state"), https); wrong != "" {
		return problem(check, "a connect link leads to the provider, but "+wrong, seeFront)
	}
	if lost := lostHeaders(header); len(lost) > 0 {
		return problem(check, "a connect link leads to the provider, but "+strings.Join(lost, ", ")+" is lost or changed on the way", seeFront)
	}
	return fine(check, "a connect link leads to %s as it should, with its cookie", to.Host)
}

const seeFront = "Have what stands in front of the API, such as a CDN, pass status, headers and cookies on as they are, and cache nothing."

// refused says what an answer to a connect link means that leads nowhere.
func refused(check string, a Answer) Finding {
	var p struct{ Type string }
	_ = json.Unmarshal(a.Body, &p) // what is no problem document has no type
	says := ""
	if typ, ok := strings.CutPrefix(p.Type, "urn:evergrant:problem:"); ok {
		says = " (" + typ + ")"
	}
	detail := fmt.Sprintf("a connect link is answered with %d%s, and leads nowhere", a.Status, says)
	switch a.Status {
	case http.StatusTooManyRequests:
		return warning(check, detail+": so many come at once", "Run doctor again; if it stays so, raise AuthorizeRateLimit and AuthorizeBurst.")
	case http.StatusForbidden:
		return problem(check, detail, "See that the functions have the connect secret that doctor has read; a key that is new there counts after six minutes.")
	}
	return problem(check, detail, "The log of the authorize function says why, at this minute; client credentials that it cannot read are the likeliest cause.")
}

// differing returns the names of what is not the same in two authorization URLs,
// but for what is another each time.
func differing(got, want *url.URL) []string {
	var wrong []string
	if got.Scheme != want.Scheme || got.Host != want.Host || got.Path != want.Path {
		wrong = append(wrong, "the address")
	}
	has, needs := got.Query(), want.Query()
	for _, name := range slices.Sorted(maps.Keys(needs)) {
		if name == "state" || name == "code_challenge" {
			if len(has[name]) != 1 || len(has.Get(name)) < randomLength || has.Get(name) == needs.Get(name) {
				wrong = append(wrong, name)
			}
		} else if !slices.Equal(has[name], needs[name]) {
			wrong = append(wrong, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(has)) {
		if needs[name] == nil {
			wrong = append(wrong, name)
		}
	}
	return wrong
}

// randomLength is the length of 256 bits in base64url, as state and code
// challenge have them.
const randomLength = 43

// wrongCookie returns what is wrong with the cookie of an authorization request,
// "" where nothing is.
func wrongCookie(header http.Header, state string, https bool) string {
	cookies := (&http.Response{Header: header}).Cookies()
	if len(cookies) != 1 || cookies[0].Name != authrequest.CookieName(state, https) || cookies[0].Value == "" {
		return "not with one cookie of its own"
	}
	c := cookies[0]
	if c.Path != "/" || c.Domain != "" || c.MaxAge != int(authrequest.Life.Seconds()) || !c.HttpOnly || c.Secure != https || c.SameSite != http.SameSiteLaxMode {
		return "the attributes of its cookie are changed on the way"
	}
	return ""
}

// lostHeaders returns the names of the headers that every answer carries and
// this one does not.
func lostHeaders(header http.Header) []string {
	var lost []string
	for _, h := range kept {
		if !strings.HasPrefix(header.Get(h.name), h.value) {
			lost = append(lost, h.name)
		}
	}
	return lost
}
