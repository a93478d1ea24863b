package connection

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// An Outcome is how an authorization request ended.
type Outcome string

// Connected is found with the connection; the other outcomes stand in the
// record of the request.
const (
	Pending   Outcome = "" // claimed: the exchange is under way, or was cut off
	Connected Outcome = "connected"
	Denied    Outcome = "denied"
	Failed    Outcome = "failed"
)

// A Request is the record of a claimed authorization request in the state
// table. An authorization request is claimed once: the ID is that of its
// ticket, or of its state where there is no ticket.
type Request struct {
	ID        string // RequestID
	State     string // StateID of the authorization request that holds the claim
	Key       Key
	Outcome   Outcome
	Code      string // why it failed, in our words
	ExpiresAt time.Time

	// Answer is the provider's answer, sealed, while it waits for the host;
	// HeldUntil says until when it may be taken, and stays when it was.
	Answer    []byte
	HeldUntil time.Time
}

// RequestID returns the ID under which an authorization request is claimed:
// by its ticket's jti, or by state where there is no ticket. Only hashes are
// stored, so that a reader of the table can finish nobody's request.
func RequestID(jti, state string) string {
	if jti != "" {
		return "ticket#" + digest(jti)
	}
	return "request#" + digest(state)
}

// StateID returns the form in which a state is stored.
func StateID(state string) string { return digest(state) }

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
