package callback

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evergrant/evergrant/internal/authrequest"
	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/connectiontest"
	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/simulator"
	"github.com/evergrant/evergrant/internal/spill"
	"github.com/evergrant/evergrant/internal/web"
)

// Fifty callbacks at once, as a nervous browser may send them: one exchanges.
func TestParallelCallbacksMakeOneTokenRequest(t *testing.T) {
	w := newWorld(t)
	f := w.start("whiplash", nil)
	ev := w.callback(f, w.approve(f))
	var callbacks sync.WaitGroup
	var connected, busy atomic.Int32
	for range 50 {
		callbacks.Go(func() {
			switch resp, err := w.Handle(t.Context(), ev); {
			case err == nil && resp.StatusCode == http.StatusSeeOther && strings.HasSuffix(resp.Headers["Location"], "result=connected"):
				connected.Add(1)
			case err == nil && resp.StatusCode == web.Busy.Status:
				busy.Add(1)
			default:
				t.Errorf("answer = %d %s, %v", resp.StatusCode, resp.Headers["Location"], err)
			}
		})
	}
	callbacks.Wait()
	if w.exchanges("whiplash") != 1 || connected.Load() < 1 || connected.Load()+busy.Load() != 50 || w.store.Calls()["Connect"] != 1 {
		t.Errorf("%d token requests, %d connected, %d in progress, calls %v", w.exchanges("whiplash"), connected.Load(), busy.Load(), w.store.Calls())
	}
	w.returns(w.handle(ev), f, "connected")
}

// A provider that is unreachable, slow or incoherent: result=failed, or 502
// where there is no place to return to. One token request, and an outcome that
// stays.
func TestAnExchangeThatFails(t *testing.T) {
	status := func(status int, body string) simulator.Answer { return simulator.Answer{Status: status, Body: body} }
	tests := []struct {
		name   string
		answer simulator.Answer
		code   string // under which it is recorded
	}{
		{"500", status(500, ""), "provider_failed"},
		{"503 with words", status(503, `{"error":"invalid_client","error_description":"c4nary"}`), "provider_failed"},
		{"429", simulator.Answer{Status: 429, Header: http.Header{"Retry-After": {"60"}}}, "provider_failed"},
		{"HTML", status(200, "<html>c4nary</html>"), "provider_failed"},
		{"an empty body", status(200, ""), "provider_failed"},
		{"no JSON object", status(200, `["c4nary"]`), "provider_failed"},
		{"no access token", status(200, `{"refresh_token":"c4nary"}`), "provider_failed"},
		{"another type of token", status(200, `{"access_token":"c4nary","token_type":"mac"}`), "provider_failed"},
		{"an error with status 200", status(200, `{"error":"invalid_grant","access_token":"c4nary"}`), "invalid_grant"},
		{"invalid_grant", status(400, `{"error":"invalid_grant","error_description":"c4nary"}`), "invalid_grant"},
		{"an error that nobody knows", status(400, `{"error":"c4nary"}`), "unrecognized_error"},
		{"a cut connection", simulator.Answer{Drop: true}, "provider_failed"},
		{"a torn answer", simulator.Answer{CloseAfter: 20}, "provider_failed"},
		{"a huge answer", status(200, strings.Repeat(" ", 65<<10)+"{}"), "provider_failed"},
	}
	for _, tt := range tests {
		for _, change := range []func(*authrequest.Request){nil, noReturn} {
			t.Run(tt.name, func(t *testing.T) {
				w := newWorld(t)
				w.sim.Answer("whiplash", tt.answer)
				f := w.start("whiplash", change)
				answer := w.approve(f)
				for range 2 { // and loaded again
					if f.ReturnTo != "" {
						w.returns(w.handle(w.callback(f, answer)), f, "failed")
					} else {
						w.problem(w.callback(f, answer), web.ProviderFailed)
					}
				}
				r, err := w.store.GetRequest(t.Context(), f.Record(w.now).ID, f.Record(w.now).State)
				if err != nil || r.Outcome != connection.Failed || r.Code != tt.code {
					t.Errorf("recorded is %+v, %v, want %s", r, err, tt.code)
				}
				w.nothingStored(f)
				if w.exchanges("whiplash") != 1 || strings.Contains(w.printed.String(), "c4nary") {
					t.Errorf("%d token requests, log: %s", w.exchanges("whiplash"), w.printed.String())
				}
			})
		}
	}
}

