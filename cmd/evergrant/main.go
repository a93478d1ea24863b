// Command evergrant runs Evergrant on this machine and operates deployments of
// it: it makes connect links and lists, shows, refreshes and disconnects
// connections. `evergrant help` says how.
package main

import (
	"context"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(run(ctx, tool{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Terminal: isTerminal(os.Stdin),
		Getenv:   os.Getenv, Now: time.Now, Random: rand.Float64,
	}, os.Args[1:]))
}

// isTerminal reports whether a person may be at f: it is a device of
// characters, and not the one that is always empty.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	empty, emptyErr := os.Stat(os.DevNull)
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && (emptyErr != nil || !os.SameFile(info, empty))
}
