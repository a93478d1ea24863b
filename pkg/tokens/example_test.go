package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"golang.org/x/oauth2"

	"github.com/evergrant/evergrant/pkg/tokens"
)

// One Reader serves the whole process.
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
	fmt.Println(reader.Table)
	// Output: evergrant-ConnectionsTable
}

// A token that works is never refused. The warning is for the log.
func ExampleReader_Read() {
	var reader *tokens.Reader // as in the example of Reader
	prepare := func(ctx context.Context, req *http.Request) error {
		token, err := reader.Read(ctx, "acct_42", "whatnot", time.Minute)
		if errors.Is(err, tokens.ErrNotConnected) || errors.Is(err, tokens.ErrReauthorizationRequired) {
			return fmt.Errorf("show the connect button: %w", err)
		}
		if err != nil {
			return fmt.Errorf("try again later: %w", err)
		}
		var stale *tokens.StaleError
		if errors.As(token.Warning, &stale) {
			slog.WarnContext(ctx, "token is not fresh", "left", stale.Left, "err", stale.Cause)
		}
		req.Header.Set("Authorization", token.Type+" "+token.AccessToken)
		return nil
	}
	_ = prepare
}

// A request that is answered 401 is sent again once, with another token.
func ExampleReader_Replace() {
	var reader *tokens.Reader // as in the example of Reader
	send := func(ctx context.Context, url string, token tokens.Token) (*http.Response, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", token.Type+" "+token.AccessToken)
		return http.DefaultClient.Do(req)
	}
	get := func(ctx context.Context, url string) (*http.Response, error) {
		token, err := reader.Read(ctx, "acct_42", "whatnot", time.Minute)
		if err != nil {
			return nil, err
		}
		resp, err := send(ctx, url, token)
		if err != nil || resp.StatusCode != http.StatusUnauthorized {
			return resp, err
		}
		_ = resp.Body.Close()
		if token, err = reader.Replace(ctx, "acct_42", "whatnot", token); err != nil {
			return nil, err
		}
		return send(ctx, url, token)
	}
	_ = get
}

// The source goes into a Transport, not through oauth2.NewClient, which would
// keep its tokens.
func ExampleReader_TokenSource() {
	var reader *tokens.Reader // as in the example of Reader
	source := reader.TokenSource(context.Background(), "acct_42", "whatnot", time.Minute)
	client := &http.Client{Transport: &oauth2.Transport{Source: source}}
	_ = client
}
