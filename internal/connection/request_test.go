package connection

import (
	"strings"
	"testing"
)

// An authorization request completes once: by its ticket where there is one,
// however often the link was opened.
func TestRequestID(t *testing.T) {
	const jti, state, other = "ticket-c4n4ry-0123", "st4te-c4n4ry", "another-state"
	if RequestID(jti, state) != RequestID(jti, other) {
		t.Error("one ticket makes two requests")
	}
	if RequestID("", state) == RequestID("", other) {
		t.Error("two states make one request")
	}
	if RequestID(state, "") == RequestID("", state) {
		t.Error("a ticket and a state of the same text are one request")
	}
	if RequestID(jti, state) == RequestID(other, state) {
		t.Error("two tickets make one request")
	}
}

// A reader of the state table can finish nobody's request, and a release finds
// what the one before it has written.
func TestIDsHoldNoPlainValue(t *testing.T) {
	const value = "c4n4ry"
	const digest = "d35388817a2d5f8cf2c3d07b4eb8766c2d5a2b3836d68504cfc47d07af319b9b"
	for got, want := range map[string]string{
		RequestID(value, "state"): "ticket#" + digest,
		RequestID("", value):      "request#" + digest,
		StateID(value):            digest,
	} {
		if got != want || strings.Contains(got, value) {
			t.Errorf("ID = %s, want %s", got, want)
		}
	}
}
