package local

import (
	"net"
	"net/http"
	"sync"
)

// An idler keeps the connections that have not asked for anything yet, such as
// those that browsers open ahead. http.Server.Shutdown would wait five seconds
// for each of them to make up its mind.
type idler struct {
	mu    sync.Mutex
	conns map[net.Conn]bool
}

// note is an http.Server's ConnState.
func (i *idler) note(c net.Conn, s http.ConnState) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if s != http.StateNew {
		delete(i.conns, c)
		return
	}
	if i.conns == nil {
		i.conns = map[net.Conn]bool{}
	}
	i.conns[c] = true
}

// close closes these connections.
func (i *idler) close() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for c := range i.conns {
		_ = c.Close() // nothing was asked on it
	}
}
