package dynamotest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/evergrant/evergrant/internal/tooltest"
)

// Stream turns the stream of the connections table on and returns what reads all
// its records so far, in the form in which Lambda hands them over. Where the
// emulator has no streams, as dynalite, t ends as tooltest.Missing says.
func (db Database) Stream(t testing.TB) (read func() []json.RawMessage) {
	t.Helper()
	out, err := db.Client.UpdateTable(t.Context(), &dynamodb.UpdateTableInput{
		TableName:           &db.ConnectionsTable,
		StreamSpecification: &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages},
	})
	if err != nil || out.TableDescription.LatestStreamArn == nil {
		tooltest.Missing(t, fmt.Sprintf("the emulator has no streams: %v", err))
	}
	stream := *out.TableDescription.LatestStreamArn
	return func() (records []json.RawMessage) {
		t.Helper()
		var described struct {
			StreamDescription struct{ Shards []struct{ ShardId string } }
		}
		db.streams(t, "DescribeStream", map[string]string{"StreamArn": stream}, &described)
		for _, shard := range described.StreamDescription.Shards {
			var at struct{ ShardIterator string }
			db.streams(t, "GetShardIterator", map[string]string{"StreamArn": stream, "ShardId": shard.ShardId, "ShardIteratorType": "TRIM_HORIZON"}, &at)
			for at.ShardIterator != "" {
				var page struct {
					Records           []map[string]any
					NextShardIterator string
				}
				db.streams(t, "GetRecords", map[string]string{"ShardIterator": at.ShardIterator}, &page)
				if len(page.Records) == 0 {
					break // an open shard always has a next page
				}
				for _, r := range page.Records {
					r["eventSourceARN"] = stream
					record, err := json.Marshal(r)
					if err != nil {
						t.Fatal(err)
					}
					records = append(records, record)
				}
				at.ShardIterator = page.NextShardIterator
			}
		}
		return records
	}
}

// streams calls DynamoDB Streams (API_Operations_Amazon_DynamoDB_Streams,
// 2026-11-23). Its answers stay JSON, which is what Lambda passes on, so there is
// no client of the SDK in between. The emulator looks at no signature.
func (db Database) streams(t testing.TB, operation string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, db.Endpoint, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "DynamoDBStreams_20120810." + operation, "X-Amz-Date": "20261123T120000Z",
		"Authorization": "AWS4-HMAC-SHA256 Credential=test/20261123/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=00",
	} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s: %v", operation, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusOK {
		err = json.Unmarshal(answer, out)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: HTTP %d %s: %v", operation, resp.StatusCode, answer, err)
	}
}
