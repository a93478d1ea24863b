package main

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestHoldAndReleaseInLocalMode(t *testing.T) {
	at, _ := localModeWith(t, "acct_42")
	if got := evergrant(t, "hold", "whcc", "--url", at); got.code != exitOK || got.stdout != "whcc: held, nothing is refreshed until `evergrant release whcc`\n" {
		t.Errorf("%+v", got)
	}
	if got := evergrant(t, "refresh", "acct_42", "whcc", "--min-ttl", "24h", "--url", at); got.code != exitFailure || !strings.Contains(got.err, "an operator holds the provider") {
		t.Errorf("a reader's refresh, held: %+v", got)
	}
	if got := evergrant(t, "release", "--all", "--url", at); got.code != exitOK || strings.Count(got.stdout, ": refreshed as ever\n") != 4 {
		t.Errorf("%+v", got)
	}
	if got := evergrant(t, "refresh", "acct_42", "whcc", "--min-ttl", "24h", "--url", at); got.code != exitOK {
		t.Errorf("a reader's refresh, released: %+v", got)
	}
	for _, args := range [][]string{{"hold"}, {"hold", "whcc", "--all"}, {"release", "whcc", "whisk"}, {"verify"}, {"verify", "nobody"}, {"verify", "whcc", "--count", "0"}} {
		if got := evergrant(t, append(args, "--url", at)...); got.code != exitUsage {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

// planeOf is a control plane with ten connections of whisk on two pages, two of
// which nothing renews, and some of whatnot. It refuses those named.
func planeOf(refuses string) func(map[string]any) (string, string) {
	return func(input map[string]any) (string, string) {
		switch input["action"] {
		case "list":
			var list []string
			first := 0
			next := "p2"
			if input["cursor"] != nil {
				first, next = 5, ""
			}
			for i := first; i < first+5; i++ {
				list = append(list, fmt.Sprintf(`{"connection_id":"id-%d","provider":"whisk","due_at":%d},{"connection_id":"other-%d","provider":"whatnot","due_at":9}`, i, i%5, i))
			}
			return "", fmt.Sprintf(`{"connections":[%s],"cursor":%q}`, strings.Join(list, ","), next)
		case "refresh":
			if input["connection_id"] == refuses {
				return "", `{"error":{"type":"refused","detail":"the provider does not accept the grant"}}`
			}
			return "", `{"connection":{}}`
		}
		held := map[any]int{"hold": 1795400000}[input["action"]]
		return "", fmt.Sprintf(`{"provider":{"provider":"whisk","held_since":%d}}`, held)
	}
}

// actions returns what a control plane was asked to do, in order.
func (c *cloud) actions() (all []string) {
	for _, input := range c.inputs {
		all = append(all, strings.TrimSuffix(fmt.Sprint(input["action"], " ", input["connection_id"]), " <nil>"))
	}
	return all
}

// Whoever stops it must learn that the provider is held.
func TestVerifySaysThatAProviderStaysHeldWhenItIsStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	answer := planeOf("")
	newCloud(t, &cloud{answer: func(input map[string]any) (string, string) {
		if input["action"] == "refresh" {
			defer time.AfterFunc(100*time.Millisecond, stop)
		}
		return answer(input)
	}})
	var out, errs bytes.Buffer
	code := run(ctx, tool{Out: &out, Err: &errs, Getenv: func(string) string { return "" }, Now: time.Now, Random: func() float64 { return 0.5 }},
		[]string{"verify", "whisk", "--every", "1h", "--function", "f"})
	if want := "evergrant: whisk stays held until `evergrant release whisk`: stopped after 1 of 5 connections: "; code != exitFailure || !strings.HasPrefix(errs.String(), want) {
		t.Errorf("exit %d: %s%s", code, &out, &errs)
	}
}

func TestVerifyStopsAtTheFirstRefusal(t *testing.T) {
	c := newCloud(t, &cloud{answer: planeOf("")})
	got := evergrant(t, "verify", "whisk", "--count", "3", "--every", "0s", "--release", "--function", "f")
	asked := c.actions()
	if got.code != exitOK || len(asked) != 7 || asked[0] != "hold" || asked[6] != "release" || !strings.Contains(got.stdout, "whisk: refreshed as ever") {
		t.Fatalf("%+v, asked %v", got, asked)
	}
	for _, a := range asked[3:6] {
		if !strings.HasPrefix(a, "refresh id-") || a == "refresh id-0" || a == "refresh id-5" {
			t.Errorf("asked %v", asked)
		}
	}
	refused := strings.TrimPrefix(asked[4], "refresh ")

	c = newCloud(t, &cloud{answer: planeOf(refused)})
	got = evergrant(t, "verify", "whisk", "--count", "3", "--every", "0s", "--release", "--function", "f")
	asked = c.actions()
	if got.code != exitFailure || slices.Contains(asked, "release") || asked[len(asked)-1] != "refresh "+refused || !strings.Contains(got.err, "whisk stays held") {
		t.Errorf("%+v, asked %v", got, asked)
	}

	c = newCloud(t, &cloud{answer: planeOf("")})
	if got = evergrant(t, "verify", "whisk", "--every", "0s", "--function", "f"); got.code != exitOK || slices.Contains(c.actions(), "release") || !strings.Contains(got.stdout, "held, nothing is refreshed") {
		t.Errorf("%+v, asked %v", got, c.actions())
	}
	c = newCloud(t, &cloud{answer: planeOf("")})
	if got = evergrant(t, "verify", "whisk", "--every", "0s", "--json", "--function", "f"); got.code != exitOK || slices.Contains(c.actions(), "release") || !strings.Contains(got.stdout, `"held_since": 1795400000`) {
		t.Errorf("as JSON: %+v, asked %v", got, c.actions())
	}
	c = newCloud(t, &cloud{answer: planeOf("")})
	if got = evergrant(t, "verify", "whcc", "--function", "f"); got.code != exitFailure || !strings.Contains(got.err, "whcc stays held until `evergrant release whcc`") || !slices.Equal(c.actions(), []string{"hold", "list", "list"}) {
		t.Errorf("a provider without connections: %+v, asked %v", got, c.actions())
	}
}
