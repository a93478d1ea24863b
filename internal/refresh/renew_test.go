package refresh

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/pkg/providers"
)

func TestRenewStoresWhatTheProviderAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		before := f.get(t, f.key)
		f.renew(t, Refreshed)

		c := f.get(t, f.key)
		if c.AccessToken != "c4nary-access-1" || f.held(t, f.key) != "c4nary-refresh-1" {
			t.Error("the new tokens are not stored")
		}
		if c.Lease != (connection.Lease{}) || c.Failure != (connection.Failure{}) || c.Status != connection.Active {
			t.Errorf("lease, failure or status left over: %+v", c)
		}
		if c.Fence != before.Fence+1 || c.StoredFence != c.Fence {
			t.Errorf("fence %d, stored fence %d after fence %d", c.Fence, c.StoredFence, before.Fence)
		}
		if !c.Due.At.After(time.Now().Add(time.Hour)) || !c.Due.At.Before(c.ExpiresAt) || !c.RefreshedAt.Equal(time.Now().Truncate(time.Second)) {
			t.Errorf("due at %v, refreshed at %v, expires at %v", c.Due.At, c.RefreshedAt, c.ExpiresAt)
		}
	})
}

// What a refresh may cost: two base writes and no read.
func TestRenewWritesTwiceAndReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		before := f.store.Calls()
		f.renew(t, Refreshed)
		var calls int
		for _, n := range f.store.Calls() {
			calls += n
		}
		for _, n := range before {
			calls -= n
		}
		if got := f.store.Calls(); calls != 2 || got["Claim"] != 1 || got["Commit"] != 1 {
			t.Errorf("store calls %v after %v, want one Claim and one Commit", got, before)
		}
	})
}

func TestRenewUsesARefreshTokenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		f.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
			<-time.After(time.Second)
			return rotated(1), nil
		}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := f.Renew(t.Context(), f.key, 0); err != nil {
					t.Errorf("Renew: %v", err)
				}
			})
		}
		wg.Wait()
		if len(f.endpoint.sent) != 1 {
			t.Errorf("%d token requests, want 1", len(f.endpoint.sent))
		}
	})
}

func TestRenewKeepsTheRefreshTokenWhereNoneComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		f.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
			tokens := rotated(1)
			tokens.RefreshToken = ""
			return tokens, nil
		}
		f.renew(t, Refreshed)
		if got := f.held(t, f.key); got != "c4nary-refresh-0" {
			t.Errorf("refresh token = %q, want the old one", got)
		}
	})
}

func TestRenewAsksAgainForAnIssuedToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		c, _ := connection.New(f.key, f.secrets.client, oauth.TokenSet{AccessToken: "c4nary-a", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour), Issued: true}, f.secrets.keys, 4)
		if _, err := f.store.Connect(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		<-time.After(55 * time.Minute)
		f.renew(t, Refreshed)
		if f.endpoint.issued != 1 || f.get(t, f.key).AccessToken != "c4nary-issued" || len(f.endpoint.sent) != 0 {
			t.Errorf("issued %d times, sent %d refresh tokens", f.endpoint.issued, len(f.endpoint.sent))
		}
	})
}

// What is issued to the client itself never asks for a person.
func TestAnIssuedTokenIsAskedForAgainWhateverTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		c, _ := connection.New(f.key, f.secrets.client, oauth.TokenSet{AccessToken: "c4nary-a", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour), Issued: true}, f.secrets.keys, 4)
		if _, err := f.store.Connect(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		f.endpoint.issueErr = &oauth.Error{Status: 200, Code: "invalid_grant"}
		for range 4 {
			<-time.After(time.Hour)
			f.renew(t, Failed)
		}
		if c := f.get(t, f.key); c.Status != connection.Active || c.Failure.Count != 4 || c.Failure.Reason != "" || c.Due.At.IsZero() {
			t.Errorf("after four refusals: %+v", c)
		}
	})
}

