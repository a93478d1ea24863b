// Command cmd searches what go test -v has printed for secrets (make leaks). It
// reads standard input, passes nothing on, and ends with 1 where it finds a
// secret or where nothing was searched.
//
//	go test -count=1 -v ./... | go run ./internal/canary/cmd
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/evergrant/evergrant/internal/canary"
)

func main() {
	s, err := search(os.Stdin, os.Stdout)
	fmt.Println(s)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A sum is what was searched.
type sum struct {
	Lines, Bytes   int // of the output itself
	Logs           int // loggers of tests, each of which was searched by its test
	LogLines       int
	LogBytes       int
	Secrets        int // that were found
	Failed, Passed int // tests
}

// String says what was searched.
func (s sum) String() string {
	return fmt.Sprintf("%d tests passed, %d failed; searched: %d lines that were printed (%d bytes), %d lines of %d logs (%d bytes); %d secrets found",
		s.Passed, s.Failed, s.Lines, s.Bytes, s.LogLines, s.Logs, s.LogBytes, s.Secrets)
}

// search reads the output of go test -v, and writes to w each line that has a
// secret or tells of a failure.
func search(r io.Reader, w io.Writer) (sum, error) {
	var s sum
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		s.take(w, line)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return s, fmt.Errorf("read the output: %w", err)
		}
	}
	switch {
	case s.Secrets > 0:
		return s, fmt.Errorf("%d secrets were printed", s.Secrets)
	case s.Failed > 0:
		return s, fmt.Errorf("%d tests failed", s.Failed)
	case s.Passed == 0 || s.Logs == 0:
		return s, errors.New("nothing was searched: is this the output of go test -v?")
	}
	return s, nil
}

// take searches one line.
func (s *sum) take(w io.Writer, line string) {
	s.Lines++
	s.Bytes += len(line)
	for _, f := range new(canary.Watch).Find(line) {
		s.Secrets++
		_, _ = fmt.Fprintln(w, "printed:", f)
	}
	text := strings.TrimSpace(line)
	switch {
	case strings.HasPrefix(text, "--- PASS: "):
		s.Passed++
	case strings.HasPrefix(text, "--- FAIL: "), strings.HasPrefix(text, "FAIL\t"):
		s.Failed++
		_, _ = fmt.Fprintln(w, text)
	case strings.HasPrefix(text, "=== ATTR "):
		var lines, bytes int
		if _, found, ok := strings.Cut(text, " "+canary.Searched+" "); ok {
			if n, _ := fmt.Sscanf(found, canary.SearchedFormat, &lines, &bytes); n == 2 {
				s.Logs++
				s.LogLines += lines
				s.LogBytes += bytes
			}
		}
	}
}
