package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/evergrant/evergrant/internal/simulator"
	"github.com/evergrant/evergrant/pkg/providers"
)

// simulatorFile holds the grants of the simulated providers, in the data
// folder, so that connections survive a restart.
const simulatorFile = "simulator.json"

// simulate makes the simulated providers for the deployment at publicURL.
func simulate(c Config, publicURL string) (*simulator.Simulator, error) {
	path := filepath.Join(c.Dir, simulatorFile)
	state, err := loadSimulator(path)
	if err != nil {
		return nil, err
	}
	config := simulator.Config{
		Now: c.Now, TokenLifetime: c.TokenLifetime, State: state,
		Save: func(s simulator.State) { saveSimulator(path, s, c.Log) },
	}
	for _, p := range providers.All() {
		config.RedirectURIs = append(config.RedirectURIs, publicURL+"/callback/"+p.ID)
	}
	return simulator.New(config), nil
}

func loadSimulator(path string) (simulator.State, error) {
	document, err := os.ReadFile(path) //nolint:gosec // the person at the terminal names the folder
	if errors.Is(err, fs.ErrNotExist) {
		return simulator.State{}, nil
	}
	if err != nil {
		return simulator.State{}, fmt.Errorf("read simulated grants: %w", err)
	}
	var s simulator.State
	if err := json.Unmarshal(document, &s); err != nil {
		return simulator.State{}, fmt.Errorf("%s is damaged: remove it, and connect again: %w", path, err)
	}
	return s, nil
}

// saveSimulator writes the grants. A failure costs no more than having to
// connect again after a restart.
func saveSimulator(path string, s simulator.State, log *slog.Logger) {
	document, err := json.Marshal(s)
	if err == nil {
		err = replaceFile(path, document)
	}
	if err != nil {
		log.Warn("simulated grants not saved", "file", path, "err", err)
	}
}

// simulatedDocument returns the secrets document of the simulated providers at
// base, with the client that each knows.
func simulatedDocument(s *simulator.Simulator, base string) ([]byte, error) {
	all := map[string]map[string]any{}
	for _, p := range providers.All() {
		if secret := s.Secret(base, p.ID); secret != nil {
			all[p.ID] = secret
		}
	}
	return json.Marshal(all)
}