// Whatever fails, the access token stays where readers find it, and only two
// strikes of the provider's own invalid_grant ask for a person.
func TestAFailedRefreshTakesNothingAway(t *testing.T) {
	const lease = attempt + allWrite + settle - time.Second
	tests := []struct {
		name    string
		answer  *oauth.Error
		code    string // of the failure; "": not charged
		held    bool   // the lease is left to run out
		minWait time.Duration
	}{
		{"not sent", &oauth.Error{NotSent: true, Reason: "no answer"}, "unreachable", false, 10 * time.Second},
		{"rate limited", &oauth.Error{Status: 429, Reason: "the provider refused", RetryAfter: 20 * time.Minute}, "http_429", false, 20 * time.Minute},
		{"rate limited absurdly", &oauth.Error{Status: 429, Reason: "the provider refused", RetryAfter: 1000 * time.Hour}, "http_429", false, time.Hour},
		{"request time-out", &oauth.Error{Status: 408, Reason: "the provider refused"}, "http_408", false, 10 * time.Second},
		{"firewall", &oauth.Error{Status: 403, Reason: "the provider refused"}, "http_403", false, 10 * time.Second},
		{"unknown error", &oauth.Error{Status: 400, Code: "unrecognized_error"}, "unrecognized_error", false, 10 * time.Second},
		{"no answer", &oauth.Error{Reason: "no answer"}, "no_answer", true, lease},
		{"server error", &oauth.Error{Status: 503, Reason: "the provider refused"}, "http_503", true, lease},
		{"overloaded", &oauth.Error{Status: 503, Reason: "the provider refused", RetryAfter: 20 * time.Minute}, "http_503", true, 20 * time.Minute},
		{"a 200 that is HTML", &oauth.Error{Status: 200, Reason: "the answer is HTML"}, "http_200", true, lease},
		{"wrong client", &oauth.Error{Status: 401, Code: "invalid_client"}, "", false, 10 * time.Second},
		{"wrong scope", &oauth.Error{Status: 400, Code: "invalid_scope"}, "", false, 10 * time.Second},
		{"redirect", &oauth.Error{Status: 302, Reason: "the provider refused"}, "", false, 10 * time.Second},
		{"first invalid_grant", &oauth.Error{Status: 400, Code: "invalid_grant"}, "invalid_grant", false, strikeAfter},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.connect(t, f.key)
				before := f.get(t, f.key)
				f.endpoint.answer = refuse(tt.answer)
				if err := f.renewErr(t, Failed); err == nil {
					t.Error("no error")
				}
				c := f.get(t, f.key)
				if c.AccessToken != before.AccessToken || f.held(t, f.key) != "c4nary-refresh-0" || c.Status != connection.Active {
					t.Errorf("tokens or status changed: %+v", c)
				}
				if c.Failure.Code != tt.code || (tt.code != "") != (c.Failure.Count == 1) {
					t.Errorf("failure = %+v, want code %q", c.Failure, tt.code)
				}
				if c.Lease.Held(time.Now()) != tt.held || (tt.held && c.Lease.Until.After(c.Due.At)) {
					t.Errorf("lease held = %v, want %v, and not beyond the next refresh", c.Lease.Held(time.Now()), tt.held)
				}
				if wait := c.Due.At.Sub(time.Now().Truncate(time.Second)); wait < tt.minWait {
					t.Errorf("due again in %v, want at least %v", wait, tt.minWait)
				}
				if wait := time.Until(c.Due.At); wait > 2*time.Hour {
					t.Errorf("due again in %v: no provider puts us off for so long", wait)
				}
				if len(f.endpoint.sent) != 1 {
					t.Errorf("%d token requests, want 1", len(f.endpoint.sent))
				}
			})
		})
	}
}

func TestTwoStrikesAskForAPerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		f.endpoint.answer = refuse(&oauth.Error{Status: 400, Code: "invalid_grant"})
		f.renew(t, Failed)
		f.renew(t, Skipped) // not due yet
		<-time.After(6 * time.Minute)
		f.renew(t, Failed)

		c := f.get(t, f.key)
		if c.Status != connection.ReauthorizationRequired || c.Failure.Reason != "invalid_grant" || !c.Due.At.IsZero() {
			t.Errorf("after two strikes: %+v", c)
		}
		if c.AccessToken != "c4nary-access-0" {
			t.Error("the access token is gone while it may still be valid")
		}
	})
}

func TestStrikesCountOnlyMinutesApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		f.endpoint.answer = refuse(&oauth.Error{Status: 400, Code: "invalid_grant"})
		f.renew(t, Failed)
		<-time.After(time.Minute)
		stored := f.get(t, f.key).StoredFence
		if got, _ := f.Renew(t.Context(), f.key, stored); got.Result != Failed {
			t.Fatalf("Renew on demand = %v", got)
		}
		if c := f.get(t, f.key); c.Status != connection.Active || c.Failure.Count != 1 {
			t.Errorf("a second refusal within three minutes counted: %+v", c.Failure)
		}
	})
}

func TestAStrikeIsForgottenAfterASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		f.endpoint.answer = refuse(&oauth.Error{Status: 400, Code: "invalid_grant"})
		f.renew(t, Failed)
		<-time.After(6 * time.Minute)
		f.endpoint.answer = nil
		f.renew(t, Refreshed)
		if c := f.get(t, f.key); c.Failure != (connection.Failure{}) {
			t.Errorf("failure after a success: %+v", c.Failure)
		}
	})
}

