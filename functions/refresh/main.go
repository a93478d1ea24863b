// Command refresh is the function that the schedule invokes each minute.
package main

import (
	crand "crypto/rand"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/evergrant/evergrant/internal/refresh"
	"github.com/evergrant/evergrant/internal/settings"
	"github.com/evergrant/evergrant/internal/wiring"
)

func main() {
	h, err := newHandler(lambdacontext.NewLogger())
	if err != nil {
		slog.Error("cannot start", "err", err)
		os.Exit(1)
	}
	lambda.Start(h.Handle)
}

// newHandler wires the function. It reads no secret: most sweeps find nothing
// due, and a secret read each minute for nothing is the whole idle bill.
func newHandler(log *slog.Logger) (*refresh.Handler, error) {
	m, err := wiring.New(settings.Refresh, os.Getenv, time.Now, log)
	if err != nil {
		return nil, err
	}
	secrets, err1 := m.Secrets()
	store, err2 := m.Store()
	spill, err3 := m.Spill()
	queue, err4 := m.Queue()
	table, err5 := m.Table(store)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return nil, err
	}
	tokens := m.Tokens()
	renewer, rescuer := m.Renewer(store, secrets, tokens, spill), m.Rescuer(store, secrets, tokens, spill)
	return &refresh.Handler{
		Index: store, Sweeps: store, Providers: store, Table: table, Clients: secrets, Queue: queue, Renew: renewer.Renew, Rescue: rescuer.Rescue,
		Shards: m.Settings.DueShards, Concurrency: m.Settings.RefreshConcurrency, NewID: crand.Text, Random: m.Random, Now: m.Now, Log: log,
		FunctionName: m.FunctionName(),
	}, nil
}
