package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/dynamotest"
)

// A restore is a stack whose table has lost rows, and a table from its backup.
type restore struct {
	t          *testing.T
	db         dynamotest.Database // of the stack
	restored   string
	heldSince  func(asked int) int64 // Unix seconds; asked: how many times before
	table      string                // that the stack's function works on
	refusesPut string                // what DynamoDB takes no row with
	puts       atomic.Int64
	cloud      *cloud
}

// arn begins the other name of a table, which DynamoDB takes and the emulator does
// not.
const arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/"

// newRestore points the AWS SDK at a restore in which every provider has been held
// for long.
func newRestore(t *testing.T) *restore {
	t.Helper()
	r := &restore{t: t, db: dynamotest.Open(t), restored: dynamotest.Open(t).ConnectionsTable}
	r.table, r.heldSince = r.db.ConnectionsTable, func(int) int64 { return noon.Unix() - 600 }
	asked := 0
	r.cloud = newCloud(t, &cloud{answer: func(input map[string]any) (string, string) {
		if input["action"] != "held" {
			return "", fmt.Sprintf(`{"Environment":{"Variables":{"CONNECTIONS_TABLE":%q}}}`, r.table)
		}
		asked++
		return "", fmt.Sprintf(`{"provider":{"provider":%q,"held_since":%d}}`, input["provider"], r.heldSince(asked-1))
	}})
	emulator, err := url.Parse(r.db.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(emulator) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		if strings.HasSuffix(req.Header.Get("X-Amz-Target"), ".PutItem") {
			r.puts.Add(1)
			if r.refusesPut != "" && bytes.Contains(body, []byte(r.refusesPut)) {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"__type":"AccessDeniedException","message":"no policy allows it"}`)
				return
			}
		}
		body = bytes.ReplaceAll(body, []byte(arn), nil)
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		forward.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL_DYNAMODB", server.URL)
	return r
}

// row puts a row with a token into a table.
func (r *restore) row(table, id, provider, token string) {
	r.t.Helper()
	_, err := r.db.Client.PutItem(r.t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: map[string]types.AttributeValue{
		"connection_id": &types.AttributeValueMemberS{Value: id}, "provider": &types.AttributeValueMemberS{Value: provider},
		"access_token": &types.AttributeValueMemberS{Value: token}, "unknown": &types.AttributeValueMemberB{Value: []byte{0, 1}},
	}})
	if err != nil {
		r.t.Fatal(err)
	}
}

// tokens returns the tokens in a table, by connection and provider.
func (r *restore) tokens(table string) map[string]string {
	r.t.Helper()
	all := map[string]string{}
	pages := dynamodb.NewScanPaginator(r.db.Client, &dynamodb.ScanInput{TableName: &table})
	for pages.HasMorePages() {
		out, err := pages.NextPage(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		for _, item := range out.Items {
			var text [3]string
			for i, name := range []string{"connection_id", "provider", "access_token"} {
				s, _ := item[name].(*types.AttributeValueMemberS)
				text[i] = s.Value
			}
			if !reflect.DeepEqual(item["unknown"], &types.AttributeValueMemberB{Value: []byte{0, 1}}) {
				r.t.Errorf("%v has lost an attribute", text)
			}
			all[text[0]+" "+text[1]] = text[2]
		}
	}
	return all
}

// merge runs the command on both tables.
func (r *restore) merge(flags ...string) result {
	r.t.Helper()
	got := evergrant(r.t, append([]string{"merge", "--from", r.restored, "--into", r.db.ConnectionsTable, "--function", "f"}, flags...)...)
	if strings.Contains(got.stdout+got.err, "token-") {
		r.t.Errorf("it shows a token: %+v", got)
	}
	return got
}

func TestMergePutsBackWhatIsMissingAndNothingElse(t *testing.T) {
	r := newRestore(t)
	for _, id := range []string{"a", "b", "c"} {
		r.row(r.restored, id, "whatnot", "token-old")
		r.row(r.restored, id, "whisk", "token-old")
	}
	r.row(r.table, "a", "whatnot", "token-new")
	r.row(r.table, "b", "whisk", "token-new")
	r.row(r.table, "d", "whisk", "token-new")
	backup, before := r.tokens(r.restored), r.tokens(r.table)

	r.heldSince = func(int) int64 { return 0 }
	if got := r.merge("--dry-run"); got.code != exitOK || got.stdout != "missing: 4, there already: 2, failed: 0\n" || !maps.Equal(r.tokens(r.table), before) {
		t.Errorf("a dry run: %+v", got)
	}
	r.heldSince = func(int) int64 { return noon.Unix() - 120 }
	if got := r.merge(); got.code != exitOK || got.stdout != "put back: 4, there already: 2, failed: 0\n" {
		t.Errorf("%+v", got)
	}
	want := maps.Clone(backup)
	maps.Copy(want, before)
	if got := r.tokens(r.table); len(want) != 7 || !maps.Equal(got, want) {
		t.Errorf("the table has %v, want %v", got, want)
	}
	if got := r.merge("--json"); got.code != exitOK || got.stdout != "{\n  \"failed\": 0,\n  \"kept\": 6,\n  \"put_back\": 0\n}\n" {
		t.Errorf("a second time: %+v", got)
	}
	if !maps.Equal(r.tokens(r.restored), backup) {
		t.Error("the table from the backup has changed")
	}
}

func TestMergeCountsWhatFailed(t *testing.T) {
	r := newRestore(t)
	r.row(r.restored, "bad", "whisk", "token-a")
	r.row(r.restored, "good", "whisk", "token-b")
	r.refusesPut = `"bad"`
	if got := r.merge(); got.code != exitFailure || got.stdout != "put back: 1, there already: 0, failed: 1\n" || !strings.Contains(got.err, "run this again for what failed, of which the first is: bad at whisk: ") {
		t.Errorf("%+v", got)
	}
	r.refusesPut = ""
	if got := r.merge(); got.code != exitOK || got.stdout != "put back: 1, there already: 1, failed: 0\n" {
		t.Errorf("again: %+v", got)
	}
}

// Three rows fill a page.
func TestMergeAsksForTheHoldsBeforeEachPage(t *testing.T) {
	r := newRestore(t)
	for i := range 9 {
		r.row(r.restored, fmt.Sprint("acct_", i), "whisk", "token-"+strings.Repeat("x", 380_000))
	}
	r.heldSince = func(asked int) int64 {
		if asked < 4 {
			return noon.Unix() - 600
		}
		return 0
	}
	got := r.merge()
	if n := len(r.tokens(r.table)); got.code != exitFailure || !strings.Contains(got.err, "whiplash is not held") || n == 0 || n == 9 || got.stdout != fmt.Sprintf("put back: %d, there already: 0, failed: 0\n", n) {
		t.Errorf("released after the first page, %d are there: %+v", n, got)
	}
	r.heldSince = func(int) int64 { return noon.Unix() - 600 }
	if got := r.merge(); got.code != exitOK || len(r.tokens(r.table)) != 9 {
		t.Errorf("held again: %+v", got)
	}
	r.db.ConnectionsTable, r.restored = dynamotest.Open(t).ConnectionsTable, r.table
	r.table, r.refusesPut = r.db.ConnectionsTable, "token-"
	r.puts.Store(0)
	if got := r.merge(); got.code != exitFailure || r.puts.Load() == 0 || r.puts.Load() > 4 {
		t.Errorf("it goes on after a page of which nothing could be put, %d times: %+v", r.puts.Load(), got)
	}
}

func TestMergeRefusesWhatIsNotARestore(t *testing.T) {
	at := func(since int64) func(int) int64 { return func(int) int64 { return since } }
	for _, tt := range []struct {
		name string
		set  func(r *restore)
		want string
	}{
		{"no provider is held", func(r *restore) { r.heldSince = at(0) }, "whiplash is not held, so a sweep would use refresh tokens of the backup: `evergrant hold --all`"},
		{"the last one is not held", func(r *restore) {
			r.heldSince = func(asked int) int64 { return map[bool]int64{true: noon.Unix() - 600}[asked < 3] }
		}, "whcc is not held"},
		{"held a moment ago", func(r *restore) { r.heldSince = at(noon.Unix() - 119) }, "run this again in 1s"},
		{"another stack's table", func(r *restore) { r.table = "another" }, "f is not of the stack that has table"},
		{"a table with other keys", func(r *restore) { r.restored = r.db.StateTable }, "is no connections table: its key is id S HASH"},
		{"into a table with other keys", func(r *restore) { r.db.ConnectionsTable, r.table = r.db.StateTable, r.db.StateTable }, "is no connections table"},
		{"no such table", func(r *restore) { r.restored = "nowhere" }, "describe table nowhere: "},
		{"one table by two names", func(r *restore) { r.restored = arn + r.table }, "are one table"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRestore(t)
			r.row(r.restored, "a", "whisk", "token-a")
			tt.set(r)
			got := r.merge()
			if got.code != exitFailure || !strings.Contains(got.err, tt.want) || strings.Count(got.err, "\n") != 1 || r.puts.Load() > 0 {
				t.Errorf("%+v after %d puts, want %q", got, r.puts.Load(), tt.want)
			}
		})
	}
	for _, args := range [][]string{{"--from", "a", "--into", "b"}, {"--from", "a", "--into", "b", "--url", "http://localhost:1", "--function", "f"}, {"--from", "a", "--into", "a", "--function", "f"}, {"--from", "a", "--function", "f"}, {"--into", "a", "--function", "f"}} {
		if got := evergrant(t, append([]string{"merge"}, args...)...); got.code != exitUsage {
			t.Errorf("%v: %+v", args, got)
		}
	}
}
