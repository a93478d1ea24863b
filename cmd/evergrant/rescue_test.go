package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestRescuePutsTokensFromTheLogBack(t *testing.T) {
	c := newCloud(t, &cloud{created: true})
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Error("new tokens only here: give this line to `evergrant rescue`",
		"provider", "whiplash", "connection_id", "acct_42", "fence", 7, "rescue", base64.StdEncoding.EncodeToString([]byte("sealed")))
	slog.New(slog.NewJSONHandler(&log, nil)).Error("new tokens only here: give this line to `evergrant rescue`",
		"provider", "whisk", "connection_id", "acct_43", "grant", 1795000000123456789, "rescue", base64.StdEncoding.EncodeToString([]byte("new")))
	var out, errs bytes.Buffer
	in := "START RequestId: 1\n{\"msg\":\"sweep\"}\n2026-11-23T09:00:00Z " + log.String()
	code := run(context.Background(), tool{In: strings.NewReader(in), Out: &out, Err: &errs, Getenv: func(string) string { return "" }}, []string{"rescue", "--rescue-secrets", "stack/rescue/"})
	if code != exitOK || out.String() != "acct_42 at whiplash: waits to be stored\nacct_43 at whisk: waits to be stored\n" {
		t.Fatalf("exit %d: %s%s", code, &out, &errs)
	}
	if len(c.inputs) != 2 {
		t.Fatalf("%d calls", len(c.inputs))
	}
	for i, want := range []struct{ below, last, value string }{
		{"stack/rescue/whiplash/", "/7", `{"connection_id":"acct_42","provider":"whiplash","fence":7,"sealed":"c2VhbGVk"}`},
		{"stack/rescue/whisk/", "/grant-1795000000123456789", `{"connection_id":"acct_43","provider":"whisk","grant":1795000000123456789,"sealed":"bmV3"}`},
	} {
		name, binary := fmt.Sprint(c.inputs[i]["Name"]), fmt.Sprint(c.inputs[i]["SecretBinary"])
		if !strings.HasPrefix(name, want.below) || !strings.HasSuffix(name, want.last) || binary != base64.StdEncoding.EncodeToString([]byte(want.value)) {
			t.Errorf("put %s at %s", binary, name)
		}
	}
}

func TestRescueSaysWhatItCannotRead(t *testing.T) {
	newCloud(t, new(cloud))
	tests := []struct {
		name, in string
		args     []string
		code     int
		want     string
	}{
		{"no prefix", "", nil, exitUsage, "--rescue-secrets"},
		{"nothing there", "hello\n{}\n", []string{"--rescue-secrets", "s/"}, exitFailure, "no line on standard input holds tokens"},
		{"a line cut short", `{"rescue":"c2Vh","provider":"whisk"}`, []string{"--rescue-secrets", "s/"}, exitFailure, "cut or altered"},
		{"not base64", `{"rescue":"?","provider":"whisk","connection_id":"a","fence":1}`, []string{"--rescue-secrets", "s/"}, exitFailure, "cut or altered"},
		{"Secrets Manager refuses", `{"rescue":"c2Vh","provider":"whisk","connection_id":"a","fence":1}`, []string{"--rescue-secrets", "s/"}, exitFailure, "connection a at whisk"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := run(context.Background(), tool{In: strings.NewReader(tt.in), Out: &out, Err: &errs, Getenv: func(string) string { return "" }}, append([]string{"rescue"}, tt.args...))
			if code != tt.code || !strings.Contains(errs.String(), tt.want) || strings.Contains(errs.String(), "c2Vh") {
				t.Errorf("exit %d: %s", code, &errs)
			}
		})
	}
}
