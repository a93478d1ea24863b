// Command events tells the host what becomes of its connections. The stream of
// the connections table invokes it.
package main

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/evergrant/evergrant/internal/awsenv"
	"github.com/evergrant/evergrant/internal/bus"
	"github.com/evergrant/evergrant/internal/dynamo"
	"github.com/evergrant/evergrant/internal/events"
	"github.com/evergrant/evergrant/internal/secrets"
	"github.com/evergrant/evergrant/internal/settings"
)

func main() {
	h, err := newHandler(lambdacontext.NewLogger())
	if err != nil {
		slog.Error("cannot start", "err", err)
		os.Exit(1)
	}
	lambda.Start(h.Handle)
}

// newHandler wires the function. It reads no secret: most events have no link.
// It shares no part with the others, so package wiring does not know it: each of
// them would carry the client of EventBridge.
func newHandler(log *slog.Logger) (*events.Handler, error) {
	s, err := settings.Load(settings.Events, os.Getenv)
	if err != nil {
		return nil, err
	}
	hc := awsenv.HTTPClient()
	manager, err1 := awsenv.Config(os.Getenv, "SECRETS_MANAGER", hc)
	bridge, err2 := awsenv.Config(os.Getenv, "EVENTBRIDGE", hc)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	keys := &secrets.Store{API: secretsmanager.NewFromConfig(manager), Connect: s.ConnectSecret, Now: time.Now, Jitter: rand.Float64}
	return &events.Handler{
		Maker: events.Maker{Keys: keys, PublicURL: s.PublicURL, Now: time.Now, Log: log},
		Bus:   &bus.Bus{API: eventbridge.NewFromConfig(bridge), Name: s.EventBus}, Read: dynamo.ReadImage,
	}, nil
}
