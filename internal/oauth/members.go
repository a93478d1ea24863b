package oauth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The members of a client document, of its endpoints and of its former clients.
var (
	clientMembers   = []string{"client_id", "client_secret", "environment", "scopes", "endpoints", "response_type", "refresh", "refresh_rate", "refresh_concurrency", "account_change", "extra", "former"}
	endpointMembers = []string{"authorization_url", "token_url", "revocation_url", "userinfo_url", "prepare_url"}
	formerMembers   = []string{"client_id", "client_secret", "environment"}
)

// checkMembers returns an error for a member that looks like a misspelt one: an
// environment that is silently not read would mean production. Members of
// other names may stand in the document and mean nothing here; among the
// endpoints and in a former client there are none.
func checkMembers(document []byte) error {
	var d map[string]json.RawMessage
	if err := json.Unmarshal(document, &d); err != nil {
		return jsonProblem(err)
	}
	for _, name := range slices.Sorted(maps.Keys(d)) {
		if meant := meantBy(name, clientMembers); meant != "" {
			return fmt.Errorf("member %q is not known: write %q", name, meant)
		}
	}
	var e map[string]json.RawMessage
	var former []map[string]json.RawMessage
	_, _ = json.Unmarshal(d["endpoints"], &e), json.Unmarshal(d["former"], &former) // their types have been checked
	if err := only(e, "endpoints", endpointMembers); err != nil {
		return err
	}
	for i, f := range former {
		if err := only(f, fmt.Sprintf("former[%d]", i), formerMembers); err != nil {
			return err
		}
	}
	return nil
}

// only returns an error for the first member of an object, the one in the
// document at a place, that is not one of known.
func only(object map[string]json.RawMessage, place string, known []string) error {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if !slices.Contains(known, name) {
			return fmt.Errorf("%s.%s is not known: there are %s", place, name, strings.Join(known, ", "))
		}
	}
	return nil
}

// meantBy returns the one of known that name is a misspelling of: at most two
// letters away, and not the word itself.
func meantBy(name string, known []string) string {
	if slices.Contains(known, name) {
		return ""
	}
	for _, k := range known {
		if distance(strings.ToLower(name), k) <= 2 {
			return k
		}
	}
	return ""
}

// distance returns how many letters must be put in, taken out or replaced to
// make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, row[j]+1, before+1)
		}
	}
	return row[len(b)]
}

// UnknownMembers returns the names of the members of a client document that
// mean nothing, in order; nil where it is no JSON object.
func UnknownMembers(document []byte) []string {
	var d map[string]json.RawMessage
	_ = json.Unmarshal(bytes.TrimPrefix(document, byteOrderMark), &d) // nothing is known of what is no object
	return slices.DeleteFunc(slices.Sorted(maps.Keys(d)), func(name string) bool { return slices.Contains(clientMembers, name) })
}
