package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/evergrant/evergrant/internal/bolt"
	"github.com/evergrant/evergrant/internal/refresh"
	"github.com/evergrant/evergrant/internal/simulator"
)

// sweepTime is how long one sweep may take, as deployed.
const sweepTime = time.Minute

// A Server is local mode with its ports and its store open. Make it with Open.
type Server struct {
	URL          string               // of the page, such as http://localhost:8788
	SimulatorURL string               // "": the providers are real
	Simulator    *simulator.Simulator // nil: the providers are real

	config  Config
	store   *bolt.Store
	sweeper *refresh.Handler
	sites   []site // the page, then the simulated providers
}

// A site is one HTTP server with its listeners.
type site struct {
	server    *http.Server
	listeners []net.Listener
}

// Open opens the ports and the store. Nothing is served yet.
func Open(c Config) (*Server, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if err := makeDir(c.Dir); err != nil {
		return nil, err
	}
	s := &Server{config: c}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) open() error {
	listeners, port, err := listenLocalhost(s.config.Port)
	if err != nil {
		return err
	}
	page := s.addSite(listeners...)
	s.URL = "http://localhost:" + strconv.Itoa(port)
	creds, err := s.credentials()
	if err != nil {
		return err
	}
	if s.store, err = bolt.Open(filepath.Join(s.config.Dir, s.storeFile())); err != nil {
		return err
	}
	page.Handler = ownHosts(port, s.routes(creds))
	return nil
}

// storeFile returns the name of the store. Simulated connections and real ones
// have one each: neither kind can be refreshed by the other's credentials.
func (s *Server) storeFile() string {
	if s.config.SecretsFile != "" {
		return "live.db"
	}
	return "evergrant.db"
}

// credentials returns the client credentials: of the secrets file, or of the
// simulated providers, which it sets up.
func (s *Server) credentials() (*credentials, error) {
	connectKeys, sealKeys, err := loadRings(s.config.Dir)
	if err != nil {
		return nil, err
	}
	creds := &credentials{connect: connectKeys, seal: sealKeys}
	if file := s.config.SecretsFile; file != "" {
		creds.source, creds.read, creds.allowPrivate = file, fromFile(file), s.config.AllowPrivate
		warnIfShared(file, s.config.Log)
		return creds, creds.check()
	}
	l, err := listen("127.0.0.1", s.config.SimulatorPort)
	if err != nil {
		return nil, err
	}
	site := s.addSite(l)
	s.SimulatorURL = "http://" + l.Addr().String() // another host than localhost, so another site, as in life
	if s.Simulator, err = simulate(s.config, s.URL); err != nil {
		return nil, err
	}
	site.Handler = ownHosts(portOf(l), s.Simulator)
	document, err := simulatedDocument(s.Simulator, s.SimulatorURL)
	creds.source, creds.allowPrivate = "the simulated providers", true
	creds.read = func() ([]byte, error) { return document, err }
	return creds, err
}

// addSite adds a server for listeners, whose handler is yet to be set.
func (s *Server) addSite(listeners ...net.Listener) *http.Server {
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 2 * time.Minute, IdleTimeout: time.Minute,
		MaxHeaderBytes: 64 << 10,
		ErrorLog:       slog.NewLogLogger(s.config.Log.Handler(), slog.LevelWarn),
	}
	idle := new(idler)
	server.ConnState = idle.note
	server.RegisterOnShutdown(idle.close)
	s.sites = append(s.sites, site{server, listeners})
	return server
}

// Close closes the ports and the store.
func (s *Server) Close() error {
	var errs []error
	for _, site := range s.sites {
		for _, l := range site.listeners {
			if err := l.Close(); !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	return errors.Join(errs...)
}

// Serve serves until ctx ends. Then it takes no more requests, and returns
// when those under way are answered and the tokens of a refresh under way are
// stored. The simulated providers stop last, so that they answer it.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 8) // more than there are listeners
	var work sync.WaitGroup
	for _, site := range s.sites {
		for _, l := range site.listeners {
			work.Go(func() {
				if err := site.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
					failed <- fmt.Errorf("serve %s: %w", l.Addr(), err)
					cancel()
				}
			})
		}
	}
	s.greet()
	s.sweepUntil(ctx)
	s.config.Log.InfoContext(ctx, "stopping")
	for _, site := range s.sites {
		if err := site.server.Shutdown(context.WithoutCancel(ctx)); err != nil {
			failed <- fmt.Errorf("stop serving: %w", err)
		}
	}
	work.Wait()
	close(failed)
	return <-failed
}

// sweepUntil sweeps at each tick until ctx ends. By the timer it also sweeps at
// once: what fell due while nothing ran comes first.
func (s *Server) sweepUntil(ctx context.Context) {
	ticks := s.config.Ticks
	if ticks == nil {
		t := time.NewTicker(s.config.sweepEvery())
		defer t.Stop()
		ticks = t.C
		s.tick(ctx)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
			s.tick(ctx)
		}
	}
}

// tick sweeps, and logs where that fails. A sweep that ctx cuts short leaves
// its work in the index.
func (s *Server) tick(ctx context.Context) {
	if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
		s.config.Log.ErrorContext(ctx, "sweep failed", "err", err)
	}
}

// Sweep runs one sweep, as the schedule does in a deployment. When ctx ends it
// begins no further refresh and returns once those under way are stored.
func (s *Server) Sweep(ctx context.Context) (refresh.Summary, error) {
	ctx, cancel := within(ctx, s.config.Now(), sweepTime)
	defer cancel()
	answer, err := s.sweeper.Handle(ctx, json.RawMessage(`{"action":"sweep"}`))
	summary, _ := answer.(refresh.Summary) // a sweep answers with nothing else
	return summary, err
}

// greet says where to look.
func (s *Server) greet() {
	where := "real providers (client credentials from " + s.config.SecretsFile + ")"
	if s.Simulator != nil {
		where = "simulated providers (at " + s.SimulatorURL + ")"
	}
	_, _ = fmt.Fprintf(s.config.Out, `
  Evergrant is running, with %s.

    Open    %s
    Data    %s
    Stop    Ctrl-C

`, where, s.URL, s.config.Dir)
}
