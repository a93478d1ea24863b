package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// The most that one call may take, and that is read of an answer, in bytes.
const (
	callTime  = 10 * time.Second
	maxAnswer = 64 << 10
)

// Network is the Web that there is. Both fields are required.
type Network struct {
	HTTP *http.Client // made by oauth.NewHTTPClient
	Now  func() time.Time
}

// Get implements Web.
func (n Network) Get(ctx context.Context, to, accept string) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return Answer{}, errors.New("it is not a URL")
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("User-Agent", "evergrant doctor")
	resp, err := n.HTTP.Transport.RoundTrip(req)
	if err != nil {
		return Answer{}, reason(err)
	}
	received := n.Now()
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Answer{}, reason(err)
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body, Received: received}, nil
}

// Reach implements Web.
func (n Network) Reach(ctx context.Context, to string) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	u, err := url.Parse(to)
	if err != nil {
		return errors.New("it is not a URL")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	transport, ok := n.HTTP.Transport.(*http.Transport)
	if !ok {
		return errors.New("the client was not made by oauth.NewHTTPClient")
	}
	conn, err := transport.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return reason(err)
	}
	defer func() { _ = conn.Close() }()
	if u.Scheme != "https" {
		return nil
	}
	settings := transport.TLSClientConfig.Clone()
	settings.ServerName = u.Hostname()
	if err := tls.Client(conn, settings).HandshakeContext(ctx); err != nil {
		return reason(err)
	}
	return nil
}

// reason returns what may be said of a failure: nothing that the other side
// wrote, but for the names in its certificate.
func reason(err error) error {
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer within " + callTime.String())
	case errors.As(err, &certificate):
		return certificate
	case errors.As(err, &op):
		return op
	}
	return errors.New("the connection broke, or it is not one of HTTP and TLS")
}
