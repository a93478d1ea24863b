package authrequest

import (
	"errors"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/evergrant/evergrant/internal/connection"
)

// A cookie brings back what was put into it, and its value is the only one that
// does. Nothing that a stranger chose becomes a part of the line.
func FuzzCookie(f *testing.F) {
	f.Add("acct_42", "https://app.example.com/done", "0123456789abcdef", "a", "google", int64(1795435800), uint(0), byte(1))
	f.Add("", "", "", "", "", int64(0), uint(9), byte(0x20))
	f.Add("a;b", "x; Domain=evil.example", "\r\nSet-Cookie: a=b", "\x00", "é\u2028", int64(-1), uint(1<<20), byte(255))
	f.Add("a", strings.Repeat("x", 3000), "t", "s", "p", int64(1<<40), uint(100), byte('.'))
	f.Fuzz(func(t *testing.T, id, returnTo, ticketID, scope, param string, expires int64, at uint, mask byte) {
		text := func(s string) string { return strings.ToValidUTF8(s, "?") } // all that gets here is
		r := whole()
		r.Key.ConnectionID, r.ReturnTo, r.TicketID = text(id), text(returnTo), text(ticketID)
		r.Scopes, r.Params = []string{text(scope)}, map[string]string{text(param): text(param)}
		r.ExpiresAt = time.Unix(expires, 0)
		line, err := SetCookie(sealKeys(t), r, true)
		if err != nil {
			if !errors.Is(err, ErrTooLong) || line != "" {
				t.Errorf("%q, %v", line, err)
			}
			return
		}
		if !regexp.MustCompile(`^__Host-evergrant-[0-9a-f]{16}=[A-Za-z0-9_-]+; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure$`).MatchString(line) || len(line) > 4096 {
			t.Errorf("line = %q", line)
		}
		c, err := http.ParseSetCookie(line)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Open(sealKeys(t), c.Value); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("got %+v, %v\nwant %+v", got, err, r)
		}
		i, last := at%uint(len(c.Value)), len(c.Value)-1
		others := []string{
			c.Value[:i] + string([]byte{c.Value[i] ^ max(mask, 1)}) + c.Value[i+1:], c.Value[:i], c.Value[i+1:], c.Value + string([]byte{mask}), c.Value[:i] + "\n" + c.Value[i:],
		}
		for letter := byte(' '); letter < 0x7f; letter++ { // the last one may hold bits that mean nothing
			if letter != c.Value[last] {
				others = append(others, c.Value[:last]+string([]byte{letter}))
			}
		}
		for _, other := range others {
			if got, err := Open(sealKeys(t), other); err == nil || !reflect.DeepEqual(got, Request{}) {
				t.Errorf("opened %q, which is not %q", other, c.Value)
			}
		}
	})
}

// dropLine is all that may stand in a line that takes a cookie away.
var dropLine = regexp.MustCompile(`^((?:__Host-)?evergrant-[0-9a-f]{16})=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax(; Secure)?$`)

// Whatever cookies a browser sends, room is made by taking away cookies of ours
// that it has, each once, and at most four are left, of a bounded length.
func FuzzEvict(f *testing.F) {
	for _, name := range []string{
		"__Host-evergrant-0000000000000000", "evergrant-0000000000000000", "__Host-evergrant-", "__Host-evergrant-\r\nSet-Cookie: a", "__Host-evergrant-0 ; Domain=evil.example",
		"__Host-evergrant-00000000000000000", "__Host-evergrant-000000000000000G", "__host-evergrant-0000000000000000", "session", "",
	} {
		f.Add(name, "", uint8(6), true)
		f.Add(name, strings.Repeat("A", 4000), uint8(3), false)
	}
	f.Fuzz(func(t *testing.T, name, value string, n uint8, https bool) {
		browser := map[string]string{}
		for i := range n % 12 {
			r := whole()
			r.State = connection.StateID(string([]byte{i}))
			r.ReturnTo, r.ExpiresAt = strings.Repeat("x", 400*int(i%4)), noon.Add(time.Duration(i)*time.Second)
			browser[CookieName(r.State, https)] = set(t, r, https).Value
		}
		browser[name] = value
		lines := Evict(sealKeys(t), browser, https, noon)
		for _, line := range lines {
			m := dropLine.FindStringSubmatch(line)
			if m == nil || strings.HasPrefix(line, "__Host-") != https || (m[2] != "") != https {
				t.Fatalf("line = %q", line)
			}
			if _, ok := browser[m[1]]; !ok {
				t.Errorf("%s was not there, or was taken away twice", m[1])
			}
			delete(browser, m[1])
		}
		left, length := 0, 0
		for name, v := range browser {
			if rest, ok := strings.CutPrefix(name, prefix(https)); ok && regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(rest) {
				left++
				length += len(name) + len(v)
			}
		}
		if left >= MaxCookies || length > maxOthers {
			t.Errorf("%d of ours are left, %d bytes", left, length)
		}
	})
}
