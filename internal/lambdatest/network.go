package lambdatest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Network is the way from the functions to a provider. It carries each
// request over a connection of its own, whole, and each answer back, until it
// is told to misbehave.
//
// It knows TCP and where an HTTP message ends, and nothing of OAuth: whether a
// request took effect is for the provider's ledger to say.
type Network struct {
	t       testing.TB
	address string // host and port
	serving sync.WaitGroup

	mu       sync.Mutex
	to       string // host and port of the provider
	listener net.Listener
	open     map[net.Conn]bool
	faults   []Fault
	taken    int
	closed   bool
}

// A Fault is what becomes of one connection. When it returns, what is left of
// the connection is closed.
type Fault func(*Link)

// Deliver is no fault: the request goes to the provider, the answer comes back.
func Deliver(l *Link) { l.Answer(l.Ask(l.Take())) }

// NewNetwork starts a Network, until t ends.
//
// It listens at 127.0.0.2. Ports that the system gives out are at 127.0.0.1, so
// its own is free when it comes back after Down. Only Linux has that address.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	n := &Network{t: t, address: "127.0.0.2:0", open: map[net.Conn]bool{}}
	n.Up()
	t.Cleanup(n.close)
	return n
}

// Lead makes the Network the way to the server of a URL, and returns the URL
// with its own address in place of the server's.
func (n *Network) Lead(server string) string {
	scheme, rest, _ := strings.Cut(server, "://")
	host, path, _ := strings.Cut(rest, "/")
	n.mu.Lock()
	defer n.mu.Unlock()
	n.to = host
	return scheme + "://" + n.address + "/" + path
}

// Misbehave sets what becomes of the next connections, each of faults once, in
// their order. After them the Network delivers again.
func (n *Network) Misbehave(faults ...Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = faults
}

// Taken returns how many connections were made since it was last called.
func (n *Network) Taken() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	taken := n.taken
	n.taken = 0
	return taken
}

// Down makes the Network refuse connections.
func (n *Network) Down() {
	n.mu.Lock()
	defer n.mu.Unlock()
	_ = n.listener.Close()
}

// Up makes the Network take connections again, at the same address.
func (n *Network) Up() {
	n.t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(n.t.Context(), "tcp", n.address)
	if err != nil {
		n.t.Fatalf("network: %v", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listener, n.address = listener, listener.Addr().String()
	n.serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			n.serving.Go(func() { n.serve(conn) })
		}
	})
}

// serve lets the next fault have conn.
func (n *Network) serve(conn net.Conn) {
	defer n.forget(conn)
	n.mu.Lock()
	fault := Deliver
	if len(n.faults) > 0 {
		fault, n.faults = n.faults[0], n.faults[1:]
	}
	n.taken++
	to, late := n.to, n.closed
	n.open[conn] = true
	n.mu.Unlock()
	if !late {
		fault(&Link{network: n, to: to, function: conn.(*net.TCPConn)})
	}
}

func (n *Network) forget(conn net.Conn) {
	_ = conn.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.open, conn)
}

// close ends all connections and waits for their faults.
func (n *Network) close() {
	n.Down()
	n.mu.Lock()
	n.closed = true
	for conn := range n.open {
		_ = conn.Close()
	}
	n.mu.Unlock()
	n.serving.Wait()
}

// A Link is one connection of a function, in the hands of a Fault. Errors
// towards the function are ignored: it may have left. Those towards the provider
// fail the test.
type Link struct {
	network  *Network
	to       string
	function *net.TCPConn
}

// Take reads the whole request.
func (l *Link) Take() []byte {
	var raw bytes.Buffer
	r, err := http.ReadRequest(bufio.NewReader(io.TeeReader(l.function, &raw)))
	if err != nil {
		return nil
	}
	defer func() { _ = r.Body.Close() }()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil
	}
	return raw.Bytes()
}

// TakePart reads the first n bytes of the request.
func (l *Link) TakePart(n int64) { _, _ = io.CopyN(io.Discard, l.function, n) }

// Ask gives the provider the request, and returns its whole answer.
func (l *Link) Ask(request []byte) []byte { return l.ask(request, false) }

// AskAndHangUp is Ask with the sending half of the connection to the provider
// closed right behind the request.
func (l *Link) AskAndHangUp(request []byte) []byte { return l.ask(request, true) }

func (l *Link) ask(request []byte, hangUp bool) []byte {
	if request == nil {
		return nil // the function left before it had said all
	}
	answer, err := exchange(l.network.t, l.to, request, hangUp)
	if err != nil {
		l.network.t.Errorf("network: the provider does not answer: %v", err)
	}
	return answer
}

func exchange(t testing.TB, to string, request []byte, hangUp bool) ([]byte, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", to)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write(request); err != nil {
		return nil, fmt.Errorf("send the request: %w", err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok && hangUp {
		_ = tcp.CloseWrite()
	}
	var raw bytes.Buffer
	resp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(conn, &raw)), nil)
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return nil, fmt.Errorf("read the answer's body: %w", err)
	}
	return raw.Bytes(), nil
}

// Answer gives the function these bytes.
func (l *Link) Answer(b []byte) { _, _ = l.function.Write(b) }

// AnswerSlowly gives the function these bytes one by one, with a pause before
// each.
func (l *Link) AnswerSlowly(b []byte, pause time.Duration) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for i := range b {
		<-tick.C
		l.Answer(b[i : i+1])
	}
}

// HangUp closes our half of the connection, and waits until the function has
// left. What it sends until then is read.
func (l *Link) HangUp() {
	_ = l.function.CloseWrite()
	l.Gone()
}

// Gone waits until the function has left.
func (l *Link) Gone() { _, _ = io.Copy(io.Discard, l.function) }

// Reset ends the connection with a RST instead of a FIN.
func (l *Link) Reset() {
	_ = l.function.SetLinger(0)
	_ = l.function.Close()
}
