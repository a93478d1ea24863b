package corpus

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/completion"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/dynamo"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/internal/spill"
	"github.com/evergrant/evergrant/pkg/providers"
)

const providerName = "acme"

var (
	noon   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	client = oauth.Client{Provider: providers.Provider{ID: providerName}, ID: "client-1", Environment: providers.Environment{Name: "production"}}
	tokens = oauth.TokenSet{
		AccessToken: "access", TokenType: "Bearer", RefreshToken: "refresh", Scopes: []string{"read", "write"}, Asked: []string{"read", "write", "delete"},
		IssuedAt: noon, ExpiresAt: noon.Add(2 * time.Hour), RefreshExpiresAt: noon.Add(90 * 24 * time.Hour),
		Account: oauth.Account{ID: "7", Label: "Shop"}, Metadata: map[string]string{"realm": "9"},
	}
	request = authrequest.Request{
		Key: key("browser"), State: "state", Verifier: "verifier", RedirectURI: "https://connect.example/callback/acme", Scopes: []string{"read"},
		Params: map[string]string{"shop": "one"}, ReturnTo: "https://app.example/done", TicketID: "ticket-0123456789", ClientID: "client-1",
		Environment: "production", Digest: "0123456789abcdefghijkl", ExpiresAt: noon.Add(authrequest.Life),
	}
	grant = spill.Grant{Tokens: tokens, ClientID: "client-1", Environment: "production", ConnectedAt: noon, RequestID: request.Record(noon).ID, AnyAccount: true}
)

func key(id string) connection.Key { return connection.Key{ConnectionID: id, Provider: providerName} }

