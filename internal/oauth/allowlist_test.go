//go:build !race

// Ten thousand errors are searched one after the other: make leaks does it
// without the race detector, which has nothing to find here.

package oauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	search "github.com/evergrant/evergrant/internal/canary" // here a canary is one secret
)

// theirs is a text of a provider that is not to be seen but where the allow-list
// has it. It could be a secret of ours that the provider repeats.
const theirs = search.Marker + "-theirs"

// held returns the names of the fields of v that hold theirs, at any depth.
func held(v reflect.Value, name string) (names []string) {
	switch v.Kind() {
	case reflect.String:
		if strings.Contains(v.String(), theirs) {
			names = append(names, name)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			names = append(names, held(v.Field(i), strings.TrimPrefix(name+"."+v.Type().Field(i).Name, "."))...)
		}
	case reflect.Slice:
		for i := range v.Len() {
			names = append(names, held(v.Index(i), name)...)
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			names = append(names, held(k, name+" key")...)
			names = append(names, held(v.MapIndex(k), name)...)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			names = append(names, held(v.Elem(), name)...)
		}
	default:
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// told answers with theirs in every header, and the given body.
func told(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range []string{"Content-Type", "Retry-After", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Reset", "WWW-Authenticate", "Location", "Set-Cookie", "Warning", "Server", "X-" + theirs} {
			w.Header().Set(name, theirs)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// repeated is an answer with theirs as the name and value of every member.
const repeated = `{"access_token":"` + theirs + `-a","refresh_token":"` + theirs + `-r","token_type":"` + theirs + `-type","scope":"` + theirs + `-s","expires_in":"` + theirs + `",` +
	`"refresh_token_expires_in":"` + theirs + `","created_at":"` + theirs + `","error_description":"` + theirs + `","error_uri":"` + theirs + `","id_token":"` + theirs + `","` + theirs + `":"` + theirs + `",` +
	`"id":"` + theirs + `-id","email":"` + theirs + `-mail","username":"` + theirs + `","user":{"id":"` + theirs + `","email":"` + theirs + `"}}`

// What a provider says reaches whoever called only in the fields that are there
// for it. This is the allow-list: a field that is added has to be added here, and
// wherever it is shown.
func TestWhatAProviderSaysIsOnlyWhereTheAllowListHasIt(t *testing.T) {
	ctx := t.Context()
	s := serve(t, told(http.StatusOK, repeated))
	c := newClient(t, definition(t, "whiplash"), s.URL, nil)
	tokens := newTokenClient()
	refreshed, err := tokens.Refresh(ctx, c, refreshToken)
	if err != nil {
		t.Fatal(err)
	}
	account, err := tokens.Account(ctx, c, accessToken)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := ParseBlob(*definition(t, "whcc").Blob, `{"token":"`+theirs+`","client_id":"`+theirs+`","studio":"`+theirs+`","state":"`+theirs+`","`+theirs+`":"`+theirs+`"}`, noon)
	if err != nil {
		t.Fatal(err)
	}
	implicit, err := ImplicitTokens(newClient(t, definition(t, "whisk"), s.URL, nil), theirs, "Bearer", theirs, theirs, noon)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		got  any
		want []string
	}{
		"a token answer":   {refreshed, []string{"AccessToken", "RefreshToken", "Scopes", "TokenType"}},
		"a user":           {account, []string{"ID", "Label"}},
		"whData":           {blob, []string{"AccessToken", "Account.ID", "Account.Label", "Metadata"}},
		"an implicit one":  {implicit, []string{"AccessToken", "Scopes"}},
		"what is searched": {struct{ A map[string]any }{map[string]any{theirs: []string{theirs}}}, []string{"A", "A key"}},
	} {
		if got := held(reflect.ValueOf(tt.got), ""); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v hold text of the provider, want %v", name, got, tt.want)
		}
	}
}

// An error holds nothing that a provider has sent: it is logged, and stored as
// the failure of a connection.
func TestAnErrorHoldsNothingThatAProviderHasSent(t *testing.T) {
	bodies := map[string]string{
		"as the code": `{"error":"` + theirs + `","error_description":"` + theirs + `","error_uri":"` + theirs + `"}`, "beside a code": `{"error":"invalid_grant","error_description":"` + theirs + `"}`,
		"in an object": `{"error":{"code":"` + theirs + `","type":"` + theirs + `","message":"` + theirs + `"}}`, "as a list": `{"errors":[{"message":"` + theirs + `"}]}`,
		"HTML": "<html>" + theirs, "a form": "error=" + theirs, "text": theirs, "torn": `{"` + theirs + `":"` + theirs, "no token": `{"token":"` + theirs + `"}`,
		"as a number": `{"error":` + theirs + `}`, "in base64": base64.StdEncoding.EncodeToString([]byte(theirs)), "too long": strings.Repeat(theirs, 64<<10/10),
		"another type": strings.Replace(repeated, `"access_token"`, `"access"`, 1), "a redirect": `{"RedirectURI":"https://` + theirs + `.example/"}`,
	}
	calls := map[string]func(*TokenClient, Client) error{
		"exchange": func(tc *TokenClient, c Client) error {
			_, err := tc.Exchange(t.Context(), c, AuthorizationRequest{Verifier: verifier, RedirectURI: redirectURI}, code)
			return err
		},
		"refresh": func(tc *TokenClient, c Client) error { _, err := tc.Refresh(t.Context(), c, refreshToken); return err },
		"revoke":  func(tc *TokenClient, c Client) error { return tc.Revoke(t.Context(), c, accessToken, refreshToken) },
		"account": func(tc *TokenClient, c Client) error { _, err := tc.Account(t.Context(), c, accessToken); return err },
		"issue":   func(tc *TokenClient, c Client) error { _, err := tc.Issue(t.Context(), c); return err },
		"prepare": func(tc *TokenClient, c Client) error { _, err := tc.Prepare(t.Context(), c, redirectURI); return err },
	}
	errs, watch := 0, new(search.Watch)
	watch.Guard("secret of ours", clientSecret, code, refreshToken, accessToken, verifier)
	for _, id := range []string{"whiplash", "whisk", "whatnot", "whcc"} {
		for _, status := range []int{200, 302, 400, 401, 403, 429, 500, 503} {
			for what, body := range bodies {
				s := serve(t, told(status, body))
				c := newClient(t, definition(t, id), s.URL, nil)
				for call, do := range calls {
					err := do(newTokenClient(), c)
					if err == nil {
						continue // it has no such call, or the status is all that counts
					}
					errs++
					for e := err; e != nil; e = errors.Unwrap(e) {
						if names := held(reflect.ValueOf(e), "error"); len(names) > 0 {
							t.Errorf("%s at %s, %d, %s: %v hold text of the provider", call, id, status, what, names)
						}
						for _, f := range watch.Find(fmt.Sprintf("%v %+v %#v %q %s", e, e, e, e, e)) {
							t.Errorf("%s at %s, %d, %s: the error shows %s", call, id, status, what, f)
						}
					}
				}
				s.Close()
			}
		}
	}
	if errs < 1000 {
		t.Errorf("only %d errors were looked at", errs)
	}
	t.Logf("%d errors", errs)
}
