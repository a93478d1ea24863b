// Command connections is the control plane, which other functions invoke.
package main

import (
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/evergrant/evergrant/internal/connections"
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

// newHandler wires the function.
func newHandler(log *slog.Logger) (*connections.Handler, error) {
	m, err := wiring.New(settings.Connections, os.Getenv, time.Now, log)
	if err != nil {
		return nil, err
	}
	secrets, err1 := m.Secrets()
	store, err2 := m.Store()
	spill, err3 := m.Spill()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	tokens := m.Tokens()
	renewer := m.Renewer(store, secrets, tokens, spill)
	return &connections.Handler{
		Reader: store, Writer: store, Requests: store, Breakers: store, Secrets: secrets, Tokens: tokens, Spill: spill,
		Renew: m.RenewOne(renewer), Shards: m.Settings.DueShards, Random: m.Random, Now: m.Now, Log: log,
		FunctionName: m.FunctionName(),
	}, nil
}
