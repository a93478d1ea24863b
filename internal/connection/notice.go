package connection

import "time"

// NoticeSource is the source of every notice, as rules for them match it.
const NoticeSource = "evergrant"

// A Notice is what the host is told of a change of a connection, ready to be
// published. It holds no secret but, where it asks for a person, the ticket in
// its link.
type Notice struct {
	Type   string    // such as "Connection Connected"
	Table  string    // ARN of the connections table, by which rules know whose it is; "": not known
	At     time.Time // of the change
	Detail []byte    // JSON
}
