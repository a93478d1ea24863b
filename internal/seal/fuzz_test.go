package seal

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// What was sealed opens for its purpose under its ring, and for nothing else:
// not with a bit flipped, cut off, longer, for another purpose, or under
// another key of the same name.
func FuzzSeal(f *testing.F) {
	f.Add("row 1", "row 2", []byte("token"), uint(0), byte(1), uint(0))
	f.Add("", " ", []byte(nil), uint(4), byte(128), uint(3))
	f.Add("authorization request", "refresh token", []byte(`{"s":"state"}`), uint(30), byte(16), uint(31))
	f.Add("a\x00b", "a", bytes.Repeat([]byte{0}, 300), uint(1), byte(255), uint(1))
	f.Fuzz(func(t *testing.T, purpose, other string, plain []byte, at uint, mask byte, cut uint) {
		k := ring(t, `{"current":"k1","keys":{"k1":"`+key1+`","k2":"`+key2+`"}}`)
		sealed, err := k.Seal(purpose, plain)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := k.Open(purpose, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("opened %q, %v", got, err)
		}
		if again, _ := k.Seal(purpose, plain); bytes.Equal(again, sealed) || len(plain) > 8 && bytes.Contains(sealed, plain) {
			t.Error("the sealed value tells what is in it")
		}
		refused := func(how string, k Keys, purpose string, sealed []byte) {
			if got, err := k.Open(purpose, sealed); !errors.Is(err, ErrNotOpened) || got != nil {
				t.Errorf("opened %s: %q, %v", how, got, err)
			}
		}
		flipped := bytes.Clone(sealed)
		flipped[at%uint(len(sealed))] ^= max(mask, 1)
		refused("altered", k, purpose, flipped)
		refused("cut off", k, purpose, sealed[:cut%uint(len(sealed))])
		refused("with its head cut off", k, purpose, sealed[1+cut%uint(len(sealed)):])
		refused("longer", k, purpose, append(bytes.Clone(sealed), mask))
		refused("under another key", ring(t, `{"current":"k1","keys":{"k1":"`+key2+`"}}`), purpose, sealed)
		refused("without its key", ring(t, `{"current":"k2","keys":{"k2":"`+key2+`"}}`), purpose, sealed)
		if other != purpose {
			refused("for another purpose", k, other, sealed)
		}
	})
}

// Nothing opens that was not sealed, whatever it looks like.
func FuzzOpen(f *testing.F) {
	tag := strings.Repeat("\x00", 28)
	for _, seed := range []string{"", "\x01", "\x01\x00", "\x01\xff", "\x01\x02k1", "\x01\x02k1" + tag, "\x01\x02k2" + tag + "token", "\x01\x00" + tag, "\x00\x02k1" + tag, "\x01\x02k3" + tag, "\x01\x02k1" + tag[:27]} {
		f.Add("p", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, purpose string, sealed []byte) {
		k := ring(t, `{"current":"k1","keys":{"k1":"`+key1+`","k2":"`+key2+`"}}`)
		if got, err := k.Open(purpose, sealed); !errors.Is(err, ErrNotOpened) || got != nil {
			t.Errorf("opened %q as %q, %v", sealed, got, err)
		}
	})
}

// A key ring that is taken can be used: its current key is there, seals and
// opens, and no key is short. One that is refused is not repeated.
func FuzzParseKeys(f *testing.F) {
	for _, seed := range []string{
		`{"current":"k1","keys":{"k1":"` + key1 + `"}}`, `{"current":"k1","k1":"` + key1 + `"}`, `{"current":"k2","k1":"` + key1 + `"}`, `{"current":"k1","k1":"` + key1 + `","k1":"x"}`,
		`{"current":"keys","keys":{"keys":"` + key1 + `"}}`, `{"current":"","":"` + key1 + `"}`, `{"current":"k1","keys":null,"k1":"` + key1 + `"}`, `{"current":["` + key1 + `"]}`,
		`{"current":"` + strings.Repeat("k", 256) + `","` + strings.Repeat("k", 256) + `":"` + key1 + `"}`, `{"current":"current"}`, `null`, `[]`, `{`, "", `{"Current":"k1","k1":"` + key1 + `"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		k, err := ParseKeys(document)
		if err != nil {
			if bytes.Count(document, []byte(key1)) == 1 && bytes.Contains(document, []byte(`"k1":"`+key1+`"`)) && strings.Contains(err.Error(), key1) {
				t.Errorf("the error repeats a key: %v", err)
			}
			if len(k.keys) > 0 || k.Current != "" {
				t.Errorf("%v, and a ring: %v", err, k)
			}
			return
		}
		current, ok := k.Key(k.Current)
		if all := k.All(); !ok || all[0] != current || slices.ContainsFunc(all, func(key string) bool { return len(key) < MinKeyLength }) {
			t.Errorf("%s: keys %q", document, k.keys)
		}
		sealed, err := k.Seal("p", document)
		if err != nil {
			t.Fatalf("%s does not seal: %v", document, err)
		}
		if got, err := k.Open("p", sealed); err != nil || !bytes.Equal(got, document) {
			t.Errorf("%s does not open what it sealed: %v", document, err)
		}
	})
}