func TestAProviderThatCannotBeReached(t *testing.T) {
	w := newWorld(t)
	f := w.start("whiplash", nil)
	answer := w.approve(f)
	w.vault.clients["whiplash"] = w.client("whiplash", map[string]any{"endpoints": map[string]string{"token_url": "http://127.0.0.1:1/token"}})
	w.returns(w.handle(w.callback(f, answer)), f, "failed")
}

// Our client credentials refused: an operator's alarm, and no outcome for the
// host, now or later. Credentials that have changed meanwhile are tried first.
func TestClientCredentialsRefused(t *testing.T) {
	tests := []struct {
		name      string
		provider  string
		current   string // the secret that is cached; "": the right one
		others    []string
		exchanges int
		connects  bool
	}{
		{"the same as ever", "whiplash", "wrong", nil, 1, false},
		{"changed", "whiplash", "wrong", []string{"right"}, 2, true},
		{"changed at a provider with a bearer secret", "whatnot", "wrong", []string{"right"}, 2, true},
		{"changed to the worse", "whiplash", "wrong", []string{"wrong too"}, 2, false},
		{"changed to the worse, the previous one is right", "whiplash", "wrong", []string{"wrong too", "right"}, 3, true},
		{"all wrong", "whiplash", "wrong", []string{"wrong too", "wrong as well"}, 3, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			right := w.vault.clients[tt.provider]
			with := func(secret string) oauth.Client {
				if secret == "right" {
					return right
				}
				return w.client(tt.provider, map[string]any{"client_secret": secret + "-c4nary"})
			}
			w.vault.clients[tt.provider] = with(tt.current)
			for _, secret := range tt.others {
				w.vault.others = append(w.vault.others, with(secret))
			}
			f := w.start(tt.provider, nil)
			answer := w.approve(f)
			if tt.connects {
				w.returns(w.handle(w.callback(f, answer)), f, "connected")
			} else {
				w.problem(w.callback(f, answer), web.NotConfigured)
				w.problem(w.callback(f, answer), web.NotConfigured) // loaded again
				w.nothingStored(f)
			}
			if w.exchanges(tt.provider) != tt.exchanges {
				t.Errorf("%d token requests, want %d", w.exchanges(tt.provider), tt.exchanges)
			}
			if alarm := strings.Contains(w.printed.String(), `"level":"ERROR"`); alarm == tt.connects || strings.Contains(w.printed.String(), "c4nary") {
				t.Errorf("log: %s", w.printed.String())
			}
		})
	}
}

// A token endpoint that redirects is a wrong token endpoint: the request, with
// its secrets, is not sent on.
func TestARedirectOfTheTokenRequest(t *testing.T) {
	w := newWorld(t)
	w.sim.Answer("whiplash", simulator.Answer{Status: 307, Header: http.Header{"Location": {"/whisk/oauth/v2/token"}}})
	f := w.start("whiplash", nil)
	ev := w.callback(f, w.approve(f))
	w.problem(ev, web.NotConfigured)
	w.problem(ev, web.NotConfigured)
	if n := w.sim.Ledger("whisk").Requests["token_url"]; n != 0 {
		t.Errorf("%d requests were sent on", n)
	}
}

