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
	info, err := os.Stdin.Stat()
	os.Exit(run(ctx, tool{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Terminal: err == nil && info.Mode()&os.ModeCharDevice != 0,
		Getenv:   os.Getenv, Now: time.Now, Random: rand.Float64,
	}, os.Args[1:]))
}
