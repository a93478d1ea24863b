package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// A watched reads secrets and remembers what must not stand in a finding.
type watched struct {
	Secrets

	mu   sync.Mutex
	seen []string
}

// Secret implements Secrets.
func (w *watched) Secret(ctx context.Context, name string) ([]byte, error) {
	document, err := w.Secrets.Secret(ctx, name)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, confidential(document)...)
	return document, err
}

// read returns a secret, or, with an error, the finding that says why there is
// none. Check is the name of that finding, and missing its fix where the secret
// is not there.
func read(ctx context.Context, s Secrets, check, name, missing string) ([]byte, Finding, error) {
	document, err := s.Secret(ctx, name)
	switch {
	case err == nil:
		return document, Finding{}, nil
	case errors.Is(err, ErrMissing):
		return nil, problem(check, "secret "+name+" is not there", missing), err
	case errors.Is(err, ErrHidden):
		return nil, warning(check, "secret "+name+" is there, but your credentials may not read it, so its form was not checked",
			"Have somebody run doctor whom IAM allows secretsmanager:GetSecretValue on it."), err
	}
	return nil, unread(check, "secret "+name+" cannot be read", err, "secretsmanager:GetSecretValue on it",
		"See in Secrets Manager that it is not marked for deletion, and run doctor again."), err
}

// public are the members of a secret whose values are none.
var public = []string{"client_id", "environment", "scopes", "endpoints", "response_type", "refresh"}

// The shortest text that is searched for: a shorter one stands in any text. A
// key's ID that is as long as a key is one in the wrong place.
const (
	leastSecret = 6
	leastKey    = 32
)

// confidential returns the strings of a document that must not be printed.
func confidential(document []byte) []string {
	var members map[string]any
	if json.Unmarshal(document, &members) != nil {
		return longEnough(strings.TrimSpace(string(document)))
	}
	var all []string
	if former, ok := members["former"].([]any); ok { // each has members as the client itself has
		delete(members, "former")
		for _, f := range former {
			all = append(all, confidential([]byte(quoted(f)))...)
		}
	}
	for name, v := range members {
		id, _ := v.(string)
		if slices.Contains(public, name) || name == "current" && len(id) < leastKey {
			continue
		}
		all = append(all, leaves(v)...)
	}
	return all
}

func leaves(v any) []string {
	var all []string
	switch v := v.(type) {
	case string:
		return longEnough(v)
	case []any:
		for _, e := range v {
			all = append(all, leaves(e)...)
		}
	case map[string]any:
		for _, e := range v {
			all = append(all, leaves(e)...)
		}
	}
	return all
}

func longEnough(s string) []string {
	if len(s) < leastSecret {
		return nil
	}
	return []string{s}
}

// redact takes everything that was read and is secret out of findings.
func (w *watched) redact(findings []Finding) []Finding {
	w.mu.Lock()
	defer w.mu.Unlock()
	var pairs []string
	for _, s := range w.seen {
		pairs = append(pairs, s, redacted, url.QueryEscape(s), redacted, strings.Trim(quoted(s), `"`), redacted)
	}
	r := strings.NewReplacer(pairs...)
	for i := range findings {
		findings[i].Detail, findings[i].Fix = r.Replace(findings[i].Detail), r.Replace(findings[i].Fix)
	}
	return findings
}

const redacted = "[redacted]"

// quoted returns v, a decoded JSON value, as JSON.
func quoted(v any) string {
	b, _ := json.Marshal(v) // it came from JSON: it cannot fail
	return string(b)
}
