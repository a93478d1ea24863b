package oauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/pkg/providers"
)

// says is a transport that answers everything with this body.
type says string

func (body says) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Body.WriteString(string(body))
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// nobody returns the URL of a loopback port that refuses connections.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return "http://" + l.Addr().String()
}

// slam returns the URL of a listener that closes each connection when it has
// read what first begins with.
func slam(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
	}()
	return "https://" + l.Addr().String()
}

func startTLS(t *testing.T, version uint16) *server {
	t.Helper()
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(with(""))) })
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: version}
	s.StartTLS()
	return s
}

// trusting returns a client that trusts the certificate of s.
func trusting(s *server) *http.Client {
	c := NewHTTPClient(true)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	c.Transport.(*http.Transport).TLSClientConfig.RootCAs = pool
	return c
}

// What provably never reached the provider can be sent again at once.
func TestNotSent(t *testing.T) {
	selfSigned := startTLS(t, tls.VersionTLS13)
	clear := serve(t, func(http.ResponseWriter, *http.Request) {})
	tests := []struct {
		name, base string
		http       *http.Client
	}{
		{"no such host", "https://a..invalid", NewHTTPClient(true)},
		{"connection refused", nobody(t), NewHTTPClient(true)},
		{"closed in the TLS handshake", slam(t), NewHTTPClient(true)},
		{"self-signed certificate", selfSigned.URL, NewHTTPClient(true)},
		{"no TLS", strings.Replace(clear.URL, "http:", "https:", 1), NewHTTPClient(true)},
		{"private address", clear.URL, NewHTTPClient(false)},
	}
	for _, op := range operations {
		for _, tt := range tests {
			t.Run(op.name+"/"+tt.name, func(t *testing.T) {
				tc := &TokenClient{HTTP: tt.http, Now: func() time.Time { return noon }}
				_, err := op.call(t.Context(), tc, newClient(t, everything, tt.base, nil))
				e := wire(t, err)
				if !e.NotSent || Unknown(err) || RemedyFor(err) != Retry || e.Status != 0 || e.Code != "" {
					t.Errorf("not sent = %v, unknown = %v, remedy = %d: %v", e.NotSent, Unknown(err), RemedyFor(err), err)
				}
			})
		}
	}
	if len(selfSigned.seen())+len(clear.seen()) != 0 {
		t.Error("a request arrived")
	}
}

// Nothing is written before the certificate is known: an impostor must not
// see the secret in the clear either.
func TestNothingIsWrittenToAnImpostor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan []byte, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			got <- nil
			return
		}
		b := make([]byte, 1<<16)
		n, _ := conn.Read(b)
		_ = conn.Close()
		got <- b[:n]
	}()
	_, err = refresh(t.Context(), newTokenClient(), newClient(t, plain, "https://"+l.Addr().String(), nil))
	_ = l.Close()
	if e := wire(t, err); !e.NotSent {
		t.Errorf("error = %v", err)
	}
	mustNotShow(t, "the socket", string(<-got), clientSecret, refreshToken)
}

