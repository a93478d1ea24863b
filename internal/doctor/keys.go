package doctor

import (
	"context"
	"fmt"
	"slices"

	"github.com/evergrant/evergrant/internal/seal"
)

// A ring is one of the two key rings: its name as a check, where its secret is
// ("": nobody said), what it is for, and what to do where it is missing.
type ring struct {
	check, name, use string
	untold, missing  string
}

const ringForm = `Write {"current":"k1","keys":{"k1":"…"}}, each key at least 32 characters; keep every key that is in use.`

// rings checks the key rings, and that they have no key in common. It returns
// the connect keys, which have no current one where they cannot be used.
func rings(ctx context.Context, s Secrets, connect, sealing ring) (findings []Finding, connectKeys seal.Keys) {
	connectKeys, f := connect.read(ctx, s)
	sealKeys, g := sealing.read(ctx, s)
	findings = []Finding{f, g}
	if f.Status == OK && g.Status == OK {
		findings = append(findings, apart(connectKeys, sealKeys))
	}
	return findings, connectKeys
}

func (r ring) read(ctx context.Context, s Secrets) (seal.Keys, Finding) {
	if r.name == "" {
		return seal.Keys{}, warning(r.check, "not checked: nobody said where the keys are that "+r.use, r.untold)
	}
	document, f, err := read(ctx, s, r.check, r.name, r.missing)
	if err != nil {
		return seal.Keys{}, f
	}
	k, err := seal.ParseKeys(document)
	if err != nil {
		return seal.Keys{}, problem(r.check, fmt.Sprintf("%s: %v", r.name, err), ringForm)
	}
	n := len(k.All())
	return k, fine(r.check, "%s, the current one is %q; they %s", counted(n, "key"), k.Current, r.use)
}

// apart checks that the rings have no key in common: whoever signs tickets
// could open what is sealed.
func apart(connect, sealing seal.Keys) Finding {
	for _, key := range connect.All() {
		if slices.Contains(sealing.All(), key) {
			return problem("keys_apart", "a connect key is a sealing key as well, so whoever signs tickets can open refresh tokens and forge cookies",
				"Add a new key of its own to the connect secret, make it current, and remove the shared one there; the sealing keys stay.")
		}
	}
	return fine("keys_apart", "the connect keys and the sealing keys have none in common")
}

// counted returns "1 key" or "2 keys".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
