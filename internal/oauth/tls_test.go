package oauth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// An impostor is a TLS listener that is not whom the client wants. It keeps all
// that it was sent, as it was on the wire and as far as it can be read.
type impostor struct {
	net.Listener
	ended sync.WaitGroup

	mu    sync.Mutex
	wire  bytes.Buffer
	plain bytes.Buffer
}

// imitate starts an impostor.
func imitate(t *testing.T, config *tls.Config) *impostor {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := &impostor{Listener: l}
	t.Cleanup(i.close)
	i.ended.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			i.ended.Go(func() { i.serve(tls.Server(recorded{conn, i}, config)) })
		}
	})
	return i
}

// recorded is a connection whose incoming bytes are kept.
type recorded struct {
	net.Conn
	by *impostor
}

func (r recorded) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.by.mu.Lock()
	defer r.by.mu.Unlock()
	r.by.wire.Write(b[:n])
	return n, err
}

func (i *impostor) serve(conn *tls.Conn) {
	defer func() { _ = conn.Close() }()
	b, _ := io.ReadAll(io.LimitReader(conn, 1)) // the client is to go away in the handshake
	i.mu.Lock()
	defer i.mu.Unlock()
	i.plain.Write(b)
}

// close ends the impostor and waits until it has read all.
func (i *impostor) close() {
	_ = i.Close()
	i.ended.Wait()
}

// certified returns a certificate of an authority, and a pool that trusts this.
func certified(t *testing.T, name string, from, until time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: from, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: from, NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	authorityKey, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	key, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	root, err1 := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	der, err2 := x509.CreateCertificate(rand.Reader, leaf, authority, key.Public(), authorityKey)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	parsed, err := x509.ParseCertificate(root)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// Who cannot prove to be the provider, by TLS 1.2 or later, is not told a thing:
// no byte of a request is written.
func TestNothingIsToldToAnImpostor(t *testing.T) {
	now := time.Now()
	day := 24 * time.Hour
	tests := []struct {
		name         string
		certificate  string // the name in it
		from, until  time.Time
		unknown      bool // its authority
		lowest, most uint16
		answers      bool // none of it: it is the provider
	}{
		{"the provider itself", "localhost", now.Add(-day), now.Add(day), false, tls.VersionTLS12, tls.VersionTLS13, true},
		{"the provider itself with TLS 1.2", "localhost", now.Add(-day), now.Add(day), false, tls.VersionTLS12, tls.VersionTLS12, true},
		{"a certificate that has expired", "localhost", now.Add(-2 * day), now.Add(-day), false, tls.VersionTLS12, tls.VersionTLS13, false},
		{"a certificate that is not valid yet", "localhost", now.Add(day), now.Add(2 * day), false, tls.VersionTLS12, tls.VersionTLS13, false},
		{"a certificate of another host", "evil.example", now.Add(-day), now.Add(day), false, tls.VersionTLS12, tls.VersionTLS13, false},
		{"a certificate of a subdomain", "a.localhost", now.Add(-day), now.Add(day), false, tls.VersionTLS12, tls.VersionTLS13, false},
		{"a certificate that nobody vouches for", "localhost", now.Add(-day), now.Add(day), true, tls.VersionTLS12, tls.VersionTLS13, false},
		{"the same with TLS 1.2", "localhost", now.Add(-day), now.Add(day), true, tls.VersionTLS12, tls.VersionTLS12, false},
		{"TLS 1.0", "localhost", now.Add(-day), now.Add(day), false, tls.VersionTLS10, tls.VersionTLS10, false},
		{"TLS 1.1", "localhost", now.Add(-day), now.Add(day), false, tls.VersionTLS10, tls.VersionTLS11, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			certificate, pool := certified(t, tt.certificate, tt.from, tt.until)
			if tt.unknown {
				pool = x509.NewCertPool()
			}
			i := imitate(t, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tt.lowest, MaxVersion: tt.most})
			client := NewHTTPClient(true)
			client.Transport.(*http.Transport).TLSClientConfig.RootCAs = pool
			tc := &TokenClient{HTTP: client, Now: time.Now}
			c := newClient(t, everything, "https://"+strings.Replace(i.Addr().String(), "127.0.0.1", "localhost", 1), nil)
			for _, op := range operations {
				_, err := op.call(t.Context(), tc, c)
				if e := wire(t, err); e.NotSent == tt.answers {
					t.Errorf("%s: not sent = %v: %v", op.name, e.NotSent, err)
				}
			}
			i.close()
			if told := i.plain.Len() > 0; told != tt.answers {
				t.Errorf("%d bytes were told", i.plain.Len())
			}
			if i.wire.Len() == 0 {
				t.Error("nobody came: nothing is shown")
			}
			mustNotShow(t, "the socket", i.wire.String(), clientID, clientSecret, code, refreshToken, accessToken)
		})
	}
}

// In HTTP/2 the transport sends a request again that the server has not taken.
func TestOnlyHTTP1IsSpoken(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			t.Errorf("%s is spoken", r.Proto)
		}
		_, _ = w.Write([]byte(with("")))
	})
	s.EnableHTTP2 = true
	s.StartTLS()
	tc := &TokenClient{HTTP: trusting(s), Now: func() time.Time { return noon }}
	if _, err := refresh(t.Context(), tc, newClient(t, plain, s.URL, nil)); err != nil {
		t.Error(err)
	}
	s.wantOne(t)
}
