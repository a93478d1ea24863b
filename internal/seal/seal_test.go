package seal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const (
	key1 = "0123456789abcdef0123456789abcdef"
	key2 = "fedcba9876543210fedcba9876543210"
)

func ring(t *testing.T, document string) Keys {
	t.Helper()
	k, err := ParseKeys([]byte(document))
	if err != nil {
		t.Fatalf("ParseKeys: %v", err)
	}
	return k
}

func TestParseKeys(t *testing.T) {
	tests := []struct {
		name, document, want string // want: part of the error
	}{
		{"nested", `{"current":"k1","keys":{"k1":"` + key1 + `"}}`, ""},
		{"flat, as CloudFormation generates it", `{"current":"k1","k1":"` + key1 + `"}`, ""},
		{"not JSON", `hello`, "not a JSON object"},
		{"no current", `{"keys":{"k1":"` + key1 + `"}}`, `"current" is missing`},
		{"current is not a string", `{"current":1,"k1":"` + key1 + `"}`, `"current" is missing`},
		{"current is not there", `{"current":"k2","keys":{"k1":"` + key1 + `"}}`, `"k2" is not among`},
		{"too short", `{"current":"k1","keys":{"k1":"short"}}`, `"k1" is shorter than 32`},
		{"keys is a list", `{"current":"k1","keys":["` + key1 + `"]}`, `"keys" must be an object`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseKeys([]byte(tt.document))
			if (err == nil) != (tt.want == "") || (err != nil && !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), key1) {
				t.Error("the error repeats a key")
			}
		})
	}
}

func TestOpenOnlyWhatWasSealedForThePurpose(t *testing.T) {
	k := ring(t, `{"current":"k1","keys":{"k1":"`+key1+`","k2":"`+key2+`"}}`)
	sealed, err := k.Seal("row 1", []byte("token"))
	if err != nil {
		t.Fatalf("Seal: %v", err)
	}
	if got, err := k.Open("row 1", sealed); err != nil || string(got) != "token" {
		t.Fatalf("Open = %q, %v", got, err)
	}
	if bytes.Contains(sealed, []byte("token")) {
		t.Error("the sealed value shows the plain one")
	}
	if _, err := k.Open("row 2", sealed); !errors.Is(err, ErrNotOpened) {
		t.Errorf("opened for another purpose: %v", err)
	}
	for i := range sealed {
		flipped := bytes.Clone(sealed)
		flipped[i] ^= 1
		if _, err := k.Open("row 1", flipped); !errors.Is(err, ErrNotOpened) {
			t.Errorf("opened with byte %d altered: %v", i, err)
		}
		if _, err := k.Open("row 1", sealed[:i]); !errors.Is(err, ErrNotOpened) {
			t.Errorf("opened when cut to %d bytes: %v", i, err)
		}
	}
}

func TestANewCurrentKeyLeavesOldValuesReadable(t *testing.T) {
	old := ring(t, `{"current":"k1","keys":{"k1":"`+key1+`"}}`)
	sealed, _ := old.Seal("p", []byte("token"))
	rotated := ring(t, `{"current":"k2","keys":{"k1":"`+key1+`","k2":"`+key2+`"}}`)
	if got, err := rotated.Open("p", sealed); err != nil || string(got) != "token" {
		t.Errorf("Open after rotation = %q, %v", got, err)
	}
	without := ring(t, `{"current":"k2","keys":{"k2":"`+key2+`"}}`)
	if _, err := without.Open("p", sealed); !errors.Is(err, ErrNotOpened) {
		t.Errorf("opened without its key: %v", err)
	}
	fresh, _ := rotated.Seal("p", []byte("token"))
	if got, err := without.Open("p", fresh); err != nil || string(got) != "token" {
		t.Errorf("the new current key does not seal: %q, %v", got, err)
	}
}

// A stack that was deleted and deployed anew has a ring whose key is called as the
// one before.
func TestAKeyIsKnownByItselfAndNotByItsID(t *testing.T) {
	before := ring(t, `{"current":"k1","k1":"`+key1+`"}`)
	sealed, _ := before.Seal("p", []byte("token"))
	anew := ring(t, `{"current":"k1","k1":"`+key2+`","k0":"`+key1+`"}`)
	if got, err := anew.Open("p", sealed); err != nil || string(got) != "token" {
		t.Errorf("Open under another ID = %q, %v", got, err)
	}
	fresh, _ := anew.Seal("p", []byte("token"))
	if anew.OpensCurrent("p", sealed) || !anew.OpensCurrent("p", fresh) || anew.OpensCurrent("q", fresh) || before.OpensCurrent("p", fresh) {
		t.Error("OpensCurrent goes by the ID, or opens what is of another purpose")
	}
}

func TestAllPutsTheCurrentKeyFirst(t *testing.T) {
	k := ring(t, `{"current":"k2","keys":{"k1":"`+key1+`","k2":"`+key2+`"}}`)
	if all := k.All(); len(all) != 2 || all[0] != key2 || all[1] != key1 {
		t.Error("All does not return the current key first, then the others")
	}
	if key, ok := k.Key("k1"); !ok || key != key1 {
		t.Error("Key does not find k1")
	}
}

func TestKeysCannotBePrinted(t *testing.T) {
	k := ring(t, `{"current":"k1","keys":{"k1":"`+key1+`"}}`)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if s := fmt.Sprintf(verb, k); strings.Contains(s, key1) {
			t.Errorf("%s prints a key", verb)
		}
	}
}
