// Command authorize is the function behind GET /authorize/{provider}.
package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/evergrant/evergrant/internal/authorize"
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
func newHandler(log *slog.Logger) (*authorize.Handler, error) {
	m, err := wiring.New(settings.Authorize, os.Getenv, time.Now, log)
	if err != nil {
		return nil, err
	}
	secrets, err := m.Secrets()
	if err != nil {
		return nil, err
	}
	secrets.Warm(context.Background(), m.Settings.SealSecret, m.Settings.ConnectSecret)
	return &authorize.Handler{
		Secrets: secrets, Provider: m.Tokens(), PublicURL: m.Settings.PublicURL, ReturnOrigins: m.Settings.ReturnOrigins,
		AllowUnsigned: m.Settings.AllowUnsignedConnect, Now: m.Now, Log: log,
	}, nil
}
