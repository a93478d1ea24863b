package lambdatest_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"github.com/evergrant/evergrant/internal/lambdatest"
)

// readByPython returns what a program in another language, without any code of
// ours, reads of a connection, and the calls that it takes.
func (d *deployment) readByPython(provider string) (read map[string]any, calls []string) {
	d.t.Helper()
	d.DynamoDB.Take()
	cmd := exec.CommandContext(d.t.Context(), lambdatest.Python(d.t), "testdata/read_token.py", d.Database.ConnectionsTable, connectionID, provider)
	cmd.Env = []string{
		"AWS_ENDPOINT_URL_DYNAMODB=" + d.DynamoDB.URL, "AWS_REGION=eu-central-1", "AWS_DEFAULT_REGION=eu-central-1",
		"AWS_ACCESS_KEY_ID=reader", "AWS_SECRET_ACCESS_KEY=reader", "AWS_EC2_METADATA_DISABLED=true",
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("read_token.py: %v\n%s", err, stderr.String())
	}
	if err := json.Unmarshal(out, &read); err != nil {
		d.t.Fatalf("read_token.py printed %s: %v", out, err)
	}
	return read, d.DynamoDB.Take()
}

func TestAProgramInPythonReadsTheTokenWithOneGetItem(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	d.connect("whatnot")
	for range 2 {
		read, calls := d.readByPython("whatnot")
		r := d.read(connectionID, "whatnot")
		scopes := []any{}
		for _, s := range r.Scopes {
			scopes = append(scopes, s)
		}
		got, _ := json.Marshal(read)
		want, _ := json.Marshal(map[string]any{
			"access_token": map[string]any{"S": r.AccessToken}, "token_type": map[string]any{"S": "Bearer"},
			"expires_at": map[string]any{"N": strconv.FormatInt(r.ExpiresAt, 10)}, "scopes": map[string]any{"SS": scopes},
			"connection_status": map[string]any{"S": "active"},
		})
		if !bytes.Equal(got, want) {
			t.Errorf("read %s\nwant %s", got, want)
		}
		if !slices.Equal(calls, []string{"GetItem ConnectionsTable"}) {
			t.Errorf("it took %q", calls)
		}
		if live := d.Simulator.Ledger("whatnot").LiveAccessTokens; !slices.Contains(live, r.AccessToken) {
			t.Error("the token does not work at the provider")
		}
		d.makeDue(connectionID, "whatnot", "0")
		if s := d.sweep(); s.Refreshed != 1 {
			t.Fatalf("sweep = %+v", s)
		}
	}
}
