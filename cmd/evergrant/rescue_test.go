package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
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
		{"a line too long", strings.Repeat("x", maxLogLine+1), []string{"--rescue-secrets", "s/"}, exitFailure, "line 1 of standard input is longer than 64 MB"},
		{"no prefix", "", nil, exitUsage, "--rescue-secrets"},
		{"nothing there", "hello\n{}\n", []string{"--rescue-secrets", "s/"}, exitFailure, "no line on standard input holds tokens"},
		{"a line cut short", `{"msg":"new tokens only here: give this line","provider":"wh`, []string{"--rescue-secrets", "s/"}, exitFailure, "line 1 of"},
		{"a line cut at its start", "{}\n" + `,"rescue":"c2Vh"}`, []string{"--rescue-secrets", "s/"}, exitFailure, "line 2 of"},
		{"a member missing", `{"rescue":"c2Vh","provider":"whisk"}`, []string{"--rescue-secrets", "s/"}, exitFailure, "cut or altered"},
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

// Whoever types it would wait for ever, and not know for what.
func TestRescueWantsAPipe(t *testing.T) {
	got := at(t, tool{In: strings.NewReader(""), Terminal: true}, "rescue", "--rescue-secrets", "s/")
	if got.code != exitUsage || !strings.Contains(got.err, "pipe log lines") {
		t.Errorf("%+v", got)
	}
}

func TestRescueReadsEveryLogLineOfALine(t *testing.T) {
	const (
		a     = `{"msg":"new tokens only here","provider":"whisk","connection_id":"a","fence":1,"rescue":"c2Vh"}`
		b     = `{"msg":"new tokens only here","provider":"whisk","connection_id":"b","grant":2,"rescue":"c2Vh"}`
		other = `{"msg":"refresh","err":"{","provider":{"id":1}}`
	)
	tests := []struct {
		name, in string
		want     string // connection IDs
		cut      bool
	}{
		{"one", a, "a", false},
		{"a tab between them", a + "\t" + b, "ab", false},
		{"a line break and a tab between them", a + "\n\t" + b + "\n", "ab", false},
		{"nothing between them", a + b, "ab", false},
		{"text around them", "INFO " + a + " and { then }\t" + b + " END", "ab", false},
		{"other lines between them", other + "\t" + a + "\t" + other + "\t" + b, "ab", false},
		{"one that is cut before a whole one", a[:len(a)-4] + "\t" + b, "b", true},
		{"one that is cut before its tokens", a[:50] + "\t" + b, "b", true},
		{"one that is cut after a whole one", a + "\t" + b[:len(b)-1], "a", true},
		{"one without its start", a[1:] + "\t" + b, "b", true},
		{"a string of one", `            "message": "{\"rescue\":\"c2Vh\",\"provider\":\"whisk\",\"connection_id\":\"a\",\"fence\":1}\n",`, "a", false},
		{"strings of others around it", `["INFO { \"a", "{\"msg\":\"sweep\"}", "` + escaped(a) + `\n","` + escaped(b) + `",""]`, "ab", false},
		{"an odd quotation mark before it", `a 5" display ` + a + ` "` + escaped(b), "a", true},
		{"a string of one that is cut", `{"message":"` + escaped(a)[:60] + `"},{"message":"` + escaped(b) + `"}`, "b", true},
		{"a string in a string", `{"events":[{"message":"` + escaped(`{"events":[{"message":"`+escaped(a)+`"}]}`) + `"}]}`, "a", false},
		{"a string of one without its message", `"{\"rescue\":\"c2Vh\",\"fence\":1}"`, "", true},
		{"its members by themselves", `[{"field":"connection_id","value":"a"},{"field":"rescue","value":"c2Vh"}]`, "", true},
		{"one that is quoted by others' rules", `"{""msg"":""new tokens only here"",""rescue"":""c2Vh""}"`, "", true},
		{"one that is quoted without its members", `"{\"msg\":\"new tokens only here\",\"rescue\":\"c2Vh\"}"`, "", true},
		{"one of another type", `{"rescue":1}`, "", true},
		{"no object", "hello\t{}\t{", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			var cut bool
			for text := range strings.SplitSeq(tt.in, "\n") {
				found, whole := parseRescue(text)
				for _, line := range found {
					got += line.ConnectionID
				}
				cut = cut || !whole
			}
			if got != tt.want || cut != tt.cut {
				t.Errorf("read %q, cut: %t", got, cut)
			}
		})
	}
}

