package completion

import (
	"context"
	"errors"

	"github.com/evergrant/evergrant/internal/metrics"
	"github.com/evergrant/evergrant/internal/oauth"
)

// count prints the metrics of an authorization, or of what is like one, that has
// ended with err.
func (c *Completer) count(ctx context.Context, provider string, err error) {
	var b metrics.Batch
	failure := new(Failure)
	switch {
	case err == nil:
		b.Connection(provider, metrics.Connected)
	case errors.Is(err, ErrKept):
		b.Add(metrics.Spilled, 1)
		b.Connection(provider, metrics.Other)
	case errors.Is(err, ErrNotStored):
		b.Add(metrics.TokensOnlyInLog, 1)
		b.Connection(provider, metrics.Failed)
	case errors.As(err, &failure) && failure.Code == CodeAccountChanged:
		b.Connection(provider, metrics.AccountChanged)
	case errors.Is(err, oauth.ErrNotConfigured), oauth.RemedyFor(err) == oauth.Reconfigure:
		b.Add(metrics.Misconfigured, 1)
		b.Connection(provider, metrics.Misconfigures)
	default:
		b.Connection(provider, metrics.Failed)
	}
	b.Log(ctx, c.Log, c.FunctionName, c.Now())
}
