package lambdatest

import (
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/canary"
)

// What comes with an event, or is new in an answer, is found in what comes after
// it: the negative control of the search.
func TestWhatPassesIsFoundAfterwards(t *testing.T) {
	const secret = "s3cret-of-more-than-sixteen-letters-0"
	event := func(members map[string]any) []byte { b, _ := json.Marshal(members); return b }
	begins := event(map[string]any{"statusCode": 302, "headers": map[string]string{"Location": "https://p.example/?state=" + secret}, "cookies": []string{}})
	for name, pass := range map[string]func(*World){
		"a ticket":          func(w *World) { w.guardEvent(event(map[string]any{"rawQueryString": "ticket=" + secret})) },
		"a code":            func(w *World) { w.guardEvent(event(map[string]any{"rawQueryString": "a=b&code=" + secret})) },
		"a cookie":          func(w *World) { w.guardEvent(event(map[string]any{"cookies": []string{"x=" + secret}})) },
		"a handle":          func(w *World) { w.guardEvent(event(map[string]any{"action": "complete", "handle": secret})) },
		"an imported token": func(w *World) { w.guardEvent(event(map[string]any{"refresh_token": secret})) },
		"a state of ours":   func(w *World) { w.search(begins) },
		"a cookie of ours": func(w *World) {
			w.search(event(map[string]any{"statusCode": 302, "cookies": []string{"x=" + secret + "; Path=/"}}))
		},
		"a handle of ours": func(w *World) {
			w.search(event(map[string]any{"statusCode": 303, "headers": map[string]string{"Location": "https://h.example/?handle=" + secret}}))
		},
		"an HTTP page shows": func(w *World) { w.Watch.Guard("secret", secret) },
	} {
		w := &World{Watch: new(canary.Watch)}
		if len(w.search([]byte(`{"connection":{"account_label":"`+secret+`"}}`))) != 0 {
			t.Errorf("%s: it is known before", name)
		}
		pass(w)
		encoded := base64.StdEncoding.EncodeToString([]byte("x" + secret))
		for where, found := range map[string]int{
			"a page":    len(w.search(event(map[string]any{"statusCode": 400, "body": "<p>" + secret}))),
			"an answer": len(w.search([]byte(`{"error":{"detail":"` + encoded + `"}}`))),
			"a row": len(w.Watch.Find(plain(&types.AttributeValueMemberM{Value: map[string]types.AttributeValue{
				"sealed": &types.AttributeValueMemberB{Value: []byte(secret)}, "fence": &types.AttributeValueMemberN{Value: "1"},
			}}))),
		} {
			if found != 1 {
				t.Errorf("%s is found %d times in %s", name, found, where)
			}
		}
		if name == "a state of ours" && len(w.search(begins)) != 0 {
			t.Error("the state is found where it must be")
		}
	}
}