// After a request whose answer never came the provider may have rotated. When
// it then refuses, that is our loss and not the user's doing.
func TestARefusalAfterAnUnknownOutcomeIsRotationLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		f.endpoint.answer = refuse(&oauth.Error{Reason: "no answer"})
		f.renew(t, Failed)
		f.renew(t, Skipped) // the lease holds: nobody sends
		<-time.After(3 * time.Minute)
		f.endpoint.answer = refuse(&oauth.Error{Status: 400, Code: "invalid_grant"})
		f.renew(t, Failed)
		if c := f.get(t, f.key); c.Failure.Reason != "rotation_lost" || c.Status != connection.Active {
			t.Errorf("first strike after an unknown outcome: %+v", c)
		}
		<-time.After(6 * time.Minute)
		f.renew(t, Failed)
		if c := f.get(t, f.key); c.Failure.Reason != "rotation_lost" || c.Status != connection.ReauthorizationRequired {
			t.Errorf("second strike after an unknown outcome: %+v", c)
		}
	})
}

// A provider whose refresh tokens stand a second use is asked again at once.
func TestAnUnknownOutcomeIsSentAgainWhereThatIsSafe(t *testing.T) {
	for _, rotation := range []providers.Rotation{providers.Reusable, providers.Grace, providers.UntilFirstUse} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.secrets.client.Provider.Rotation = rotation
			f.connect(t, f.key)
			f.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
				if len(f.endpoint.sent) == 1 {
					return oauth.TokenSet{}, &oauth.Error{Status: 502, Reason: "the provider refused"}
				}
				return rotated(1), nil
			}
			f.renew(t, Refreshed)
			if len(f.endpoint.sent) != 2 || f.endpoint.sent[0] != f.endpoint.sent[1] {
				t.Errorf("rotation %v: sent %d times", rotation, len(f.endpoint.sent))
			}
		})
	}
}

func TestAChangedClientSecretIsTriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		changed := f.secrets.client
		changed.Secret = "s2"
		f.secrets.others = []oauth.Client{changed}
		f.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
			if len(f.endpoint.sent) == 1 {
				return oauth.TokenSet{}, &oauth.Error{Status: 401, Code: "invalid_client"}
			}
			return rotated(1), nil
		}
		f.renew(t, Refreshed)
		if len(f.endpoint.sent) != 2 {
			t.Errorf("%d token requests, want 2", len(f.endpoint.sent))
		}
	})
}

// A grant is bound to its client ID: another client would be refused, and the
// refusal would look like the user's.
func TestAGrantOfAnotherClientIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		f.secrets.client.ID = "another"
		err := f.renewErr(t, Skipped)
		if !errors.Is(err, oauth.ErrNotConfigured) || len(f.endpoint.sent) != 0 {
			t.Errorf("err = %v, %d token requests", err, len(f.endpoint.sent))
		}
		if c := f.get(t, f.key); c.Failure.Count != 0 || c.Lease.ID != "" || !c.Due.At.After(time.Now()) {
			t.Errorf("charged, leased or not put off: %+v", c)
		}
	})
}

func TestARefreshTokenThatCannotBeOpenedIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		c := f.get(t, f.key)
		c.SealedRefreshToken[len(c.SealedRefreshToken)-1] ^= 1
		c.Due.At = time.Now()
		if _, err := f.store.Connect(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if err := f.renewErr(t, Failed); !errors.Is(err, oauth.ErrNotConfigured) || len(f.endpoint.sent) != 0 {
			t.Errorf("err = %v, %d token requests", err, len(f.endpoint.sent))
		}
		if c := f.get(t, f.key); c.Status != connection.Active || c.Failure.Count != 0 {
			t.Errorf("charged: %+v", c)
		}
	})
}

// What can fail fails before the claim.
func TestNothingIsClaimedThatCannotBeFinished(t *testing.T) {
	tests := []struct {
		name string
		left time.Duration
		err  error
		want error
	}{
		{"too little time", attempt - time.Second, nil, ErrNoTime},
		{"no credentials", time.Minute, oauth.ErrNotConfigured, oauth.ErrNotConfigured},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.connect(t, f.key)
				f.secrets.err = tt.err
				ctx, cancel := context.WithTimeout(t.Context(), tt.left)
				defer cancel()
				_, err := f.Renew(ctx, f.key, 0)
				if !errors.Is(err, tt.want) || f.store.Calls()["Claim"] != 0 || len(f.endpoint.sent) != 0 {
					t.Errorf("err = %v, calls %v, %d token requests", err, f.store.Calls(), len(f.endpoint.sent))
				}
			})
		})
	}
}

