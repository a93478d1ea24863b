package oauth

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// endless answers with head, and then with part for as long as the client takes
// it. It counts the bytes.
func endless(head, part string, took *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer func() { _ = conn.Close() }()
		for text := head; ; text = part {
			n, err := io.WriteString(conn, text)
			if took.Add(int64(n)); err != nil || took.Load() > 80<<20 {
				return
			}
		}
	}
}

// An answer without end, of whatever part, is cut long before time is up, and
// not for want of memory. What the network buffers, a few megabytes, is taken.
func TestAnswersWithoutEndAreCut(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	large := strings.Repeat("x", 1<<20)
	tests := map[string]struct{ head, part string }{
		"a body":                      {ok + "\r\n", large},
		"a body of a length":          {ok + "Content-Length: 1099511627776\r\n\r\n", large},
		"a body of tokens":            {ok + "\r\n" + with("")[:20], strings.Repeat(" ", 1<<20)},
		"a body of chunks":            {ok + "Transfer-Encoding: chunked\r\n\r\n", "100000\r\n" + large + "\r\n"},
		"a body of tiny chunks":       {ok + "Transfer-Encoding: chunked\r\n\r\n", strings.Repeat("1\r\nx\r\n", 1<<12)},
		"a body that is an error":     {"HTTP/1.1 400 Bad Request\r\n\r\n" + `{"error":"invalid_grant","x":"`, large},
		"a header":                    {ok + "X: ", large},
		"a name of a header":          {ok, large},
		"headers":                     {ok, strings.Repeat("X: y\r\n", 1<<12)},
		"a status":                    {"HTTP/1.1 200 ", large},
		"answers on the way":          {"", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 1<<8)},
		"continuations":               {"", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1<<8)},
		"an extension of a chunk":     {ok + "Transfer-Encoding: chunked\r\n\r\n1;", large},
		"a size of a chunk":           {ok + "Transfer-Encoding: chunked\r\n\r\n", strings.Repeat("0", 1<<20)},
		"trailers":                    {ok + "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\n", strings.Repeat("X: y\r\n", 1<<12)},
		"a trailer":                   {ok + "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\nX: ", large},
		"a length of many digits":     {ok + "Content-Length: 1", strings.Repeat("0", 1<<20)},
		"blank lines before a status": {"", strings.Repeat("\r\n", 1<<12)},
	}
	for _, op := range operations {
		for name, tt := range tests {
			t.Run(op.name+"/"+name, func(t *testing.T) {
				var took atomic.Int64
				s := serve(t, endless(tt.head, tt.part, &took))
				_, err := op.call(t.Context(), newTokenClient(), newClient(t, everything, s.URL, nil))
				if e := wire(t, err); e.NotSent || err == nil {
					t.Errorf("error = %+v", e)
				}
				if n := took.Load(); n > 64<<20 {
					t.Errorf("%d bytes were taken", n)
				}
			})
		}
	}
}

// A hundred thousand headers are too many, a thousand small ones are not: tokens
// are not thrown away for what comes with them.
func TestHowManyHeadersAnAnswerMayHave(t *testing.T) {
	for n, fine := range map[int]bool{1_000: true, 100_000: false} {
		s := serve(t, cut("HTTP/1.1 200 OK\r\n"+strings.Repeat("X-A: 1\r\n", n)+"Content-Length: "+fmt.Sprint(len(with("")))+"\r\n\r\n"+with("")))
		tokens, err := refresh(t.Context(), newTokenClient(), newClient(t, plain, s.URL, nil))
		if (err == nil) != fine || (tokens.AccessToken == "at") != fine {
			t.Errorf("%d headers: %v", n, err)
		}
	}
}

// No answer is unpacked, also none that was packed without being asked for: a
// megabyte could become a thousand.
func TestNoAnswerIsUnpacked(t *testing.T) {
	pack := func(plain []byte) []byte {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(plain)
		_ = z.Close()
		return packed.Bytes()
	}
	bomb := bytes.Repeat(pack(make([]byte, 1<<20)), 128) // members one after the other are one stream (RFC 1952 section 2.2)
	for name, packed := range map[string][]byte{"a bomb": bomb, "a bomb below the cap": bomb[:maxAnswer/2], "tokens": pack([]byte(with("")))} {
		for _, op := range operations {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = w.Write(packed)
			})
			tokens, err := op.call(t.Context(), newTokenClient(), newClient(t, everything, s.URL, nil))
			if got := s.wantOne(t).Header.Get("Accept-Encoding"); got != "" {
				t.Errorf("%s: packed answers are asked for: %s", op.name, got)
			}
			if op.name == "revoke" && name != "a bomb" {
				continue // whose answer nobody reads
			}
			if mustBeDiscreet(t, err); tokens.AccessToken != "" {
				t.Errorf("%s, %s: %+v", op.name, name, tokens)
			}
		}
	}
}

