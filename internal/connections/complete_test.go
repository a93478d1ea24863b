package connections

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/completion"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/oauth"
)

const returnTo = "https://app.example.com/done"

// hold holds an answer for acct_42 at Whiplash, as the callback does, and
// returns its handle.
func (f *fixture) hold(t *testing.T) string {
	t.Helper()
	client, _ := f.secrets.Client(t.Context(), "whiplash")
	ar := authrequest.Request{
		Key: connection.Key{ConnectionID: "acct_42", Provider: "whiplash"}, State: oauth.NewState(), Verifier: "c4nary-verifier", TicketID: "c4nary-ticket",
		RedirectURI: "https://connect.example.com/callback/whiplash", ReturnTo: returnTo, Scopes: []string{"user_read"},
		ClientID: client.ID, Environment: client.Environment.Name, Digest: client.Digest(), ExpiresAt: time.Now().Add(authrequest.Life),
	}
	a, err := completion.Read(client, ar, map[string]string{"code": "c4nary-code"}, false, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Held(f.secrets.keys, ar.Record(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.store.ClaimRequest(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	handle, err := completion.Handle(f.secrets.keys, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	return handle
}

// complete handles the event that the host's backend sends, within a time.
func (f *fixture) complete(t *testing.T, handle string, within time.Duration) Response {
	t.Helper()
	var event map[string]string
	if err := json.Unmarshal(eventFile(t, "connections-complete.json"), &event); err != nil {
		t.Fatal(err)
	}
	event["handle"] = handle
	raw, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	resp, err := f.Handle(ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(f.log.String(), "c4nary") || strings.Contains(f.log.String(), "verifier") || strings.Contains(f.log.String(), handle) {
		t.Errorf("the log shows the code, the verifier or the handle: %s", f.log)
	}
	return resp
}

func TestCompleteConnects(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.endpoint.account = oauth.Account{ID: "7", Label: "shop"}
		resp := f.complete(t, f.hold(t), time.Minute)
		if resp.Error != nil || resp.ReturnTo != returnTo || resp.Connection.AccountLabel != "shop" || resp.Connection.ExpiresAt == 0 {
			t.Errorf("complete = %+v", resp)
		}
		if len(f.endpoint.codes) != 1 || f.endpoint.codes[0] != "c4nary-verifier c4nary-code" {
			t.Errorf("the provider got %d codes", len(f.endpoint.codes))
		}
		got, _ := f.do(t, `{"action":"get","connection_id":"acct_42","provider":"whiplash"}`)
		if got.Connection == nil || got.Connection.AccountID != "7" {
			t.Errorf("get = %+v", got)
		}
	})
}

// A function that has too little time left says so before it takes the answer.
func TestCompleteLeavesTimeForTheExchange(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		handle := f.hold(t)
		resp := f.complete(t, handle, completion.Enough-time.Second)
		if resp.Error == nil || resp.Error.Type != "unavailable" || len(f.endpoint.codes) != 0 {
			t.Errorf("complete = %v", resp.Error)
		}
		if resp := f.complete(t, handle, completion.Enough); resp.Error != nil {
			t.Errorf("with enough time: %v", resp.Error)
		}
	})
}

// SECURITY row 51: the store is away by the time of completion. The grant is
// spilled; without a second store it is in the log, and the error says so.
func TestACompletedGrantThatTheStoreDoesNotTake(t *testing.T) {
	for _, tt := range []struct {
		typ   string
		spill *connectiontest.Spill
	}{{"kept", new(connectiontest.Spill)}, {"not_stored", &connectiontest.Spill{OnCall: func(string) (bool, error) { return false, errors.New("down") }}}} {
		bubble(t, func(t *testing.T, f *fixture) {
			f.Spill = tt.spill
			f.store.OnWrite = func(op string, _ any) (bool, error) {
				if op == "Connect" || op == "Restore" {
					return false, errors.New("down")
				}
				return true, nil
			}
			start := time.Now()
			resp := f.complete(t, f.hold(t), time.Minute)
			if resp.Error == nil || resp.Error.Type != tt.typ || resp.ReturnTo != returnTo {
				t.Errorf("complete = %+v, want %s", resp, tt.typ)
			}
			if took := time.Since(start); took > 59*time.Second || took < 50*time.Second {
				t.Errorf("it gave up after %v", took)
			}
			if n := tt.spill.Len(); (n == 1) != (tt.typ == "kept") {
				t.Errorf("%d spills", n)
			}
		})
	}
}

// A caller who leaves loses no grant.
func TestACompletionSurvivesItsCaller(t *testing.T) {
	bubble(t, func(t *testing.T, f *fixture) {
		f.endpoint.delay = time.Second
		handle := f.hold(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		time.AfterFunc(time.Second/2, cancel)
		resp, err := f.Handle(ctx, json.RawMessage(`{"action":"complete","handle":"`+handle+`","connection_id":"acct_42","provider":"whiplash"}`))
		if err != nil || resp.Error != nil {
			t.Errorf("complete = %v, %v", resp.Error, err)
		}
	})
}
