package oauth

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"
)

// maxAnswer is the most that is read of an answer, in bytes.
const maxAnswer = 64 << 10

// An answer is what came back, read whole.
type answer struct {
	status     int
	body       []byte
	retryAfter time.Duration // as in Error
	exhausted  time.Duration // as in TokenSet.Pause
}

// errBroken stands for what package net/http says of a broken answer: it quotes
// the answer.
var errBroken = errors.New("the connection broke or carried no HTTP")

// errPrivate stops a connection to an address that no provider should have.
var errPrivate = errors.New("the address is loopback, link-local or private; ALLOW_PRIVATE_PROVIDERS=true allows it")

// setupTimeout is how long name resolution with the dial, and then the TLS
// handshake, may take. The time of the whole call ends each of them earlier.
const setupTimeout = 10 * time.Second

// NewHTTPClient returns the client for calls to providers: TLS 1.2 or later,
// no redirects, no compression, and private addresses refused after name
// resolution unless allowPrivate.
//
// The proxies of the environment are not used: a proxy resolves names itself, so
// that nobody here could refuse a private address, and it would read what goes
// to a provider over http.
//
// Each call has its own connection. So a failure before the connection stands
// is provably not sent, and nothing below this package can send a request
// twice; TLS sessions are resumed.
func NewHTTPClient(allowPrivate bool) *http.Client {
	return newHTTPClient(&net.Dialer{Timeout: setupTimeout}, allowPrivate)
}

// newHTTPClient is NewHTTPClient with a dialer, and so a resolver, of a test.
func newHTTPClient(dialer *net.Dialer, allowPrivate bool) *http.Client {
	if !allowPrivate {
		dialer.Control = refusePrivate
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(64)},
			TLSHandshakeTimeout:    setupTimeout,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxAnswer,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// refusePrivate is a net.Dialer's Control: it sees each resolved address, right
// before that one is dialed. A name that changes in between is seen as it is.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !public(ap.Addr()) {
		return errPrivate
	}
	return nil
}

// reserved are the ranges that are no public address though package netip takes
// them for one: those of the IANA registries of special-purpose addresses (RFC
// 6890) that are not reachable globally, or that hold any IPv4 address.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network (RFC 791 section 3.2)
	netip.MustParsePrefix("100.64.0.0/10"),   // between a carrier and its customers (RFC 6598)
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments (RFC 6890)
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation (RFC 5737)
	netip.MustParsePrefix("192.88.99.0/24"),  // relays of 6to4 (RFC 7526)
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks (RFC 2544)
	netip.MustParsePrefix("198.51.100.0/24"), // documentation (RFC 5737)
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation (RFC 5737)
	netip.MustParsePrefix("240.0.0.0/4"),     // for the future (RFC 1112 section 4)
	netip.MustParsePrefix("2001::/23"),       // protocol assignments, Teredo among them (RFC 2928, RFC 4380)
	netip.MustParsePrefix("2001:db8::/32"),   // documentation (RFC 3849)
	netip.MustParsePrefix("2002::/16"),       // 6to4, which holds any IPv4 address (RFC 3056)
	netip.MustParsePrefix("3fff::/20"),       // documentation (RFC 9637)
}

var (
	// global is what IANA gives out of IPv6 (RFC 4291 section 2.4). All that is
	// local, reserved or made of an IPv4 address is outside of it.
	global = netip.MustParsePrefix("2000::/3")

	// nat64 holds IPv4 addresses in its last four bytes (RFC 6052).
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

func public(a netip.Addr) bool {
	a = a.Unmap()
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	contains := func(p netip.Prefix) bool { return p.Contains(a) }
	return a.IsGlobalUnicast() && !a.IsPrivate() && (a.Is4() || global.Contains(a)) && !slices.ContainsFunc(reserved, contains)
}

// send makes one request and reads its answer. Its errors are of type *Error
// and hold no URL, since queries carry secrets.
func (t *TokenClient) send(ctx context.Context, timeout time.Duration, method, to string, form url.Values, authorization string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var asked, got atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { got.Store(true) },
	})
	req, err := newRequest(ctx, method, to, form, authorization)
	if err != nil {
		return answer{}, err
	}
	// Not t.HTTP.Do: it reads the Location header before it asks whether to
	// follow it, and fails with its text where that is no URL.
	resp, err := t.transport().RoundTrip(req)
	if err != nil {
		return answer{}, &Error{NotSent: asked.Load() && !got.Load(), Reason: "no answer", Err: cause(err, got.Load())}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	now := t.Now()
	a := answer{status: resp.StatusCode, body: body, exhausted: exhausted(resp.Header, now)}
	a.retryAfter = max(a.exhausted, retryAfter(resp.Header.Get("Retry-After"), now))
	switch {
	case err != nil && !whole(a):
		return answer{}, &Error{Status: a.status, Reason: "the answer broke off", RetryAfter: a.retryAfter, Err: cause(err, true)}
	case len(body) > maxAnswer:
		return answer{}, &Error{Status: a.status, Reason: "the answer is larger than 64 KiB", RetryAfter: a.retryAfter}
	}
	return a, nil
}

// whole reports whether a, whose connection broke or whose length promises more,
// is a success that is there to its last byte. Only a JSON object tells, since it
// says itself where it ends; the tokens in it may be the only live ones.
func whole(a answer) bool {
	_, err := parseObject(a.body)
	return err == nil && a.status >= 200 && a.status < 300
}

// newRequest returns a request that is fit to be sent once. Its errors are of
// type *Error: nothing was sent.
func newRequest(ctx context.Context, method, to string, form url.Values, authorization string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, strings.NewReader(form.Encode()))
	if err != nil || req.URL.Host == "" {
		return nil, &Error{NotSent: true, Reason: "the endpoint is not a URL"}
	}
	if err := ctx.Err(); err != nil {
		return nil, &Error{NotSent: true, Reason: "no time is left", Err: err}
	}
	if strings.ContainsFunc(authorization, unicode.IsControl) {
		return nil, &Error{NotSent: true, Reason: "the secret or token has a character that no header can carry"}
	}
	req.GetBody = nil // nothing may send it a second time
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "evergrant")
	return req, nil
}

func (t *TokenClient) transport() http.RoundTripper {
	if t.HTTP.Transport == nil {
		return http.DefaultTransport
	}
	return t.HTTP.Transport
}

// cause returns what may be said of a failure: all of it as long as there is no
// connection, then only what does not come from the provider.
func cause(err error, connected bool) error {
	var op *net.OpError
	var wrapped *url.Error
	switch {
	case errors.As(err, &wrapped):
		return cause(wrapped.Err, connected)
	case !connected:
		return err
	case errors.As(err, &op):
		return op
	}
	for _, known := range []error{context.Canceled, context.DeadlineExceeded, io.ErrUnexpectedEOF, io.EOF} {
		if errors.Is(err, known) {
			return known
		}
	}
	return errBroken
}
