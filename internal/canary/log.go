package canary

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
)

// Searched is the attribute by which a test says how much of its log was
// searched, and SearchedFormat what it says: lines and bytes.
const (
	Searched       = "searched"
	SearchedFormat = "%d lines, %d bytes"
)

// Log returns the logger for what a test runs. It prints every level, as JSON
// and as text, and each line is searched for secrets: one that is found fails t.
// What is printed goes to each of also, too, at the level that it has.
func Log(t testing.TB, also ...slog.Handler) *slog.Logger {
	t.Helper()
	s := new(search)
	t.Cleanup(func() { s.end(t) })
	all := &slog.HandlerOptions{Level: slog.LevelDebug}
	return slog.New(slog.NewMultiHandler(append(also, slog.NewJSONHandler(s, all), slog.NewTextHandler(s, all))...))
}

// A search takes the lines of one test.
type search struct {
	watch Watch

	mu           sync.Mutex
	lines, bytes int
	found        []Finding
}

// maxFound is how many findings a test shows.
const maxFound = 5

// Write takes one line.
func (s *search) Write(line []byte) (int, error) {
	found := s.watch.FindInLog(string(line))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines++
	s.bytes += len(line)
	if len(s.found) < maxFound {
		s.found = append(s.found, found...)
	}
	return len(line), nil
}

// end fails t for what was found, and says how much was searched. With -v, go
// test prints that, and make leaks adds it up.
func (s *search) end(t testing.TB) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.found {
		t.Errorf("the log shows %s", f)
	}
	if s.lines > 0 {
		t.Attr(Searched, fmt.Sprintf(SearchedFormat, s.lines, s.bytes))
	}
}