// The code goes to the client that it was given to, at the endpoints that it was
// asked of, or nowhere. The flow is dead, the ticket is not.
func TestAClientThatChangedOnTheWay(t *testing.T) {
	for name, members := range map[string]map[string]any{"client_id": {"client_id": "another"}, "environment": {"environment": "sandbox"},
		"authorization_url": nil, "token_url": nil, "revocation_url": nil, "userinfo_url": nil, "prepare_url": nil} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if members == nil {
				endpoints := w.sim.Endpoints(w.base, "whiplash")
				endpoints[name] = w.base + "/elsewhere"
				members = map[string]any{"endpoints": endpoints}
			}
			f := w.start("whiplash", nil)
			answer := w.approve(f)
			w.vault.clients["whiplash"] = w.client("whiplash", members)
			w.returns(w.handle(w.callback(f, answer)), f, "failed")
			w.wrote(map[string]int{"DenyRequest": 1}) // nothing was claimed
			line := w.printed.String()
			w.vault.clients["whiplash"] = w.client("whiplash", nil) // put back
			w.returns(w.handle(w.callback(f, answer)), f, "failed")
			if w.exchanges("whiplash") != 0 || w.printed.String() != line || strings.Count(line, "\n") != 1 || !strings.Contains(line, `"code":"configuration_changed"`) {
				t.Errorf("%d token requests; the log is %s", w.exchanges("whiplash"), w.printed.String())
			}
			again := w.start("whiplash", func(ar *authrequest.Request) { ar.TicketID = f.TicketID })
			w.returns(w.connect(again), again, "connected")
		})
	}
}

// A secret that was read anew, since the first one was refused, is the same
// client's only where its endpoints are.
func TestACodeIsTriedAtNoOtherEndpoint(t *testing.T) {
	w := newWorld(t)
	endpoints := w.sim.Endpoints(w.base, "whiplash")
	endpoints["token_url"] = w.base + "/elsewhere"
	w.vault.others = []oauth.Client{w.client("whiplash", map[string]any{"endpoints": endpoints})}
	w.sim.Answer("whiplash", simulator.Answer{Status: 401, Body: `{"error":"invalid_client"}`})
	f := w.start("whiplash", nil)
	w.returns(w.connect(f), f, "failed")
	if !strings.Contains(w.printed.String(), `"code":"configuration_changed"`) {
		t.Errorf("the log is %s", w.printed.String())
	}
}

// The outcome is an answer even where it cannot be recorded.
func TestAFailureThatIsNotRecorded(t *testing.T) {
	w := newWorld(t)
	w.store.OnWrite = func(op string, _ any) (bool, error) {
		if op == "FinishRequest" {
			return false, errDown
		}
		return true, nil
	}
	f := w.start("whiplash", nil)
	w.returns(w.handle(w.callback(f, url.Values{"code": {"unknown-code"}, "state": {f.State}})), f, "failed")
	if !strings.Contains(w.printed.String(), "outcome not recorded") {
		t.Errorf("log: %s", w.printed.String())
	}
}

// A browser that leaves takes no tokens along: in local mode its request ends
// with it.
func TestABrowserThatLeavesIsConnectedAllTheSame(t *testing.T) {
	for _, endpoint := range []string{"token_url", "userinfo_url"} {
		t.Run(endpoint, func(t *testing.T) {
			w := newWorld(t)
			answered := make(chan struct{})
			w.sim.Answer("whiplash", simulator.Answer{Endpoint: endpoint, Hold: answered})
			f := w.start("whiplash", nil)
			ev := w.callback(f, w.approve(f))
			ctx, leave := context.WithCancel(t.Context())
			done := make(chan web.Response)
			go func() {
				resp, _ := w.Handle(ctx, ev)
				done <- resp
			}()
			for w.sim.Ledger("whiplash").Requests[endpoint] == 0 { // until the provider has the request
				select {
				case resp := <-done:
					t.Fatalf("answer = %d before the provider was asked", resp.StatusCode)
				case <-time.After(time.Millisecond):
				}
			}
			leave()
			close(answered)
			w.returns(<-done, f, "connected")
			if c := w.stored(f); c.AccessToken.Reveal() != w.sim.Ledger("whiplash").LiveAccessTokens[0] || c.Account.ID == "" {
				t.Errorf("stored %+v", c)
			}
		})
	}
}

