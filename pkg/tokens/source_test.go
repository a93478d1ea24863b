package tokens

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

func TestTokenSource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := &table{rows: []row{{"a", "active", time.Minute}, {"b", "active", time.Hour}}}
		r := &Reader{DynamoDB: d, Table: "c", Invoke: (&control{do: refreshed}).invoke}
		s := r.TokenSource(t.Context(), "acct_42", "whatnot", 5*time.Minute)
		start := time.Now()
		got, err := s.Token()
		if err != nil || got.AccessToken != "b" || got.TokenType != "Bearer" || !got.Expiry.Equal(start.Add(time.Hour)) || !got.Valid() {
			t.Fatalf("Token: %v, valid %v", err, got.Valid())
		}
		d.rows = []row{{}}
		if got, err := s.Token(); got != nil || !errors.Is(err, ErrNotConnected) {
			t.Errorf("Token of a connection that is gone: %v", err)
		}
	})
}

// A token without an expiry has none at golang.org/x/oauth2 either.
func TestTokenSourceWithoutAnExpiry(t *testing.T) {
	r := &Reader{DynamoDB: &table{rows: []row{{"a", "active", 0}}}, Table: "c"}
	if got, err := r.TokenSource(t.Context(), "acct_42", "whatnot", time.Minute).Token(); err != nil || !got.Expiry.IsZero() || !got.Valid() {
		t.Errorf("Token: %v", err)
	}
}

// Each request carries the token of the table, so that a refresh, a report of a
// 401 or a disconnect is noticed at once. oauth2.ReuseTokenSource would not.
func TestATransportNoticesANewToken(t *testing.T) {
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		seen = append(seen, req.Header.Get("Authorization"))
	}))
	defer server.Close()
	r := &Reader{DynamoDB: &table{rows: []row{{"a", "active", time.Hour}, {"b", "active", time.Hour}}}, Table: "c"}
	client := &http.Client{Transport: &oauth2.Transport{Source: r.TokenSource(t.Context(), "acct_42", "whatnot", time.Minute)}}
	for range 2 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	if len(seen) != 2 || seen[0] != "Bearer a" || seen[1] != "Bearer b" {
		t.Errorf("the provider has seen %q", seen)
	}
}
