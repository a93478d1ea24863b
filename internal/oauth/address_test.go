package oauth

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// names is a name server: each question is answered with the next list of
// addresses, the last one for ever.
type names struct {
	mu      sync.Mutex
	answers [][]netip.Addr
	asked   int
}

func (n *names) next(kind uint16) []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	if kind == typeA { // the question for AAAA belongs to the same look-up
		n.asked++
	}
	return n.answers[min(max(n.asked-1, 0), len(n.answers)-1)]
}

// resolver asks n, over connections that exist in memory only.
func (n *names) resolver(ended *sync.WaitGroup) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		ended.Go(func() { n.serve(theirs) })
		return ours, nil
	}}
}

// RFC 1035 section 3.2.2, RFC 3596 section 2.1.
const (
	typeA    = 1
	typeAAAA = 28
)

// serve answers questions as over TCP: each message has its length before it
// (RFC 1035 section 4.2.2).
func (n *names) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		answer := n.answer(question)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}

// answer writes the answer to a question (RFC 1035 section 4.1).
func (n *names) answer(question []byte) []byte {
	end := 12
	for question[end] != 0 {
		end += 1 + int(question[end])
	}
	end += 5 // the root, type and class
	kind := binary.BigEndian.Uint16(question[end-4:])
	var records []byte
	count := 0
	for _, a := range n.next(kind) {
		if a.Is4() != (kind == typeA) {
			continue
		}
		count++
		records = append(records, 0xc0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(a.AsSlice())))
		records = append(records, a.AsSlice()...)
	}
	header := []byte{question[0], question[1], 0x81, 0x80, 0, 1, 0, byte(count), 0, 0, 0, 0}
	return append(append(header, question[12:end]...), records...)
}

// errStop stands for a connection to an address that is not refused: no test
// leaves this machine.
var errStop = errors.New("would be dialed")

// dialed is a client that resolves names by n. It returns the addresses that are
// about to be dialed, after the check of a Dialer.
func dialed(t *testing.T, n *names) (client *http.Client, reached func() []string) {
	t.Helper()
	var ended sync.WaitGroup
	t.Cleanup(ended.Wait)
	dialer := &net.Dialer{Timeout: setupTimeout, Resolver: n.resolver(&ended)}
	client = newHTTPClient(dialer, false)
	check := dialer.Control
	var mu sync.Mutex
	var all []string
	dialer.Control = func(network, address string, c syscall.RawConn) error {
		if err := check(network, address, c); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, address)
		return errStop
	}
	return client, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

func addresses(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range texts {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

// What a name means is not known before it is resolved. Whatever a name server
// answers, no private address is dialed, by no call.
func TestNoNameLeadsToAPrivateAddress(t *testing.T) {
	tests := []struct {
		name    string
		answers [][]netip.Addr
		reached []string // by the last call
	}{
		{"a public address", [][]netip.Addr{addresses("8.8.8.8")}, []string{"8.8.8.8:443"}},
		{"loopback", [][]netip.Addr{addresses("127.0.0.1")}, nil},
		{"the metadata of the machine", [][]netip.Addr{addresses("169.254.169.254")}, nil},
		{"the credentials of the container", [][]netip.Addr{addresses("169.254.170.2")}, nil},
		{"the metadata of the machine by IPv6", [][]netip.Addr{addresses("fd00:ec2::254")}, nil},
		{"loopback by IPv6", [][]netip.Addr{addresses("::1")}, nil},
		{"loopback mapped into IPv6", [][]netip.Addr{addresses("::ffff:127.0.0.1")}, nil},
		{"loopback translated into IPv6", [][]netip.Addr{addresses("64:ff9b::7f00:1")}, nil},
		{"this network", [][]netip.Addr{addresses("0.0.0.0")}, nil},
		{"a carrier's address", [][]netip.Addr{addresses("100.64.0.1")}, nil},
		{"all private ranges at once", [][]netip.Addr{addresses("10.0.0.1", "172.16.0.1", "192.168.0.1", "fe80::1", "fc00::1", "224.0.0.1", "ff02::1")}, nil},
		{"a private address before a public one", [][]netip.Addr{addresses("127.0.0.1", "8.8.8.8")}, []string{"8.8.8.8:443"}},
		{"a public address, then a private one", [][]netip.Addr{addresses("8.8.8.8"), addresses("127.0.0.1")}, nil},
	}
	for _, op := range operations {
		for _, tt := range tests {
			t.Run(op.name+"/"+tt.name, func(t *testing.T) {
				n := &names{answers: tt.answers}
				client, reached := dialed(t, n)
				c := newClient(t, everything, "https://login.provider.example", nil)
				tc := &TokenClient{HTTP: client, Now: time.Now}
				for range len(tt.answers) - 1 {
					_, _ = op.call(t.Context(), tc, c)
				}
				before := len(reached())
				_, err := op.call(t.Context(), tc, c)
				if got := reached()[before:]; !slices.Equal(got, tt.reached) {
					t.Errorf("%q are dialed, want %q", got, tt.reached)
				}
				refused := errors.Is(err, errPrivate) && strings.Contains(err.Error(), "ALLOW_PRIVATE_PROVIDERS")
				if e := wire(t, err); !e.NotSent || tt.reached == nil && !refused {
					t.Errorf("not sent = %v: %v", e.NotSent, err)
				}
			})
		}
	}
}

// The same for real, and for addresses that need no name server: nobody is
// connected to.
func TestNobodyOnThisMachineIsConnectedTo(t *testing.T) {
	s := serve(t, func(http.ResponseWriter, *http.Request) {})
	tc := &TokenClient{HTTP: NewHTTPClient(false), Now: time.Now}
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"} {
		for _, op := range operations {
			c := newClient(t, everything, s.URL, nil)
			for _, u := range []*string{&c.Endpoints.TokenURL, &c.Endpoints.RevocationURL, &c.Endpoints.UserInfoURL, &c.Endpoints.PrepareURL} {
				*u = strings.Replace(*u, "127.0.0.1", host, 1)
			}
			_, err := op.call(t.Context(), tc, c)
			if e := wire(t, err); !e.NotSent || !errors.Is(err, errPrivate) {
				t.Errorf("%s at %s: not sent = %v: %v", op.name, host, e.NotSent, err)
			}
		}
	}
	if n := s.conns.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}