// What may have reached the provider is unknown, never dead.
func TestUnknown(t *testing.T) {
	reset := func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"+with("")[:20])
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
	torn := strings.TrimSuffix(with(""), "}")
	tests := map[string]http.HandlerFunc{
		"closed unanswered":      cut(""),
		"closed in the headers":  cut("HTTP/1.1 200 OK\r\nContent-Ty"),
		"closed in the body":     cut("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + torn),
		"closed in a form":       cut("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\naccess_token=at&refresh_token=rt"),
		"closed in a chunk":      cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + torn),
		"closed without a chunk": cut("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
		"failed and closed":      cut("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 999\r\n\r\n" + with("")),
		"reset in the body":      reset,
		"headers without end":    cut("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 100) + "\r\n"),
		"switched protocols":     cut("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
	}
	for _, op := range operations {
		for name, behaviour := range tests {
			t.Run(op.name+"/"+name, func(t *testing.T) {
				s := serve(t, behaviour)
				_, err := op.call(t.Context(), newTokenClient(), newClient(t, everything, s.URL, nil))
				s.wantOne(t)
				if e := wire(t, err); e.NotSent || !Unknown(err) || RemedyFor(err) != Retry {
					t.Errorf("not sent = %v, unknown = %v, remedy = %d: %v", e.NotSent, Unknown(err), RemedyFor(err), err)
				}
			})
		}
	}
}

// Tokens that are there to the last byte are not thrown away for the end of the
// connection that brought them, or for a length that promises more.
func TestAWholeObjectIsKeptWhateverFollowsIt(t *testing.T) {
	const status = "HTTP/1.1 200 OK\r\n"
	tests := map[string]string{
		"a length that promises more": status + "Content-Length: 999\r\n\r\n" + with(""),
		"a byte order mark":           status + "Content-Length: 999\r\n\r\n\xef\xbb\xbf" + with("") + "\n",
		"no last chunk":               status + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n", len(with("")), with("")),
		"a chunk that promises more":  status + "Transfer-Encoding: chunked\r\n\r\nfff\r\n" + with(""),
	}
	for _, op := range tokenRequests {
		for name, raw := range tests {
			t.Run(op.name+"/"+name, func(t *testing.T) {
				s := serve(t, cut(raw))
				tokens, err := op.call(t.Context(), newTokenClient(), newClient(t, plain, s.URL, nil))
				s.wantOne(t)
				if err != nil || tokens.AccessToken != "at" || tokens.RefreshToken != "rt" {
					t.Errorf("tokens = %+v, %v", tokens, err)
				}
			})
		}
	}
}

// A refusal that breaks off is no refusal yet.
func TestARefusalThatBreaksOffIsNotBelieved(t *testing.T) {
	s := serve(t, cut("HTTP/1.1 400 Bad Request\r\nContent-Length: 999\r\n\r\n"+`{"error":"invalid_grant"}`))
	_, err := refresh(t.Context(), newTokenClient(), newClient(t, plain, s.URL, nil))
	if e := wire(t, err); e.Code != "" || e.Status != 400 || RemedyFor(err) != Retry {
		t.Errorf("code %q, status %d, remedy %d", e.Code, e.Status, RemedyFor(err))
	}
}

// Package net/http quotes a broken answer in its errors, and an answer may
// repeat what it was sent.
func TestErrorsDoNotQuoteTheAnswer(t *testing.T) {
	tests := map[string]string{
		"no HTTP":                 canary + "\r\n\r\n",
		"status":                  "HTTP/1.1 " + canary + "\r\n\r\n",
		"version":                 canary + " 200 OK\r\n\r\n",
		"status text":             "HTTP/1.1 400 " + canary + "\r\n\r\n",
		"header line":             "HTTP/1.1 200 OK\r\n" + canary + "\r\n\r\n",
		"header name":             "HTTP/1.1 200 OK\r\n" + canary + " \x00: x\r\n\r\n",
		"header value":            "HTTP/1.1 200 OK\r\nX: " + canary + "\x00\r\n\r\n",
		"length":                  "HTTP/1.1 200 OK\r\nContent-Length: " + canary + "\r\n\r\n",
		"two lengths":             "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: " + canary + "\r\n\r\n",
		"transfer encoding":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + canary + "\r\n\r\n",
		"chunk":                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + canary + "\r\n",
		"trailer":                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\n" + canary + "\r\n\r\n",
		"location that is no URL": "HTTP/1.1 302 Found\r\nLocation: http://%zz/" + canary + "\r\nContent-Length: 0\r\n\r\n",
		"retry after":             "HTTP/1.1 503 x\r\nRetry-After: " + canary + "\r\nContent-Length: 0\r\n\r\n",
	}
	for _, op := range operations {
		for name, raw := range tests {
			t.Run(op.name+"/"+name, func(t *testing.T) {
				s := serve(t, cut(raw))
				_, err := op.call(t.Context(), newTokenClient(), newClient(t, everything, s.URL, nil))
				s.wantOne(t)
				if e := wire(t, err); e.NotSent {
					t.Errorf("it was sent, but: %+v", e)
				}
			})
		}
	}
}

// A redirect means that an endpoint is wrong, whatever it points to.
func TestARedirectToNoURLIsARedirect(t *testing.T) {
	s := serve(t, cut("HTTP/1.1 302 Found\r\nLocation: http://%zz/\r\nContent-Length: 0\r\n\r\n"))
	_, err := refresh(t.Context(), newTokenClient(), newClient(t, plain, s.URL, nil))
	if e := wire(t, err); e.Status != 302 || RemedyFor(err) != Reconfigure || Unknown(err) {
		t.Errorf("status = %d, remedy = %d, unknown = %v: %v", e.Status, RemedyFor(err), Unknown(err), err)
	}
}

// RFC 9110 section 15.4.8: 307 and 308 mean the same request again, so that a
// client which follows sends its secrets to whom the answer names. Nobody is
// asked, on whatever host, by whatever client somebody has made.
func TestNoRedirectIsFollowed(t *testing.T) {
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) {})
	places := map[string]string{"another host": strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1), "another port": elsewhere.URL, "itself": "/token", "no host": "//"}
	clients := map[string]*http.Client{"ours": NewHTTPClient(true), "somebody's": {Transport: NewHTTPClient(true).Transport}}
	for _, op := range operations {
		for _, status := range []int{301, 302, 303, 307, 308} {
			for place, location := range places {
				for whose, client := range clients {
					t.Run(fmt.Sprintf("%s/%d/%s/%s", op.name, status, place, whose), func(t *testing.T) {
						s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
							w.Header().Set("Location", location)
							w.WriteHeader(status)
						})
						_, err := op.call(t.Context(), &TokenClient{HTTP: client, Now: time.Now}, newClient(t, everything, s.URL, nil))
						s.wantOne(t)
						if e := wire(t, err); e.Status != status || RemedyFor(err) != Reconfigure || Unknown(err) {
							t.Errorf("status = %d, remedy = %d, unknown = %v: %v", e.Status, RemedyFor(err), Unknown(err), err)
						}
					})
				}
			}
		}
	}
	if n := elsewhere.conns.Load(); n != 0 {
		t.Errorf("%d connections to where the redirects point", n)
	}
}

