package lambdatest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/evergrant/evergrant/internal/canary"
)

// private are the parameters of a request whose values nobody may show.
var private = []string{"ticket", "code", "state", "whData", "access_token", "handle"}

// leastPrivate is the least length of such a value, in bytes: what strangers send
// may be a word that stands in any text.
const leastPrivate = 16

// guardEvent guards what comes with an event: an HTTP request's cookies and
// parameters, or the token and handle of a call to the control plane.
func (w *World) guardEvent(payload []byte) {
	var ev struct {
		RawQueryString string
		Cookies        []string
		RefreshToken   string `json:"refresh_token"`
		AccessToken    string `json:"access_token"`
		Handle         string
	}
	_ = json.Unmarshal(payload, &ev) // what is no event brings nothing
	w.Watch.Guard("token of an import", ev.RefreshToken, ev.AccessToken)
	w.Watch.Guard("handle", ev.Handle)
	query, _ := url.ParseQuery(ev.RawQueryString) // as much as can be read
	for _, name := range private {
		for _, v := range query[name] {
			if len(v) >= leastPrivate {
				w.Watch.Guard(name, v)
			}
		}
	}
	for _, pair := range ev.Cookies {
		_, value, _ := strings.Cut(pair, "=")
		w.Watch.Guard("cookie", value)
	}
}

// search returns the secrets that stand in the answer of a function, and guards
// those that are new in it: the cookie, the state and the handle.
func (w *World) search(answer []byte) []canary.Finding {
	var a struct {
		StatusCode int
		Headers    map[string]string
		Cookies    []string
		Body       string
	}
	if err := json.Unmarshal(answer, &a); err != nil || a.StatusCode == 0 {
		return w.Watch.Find(string(answer))
	}
	found := w.Watch.FindInAnswer(canary.Answer{Status: a.StatusCode, Header: a.Headers, Cookies: a.Cookies, Body: a.Body})
	for _, line := range a.Cookies {
		if c, err := http.ParseSetCookie(line); err == nil {
			w.Watch.Guard("cookie", c.Value)
		}
	}
	if to, err := url.Parse(a.Headers["Location"]); err == nil {
		for _, name := range private {
			w.Watch.Guard(name, to.Query()[name]...)
		}
	}
	return found
}

// guarding serves the providers, and guards what they are sent.
func (w *World) guarding(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, 1<<20))
	if err != nil {
		http.Error(rw, "the request cannot be read", http.StatusBadRequest)
		return
	}
	form, _ := url.ParseQuery(string(body)) // as much as can be read
	for _, name := range []string{"code_verifier", "code", "client_secret", "refresh_token", "token"} {
		w.Watch.Guard(name, form[name]...)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	w.Simulator.ServeHTTP(rw, r)
}

// searchOutput fails t for what a function has printed.
func (w *World) searchOutput(t testing.TB, function, output string) {
	t.Helper()
	for _, f := range w.Watch.FindInLog(output) {
		t.Errorf("%s has printed %s", function, f)
	}
	t.Attr(canary.Searched, fmt.Sprintf(canary.SearchedFormat, strings.Count(output, "\n"), len(output)))
}

// searchStores fails t for secrets that are stored in clear: in the tables, but
// for the access token of a connection, and in the spill.
func (w *World) searchStores(t testing.TB) {
	t.Helper()
	for name, may := range map[string]string{w.Database.ConnectionsTable: "access_token", w.Database.StateTable: ""} {
		pages := dynamodb.NewScanPaginator(w.Database.Client, &dynamodb.ScanInput{TableName: &name})
		for pages.HasMorePages() {
			page, err := pages.NextPage(context.Background()) // that of t has ended
			if err != nil {
				t.Errorf("search %s: %v", name, err)
				return
			}
			for _, item := range page.Items {
				delete(item, may)
				for _, f := range w.Watch.Find(plain(&types.AttributeValueMemberM{Value: item})) {
					t.Errorf("the table %s holds %s", name, f)
				}
			}
		}
	}
	w.searchSpill(t)
}

// searchSpill fails t for tokens that are in the spill in clear.
func (w *World) searchSpill(t testing.TB) {
	t.Helper()
	list, err := w.manager.ListSecrets(context.Background(), &secretsmanager.ListSecretsInput{
		Filters: []smtypes.Filter{{Key: smtypes.FilterNameStringTypeName, Values: []string{w.values["RESCUE_SECRETS"]}}},
	})
	if err != nil {
		t.Errorf("search the spill: %v", err)
		return
	}
	for _, s := range list.SecretList {
		value, err := w.manager.GetSecretValue(context.Background(), &secretsmanager.GetSecretValueInput{SecretId: s.ARN})
		if err != nil {
			t.Errorf("search the spill: %v", err)
			continue
		}
		text := string(value.SecretBinary)
		if value.SecretString != nil {
			text += *value.SecretString
		}
		for _, f := range w.Watch.Find(*s.Name + " " + text) {
			t.Errorf("the spill holds %s", f)
		}
	}
}

// plain returns all that an attribute holds.
func plain(v types.AttributeValue) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	case *types.AttributeValueMemberB:
		return string(v.Value)
	case *types.AttributeValueMemberSS:
		return strings.Join(v.Value, " ")
	case *types.AttributeValueMemberL:
		var all strings.Builder
		for _, each := range v.Value {
			all.WriteString(plain(each) + "\n")
		}
		return all.String()
	case *types.AttributeValueMemberM:
		var all strings.Builder
		for name, each := range v.Value {
			all.WriteString(name + "=" + plain(each) + "\n")
		}
		return all.String()
	}
	return fmt.Sprintf("%+v", v)
}