// A provider is a fake provider, for tests in which time passes.
type provider struct {
	exchange  func(context.Context, oauth.Secret) (oauth.TokenSet, error)
	account   func(context.Context) (oauth.Account, error)
	exchanges int
	code      oauth.Secret
	request   oauth.AuthorizationRequest
}

func (p *provider) Exchange(ctx context.Context, _ oauth.Client, r oauth.AuthorizationRequest, code oauth.Secret) (oauth.TokenSet, error) {
	p.exchanges++
	p.code, p.request = code, r
	if p.exchange != nil {
		return p.exchange(ctx, code)
	}
	return oauth.TokenSet{AccessToken: "c4nary-access", TokenType: "Bearer", RefreshToken: "c4nary-refresh", IssuedAt: time.Now()}, nil
}

func (p *provider) Revoke(context.Context, oauth.Client, oauth.Secret, oauth.Secret) error {
	panic("nothing is to be revoked")
}

func (p *provider) Account(ctx context.Context, _ oauth.Client, _ oauth.Secret) (oauth.Account, error) {
	if p.account != nil {
		return p.account(ctx)
	}
	return oauth.Account{ID: "7"}, nil
}

// passing runs test in a world whose time passes as the test waits, with a
// fake provider and an invocation that may take 29 seconds.
func passing(t *testing.T, test func(ctx context.Context, w *world, p *provider, f flow)) {
	outside := newWorld(t) // its listener may not be in the bubble
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, vault: outside.vault, sim: outside.sim, store: outside.store, base: outside.base, now: time.Now()}
		h, p := *outside.Handler, new(provider)
		h.Tokens, h.Now, h.Secrets = p, time.Now, w.vault
		h.Log = logTo(t, &w.printed)
		w.Handler = &h
		ctx, cancel := context.WithTimeout(t.Context(), 29*time.Second)
		defer cancel()
		test(ctx, w, p, w.start("whiplash", nil))
	})
}

// run serves f's callback and returns the answer and how long it took.
func (w *world) run(ctx context.Context, f flow) (web.Response, time.Duration) {
	w.t.Helper()
	start, ev := time.Now(), w.callback(f, url.Values{"code": {"c4nary-code"}, "state": {f.State}})
	resp, err := w.Handle(ctx, ev)
	if err != nil {
		w.t.Fatal(err)
	}
	w.check(ev, resp)
	if strings.Contains(w.printed.String(), "c4nary") {
		w.t.Errorf("a token is in the log: %s", w.printed.String())
	}
	return resp, time.Since(start)
}

// The code is opaque: it is decoded once and sent on as it is.
func TestTheCodeIsSentAsItIs(t *testing.T) {
	for _, code := range []string{"a+b/c=", "%2B", "a b", "4/0AX4XfWh-é\u202e", strings.Repeat("x", 4096)} {
		passing(t, func(ctx context.Context, w *world, p *provider, f flow) {
			resp, err := w.Handle(ctx, w.callback(f, url.Values{"code": {code}, "state": {f.State}}))
			if err != nil || p.code.Reveal() != code || p.request.Verifier != f.Verifier || p.request.RedirectURI != f.RedirectURI {
				t.Errorf("code %q sent as %q, %v", code, p.code.Reveal(), err)
			}
			w.returns(resp, f, "connected")
		})
	}
}

// stores reports whether a write is one that stores a new grant.
func stores(op string) bool { return op == "Connect" || op == "Restore" }

// Once the provider has answered, the tokens reach the store, whatever fails,
// as long as it comes back in time. A lost answer of the store is no loss.
func TestTheStoreIsTriedAgain(t *testing.T) {
	tests := []struct {
		name    string
		applies bool // the write takes effect, though its answer is lost
		down    time.Duration
	}{
		{"down for a moment", false, 10 * time.Millisecond},
		{"down for 20 seconds", false, 20 * time.Second},
		{"answers are lost", true, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			passing(t, func(ctx context.Context, w *world, p *provider, f flow) {
				back := time.Now().Add(tt.down)
				w.store.OnWrite = func(op string, _ any) (bool, error) {
					if tt.applies || stores(op) && time.Now().Before(back) {
						return tt.applies, map[bool]error{true: errDown}[stores(op)]
					}
					return true, nil
				}
				resp, took := w.run(ctx, f)
				w.returns(resp, f, "connected")
				if c := w.stored(f); c.AccessToken != "c4nary-access" || p.exchanges != 1 || took < tt.down || took > tt.down+3*time.Second {
					t.Errorf("stored %v after %d token requests and %v", c.AccessToken != "", p.exchanges, took)
				}
			})
		})
	}
}

