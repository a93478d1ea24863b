package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Tables describes tables.
type Tables interface {
	// Table describes a table. Its error is ErrMissing, ErrDenied, or says why the
	// table cannot be described.
	Table(ctx context.Context, name string) (Table, error)
}

// A Table is what a table is like. Keys are written as "connection_id S,
// provider N": names and types, the hash key first.
type Table struct {
	Status  string // ACTIVE in use
	Keys    string
	Indexes map[string]Index
	Guarded bool // nobody can delete it by mistake

	Stream    string // what its stream shows, such as NEW_AND_OLD_IMAGES; "": it has none
	StreamARN string // of the stream

	TTL         string // the attribute by which items expire; "": they do not
	TTLErr      error  // why TTL is not known
	Recovery    bool   // it can be restored to any point in time
	RecoveryErr error  // why Recovery is not known

	Clock    time.Time // of AWS, when it answered; zero: not known
	Received time.Time // of ours
}

// An Index is what an index of a table is like.
type Index struct {
	Status     string // ACTIVE in use
	Keys       string
	Projection string // KEYS_ONLY, INCLUDE or ALL
}

// What the tables must be like (docs/design.md, Records).
const (
	connectionKeys = "connection_id S, provider S"
	stateKeys      = "id S"
	dueIndex       = "due"
	dueKeys        = "due_shard S, due_at N"
	stateTTL       = "expires_at"
	active         = "ACTIVE"
)

const templateFix = "Deploy the table of template.yaml; keys cannot be changed afterwards, so a table with others must be made anew."

// connectionsTable checks the table of connections.
func connectionsTable(ctx context.Context, api Tables, name string) ([]Finding, Table) {
	const check = "connections_table"
	t, f, usable := table(ctx, api, check, name, "CONNECTIONS_TABLE", connectionKeys)
	if !usable {
		return []Finding{f}, t
	}
	return []Finding{f, due(check+"/due", t), staying(check+"/ttl", t), recovery(check+"/recovery", t), guarded(check+"/deletion", t)}, t
}

// stateTable checks the table of what passes.
func stateTable(ctx context.Context, api Tables, name string) []Finding {
	const check = "state_table"
	t, f, usable := table(ctx, api, check, name, "STATE_TABLE", stateKeys)
	if !usable {
		return []Finding{f}
	}
	return []Finding{f, passing(check+"/ttl", t)}
}

// table checks what both tables have in common. Usable says whether there is
// more to be checked of it.
func table(ctx context.Context, api Tables, check, name, setting, keys string) (_ Table, _ Finding, usable bool) {
	if name == "" {
		return Table{}, warning(check, "not checked: nobody said which table it is", untold(setting)), false
	}
	t, err := api.Table(ctx, name)
	switch {
	case errors.Is(err, ErrMissing):
		return t, problem(check, "there is no table "+name, "Look at "+setting+", and at the account and region that you are in; the stack's output ConnectionsTableName names the connections table."), false
	case err != nil:
		return t, unread(check, "table "+name+" cannot be described", err, "dynamodb:DescribeTable, DescribeTimeToLive and DescribeContinuousBackups on it", "Run doctor again."), false
	case t.Keys != keys:
		return t, problem(check, fmt.Sprintf("the keys of %s are %s, not %s", name, t.Keys, keys), templateFix), false
	case t.Status != active:
		return t, problem(check, fmt.Sprintf("table %s is %s", name, t.Status), "Wait until it is ACTIVE, and run doctor again."), true
	}
	return t, fine(check, "%s, keys %s", name, t.Keys), true
}

// due checks the index by which the sweep finds its work.
func due(check string, t Table) Finding {
	index, ok := t.Indexes[dueIndex]
	switch {
	case !ok:
		return problem(check, "there is no index "+dueIndex+", so nothing is ever refreshed", "Deploy the index of template.yaml; it can be added to a table in use.")
	case index.Keys != dueKeys:
		return problem(check, fmt.Sprintf("the keys of index %s are %s, not %s", dueIndex, index.Keys, dueKeys), "Delete the index and deploy that of template.yaml.")
	case index.Status != active:
		return problem(check, fmt.Sprintf("index %s is %s", dueIndex, index.Status), "Wait until it is ACTIVE, and run doctor again.")
	case index.Projection != "KEYS_ONLY":
		return warning(check, fmt.Sprintf("index %s holds more than keys (%s): each refresh costs more, and access tokens may stand in it", dueIndex, index.Projection),
			"Delete the index and deploy that of template.yaml, which is KEYS_ONLY.")
	}
	return fine(check, "index %s, keys %s", dueIndex, index.Keys)
}

// staying checks that connections do not expire as items: their attribute
// expires_at is the end of an access token.
func staying(check string, t Table) Finding {
	switch {
	case t.TTLErr != nil:
		return unread(check, "whether items expire is not known", t.TTLErr, "dynamodb:DescribeTimeToLive on it", "Run doctor again.")
	case t.TTL != "":
		return problem(check, "items expire by "+t.TTL+": DynamoDB deletes connections", "Turn time to live off on this table at once.")
	}
	return fine(check, "off, as it must be: connections stay")
}

// passing checks that what has passed is deleted.
func passing(check string, t Table) Finding {
	const fix = "Turn time to live on, with the attribute expires_at, as template.yaml does."
	switch {
	case t.TTLErr != nil:
		return unread(check, "whether items expire is not known", t.TTLErr, "dynamodb:DescribeTimeToLive on it", "Run doctor again.")
	case t.TTL == "":
		return problem(check, "items never expire: the table grows with each authorization request", fix)
	case t.TTL != stateTTL:
		return problem(check, "items expire by "+t.TTL+", which they do not have", fix)
	}
	return fine(check, "items expire by %s", t.TTL)
}

func recovery(check string, t Table) Finding {
	switch {
	case t.RecoveryErr != nil:
		return unread(check, "whether it can be restored is not known", t.RecoveryErr, "dynamodb:DescribeContinuousBackups on it", "Run doctor again.")
	case !t.Recovery:
		return warning(check, "point-in-time recovery is off: what is deleted by mistake is gone, and its users must connect again", "Turn it on, as template.yaml does.")
	}
	return fine(check, "point-in-time recovery is on")
}

func guarded(check string, t Table) Finding {
	if !t.Guarded {
		return warning(check, "deletion protection is off: one call deletes every connection", "Deploy with Environment=prod, or turn it on in DynamoDB.")
	}
	return fine(check, "deletion protection is on")
}
