package lambdatest

import (
	"crypto/rand"
	"encoding/json"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// A Queue is an SQS queue, played by moto.
type Queue struct {
	URL    string
	client *sqs.Client
}

// Queue makes a queue of this world. The functions reach it by their endpoint
// setting; its URL is the value of SHARD_QUEUE_URL.
func (w *World) Queue(t testing.TB) *Queue {
	t.Helper()
	moto := secretsManager(t)
	q := &Queue{client: sqs.New(sqs.Options{
		BaseEndpoint: &moto, Region: region, Credentials: credentials.NewStaticCredentialsProvider(master, "test", ""),
	})}
	name := "shards-" + rand.Text()
	out, err := q.client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		t.Fatalf("create queue: %v", err)
	}
	q.URL = *out.QueueUrl
	w.guard.know("SHARD_QUEUE_URL", q.URL)
	return q
}

// Event takes up to ten messages and returns them as Lambda hands them to a
// function: those of the event in file, with the bodies of the queue.
func (q *Queue) Event(t testing.TB, file []byte) (event []byte, bodies []string) {
	t.Helper()
	out, err := q.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &q.URL, MaxNumberOfMessages: 10})
	if err != nil {
		t.Fatalf("receive messages: %v", err)
	}
	var ev events.SQSEvent
	if err := json.Unmarshal(file, &ev); err != nil {
		t.Fatal(err)
	}
	record := ev.Records[0]
	ev.Records = nil
	for _, m := range out.Messages {
		record.MessageId, record.Body, record.ReceiptHandle = *m.MessageId, *m.Body, *m.ReceiptHandle
		ev.Records = append(ev.Records, record)
		bodies = append(bodies, *m.Body)
	}
	event, err = json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	return event, bodies
}
