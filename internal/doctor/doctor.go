// Package doctor checks a deployed stack, or local mode, before its first user
// does: settings, public URL, clock, keys, tables, client credentials and
// providers. What it finds is a list of findings, each problem with its fix.
//
// It changes nothing, and it sends no secret anywhere: it never makes a token
// request, nor a call that must precede an authorization request. No secret
// that it has read stands in a finding, whatever a check writes: findings are
// searched for them at the end. It sees what the person who runs it may see,
// from where they are: that a provider answers here does not prove that it
// answers the functions.
//
// To add a check, write a function from what was read to findings, call it in
// Deployment.Examine or Local.Examine, and give it a line in docs/operations.md.
package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// A Status says how bad a finding is.
type Status string

// What cannot be checked is a problem, unless nobody said where it is, or the
// credentials do not allow it.
const (
	OK      Status = "ok"
	Warning Status = "warning" // it works; somebody should know what it means
	Problem Status = "problem" // users will meet it
)

// A Finding is the outcome of one check.
type Finding struct {
	Check  string `json:"check"`  // its name, which never changes, such as clock or whiplash/secret
	Status Status `json:"status"` //
	Detail string `json:"detail"` // what was found
	Fix    string `json:"fix"`    // what to do, a sentence or two; "" where Status is OK
}

func fine(check, format string, args ...any) Finding {
	return Finding{Check: check, Status: OK, Detail: fmt.Sprintf(format, args...)}
}

func warning(check, detail, fix string) Finding {
	return Finding{Check: check, Status: Warning, Detail: detail, Fix: fix}
}

func problem(check, detail, fix string) Finding {
	return Finding{Check: check, Status: Problem, Detail: detail, Fix: fix}
}

// What cannot be read for a reason that has a fix of its own.
var (
	ErrMissing = errors.New("it is not there")
	ErrDenied  = errors.New("your credentials may not look at it")
	ErrHidden  = errors.New("it is there, but your credentials may not read it") // of a secret
)

// Secrets reads secrets.
type Secrets interface {
	// Secret returns the current value of a secret. Its error is ErrMissing,
	// ErrHidden, ErrDenied, or says why the secret cannot be read, without any value.
	Secret(ctx context.Context, name string) ([]byte, error)
}

// A Web is a way to web servers.
type Web interface {
	// Get makes one GET request without any credential and follows no redirect.
	// Its error names neither the URL nor what the server sent.
	Get(ctx context.Context, to, accept string) (Answer, error)

	// Reach opens a connection to the host of a URL, with TLS where it is https,
	// and closes it again.
	Reach(ctx context.Context, to string) error
}

// An Answer is what a web server answered.
type Answer struct {
	Status   int
	Header   map[string][]string // as in package net/http
	Body     []byte              // at most its first 64 KiB
	Received time.Time           // by our clock
}

// Count returns how many of findings have the given status.
func Count(findings []Finding, s Status) int {
	n := 0
	for _, f := range findings {
		if f.Status == s {
			n++
		}
	}
	return n
}

// Print writes findings for a person: a line each, and below it the fix.
func Print(w io.Writer, findings []Finding) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		_, _ = fmt.Fprintf(tw, "%s\t%s\t%s\n", f.Status, f.Check, printable(f.Detail))
		if f.Fix != "" {
			_, _ = fmt.Fprintf(tw, "\t\tFix: %s\n", printable(f.Fix))
		}
	}
	return tw.Flush()
}

// printable keeps text from elsewhere from steering the terminal or the table.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// PrintJSON writes findings for programs, as a list.
func PrintJSON(w io.Writer, findings []Finding) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(findings)
}