// The store does not come back: the browser gets its answer in time, an
// operator the alarm, and a reload makes no second exchange.
func TestAStoreThatStaysAway(t *testing.T) {
	passing(t, func(ctx context.Context, w *world, p *provider, f flow) {
		w.store.OnWrite = func(op string, _ any) (bool, error) {
			return !stores(op), map[bool]error{true: errDown}[stores(op)]
		}
		resp, took := w.run(ctx, f)
		if resp.StatusCode != 503 || resp.Headers["Retry-After"] == "" || took > 28*time.Second || took < 25*time.Second {
			t.Errorf("answer = %d after %v", resp.StatusCode, took)
		}
		if !strings.Contains(w.printed.String(), `"level":"ERROR"`) || !strings.Contains(w.printed.String(), "store connection") {
			t.Errorf("log: %s", w.printed.String())
		}
		again, cancel := context.WithTimeout(w.t.Context(), 29*time.Second)
		defer cancel()
		resp, _ = w.run(again, f)
		w.returns(resp, f, "failed")
		if p.exchanges != 1 {
			t.Errorf("loaded again: %d token requests", p.exchanges)
		}
	})
}

// With a second store nothing is lost and nobody has to act: the page says so,
// and a reload shows the connection once the sweep has stored it.
func TestAGrantThatIsSpilledIsConnectedLater(t *testing.T) {
	passing(t, func(ctx context.Context, w *world, p *provider, f flow) {
		kept := new(connectiontest.Spill)
		w.Spill = kept
		var c connection.Connection
		w.store.OnWrite = func(op string, arg any) (bool, error) {
			if stores(op) {
				c = arg.(connection.Connection)
			}
			return !stores(op), map[bool]error{true: errDown}[stores(op)]
		}
		resp, took := w.run(ctx, f)
		if !strings.Contains(resp.Body, web.Kept.Detail) || resp.StatusCode != 503 || took > 28*time.Second || kept.Len() != 1 {
			t.Fatalf("answer = %d %s, %d spills after %v", resp.StatusCode, resp.Body, kept.Len(), took)
		}
		w.store.OnWrite = nil
		again, cancel := context.WithTimeout(w.t.Context(), 29*time.Second)
		defer cancel()
		if resp, _ = w.run(again, f); !strings.Contains(resp.Body, web.Kept.Detail) {
			t.Errorf("loaded again: %d %s", resp.StatusCode, resp.Body)
		}
		page, _, err := kept.List(t.Context(), "")
		if err != nil || len(page) != 1 {
			t.Fatalf("%d spills, %v", len(page), err)
		}
		g, err := spill.Open(w.vault.seal, page[0].SpillKey, page[0].Sealed)
		if err != nil || g.Tokens.AccessToken != c.AccessToken || g.RequestID != c.RequestID || g.ClientID != c.ClientID || len(g.Tokens.Scopes) == 0 {
			t.Errorf("spilled %+v, %v; want the grant of %+v", g, err, c)
		}
		if _, err := w.store.Connect(t.Context(), c); err != nil { // as the sweep does
			t.Fatal(err)
		}
		again, cancel = context.WithTimeout(w.t.Context(), 29*time.Second)
		defer cancel()
		resp, _ = w.run(again, f)
		w.returns(resp, f, "connected")
		if p.exchanges != 1 {
			t.Errorf("%d token requests", p.exchanges)
		}
	})
}