// A stage is a provider that is too slow at one point of a call.
type stage struct {
	name    string
	tls     bool
	behave  func(conn net.Conn) // the provider; nil: no connection comes about
	notSent bool
	setup   bool // it has a time of its own, setupTimeout
}

var stages = []stage{
	{name: "the connection does not stand", notSent: true, setup: true},
	{name: "no word of the handshake", tls: true, behave: func(c net.Conn) { drain(c) }, notSent: true, setup: true},
	{name: "the handshake byte by byte", tls: true, behave: func(c net.Conn) { drip(c, "\x16\x03\x03\x40\x00\x02"+strings.Repeat("\x00", 1<<14)) }, notSent: true, setup: true},
	{name: "the request is not read", behave: func(net.Conn) {}},
	{name: "no answer", behave: func(c net.Conn) { drain(c) }},
	{name: "a status byte by byte", behave: func(c net.Conn) { drip(c, "HTTP/1.1 200 "+strings.Repeat("x", 1<<10)) }},
	{name: "headers byte by byte", behave: func(c net.Conn) { drip(c, "HTTP/1.1 200 OK\r\n"+strings.Repeat("X: y\r\n", 1<<10)) }},
	{name: "a body byte by byte", behave: func(c net.Conn) { drip(c, "HTTP/1.1 200 OK\r\n\r\n"+strings.Repeat(" ", 1<<10)) }},
	{name: "a body of tokens whose end does not come", behave: func(c net.Conn) {
		drip(c, "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{\"access_token\":\"at\",\"x\":\""+strings.Repeat("x", 1<<10))
	}},
	{name: "answers on the way, one by one", behave: func(c net.Conn) { drip(c, strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 99)) }},
}

// drain reads what comes, and says nothing.
func drain(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// drip says a text, a byte a second.
func drip(c net.Conn, text string) {
	go drain(c)
	each := time.NewTicker(time.Second)
	defer each.Stop()
	for i := range len(text) {
		<-each.C
		if _, err := io.WriteString(c, text[i:i+1]); err != nil {
			return
		}
	}
}

// Whatever a provider is slow at, a call ends when its time is up, and earlier
// where no connection comes about; what has been sent is known.
func TestNoStageTakesLongerThanTheCall(t *testing.T) {
	whole := map[string]time.Duration{
		"exchange": 10 * time.Second, "refresh": 30 * time.Second, "issue": 10 * time.Second,
		"revoke": 10 * time.Second, "prepare": 10 * time.Second, "account": 5 * time.Second,
	}
	for _, op := range operations {
		for _, tt := range stages {
			t.Run(op.name+"/"+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var ended sync.WaitGroup
					base := "http://localhost"
					if tt.tls {
						base = "https://localhost"
					}
					began := time.Now()
					_, err := op.call(t.Context(), &TokenClient{HTTP: slow(tt, &ended), Now: time.Now}, newClient(t, everything, base, nil))
					want := whole[op.name]
					if tt.setup {
						want = min(want, setupTimeout)
					}
					if took := time.Since(began); took != want {
						t.Errorf("it took %v, want %v", took, want)
					}
					if e := wire(t, err); e.NotSent != tt.notSent || Unknown(err) == tt.notSent {
						t.Errorf("not sent = %v, unknown = %v: %v", e.NotSent, Unknown(err), err)
					}
					ended.Wait() // the connection was closed
				})
			})
		}
	}
}

// slow is our client, with a provider in memory behind it.
func slow(s stage, ended *sync.WaitGroup) *http.Client {
	client := NewHTTPClient(true)
	ended.Add(1) // the one connection, or its dial: each outlives a shorter call
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		if s.behave == nil { // no socket may be in a test of synctest: this is the dialer's time
			defer ended.Done()
			ctx, cancel := context.WithTimeout(ctx, setupTimeout)
			defer cancel()
			<-ctx.Done()
			return nil, ctx.Err()
		}
		ours, theirs := net.Pipe()
		gone := make(chan struct{})
		go func() {
			defer ended.Done()
			defer func() { _ = theirs.Close() }()
			s.behave(theirs)
			<-gone
		}()
		return telling{ours, sync.OnceFunc(func() { close(gone) })}, nil
	}
	return client
}

// telling tells when a connection is closed.
type telling struct {
	net.Conn
	closed func()
}

func (c telling) Close() error {
	c.closed()
	return c.Conn.Close()
}