// escaped returns text as it stands in a JSON string.
func escaped(text string) string {
	b, _ := json.Marshal(text)
	return string(b[1 : len(b)-1])
}

// What the AWS CLI prints of the same log, by command and --output.
func TestRescueReadsWhatTheAWSCLIPrints(t *testing.T) {
	const (
		one   = `{"time":"2026-11-23T12:00:00Z","level":"ERROR","msg":"new tokens only here: give this line to ` + "`evergrant rescue`" + `","provider":"whisk","connection_id":"a","fence":1,"err":"said \"no\": {","rescue":"c2Vh"}`
		two   = `{"level":"ERROR","msg":"new tokens only here","provider":"whisk","connection_id":"b","grant":2,"rescue":"c2Vh"}`
		other = `{"level":"INFO","msg":"sweep","due":1}`
	)
	indented := func(v any) string {
		b, err := json.MarshalIndent(v, "", "    ")
		if err != nil {
			t.Fatal(err)
		}
		return string(b) + "\n"
	}
	var events, results []any
	for _, message := range []string{one, other, two} {
		events = append(events, map[string]any{"logStreamName": "2026/11/23/[7]0a", "timestamp": 1795435200000, "message": message + "\n", "ingestionTime": 1795435201000, "eventId": "39"})
		results = append(results, []any{map[string]any{"field": "@timestamp", "value": "2026-11-23 12:00:00.000"}, map[string]any{"field": "@message", "value": message + "\n"}, map[string]any{"field": "@ptr", "value": "Cl8K"}})
	}
	all := map[string]any{"events": events, "searchedLogStreams": []any{}}
	query := func(status string) map[string]any {
		return map[string]any{"results": results, "statistics": map[string]any{"recordsMatched": 3.0}, "status": status}
	}
	compact, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, in, want string }{
		{"filter-log-events", indented(all), ""},
		{"filter-log-events of two groups", indented(all) + indented(map[string]any{"events": []any{}}), ""},
		{"filter-log-events through jq -c", string(compact), ""},
		{"filter-log-events --query 'events[].message'", indented([]string{one + "\n", other, two}), ""},
		{"the same --output text", one + "\n\t" + other + "\n\t" + two + "\n", ""},
		{"filter-log-events --max-items", indented(map[string]any{"events": events, "NextToken": "eyJ"}), "leave out --max-items"},
		{"filter-log-events --no-paginate", indented(map[string]any{"events": events, "nextToken": "eyJ"}), "leave out --max-items"},
		{"tail", "2026-11-23T12:00:00+00:00 2026/11/23/[7]0a " + one + "\n2026-11-23T12:00:00+00:00 2026/11/23/[7]0a " + two + "\n", ""},
		{"get-query-results", indented(query("Complete")), ""},
		{"get-query-results while it runs", indented(query("Running")), "until the query is Complete"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud(t, &cloud{created: true})
			got := at(t, tool{In: strings.NewReader(tt.in)}, "rescue", "--rescue-secrets", "s/")
			if want := "a at whisk: waits to be stored\nb at whisk: waits to be stored\n"; got.stdout != want || len(c.inputs) != 2 {
				t.Errorf("%d calls: %+v", len(c.inputs), got)
			}
			if (got.code == exitOK) != (tt.want == "") || !strings.Contains(got.err, tt.want) {
				t.Errorf("%+v, want %q", got, tt.want)
			}
		})
	}
}

func TestRescuePutsBackWhatIsWholeBesideWhatIsCut(t *testing.T) {
	c := newCloud(t, &cloud{created: true})
	in := `{"msg":"new tokens only here","rescue":"c2V` + "\t" + `{"provider":"whisk","connection_id":"a","fence":1,"rescue":"c2Vh"}`
	var out, errs bytes.Buffer
	code := run(context.Background(), tool{In: strings.NewReader(in), Out: &out, Err: &errs, Getenv: func(string) string { return "" }}, []string{"rescue", "--rescue-secrets", "s/"})
	if code != exitFailure || len(c.inputs) != 1 || !strings.Contains(errs.String(), "(put back: 1)") {
		t.Errorf("exit %d, %d calls: %s", code, len(c.inputs), &errs)
	}
}
