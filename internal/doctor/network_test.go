package doctor

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/oauth"
)

func TestTheNetworkFollowsNothingAndQuotesNobody(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/there":
			t.Error("a redirect was followed")
		case r.URL.Path == "/garbled":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "CANARY\r\n\r\n")
				_ = conn.Close()
			}
		case r.URL.Path == "/large":
			_, _ = io.WriteString(w, strings.Repeat("x", maxAnswer+1))
		case r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" || r.Header.Get("Accept") != "text/html":
			w.WriteHeader(http.StatusTeapot)
		default:
			http.Redirect(w, r, "/there", http.StatusFound)
		}
	}))
	defer server.Close()
	n := Network{HTTP: oauth.NewHTTPClient(true), Now: func() time.Time { return noon }}
	a, err := n.Get(t.Context(), server.URL+"/", "text/html")
	if err != nil || a.Status != http.StatusFound || a.Header["Location"][0] != "/there" || a.Received != noon {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := n.Get(t.Context(), server.URL+"/large", ""); err != nil || len(a.Body) != maxAnswer {
		t.Errorf("%d bytes, %v", len(a.Body), err)
	}
	if _, err := n.Get(t.Context(), server.URL+"/garbled?q=CANARY", ""); err == nil || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("garbled: %v", err)
	}
	if _, err := n.Get(t.Context(), "http://[", ""); err == nil {
		t.Error("no URL is taken for one")
	}
	if err := n.Reach(t.Context(), server.URL+"/anything"); err != nil {
		t.Errorf("reach: %v", err)
	}
	strict := Network{HTTP: oauth.NewHTTPClient(false), Now: n.Now}
	if err := strict.Reach(t.Context(), server.URL); err == nil || !strings.Contains(err.Error(), "ALLOW_PRIVATE_PROVIDERS") {
		t.Errorf("a private address: %v", err)
	}
}

func TestReachSpeaksTLSAndChecksTheCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	n := Network{HTTP: oauth.NewHTTPClient(true), Now: func() time.Time { return noon }}
	if err := n.Reach(t.Context(), server.URL); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
	transport, _ := n.HTTP.Transport.(*http.Transport)
	known, _ := server.Client().Transport.(*http.Transport)
	transport.TLSClientConfig.RootCAs = known.TLSClientConfig.RootCAs
	if err := n.Reach(t.Context(), server.URL); err != nil {
		t.Errorf("a known certificate: %v", err)
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	if err := n.Reach(t.Context(), strings.Replace(plain.URL, "http:", "https:", 1)); err == nil {
		t.Error("a server without TLS passes for one with it")
	}
	server.Close()
	if err := n.Reach(t.Context(), server.URL); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("nobody is there: %v", err)
	}
}