// A spill that is away as well leaves the log, for a person to put it back.
func TestAGrantThatNoStoreTakesIsInTheLog(t *testing.T) {
	passing(t, func(ctx context.Context, w *world, _ *provider, f flow) {
		w.Spill = &connectiontest.Spill{OnCall: func(string) (bool, error) { return false, errDown }}
		w.store.OnWrite = func(op string, _ any) (bool, error) {
			return !stores(op), map[bool]error{true: errDown}[stores(op)]
		}
		if resp, _ := w.run(ctx, f); !strings.Contains(resp.Body, web.NotSaved.Detail) {
			t.Errorf("answer = %d %s", resp.StatusCode, resp.Body)
		}
		if !strings.Contains(w.printed.String(), `"rescue":"`) || !strings.Contains(w.printed.String(), `"grant":`) {
			t.Errorf("log: %s", w.printed.String())
		}
	})
}

// A provider that does not answer leaves time to say so; one that does not say
// whose account it is leaves time for the store.
func TestTheProviderGetsNoneOfTheStoresTime(t *testing.T) {
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	t.Run("exchange", func(t *testing.T) {
		passing(t, func(ctx context.Context, w *world, p *provider, f flow) {
			p.exchange = func(ctx context.Context, _ oauth.Secret) (oauth.TokenSet, error) {
				return oauth.TokenSet{}, &oauth.Error{Reason: "no answer", Err: hang(ctx)}
			}
			resp, took := w.run(ctx, f)
			w.returns(resp, f, "failed")
			if took != 23*time.Second {
				t.Errorf("the provider had %v of 29 s", took)
			}
			if resp, _ := w.run(ctx, f); !strings.HasSuffix(resp.Headers["Location"], "result=failed") || p.exchanges != 1 {
				t.Errorf("loaded again: %s", resp.Headers["Location"])
			}
		})
	})
	t.Run("account", func(t *testing.T) {
		passing(t, func(ctx context.Context, w *world, p *provider, f flow) {
			p.account = func(ctx context.Context) (oauth.Account, error) { return oauth.Account{}, hang(ctx) }
			back := time.Now().Add(26 * time.Second)
			w.store.OnWrite = func(op string, _ any) (bool, error) {
				down := stores(op) && time.Now().Before(back)
				return !down, map[bool]error{true: errDown}[down]
			}
			resp, _ := w.run(ctx, f)
			w.returns(resp, f, "connected")
			w.stored(f)
		})
	})
	t.Run("in a short invocation", func(t *testing.T) {
		passing(t, func(_ context.Context, w *world, p *provider, f flow) {
			p.account = func(ctx context.Context) (oauth.Account, error) { return oauth.Account{}, hang(ctx) }
			ctx, cancel := context.WithTimeout(w.t.Context(), 4*time.Second)
			defer cancel()
			resp, took := w.run(ctx, f)
			w.returns(resp, f, "connected")
			if took != 2*time.Second {
				t.Errorf("the provider had %v of 4 s", took)
			}
		})
	})
	t.Run("without a deadline", func(t *testing.T) {
		passing(t, func(_ context.Context, w *world, p *provider, f flow) {
			p.account = func(ctx context.Context) (oauth.Account, error) { return oauth.Account{}, hang(ctx) }
			resp, took := w.run(w.t.Context(), f)
			w.returns(resp, f, "connected")
			if took != 15*time.Second {
				t.Errorf("the provider had %v", took)
			}
		})
	})
}

// A slow exchange that is cut off by its own limit is a failure like others.
func TestATimeOutIsAFailure(t *testing.T) {
	passing(t, func(ctx context.Context, w *world, p *provider, f flow) {
		p.exchange = func(context.Context, oauth.Secret) (oauth.TokenSet, error) {
			<-time.After(oauth.ExchangeTimeout)
			return oauth.TokenSet{}, &oauth.Error{Reason: "no answer", Err: context.DeadlineExceeded}
		}
		resp, _ := w.run(ctx, f)
		w.returns(resp, f, "failed")
		if _, err := w.store.Get(ctx, f.Key); !errors.Is(err, connection.ErrNotFound) {
			t.Errorf("something was stored: %v", err)
		}
	})
}
