// Command connections is the control plane, which other functions invoke.
package main

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/evergrant/evergrant/internal/awsenv"
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
	s, err := settings.Load(settings.Connections, os.Getenv)
	if err != nil {
		return nil, err
	}
	m := wiring.Machine{Settings: s, Getenv: os.Getenv, AWS: awsenv.HTTPClient(), Now: time.Now, Random: rand.Float64, Log: log}
	tokens := m.Tokens()
	secrets, err1 := m.Secrets()
	store, err2 := m.Store()
	renewer, err3 := m.Renewer(store, secrets, tokens)
	spill, err4 := m.Spill()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	return &connections.Handler{
		Reader: store, Writer: store, Requests: store, Breakers: store, Secrets: secrets, Tokens: tokens, Spill: spill,
		Renew: m.RenewOne(renewer), Shards: s.DueShards, Random: rand.Float64, Now: time.Now, Log: log,
		FunctionName: m.FunctionName(),
	}, nil
}
