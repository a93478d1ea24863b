package local

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/evergrant/evergrant/internal/simulator"
)

// Rings returns the key rings in the data folder dir, in the form of the
// secrets that a deployment has for them.
func Rings(dir string) (connect, seal []byte, err error) {
	document, err := os.ReadFile(filepath.Join(dir, keysFile)) //nolint:gosec // the person at the terminal names the folder
	if err != nil {
		return nil, nil, fmt.Errorf("read keys: %w", err)
	}
	var r rings
	if err := json.Unmarshal(document, &r); err != nil {
		return nil, nil, fmt.Errorf("%s is not a JSON object", filepath.Join(dir, keysFile))
	}
	return r.Connect, r.Seal, nil
}

// Clients returns the client credentials by provider ID: those of secretsFile
// or, where that is "", of the providers that are simulated at simulatorURL.
func Clients(secretsFile, simulatorURL string) (map[string]json.RawMessage, error) {
	c := credentials{source: secretsFile, read: fromFile(secretsFile)}
	if secretsFile == "" {
		sim := simulator.New(simulator.Config{Now: func() time.Time { return time.Time{} }}) // only its endpoints count
		c.read = func() ([]byte, error) { return simulatedDocument(sim, simulatorURL) }
	}
	return c.documents()
}