func keys(t *testing.T) seal.Keys {
	t.Helper()
	ring, err := seal.ParseKeys([]byte(`{"current":"k2","keys":{"k1":"corpus-of-the-tests-00000000000001","k2":"corpus-of-the-tests-00000000000002"}}`))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// must fails the test on an error of a step.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write leaves an item of each kind in the tables.
func write(t *testing.T, s *dynamo.Store) {
	t.Helper()
	ctx := t.Context()
	connect := func(id string, change func(*oauth.TokenSet)) {
		given := tokens
		change(&given)
		c, err := connection.New(key(id), client, given, keys(t), 4)
		must(t, err)
		c.RequestID = grant.RequestID
		_, err = s.Connect(ctx, c)
		must(t, err)
	}
	claim := func(id string) connection.Connection {
		c, err := s.Claim(ctx, connection.Claim{Key: key(id), LeaseID: "lease", Now: noon, Until: noon.Add(2 * time.Minute), StoredFence: 1})
		must(t, err)
		c.Fence++
		c.Lease = connection.Lease{ID: "lease"}
		return c
	}
	same := func(*oauth.TokenSet) {}
	for _, id := range []string{"connected", "claimed", "deferred", "refreshed", "waiting", "refused", "disconnected"} {
		connect(id, same)
	}
	connect("static", func(t *oauth.TokenSet) {
		t.RefreshToken, t.RefreshExpiresAt, t.ExpiresAt, t.Metadata = "", time.Time{}, time.Time{}, nil
	})
	connect("issued", func(t *oauth.TokenSet) { t.RefreshToken, t.RefreshExpiresAt, t.Issued = "", time.Time{}, true })

	claim("claimed")
	failure := connection.Failure{Code: "timeout", Detail: "no answer", Count: 2, Since: noon, At: noon.Add(time.Minute)}
	deferred := claim("deferred")
	deferred.Failure, deferred.UpdatedAt = failure, noon.Add(time.Minute)
	must(t, s.Defer(ctx, deferred))
	refreshed := claim("refreshed")
	newer := tokens
	newer.AccessToken, newer.RefreshToken, newer.IssuedAt = "newer", "newer-refresh", noon.Add(time.Minute)
	must(t, refreshed.Accept(client, newer, keys(t), 4))
	refreshed.StoredFence = refreshed.Fence
	must(t, s.Commit(ctx, refreshed))
	waiting := claim("waiting")
	waiting.Failure, waiting.UpdatedAt = failure, noon.Add(time.Minute)
	must(t, s.Commit(ctx, waiting))
	refused := claim("refused")
	refused.Status, refused.Due = connection.ReauthorizationRequired, connection.Due{}
	refused.Failure = connection.Failure{Code: "invalid_grant", Count: 2, Since: noon, At: noon.Add(3 * time.Minute), Reason: "invalid_grant"}
	must(t, s.Commit(ctx, refused))
	_, err := s.Disconnect(ctx, key("disconnected"), noon.Add(time.Minute))
	must(t, err)
	writeState(t, s)
}

// The rows of the state table, by their IDs; those of requests are of the same
// name twice.
var requests = map[string]connection.Request{
	"pending": {ID: "request#pending", State: "pending", Key: key("pending"), ExpiresAt: noon.Add(24 * time.Hour)},
	"failed":  {ID: "request#failed", State: "failed", Key: key("failed"), ExpiresAt: noon.Add(24 * time.Hour)},
	"denied":  {ID: "request#denied", State: "denied", Key: key("denied"), ExpiresAt: noon.Add(24 * time.Hour)},
	"broken":  {ID: "request#broken", State: "broken", Key: key("broken"), ExpiresAt: noon.Add(24 * time.Hour), Outcome: connection.Failed},
	"held":    {}, // below
}

// held returns the record of a request whose answer waits for the host.
func held(t *testing.T) connection.Request {
	t.Helper()
	answer := completion.Answer{Request: request, Params: map[string]oauth.Secret{"code": "code"}, At: noon}
	r, err := answer.Held(keys(t), request.Record(noon))
	must(t, err)
	return r
}

func writeState(t *testing.T, s *dynamo.Store) {
	t.Helper()
	ctx := t.Context()
	must(t, s.ClaimRequest(ctx, requests["pending"]))
	must(t, s.ClaimRequest(ctx, requests["failed"]))
	failed := requests["failed"]
	failed.Outcome, failed.Code = connection.Failed, "provider_failed"
	must(t, s.FinishRequest(ctx, failed))
	must(t, s.DenyRequest(ctx, requests["denied"]))
	must(t, s.DenyRequest(ctx, requests["broken"]))
	must(t, s.ClaimRequest(ctx, held(t)))

	_, err := s.TakeSweep(ctx, connection.Sweep{ID: "sweep-1", Now: noon, Until: noon.Add(time.Minute), Shards: 4, Table: "table-1"})
	must(t, err)
	_, err = s.TakeSweep(ctx, connection.Sweep{Name: "4.1", ID: "worker-1", Now: noon, Until: noon.Add(time.Minute)})
	must(t, err)
	must(t, s.Hold(ctx, providerName, noon))
	must(t, s.SetBreaker(ctx, providerName, connection.Breaker{OpenUntil: noon.Add(time.Minute), Opened: 2, Reason: connection.Outage}))
	_, err = s.CountRefreshes(ctx, providerName, connection.Outcomes{Refreshes: 9, InvalidGrants: 2}, noon)
	must(t, err)
	_, err = s.ReserveTime(ctx, providerName, time.Second, noon, noon.Add(time.Minute))
	must(t, err)
}

// reads returns what s reads of the items of f.
func reads(t *testing.T, s *dynamo.Store, f format) map[string]any {
	t.Helper()
	out := map[string]any{}
	for id := range f.Connections {
		c, err := s.Get(t.Context(), key(id))
		must(t, err)
		read := dump(c).(map[string]any)
		if c.SealedRefreshToken != nil {
			plain, err := c.RefreshToken(keys(t))
			must(t, err)
			read["RefreshToken"] = plain.Reveal()
		}
		out["connection "+id] = read
	}
	for name, r := range requests {
		if name == "held" {
			r = request.Record(noon)
		}
		got, err := s.GetRequest(t.Context(), r.ID, r.State)
		must(t, err)
		read := dump(got).(map[string]any)
		if got.Answer != nil {
			answer, err := completion.Open(keys(t), got)
			must(t, err)
			read["Answer"] = dump(answer)
		}
		out["request "+name] = read
	}
	b, err := s.GetBreaker(t.Context(), providerName)
	must(t, err)
	out["breaker"] = dump(b)
	swept, err := s.TakeSweep(t.Context(), connection.Sweep{ID: "sweep-1", Now: noon, Until: noon.Add(time.Minute), Shards: 4})
	must(t, err)
	out["swept"] = dump(swept)
	start, err := s.ReserveTime(t.Context(), providerName, time.Second, noon, noon.Add(time.Minute))
	must(t, err)
	out["free at"] = dump(start)
	cookie, err := request.Marshal()
	must(t, err)
	out["cookie"] = json.RawMessage(cookie) // sealed, another release reads it for ten minutes
	return out
}

// spills are the two kinds of tokens that wait outside of the table.
var spills = map[string]connection.SpillKey{
	"spill of a refresh": {Key: key("spilled"), Fence: 7},
	"spill of a grant":   {Key: key("spilled"), Grant: noon.UnixNano()},
}

// seals returns what is sealed outside of the tables, in base64 where it is
// bytes.
func seals(t *testing.T) map[string]string {
	t.Helper()
	cookie, err := authrequest.SetCookie(keys(t), request, true)
	must(t, err)
	handle, err := completion.Handle(keys(t), request.Record(noon).ID)
	must(t, err)
	out := map[string]string{"cookie": cookie, "handle": handle}
	for name, at := range spills {
		sealed, err := spill.Seal(keys(t), at, grant)
		must(t, err)
		out[name] = base64.StdEncoding.EncodeToString(sealed)
	}
	return out
}

// opens fails where what a release has sealed does not open.
func opens(t *testing.T, n int, sealed map[string]string) {
	t.Helper()
	cookie := sealed["cookie"]
	value, _, _ := strings.Cut(cookie[len(authrequest.CookieName(request.State, true))+1:], ";")
	got, err := authrequest.Open(keys(t), value)
	if err != nil || !reflect.DeepEqual(dump(got), dump(request)) {
		t.Errorf("format %d: the cookie opens to %v, %v", n, dump(got), err)
	}
	if id, ok := completion.ParseHandle(keys(t), sealed["handle"]); !ok || id != request.Record(noon).ID {
		t.Errorf("format %d: the handle is of %q, %t", n, id, ok)
	}
	for name, at := range spills {
		b, err := base64.StdEncoding.DecodeString(sealed[name])
		must(t, err)
		got, err := spill.Open(keys(t), at, b)
		if err != nil || !reflect.DeepEqual(dump(got), dump(grant)) {
			t.Errorf("format %d: the %s opens to %v, %v", n, name, dump(got), err)
		}
	}
}
