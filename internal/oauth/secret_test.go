package oauth

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evergrant/evergrant/pkg/providers"
)

// canary stands for every secret: it must turn up nowhere but on the wire.
// Its = and + look different in each encoding.
const canary = "c4n4ry+secret="

// verbs are those that package fmt hands to a Formatter, and one that it does
// not have. It keeps %p and %w to itself.
var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%#x", "%d", "%c", "%U", "%e", "%t", "%b", "%o", "%20s", "%-9.3v", "%z"}

// prints returns v printed, logged and marshaled in every way there is.
func prints(t *testing.T, v any) map[string]string {
	t.Helper()
	out := map[string]string{
		"Sprint":   fmt.Sprint(v),
		"Sprintln": fmt.Sprintln(v),
		"extra":    fmt.Sprintf("%d"+strings.Repeat(" ", 1), 1, v),
		"width":    fmt.Sprintf(strings.Repeat("%*d", 1), v, 1),
		"wrapped":  fmt.Errorf("refresh: %w", fmt.Errorf("with %v", v)).Error(),
		"joined":   errors.Join(fmt.Errorf("with %+v", v)).Error(),
	}
	for _, verb := range verbs {
		out[verb] = fmt.Sprintf(verb, v)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("json: %v", err)
	}
	out["json"] = string(text)
	var b bytes.Buffer
	for name, h := range map[string]slog.Handler{"slog text": slog.NewTextHandler(&b, nil), "slog json": slog.NewJSONHandler(&b, nil)} {
		b.Reset()
		slog.New(h).With("with", v).WithGroup("g").Info("m", "v", v, slog.Group("h", "v", v))
		out[name] = b.String()
	}
	return out
}

// encoded are the forms of each secret that was searched for.
var encoded sync.Map

// encodings returns the forms in which a secret could hide in a text.
func encodings(secret string) []string {
	if forms, ok := encoded.Load(secret); ok {
		return forms.([]string)
	}
	quoted := strconv.Quote(secret)
	forms := []string{
		secret, secret[:8], quoted[1 : len(quoted)-1], url.QueryEscape(secret), url.PathEscape(secret),
		hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret))), fmt.Sprintf("% x", secret),
		base64.StdEncoding.EncodeToString([]byte(secret))[:12], strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"),
	}
	encoded.Store(secret, forms)
	return forms
}

func mustNotShow(t *testing.T, how, text string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		for _, form := range encodings(secret) {
			if strings.Contains(text, form) {
				t.Fatalf("%s shows a secret as %q: %s", how, form, text)
			}
		}
	}
}

func TestSecretCannotBePrinted(t *testing.T) {
	s := Secret(canary)
	type nested struct {
		S     Secret
		P     *Secret
		Any   any
		Slice []Secret
		Map   map[string]Secret
		Deep  struct{ In []map[string]*Secret }
	}
	n := nested{S: s, P: &s, Any: s, Slice: []Secret{s}, Map: map[string]Secret{"k": s}}
	n.Deep.In = []map[string]*Secret{{"k": &s}}
	for name, v := range map[string]any{
		"itself": s, "pointer": &s, "slice": []Secret{s, s}, "array": [1]Secret{s}, "map": map[string]Secret{"k": s},
		"any": []any{s, &s}, "struct": n, "pointer to struct": &n, "embedded": struct{ nested }{n}, "error": fmt.Errorf("with %w", &Error{Reason: s.String(), Err: errors.New(s.String())}),
	} {
		t.Run(name, func(t *testing.T) {
			for how, text := range prints(t, v) {
				mustNotShow(t, how, text, canary)
			}
		})
	}
}

func TestSecretPrintsAsRedacted(t *testing.T) {
	s := Secret(canary)
	for how, text := range prints(t, s) {
		if !strings.Contains(text, "[redacted]") && how != "width" {
			t.Errorf("%s: %q does not say [redacted]", how, text)
		}
	}
	if got := fmt.Sprint(map[Secret]int{s: 1}); got != "map[[redacted]:1]" {
		t.Errorf("as the key of a map: %s", got)
	}
	if s.String() != "[redacted]" || s.GoString() != "[redacted]" {
		t.Errorf("String, GoString = %s, %s", s.String(), s.GoString())
	}
	if s.Reveal() != canary {
		t.Error("Reveal does not return the secret")
	}
}

func TestRecordsCannotBePrinted(t *testing.T) {
	p, _ := providers.Find("whatnot")
	client, err := ParseClient(p, []byte(`{"client_id":"id","client_secret":"`+canary+`"}`), false)
	if err != nil {
		t.Fatal(err)
	}
	s := Secret(canary)
	for name, v := range map[string]any{
		"TokenSet":             TokenSet{AccessToken: s, RefreshToken: s, IssuedAt: time.Unix(1, 0), Account: Account{ID: "a"}},
		"Client":               client,
		"AuthorizationRequest": AuthorizationRequest{State: "state", Verifier: s, Params: map[string]string{"a": "b"}},
		"pointers":             []any{&TokenSet{AccessToken: s}, &client, &AuthorizationRequest{Verifier: s}},
		"pointers in a struct": struct{ T *TokenSet }{&TokenSet{AccessToken: s}},
		"pointers in a map":    map[string]*Client{"k": &client},
		"nil pointers":         []*TokenSet{nil},
	} {
		t.Run(name, func(t *testing.T) {
			for how, text := range prints(t, v) {
				mustNotShow(t, how, text, canary)
			}
		})
	}
}

// Package fmt ignores methods on unexported fields, so none may hold a Secret.
func TestSecretsStandInExportedFields(t *testing.T) {
	for _, v := range []any{TokenSet{}, Client{}, AuthorizationRequest{}, Error{}} {
		unexported(t, reflect.TypeOf(v), map[reflect.Type]bool{})
	}
}

func unexported(t *testing.T, typ reflect.Type, seen map[reflect.Type]bool) {
	t.Helper()
	if seen[typ] {
		return
	}
	seen[typ] = true
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		unexported(t, typ.Elem(), seen)
	case reflect.Struct:
		for i := range typ.NumField() {
			f := typ.Field(i)
			if !f.IsExported() && f.Type == reflect.TypeFor[Secret]() {
				t.Errorf("%s.%s holds a Secret", typ, f.Name)
			}
			unexported(t, f.Type, seen)
		}
	default: // holds nothing
	}
}
