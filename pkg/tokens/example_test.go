package tokens_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/evergrant/evergrant/pkg/tokens"
)

func ExampleReader() {
	var cfg aws.Config // from config.LoadDefaultConfig
	functions := lambda.NewFromConfig(cfg)
	reader := &tokens.Reader{
		DynamoDB: dynamodb.NewFromConfig(cfg),
		Table:    "evergrant-ConnectionsTable",
		Invoke: func(ctx context.Context, payload []byte) ([]byte, error) {
			out, err := functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("evergrant-ConnectionsFunction"), Payload: payload})
			if err != nil {
				return nil, err
			}
			return out.Payload, nil
		},
	}
	call := func(ctx context.Context, req *http.Request) error {
		token, err := reader.Read(ctx, "acct_42", "whatnot", time.Minute)
		if err != nil {
			return err // tokens.ErrNotConnected: show the connect button
		}
		req.Header.Set("Authorization", token.Type+" "+token.AccessToken)
		return nil
	}
	fmt.Println(call != nil)
	// Output: true
}