// The lease outlives the invocation, so that no second request is sent while
// the first may be on its way.
func TestTheLeaseOutlivesTheInvocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		deadline, _ := ctx.Deadline()
		f.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
			if c := f.get(t, f.key); c.Lease.Until.Before(deadline.Add(30*time.Second).Truncate(time.Second)) || c.Lease.SentAt.IsZero() {
				t.Errorf("lease %+v while sending, deadline %v", c.Lease, deadline)
			}
			return rotated(1), nil
		}
		if _, err := f.Renew(ctx, f.key, 0); err != nil {
			t.Fatal(err)
		}
	})
}

// A 200 is never lost: the write is tried until it succeeds, also when the
// caller has gone, and a lost answer of the store is no failure.
func TestANewTokenReachesTheStore(t *testing.T) {
	tests := []struct {
		name  string
		fault func(n int) (apply bool, err error) // of the n-th Commit
	}{
		{"writes lost", func(n int) (bool, error) {
			if n <= 4 {
				return false, errors.New("throttled")
			}
			return true, nil
		}},
		{"answer lost", func(n int) (bool, error) {
			if n == 1 {
				return true, errors.New("connection reset")
			}
			return true, nil
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.connect(t, f.key)
				commits := 0
				f.store.OnWrite = func(op string, _ any) (bool, error) {
					if op != "Commit" {
						return true, nil
					}
					commits++
					return tt.fault(commits)
				}
				ctx, cancel := context.WithCancel(t.Context())
				f.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
					cancel() // the caller hangs up
					return rotated(1), nil
				}
				got, err := f.Renew(ctx, f.key, 0)
				if got.Result != Refreshed || err != nil {
					t.Fatalf("Renew = %v, %v", got, err)
				}
				if f.held(t, f.key) != "c4nary-refresh-1" || f.get(t, f.key).AccessToken != "c4nary-access-1" {
					t.Error("the new pair is not stored")
				}
			})
		})
	}
}

// A disconnect or reconnect during the refresh stands, and what came too late
// is revoked where that cannot hurt the new grant.
func TestALateAnswerLosesAgainstAPerson(t *testing.T) {
	tests := []struct {
		name       string
		disconnect bool
		revokesOne bool
		revoked    int
	}{
		{"disconnected", true, false, 1},
		{"disconnected, where one grant is revoked", true, true, 1},
		{"reconnected, where one grant is revoked", false, true, 1},
		{"reconnected, where a revocation may end the new grant", false, false, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				f.secrets.client.Provider.RevokesOne = tt.revokesOne
				f.connect(t, f.key)
				f.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
					if tt.disconnect {
						if _, err := f.store.Disconnect(context.Background(), f.key, time.Now()); err != nil {
							t.Error(err)
						}
					} else {
						<-time.After(time.Second)
						f.connect(t, f.key)
					}
					return rotated(1), nil
				}
				f.renew(t, Skipped)
				c := f.get(t, f.key)
				if c.AccessToken == "c4nary-access-1" || (c.Status == connection.Disconnected) != tt.disconnect {
					t.Errorf("the late answer won: %+v", c)
				}
				if len(f.endpoint.revoked) != tt.revoked {
					t.Errorf("revoked %d tokens, want %d", len(f.endpoint.revoked), tt.revoked)
				}
			})
		})
	}
}

// The loser of a race gets invalid_grant for a token that somebody else has
// replaced: that is no strike.
func TestTheLoserOfARaceCannotHurtTheWinner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		f.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
			f.connect(t, f.key)
			return oauth.TokenSet{}, &oauth.Error{Status: 400, Code: "invalid_grant"}
		}
		f.renew(t, Skipped)
		if c := f.get(t, f.key); c.Failure.Count != 0 || c.Status != connection.Active {
			t.Errorf("the winner was charged: %+v", c)
		}
	})
}

func TestStoreOutOfReachAtTheClaimSendsNothing(t *testing.T) {
	for _, applied := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.connect(t, f.key)
			f.store.OnWrite = func(op string, _ any) (bool, error) { return applied, errors.New("out of reach") }
			if err := f.renewErr(t, Failed); err == nil || len(f.endpoint.sent) != 0 {
				t.Errorf("err = %v, %d token requests", err, len(f.endpoint.sent))
			}
		})
	}
}

// An unheardCommit takes effect and is not heard of, and then the store is away
// for a while.
type unheardCommit struct {
	Leases
	calls int
	away  time.Time // until then
}

