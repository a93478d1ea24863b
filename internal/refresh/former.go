package refresh

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/oauth"
)

// errFormerRefused says that the provider has just refused a former client.
var errFormerRefused = errors.New("the provider refuses a former client")

// formerRefused gives the lease back after the provider has refused the former
// client that c's grant is of. That tells nothing of the client of today, so the
// breaker of the provider stays as it is; c is not charged.
func (r *Renewer) formerRefused(ctx context.Context, j job, c connection.Connection, cause error) ending {
	r.spared.spare(j.client, r.Now().Add(spareFor))
	return r.release(ctx, j, c, ending{
		outcome: outcomeUnusable,
		err:     fmt.Errorf("refresh at %s: %w: %w, client ID %q: %w", c.Provider, errUnusable, errFormerRefused, j.client.ID, cause),
	})
}

// spareFor is how long no request is made with a former client that was refused.
// Thousands of connections may be of one, and no breaker spares the provider. A
// refusal after that long reads the secret past the cache, so that a corrected
// one is found by the first request.
const spareFor = time.Minute

// sparing is the former clients that were refused a moment ago, as far as this
// process knows. The zero value is ready to use.
type sparing struct {
	mu    sync.Mutex
	until map[formerClient]time.Time
}

type formerClient struct{ provider, environment, id string }

func formerOf(c oauth.Client) formerClient {
	return formerClient{c.Provider.ID, c.Environment.Name, c.ID}
}

func (s *sparing) spare(c oauth.Client, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = map[formerClient]time.Time{}
	}
	s.until[formerOf(c)] = until
}

func (s *sparing) spares(c oauth.Client, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.until[formerOf(c)])
}
