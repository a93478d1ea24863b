package local

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evergrant/evergrant/internal/oauth"
)

func contains(err error, parts ...string) bool {
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			return false
		}
	}
	return true
}

func TestKeysAreMadeOnceAndForTheirOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := makeDir(dir); err != nil {
		t.Fatal(err)
	}
	connectKeys, sealKeys, err := loadRings(dir)
	if err != nil {
		t.Fatalf("loadRings: %v", err)
	}
	again, sealAgain, err := loadRings(dir)
	if err != nil || signingKey(again) != signingKey(connectKeys) || signingKey(sealAgain) != signingKey(sealKeys) {
		t.Errorf("the keys changed: %v", err)
	}
	if signingKey(connectKeys).Secret == signingKey(sealKeys).Secret {
		t.Error("one key serves two purposes")
	}
	if key, err := ConnectKey(dir); err != nil || key != signingKey(connectKeys) {
		t.Errorf("ConnectKey = %v", err)
	}
	for name, want := range map[string]os.FileMode{"": 0o700, keysFile: 0o600, ".gitignore": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v, want %v", name, info.Mode().Perm(), err, want)
		}
	}
}

func TestKeysThatCannotBeReadAreNeverReplaced(t *testing.T) {
	for name, document := range map[string]string{
		"not JSON":  `{"connect":`,
		"no keys":   `{}`,
		"short key": `{"connect":{"current":"k1","keys":{"k1":"short"}},"seal":{"current":"k1","keys":{"k1":"short"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, keysFile)
			if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, err := loadRings(dir); !contains(err, path) {
				t.Errorf("loadRings = %v, want an error that names the file", err)
			}
			if _, err := ConnectKey(dir); !contains(err, path) {
				t.Errorf("ConnectKey = %v, want an error that names the file", err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != document {
				t.Errorf("the file is now %q, %v", got, err)
			}
		})
	}
}

func TestWithoutKeysALinkSaysHowToGetThem(t *testing.T) {
	if _, err := ConnectKey(t.TempDir()); !contains(err, "make run", "--dir") {
		t.Errorf("err = %v", err)
	}
}

func TestASecretsFileIsHeldToItsForm(t *testing.T) {
	const good = `{"client_id":"id","client_secret":"hush"}`
	tests := []struct {
		name, document string
		want           []string // in the error; none: it is good
	}{
		{"good", `{"whiplash":` + good + `,"whcc":` + good + `}`, nil},
		{"not JSON", `hush`, []string{"secrets.json", "JSON object"}},
		{"a list", `["hush"]`, []string{"secrets.json", "JSON object"}},
		{"empty", `{}`, []string{"secrets.json", "whiplash, whisk, whatnot, whcc"}},
		{"an unknown provider", `{"acme":` + good + `}`, []string{"secrets.json", `"acme"`, "whatnot"}},
		{"no client ID", `{"whisk":{"client_secret":"hush"}}`, []string{"secrets.json: whisk: client_id is missing"}},
		{"no client secret", `{"whisk":{"client_id":"id"}}`, []string{"whisk: client_secret is missing"}},
		{"a placeholder for the client ID", `{"whisk":{"client_id":"…","client_secret":"hush"}}`, []string{"secrets.json: whisk: client_id has"}},
		{"a placeholder for the client secret", `{"whisk":{"client_id":"id","client_secret":"hush…"}}`, []string{"whisk: client_secret has"}},
		{"a secret beyond ASCII", `{"whisk":{"client_id":"id","client_secret":"hüsh"}}`, nil},
		{"a wrong type", `{"whisk":{"client_id":"id","client_secret":"hush","scopes":"all"}}`, []string{"whisk", "scopes"}},
		{"an unknown environment", `{"whatnot":{"client_id":"id","client_secret":"hush","environment":"test"}}`, []string{"whatnot", `"test"`, "staging"}},
		{"a scope that is never granted", `{"whatnot":{"client_id":"id","client_secret":"hush","scopes":["full_access"]}}`, []string{"whatnot", "full_access"}},
		{"a private address", `{"whisk":{"client_id":"id","client_secret":"hush","endpoints":{"token_url":"http://127.0.0.1/t"}}}`, []string{"whisk", "endpoints.token_url"}},
		{"two mistakes", `{"acme":{},"whisk":{}}`, []string{"acme", "whisk: client_id"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "secrets.json")
			if err := os.WriteFile(path, []byte(tt.document), 0o600); err != nil {
				t.Fatal(err)
			}
			c := &credentials{source: path, read: fromFile(path)}
			err := c.check()
			if (err == nil) != (tt.want == nil) || (err != nil && !contains(err, tt.want...)) {
				t.Errorf("check = %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("the error repeats a secret: %v", err)
			}
		})
	}
}

func TestTheSecretsFileIsReadAgainWhenItChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets.json")
	write := func(document string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := &credentials{source: path, read: fromFile(path)}
	if err := c.check(); !contains(err, path, "client_id") {
		t.Errorf("without a file: %v", err)
	}
	write(`{"whisk":{"client_id":"id","client_secret":"old"}}`)
	old, err := c.Client(t.Context(), "whisk")
	if err != nil || old.Secret != "old" {
		t.Fatalf("Client = %v, %v", old.ID, err)
	}
	if others, err := c.Others(t.Context(), old); err != nil || len(others) != 0 {
		t.Errorf("Others = %d, %v, want none: nothing has changed", len(others), err)
	}
	write(`{"whisk":{"client_id":"id","client_secret":"new"}}`)
	if others, err := c.Others(t.Context(), old); err != nil || len(others) != 1 || others[0].Secret != "new" {
		t.Errorf("Others = %d, %v, want the new one", len(others), err)
	}
	write(`{"whisk":{"client_id":"another","client_secret":"theirs"}}`)
	if others, err := c.Others(t.Context(), old); err != nil || len(others) != 0 {
		t.Errorf("Others = %d, %v, want none: the file has another client", len(others), err)
	}
	write(`{"whisk":{"client_id":"another","client_secret":"theirs","former":[{"client_id":"id","client_secret":"new"}]}}`)
	if others, err := c.Others(t.Context(), old); err != nil || len(others) != 1 || others[0].Secret != "new" {
		t.Errorf("Others = %d, %v, want the former client's", len(others), err)
	}
	for _, id := range []string{"whcc", "acme"} {
		if _, err := c.Client(t.Context(), id); !errors.Is(err, oauth.ErrNotConfigured) || !contains(err, id, path) {
			t.Errorf("Client(%s) = %v, want that it is not configured", id, err)
		}
	}
}

func TestADamagedSimulatorFileIsSaidWithTheFix(t *testing.T) {
	path := filepath.Join(t.TempDir(), simulatorFile)
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadSimulator(path); !contains(err, path, "remove it") {
		t.Errorf("err = %v", err)
	}
}

func TestAFileIsReplacedWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, text := range []string{"one", "two"} {
		if err := replaceFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("file = %q, %v", got, err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(filepath.Join(dir, "folder"), []byte("x")); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("%d entries are left, %v, want 2", len(entries), err)
	}
}

// Without its keys no sealed refresh token opens: new ones must not be made
// beside an old store without a word.
func TestKeysThatAreGoneAreNotReplaced(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "evergrant.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := loadRings(dir); !contains(err, "put it back") || !contains(err, "keys.json") {
		t.Errorf("loadRings = %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "keys.json")); err == nil {
		t.Error("new keys were made")
	}
}