func (u *unheardCommit) Commit(ctx context.Context, c connection.Connection) error {
	if u.calls++; u.calls == 1 {
		if err := u.Leases.Commit(ctx, c); err != nil {
			return err
		}
	}
	if time.Now().Before(u.away) {
		<-ctx.Done()
		return ctx.Err()
	}
	return u.Leases.Commit(ctx, c)
}

// Somebody has claimed the connection since a commit took effect that nobody
// heard of. What it stored is live, and is not to be revoked as late.
func TestAnOwnWriteIsNotTakenForAReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.secrets.client.Provider.RevokesOne = true
		f.connect(t, f.key)
		first := &Renewer{
			Leases: &unheardCommit{Leases: f.store, away: time.Now().Add(4 * time.Second)}, Breakers: f.store, Secrets: f.secrets, Tokens: f.endpoint,
			Shards: f.Shards, NewID: f.NewID, Random: f.Random, Now: f.Now, Log: f.Log,
		}
		var workers sync.WaitGroup
		workers.Go(func() {
			if got, err := first.Renew(t.Context(), f.key, 0); got.Result != Refreshed || err != nil {
				t.Errorf("Renew = %v, %v", got, err)
			}
		})
		<-time.After(3 * time.Second)
		f.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
			<-time.After(20 * time.Second)
			return oauth.TokenSet{}, &oauth.Error{Status: 429, Reason: "busy"}
		}
		if got, _ := f.Renew(t.Context(), f.key, f.get(t, f.key).StoredFence); got.Result != Failed {
			t.Errorf("the second refresh = %v", got)
		}
		workers.Wait()
		if len(f.endpoint.revoked) != 0 {
			t.Errorf("revoked %d tokens, which are those of the row", len(f.endpoint.revoked))
		}
	})
}

// A provider that is slow to refuse a client leaves no time to try another.
// Whatever took so long, DynamoDB or Secrets Manager: a request whose answer
// nobody could wait for is not sent, and the claim is given back.
func TestNothingIsSentWithoutTimeForItsAnswer(t *testing.T) {
	for _, tt := range []struct {
		claim time.Duration
		sent  int
	}{{time.Second, 1}, {brief + 2*time.Second, 0}} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.connect(t, f.key)
			f.store.OnWrite = func(op string, _ any) (bool, error) {
				if op == "Claim" {
					<-time.After(tt.claim)
				}
				return true, nil
			}
			ctx, cancel := context.WithTimeout(t.Context(), attempt+time.Second)
			defer cancel()
			_, err := f.Renew(ctx, f.key, 0)
			if len(f.endpoint.sent) != tt.sent || errors.Is(err, ErrNoTime) != (tt.sent == 0) {
				t.Errorf("after a claim of %v: %d requests, %v", tt.claim, len(f.endpoint.sent), err)
			}
			if c := f.get(t, f.key); c.Lease.ID != "" {
				t.Errorf("after a claim of %v the lease is not given back", tt.claim)
			}
		})
	}
}

// A second try that was not sent leaves the first what it is: unknown.
func TestAnUnknownOutcomeStaysUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.secrets.client.Provider.Rotation = providers.Grace
		f.connect(t, f.key)
		f.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
			return oauth.TokenSet{}, &oauth.Error{Status: 503, NotSent: len(f.endpoint.sent) == 2}
		}
		_, err := f.Renew(t.Context(), f.key, 0)
		if !oauth.Unknown(err) || len(f.endpoint.sent) != 2 {
			t.Errorf("after %d requests: %v, want an unknown outcome", len(f.endpoint.sent), err)
		}
		if f.get(t, f.key).Lease.ID == "" {
			t.Error("the lease is given back, and the next refresh will not know")
		}
	})
}

func TestNoOtherCredentialsAreTriedWithoutTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.connect(t, f.key)
		other := f.secrets.client
		other.Secret = "changed"
		f.secrets.others = []oauth.Client{other}
		sent := 0
		f.endpoint.answer = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
			sent++
			<-time.After(25 * time.Second)
			return oauth.TokenSet{}, &oauth.Error{Status: 401, Code: "invalid_client"}
		}
		ctx, cancel := context.WithTimeout(t.Context(), attempt+time.Second)
		defer cancel()
		if got, _ := f.Renew(ctx, f.key, 0); got.Result != Failed || sent != 1 {
			t.Errorf("Renew = %v after %d requests, want one", got, sent)
		}
		if c := f.get(t, f.key); c.Lease.ID != "" || f.held(t, f.key) != "c4nary-refresh-0" {
			t.Errorf("the lease is not given back: %+v", c)
		}
	})
}