// A caller that has no time left has sent nothing.
func TestNotSentWhenNoTimeIsLeft(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	ctx, giveUp := context.WithCancel(t.Context())
	giveUp()
	for _, op := range operations {
		_, err := op.call(ctx, newTokenClient(), newClient(t, everything, s.URL, nil))
		if e := wire(t, err); !e.NotSent || Unknown(err) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: not sent = %v, unknown = %v: %v", op.name, e.NotSent, Unknown(err), err)
		}
	}
	if n := s.conns.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

// A token with a line break would add a header of its own.
func TestNotSentWhereTheHeaderCannotCarryIt(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	c := newClient(t, definition(t, "whatnot"), s.URL, nil)
	broken := c
	broken.Secret = clientSecret + "\r\nX: y"
	_, exchanged := exchange(t.Context(), newTokenClient(), broken)
	_, asked := newTokenClient().Account(t.Context(), c, accessToken+"\n")
	revoked := newTokenClient().Revoke(t.Context(), c, accessToken+"\x00", "")
	for name, err := range map[string]error{"exchange": exchanged, "account": asked, "revoke": revoked} {
		if e := wire(t, err); !e.NotSent || Unknown(err) {
			t.Errorf("%s: not sent = %v, unknown = %v: %v", name, e.NotSent, Unknown(err), err)
		}
	}
	if n := len(s.seen()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// A definition or client without the endpoint must not look like a request
// whose outcome is unknown.
func TestNotSentWithoutAnEndpoint(t *testing.T) {
	for _, endpoint := range []string{"", "/token", "http://%zz/?secret=" + canary, "https:token"} {
		c := Client{Provider: everything, ID: clientID, Secret: clientSecret}
		c.Endpoints = providers.Endpoints{TokenURL: endpoint, PrepareURL: endpoint}
		for _, name := range []string{"exchange", "refresh", "issue", "prepare"} {
			_, err := find(t, name).call(t.Context(), newTokenClient(), c)
			if e := wire(t, err); !e.NotSent || Unknown(err) {
				t.Errorf("%s of %q: %+v", name, endpoint, e)
			}
		}
	}
}

// A caller that gives up while the provider works knows nothing.
func TestUnknownWhenTheCallerGivesUp(t *testing.T) {
	for _, op := range operations {
		for _, part := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"} {
			t.Run(op.name+"/after "+part, func(t *testing.T) {
				ctx, giveUp := context.WithCancel(t.Context())
				done := make(chan struct{})
				s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					conn, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						panic(err)
					}
					_, _ = io.WriteString(conn, part)
					giveUp()
					<-done
					_ = conn.Close()
				})
				_, err := op.call(ctx, newTokenClient(), newClient(t, everything, s.URL, nil))
				close(done)
				s.wantOne(t)
				if e := wire(t, err); e.NotSent || !Unknown(err) || !errors.Is(err, context.Canceled) {
					t.Errorf("not sent = %v, unknown = %v: %v", e.NotSent, Unknown(err), err)
				}
			})
		}
	}
}

// A transport that tells nothing of its connections leaves the outcome open.
func TestUnknownWithAnyOtherTransport(t *testing.T) {
	tc := &TokenClient{HTTP: &http.Client{Transport: fails{}}, Now: time.Now}
	_, err := refresh(t.Context(), tc, newClient(t, plain, "http://localhost", nil))
	if e := wire(t, err); e.NotSent || !Unknown(err) {
		t.Errorf("not sent = %v, unknown = %v", e.NotSent, Unknown(err))
	}
}

type fails struct{}

func (fails) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: errors.New("no")}
}

