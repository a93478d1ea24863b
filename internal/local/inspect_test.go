package local

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/evergrant/evergrant/internal/oauth"
	"github.com/evergrant/evergrant/internal/seal"
	"github.com/evergrant/evergrant/pkg/providers"
)

func TestTheRingsOfADataFolderAreThoseInUse(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := Rings(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a folder without keys: %v", err)
	}
	connectKeys, sealKeys, err := loadRings(dir)
	if err != nil {
		t.Fatal(err)
	}
	connect, sealing, err := Rings(dir)
	if err != nil {
		t.Fatal(err)
	}
	for document, want := range map[string]seal.Keys{string(connect): connectKeys, string(sealing): sealKeys} {
		got, err := seal.ParseKeys([]byte(document))
		if err != nil || got.All()[0] != want.All()[0] {
			t.Errorf("another ring, %v", err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, keysFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Rings(dir); err == nil {
		t.Error("a damaged file has rings")
	}
}

func TestClientsAreThoseThatLocalModeUses(t *testing.T) {
	simulated, err := Clients("", "http://127.0.0.1:1234")
	if err != nil || len(simulated) != len(providers.All()) {
		t.Fatalf("%d simulated, %v", len(simulated), err)
	}
	for _, p := range providers.All() {
		c, err := oauth.ParseClient(p, simulated[p.ID], true)
		if err != nil || c.Endpoints.TokenURL[:22] != "http://127.0.0.1:1234/" {
			t.Errorf("%s: %v, %v", p.ID, c.Endpoints, err)
		}
	}
	file := filepath.Join(t.TempDir(), "secrets.json")
	if _, err := Clients(file, ""); err == nil {
		t.Error("a missing file has clients")
	}
	if err := os.WriteFile(file, []byte(`{"whisk":{"client_id":"i"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Clients(file, "")
	if err != nil || len(got) != 1 || !json.Valid(got["whisk"]) {
		t.Errorf("%v, %v", got, err)
	}
}
