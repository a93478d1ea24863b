package local

import (
	"context"
	"sync"

	"github.com/evergrant/evergrant/internal/connection"
	"github.com/evergrant/evergrant/internal/refresh"
)

// A counter counts the refreshes of each connection since the start, for the
// page. No store keeps such a number.
type counter struct {
	renew func(ctx context.Context, k connection.Key, storedFence int64) (refresh.Report, error)

	mu    sync.Mutex
	count map[connection.Key]int
}

// Renew refreshes k and counts it if that brought new tokens.
func (c *counter) Renew(ctx context.Context, k connection.Key, storedFence int64) (refresh.Report, error) {
	report, err := c.renew(ctx, k, storedFence)
	if report.Result == refresh.Refreshed {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.count == nil {
			c.count = map[connection.Key]int{}
		}
		c.count[k]++
	}
	return report, err
}

// Of returns how often k has been refreshed since the start.
func (c *counter) Of(k connection.Key) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count[k]
}