func TestTLSWorks(t *testing.T) {
	s := startTLS(t, tls.VersionTLS12)
	tc := &TokenClient{HTTP: trusting(s), Now: func() time.Time { return noon }}
	for range 2 { // the second resumes the TLS session on a connection of its own
		if _, err := refresh(t.Context(), tc, newClient(t, plain, s.URL, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.seen()) != 2 || s.conns.Load() != 2 {
		t.Errorf("%d requests on %d connections, want each its own", len(s.seen()), s.conns.Load())
	}
}

// Package net/http sends a body again only where it can get it again.
func TestNoRequestCanBeRepeated(t *testing.T) {
	req, err := newRequest(t.Context(), http.MethodPost, "https://a.example/", url.Values{"a": {"b"}}, "")
	if err != nil || req.GetBody != nil {
		t.Errorf("GetBody is set (%v)", err)
	}
}

// Whoever uses the client for another call gets no redirect followed either.
func TestTheClientFollowsNoRedirect(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/elsewhere" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}
	})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := NewHTTPClient(true).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if s.wantOne(t); resp.StatusCode != http.StatusFound {
		t.Errorf("status = %d", resp.StatusCode)
	}
}

// The proxy of an environment would see every secret that goes over http.
func TestNoProxy(t *testing.T) {
	if NewHTTPClient(false).Transport.(*http.Transport).Proxy != nil {
		t.Error("a proxy is used")
	}
}

func TestPrivateAddressesAreRefused(t *testing.T) {
	tests := map[string]bool{
		"8.8.8.8:443": true, "1.1.1.1:443": true, "172.15.255.255:443": true, "172.32.0.1:443": true, "100.63.255.255:443": true,
		"100.128.0.1:443": true, "[64:ff9b::808:808]:443": true, "[2606:4700::1111]:443": true, "[::ffff:8.8.8.8]:443": true,
		"127.0.0.1:443": false, "127.8.8.8:443": false, "10.0.0.1:443": false, "10.255.255.255:80": false, "172.16.0.1:443": false,
		"172.31.255.255:443": false, "192.168.1.1:443": false, "169.254.169.254:80": false, "169.254.170.2:80": false,
		"100.64.0.1:443": false, "100.127.255.255:443": false, "0.0.0.0:443": false, "255.255.255.255:443": false, "224.0.0.1:443": false,
		"[::1]:443": false, "[::]:443": false, "[fd00::1]:443": false, "[fd00:ec2::254]:80": false, "[fc00::1]:443": false, "[fe80::1%eth0]:443": false,
		"[ff02::1]:443": false, "[::ffff:127.0.0.1]:443": false, "[::ffff:10.0.0.1]:443": false, "[::ffff:169.254.169.254]:80": false, "[::ffff:100.64.0.1]:443": false,
		"0.1.2.3:443": false, "192.0.0.1:443": false, "198.18.0.1:443": false, "240.0.0.1:443": false, "[64:ff9b::a9fe:a9fe]:80": false,
		"[64:ff9b::7f00:1]:443": false, "[64:ff9b::6440:1]:443": false, "[64:ff9b:1::1]:443": false, "[2002:7f00:1::]:443": false, "[fec0::1]:443": false,
		"192.0.2.1:443": false, "192.88.99.1:443": false, "198.51.100.1:443": false, "203.0.113.1:443": false, "239.255.255.255:443": false,
		"[::7f00:1]:443": false, "[::ffff:0:7f00:1]:443": false, "[2001:0:7f00:1::]:443": false, "[2001:20::1]:443": false, "[2001:db8::1]:443": false,
		"[3fff::1]:443": false, "[100::1]:443": false, "[5f00::1]:443": false, "[4000::1]:443": false, "[fe80::5efe:7f00:1]:443": false, "[ff0e::1]:443": false,
		"[2001:4860:4860::8888]:443": true, "[2a00:1450:4001::1]:443": true, "[2600:1f18::1]:443": true, "192.0.1.1:443": true, "198.20.0.1:443": true,
		"": false, "localhost:443": false, "8.8.8.8": false,
	}
	for address, public := range tests {
		if err := refusePrivate("tcp", address, nil); (err == nil) != public {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	tests := map[string]time.Duration{
		"": 0, "0": 0, "1": time.Second, " 90 ": 90 * time.Second, "-5": 0, "1.5": 0, "1e3": 0, "soon": 0, "60, 120": 0,
		"Mon, 23 Nov 2026 12:00:30 GMT":  30 * time.Second, // RFC 9110 section 5.6.7: IMF-fixdate
		"Monday, 23-Nov-26 12:00:30 GMT": 30 * time.Second, // RFC 850
		"Mon Nov 23 12:00:30 2026":       30 * time.Second, // asctime
		"Mon, 23 Nov 2026 11:00:00 GMT":  0,
		"86401":                          24 * time.Hour, "99999999999999999999999": 24 * time.Hour, "-99999999999999999999999": 0,
		"Fri, 31 Dec 9999 23:59:59 GMT": 24 * time.Hour, "Thu, 01 Jan 1970 00:00:00 GMT": 0,
		"23 Nov 2026": 0,
	}
	for header, want := range tests {
		if got := retryAfter(header, noon); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}
