// Package local is Evergrant on one machine: a loopback web server in front of
// the handlers that Lambda runs, with an embedded store, the sweep on a timer,
// a page to look at connections, and simulated providers for those who have no
// client credentials yet.
//
// It decides nothing by itself: who may connect what, and when a token is
// refreshed, is the work of the handlers, and a request reaches them as API
// Gateway would hand it over (gateway.go). It is for one person at one
// machine, not for deployment: access tokens stand unencrypted in a file that
// only its owner can read, and whoever can use the machine's loopback can use
// the page.
//
// To change what the page shows, change view.go and page.html; what it says of
// an outcome or a failure stands in text.go.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// The ports of local mode, where Config does not say otherwise.
const (
	DefaultPort          = 8788
	DefaultSimulatorPort = 8789
)

// DefaultDir is the data folder of local mode, where Config does not say
// otherwise.
const DefaultDir = ".evergrant"

// A Config says how local mode runs. Dir, Now, Random, Log and Out are
// required.
type Config struct {
	// Dir is the data folder. It is made if it is not there.
	Dir string

	// Port and SimulatorPort are the ports of the page and of the simulated
	// providers. 0 is one that is free.
	Port          int
	SimulatorPort int

	// SecretsFile names the file with the client credentials of real
	// providers: a JSON object that has, by provider ID, the documents that
	// Secrets Manager has in a deployment. It is read again whenever
	// credentials are needed. Empty: the providers are simulated.
	SecretsFile string

	// AllowPrivate lets the URLs of real providers point at loopback and
	// private addresses, and loopback ones use http.
	AllowPrivate bool

	// TokenLifetime is the life of simulated access tokens; 0: as documented
	// by each provider.
	TokenLifetime time.Duration

	// Completion has local mode play the host: the callback sends the browser to
	// a page that completes the connection for who is signed in there.
	Completion bool

	// Ticks, if set, says when to sweep, in place of the timer. Tests that call
	// Sweep themselves give one that never comes.
	Ticks <-chan time.Time

	Now    func() time.Time
	Random func() float64 // in [0, 1): jitter
	Log    *slog.Logger
	Out    io.Writer // what is said to the person at the terminal
}

// minTokenLifetime is the shortest life of a simulated token for which a sweep
// each second comes in time.
const minTokenLifetime = 5 * time.Second

// Check returns what is wrong with c, as a person at the terminal reads it.
func (c Config) Check() error {
	switch {
	case c.TokenLifetime != 0 && c.SecretsFile != "":
		return errors.New("token-lifetime is for the simulated providers: real ones say how long their tokens live")
	case c.TokenLifetime != 0 && c.TokenLifetime < minTokenLifetime:
		return fmt.Errorf("token-lifetime is %s: make it %s or more, so that there is time to refresh", c.TokenLifetime, minTokenLifetime)
	}
	return nil
}

// sweepEvery returns the time between two sweeps: a minute as deployed, or a
// quarter of the life of simulated tokens that live shorter than four.
func (c Config) sweepEvery() time.Duration {
	if c.TokenLifetime == 0 {
		return time.Minute
	}
	return min(max(c.TokenLifetime/4, time.Second), time.Minute)
}

// Run runs local mode until ctx ends. It returns when every refresh that was
// under way has been stored.
func Run(ctx context.Context, c Config) error {
	s, err := Open(c)
	if err != nil {
		return err
	}
	return errors.Join(s.Serve(ctx), s.Close())
}
