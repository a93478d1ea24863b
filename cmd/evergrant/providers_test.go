package main

import (
	"encoding/json"
	"testing"
)

// Before anybody connects, the list says where a stolen code or token could get
// in.
func TestProvidersSayWhatTheyDoNotProtect(t *testing.T) {
	var got struct {
		Providers []struct {
			ID           string `json:"id"`
			PKCE         bool   `json:"pkce"`
			FrontChannel string `json:"token_in_front_channel"`
		} `json:"providers"`
	}
	if err := json.Unmarshal([]byte(evergrant(t, "providers", "--json").stdout), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"whiplash": "never", "whisk": "on demand", "whatnot": "never", "whcc": "always"}
	for _, p := range got.Providers {
		if p.PKCE != (p.ID == "whiplash") || p.FrontChannel != want[p.ID] {
			t.Errorf("%+v", p)
		}
		delete(want, p.ID)
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
}
