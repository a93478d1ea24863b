// Command callback is the function behind /callback/{provider}.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

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
	m, err := wiring.New(settings.Callback, os.Getenv, time.Now, log)
	if err != nil {
		return nil, err
	}
	secrets, err1 := m.Secrets()
	store, err2 := m.Store()
	spill, err3 := m.Spill()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	secrets.Warm(context.Background(), m.Settings.SealSecret)
	return &callback.Handler{
		Secrets: secrets, Tokens: m.Tokens(), Requests: store, History: store, Connections: store, Spill: spill,
		PublicURL: m.Settings.PublicURL, CompletionURL: m.Settings.CompletionURL, Shards: m.Settings.DueShards, Random: m.Random, Now: m.Now, Log: log,
		FunctionName: m.FunctionName(),
	}, nil
}
