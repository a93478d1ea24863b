// Command authorize is the function behind GET /authorize/{provider}.
package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/evergrant/evergrant/internal/authorize"
	"github.com/evergrant/evergrant/internal/awsenv"
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
	s, err := settings.Load(settings.Authorize, os.Getenv)
	if err != nil {
		return nil, err
	}
	m := wiring.Machine{Settings: s, Getenv: os.Getenv, AWS: awsenv.HTTPClient(), Now: time.Now, Random: rand.Float64, Log: log}
	secrets, err := m.Secrets()
	if err != nil {
		return nil, err
	}
	secrets.Warm(context.Background(), s.SealSecret, s.ConnectSecret)
	return &authorize.Handler{
		Secrets: secrets, Provider: m.Tokens(), PublicURL: s.PublicURL, ReturnOrigins: s.ReturnOrigins,
		AllowUnsigned: s.AllowUnsignedConnect, Now: time.Now, Log: log,
	}, nil
}
