package simulator

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// try sends a refresh and returns what arrived of the answer.
func (w *world) try(provider, refresh string) (status int, body string, err error) {
	c := DefaultClient(provider)
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "client_id": {c.ID}, "client_secret": {c.Secret}}
	r := w.formRequest(w.Endpoints(w.base, provider)[tokenURL], form)
	r.Header.Set("Authorization", "Bearer "+c.Secret)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

func TestScriptedAnswers(t *testing.T) {
	tests := []struct {
		name   string
		answer Answer
		status int
		body   string // part of the body; "" is any
		broken bool   // the answer breaks off
		spends bool   // the refresh token is spent
	}{
		{"the zero answer is the real one", Answer{}, 200, `"access_token"`, false, true},
		{"replaced", Answer{Status: 503, Body: "<html>down"}, 503, "<html>down", false, false},
		{"replaced after the effect", Answer{Status: 502, Process: true}, 502, "", false, true},
		{"replaced by a body that breaks off", Answer{Status: 200, Body: "{}{}", CloseAfter: 2}, 200, "{}", true, false},
		{"dropped", Answer{Drop: true}, 0, "", true, false},
		{"dropped after the effect", Answer{Drop: true, Process: true}, 0, "", true, true},
		{"broken off", Answer{CloseAfter: 10}, 200, `{"access_t`, true, true},
		{"broken off at its very end", Answer{CloseAfter: 1 << 20}, 200, `}`, true, true},
		{"edited", Answer{Edit: func(m map[string]any) { m["expires_in"] = "3600"; delete(m, "refresh_token") }}, 200, `"expires_in":"3600"`, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, Config{})
			_, refresh := w.connect("whatnot")
			w.Answer("whatnot", tt.answer)
			status, body, err := w.try("whatnot", refresh)
			if status != tt.status || !strings.Contains(body, tt.body) || (err != nil) != tt.broken {
				t.Errorf("answer: %d %q, %v", status, body, err)
			}
			l := w.Ledger("whatnot")
			if (l.RefreshTokensSpent == 1) != tt.spends || l.Scripted != 1 || l.TokenRequests["refresh_token"] != 1 {
				t.Errorf("ledger: %+v", l)
			}
		})
	}
}

func TestScriptedAnswersAreUsedOnceInOrderByTheirEndpoint(t *testing.T) {
	w := newWorld(t, Config{})
	access, refresh := w.connect("whatnot")
	w.Answer("whatnot", Answer{Status: 500}, Answer{Status: 429, Header: http.Header{"Retry-After": {"7"}}}, Answer{Endpoint: userinfoURL, Status: 418})
	w.Answer("whisk", Answer{Status: 404})
	if got := w.whoami("whatnot", access).status; got != http.StatusTeapot {
		t.Errorf("account: %d, want 418", got)
	}
	if got := w.refresh("whatnot", refresh, nil).status; got != http.StatusInternalServerError {
		t.Errorf("first: %d, want 500", got)
	}
	if got := w.refresh("whatnot", refresh, nil); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "7" {
		t.Errorf("second: %d %v, want 429", got.status, got.header)
	}
	w.refreshed("whatnot", refresh)
	if got := w.whoami("whatnot", access).status; got != http.StatusOK {
		t.Errorf("account again: %d", got)
	}
}

func TestScriptedAnswersForWHCC(t *testing.T) {
	w := newWorld(t, Config{})
	w.Answer("whcc", Answer{Endpoint: prepareURL, Edit: func(m map[string]any) { m["RedirectURI"] = "https://evil.example/" }}, Answer{Status: 200, Body: `{"ErrorNumber":"500.00"}`})
	if got := w.prepareLogin(nil); got.json["RedirectURI"] != "https://evil.example/" {
		t.Errorf("prepare: %s", got.body)
	}
	if got := w.consumerToken(nil); got.json["ErrorNumber"] != "500.00" {
		t.Errorf("token: %s", got.body)
	}
}

func TestHeldAnswerWaitsAfterTheEffect(t *testing.T) {
	saved := make(chan struct{}, 10)
	w := newWorld(t, Config{Save: func(State) { saved <- struct{}{} }})
	_, refresh := w.connect("whiplash")
	<-saved // by the exchange
	hold := make(chan struct{})
	w.Answer("whiplash", Answer{Hold: hold})
	answered := make(chan seen)
	go func() { answered <- w.refresh("whiplash", refresh, nil) }()
	<-saved // by the refresh, which has taken effect
	select {
	case <-answered:
		t.Error("answered before the hold ended")
	default:
	}
	if spent := w.Ledger("whiplash").RefreshTokensSpent; spent != 1 {
		t.Errorf("ledger counts %d spent, want 1", spent)
	}
	close(hold)
	if got := <-answered; got.status != http.StatusOK {
		t.Errorf("answer: %d %s", got.status, got.body)
	}
}

// The server closes at the end of the test, which needs the hung requests to be
// over.
func TestHangEndsWhenTheClientGivesUp(t *testing.T) {
	for _, media := range []string{"application/x-www-form-urlencoded", "application/json"} {
		w := newWorld(t, Config{})
		w.Answer("whiplash", Answer{Hold: make(chan struct{}), Drop: true})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		r := w.formRequest(w.Endpoints(w.base, "whiplash")[tokenURL], url.Values{"grant_type": {"refresh_token"}})
		r.Header.Set("Content-Type", media)
		resp, err := http.DefaultClient.Do(r.WithContext(ctx))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: err = %v", media, err)
		}
		if err == nil {
			_ = resp.Body.Close()
		}
	}
}

func TestDelayedAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{Now: time.Now})
		s.Answer("whcc", Answer{Delay: 31 * time.Second})
		c := DefaultClient("whcc")
		q := url.Values{"grant_type": {"consumer_credentials"}, "consumer_key": {c.ID}, "consumer_secret": {c.Secret}}
		rec := httptest.NewRecorder()
		start := time.Now()
		s.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/whcc/api/AccessToken?"+q.Encode(), nil))
		if waited := time.Since(start); waited != 31*time.Second || rec.Code != http.StatusOK {
			t.Errorf("%d after %v", rec.Code, waited)
		}
	})
}
