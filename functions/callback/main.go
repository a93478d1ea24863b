// Command callback is the function behind /callback/{provider}.
package main

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/evergrant/evergrant/internal/awsenv"
	"github.com/evergrant/evergrant/internal/callback"
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

// newHandler wires the function, and reads its keys while Lambda still starts.
func newHandler(log *slog.Logger) (*callback.Handler, error) {
	s, err := settings.Load(settings.Callback, os.Getenv)
	if err != nil {
		return nil, err
	}
	m := wiring.Machine{Settings: s, Getenv: os.Getenv, AWS: awsenv.HTTPClient(), Now: time.Now, Random: rand.Float64, Log: log}
	secrets, err1 := m.Secrets()
	store, err2 := m.Store()
	spill, err3 := m.Spill()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	secrets.Warm(context.Background(), s.SealSecret)
	return &callback.Handler{
		Secrets: secrets, Tokens: m.Tokens(), Requests: store, History: store, Connections: store, Spill: spill,
		PublicURL: s.PublicURL, CompletionURL: s.CompletionURL, Shards: s.DueShards, Random: rand.Float64, Now: time.Now, Log: log,
		FunctionName: m.FunctionName(),
	}, nil
}
