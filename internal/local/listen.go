package local

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// listenLocalhost listens on port of both loopback addresses, since a browser
// may take "localhost" for either and would meet a stranger at the one that is
// not ours. A machine without IPv6 has one.
func listenLocalhost(port int) (listeners []net.Listener, chosen int, err error) {
	for range 10 { // a port that is free on the one may be taken on the other
		if listeners, chosen, err = listenBoth(port); port != 0 || err == nil {
			break
		}
	}
	return listeners, chosen, err
}

// listenBoth makes one attempt at listenLocalhost.
func listenBoth(port int) (listeners []net.Listener, chosen int, err error) {
	v4, err := listen("127.0.0.1", port)
	if err != nil {
		return nil, 0, err
	}
	chosen = portOf(v4)
	v6, err := listen("::1", chosen)
	switch {
	case err == nil:
		return []net.Listener{v4, v6}, chosen, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, 0, errors.Join(err, v4.Close())
	}
	return []net.Listener{v4}, chosen, nil
}

// listen listens on one address.
func listen(host string, port int) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))) //nolint:noctx // it needs no name resolution and does not block
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %d is in use: stop what uses it (another local mode?), or choose another with --port or --simulator-port: %w", port, err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on port %d: %w", port, err)
	}
	return l, nil
}

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
