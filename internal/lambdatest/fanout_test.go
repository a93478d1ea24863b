package lambdatest_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/eventtest"
	"github.com/evergrant/evergrant/internal/lambdatest"
)

// fill puts n rows that are long due into a shard of the due index.
// Nothing can be refreshed in them: a worker finds that out by trying.
func (d *deployment) fill(shard string, n int) {
	d.t.Helper()
	for i := 0; i < n; i += 25 {
		var requests []types.WriteRequest
		for j := range min(25, n-i) {
			row := key(fmt.Sprintf("filler_%d", i+j), "whiplash")
			row["connection_status"] = &types.AttributeValueMemberS{Value: "disconnected"}
			row["due_shard"] = &types.AttributeValueMemberS{Value: "4." + shard}
			row["due_at"] = &types.AttributeValueMemberN{Value: "1"}
			requests = append(requests, types.WriteRequest{PutRequest: &types.PutRequest{Item: row}})
		}
		out, err := d.Database.Client.BatchWriteItem(d.t.Context(), &dynamodb.BatchWriteItemInput{
			RequestItems: map[string][]types.WriteRequest{d.Database.ConnectionsTable: requests},
		})
		if err != nil || len(out.UnprocessedItems) > 0 {
			d.t.Fatalf("fill the due index: %v, %d left", err, len(out.UnprocessedItems))
		}
	}
}

// With fan-out on, the deployed sweep leaves a large shard to a worker, which is
// the same function, by a message that really goes through SQS.
func TestASweepHandsALargeShardToAWorker(t *testing.T) {
	t.Parallel()
	d := deploy(t, lambdatest.Config{})
	queue := d.Queue(t)
	d.change["RefreshFunction"] = map[string]string{"SHARD_QUEUE_URL": queue.URL}
	d.connect("whiplash")
	d.connect("whatnot")
	before := d.read(connectionID, "whiplash").AccessToken
	d.fill("3", 500)
	d.makeDue(connectionID, "whiplash", "3")
	d.makeDue(connectionID, "whatnot", "1")
	if s, want := d.sweep(), (summary{Due: 501, Refreshed: 1, Remaining: 500}); s != want {
		t.Fatalf("sweep = %+v, want %+v", s, want)
	}
	if d.read(connectionID, "whiplash").AccessToken != before {
		t.Error("the sweep did a worker's work")
	}
	event, bodies := queue.Event(t, eventtest.Read(t, "refresh-hints.json", nil))
	if !slices.Equal(bodies, []string{`{"shard":"3"}`}) {
		t.Fatalf("the queue has %q, want one hint", bodies)
	}
	var answer struct{ BatchItemFailures []any }
	d.invoke("RefreshFunction", event, &answer)
	if len(answer.BatchItemFailures) != 0 || d.read(connectionID, "whiplash").AccessToken == before {
		t.Errorf("the worker refreshed nothing: %v", answer)
	}
	if ledger := d.Simulator.Ledger("whiplash"); ledger.TokenRequests["refresh_token"] != 1 {
		t.Errorf("the provider counted %v", ledger.TokenRequests)
	}
}
